"""Training itself: runs in memory while there is room, and on disk where they are dear."""

from __future__ import annotations

import contextlib
import copy
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch

from slalom.racing.contender import Lane
from slalom.racing.entrants import Entrant
from slalom.racing.limit import Limit, OutOfTimeError
from slalom.racing.runner import History, Request, Runner, checkpoint_of
from slalom.racing.status import Status
from slalom.train import Evaluation, Run, Task, atomic
from slalom.train.faults import told
from slalom.train.lanes import Way, alone
from slalom.train.loop import begun
from slalom.train.rng import isolated

ROOM = 2 << 30
"""Bytes that the runs of one process may take in memory, about; one may always be there."""

DISK = 16 << 30
"""Bytes that the checkpoints of one race may take, about."""

DEAR = 10.0
"""Seconds of training after which a run is worth a checkpoint."""

SHARE = 20
"""And at least so many times as many as it took to write the last one."""


class Trainer(Runner):
    """Trains here, one run after the other."""

    real = True

    def __init__(self, task: Task):
        super().__init__(task)
        self._runs = Runs(task)

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        self._runs.task, self._runs.folder = self.task, self.folder
        self._runs.limit = self.limit
        for request in requests:
            yield request, self._runs.train(request)

    def forget(self, entrant: Entrant, seed: int) -> None:
        super().forget(entrant, seed)
        self._runs.forget(entrant.number, seed)


@dataclass
class _Kept:
    """A run, and the seconds of work in it that are on no disk."""

    run: Run
    unsaved: float = 0.0


class Runs:
    """The runs of one process, between the requests to bring them on.

    One that is not there, since its process died or there was no room for it, goes on from its
    checkpoint, or is trained again from its start; both give the same to the bit.

    Args:
        task: what is trained.
        folder: for checkpoints, which must be there; None for none.

    Attributes:
        limit: on the time, looked at before every stretch from one evaluation to the next.
    """

    limit = Limit()

    def __init__(self, task: Task, folder: Path | None = None):
        self.task, self.folder = task, folder
        self._kept: dict[tuple[int, int], _Kept] = {}  # who was used last is last
        self._trunks: dict[tuple[Any, ...], tuple[dict[str, Any], list[Evaluation]]] = {}
        self._writing = 0.0

    def __len__(self) -> int:
        return len(self._kept)

    def train(self, request: Request) -> History:
        """Bring one run on; an exception in the model, loss or data ends it as ``failed``."""
        with one_thread(), isolated(self.task.device):
            return alone(self.way(request, list(request.known.evaluations)))

    def way(self, request: Request, found: list[Evaluation]) -> Way[History]:
        """The way of a run to what is asked of it; it comes to what is known of the run then.

        ``found`` is what was known, to which is added what comes.
        """
        key = request.entrant.number, request.seed
        kept = self._kept.pop(key, None)
        try:
            if kept is None or kept.run.step != request.known.step:
                kept = self._restored(request, found) or self._branched(request, found)
                while kept.run.step < request.known.step and kept.run.diverged is None:
                    self._check_time(kept, request, found)  # to where it is known already
                    steps = min(request.every, request.known.step - kept.run.step)
                    kept.unsaved += (yield from _stretch(kept.run, steps))[1]
            self._kept[key] = kept
            self._make_room(kept.run)
            run = kept.run
            while run.step < request.until and run.diverged is None:
                self._check_time(kept, request, found)
                steps = min(request.every, request.until - run.step)
                evaluation, seconds = yield from _stretch(run, steps)
                if evaluation is not None:
                    found.append(evaluation)
                    self._keep_trunk(run, request, found)
                    if History(tuple(found)).crossing(self.task):
                        break
                kept.unsaved += seconds
                self._save(kept, request, found)
        except Exception as error:
            self._kept.pop(key, None)
            when = f" after {kept.run.step} updates" if kept is not None else ""
            when += f" on seed {request.seed}"
            return History(tuple(found), Status.FAILED, told(error) + when)
        if run.diverged is not None:
            self._kept.pop(key, None)
            return History(tuple(found), Status.DIVERGED, run.diverged)
        return History(tuple(found))

    def forget(self, number: int, seed: int) -> None:
        """Let go of a run that will not be asked for again."""
        self._kept.pop((number, seed), None)

    def _begun(self, request: Request) -> Run:
        entrant = request.entrant
        length = entrant.horizon or Lane.of(self.task, entrant).end
        task = entrant.of(self.task)
        return begun(task, entrant.optimizer, request.seed, entrant.batch_size, length)

    def _branched(self, request: Request, found: list[Evaluation]) -> _Kept:
        """A run at its start; or where a shorter one was before its schedule came to its end, which
        is to the bit the same. What that knew is added to ``found``."""
        run = self._begun(request)
        state, known = self._trunks.get((request.entrant.trunk, request.seed), ({}, []))
        if known and known[-1].step <= request.until and self._goes_on(request, known[-1].step):
            run.load_state_dict(copy.deepcopy(state))
            found.extend(known[len(found) :])
        return _Kept(run)

    def _keep_trunk(self, run: Run, request: Request, found: Sequence[Evaluation]) -> None:
        """Keep a run as it is where longer ones have it in common and the next look is too late."""
        if "horizon" not in request.entrant.hypers or not self._goes_on(request, run.step):
            return
        if not self._goes_on(request, run.step + request.every):
            key = request.entrant.trunk, request.seed
            self._trunks.pop(key, None)
            self._trunks[key] = copy.deepcopy(run.state_dict()), list(found)

    def _goes_on(self, request: Request, step: int) -> bool:
        """Whether the run after so many updates is that of a longer one, the next rate included."""
        entrant, schedule = request.entrant, request.entrant.of(self.task).schedule
        lane = Lane.of(self.task, entrant)
        length = entrant.horizon or lane.until(float(self.task.max_steps))
        return schedule.ends and step < schedule.shared(length)

    def _check_time(self, kept: _Kept, request: Request, found: Sequence[Evaluation]) -> None:
        """When the time is up, write a checkpoint of what is not on the disk, and raise."""
        try:
            self.limit.check()
        except OutOfTimeError:
            if kept.unsaved:
                known = [e for e in found if e.step <= kept.run.step]
                self._save(kept, request, known, worth=0.0)
            raise

    def _make_room(self, run: Run) -> None:
        """Let go of runs that were not used for long, to be had again if they are asked for.

        Heats double, so that training them again costs as much again at most.
        """
        numbers = sum(p.numel() * p.element_size() for p in run.model.parameters())
        most = max(1, ROOM // max(1, 4 * numbers))  # a parameter, its gradient, and two states
        for held in (self._kept, self._trunks):
            for key in list(held)[: max(0, len(held) - most)]:
                del held[key]

    def _save(
        self, kept: _Kept, request: Request, found: Sequence[Evaluation], worth: float | None = None
    ) -> None:
        """Write a checkpoint of a run that has become dear; where that fails, there are no more.

        ``worth`` are the seconds of training from which on it is; :data:`DEAR` where not given.
        """
        folder, run = self.folder, kept.run
        least = max(DEAR if worth is None else worth, SHARE * self._writing)
        if folder is None or run.diverged or kept.unsaved < least:
            return
        since = time.perf_counter()
        try:
            if _size(folder) > DISK:
                return
            state = {"run": run.state_dict(), "evaluations": [astuple(e) for e in found]}
            atomic.save(checkpoint_of(folder, request.entrant.number, request.seed), state)
        except Exception as error:  # the disk's, or that of an optimizer's own state_dict
            text = "no checkpoints can be written, and what a crash loses will be trained again"
            warnings.warn(f"{text}: {told(error)}", stacklevel=2)
            self._writing = math.inf
            return
        kept.unsaved, self._writing = 0.0, time.perf_counter() - since

    def _restored(self, request: Request, found: list[Evaluation]) -> _Kept | None:
        """The run of a checkpoint; what it knows beyond the record is added to ``found``.

        None if there is no such checkpoint, or it is damaged, or ahead of what is asked.
        """
        if self.folder is None:
            return None
        try:
            state = atomic.load(checkpoint_of(self.folder, request.entrant.number, request.seed))
            known = [Evaluation(*e) for e in state["evaluations"]]
            both = min(len(known), len(found))
            if known[-1].step > request.until:
                return None
            if any(a.valid_loss != b.valid_loss for a, b in zip(known[:both], found, strict=False)):
                return None
            run = self._begun(request)
            run.load_state_dict(state["run"])
        except Exception:  # whatever it is: what is trained again is right
            return None
        found.extend(known[both:])
        return _Kept(run)


def _stretch(run: Run, steps: int) -> Way[tuple[Evaluation | None, float]]:
    """So many updates and an evaluation, which is None if the run diverges; and their seconds."""
    _, spent = yield run, steps
    if run.diverged is not None:
        return None, spent
    found, more = yield run, 0
    return found, spent + more


def _size(folder: Path) -> int:
    """Bytes of the files in a folder, which others may be writing and removing."""
    total = 0
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Threads change no result, but on small models they cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
