"""Runs that are let go, or lost with their process, go on as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import torch

import slalom
from slalom.racing import stopwatch, trainer
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.events import Moved
from slalom.racing.ray import _Actor
from slalom.racing.result import Result
from slalom.racing.runner import History, Request, checkpoint_of
from slalom.racing.status import Stage, Status
from slalom.racing.trainer import Runs
from slalom.train import Run, faults
from small import ENTRANTS, small_task

ADAM = Entrant(0, FIELD["Adam"], {"lr": 1e-3})


@pytest.fixture(autouse=True)
def _all_are_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every evaluation writes a checkpoint."""
    monkeypatch.setattr(trainer, "DEAR", 0.0)
    monkeypatch.setattr(trainer, "SHARE", 1e-9)


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the updates that are made."""
    made: list[int] = []
    advance = Run.advance

    def counted(self: Run, steps: int) -> float:
        loss = advance(self, steps)
        made.extend(range(self.step - steps + 1, self.step + 1))
        return loss

    monkeypatch.setattr(Run, "advance", counted)
    return made


def request(until: int, known: History | None = None, entrant: Entrant = ADAM) -> Request:
    return Request(entrant, 0, until, 5, known or History())


def seen(history: History) -> list[tuple[Any, ...]]:
    """All of it but the seconds."""
    return [(e.step, e.samples, e.train_loss, e.valid_loss, e.metric) for e in history.evaluations]


def race(out: Path, **options: Any) -> Result:
    return slalom.race(
        small_task(), entrants=ENTRANTS, points_each=4, seeds=3, out=out, **options
    )  # fmt: skip


def found(result: Result) -> list[Any]:
    """What does not depend on the clock."""
    return [(s.label, s.status, s.steps_to_target) for s in result.standings]


def trained(until: int) -> History:
    return Runs(small_task()).train(request(until))


@pytest.mark.parametrize("recorded", [0, 10, 20], ids=["none", "less", "all"])
def test_a_run_goes_on_from_its_checkpoint(
    recorded: int, tmp_path: Path, updates: list[int]
) -> None:
    """However much of it the record knows."""
    before = Runs(small_task(), tmp_path).train(request(20))
    known = History(before.evaluations[: recorded // 5])
    updates.clear()
    after = Runs(small_task(), tmp_path).train(request(40, known))
    assert updates == list(range(21, 41))
    assert seen(after) == seen(trained(40))


def test_a_checkpoint_behind_the_record(tmp_path: Path, updates: list[int]) -> None:
    Runs(small_task(), tmp_path).train(request(20))
    known = trained(30)
    updates.clear()
    after = Runs(small_task(), tmp_path).train(request(40, known))
    assert updates == list(range(21, 41))
    assert seen(after) == seen(trained(40))


def test_a_checkpoint_ahead_of_what_is_asked_is_not_used(tmp_path: Path) -> None:
    Runs(small_task(), tmp_path).train(request(40))
    assert seen(Runs(small_task(), tmp_path).train(request(20))) == seen(trained(20))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense", None, {"run": 1}])
def test_a_damaged_checkpoint_is_trained_again(
    content: Any, tmp_path: Path, updates: list[int]
) -> None:
    known = Runs(small_task(), tmp_path).train(request(20))
    path = checkpoint_of(tmp_path, 0, 0)
    if content is None:
        path.write_bytes(path.read_bytes()[:-100])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    updates.clear()
    after = Runs(small_task(), tmp_path).train(request(40, known))
    assert updates == list(range(1, 41))
    assert seen(after) == seen(trained(40))


@pytest.mark.parametrize("other", ["entrant", "task"])
def test_a_checkpoint_of_another_run_is_trained_again(other: str, tmp_path: Path) -> None:
    if other == "entrant":
        Runs(small_task(), tmp_path).train(
            request(20, entrant=Entrant(0, FIELD["Adam"], {"lr": 2e-3}))
        )
    else:
        Runs(small_task(batch_size=8), tmp_path).train(request(20))
    after = Runs(small_task(), tmp_path).train(request(40, trained(10)))
    assert seen(after) == seen(trained(40))


def test_where_nothing_can_be_written_training_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    runs = Runs(small_task(), file)
    with pytest.warns(UserWarning, match="no checkpoints can be written.*NotADir") as all_:
        after = runs.train(request(40))
    assert len(all_) == 1
    assert seen(after) == seen(trained(40))


def test_the_disk_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "DISK", 1)
    runs = Runs(small_task(), tmp_path)
    runs.train(request(20))
    runs.train(request(20, entrant=Entrant(1, FIELD["SGD"], {"lr": 0.1})))
    assert [p.name for p in tmp_path.iterdir()] == ["0-0.pt"]


def test_only_dear_runs_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "DEAR", 60.0)
    Runs(small_task(), tmp_path).train(request(20))
    assert not list(tmp_path.iterdir())


def test_runs_that_there_is_no_room_for_are_trained_again(
    tmp_path: Path, raced: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "ROOM", 0)
    monkeypatch.setattr(trainer, "DEAR", 60.0)
    most = []
    train = Runs.train

    def noted(self: Runs, request: Request) -> History:
        history = train(self, request)
        most.append(len(self))
        return history

    monkeypatch.setattr(Runs, "train", noted)
    assert found(race(tmp_path / "it")) == found(raced)
    assert max(most) == 1


def test_nothing_is_kept_of_who_is_through(tmp_path: Path) -> None:
    one = trainer.Trainer(small_task())
    race(tmp_path / "it", runner=one)
    assert len(one._runs) == 0


def test_a_finished_race_leaves_no_checkpoints(tmp_path: Path, raced: Result) -> None:
    """Nor do its heats, nor a run of the finals that is over."""
    left: dict[str, list[int]] = {stage: [] for stage in Stage}

    def watch(event: object) -> None:
        if isinstance(event, Moved):
            left[event.stage].append(len(list((tmp_path / "it").glob("checkpoints-*/*.pt"))))

    result = race(tmp_path / "it", watch=watch)
    assert found(result) == found(raced)
    ran = sum(c.stage == Stage.HEAT for c in result.curves)
    through = sum(c.stage == Stage.HEAT and c.status == Status.REACHED for c in result.curves)
    assert 1 < max(left[Stage.HEAT]) <= ran - through
    # one is past the target at its end, and has yet to hold it
    assert max(left[Stage.FINAL] + left[Stage.BASELINE]) <= 1
    assert [p.name for p in (tmp_path / "it").iterdir()] == ["ledger.sqlite"]


def test_no_update_is_made_twice(
    tmp_path: Path, updates: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where a run goes on past its end, to show that it holds the target."""
    monkeypatch.setattr(trainer, "DEAR", 60.0)
    monkeypatch.setattr(stopwatch, "Run", None)  # nothing is timed
    result = race(tmp_path / "it", lanes=1)  # whose first updates are not tried
    assert len(updates) == sum(c.step[-1] for c in result.curves) + 1  # the task's first losses


def test_an_interrupted_race_goes_on_from_its_checkpoints(
    tmp_path: Path, raced: Result, updates: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopwatch, "Run", None)  # nothing is timed
    moved = 0

    def stop(event: object) -> None:
        nonlocal moved
        moved += isinstance(event, Moved)
        if moved == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        race(tmp_path / "it", watch=stop)
    assert list((tmp_path / "it").glob("checkpoints-*/*.pt"))
    first = len(updates)
    assert found(race(tmp_path / "it", resume=True)) == found(raced)
    both = len(updates)
    race(tmp_path / "other")
    assert 0 < first < both
    assert both == len(updates) - both + 1  # one tells that the task is the same


def test_a_node_uses_the_folder_only_if_it_shares_the_disk(tmp_path: Path) -> None:
    task = cloudpickle.dumps(small_task())
    assert _Actor(task, tmp_path)._runs.folder == tmp_path
    assert _Actor(task, tmp_path / "elsewhere")._runs.folder is None


FAILING = "def fail():\n    raise RuntimeError('boom')  # here\n"


def raised(file: Path) -> str:
    """What is told of an error in a function of a file, this test's own frames left out."""
    scope: dict[str, Any] = {}
    exec(compile(file.read_text() if file.exists() else FAILING, str(file), "exec"), scope)
    with pytest.raises(RuntimeError) as caught:
        scope["fail"]()
    return faults.told(beyond_this_file(caught.value))


def beyond_this_file(error: Exception) -> Exception:
    """The error without the outermost frames, which are of this test."""
    while (frames := error.__traceback__) and frames.tb_frame.f_code.co_filename == __file__:
        error.__traceback__ = frames.tb_next
    return error


@pytest.mark.parametrize(
    "folder", ["mine", "slalom", "slalom/racing", "src/slalom", "torch", "site-packages"]
)
def test_the_users_own_line_is_told_whatever_its_folders_are_called(
    folder: str, tmp_path: Path
) -> None:
    file = tmp_path / folder / "net.py"
    file.parent.mkdir(parents=True)
    file.write_text(FAILING)
    assert raised(file).startswith(f"RuntimeError: boom at {file}:2 (raise RuntimeError('boom')")
    assert f"{folder}/gone.py:2" in raised(tmp_path / folder / "gone.py")


def test_slaloms_own_lines_are_not_the_users_through_a_link_either(tmp_path: Path) -> None:
    link = tmp_path / "mine"
    link.symlink_to(faults.PACKAGE, target_is_directory=True)
    assert raised(link / "racing" / "ours.py") == "RuntimeError: boom"
    assert raised(faults.PACKAGE / "racing" / "ours.py") == "RuntimeError: boom"


def test_the_users_line_comes_before_that_of_a_library() -> None:
    """And a library's before none at all; the standard library's among them."""
    library = faults.LIBRARIES[0] / "lib" / "it.py"
    scope: dict[str, Any] = {}
    exec(compile("def call(f):\n    return f()\n", str(library), "exec"), scope)
    with pytest.raises(ZeroDivisionError) as caught:
        scope["call"](lambda: 1 / 0)
    assert "test_trainer.py" in faults.told(beyond_this_file(caught.value))
    with pytest.raises(TypeError) as wrong:
        scope["call"](None)
    assert "lib/it.py:2" in faults.told(beyond_this_file(wrong.value))
