"""Clipping, unscaling and the check for NaN and infinity, in the pass of the step."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import slalom
from reference import distance

SHAPES = ((37, 5), (), (0,), (8211,), (3, 4, 5))


def made(seed: int = 0, dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    params = [torch.nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in SHAPES]
    # one that machine code does not serve stands among those that it does
    return [
        *params,
        torch.nn.Parameter(torch.randn(4, 6, generator=generator, dtype=dtype)[:, ::2]),
    ]


def give(params, seed: int, size: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in params:
        p.grad = size * torch.randn(p.shape, generator=generator, dtype=p.dtype)


def leaves(tree) -> list:
    found = torch.utils._pytree.tree_leaves(tree)
    return [x for x in found if isinstance(x, torch.Tensor | int | float)]


@given(bound=st.floats(1e-3, 1e3), size=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["norm", "value"])
def test_clipping_is_torchs(kind, dtype, bound, size, seed):
    params = made(seed, dtype)
    twins = copy.deepcopy(params)
    mine = slalom.optim.Momentum(params, lr=0.1, **{f"clip_{kind}": bound})
    other = slalom.optim.Momentum(twins, lr=0.1)
    for i in range(3):
        give(params, seed + i, size)
        give(twins, seed + i, size)
        before = [p.grad.clone() for p in params]
        mine.step()
        assert all(torch.equal(p.grad, b) for p, b in zip(params, before, strict=True))
        getattr(torch.nn.utils, f"clip_grad_{kind}_")(twins, bound)
        other.step()
    for p, q, start in zip(params, twins, made(seed, dtype), strict=True):
        # three steps may cancel; what each of them was is lost to torch alike
        moved = p - start + 0.1 * min(size, bound)
        scale = torch.stack([start, moved]).detach()
        assert distance(p, q, scale) <= (2e-6 if dtype == torch.float32 else 1e-14)


def test_the_norm_is_the_same_for_any_number_of_threads():
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        params = [torch.nn.Parameter(torch.zeros(300_007)), torch.nn.Parameter(torch.zeros(77))]
        optimizer = slalom.optim.SGD(params, lr=0.1, clip_norm=1.0)
        give(params, 3)
        optimizer.step()
        results.append([p.detach().clone() for p in params])
    assert all(torch.equal(a, b) for r in results for a, b in zip(r, results[0], strict=True))
    length = torch.cat([p.flatten() for p in results[0]]).double().norm().item()
    assert length == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64])
def test_the_norm_of_other_dtypes(dtype):
    p = torch.nn.Parameter(torch.zeros(1000, dtype=dtype))
    optimizer = slalom.optim.SGD([p], lr=1.0, clip_norm=0.5)
    p.grad = (
        torch.randn(1000).to(dtype) if dtype != torch.complex64 else torch.randn(1000, dtype=dtype)
    )
    optimizer.step()
    assert slalom.explain(optimizer).rows[0][3] == "llvm"
    assert p.detach().abs().double().norm().item() == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 1, 3, 5])
def test_a_step_that_is_not_finite_can_be_skipped_or_refused(bad, place):
    params = made()
    names = [(f"layer{i}", p) for i, p in enumerate(params)]
    skipping = slalom.optim.Adam(params, lr=0.1, on_nonfinite="skip")
    give(params, 1)
    skipping.step()
    raising = slalom.optim.Adam(names, lr=0.1, on_nonfinite="raise")
    raising.load_state_dict(skipping.state_dict())
    give(params, 2)
    params[place].grad.view(-1)[-1] = bad
    before = copy.deepcopy((params, skipping.state_dict(), raising.state_dict()))
    skipping.step()
    with pytest.raises(RuntimeError, match=rf"not finite in layer{place} \(. NaN, . infinite of"):
        raising.step()
    after = params, skipping.state_dict(), raising.state_dict()
    for old, new in zip(map(leaves, before), map(leaves, after), strict=True):
        assert all(
            torch.equal(torch.as_tensor(a), torch.as_tensor(b))
            for a, b in zip(old, new, strict=True)
        )
    give(params, 3)
    skipping.step()
    assert skipping.state[params[0]]["step"] == 2


def test_by_default_nan_goes_where_torch_lets_it_go():
    p = torch.nn.Parameter(torch.zeros(4))
    optimizer = slalom.optim.SGD([p], lr=1.0, clip_norm=1.0)
    p.grad = torch.tensor([1.0, float("nan"), 0.0, 2.0])
    optimizer.step()
    assert p.isnan().all()


def test_large_float64_gradients_are_finite_though_their_squares_are_not():
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = slalom.optim.SGD([p], lr=1.0, on_nonfinite="raise")
    p.grad = torch.full((3,), 1e200, dtype=torch.float64)
    optimizer.step()
    assert torch.equal(p.detach(), torch.full((3,), -1e200, dtype=torch.float64))


@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("clip", [None, 0.7])
def test_grad_scaler(unscale, clip):
    """The same losses, the same overflow in the third step, the same parameters as with torch's."""
    results = []
    for library in (torch.optim, slalom.optim):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        more = {"clip_norm": clip} if clip and library is slalom.optim else {}
        optimizer = library.Adam(model.parameters(), lr=0.01, **more)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
        for i in range(6):
            loss = model(torch.randn(16, 6)).square().mean() * (float("inf") if i == 2 else 1.0)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            if unscale or (clip and library is torch.optim):
                scaler.unscale_(optimizer)
            if clip and library is torch.optim:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            scaler.step(optimizer)
            scaler.update()
        results.append((list(model.parameters()), scaler.get_scale(), optimizer))
    (theirs, their_scale, _), (ours, our_scale, optimizer) = results
    assert our_scale == their_scale
    assert optimizer.state[ours[0]]["step"] == 5
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Lion"])
def test_decay_that_follows_the_schedule_alone(name):
    """What the parameters lose is a share of the full rate's, and no moment sees it."""
    params, twins = made(dtype=torch.float64), made(dtype=torch.float64)
    mine = getattr(slalom.optim, name)(params, lr=0.1, independent_weight_decay=0.01)
    other = getattr(slalom.optim, name)(twins, lr=0.1)
    for i in range(5):
        give(params, i)
        give(twins, i)
        for group in (*mine.param_groups, *other.param_groups):
            group["lr"] = 0.1 / (i + 1)
        mine.step()
        with torch.no_grad():
            for q in twins:
                q.mul_(1 - 0.01 / (i + 1))
        other.step()
    for p, q in zip(params, twins, strict=True):
        assert distance(p, q) <= 1e-12


def test_the_choice_goes_with_copies():
    p = torch.nn.Parameter(torch.zeros(3))
    optimizer = slalom.optim.Adam([p], clip_value=0.25)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        q = twin.param_groups[0]["params"][0]
        q.grad = torch.full((3,), 100.0)
        twin.step()
        assert torch.allclose(twin.state[q]["exp_avg"], torch.full((3,), 0.025))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clip_norm": 0.0}, "clip_norm is 0.0; it must be a number above 0, or None"),
        ({"clip_value": -1}, "clip_value is -1; it must be a number above 0"),
        ({"clip_norm": 1.0, "clip_value": 1.0}, "clip_norm and clip_value exclude each other"),
        ({"independent_weight_decay": 1.0}, "independent_weight_decay is 1.0; it must be from 0"),
        ({"on_nonfinite": "ignore"}, "on_nonfinite is 'ignore'; it must be one of"),
    ],
)
def test_bad_choices_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        slalom.optim.Adam([torch.nn.Parameter(torch.zeros(3))], **arguments)


@pytest.mark.parametrize(
    ("whole", "group", "words"),
    [
        ({}, {"clip_norm": 1.0}, "clip_norm is of the whole optimizer"),
        ({"clip_value": 1.0}, {"clip_value": 2.0}, "clip_value is of the whole optimizer"),
        ({"clip_norm": 1.0}, {"clip_norm": 1.0}, "clip_norm looks at all gradients together"),
        ({"on_nonfinite": "skip"}, {"on_nonfinite": "skip"}, "on_nonfinite looks at all"),
    ],
)
def test_a_group_has_no_treatment_of_its_own(whole, group, words):
    param = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match=words):
        slalom.optim.SGD([{"params": [param], **group}], lr=0.1, **whole)


def test_a_group_may_repeat_what_is_element_by_element():
    slalom.optim.SGD([{"params": [torch.zeros(3)], "clip_value": 1.0}], lr=0.1, clip_value=1.0)
