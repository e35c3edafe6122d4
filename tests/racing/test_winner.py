"""Whatever raced: the winner's optimizer and the lines that write it make the same one again."""

from __future__ import annotations

import functools
import math
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import slalom
from slalom import api, cli
from slalom.api import RaceResult
from slalom.errors import InputError
from slalom.racing.entrants import Family, families
from slalom.racing.options import USUAL, Options
from slalom.racing.snippet import written
from slalom.train import Run
from small import changed, small_task


class Mine(torch.optim.SGD):
    """A class of one's own in a module that can be imported."""


class Outer:
    class Inner(torch.optim.SGD):
        """A class within another."""


def made(params: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(params, lr=0.03, betas=(0.8, 0.9))


@slalom.rule(search={"lr": (0.01, 0.1)})
def sign_like(param: Any, grad: Any, average: Any, *, lr: float = 1e-2, beta: float = 0.9) -> Any:
    """A rule of one's own."""
    average = beta * average + (1 - beta) * grad
    return param - lr * average, average


SignLike = slalom.optimizer(sign_like, "SignLike")


def local_class() -> type:
    class Local(torch.optim.SGD):
        pass

    return Local


RANGE = {"lr": (0.1, 1.0)}

KINDS: dict[str, dict[str, Any]] = {
    "a name": {"entrants": ["adam"]},
    "betas searched": {"entrants": ["adam"], "search": ("lr", "betas")},
    "momentum searched": {"entrants": ["nesterov"], "search": "all"},
    "batches searched": {"entrants": ["adam"], "batch_sizes": (8, 32)},
    "all samples": {"entrants": ["bgd"]},
    "torch's, by another's name": {"entrants": {"Adam": (torch.optim.SGD, RANGE)}},
    "importable": {"entrants": {"x": (Mine, RANGE)}},
    "nested": {"entrants": {"x": (Outer.Inner, RANGE)}},
    "local": {"entrants": {"x": (local_class(), RANGE)}},
    "function": {"entrants": {"x": made}},
    "lambda": {"entrants": {"Adam": lambda params: torch.optim.SGD(params, lr=0.5)}},
    "partial": {
        "entrants": {"x": (functools.partial(torch.optim.SGD, momentum=0.9, lr=0.1), RANGE)}
    },
    "partial of betas": {
        "entrants": {
            "x": (
                functools.partial(torch.optim.Adam, lr=0.03, betas=(0.7, 0.9)),
                {"betas[1]": (0.9, 0.99)},
            )
        }
    },
    "a rule of one's own": {"entrants": {"x": SignLike}, "search": "all"},
    "clipped": {
        "entrants": {"Adam": (functools.partial(slalom.optim.Adam, clip_norm=0.05), RANGE)}
    },
    "clipped by a family": {
        "entrants": [
            Family("x", slalom.optim.SGD, RANGE, {"clip_value": 0.02, "momentum": 0.5}, 32)
        ],
    },
    "partial of a lambda": {
        "entrants": {"x": functools.partial(lambda p, lr: torch.optim.SGD(p, lr=lr), lr=0.5)}
    },
    "partial with places": {
        "entrants": {"x": (functools.partial(lambda n, p, lr: n(p, lr=lr), torch.optim.SGD), RANGE)}
    },
    "partial of what cannot be written": {
        "entrants": {"x": functools.partial(torch.optim.SGD, lr=torch.tensor(0.5))}
    },
}  # fmt: skip


def losses(make: Any, batch: int, seed: int, every: int) -> list[float]:
    task = small_task()
    size: Any = "all" if batch == task.n_train else batch
    run = Run(task, make, seed, batch_size=size)
    found = []
    for _ in range(10):
        run.advance(every)
        found.append(run.evaluate().valid_loss)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_winner_can_be_had_again(kind: str, tmp_path: Path) -> None:
    """By its optimizer and by its lines, with the first losses of the run that raced."""
    result = slalom.race(
        small_task(target=0.7),
        **KINDS[kind],
        points_each=2,
        seeds=3,
        baseline=None,
        lanes=1,
        out=tmp_path,
    )
    winner = result.winner
    assert winner is not None
    raced = next(c for c in result.curves if c.stage == "final" and c.label == winner.label)
    expected = raced.valid_loss[:10]
    torch.set_num_threads(1)
    assert (
        losses(winner.optimizer, winner.batch, raced.seed, raced.step[0])[: len(expected)]
        == expected
    )
    given = KINDS[kind]["entrants"]
    scope: dict[str, Any] = {}
    if isinstance(given, dict):
        value = next(iter(given.values()))
        value = value[0] if isinstance(value, tuple) else value
        scope = {"make": value, "SGD": torch.optim.SGD, "lr": torch.tensor(0.5)}
        scope[getattr(value, "__name__", "make")] = value

    def written_out(params: Any) -> torch.optim.Optimizer:
        model = nn.Module()
        model.parameters = lambda: params  # type: ignore[method-assign, assignment]
        exec(winner.snippet(), here := scope | {"model": model})
        return here["optimizer"]

    assert losses(written_out, winner.batch, raced.seed, raced.step[0])[: len(expected)] == expected
    read = RaceResult(tmp_path).winner
    assert read == winner
    assert read is not None
    if "slalom.optim." in winner.code or ("torch.optim." in winner.code and "#" not in winner.code):
        assert (
            losses(read.optimizer, winner.batch, raced.seed, raced.step[0])[: len(expected)]
            == expected
        )
    elif "optim." not in winner.code:
        with pytest.raises(InputError, match=r"a ledger alone cannot make .*; write what snippet"):
            read.optimizer([nn.Parameter(torch.zeros(2))])


def test_a_ledger_is_not_believed_what_to_call(tmp_path: Path) -> None:
    slalom.race(
        small_task(target=0.7), entrants=["sgd"], points_each=2, seeds=3, baseline=None,
        out=tmp_path,
    )  # fmt: skip
    for name in ("os.system", "torch.optim.lr_scheduler", "slalom.optim.optimizer", "__class__"):
        with changed(tmp_path / "ledger.sqlite") as db:
            db.execute("UPDATE entrant SET optimizer = ?", [name])
        winner = RaceResult(tmp_path).winner
        assert winner is not None
        with pytest.raises(InputError, match="a ledger alone cannot make"):
            winner.optimizer([nn.Parameter(torch.zeros(2))])


def test_groups_of_parameters_are_in_the_snippet(tmp_path: Path) -> None:
    task = small_task(target=0.7, parameter_groups=lambda m: [{"params": list(m.parameters())}])
    result = slalom.race(
        task, entrants=["sgd"], points_each=2, seeds=3, baseline=None, out=tmp_path
    )
    assert result.winner is not None
    assert "SGD(task.parameters(model, lr=" in result.winner.snippet()


@pytest.mark.parametrize(
    "value",
    [0.1, 1 - 0.00123, math.inf, -math.inf, True, None, "a'b", (0.9,), [1, (2.0, "x")], {"a": 1}],
)
def test_what_is_written_is_read_to_the_bit(value: Any) -> None:
    assert eval(str(written(value))) == value


def test_what_cannot_be_written_is_not() -> None:
    assert written(torch.zeros(2)) is None
    assert written((1, torch.zeros(2))) is None
    assert written({"a": object()}) is None


AGAIN = {
    **{kind: KINDS[kind] for kind in KINDS},
    "a family": {"entrants": [families(["adam"])[0]]},
    "another baseline": {"entrants": ["sgd"], "baseline": torch.optim.Adagrad},
    "no baseline": {"entrants": ["sgd"], "baseline": None},
    "names": {"entrants": ["sgd", "lion"], "search": ("lr", "betas"), "batch_sizes": (8, 32)},
    "all that is usual": {},
}  # fmt: skip


@pytest.mark.parametrize("spec", [None, "digits", "my task.py:one"])
@pytest.mark.parametrize("kind", AGAIN)
def test_the_race_can_be_had_again(
    kind: str, spec: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command or its call says all that decides it."""
    more = {"points_each": 2, "seeds": 4, "seed": 5} | AGAIN[kind]
    asked = Options(**more)
    called: list[Any] = []
    monkeypatch.setattr(api, "race", lambda task, **given: called.append((task, given)) or 1 / 0)
    text = asked.again(spec)
    if spec is not None and more.get("baseline", USUAL) == USUAL and not isinstance(
        more.get("entrants"), dict
    ) and "a family" not in kind:  # fmt: skip
        words = shlex.split(text)
        assert words[:3] == ["slalom", "race", spec]
        CliRunner().invoke(cli.app, words[1:])
    else:
        assert text.startswith("import slalom")
        monkeypatch.setattr(slalom, "race", api.race, raising=False)
        given = more.get("entrants")
        value = next(iter(given.values())) if isinstance(given, dict) else None
        value = value[0] if isinstance(value, tuple) else value
        scope = {"task": "a task", getattr(value, "__name__", "make"): value, "make": value}
        with pytest.raises(ZeroDivisionError):
            exec(text, scope)
    ((task, found),) = called
    assert task == (spec or "a task")
    again = Options(**{n: found[n] for n in found if n in Options.__dataclass_fields__})
    assert [_told(f) for f in again.field] == [_told(f) for f in asked.field]
    assert (again.points_each, again.seeds, again.seed) == (2, 4, 5)
    assert _told(again.usual) == _told(asked.usual)


def _told(family: Any) -> Any:
    if family is None:
        return None
    make = family.make
    parts = (make.func, make.args) if isinstance(make, functools.partial) else (make, ())
    return family.label, parts, dict(family.space), dict(family.fixed), family.batch_size
