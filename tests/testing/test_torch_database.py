"""Every configuration and error of torch's own database of optimizers, ours against torch's."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

import slalom
from reference import distance

pytest.importorskip("expecttest", reason="torch's database of optimizers needs expecttest")

from torch.testing._internal.common_optimizers import (
    OptimizerErrorEnum,
    optim_db,
)  # fmt: skip

ELEMENTWISE = {
    "ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop",
    "SGD",
}  # fmt: skip
DATABASE = {info.name: info for info in optim_db if info.name in ELEMENTWISE}
SHAPES = [(6, 5), (7,), (), (2, 3, 4)]
CONFIGURATIONS = [
    pytest.param(name, case.kwargs, id=f"{name}-{case.desc}")
    for name, info in DATABASE.items()
    for case in info.optim_inputs_func(device="cpu", dtype=torch.float64)
]
ERRORS = [
    pytest.param(name, case, id=f"{name}-{case.optimizer_error_input.desc}")
    for name, info in DATABASE.items()
    for case in info.optim_error_inputs_func(device="cpu", dtype=torch.float64)
]


def test_the_database_has_all_eleven():
    assert DATABASE.keys() == ELEMENTWISE


def options(kwargs):
    return copy.deepcopy(kwargs)


def made(library, name, kwargs, values):
    params = [torch.nn.Parameter(v.detach().clone()) for v in values]
    return params, getattr(library, name)(params, **options(kwargs))


def walk(runs, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for group in zip(*(params for params, _ in runs), strict=True):
            grad = torch.randn(group[0].shape, dtype=torch.float64, generator=generator)
            for param in group:
                param.grad = grad.to(param.dtype)
        for _, optimizer in runs:
            optimizer.step()


def furthest(a, b):
    return max(distance(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize(("name", "kwargs"), CONFIGURATIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_configuration(name, kwargs, dtype):
    """25 steps; in float64 with torch's counters in float64, so that they do not blur them."""
    torch.set_default_dtype(dtype)
    values = [torch.randn(s, dtype=dtype) for s in SHAPES]
    ours, theirs = made(slalom.optim, name, kwargs, values), made(torch.optim, name, kwargs, values)
    walk([ours, theirs], 25, seed=3)
    assert furthest(ours[0], theirs[0]) <= {torch.float64: 1e-12, torch.float32: 5e-6}[dtype]


def run_under_autograd(library, name, kwargs, steps):
    """The parameters after the steps, and their derivatives by the start and the first gradients.

    No derivatives where torch has overwritten what they need, as it does in the states of some.
    """
    generator = torch.Generator().manual_seed(5)
    starts, *rows = (
        [torch.randn(s, generator=generator) for s in SHAPES] for _ in range(steps + 1)
    )
    inputs = [t.requires_grad_() for t in (*starts, *rows[0])]
    params = [start.clone() for start in starts]
    optimizer = getattr(library, name)(params, **options(kwargs), differentiable=True)
    for row in rows:
        for param, grad in zip(params, row, strict=True):
            param.grad = grad * 1
        optimizer.step()
    ends = [p.detach().clone() for p in params]
    try:
        found = torch.autograd.grad(sum(p.sum() for p in params), inputs, allow_unused=True)
    except RuntimeError:
        if library is slalom.optim:
            raise
        return ends, None
    back = [torch.zeros_like(t) if g is None else g for t, g in zip(inputs, found, strict=True)]
    return ends, back


@pytest.mark.parametrize(("name", "kwargs"), CONFIGURATIONS)
@pytest.mark.parametrize("steps", [1, 6])
def test_configuration_under_autograd(name, kwargs, steps):
    torch.set_default_dtype(torch.float64)
    ours, back = run_under_autograd(slalom.optim, name, kwargs, steps)
    theirs, expected = run_under_autograd(torch.optim, name, kwargs, steps)
    assert furthest(ours, theirs) <= 1e-12
    assert all(g.isfinite().all() for g in back)
    # torch's SGD takes the derivative by the first gradient for zero where it starts the momentum
    if expected is not None and not kwargs.get("momentum"):
        for a, b in zip(back, expected, strict=True):  # some are what is left of a cancellation
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("name", "kwargs"), CONFIGURATIONS)
@pytest.mark.parametrize("impl", ["foreach", "fused", "neither"])
def test_checkpoints_are_exchanged(name, kwargs, impl):
    """Both ways, whichever of its implementations torch uses."""
    torch.set_default_dtype(torch.float64)
    chosen = dict(kwargs)
    if impl == "fused" and "cpu" not in DATABASE[name].supports_fused_on:
        return  # torch has no fused form of it
    if impl == "foreach" and isinstance(kwargs.get("lr"), torch.Tensor):
        return  # torch's foreach takes no tensor as lr
    if impl != "neither":
        chosen[impl] = True
    values = [torch.randn(s) for s in SHAPES]
    ours, theirs = made(slalom.optim, name, kwargs, values), made(torch.optim, name, chosen, values)
    walk([ours, theirs], 5, seed=3)
    a, b = ours[1].state_dict(), theirs[1].state_dict()
    assert a["state"].keys() == b["state"].keys()
    for key, state in b["state"].items():
        kept = {n: v for n, v in state.items() if v is not None}
        assert list(a["state"][key]) == list(kept)
        for entry, value in kept.items():
            assert a["state"][key][entry].shape == value.shape
            if impl != "fused" or entry != "step":  # torch's fused counts in float32 always
                assert a["state"][key][entry].dtype == value.dtype
    extra = set(a["param_groups"][0]) - set(b["param_groups"][0])
    assert extra <= {"eps_inside_sqrt"}
    swapped = [
        made(slalom.optim, name, kwargs, ours[0]), made(torch.optim, name, chosen, theirs[0]),
    ]  # fmt: skip
    swapped[0][1].load_state_dict(copy.deepcopy(b))
    swapped[1][1].load_state_dict(copy.deepcopy(a))
    walk([ours, theirs, *swapped], 5, seed=4)
    for params, _ in (theirs, *swapped):
        assert furthest(params, ours[0]) <= 1e-12


@pytest.mark.parametrize(("name", "case"), ERRORS)
def test_error(name, case):
    """What torch refuses is refused here, with the same kind of error in the same words."""
    given = case.optimizer_error_input
    params = given.params if given.params is not None else [torch.nn.Parameter(torch.randn(2, 2))]
    for library in (torch.optim, slalom.optim):
        make = getattr(library, name)
        if issubclass(case.error_type, Warning):
            with pytest.warns(case.error_type, match=case.error_regex):
                make(params, **options(given.kwargs))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if case.error_on is OptimizerErrorEnum.CONSTRUCTION_ERROR:
                with pytest.raises(case.error_type, match=case.error_regex):
                    make(params, **options(given.kwargs))
            else:
                optimizer = make(params, **options(given.kwargs))
                with pytest.raises(case.error_type, match=case.error_regex):
                    optimizer.step()


REFUSING = sorted(n for n in ELEMENTWISE if getattr(slalom.optim, n).rule.sparse is None)


@pytest.mark.parametrize("name", REFUSING)
def test_sparse_gradients_are_refused_in_torchs_words(name):
    for library in (torch.optim, slalom.optim):
        param = torch.nn.Parameter(torch.randn(3, 2))
        optimizer = getattr(library, name)([param])
        param.grad = torch.ones(3, 2).to_sparse()
        with pytest.raises(RuntimeError, match=f"^{name} does not support sparse gradients|^Adam "):
            optimizer.step()
