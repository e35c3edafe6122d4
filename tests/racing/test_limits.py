"""What bounds a race's cost, and what its bill says."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import slalom
from slalom.racing.bracket import Heats
from slalom.racing.entrants import Entrant, families
from slalom.racing.result import Result
from slalom.racing.runner import History, Request, Runner, checkpoint_of
from slalom.racing.trainer import Runs, Trainer
from slalom.report.table import bill
from slalom.train import Evaluation
from small import ENTRANTS, changed, small_task


def test_a_final_may_take_four_times_what_the_heats_best_took(tmp_path: Path) -> None:
    asked: list[Request] = []

    class Noting(Trainer):
        def advance(self, requests: Sequence[Request]) -> Iterator[Any]:
            asked.extend(requests)
            return super().advance(requests)

    task = small_task(max_steps=100_000)
    result = slalom.race(
        task, entrants=ENTRANTS, points_each=4, seeds=3, baseline=None, out=tmp_path,
        runner=Noting(task),
    )  # fmt: skip
    heats = [c for c in result.curves if c.stage == "heat" and c.status == "reached"]
    best = min(c.step[-3] for c in heats)  # the crossing, and two that show that it holds
    finals = {r.until for r in asked if r.seed >= 1000}
    assert finals == {4 * best}


class Scripted(Runner):
    """Of one family the loss starts high and falls late; of the other the other way round."""

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        for request in requests:
            late = request.entrant.family.label == "Adam"
            steps = range(request.every, request.until + 1, request.every)
            losses = [(1.0 if n <= 10 else 0.1) if late else 0.5 for n in steps]
            seen = (
                Evaluation(n, 16 * n, 0.0, 0.0, loss + 0.01 * request.entrant.number, 0.0)
                for n, loss in zip(steps, losses, strict=True)
            )
            yield request, History(tuple(seen))


def test_the_best_of_a_family_that_starts_slowly_goes_on_for_two_evaluations() -> None:
    task = small_task(max_steps=20)
    slow, fast = families(["Adam", "SGD"])
    entrants = [Entrant(i, fast if i < 8 else slow, {"lr": 0.1}) for i in range(12)]
    heats = Heats(task, entrants, Scripted(task), 0)
    heats.run()
    done = {c.entrant.number: c.done for c in heats.contenders}
    assert done[8] == 20  # protected at 5 and 10, and ahead from then on
    assert [done[i] for i in (9, 10, 11)] == [5, 5, 5]


def test_the_race_pays_after_what_it_cost_over_what_it_saves(raced: Result, tmp_path: Path) -> None:
    for usual, pays in ((7, True), (1 / 7, False)):
        folder = tmp_path / str(pays)
        shutil.copytree(raced.path, folder)
        one = raced.standings[0].samples_to_target
        assert one
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
