"""``--entrants modern``, and rules that race on a split model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import slalom
from slalom.optim import Routed
from slalom.optim.splitting import HIDDEN, reasons
from slalom.racing.entrants import MODERN, Entrant, families
from slalom.racing.snippet import Recipe
from small import small_task


def entrant(name: str) -> Entrant:
    return Entrant(0, families([name])[0], {"lr": 0.01})


def test_one_word_stands_for_all():
    assert [f.label for f in families(["modern", "SGD"])] == [*MODERN, "SGD"]
    assert families(["Modern"])[0].label == "AdamW"
    with pytest.raises(slalom.InputError, match="two entrants are called AdamW"):
        families(["adamw", "modern"])
    with pytest.raises(slalom.InputError, match=r"modern \(for AdamW, .*Muon.*did you mean"):
        families(["modem"])


@pytest.mark.parametrize("name", MODERN)
def test_each_trains_the_task(name):
    task = small_task(max_steps=30)
    made = task.make_model(0)
    optimizer = entrant(name).optimizer(task.parameters(made))
    assert optimizer.param_groups[0]["lr"] == 0.01
    x, y = torch.randn(8, 6), torch.zeros(8, dtype=torch.long)
    before = nn.functional.cross_entropy(made(x), y)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(made(x), y).backward()
        optimizer.step()
    assert nn.functional.cross_entropy(made(x), y) < before


def test_muon_is_split_off():
    task = small_task()
    model = task.make_model(0)
    optimizer = entrant("muon").optimizer(task.parameters(model))
    assert isinstance(optimizer, Routed)
    hidden, rest = optimizer.param_groups
    why = reasons(model)
    assert hidden["param_names"] == [n for n, reason in why.items() if reason == HIDDEN]
    assert (hidden["rule"], rest["rule"]) == ("Muon", "AdamW")
    assert hidden["adjust_lr_fn"] == "match_rms_adamw"


def test_it_cannot_be_had_without_the_model():
    task = small_task(parameter_groups=lambda m: [{"params": list(m.parameters())}])
    model = task.make_model(0)
    with pytest.raises(slalom.InputError, match=r"Muon is made of a model.*parameter_groups"):
        entrant("muon").optimizer(task.parameters(model))


class Tempered(nn.Module):
    """A loss that learns a temperature."""

    def __init__(self):
        super().__init__()
        self.heat = nn.Parameter(torch.ones(()))

    def forward(self, outputs, targets):
        return nn.functional.cross_entropy(outputs * self.heat, targets)


def test_nor_where_the_loss_learns():
    task = small_task()
    task = slalom.Task(
        task.model, Tempered(), (torch.randn(20, 6), torch.zeros(20, dtype=torch.long)),
        (torch.randn(20, 6), torch.zeros(20, dtype=torch.long)), target=0.9,
    )  # fmt: skip
    model = task.make_model(0)
    with pytest.raises(slalom.InputError, match="a loss with parameters of its own"):
        entrant("muon").optimizer(task.parameters(model, task.make_objective()))


def test_a_record_makes_it_again():
    """From what the ledger keeps, and by the lines that it shows."""
    recipe = entrant("muon").recipe
    again = Recipe.read(recipe.name, recipe.arguments_as_json())
    model = small_task().make_model(0)
    optimizer = again.optimizer(model)
    assert [g["rule"] for g in optimizer.param_groups] == ["Muon", "AdamW"]
    space = {"model": model}
    exec(entrant("muon").snippet(), space)
    made = space["optimizer"]
    assert [g["lr"] for g in made.param_groups] == [0.01, 0.01]
    with pytest.raises(slalom.InputError, match="give it the model"):
        again.optimizer(model.parameters())


def test_a_race(tmp_path):
    result = slalom.race(
        small_task(), entrants=["muon", "adamw"], points_each=2, seeds=3, out=tmp_path / "race"
    )
    assert {row["label"].partition("(")[0] for row in result.to_json()["standings"]} == {
        "Muon", "AdamW",
    }  # fmt: skip
