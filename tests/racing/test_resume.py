"""Only the very race is gone on with; of one that differs, nothing is touched."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from datetime import datetime as a_datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import slalom
from slalom.errors import InputError
from slalom.racing import events, recorded
from slalom.racing.options import Options
from slalom.racing.recorded import opened
from slalom.racing.result import Result
from slalom.train import Task
from small import small_task

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(120, 4, generator=GENERATOR)
Y = (X.sum(1) > 0).long()


def accuracy(outputs: Any, targets: Any) -> float:
    return (outputs.argmax(1) == targets).float().mean().item()


def named(name: str, function: Any) -> Any:
    function.__name__ = function.__qualname__ = name
    return function


class Zero(nn.Module):
    """Says the same of all samples until it is trained: no first loss tells what is within."""

    def __init__(self, between: Callable[[Any], Any] = torch.tanh, width: int = 8) -> None:
        super().__init__()
        self.first, self.last, self.between = nn.Linear(4, width), nn.Linear(width, 2), between
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Any) -> Any:
        return self.last(self.between(self.first(x)))


class Mine(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 0.1, momentum: float = 0.0) -> None:
        super().__init__(params, lr=lr, momentum=momentum)


class Other(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 0.1, momentum: float = 0.5) -> None:
        super().__init__(params, lr=lr, momentum=momentum)


Other.__name__, Other.__qualname__ = Mine.__name__, Mine.__qualname__


def task(**given: Any) -> Task:
    return Task(**{
        "model": Zero, "loss": nn.CrossEntropyLoss(), "train": (X[:96], Y[:96]),
        "valid": (X[96:], Y[96:]), "metric": accuracy, "higher_is_better": True, "target": 0.9,
        "batch_size": 16, "eval_every": 5, "max_steps": 200, "held_out": True, "name": "it",
    } | given)  # fmt: skip


def entrants(**given: Any) -> dict[str, Any]:
    return {
        "class": Mine, "name": "sgd", "lambda": lambda p: torch.optim.SGD(p, lr=0.3),
        "partial": functools.partial(slalom.optim.Adam, lr=0.01, clip_norm=1.0),
    } | given  # fmt: skip


def race(out: Path, *, resume: bool = False, given: Any = None, **more: Any) -> Result:
    options = {"entrants": entrants(), "points_each": 2, "seeds": 3} | more
    return slalom.race(given or task(), out=out, resume=resume, **options)


def changed(data: tuple[Any, Any], which: int) -> tuple[Any, Any]:
    """The data with one number another, by little."""
    parts = [part.clone() for part in data]
    parts[which].view(-1)[-1] += 1e-6 if which == 0 else 1
    parts[1].clamp_(0, 1)
    return parts[0], parts[1]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A race that was killed in its heats, its last runs in the log."""
    folder = tmp_path_factory.mktemp("killed") / "race"
    pid = os.fork()
    if pid == 0:
        moved = 0

        def watch(event: events.Event) -> None:
            nonlocal moved
            moved += isinstance(event, events.Moved)
            if moved == 6:
                os._exit(9)

        try:
            torch.set_num_threads(1)
            race(folder, watch=watch)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    return folder


TASKS: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "target": (lambda: {"target": 0.91}, "goal 0.9, and this one has 0.91"),
    "no target": (lambda: {"target": None}, "goal 0.9, and this one has None"),
    "spacing": (lambda: {"eval_every": 6}, "eval_every 5, and"),
    "cap": (lambda: {"max_steps": 300}, "max_steps 200, and this one has 300"),
    "batches": (lambda: {"batch_size": 32}, "batch_size 16, and this one has 32"),
    "replacement": (lambda: {"replacement": True}, "replacement False, and"),
    "direction": (
        lambda: {"higher_is_better": False, "target": 0.1}, "higher_is_better True, and"
    ),
    "held out": (lambda: {"held_out": False}, "validates_on_train False, and"),
    "built-in metric": (lambda: {"metric": "accuracy"}, "in its metric,"),
    "metric of that name": (
        lambda: {"metric": named("accuracy", lambda o, t: accuracy(o, t))}, "in its metric,"
    ),
    "loss": (lambda: {"loss": nn.CrossEntropyLoss(label_smoothing=1e-9)}, "in its loss,"),
    "loss of that name": (
        lambda: {"loss": named("CrossEntropyLoss", lambda o, t: nn.functional.nll_loss(o, t))},
        "a race with first_losses",
    ),
    "model": (lambda: {"model": lambda: Zero(torch.relu)}, "in its model,"),
    "size of the model": (lambda: {"model": lambda: Zero(width=9)}, "parameters 58, and"),
    "groups": (lambda: {"parameter_groups": lambda m: list(m.parameters())}, "in its parameter gr"),
    "inputs": (lambda: {"train": changed((X[:96], Y[:96]), 0)}, "in its training data,"),
    "labels": (lambda: {"train": changed((X[:96], Y[:96]), 1)}, "in its training data,"),
    "validation": (lambda: {"valid": changed((X[96:], Y[96:]), 0)}, "in its validation data,"),
    "order": (lambda: {"train": (X[:96].flip(0), Y[:96].flip(0))}, "in its training data,"),
}  # fmt: skip

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 1}, "seed 0, and this one has 1"),
    "seeds": ({"seeds": 4}, "seeds 3, and this one has 4"),
    "points": ({"points_each": 3}, "points_each 2, and this one has 3"),
    "search": ({"search": "all"}, r"search \['lr'\], and this one has 'all'"),
    "batch sizes": ({"batch_sizes": (8, 16)}, r"batch_sizes None, and this one has \[8, 16\]"),
    "fewer": ({"entrants": ["sgd"]}, "entrants "),
    "class": ({"entrants": entrants(**{"class": Other})}, "in its entrant class,"),
    "range": ({"entrants": entrants(name=(slalom.optim.SGD, {"lr": (0.1, 1)}))}, "entrant name,"),
    "value closed over": (
        {"entrants": entrants(**{"lambda": lambda p: torch.optim.SGD(p, lr=0.4)})},
        "in its entrant lambda,",
    ),
    "clipping": (
        {"entrants": entrants(partial=functools.partial(slalom.optim.Adam, lr=0.01, clip_norm=2))},
        "in its entrant partial,",
    ),
    "baseline": ({"baseline": torch.optim.Adagrad}, "baseline 'torch.optim.Adam', and this one"),
    "its arguments": (
        {"baseline": functools.partial(torch.optim.Adam, lr=2e-3)}, "in its baseline,"
    ),
    "none": ({"baseline": None}, "baseline 'torch.optim.Adam', and this one has None"),
}  # fmt: skip


@pytest.mark.parametrize("kind", [*TASKS, *OPTIONS])
def test_what_differs_is_said_before_a_byte_is_written(kind: str, killed: Path) -> None:
    if kind in TASKS:
        given, message = TASKS[kind]
        other = {"given": task(**given())}
    else:
        other, message = OPTIONS[kind]
    before = {f: f.read_bytes() for f in killed.rglob("*") if f.is_file()}
    assert killed / "ledger.sqlite-wal" in before
    with pytest.raises(InputError, match=message):
        race(killed, resume=True, **other)
    assert {f: f.read_bytes() for f in killed.rglob("*") if f.is_file()} == before


def test_a_finished_race_keeps_its_verdict(tmp_path: Path) -> None:
    """A refused one is no race, and the same one again changes nothing of what was found."""
    before = race(tmp_path / "it")
    with pytest.raises(InputError, match=r"goal 0\.9, and"):
        race(tmp_path / "it", resume=True, given=task(target=0.5))
    again = race(tmp_path / "it", resume=True)
    for found in (Result(tmp_path / "it"), again):
        assert found.verdict == before.verdict
        assert found.standings == before.standings
        assert found.meta | {"elapsed": 0} == before.meta | {"elapsed": 0}


def test_what_is_the_same_goes_on(killed: Path, tmp_path: Path) -> None:
    """However it is written down."""
    same = task(
        model=lambda: Zero(),
        train=TensorDataset(X[:96].clone(), Y[:96].clone()),
    )
    with pytest.raises(InputError, match="in its model"):  # code is compared, not what it makes
        race(killed, resume=True, given=same)
    same = task(train=TensorDataset(X[:96].clone(), Y[:96].clone()))
    result = race(killed, resume=True, given=same)
    assert result.meta["finished"]
    assert result.verdict.winner == race(tmp_path / "alone").verdict.winner
    assert sorted(f.name for f in killed.iterdir()) == ["ledger.sqlite"]


def test_two_races_of_one_name_in_one_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Still(a_datetime):
        @classmethod
        def now(cls, tz: Any = None) -> a_datetime:
            return a_datetime(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(recorded, "datetime", Still)
    monkeypatch.chdir(tmp_path)
    for name in ("small-20260102-030405", "small-20260102-030405-2", "small-20260102-030405-3"):
        ledger = opened(small_task(), Options(["sgd"]), None, None, False)
        ledger.close()
        assert ledger.path.parent == Path("races", name)
    assert len(list(Path("races").glob("*/ledger.sqlite"))) == 3


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("../../etc/x", "etc-x"),
        ("/", "task"),
        ("..", "task"),
        ("a" * 300, "a" * 60),
        ("é b", "é-b"),
    ],
)
def test_the_name_of_a_task_stays_in_its_folder(
    name: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = opened(small_task(name=name), Options(["sgd"]), None, None, False)
    ledger.close()
    assert ledger.path.parent.parent == Path("races")
    assert ledger.path.parent.name.startswith(f"{folder}-2")


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        ({"name": "a\x1b[31m"}, {}, "the task's name is 'a.x1b.31m'; it must be text that shows"),
        (
            {"metric": named("m\u202e", lambda o, t: accuracy(o, t))},
            {},
            "the task's metric's name is",
        ),
        ({}, {"entrants": {"a\nb": Mine}}, r"an entrant is called 'a\\nb'; a name must be text"),
        ({}, {"entrants": {5: Mine}}, "an entrant is called 5; a name must be text"),
        ({}, {"entrants": {"x": (Mine, {"l r": (1, 2)})}}, "x is searched in 'l r', which is no"),
        ({}, {"entrants": {"x": (Mine, ["lr"])}}, r"the search space of x is \['lr'\]; it must"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    given: Any, more: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        race(tmp_path / "it", given=task(**given), **more)
    assert not list(tmp_path.iterdir())


def test_what_anybodys_code_says_is_shown_as_text(tmp_path: Path) -> None:
    class Failing(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise ValueError("\x1b[31mred \ud800")

    result = race(tmp_path / "it", entrants={"bad": Failing, "sgd": "sgd"})
    bad = next(s for s in result.standings if s.rule == "bad")
    assert "\\x1b[31mred \\ud800" in bad.reason
    assert all(note.isprintable() for note in result.notes)
