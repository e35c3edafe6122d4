"""Whatever becomes of states, parameters and gradients between two steps, every step is torch's."""

from __future__ import annotations

import collections
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from edits import Change, Edits, Side
from hypothesis import given, settings
from torch import Tensor
from torch.nn import Parameter

import slalom
from slalom.backends import using

SHAPE = (4, 3)


class Four(Side):
    """An optimizer of four parameters, which edits may reach into."""

    def __init__(self, make: Callable[..., torch.optim.Optimizer], options: dict[str, Any]):
        numbers = torch.Generator().manual_seed(1)
        self.params = [Parameter(torch.randn(SHAPE, generator=numbers)) for _ in range(4)]
        self.optimizer = make(self.params, **options)
        self.silent: set[int] = {3}  # those without a gradient

    def of(self, i: int) -> dict[str, Any]:
        return self.optimizer.state[self.params[i]]

    def tensors(self, i: int) -> dict[str, Tensor]:
        return {n: t for n, t in self.of(i).items() if isinstance(t, Tensor)}

    def step(self, number: int) -> None:
        for i, param in enumerate(self.params):
            gradients = torch.Generator().manual_seed(100 * number + i)
            grad = torch.randn(param.shape, generator=gradients)
            param.grad = None if i in self.silent else grad
        self.optimizer.step()


EDITS = Edits()


@EDITS.add
def replace_all_that_is_kept(side: Four, i: int, j: int) -> None:
    for name, value in side.tensors(i).items():
        side.of(i)[name] = value.clone()


@EDITS.add
def replace_states_by_halves(side: Four, i: int, j: int) -> None:
    for name, value in side.tensors(i).items():
        if name != "step":
            side.of(i)[name] = value * 0.5


@EDITS.add
def replace_data(side: Four, i: int, j: int) -> None:
    for value in side.tensors(i).values():
        value.data = value.data.clone()


@EDITS.add
def replace_data_and_count_on(side: Four, i: int, j: int) -> None:
    for value in side.tensors(i).values():
        value.data = value.data.clone() + (value.dim() == 0)


@EDITS.add
def change_in_place(side: Four, i: int, j: int) -> None:
    for value in side.tensors(i).values():
        value.mul_(2.0)


@EDITS.add
def zero_in_place(side: Four, i: int, j: int) -> None:
    for name, value in side.tensors(i).items():
        if value.dim() or name == "step":
            value.zero_()


@EDITS.add
def share(side: Four, i: int, j: int) -> None:
    for value in side.tensors(i).values():
        value.share_memory_()


@EDITS.add
def share_the_parameter(side: Four, i: int, j: int) -> None:
    side.params[i].data.share_memory_()


@EDITS.add
def lay_states_out_differently(side: Four, i: int, j: int) -> None:
    for name, value in side.tensors(i).items():
        if value.dim() == 2:
            side.of(i)[name] = value.t().contiguous().t()


@EDITS.add
def take_states_from_a_wider_tensor(side: Four, i: int, j: int) -> None:
    for value in side.tensors(i).values():
        if value.dim() == 2:
            wide = torch.zeros(*value.shape, 2)
            wide[..., 0] = value
            value.data = wide[..., 0]


@EDITS.add
def set_other_storages(side: Four, i: int, j: int) -> None:
    for value in side.tensors(i).values():
        value.set_(value.clone())


@EDITS.add
def set_another_storage_of_the_parameter(side: Four, i: int, j: int) -> None:
    with torch.no_grad():
        side.params[i].set_(side.params[i].clone() + 1)


@EDITS.add
def count_in_another_dtype(side: Four, i: int, j: int) -> None:
    if "step" in side.of(i):
        dtype = (torch.float32, torch.float64, torch.int64)[j]
        side.of(i)["step"] = side.of(i)["step"].to(dtype)


@EDITS.add
def exchange_states(side: Four, i: int, j: int) -> None:
    state = side.optimizer.state
    a, b = side.params[i], side.params[j]
    state[a], state[b] = state[b], state[a]


@EDITS.add
def forget_one(side: Four, i: int, j: int) -> None:
    side.optimizer.state.pop(side.params[i], None)


@EDITS.add
def clear_one(side: Four, i: int, j: int) -> None:
    side.of(i).clear()


@EDITS.add
def replace_the_dict_of_one(side: Four, i: int, j: int) -> None:
    side.optimizer.state[side.params[i]] = dict(reversed(side.of(i).items()))


@EDITS.add
def forget_all(side: Four, i: int, j: int) -> None:
    side.optimizer.state.clear()


@EDITS.add
def replace_all_dicts(side: Four, i: int, j: int) -> None:
    side.optimizer.state = collections.defaultdict(dict)


@EDITS.add
def copy_the_outer_dict(side: Four, i: int, j: int) -> None:
    side.optimizer.state = collections.defaultdict(dict, side.optimizer.state)


@EDITS.add
def keep_something_more(side: Four, i: int, j: int) -> None:
    side.of(i)[f"seen{j}"] = float(j)


@EDITS.add
def let_parameters_overlap(side: Four, i: int, j: int) -> None:
    side.params[i].data = side.params[j].data


@EDITS.add
def let_parameters_overlap_in_part(side: Four, i: int, j: int) -> None:
    if i != j:
        memory = torch.arange(18.0)
        side.params[i].data, side.params[j].data = memory[:12].view(4, 3), memory[6:].view(4, 3)


@EDITS.add
def let_states_be_one(side: Four, i: int, j: int) -> None:
    for name, value in side.tensors(i).items():
        if value.dim() == 2 and name in side.of(j):
            side.of(j)[name] = value


@EDITS.add
def transpose_the_memory_of_a_parameter(side: Four, i: int, j: int) -> None:
    side.params[i].data = side.params[i].data.t().contiguous().t()


@EDITS.add
def freeze(side: Four, i: int, j: int) -> None:
    side.params[i].requires_grad_(not side.params[i].requires_grad)


@EDITS.add
def send_other_gradients(side: Four, i: int, j: int) -> None:
    side.silent ^= {i, 3}


@EDITS.add
def send_no_gradients(side: Four, i: int, j: int) -> None:
    side.silent = set() if side.silent == {0, 1, 2, 3} else {0, 1, 2, 3}


PAIRS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "dampening": 0.5},
    "Adam": {"lr": 0.05, "amsgrad": True},
    "NAdam": {"lr": 0.05},
    "RMSprop": {"lr": 0.02, "momentum": 0.5, "centered": True},
}


def compare(name: str, changes: list[Change]) -> None:
    torch.set_default_dtype(torch.float64)
    options = PAIRS[name]
    torchs = Four(getattr(torch.optim, name), {**options, "foreach": False})
    EDITS.compare(torchs, Four(getattr(slalom.optim, name), options), changes)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("change", EDITS)
@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.filterwarnings("ignore:.*without machine code")
def test_after_one_edit(name, change, backend):
    with using(backend, "foreach"):
        compare(name, [(change, 0, 1), (change, 1, 2)])


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.filterwarnings("ignore:.*without machine code")
@settings(max_examples=15)
@given(changes=EDITS.several(but="let_states_be_one"))  # which are two when laid out anew
def test_after_any_edits(name, changes):
    compare(name, changes)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_what_is_cleared_is_freed_at_once(name, backend):
    with using(backend):
        side = Four(getattr(slalom.optim, name), PAIRS[name])
        for number in range(3):
            side.step(number)
    kept = [weakref.ref(t) for i in range(3) for t in side.tensors(i).values()]
    params = [weakref.ref(p) for p in side.params]
    gc.disable()  # at once, and not when the collector comes
    try:
        side.optimizer.state.clear()
        assert [r() for r in kept] == [None] * len(kept)
        side.params.clear()
        side.optimizer.param_groups.clear()
        assert [r() for r in params] == [None] * len(params)
    finally:
        gc.enable()
    side.optimizer.step()


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_what_users_keep_beside_makes_no_new_plan(backend):
    with using(backend):
        side = Four(slalom.optim.Adam, {})
        side.step(0)
        plan = side.optimizer._plan
        for number in range(1, 4):
            for i in range(3):
                side.of(i)["seen"] = 1000 + number
                side.of(i)[f"at {number}"] = torch.ones(2)
            side.step(number)
            assert side.optimizer._plan is plan


def test_what_comes_between_makes_no_new_plan_of_machine_code():
    """Gradients that come and go, and other memory of the parameters, are seen in each step."""
    side = Four(slalom.optim.Adam, {})
    side.silent = set()
    side.step(0)
    plan = side.optimizer._plan
    for number, silent in enumerate([{1}, {0, 2}, {0, 1, 2, 3}, set()], 1):
        side.silent = silent
        for param in side.params:
            param.data = param.data.clone()
        side.step(number)
        assert side.optimizer._plan is plan


def test_a_count_that_is_shared_stays_the_users():
    param = Parameter(torch.ones(5))
    optimizer = slalom.optim.Adam([param])
    shared = {
        "step": torch.zeros(()).share_memory_(), "exp_avg": torch.zeros(5).share_memory_(),
        "exp_avg_sq": torch.zeros(5).share_memory_(),
    }  # fmt: skip
    optimizer.state[param].update(shared)
    for steps in (1, 2):
        param.grad = torch.ones(5)
        optimizer.step()
        assert shared["step"].item() == steps
    assert all(optimizer.state[param][name] is tensor for name, tensor in shared.items())


def test_a_gradient_of_another_dtype_is_read_as_such():
    """From step to step another, with the same bits where they are as wide."""
    param = Parameter(torch.zeros(6))
    param.grad_dtype = None
    optimizer = slalom.optim.SGD([param], lr=1.0)
    moved = 0.0
    for dtype in (torch.float32, torch.bfloat16, torch.float64, torch.float16, torch.float32):
        param.grad = torch.full((6,), 0.5, dtype=dtype)
        optimizer.step()
        moved -= 0.5
        assert param.tolist() == [moved] * 6, dtype


def test_a_gradient_of_another_layout_is_read_as_such():
    twins = [Parameter(torch.zeros(4, 3)) for _ in range(2)]
    optimizers = slalom.optim.SGD(twins[:1], momentum=0.9), torch.optim.SGD(twins[1:], momentum=0.9)
    grad = torch.arange(12.0).view(4, 3)
    wide = torch.zeros(4, 6)
    wide[:, ::2] = grad
    layouts = (
        grad, grad.t().contiguous().t(), wide[:, ::2], grad.to_sparse(), grad,
        grad[:, :1].expand(4, 3), torch._neg_view(grad), grad.to_sparse(), grad,
    )  # fmt: skip
    for layout in layouts:
        for param, optimizer in zip(twins, optimizers, strict=True):
            param.grad = layout
            optimizer.step()
        torch.testing.assert_close(twins[0], twins[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_a_parameter_of_another_dtype_or_shape_is_seen(backend):
    with using(backend):
        param = Parameter(torch.ones(6))
        optimizer = slalom.optim.SGD([param], lr=0.5)
        param.grad = torch.ones(6)
        optimizer.step()
        memory = param.data
        param.grad = None
        param.data = memory.view(2, 3)  # the same memory
        param.grad = torch.ones(2, 3)
        optimizer.step()
        assert param.flatten().tolist() == [0.0] * 6
        param.grad = None
        param.data = memory.zero_().view(torch.bfloat16)
        param.grad = torch.ones(12, dtype=torch.bfloat16)
        optimizer.step()
        assert param.tolist() == [-0.5] * 12


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize("layout", ["strided", "transposed"])
@pytest.mark.parametrize("shape", [(), (1, 3), (4, 1), (3, 4), (12,)])
def test_a_gradient_of_another_shape_is_refused_and_nothing_changes(backend, layout, shape):
    """A stale gradient, which must not be spread over the parameter."""
    with using(backend):
        side = Four(slalom.optim.SGD, {"momentum": 0.9})
        for number in range(2):
            side.step(number)
        param = side.params[1]
        param.grad = torch.ones(SHAPE)
        if layout == "transposed":
            param.grad = torch.ones(SHAPE).t().contiguous().t()
        side.optimizer.step()
        param.grad.data = torch.ones(shape)
        before = side.seen()
        with pytest.raises(RuntimeError, match=r"shape \(4, 3\) and its gradient has"):
            side.optimizer.step()
        after = side.seen()
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_a_state_of_another_shape_is_refused_and_nothing_changes(backend):
    with using(backend):
        side = Four(slalom.optim.Adam, {})
        side.step(0)
        side.of(1)["exp_avg"].data = torch.zeros(3, 4)
        before = side.seen()
        with pytest.raises(RuntimeError, match=r"state exp_avg has shape \(3, 4\).*\(4, 3\)"):
            side.step(1)
        after = side.seen()
        assert all(torch.equal(before[name], after[name]) for name in before)
