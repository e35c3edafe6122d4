"""``zero_grad`` leaves what torch's leaves, shows it to whom torch's shows it, and is our own."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from slalom import optim


class _Own(nn.Parameter):
    """A parameter of a class of the user's."""


def _sparse(p: nn.Parameter) -> None:
    p.grad = torch.sparse_coo_tensor([[0]], torch.ones(1, 2), (3, 2), check_invariants=True)


def _with_graph(p: nn.Parameter) -> None:
    (p.grad,) = torch.autograd.grad((p**3).sum(), p, create_graph=True)


def _dense(p: nn.Parameter) -> None:
    (p**2).sum().backward()


def _needing(p: nn.Parameter) -> None:
    p.grad = torch.ones_like(p).requires_grad_()


GRADS: dict[str, Callable[[nn.Parameter], None]] = {
    "dense": _dense, "sparse": _sparse, "graph": _with_graph, "leaf": _needing,
    "none": lambda p: None,
}  # fmt: skip


def _made(kind: type[Any], stepped: bool, own: bool = False) -> tuple[list[nn.Parameter], Any]:
    torch.manual_seed(0)
    params = [(_Own if own and i == 1 else nn.Parameter)(torch.randn(3, 2)) for i in range(4)]
    optimizer = kind([{"params": params[:2]}, {"params": params[2:]}], lr=0.1)
    if stepped:
        for p in params:
            _dense(p)
        optimizer.step()
    return params, optimizer


def _told(grad: Tensor | None) -> Any:
    if grad is None:
        return None
    return grad.layout, grad.requires_grad, grad.is_leaf, grad.to_dense().tolist()


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize("set_to_none", [False, True])
@pytest.mark.parametrize("grad", GRADS)
def test_what_is_left_is_what_torch_leaves(
    grad: str, set_to_none: bool, stepped: bool, own: bool
) -> None:
    ends = []
    for kind in (optim.SGD, torch.optim.SGD):
        params, optimizer = _made(kind, stepped, own)
        for p in params:
            p.grad = None
        for p in params[1:]:
            GRADS[grad](p)
        before = [p.grad for p in params]
        optimizer.zero_grad(set_to_none)
        same = [p.grad is g for p, g in zip(params, before, strict=True)]
        ends.append((same, [_told(p.grad) for p in params]))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("set_to_none", [False, True])
def test_torchs_own_is_not_called_where_all_is_plain(
    monkeypatch: pytest.MonkeyPatch, set_to_none: bool
) -> None:
    params, optimizer = _made(optim.Adam, stepped=True)
    params[1].requires_grad_(False)
    params[1].grad = None

    def called(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(torch.optim.Optimizer, "zero_grad", called)
    optimizer.zero_grad(set_to_none)
    optimizer.zero_grad(set_to_none)
    assert all(p.grad is None or not p.grad.any() for p in params)


def test_gradients_are_freed_and_steps_go_on_by_the_same_plan() -> None:
    params, optimizer = _made(optim.Adam, stepped=True)
    plan, refs = optimizer._plan, [weakref.ref(p.grad) for p in params]
    optimizer.zero_grad()
    assert all(ref() is None for ref in refs)
    for p in params:
        _dense(p)
    optimizer.step()
    assert optimizer._plan is plan
    for p in params:
        torch.utils.swap_tensors(p, nn.Parameter(torch.zeros(5)))
        _dense(p)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


def test_zeros_count_as_a_change_of_the_gradient() -> None:
    params, optimizer = _made(optim.Adam, stepped=True)
    grad = params[0].grad
    assert grad is not None
    version = grad._version
    optimizer.zero_grad(set_to_none=False)
    assert grad._version == version + 1


def test_who_looks_on_sees_it() -> None:
    _, optimizer = _made(optim.Adam, stepped=True)
    with torch.profiler.profile() as profile:
        optimizer.zero_grad()
    assert "Optimizer.zero_grad#Adam.zero_grad" in {e.key for e in profile.key_averages()}
    seen = []

    class Mode(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.append(getattr(func, "__name__", func))
            return func(*args, **(kwargs or {}))

    for set_to_none in (True, False):
        told = []
        for kind in (optim.Adam, torch.optim.Adam):
            _, optimizer = _made(kind, stepped=True)
            with Mode():
                optimizer.zero_grad(set_to_none)
            told.append(list(seen))
            seen.clear()
        assert told[0] == told[1] != []


def test_the_end_of_a_gradient_may_change_the_groups() -> None:
    params, optimizer = _made(optim.Adam, stepped=True)
    first = optimizer.param_groups[0]
    assert params[0].grad is not None
    weakref.finalize(params[0].grad, first["params"].clear)
    weakref.finalize(params[2].grad, optimizer.param_groups.clear)
    optimizer.zero_grad()
    assert params[0].grad is None
    assert params[2].grad is None
    assert optimizer.param_groups == []


def test_an_error_of_a_setter_is_told() -> None:
    params, optimizer = _made(optim.Adam, stepped=True)

    class Refuses(nn.Parameter):
        grad = property(lambda self: 1, lambda self, value: (_ for _ in ()).throw(OSError("no")))

    params[2].__class__ = Refuses
    with pytest.raises(OSError, match="no"):
        optimizer.zero_grad()
    params[2].__class__ = nn.Parameter
    optimizer.param_groups[0]["params"] = tuple(params[:2])  # as some wrappers leave it
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


def test_inside_transforms_of_functions() -> None:
    params, optimizer = _made(optim.Adam, stepped=True)

    def lane(x: Tensor, set_to_none: bool) -> Tensor:
        optimizer.zero_grad(set_to_none)
        return x * 2

    with pytest.raises(RuntimeError, match="functorch"):  # torch's own answer
        torch.vmap(lambda x: lane(x, False))(torch.ones(3))
    torch.vmap(lambda x: lane(x, True))(torch.ones(3))
    assert all(p.grad is None for p in params)
    seen = []

    def inner(weights: Tensor) -> Tensor:  # a lane's tensor, and one with a gradient, in the groups
        params[0].grad = torch.ones(3, 2)
        optimizer.param_groups[0]["params"][1] = weights
        optimizer.zero_grad()
        seen.append(torch._C._functorch.is_batchedtensor(weights))
        return weights.sum()

    torch.vmap(inner)(torch.ones(2, 3))
    assert seen == [True]
    assert params[0].grad is None
