"""What bounds a race's cost, and what its bill says."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import slalom
from slalom.racing import seeds
from slalom.racing.entrants import Entrant, families
from slalom.racing.needs import typical, with_restarts
from slalom.racing.result import Result
from slalom.racing.runner import Request, checkpoint_of
from slalom.racing.trainer import Runs, Trainer
from slalom.report.table import bill
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


def test_the_race_pays_after_what_it_cost_over_what_it_saves(raced: Result, tmp_path: Path) -> None:
    for usual, pays in ((7, True), (1 / 7, False)):
        folder = tmp_path / str(pays)
        shutil.copytree(raced.path, folder)
        first = raced.finals[raced.standings[0].rule]
        one = min(typical(first), with_restarts(first)) * raced.meta["batch_size"]
        base = max(1, round(one * usual))
        with changed(folder / "ledger.sqlite") as db:
            db.execute(
                "UPDATE run SET samples_to_target = ?, steps_to_target = 1, seconds_to_target = 1 "
                "WHERE stage = 'baseline'", [base],
            )  # fmt: skip
        result = Result(folder)
        expected = math.ceil(result.cost.samples / (base - one)) if pays else None
        assert result.cost.pays_after == expected
        assert (f"has paid after {expected} retrainings" in bill(result)) is pays
        assert ("it never pays" in bill(result)) is not pays


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
