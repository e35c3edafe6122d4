"""Races that are killed, in whole or in part, end as if they had not been."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import served
import slalom
from slalom.errors import InputError
from slalom.racing import seeds, stopwatch, trainer
from slalom.racing.crew import Processes
from slalom.racing.events import Moved
from slalom.racing.result import Result
from slalom.racing.runner import Request
from slalom.racing.status import Stage
from small import ENTRANTS, INTERRUPTIBLE, small_task

FILE = "from small import small_task\nmine = small_task()\n"
COMMAND = ["--entrants", ",".join(ENTRANTS), "--points", "4", "--seeds", "3", "--quiet"]

HEATS = 60
"""Evaluations of the heats, about."""

SO_FAR = "The race was interrupted; so far "
UNTOLD = "The race was interrupted in its finals, before anything could be told."

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="finds a race's workers in /proc"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def start(file: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "slalom", "race", str(file), *COMMAND, "--out", str(out)]
    tests = str(Path(__file__).parents[1])
    paths = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": paths}, start_new_session=True, **INTERRUPTIBLE,
    )  # fmt: skip


def command(dear: float, *arguments: str) -> None:
    """What ``slalom`` does, with less time at the clock.

    ``dear`` is how many seconds of training a checkpoint is worth.
    """
    stopwatch.TURN = 0.01
    trainer.DEAR, trainer.SHARE = dear, 1e-9
    served.slalom(*arguments)


def evaluations(ledger: Path) -> int:
    """How far a race is: evaluations recorded; -1 before there is a ledger."""
    if not ledger.exists():
        return -1
    with contextlib.closing(sqlite3.connect(ledger, timeout=5)) as db:
        return db.execute("SELECT count(*) FROM evaluation").fetchone()[0]


def found(out: Path) -> object:
    """What a race found, but for seconds, which differ from run to run."""
    result = Result(out)
    known = result.to_json()
    for standing in known["standings"]:
        del standing["seconds_to_target"]
    rivals = [(r["label"], r["work"]) for r in known["verdict"]["rivals"]]
    runs = [
        (c.label, c.seed, c.stage, c.status, c.step, c.train_loss, c.valid_loss, c.metric)
        for c in result.curves
    ]
    return json.dumps([known["standings"], rivals, known["winner"], sorted(runs)])


def kill_and_resume(file: Path, raced: Result, moments: int, *words: str) -> None:
    """Kill races, whole and resumed ones, at so many random moments, and see each to its end;
    ``words`` are those of the command beside the usual ones."""
    chance = random.Random(moments)
    lasts = raced.meta["elapsed"] / 2  # the rest was the clock
    killed = races = 0
    while killed < moments:
        out = file.parent / f"race{races}"
        races += 1
        while True:
            begun = (out / "ledger.sqlite").exists()
            more = [*words, "--resume"] if begun else words
            arguments = (chance.choice([0, 10]), "race", str(file), *COMMAND, "--out", str(out))
            process = served.SERVED.Process(target=command, args=(*arguments, *more))
            process.start()
            if killed == moments:
                process.join()
            elif killed % 2:
                process.join(chance.uniform(0, lasts))
            else:  # in the heats, which are soon over
                until = evaluations(out / "ledger.sqlite") + chance.randint(1, HEATS)
                while evaluations(out / "ledger.sqlite") < until and process.is_alive():
                    time.sleep(0.001)
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            killed += 1
            if (out / "ledger.sqlite").exists():
                with contextlib.closing(sqlite3.connect(out / "ledger.sqlite")) as db:
                    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert Result(out).to_json()["verdict"]["text"]
        assert process.exitcode == 0
        assert found(out) == found(raced.path)


def test_killed_and_gone_on_with(file: Path, raced: Result) -> None:
    kill_and_resume(file, raced, 3)


@pytest.mark.slow
def test_killed_at_twenty_moments(file: Path, raced: Result) -> None:
    kill_and_resume(file, raced, 20)


LANES = ["--lanes", "5"]


@pytest.fixture(scope="module")
def in_lanes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A task of layers that leave nothing over in a vector of the processor, and its race in lanes,
    as the command has it."""
    folder = tmp_path_factory.mktemp("lanes")
    made = "nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))"
    text = f"from torch import nn\n{FILE}mine.model = lambda: {made}\n"
    (folder / "mine.py").write_text(text)
    words = "race", str(folder / "mine.py"), *COMMAND, *LANES, "--out", str(folder / "whole")
    process = served.SERVED.Process(target=command, args=(10, *words))
    process.start()
    process.join()
    result = Result(folder / "whole")
    assert result.meta["lanes"] == 5, result.notes
    return folder / "mine.py", result


def test_killed_in_lanes_and_gone_on_with(in_lanes: tuple[Path, Result]) -> None:
    kill_and_resume(*in_lanes, 3, *LANES)


@pytest.mark.slow
def test_killed_in_lanes_at_twenty_moments(in_lanes: tuple[Path, Result], tmp_path: Path) -> None:
    file, whole = in_lanes
    (tmp_path / "mine.py").write_text(file.read_text())
    kill_and_resume(tmp_path / "mine.py", whole, 20, *LANES)


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(p) for p in text.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@needs_proc
@pytest.mark.slow
def test_workers_of_a_killed_race_end_and_it_goes_on(file: Path, raced: Result) -> None:
    out = file.parent / "race"
    process = start(file, out, "--workers", "2")
    while evaluations(out / "ledger.sqlite") < 20:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    process.wait()
    late = time.monotonic() + 30
    while any(map(alive, workers)):
        assert time.monotonic() < late, "workers outlive their race"
        time.sleep(0.05)
    process = start(file, out, "--workers", "2", "--resume")
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert found(out) == found(raced.path)


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("presses", [1, 100])
@pytest.mark.parametrize("words", [("--workers", "1"), ("--workers", "2"), LANES])
def test_ctrl_c_ends_cleanly(
    file: Path, in_lanes: tuple[Path, Result], words: list[str], presses: int
) -> None:
    """As a terminal sends it: to the race and its workers; however often it is pressed."""
    file.write_text(in_lanes[0].read_text())
    out = file.parent / "race"
    process = start(file, out, *words)
    while evaluations(out / "ledger.sqlite") < 20:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    below = children(process.pid)
    for _ in range(presses):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.005)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout.startswith(("The race was interrupted before its finals.", SO_FAR, UNTOLD))
    again = stderr.removeprefix("interrupted; go on with: slalom ").split()
    assert again == [
        "race", str(file), *COMMAND, "--out", str(out), *words, "--resume"
    ]  # fmt: skip
    assert not any(map(alive, below))


@pytest.mark.parametrize(("runs", "told"), [(1, UNTOLD), (3, UNTOLD), (9, SO_FAR)])
def test_a_race_interrupted_in_its_finals_says_no_more_than_it_knows(
    runs: int, told: str, tmp_path: Path
) -> None:
    moved = 0

    def stop(event: object) -> None:
        nonlocal moved
        moved += isinstance(event, Moved) and event.stage == Stage.FINAL
        if moved == runs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        race(tmp_path / "it", seeds=5, watch=stop)
    found = Result(tmp_path / "it")
    assert sum(c.stage == Stage.FINAL for c in found.curves) == runs
    assert found.verdict.text.startswith(told)


def race(out: Path, **options: object) -> Result:
    given = {"entrants": ENTRANTS, "points_each": 4, "seeds": 3, "out": out} | options
    return slalom.race(small_task(), **given)  # type: ignore[arg-type]


def test_workers_change_nothing(tmp_path: Path, raced: Result) -> None:
    race(tmp_path / "three", workers=3)
    assert found(tmp_path / "three") == found(raced.path)


def test_the_runs_of_a_look_are_asked_for_at_once(tmp_path: Path) -> None:
    """So that there is work for every worker: first who leads, then all others."""
    asked: list[int] = []

    class Counting(trainer.Trainer):
        def advance(self, requests: Sequence[Request]) -> Iterator[Any]:
            new = [r for r in requests if seeds.place(r.seed) >= 0 and not r.known.step]
            asked.extend([len(new)] if new else [])
            return super().advance(requests)

    result = race(tmp_path / "it", runner=Counting(small_task()))
    assert sum(asked) == sum(c.stage != "heat" for c in result.curves)
    assert asked[-1] == 3  # of the baseline
    rivals = len({c.label for c in result.curves if c.stage == "final"}) - 1
    assert asked[:2] == [3, 3 * rivals]


def test_a_finalist_that_cannot_be_timed_does_not_end_the_race(
    tmp_path: Path, raced: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> object:
        raise MemoryError("three models at once")

    monkeypatch.setattr(stopwatch, "Run", full)
    result = race(tmp_path / "it")
    assert any("no updates were timed: MemoryError" in note for note in result.notes)
    assert [s.label for s in result.standings] == [s.label for s in raced.standings]
    assert result.standings[0].seconds_to_target is not None


def test_a_target_that_was_found_reaches_the_workers(tmp_path: Path) -> None:
    for workers in (1, 2):
        task = small_task(target=None, max_steps=60)
        slalom.race(
            task, entrants=["SGD", "Adam"], points_each=2, seeds=3, workers=workers,
            out=tmp_path / str(workers),
        )  # fmt: skip
    assert found(tmp_path / "1") == found(tmp_path / "2")


@pytest.mark.parametrize("dear", [0.0, trainer.DEAR], ids=["checkpoints", "none"])
def test_killed_workers_are_replaced(
    dear: float, tmp_path: Path, raced: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "DEAR", dear)
    monkeypatch.setattr(trainer, "SHARE", 1e-9)
    hired: list[int] = []
    hire = Processes._hire

    def noted(self: Processes) -> object:
        worker = hire(self)
        hired.append(worker.pid)
        return worker

    monkeypatch.setattr(Processes, "_hire", noted)
    over = threading.Event()
    chance = random.Random(0)

    def kill() -> None:
        for _ in range(4):
            before = len(hired)
            while len(hired) < max(2, before) and not over.wait(0.01):
                pass
            over.wait(chance.uniform(0.01, 0.1))
            if not over.is_set():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(hired[-2:]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        race(tmp_path / "it", workers=2)
    finally:
        over.set()
        killer.join()
    assert len(hired) > 2, "no worker was killed in time"
    assert found(tmp_path / "it") == found(raced.path)


def test_a_run_that_always_kills_its_worker_has_failed(tmp_path: Path) -> None:
    parent = os.getpid()

    def deadly(params: object) -> object:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return slalom.optim.SGD(params, lr=0.1)

    entrants = {"deadly": deadly, "Adam": slalom.optim.Adam, "SGD": slalom.optim.SGD}
    result = race(tmp_path / "it", entrants=entrants, workers=2, points_each=3)
    dead = next(s for s in result.standings if s.label == "deadly")
    assert dead.status == "failed"
    assert "died 3 times" in dead.reason
    assert result.winner is not None


def test_out_of_memory_is_a_failure_of_one(tmp_path: Path) -> None:
    import torch

    def greedy(params: list[torch.Tensor]) -> object:
        torch.empty(1 << 50, dtype=torch.uint8)  # a petabyte
        return slalom.optim.SGD(params, lr=0.1)

    def hungry(params: object) -> object:
        raise MemoryError

    result = race(
        tmp_path / "it", points_each=3,
        entrants={"greedy": greedy, "hungry": hungry, "SGD": slalom.optim.SGD},
    )  # fmt: skip
    by_name = {s.label: s for s in result.standings}
    assert "memory" in by_name["greedy"].reason
    assert "MemoryError" in by_name["hungry"].reason
    assert by_name["greedy"].status == by_name["hungry"].status == "failed"
    assert result.winner is not None


def test_unknown_engines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no engine 'slurm'"):
        race(tmp_path / "it", engine="slurm")
    with pytest.raises(InputError, match="goes with engine='ray'"):
        race(tmp_path / "it", address="auto")
