"""What a backend refused, or was not asked about, it never gets, whatever comes between steps."""

# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import slalom
from slalom.backends import BACKENDS, general, looks, using
from slalom.backends.base import Backend
from slalom.backends.foreach.launch import ForeachLaunch


class Picky(Backend):
    """Takes what is plain, and notes of all that it is given whether it was."""

    name = "picky"

    def __init__(self) -> None:
        self.given: list[bool] = []

    def refuses(self, slot):
        tensors = [t for t in (slot.param, slot.param.grad, *slot.state.values()) if t is not None]
        return None if all(map(is_plain, tensors)) else "it is not plain"

    def prepare(self, slots, absent, counts):
        backend = self

        class Launch(ForeachLaunch):
            def update_together(self, rows):
                for _, batch in rows:
                    for tensors in (batch.params, batch.grads, *batch.states.values()):
                        backend.given += map(is_plain, tensors)
                super().update_together(rows)

        return Launch(slots, absent, counts)


def is_plain(tensor: Tensor) -> bool:
    usual = type(tensor) in (Tensor, Parameter) and tensor.layout == torch.strided
    return usual and tensor.dtype in (torch.float32, torch.complex64) and not (
        tensor.is_neg() or tensor.is_conj() or tensor._is_zerotensor()
    )  # fmt: skip


class Own(Tensor):
    pass


GRADIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "negated": torch._neg_view,
    "conjugated": torch.conj,
    "sparse": lambda g: g.to_sparse(),
    "without memory": lambda g: torch._efficientzerotensor(g.shape, dtype=g.dtype),
    "of another dtype": lambda g: g.to(torch.complex128 if g.is_complex() else torch.bfloat16),
    "of a subclass": lambda g: g.as_subclass(Own),
}


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch) -> Picky:
    made = Picky()
    monkeypatch.setattr("slalom.engine.plan.BACKENDS", [made, *BACKENDS])
    return made


def trained(library: Any, change: Callable[[Tensor], Tensor], dtype: torch.dtype) -> list[Tensor]:
    params = [Parameter(torch.arange(1.0, 7.0).to(dtype).view(2, 3)) for _ in range(2)]
    params[0].grad_dtype = None
    optimizer = library.SGD(params, lr=0.5, momentum=0.9)
    path = []
    for number in range(5):
        for param in params:
            grad = torch.full((2, 3), 1 + 2j if dtype.is_complex else 1.0 + number, dtype=dtype)
            param.grad = change(grad) if number in (2, 3) and param is params[0] else grad
        optimizer.step()
        path += [p.detach().clone() for p in params]
    return path


@pytest.mark.parametrize("kind", GRADIENTS)
def test_a_gradient_of_another_kind_is_asked_about(kind: str, picky: Picky) -> None:
    dtype = torch.complex64 if kind == "conjugated" else torch.float32
    got = trained(slalom.optim, GRADIENTS[kind], dtype)
    assert all(picky.given)
    assert len(picky.given) >= 3 * 7  # the other parameter's five updates, and two before
    for a, b in zip(got, trained(torch.optim, GRADIENTS[kind], dtype), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", GRADIENTS)
def test_the_first_gradient_of_a_parameter_is_asked_about(kind: str, picky: Picky) -> None:
    """Where the parameter had none when the launch was made."""
    dtype = torch.complex64 if kind == "conjugated" else torch.float32
    params = [Parameter(torch.ones(2, 3, dtype=dtype)) for _ in range(2)]
    params[0].grad_dtype = None
    optimizer = slalom.optim.SGD([{"params": [p]} for p in params], lr=0.5, momentum=0.9)
    grad = torch.ones(2, 3, dtype=dtype)
    for first in (grad, None, GRADIENTS[kind](grad)):
        params[0].grad, params[1].grad = first, grad
        if first is None:
            optimizer.param_groups.reverse()
        optimizer.step()
    assert picky.given == [True] * 3 * 4


@pytest.mark.parametrize("what", ["parameter", "state"])
def test_what_becomes_a_view_is_asked_about(what: str, picky: Picky) -> None:
    """At the same address, with the same strides."""
    param = Parameter(torch.ones(2, 3))
    optimizer = slalom.optim.SGD([param], lr=0.5, momentum=0.5)
    for number in range(3):
        param.grad = torch.ones(2, 3)
        if number == 1:
            tensor = param if what == "parameter" else optimizer.state[param]["momentum_buffer"]
            tensor.data = torch._neg_view(tensor.data)
        optimizer.step()
    assert all(picky.given)
    assert len(picky.given) >= 3


CHANGES = {
    "shape": lambda t: t.view(4, 3),
    "strides": lambda t: torch.as_strided(t, (3, 4), (1, 3)),
    "dtype": lambda t: t.double(),
    "device": lambda t: t.to("meta"),
    "type": Parameter,
    "layout": lambda t: t.to_sparse(),
    "sign": lambda t: torch._neg_view(t),
    "storage": lambda t: torch._efficientzerotensor((3, 4)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_quick_look_sees_every_change(what):
    tensors = [torch.ones(3, 4) for _ in range(3)]
    alike = looks.alike_to(tensors)
    assert alike(*tensors)
    assert alike(*(t.clone() for t in tensors))
    tensors[1] = CHANGES[what](tensors[1])
    assert not alike(*tensors)


def test_a_torch_without_the_quick_look_is_served_too(monkeypatch):
    def steps():
        torch.manual_seed(0)
        params = [Parameter(torch.randn(3, 4)) for _ in range(2)]
        optimizer = slalom.optim.Adam(params, lr=0.1)
        with using("foreach"):
            for number in range(4):
                for param in params[: 1 + number % 2]:
                    param.grad = torch.randn(3, 4)
                optimizer.step()
        return torch.stack([p.detach() for p in params])

    expected = steps()
    monkeypatch.setattr(general, "alike_to", lambda tensors: lambda *_: False)
    assert torch.equal(steps(), expected)


def test_counters_of_two_dtypes_are_counted_apart():
    """The narrower one stands still at 2**24, as torch's does."""
    params = [Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = slalom.optim.Adam(params, lr=0.1)
    with using("foreach"):
        for number in range(6):
            for param in params:
                param.grad = torch.ones(2)
            optimizer.step()
            if number == 0:
                for param, dtype in zip(params, (torch.float32, torch.float64), strict=True):
                    optimizer.state[param]["step"] = torch.tensor(2.0**24 - 1, dtype=dtype)
    assert [optimizer.state[p]["step"].item() for p in params] == [2**24, 2**24 + 4]


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam"])
def test_a_sparse_gradient_of_one_number(name):
    def stepped(sparse):
        param = Parameter(torch.tensor(1.0))
        optimizer = getattr(slalom.optim, name)([param], lr=0.1)
        for number in range(3):
            param.grad = torch.tensor(2.0)
            if sparse and number:
                indices = torch.zeros(0, 1, dtype=torch.long)
                param.grad = torch.sparse_coo_tensor(indices, torch.tensor([2.0]), ())
            optimizer.step()
        return param.item()

    assert stepped(True) == pytest.approx(stepped(False), rel=1e-6)


def test_rounding_draws_the_same_bits_for_a_gradient_of_another_layout():
    def stepped(backend):
        torch.manual_seed(0)
        param = Parameter(torch.randn(7, 5).bfloat16().t())
        param.grad = torch.randn(5, 7).bfloat16()
        with using(backend):
            slalom.optim.SGD([param], lr=0.01, rounding="stochastic").step()
        return param.detach()

    assert torch.equal(stepped("llvm"), stepped("foreach"))


def test_what_two_launches_share_is_kept_apart():
    """Machine code serves the dense parameter, torch's operations the one with gaps."""

    def stepped(*names, overlap):
        memory = torch.ones(8)
        gaps, dense = Parameter(memory[::2]), Parameter(torch.ones(4))
        with using(*names):
            optimizer = slalom.optim.SGD([gaps, dense], lr=0.1, momentum=0.5, weight_decay=0.5)
            for number in range(4):
                gaps.grad, dense.grad = torch.ones(4), torch.full((4,), 2.0)
                if number == 2 and overlap:
                    dense.data = memory[:4]
                if number > 1 and not overlap:
                    gaps.grad = dense.data
                if number == 3 and not overlap:
                    gaps.grad = optimizer.state[dense]["momentum_buffer"]
                optimizer.step()
        return torch.cat([gaps.detach(), dense.detach()])

    for overlap in (True, False):
        expected = stepped("foreach", overlap=overlap)
        torch.testing.assert_close(
            stepped("llvm", "foreach", overlap=overlap), expected, rtol=1e-6, atol=0
        )


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_numbers_kept_in_two_dtypes_are_rounded_apart(backend):
    params = [Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2)]
    theirs = [Parameter(p.detach().clone()) for p in params]
    ours = slalom.optim.NAdam(params), torch.optim.NAdam(theirs, foreach=False)
    with using(backend):
        for number in range(20):
            for own, optimizer in zip((params, theirs), ours, strict=True):
                for param in own:
                    param.grad = torch.ones(2, dtype=torch.float64)
                optimizer.step()
                if number == 0:
                    for param, dtype in zip(own, (torch.float32, torch.float64), strict=True):
                        half = torch.tensor(0.5, dtype=dtype)
                        optimizer.state[param]["mu_product"] = half
    for p, q in zip(params, theirs, strict=True):
        mine, other = (o.state[x]["mu_product"].item() for o, x in zip(ours, (p, q), strict=True))
        assert mine == pytest.approx(other, rel=1e-14)
