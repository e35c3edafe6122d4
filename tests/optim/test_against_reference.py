"""Every rule, compiled and by torch's operations, against itself in float64, on drawn inputs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import slalom
from drawn import hypers_of
from reference import distance, trajectory
from slalom.backends import using
from slalom.ir.program import crosses, is_whole, multiplies
from slalom.rules import RULES, Rule

TOLERANCE = {torch.float32: 5e-6, torch.float64: 1e-12}

FITS = 1e18
"""What has a square in float32; some settings of some rules grow beyond it in 25 steps."""

CLASSES = {name: slalom.optimizer(rule) for name, rule in RULES.items()}

LONG = {n for n, r in RULES.items() if is_whole(r) and n != "lamb"}
"""Rules that sum; test_sums.py and test_whole_tensors.py step some of them too."""

shapes = st.lists(
    st.lists(st.integers(0, 9), max_size=3).map(tuple) | st.just((70, 50)), min_size=1, max_size=5
)


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(r, id=n, marks=pytest.mark.slow if n in LONG else ())
        for n, r in RULES.items()
        if not r.squares  # see test_preconditioned.py: rounding is magnified where rank lacks
    ],
)
def test_any_step_equals_the_reference(rule: Rule, dtype: torch.dtype, backend: str, recwarn):
    with using(backend):

        @settings(max_examples=50)
        @given(hypers=hypers_of(rule), shapes=shapes, seed=st.integers(0, 2**31), n=steps)
        def check(hypers, shapes, seed, n):
            if crosses(rule):  # the reference is of one tensor, which has no others to ask
                del shapes[1:]
            generator = torch.Generator().manual_seed(seed)
            starts = [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]
            grads = [
                [torch.randn(s, generator=generator, dtype=dtype) for s in shapes] for _ in range(n)
            ]
            params = [torch.nn.Parameter(s.clone()) for s in starts]
            optimizer = CLASSES[rule.name](params, **hypers)
            for row in grads:
                for param, grad in zip(params, row, strict=True):
                    param.grad = grad
                optimizer.step()
            backends = {row[3] for row in slalom.explain(optimizer).rows}
            assert backends == {backend}
            for i, (param, start) in enumerate(zip(params, starts, strict=True)):
                path = trajectory(rule, start, [row[i] for row in grads], **hypers)
                assume((path.abs() < FITS).all())
                # what is lost where large values cancel is lost to every way of computing
                assert distance(param, path[-1], scale=path) <= TOLERANCE[dtype]

        check()


steps = st.sampled_from([1, 2, 25])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_threads_change_no_bit(rule: Rule, dtype: torch.dtype):
    if multiplies(rule):
        pytest.skip("torch may divide the sums in a product among its threads")
    shapes = [(200_003,), (7,), (333, 501), (1,), (0,), (100_000,)]
    starts = [torch.randn(s, dtype=dtype) for s in shapes]
    grads = [torch.randn(s, dtype=dtype) for s in shapes]
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        params = [torch.nn.Parameter(s.clone()) for s in starts]
        optimizer = CLASSES[rule.name](params, lr=0.01)
        for _ in range(3):
            for param, grad in zip(params, grads, strict=True):
                param.grad = grad
            optimizer.step()
        results.append([p.detach().clone() for p in params])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_place_of_an_element_changes_no_bit(rule: Rule):
    """The loop's vector body and its remainder round alike."""
    if "tensor1" in rule.shapes.values():
        pytest.skip("an element is treated as its row is")
    start, grad = torch.randn(37).repeat(40)[:1187], torch.randn(37).repeat(40)[:1187]
    param = torch.nn.Parameter(start.clone())
    optimizer = CLASSES[rule.name]([param], lr=0.01)
    for _ in range(5):
        param.grad = grad.clone()
        optimizer.step()
    whole = param.detach()[: 37 * 32].view(32, 37)
    assert torch.equal(whole, whole[:1].expand_as(whole))
    assert torch.equal(param.detach()[-3:], param.detach()[0:37][(1187 - 3) % 37 :][:3])
