"""Whatever is done to the parameter groups between two steps, every step is torch's."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from edits import Change, Edits, Side
from hypothesis import given, settings
from torch.nn import Parameter

import slalom

SHAPE = (3, 2)


class Pool(Side):
    """An optimizer of two groups, and a parameter that it may be given yet."""

    def __init__(self, make: Callable[..., torch.optim.Optimizer], options: dict[str, Any]):
        numbers = torch.Generator().manual_seed(1)
        self.params = [
            Parameter(torch.randn(SHAPE, generator=numbers, dtype=torch.float64)) for _ in range(6)
        ]
        self.optimizer = make(
            [{"params": self.params[:3]}, {"params": self.params[3:5]}], **options
        )

    @property
    def groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def step(self, number: int) -> None:
        for i, param in enumerate(self.params):
            gradients = torch.Generator().manual_seed(100 * number + i)
            late = i == 2 and number < 2
            grad = torch.randn(SHAPE, generator=gradients, dtype=torch.float64)
            param.grad = None if late else grad
        self.optimizer.step()


EDITS = Edits()


def group_of(side: Pool, i: int) -> dict[str, Any]:
    return side.groups[i % len(side.groups)]


@EDITS.add
def copy_a_group(side: Pool, i: int, j: int) -> None:
    side.groups[i % len(side.groups)] = dict(group_of(side, i))


@EDITS.add
def give_a_copy_another_rate(side: Pool, i: int, j: int) -> None:
    side.groups[i % len(side.groups)] = {**group_of(side, i), "lr": 0.01 * j}


@EDITS.add
def change_the_rate(side: Pool, i: int, j: int) -> None:
    group_of(side, i)["lr"] = 0.01 * j


@EDITS.add
def give_a_tensor_as_rate(side: Pool, i: int, j: int) -> None:
    group_of(side, i)["lr"] = torch.tensor(0.01 * j, dtype=torch.float64)


@EDITS.add
def change_the_list_of_groups(side: Pool, i: int, j: int) -> None:
    side.optimizer.param_groups = list(side.groups)


@EDITS.add
def keep_a_part_of_the_groups(side: Pool, i: int, j: int) -> None:
    side.optimizer.param_groups = [dict(group_of(side, i))]


@EDITS.add
def pop_a_group(side: Pool, i: int, j: int) -> None:
    side.groups.pop(i % len(side.groups))


@EDITS.add
def clear_the_groups(side: Pool, i: int, j: int) -> None:
    side.groups.clear()


@EDITS.add
def empty_a_group(side: Pool, i: int, j: int) -> None:
    group_of(side, i)["params"].clear()


@EDITS.add
def exchange_groups(side: Pool, i: int, j: int) -> None:
    side.groups.append(side.groups.pop(0))


@EDITS.add
def append_a_group(side: Pool, i: int, j: int) -> None:
    unused = [p for p in side.params if all(p is not q for g in side.groups for q in g["params"])]
    side.groups.append({**group_of(side, i), "params": unused})


@EDITS.add
def add_a_group(side: Pool, i: int, j: int) -> None:
    extra = Parameter(torch.full(SHAPE, float(j), dtype=torch.float64))
    side.params.append(extra)
    side.optimizer.add_param_group({"params": [extra], "lr": 0.02})


@EDITS.add
def mention_a_group_twice(side: Pool, i: int, j: int) -> None:
    side.groups.append({**group_of(side, i), "lr": 0.03})


@EDITS.add
def mention_a_parameter_twice(side: Pool, i: int, j: int) -> None:
    params = group_of(side, i)["params"]
    params += params[:1]


@EDITS.add
def change_the_list_of_parameters(side: Pool, i: int, j: int) -> None:
    group_of(side, i)["params"] = group_of(side, i)["params"][::-1]


@EDITS.add
def take_a_parameter_out(side: Pool, i: int, j: int) -> None:
    del group_of(side, i)["params"][j : j + 1]


@EDITS.add
def replace_a_parameter(side: Pool, i: int, j: int) -> None:
    new = Parameter(torch.full(SHAPE, 0.5, dtype=torch.float64))
    group_of(side, i)["params"][j : j + 1] = [new]
    side.params.append(new)


@EDITS.add
def replace_a_parameter_in_the_pool(side: Pool, i: int, j: int) -> None:
    """The old one is freed, and what is made next may lie where it lay."""
    old = side.params[j]
    side.optimizer.state.pop(old, None)
    new = Parameter(old.detach().clone())
    for group in side.groups:
        group["params"] = [new if p is old else p for p in group["params"]]
    side.params[j] = new


@EDITS.add
def move_a_parameter(side: Pool, i: int, j: int) -> None:
    params = group_of(side, i)["params"]
    if params:
        group_of(side, i + 1)["params"].append(params.pop(j % len(params)))


@EDITS.add
def exchange_parameters(side: Pool, i: int, j: int) -> None:
    a, b = group_of(side, i)["params"], group_of(side, i + 1)["params"]
    if a and b:
        a[0], b[-1] = b[-1], a[0]


@EDITS.add
def swap_tensors(side: Pool, i: int, j: int) -> None:
    a, b = side.params[i], side.params[-1 - j % 2]
    if a is not b:
        a.grad = b.grad = None
        torch.utils.swap_tensors(a, b)


@EDITS.add
def copy_it_all(side: Pool, i: int, j: int) -> None:
    side.params, side.optimizer = copy.deepcopy((side.params, side.optimizer))


@EDITS.add
def send_it_all(side: Pool, i: int, j: int) -> None:
    side.params, side.optimizer = pickle.loads(pickle.dumps((side.params, side.optimizer)))


@EDITS.add
def go_back_to_a_checkpoint(side: Pool, i: int, j: int) -> None:
    mentioned = {id(p) for group in side.groups for p in group["params"]}
    for param in side.params:  # or torch cannot tell whose state it is
        if id(param) not in mentioned:
            side.optimizer.state.pop(param, None)
    saved = copy.deepcopy(side.optimizer.state_dict())
    side.step(50 + j)
    side.optimizer.load_state_dict(saved)


def routed(params: Any, **options: Any) -> torch.optim.Optimizer:
    return slalom.optim.Routed(params, rule="Adam", **options)


PAIRS = {
    "SGD": (torch.optim.SGD, slalom.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    "Adam": (torch.optim.Adam, slalom.optim.Adam, {"lr": 0.05}),
    "NAdam": (torch.optim.NAdam, slalom.optim.NAdam, {"lr": 0.05}),
    "Routed": (torch.optim.Adam, routed, {"lr": 0.05}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_released_parameters_follow_the_groups(name):
    """Updated inside backward, each by the group that holds it then."""
    torch.set_default_dtype(torch.float64)
    torchs, ours, options = PAIRS[name]
    seen = []
    for make in (torchs, ours):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
        a, b, c, d = model.parameters()
        optimizer = make([{"params": [a, b]}, {"params": [c, d], "lr": 0.01}], **options)
        groups = optimizer.param_groups
        if make is ours:
            slalom.release(model, optimizer)
        edits = [
            lambda: None,
            lambda g=groups: g.reverse(),
            lambda g=groups, c=c: g[1]["params"].insert(0, g[0]["params"].pop(0)),
            lambda g=groups: g[0].update(lr=0.03),
            lambda g=groups: g.append({**g.pop(0), "lr": 0.07}),
            lambda g=groups: g.pop(),
            lambda g=groups: None,
        ]
        for edit_groups in edits:
            edit_groups()
            model(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
            model.zero_grad()
        seen.append([p.detach() for p in (a, b, c, d)])
    torch.testing.assert_close(seen[1], seen[0], rtol=1e-11, atol=1e-12)


def compare(name: str, changes: list[Change]) -> None:
    torch.set_default_dtype(torch.float64)  # in which the numbers of NAdam are kept then
    torchs, ours, options = PAIRS[name]
    EDITS.compare(Pool(torchs, {**options, "foreach": False}), Pool(ours, options), changes)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("change", EDITS)
@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
def test_after_one_edit(name, change):
    """Twice the same, since the first may be served by luck."""
    compare(name, [(change, 0, 1), (change, 1, 0)])


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
@settings(max_examples=15)
@given(changes=EDITS.several())
def test_after_any_edits(name, changes):
    compare(name, changes)
