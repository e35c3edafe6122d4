"""What becomes other between two steps, its address staying what it was."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from slalom import optim
from slalom.backends import using
from slalom.backends.llvm import driver as driver_module
from slalom.backends.refusals import RefusedTensorError


@pytest.fixture(params=["llvm", "llvm, torch asked", "foreach"], autouse=True)
def way(request, monkeypatch):
    if request.param == "llvm, torch asked":
        monkeypatch.setattr(driver_module.driver(), "anatomy", None)
    with using("foreach") if request.param == "foreach" else nullcontext():
        yield request.param


def stepped(lib, edit, steps=(3, 3), n=3, shape=(4, 4)):
    """SGD with momentum, edited on the way by ``edit(params, states)``."""
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(shape)) for _ in range(n)]
    optimizer = lib.SGD(params, lr=0.1, momentum=0.9)
    for some in steps:
        for _ in range(some):
            for p in params:
                p.grad = torch.randn(shape)
            optimizer.step()
        edit(params, optimizer.state)
    return params


def exchanged(params, states):
    a, b, *_ = params
    of_a, of_b = states.pop(a), states.pop(b)
    states[b], states[a] = of_a, of_b


def handed_on(params, states):
    a, b, *_ = params
    if a in states:
        states[b] = states.pop(a)


def turned(params, states):
    states[params[1]]["momentum_buffer"].t_()


def turned_data(params, states):
    buffer = states[params[1]]["momentum_buffer"]
    buffer.data = buffer.data.t()


def negated_data(params, states):
    buffer = states[params[1]]["momentum_buffer"]
    buffer.data = torch._neg_view(buffer.data)


@pytest.mark.parametrize("edit", [exchanged, handed_on, turned, turned_data, negated_data])
def test_states_that_become_others(edit):
    ours, theirs = stepped(optim, edit), stepped(torch.optim, edit)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: setattr(s, "data", s.data.view(torch.int32)),
        lambda s: setattr(s, "data", s.data[:2]),
        lambda s: s.resize_(2, 2),
    ],
    ids=["integers", "a part", "resized"],
)
def test_states_that_cannot_serve_any_more(edit):
    with pytest.raises((RuntimeError, ValueError), match="momentum_buffer"):
        stepped(optim, lambda params, states: edit(states[params[1]]["momentum_buffer"]))


@pytest.mark.parametrize("what", ["parameter", "gradient", "state"])
def test_memory_that_was_given_back(what):
    params = [torch.nn.Parameter(torch.randn(4, 4)) for _ in range(3)]
    optimizer = optim.SGD(params, lr=0.1, momentum=0.9)
    for p in params:
        p.grad = torch.randn(4, 4)
    for _ in range(3):
        optimizer.step()
    p = params[1]
    tensor = {"parameter": p, "gradient": p.grad, "state": optimizer.state[p]["momentum_buffer"]}
    tensor[what].untyped_storage().resize_(0)
    before = params[0].clone()
    with pytest.raises(RefusedTensorError, match="has no memory: its storage was resized to 0"):
        optimizer.step()
    assert torch.equal(params[0], before)


class Twice(torch.Tensor):
    """Means twice what its memory holds."""

    @staticmethod
    def __new__(cls, half):
        return torch.Tensor._make_subclass(cls, half)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        def meant(t):
            return torch.Tensor._make_subclass(torch.Tensor, t) * 2 if isinstance(t, Twice) else t

        with torch._C._DisableTorchDispatch():
            return function(*tree_map(meant, args), **tree_map(meant, kwargs or {}))


@pytest.mark.parametrize("first", [0, 2])
def test_a_gradient_that_means_more_than_its_memory(first):
    def trained(lib):
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.randn(4, 4))
        optimizer = lib.SGD([p], lr=0.1)
        for step in range(5):
            grad = torch.randn(4, 4)
            p.grad = Twice(grad) if step >= first else grad
            optimizer.step()
        return p

    torch.testing.assert_close(trained(optim), trained(torch.optim))


def test_parameters_swapped_in_a_long_model():
    """Torch's own way of loading weights into subclasses: the old C++ tensors are freed."""

    def trained(lib):
        torch.manual_seed(0)
        layers = torch.nn.Sequential(*(torch.nn.Linear(7, 7) for _ in range(20)))
        optimizer = lib.AdamW(layers.parameters(), lr=0.01)
        for _ in range(10):
            for _ in range(2):
                optimizer.zero_grad()
                layers(torch.randn(4, 7)).sum().backward()
                optimizer.step()
            layers.load_state_dict({k: v.clone() for k, v in layers.state_dict().items()})
        return list(layers.parameters())

    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        ours, theirs = trained(optim), trained(torch.optim)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_autograd_is_told_of_states():
    p, x = torch.nn.Parameter(torch.ones(3)), torch.ones(3, requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    p.grad = torch.ones(3)
    optimizer.step()
    out = (x * optimizer.state[p]["momentum_buffer"]).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_tangents_go_through_a_step():
    def trained(lib):
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.randn(3))
        optimizer = lib.SGD([p], lr=0.1, momentum=0.9)
        p.grad = torch.randn(3)
        optimizer.step()
        with forward_ad.dual_level():
            p.grad = forward_ad.make_dual(torch.randn(3), torch.ones(3))
            optimizer.step()
            optimizer.step()
            kept = optimizer.state[p]["momentum_buffer"]
            tangents = [forward_ad.unpack_dual(t).tangent.clone() for t in (p, kept)]
        optimizer.step()
        return [p.detach(), *tangents]

    for a, b in zip(trained(optim), trained(torch.optim), strict=True):
        torch.testing.assert_close(a, b)


def test_a_dispatch_mode_sees_the_step():
    class Sees(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(function)
            return function(*args, **(kwargs or {}))

    seen = []
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = optim.SGD([p], lr=0.25)
    p.grad = torch.ones(3)
    optimizer.step()
    with Sees():
        optimizer.step()
    assert any("add" in str(f) or "sub" in str(f) for f in seen)
    n = len(seen)
    optimizer.step()
    assert len(seen) == n
    assert p.tolist() == [0.25] * 3


def test_a_count_below_zero_is_no_count():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = optim.Adam([p])
    p.grad = torch.ones(3)
    optimizer.step()
    optimizer.state[p]["step"].fill_(-3)
    before = p.clone()
    with pytest.raises(ValueError, match="a step count of adam is -3; it must be 0 or more"):
        optimizer.step()
    assert torch.equal(p, before)
