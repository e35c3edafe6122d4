"""Whatever is done to the parameter groups between two steps, every step is torch's."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import Parameter

import slalom

SHAPE = (3, 2)


class Side:
    """One library's optimizer, the parameters it was given and those it may be given yet."""

    def __init__(self, make: Callable[..., torch.optim.Optimizer], options: dict[str, Any]):
        numbers = torch.Generator().manual_seed(1)
        self.pool = [
            Parameter(torch.randn(SHAPE, generator=numbers, dtype=torch.float64)) for _ in range(6)
        ]
        self.optimizer = make([{"params": self.pool[:3]}, {"params": self.pool[3:5]}], **options)

    @property
    def groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def step(self, number: int) -> None:
        for i, param in enumerate(self.pool):
            gradients = torch.Generator().manual_seed(100 * number + i)
            late = i == 2 and number < 2
            grad = torch.randn(SHAPE, generator=gradients, dtype=torch.float64)
            param.grad = None if late else grad
        self.optimizer.step()

    def seen(self) -> dict[str, torch.Tensor]:
        """All parameters and all that is kept for them."""
        found = {}
        for i, param in enumerate(self.pool):
            found[f"{i}"] = param.detach().clone()
            for name, value in self.optimizer.state.get(param, {}).items():
                if value is not None:
                    found[f"{i} {name}"] = torch.as_tensor(value).clone()
        return found


Edit = Callable[[Side, int, int], None]
EDITS: dict[str, Edit] = {}


def edit(function: Edit) -> Edit:
    EDITS[function.__name__] = function
    return function


def group_of(side: Side, i: int) -> dict[str, Any]:
    return side.groups[i % len(side.groups)]


@edit
def nothing(side: Side, i: int, j: int) -> None:
    pass


@edit
def copy_a_group(side: Side, i: int, j: int) -> None:
    side.groups[i % len(side.groups)] = dict(group_of(side, i))


@edit
def give_a_copy_another_rate(side: Side, i: int, j: int) -> None:
    side.groups[i % len(side.groups)] = {**group_of(side, i), "lr": 0.01 * j}


@edit
def change_the_rate(side: Side, i: int, j: int) -> None:
    group_of(side, i)["lr"] = 0.01 * j


@edit
def give_a_tensor_as_rate(side: Side, i: int, j: int) -> None:
    group_of(side, i)["lr"] = torch.tensor(0.01 * j, dtype=torch.float64)


@edit
def change_the_list_of_groups(side: Side, i: int, j: int) -> None:
    side.optimizer.param_groups = list(side.groups)


@edit
def keep_a_part_of_the_groups(side: Side, i: int, j: int) -> None:
    side.optimizer.param_groups = [dict(group_of(side, i))]


@edit
def pop_a_group(side: Side, i: int, j: int) -> None:
    side.groups.pop(i % len(side.groups))


@edit
def clear_the_groups(side: Side, i: int, j: int) -> None:
    side.groups.clear()


@edit
def empty_a_group(side: Side, i: int, j: int) -> None:
    group_of(side, i)["params"].clear()


@edit
def exchange_groups(side: Side, i: int, j: int) -> None:
    side.groups.append(side.groups.pop(0))


@edit
def append_a_group(side: Side, i: int, j: int) -> None:
    unused = [p for p in side.pool if all(p is not q for g in side.groups for q in g["params"])]
    side.groups.append({**group_of(side, i), "params": unused})


@edit
def add_a_group(side: Side, i: int, j: int) -> None:
    extra = Parameter(torch.full(SHAPE, float(j), dtype=torch.float64))
    side.pool.append(extra)
    side.optimizer.add_param_group({"params": [extra], "lr": 0.02})


@edit
def mention_a_group_twice(side: Side, i: int, j: int) -> None:
    side.groups.append({**group_of(side, i), "lr": 0.03})


@edit
def mention_a_parameter_twice(side: Side, i: int, j: int) -> None:
    params = group_of(side, i)["params"]
    params += params[:1]


@edit
def change_the_list_of_parameters(side: Side, i: int, j: int) -> None:
    group_of(side, i)["params"] = group_of(side, i)["params"][::-1]


@edit
def take_a_parameter_out(side: Side, i: int, j: int) -> None:
    del group_of(side, i)["params"][j : j + 1]


@edit
def replace_a_parameter(side: Side, i: int, j: int) -> None:
    new = Parameter(torch.full(SHAPE, 0.5, dtype=torch.float64))
    group_of(side, i)["params"][j : j + 1] = [new]
    side.pool.append(new)


@edit
def replace_a_parameter_in_the_pool(side: Side, i: int, j: int) -> None:
    """The old one is freed, and what is made next may lie where it lay."""
    old = side.pool[j]
    side.optimizer.state.pop(old, None)
    new = Parameter(old.detach().clone())
    for group in side.groups:
        group["params"] = [new if p is old else p for p in group["params"]]
    side.pool[j] = new


@edit
def move_a_parameter(side: Side, i: int, j: int) -> None:
    params = group_of(side, i)["params"]
    if params:
        group_of(side, i + 1)["params"].append(params.pop(j % len(params)))


@edit
def exchange_parameters(side: Side, i: int, j: int) -> None:
    a, b = group_of(side, i)["params"], group_of(side, i + 1)["params"]
    if a and b:
        a[0], b[-1] = b[-1], a[0]


@edit
def swap_tensors(side: Side, i: int, j: int) -> None:
    a, b = side.pool[i], side.pool[-1 - j % 2]
    if a is not b:
        a.grad = b.grad = None
        torch.utils.swap_tensors(a, b)


@edit
def copy_it_all(side: Side, i: int, j: int) -> None:
    side.pool, side.optimizer = copy.deepcopy((side.pool, side.optimizer))


@edit
def send_it_all(side: Side, i: int, j: int) -> None:
    side.pool, side.optimizer = pickle.loads(pickle.dumps((side.pool, side.optimizer)))


@edit
def go_back_to_a_checkpoint(side: Side, i: int, j: int) -> None:
    mentioned = {id(p) for group in side.groups for p in group["params"]}
    for param in side.pool:  # or torch cannot tell whose state it is
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
CHANGES = st.lists(
    st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 2), st.integers(0, 2)),
    min_size=1, max_size=6,
)  # fmt: skip


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


def compare(name: str, changes: list[tuple[str, int, int]]) -> None:
    torch.set_default_dtype(torch.float64)  # in which the numbers of NAdam are kept then
    torchs, ours, options = PAIRS[name]
    torch_options = {**options, "foreach": False}
    sides = Side(torchs, torch_options), Side(ours, options)
    for number, (change, i, j) in enumerate([("nothing", 0, 0), *changes, ("nothing", 0, 0)]):
        for side in sides:
            if side.groups:
                EDITS[change](side, i, j)
            side.step(number)
        expected, got = (side.seen() for side in sides)
        assert got.keys() == expected.keys(), f"after {change}"
        for what, value in expected.items():
            torch.testing.assert_close(
                got[what].double(), value.double(), rtol=1e-11, atol=1e-12,
                msg=lambda text, at=f"{what} after {change}": f"{at}: {text}",
            )  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("change", EDITS)
@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
def test_after_one_edit(name, change):
    """Twice the same, since the first may be served by luck."""
    compare(name, [(change, 0, 1), (change, 1, 0)])


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
@settings(max_examples=15)
@given(changes=CHANGES)
def test_after_any_edits(name, changes):
    compare(name, changes)
