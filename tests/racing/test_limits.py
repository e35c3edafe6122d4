"""What bounds a race's cost, and what its bill says."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import slalom
from slalom.racing import seeds
from slalom.racing.entrants import Entrant, families
from slalom.racing.needs import typical, with_restarts
from slalom.racing.result import Result
from slalom.racing.runner import History, Request, Runner, checkpoint_of
from slalom.racing.trainer import Runs, Trainer
from slalom.report.told import bill
from slalom.train import Evaluation, Task
from small import ENTRANTS, changed, small_task


def test_how_far_a_final_may_go_is_told_by_those_before_it(tmp_path: Path) -> None:
    """By the soonest on its seed, or else by the latest so far; so it is for the baseline too."""
    asked: list[list[Request]] = []

    class Noting(Trainer):
        def advance(self, requests: Sequence[Request]) -> Iterator[Any]:
            asked.append([r for r in requests if seeds.place(r.seed) >= 0 and not r.known.step])
            return super().advance(requests)

    task = small_task(max_steps=100_000)
    result = slalom.race(
        task, entrants=ENTRANTS, points_each=4, seeds=5, out=tmp_path, runner=Noting(task)
    )
    lead, *others, baseline = [call for call in asked if call]
    assert [r.until for r in lead] == 3 * [100_000]
    done: dict[int, list[float]] = {}

    def note(call: list[Request]) -> None:
        for r in call:
            run = result.finals[r.entrant.family.label][seeds.place(r.seed)]
            done.setdefault(r.seed, []).extend([run.work] * run.arrived)

    def until(r: Request, work: float) -> int:
        return math.ceil(work / r.every) * r.every  # all have batches of one size

    note(lead)
    limited: set[bool] = set()
    for call in others:
        latest = max(work for works in done.values() for work in works)
        for r in call:
            here = done.get(r.seed, ())
            assert r.until == until(r, 1.5 * min(here) if here else 3 * latest)
            limited.add(bool(here))
        note(call)
    assert limited == {True, False}
    latest = max(work for works in done.values() for work in works)
    assert [r.until for r in baseline] == [until(r, 3 * latest) for r in baseline]
    assert [seeds.place(r.seed) for r in baseline] == [0, 1, 2]


class Scripted(Runner):
    """Its runs need so many batches of the task's size; those of the first search another number.

    Batch gradient descent, evaluated every 12 of them, is let in after 8.
    """

    any_spacing = False

    def __init__(self, task: Task, needs: int, first: int):
        super().__init__(task)
        self._needs, self._first = needs, first

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        for request in requests:
            size = self.task.n_train if request.entrant.batch_size == "all" else 16
            needs = self._first if request.seed in seeds.heats(0) else self._needs
            seen = (
                Evaluation(n, n * size, 0.0, 1 / n, 1 / n, float(n * size >= 16 * needs))
                for n in range(request.every, request.until + 1, request.every)
            )
            yield request, History(tuple(seen))


def scripted(out: Path, about: Any, first: int) -> Result:
    task = small_task(eval_every=1)
    return slalom.race(
        task, entrants=["SGD", "BGD"], points_each=3, seeds=3, about=about, baseline=None, out=out,
        runner=Scripted(task, 2, first),
    )  # fmt: skip


@pytest.mark.parametrize("about", ["settings", "rules"])
def test_who_never_came_to_race_is_named(about: str, tmp_path: Path) -> None:
    result = scripted(tmp_path, about, 2)
    assert [s.rule for s in result.standings] == ["SGD"]
    assert [n for n in result.notes if n.startswith("BGD did not race: the best was at the target")]


def test_who_does_not_come_to_race_in_some_search_is_as_in_the_first(tmp_path: Path) -> None:
    result = scripted(tmp_path, "rules", 10)
    sgd, bgd = result.standings
    assert (sgd.rule, bgd.rule) == ("SGD", "BGD")
    assert len(set(sgd.settings)) == 3
    assert bgd.settings == 3 * bgd.settings[:1]
    assert not [n for n in result.notes if "did not race" in n]


def test_the_race_pays_after_what_it_cost_over_what_it_saves(raced: Result, tmp_path: Path) -> None:
    for usual, pays in ((7, True), (1 / 7, False)):
        folder = tmp_path / str(pays)
        shutil.copytree(raced.path, folder)
        first = raced.finals[raced.standings[0].rule]
        one = min(typical(first), with_restarts(first)) * raced.meta["batch_size"]
        base = max(1, round(one * usual))
        with changed(folder / "ledger.sqlite") as db:
            db.execute(
                "UPDATE run SET samples = max(samples, ?1), samples_to_target = ?1, "
                "steps_to_target = 1, seconds_to_target = 1 WHERE stage = 'baseline'", [base],
            )  # fmt: skip
        result = Result(folder)
        expected = math.ceil(result.cost.samples / (base - one)) if pays else None
        assert result.cost.pays_after == expected
        assert (f"has paid after {expected} training" in bill(result)) is pays
        assert ("never pays" in bill(result)) is not pays


class Evil:
    def __init__(self, file: str):
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.file),)


def test_no_code_of_a_checkpoint_is_run(tmp_path: Path) -> None:
    torch.save({"run": Evil(str(tmp_path / "owned"))}, checkpoint_of(tmp_path, 0, 0))
    entrant = Entrant(0, families(["Adam"])[0], {"lr": 0.01})
    Runs(small_task(), tmp_path).train(Request(entrant, 0, 5, 5))
    assert not (tmp_path / "owned").exists()
