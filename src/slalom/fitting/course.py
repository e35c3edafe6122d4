"""The course of a run: updates, evaluations and checkpoints in turn, until it is over."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

from slalom.errors import InputError
from slalom.fitting import events
from slalom.fitting.folder import Folder
from slalom.fitting.length import Length
from slalom.fitting.result import Fit, best_of
from slalom.fitting.stopping import Stop
from slalom.racing.runner import HOLD
from slalom.train import Evaluation, Task
from slalom.train.guarded import GuardedRun, named
from slalom.train.lanes import Way
from slalom.train.ranks import Ranks

TURN = 0.25
"""Seconds of updates between two looks at the clock and at signals, about."""

SPACING = 60.0
"""Seconds of training after which a checkpoint is written, where no number of updates is given."""

SHARE = 20
"""And at least so many times as many as the last one took to write."""

BACK = 0.5
"""What the learning rate is multiplied by where a run goes back."""

MOST_BACK = 8
"""How often it may."""


class TrainingError(RuntimeError):
    """Training went wrong: the loss or the gradients are not finite, or the loss blew up.

    The message has the step, the names of the parameters, and the last checkpoint from before.

    Attributes:
        step: of the update that could not be made.
        history: the evaluations until then.
    """

    def __init__(self, message: str, step: int, history: list[Evaluation]):
        super().__init__(message)
        self.step, self.history = step, history


class UnwrittenError(InputError):
    """A run is over, and its folder could not take what it came to.

    Attributes:
        result: that, which is nowhere else: a :class:`slalom.fitting.Fit`.
    """

    def __init__(self, message: str, result: Fit):
        super().__init__(message)
        self.result = result


@dataclass
class _Good:
    """A run to go back to: its state, its loss on the validation set, and how often it was."""

    state: dict[str, Any]
    loss: float
    times: int


@dataclass
class Course:
    """One run on its way.

    Args:
        task, run, length: what is trained, and how long.
        folder: where it is written to; None for nowhere.
        save_every: updates between checkpoints; None for :data:`SPACING`.
        until_target: whether it ends when the target is reached and held.
        on_nonfinite: "stop", "skip" or "back".
        tell: called with every event.
        stop: what may ask it to end.
        ranks: the processes that train it. What hangs on a clock, a disk or a signal is decided by
            the first, for all.
        turn: seconds of updates between two looks at the clock and at signals, about.
    """

    task: Task
    run: GuardedRun
    length: Length
    folder: Folder | None
    save_every: int | None
    until_target: bool
    on_nonfinite: str
    tell: Callable[[events.Event], None]
    stop: Stop
    ranks: Ranks
    turn: float = TURN

    def __post_init__(self) -> None:
        self.history: list[Evaluation] = []
        self.status = "begun"
        self._good: _Good | None = None
        self._best: tuple[Evaluation, dict[str, Any]] | None = None  # not on the disk yet
        self._saved = -1
        self._since, self._writing, self._tried = time.monotonic(), 0.0, False
        self._unwritten: str | None = None  # why the last checkpoint is not there
        self.run.skips = self.on_nonfinite == "skip"

    def restore(self) -> bool:
        """Go on from the last checkpoint that is sound; False if there is none."""
        state = self.ranks.first(self._read())
        if state is None:
            return False
        self.run.load_state_dict(state["run"])
        self.history = [Evaluation(*e) for e in state["evaluations"]]
        self.status, self._saved = state["status"], self.run.step
        self._good = state["good"] and _Good(*state["good"])
        return True

    def begin(self) -> None:
        """Write down where the run is."""
        if self.folder is not None:
            last = self.history[-1] if self.history else None
            self.folder.note(self.status, self.run.step, last)

    def end(self, label: str) -> Fit:
        """What the run has come to, which is written down with its weights.

        Raises :class:`UnwrittenError` where that, or the last checkpoint, could not be.
        """
        run, path = self.run, self.folder and self.folder.path
        result = Fit(
            self.task, run.trained(), run.optimizer, label, run.seed, self.history, self.status,
            run.skipped, path,
        )  # fmt: skip
        if self.folder is not None:
            facts = {"step": result.last.step, self.task.metric.name: result.last.metric}
            try:
                if self._unwritten is None:
                    self.folder.stand()
                    self.folder.write_weights("weights", dict(result.model.state_dict()), facts)
                    self.folder.note(self.status, result.last.step, result.last)
            except InputError as error:
                self._unwritten = str(error)
            if self._unwritten is not None:
                raise UnwrittenError(f"the run is over, but {self._unwritten}", result)
        return result

    def _read(self) -> dict[str, Any] | None:
        """The last checkpoint that is sound; None if there is none, or no folder."""
        if self.folder is None:
            return None
        state, damaged = self.folder.checkpoints.last()
        for path in damaged:
            before = "the one before it" if state else "the beginning, as none before it is left"
            self.tell(events.Told(f"{path} is damaged; the run goes on from {before}"))
        return state

    def way(self) -> Way[None]:
        """The way to the end. Raises :class:`TrainingError` where that cannot be reached."""
        if self.on_nonfinite == "back" and self._good is None:
            self._good = _Good(self._copy(), math.inf, 0)
        while self.status == "begun":
            if not self._over():
                yield from self._advance()
            if self.run.diverged is not None:
                self._wrong()
                continue  # from where it went back to
            due = self.run.step % self.length.every == 0 or self._over()
            if due and not (self.history and self.history[-1].step == self.run.step):
                self._take((yield self.run, 0)[0])
            if self.status == "begun" and self._over():
                if not self.run.finite:
                    self.run.diverged = f"the weights are not finite after step {self.run.step}"
                    self.run.lost = self.run.not_finite()
                    continue
                self.status = "finished"
            self._look_after()

    @property
    def unsaved(self) -> bool:
        """Whether there are updates that are in no checkpoint."""
        return self.run.step > self._saved

    def _over(self) -> bool:
        run, length = self.run, self.length
        return run.step >= (length.updates or math.inf) or run.seconds >= length.seconds

    def _advance(self) -> Way[None]:
        """Some updates, to the next evaluation or checkpoint at most."""
        run, length = self.run, self.length
        ends = [length.every - run.step % length.every]
        if length.updates is not None:
            ends.append(length.updates - run.step)
        if self.save_every is not None:
            ends.append(self.save_every - run.step % self.save_every)
        if not run.step or not self._tried:
            ends.append(1)
        else:
            left = min(self.turn, length.seconds - run.seconds)
            ends.append(max(1, round(left / max(1e-7, run.seconds / run.step))))
        try:
            loss, _ = yield run, self.ranks.first(min(ends))
        except Exception:
            if self.stop.signal is not None:  # it came to a loader's processes too
                self.stop.end()
            raise
        run.seconds = self.ranks.first(run.seconds)
        good = self._good
        if good and good.loss == math.inf and self.task.objective.comparable:
            good.loss = run.first_loss  # an evaluation above it is none to go back to
        if run.diverged is None:
            self.tell(events.Moved(run.step, run.samples, run.seconds, loss))

    def _take(self, found: Evaluation) -> None:
        """An evaluation."""
        self.history.append(found)
        best = best_of(self.task, self.history) is found
        self.tell(events.Evaluated(found, best))
        if self.ranks.first(best and self.folder is not None):
            weights = self.run.weights()  # of which all may hold a part
            self._best = (found, weights) if self.folder is not None else None
        if self._good is not None and found.valid_loss <= self._good.loss and self.run.finite:
            self._good = _Good(self._copy(), found.valid_loss, self._good.times)
        held = [self.task.reached(e.metric) for e in self.history[-HOLD - 1 :]]
        if self.until_target and len(held) > HOLD and all(held):
            self.status = "reached"

    def _look_after(self) -> None:
        """Write a checkpoint if it is time, or the run is over, or was asked to end."""
        over, run = self.status != "begun", self.run
        asked = next((s for s in self.ranks.all(self.stop.signal) if s is not None), None)
        if self.save_every is None:
            spent = time.monotonic() - self._since
            due = spent >= max(SPACING, SHARE * self._writing)
        else:
            due = run.step % self.save_every == 0
        due = self.unsaved and (due or over or asked is not None or not self._tried)
        if self.ranks.first(self.folder is not None and due):
            self.put_down(must=not self._tried)
        self._tried = True
        if asked is not None and not over:
            self.stop.signal = asked
            self.stop.end()

    def put_down(self, *, must: bool = False) -> None:
        """Write a checkpoint, if there is a folder and the weights are finite: of others the next
        update will tell. ``must`` it be possible?"""
        if self.run.finite:
            state = self._state()
            if self.folder is not None:
                self._save(self.folder, state, must=must)

    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "run": self.run.state_dict(), "evaluations": [astuple(e) for e in self.history],
            "status": self.status, "good": self._good and list(vars(self._good).values()),
        }  # fmt: skip

    def _save(self, folder: Folder, state: dict[str, Any], *, must: bool) -> None:
        """Write a checkpoint, and the best weights so far; ``must`` it be possible?"""
        run, since = self.run, time.monotonic()
        try:
            if not folder.stand():
                self.tell(events.Told(f"{folder.path} was removed; it is made anew"))
            if self._best is not None:  # before the checkpoint that knows of it
                best, weights = self._best
                facts = {"step": best.step, self.task.metric.name: best.metric}
                folder.write_weights("best", weights, facts)
                self._best = None
            path = folder.checkpoints.write(run.step, state)
            if not self._tried:
                folder.refuse_no_room(path)
            folder.note(self.status, run.step, self.history[-1] if self.history else None)
        except (OSError, InputError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            text = f"no checkpoint can be written to {folder.path} after {run.step} updates"
            self._unwritten = f"{text}: {why}"
            if must:
                raise InputError(self._unwritten) from error
            if self.status == "begun":
                self.tell(events.Told(f"{text}, and the run goes on without: {why}"))
            self._since = time.monotonic()
            return
        self._saved, self._unwritten = run.step, None
        self._since, self._writing = time.monotonic(), time.monotonic() - since
        self.tell(events.Saved(run.step, path))

    def _copy(self) -> dict[str, Any]:
        """The run as it is, to go back to."""
        return copy.deepcopy(self.run.state_dict())

    def _wrong(self) -> None:
        """Go back with half the learning rate, where that was asked for; else raise."""
        run, step = self.run, self.run.step
        text = f"{run.diverged}{self._named()}"
        good = self._good
        if good is not None and good.times < MOST_BACK:
            run.load_state_dict(copy.deepcopy(good.state))
            run.lower(BACK)
            self._good = _Good(self._copy(), good.loss, good.times + 1)
            self.history = [e for e in self.history if e.step <= run.step]
            if self._best is not None and self._best[0] not in self.history:
                self._best = None
            self._saved = min(self._saved, run.step)
            self.tell(events.Told(f"{text}; back to step {run.step} at half the learning rate"))
            return
        kept = self.folder.checkpoints.found() if self.folder is not None else []
        if kept:
            text += f". The last checkpoint from before is {kept[0][1]}"
        if good is not None:
            text += f". The learning rate was halved {MOST_BACK} times"
        if self.folder is not None:
            self.folder.note("diverged", step, self.history[-1] if self.history else None)
        raise TrainingError(text, step, self.history)

    def _named(self) -> str:
        """Of a loss that is not finite, where that comes from."""
        names = self.run.lost
        return f"; NaN or infinity is in {named(names)}" if names else ""
