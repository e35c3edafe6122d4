"""Stochastic rounding: unbiased, seeded, the same on any number of threads, resumable."""

from __future__ import annotations

import copy

import pytest
import torch

import slalom
from slalom.backends import using


@pytest.fixture(params=["llvm", "foreach"])
def backend(request):
    with using(request.param):
        yield request.param


def after(n: int, value: float, step: float, **options) -> torch.Tensor:
    p = torch.nn.Parameter(torch.full((n,), value, dtype=torch.bfloat16))
    optimizer = slalom.optim.SGD([p], lr=1.0, rounding="stochastic", **options)
    p.grad = torch.full((n,), -step, dtype=torch.bfloat16)
    optimizer.step()
    return p.detach().float()


@pytest.mark.filterwarnings("ignore:SGD runs without machine code")
@pytest.mark.parametrize(
    ("value", "step"), [(1.0, 0.001), (-3.0, 0.001), (1.0, -0.0017), (100.0, 0.1)]
)
def test_the_mean_is_the_exact_value(value, step, backend):
    n = 200_000
    found = after(n, value, step)
    exact = value + torch.tensor(step).bfloat16().item()
    assert len(found.unique()) == 2
    low, high = found.min().item(), found.max().item()
    assert low < exact < high
    deviation = (exact - low) ** 0.5 * (high - exact) ** 0.5 / n**0.5
    assert abs(found.double().mean().item() - exact) < 5 * deviation
    neighbours = torch.corrcoef(torch.stack([found[:-1], found[1:]]))[0, 1]
    assert abs(neighbours) < 5 / n**0.5


@pytest.mark.filterwarnings("ignore:SGD runs without machine code")
def test_what_bfloat16_holds_is_kept(backend):
    assert torch.equal(after(1000, 1.0, 0.5), torch.full((1000,), 1.5))
    for value in (float("inf"), float("-inf")):
        assert torch.equal(after(100, 1.0, value), torch.full((100,), value))
    assert after(100, 1.0, float("nan")).isnan().all()


def test_small_updates_are_not_lost():
    """A thousand steps of 1e-4 from 1: to nearest they are nothing, by chance they add up."""
    results = {}
    for rounding in ("nearest", "stochastic"):
        p = torch.nn.Parameter(torch.ones(2000, dtype=torch.bfloat16))
        optimizer = slalom.optim.SGD([p], lr=1e-4, rounding=rounding)
        for _ in range(1000):
            p.grad = torch.ones_like(p)
            optimizer.step()
        results[rounding] = p.detach().double().mean().item()
    assert results["nearest"] == 1.0
    assert results["stochastic"] == pytest.approx(0.9, abs=0.003)


def run(seed: int, threads: int, stop: int | None = None) -> list[torch.Tensor]:
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(1)
    params = [
        torch.nn.Parameter(torch.randn(n, generator=generator).bfloat16()) for n in (150_001, 77)
    ]
    optimizer = slalom.optim.AdamW(params, lr=1e-3, rounding="stochastic", rounding_seed=seed)
    for i in range(6):
        if i == stop:
            kept = copy.deepcopy(optimizer.state_dict())
            optimizer = slalom.optim.AdamW(
                params, lr=1e-3, rounding="stochastic", rounding_seed=seed
            )
            optimizer.load_state_dict(kept)
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator).bfloat16()
        optimizer.step()
    return [p.detach().clone() for p in params]


def test_the_chance_is_that_of_the_seed_alone():
    first = run(0, 1)
    for other in (run(0, 2), run(0, 3), run(0, 2, stop=3)):
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[0], run(1, 2)[0])


def test_other_dtypes_are_rounded_as_ever():
    results = []
    for rounding in ("nearest", "stochastic"):
        p = torch.nn.Parameter(torch.linspace(0, 1, 50))
        optimizer = slalom.optim.Adam([p], lr=1e-3, rounding=rounding)
        p.grad = torch.ones(50)
        optimizer.step()
        results.append(p.detach())
    assert torch.equal(*results)


def test_an_unknown_rounding_is_named():
    with pytest.raises(ValueError, match="rounding is 'up'; it must be one of"):
        slalom.optim.Adam([torch.nn.Parameter(torch.zeros(1))], rounding="up")
