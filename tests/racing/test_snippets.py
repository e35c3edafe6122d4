"""The lines of every class that can race, and its recipe in a ledger, make the very same again."""

from __future__ import annotations

import functools
import inspect
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import slalom
from slalom.optim.registered import CLASSES
from slalom.racing.entrants import Entrant, Family, families
from slalom.racing.snippet import Recipe
from slalom.racing.space import points

Made = Callable[[nn.Module], torch.optim.Optimizer]

TORCH = {
    f"torch.optim.{name}": value
    for name, value in vars(torch.optim).items()
    if inspect.isclass(value)
    and issubclass(value, torch.optim.Optimizer)
    and value is not torch.optim.Optimizer
}
EVERY = {f"slalom.optim.{name}": value for name, value in CLASSES.items()} | TORCH

REQUIRED = {"torch.optim.LBFGS": {"history_size": 3}}
"""Options beside the learning rate, so that there is one to write."""

TREATED = {"clip_norm": 0.1, "on_nonfinite": "skip"}
"""What every class of ours takes beyond torch's."""


def network(name: str) -> tuple[nn.Module, Any]:
    """A model that the class can train, and inputs."""
    torch.manual_seed(0)
    if name == "torch.optim.SparseAdam":
        return nn.Embedding(12, 2, sparse=True), torch.arange(12)
    flat = name == "torch.optim.Muon"  # of matrices alone
    layers = nn.Linear(5, 4, bias=not flat), nn.Tanh(), nn.Linear(4, 2, bias=not flat)
    return nn.Sequential(*layers), torch.randn(12, 5)


def losses(name: str, made: Made) -> list[float]:
    """The first ten of a training with an optimizer."""
    model, inputs = network(name)
    optimizer = made(model)
    found = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), torch.arange(12) % 2)
        loss.backward()
        return loss

    for _ in range(10):
        if name == "torch.optim.LBFGS":
            found.append(optimizer.step(closure).item())  # type: ignore[arg-type, union-attr]
        else:
            found.append(closure().item())
            optimizer.step()
    return found


def written_out(snippet: str, scope: dict[str, Any]) -> Made:
    def made(model: nn.Module) -> torch.optim.Optimizer:
        exec(snippet, here := scope | {"model": model})
        return here["optimizer"]

    return made


@pytest.mark.parametrize(
    ("name", "treated"),
    [*((name, False) for name in EVERY), *((name, True) for name in EVERY if name not in TORCH)],
)
def test_every_class(name: str, treated: bool) -> None:
    options = REQUIRED.get(name, {}) | (TREATED if treated else {})
    if treated and CLASSES[name.rpartition(".")[2]].rule.averaged:
        options = {"clip_norm": 0.1}
    make: Any = functools.partial(EVERY[name], **options) if options else EVERY[name]
    given_ = (make, getattr(getattr(EVERY[name], "rule", None), "search", {"lr": (1e-3, 1e-1)}))
    (family,) = families({"it": given_}, "all")
    entrant = Entrant(0, family, points(family.space, 3, 1)[1])
    snippet = entrant.snippet()
    module, _, _ = name.partition(".")
    assert snippet.splitlines()[0] == f"import {module}"
    assert f"optimizer = {name}(model.parameters(), " in snippet
    raced = losses(name, lambda model: entrant.optimizer(model.parameters()))
    assert len(set(raced)) > 5
    assert losses(name, written_out(snippet, {})) == raced
    kept = entrant.recipe
    assert kept.name == name
    read = Recipe.read(kept.name, kept.arguments_as_json())
    assert read == kept
    assert losses(name, lambda model: read.optimizer(model.parameters())) == raced


ARGUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(ARGUMENTS)
def test_arguments_of_any_kind_are_read_as_they_were(value: Any) -> None:
    """Tuples as tuples, lists as lists, numbers to the bit; and the snippet says the same."""
    entrant = Entrant(0, Family("x", torch.optim.SGD, {}, {"option": value}), {})
    kept = entrant.recipe
    read = Recipe.read(kept.name, kept.arguments_as_json()).arguments["option"]
    assert repr(read) == repr(value)
    (call,) = [line for line in entrant.snippet().splitlines() if line.startswith("optimizer")]
    scope: dict[str, Any] = {"model": nn.Linear(1, 1), "torch": Taken()}
    exec(call, scope)
    assert repr(scope["optimizer"]) == repr(value)


class Taken:
    """Stands for torch, and gives back the option that a class is called with."""

    @property
    def optim(self) -> Any:
        return self

    def SGD(self, params: Any, option: Any) -> Any:  # noqa: N802
        return option


NO_RECIPE = [
    "[]", "1", "x", '{"a": []}', '{"a": {"set": [1]}}', '{"a": {"dict": [[1]]}}', '{"a": {"b": 1}}',
]  # fmt: skip


@pytest.mark.parametrize("text", NO_RECIPE)
def test_what_no_recipe_writes_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting|arguments are no|no argument is|to unpack"):
        Recipe.read("torch.optim.SGD", text)


def test_numbers_that_are_none_are_written_too() -> None:
    entrant = Entrant(
        0, Family("x", torch.optim.SGD, {}, {"lr": math.nan, "momentum": -math.inf}), {}
    )
    kept = entrant.recipe
    read = Recipe.read(kept.name, json.dumps(json.loads(kept.arguments_as_json()))).arguments
    assert math.isnan(read["lr"])
    assert read["momentum"] == -math.inf
    assert "lr=float('nan'), momentum=float('-inf')" in entrant.snippet()


DATA = torch.randn(8, 5), torch.arange(8) % 2


def test_groups_with_their_own_options() -> None:
    """What a task gives instead of ``model.parameters()`` stands in the lines."""
    task = slalom.Task(
        lambda: nn.Linear(5, 2), nn.CrossEntropyLoss(), DATA, DATA,
        parameter_groups=lambda m: [{"params": [m.weight], "lr": 0.5}, {"params": [m.bias]}],
    )  # fmt: skip
    entrant = Entrant(0, families(["Adam"])[0], {"lr": 0.01})
    model = nn.Linear(5, 2)
    snippet = entrant.snippet("task.parameters(model, lr=0.01)")
    made = written_out(snippet, {"task": task})(model)
    expected = entrant.optimizer(task.parameters(model))
    assert [g["lr"] for g in made.param_groups] == [0.005, 0.01]
    assert [g["lr"] for g in made.param_groups] == [g["lr"] for g in expected.param_groups]
