"""Who is in a race: an entrant, how its updates compare with others', and its run so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from slalom.racing.entrants import Entrant
from slalom.racing.runner import History
from slalom.racing.scores import Score
from slalom.racing.space import searched_evenly
from slalom.racing.status import Status
from slalom.train import Evaluation, Task


@dataclass(frozen=True)
class Lane:
    """How an entrant's updates compare with others': batches may differ in size.

    Work is what makes them comparable: samples seen, in batches of the task's own size, so that
    for an entrant with the task's batch size it is the number of updates.

    Attributes:
        batch: samples in an update.
        usual: samples in an update of the task.
        spacing: updates of the task between evaluations.
        end: updates that a budget lasts for; None where there is none.
        longest: the work that a run may take.
    """

    batch: int
    usual: int
    spacing: int
    end: int | None = None
    longest: float = math.inf

    @classmethod
    def of(cls, task: Task, entrant: Entrant) -> Lane:
        size = entrant.batch_size
        batch = task.n_train if size == "all" else size or task.batch_size
        own = entrant.family.updates
        end = task.updates(batch) if own is None else own
        return cls(batch, task.batch_size, task.eval_every, end, float(task.max_steps))

    @property
    def every(self) -> int:
        """Updates between evaluations."""
        return max(1, round(self.spacing * self.usual / self.batch))

    @property
    def stride(self) -> float:
        """The work from one evaluation to the next."""
        return self.every * self.batch / self.usual

    def until(self, work: float) -> int:
        """The updates that this much work amounts to, up to the next evaluation or the end."""
        if self.end is not None and work >= self.longest:
            return self.end
        updates = work * self.usual / self.batch
        found = max(1, math.ceil(updates / self.every - 1e-9)) * self.every
        return found if self.end is None else min(found, self.end)

    def work(self, evaluation: Evaluation) -> float:
        """The work done up to an evaluation."""
        return evaluation.samples / self.usual


@dataclass
class Contender:
    """An entrant in the heats: its run so far, and what became of it.

    ``twin`` is its run on the heats' second seed, as far as it was made.
    """

    entrant: Entrant
    lane: Lane
    task: Task
    history: History = field(default_factory=History)
    twin: History = field(default_factory=History)
    status: Status = Status.RUNNING

    @property
    def rate(self) -> float:
        """Its learning rate; NaN if that is not searched in a range."""
        ranged = searched_evenly(self.entrant.family.space, "lr") is not None
        return self.entrant.hypers["lr"] if ranged else math.nan

    @property
    def setting(self) -> dict[str, Any]:
        """Its hyper-parameters, whatever the length of its run."""
        return {n: v for n, v in self.entrant.hypers.items() if n != "horizon"}

    @property
    def longest(self) -> float:
        """The work that a run of it may take: to the end of its schedule, where it has its own."""
        most, horizon = float(self.task.max_steps), self.entrant.hypers.get("horizon")
        return most if horizon is None else min(most, horizon * self.lane.batch / self.lane.usual)

    @property
    def to_target(self) -> float:
        """Work to the target; infinite if it was not reached."""
        crossing = self.history.crossing(self.task)
        return self.lane.work(crossing) if crossing else math.inf

    @property
    def done(self) -> float:
        """Work done so far."""
        return self._spent(self.history)

    @property
    def spent(self) -> float:
        """Work done so far, that of its twin included."""
        return self.done + self._spent(self.twin)

    def _spent(self, history: History) -> float:
        return self.lane.work(history.evaluations[-1]) if history.evaluations else 0.0

    @property
    def lost(self) -> bool:
        """Whether it diverged or failed."""
        return self.status in (Status.DIVERGED, Status.FAILED)

    @property
    def loss(self) -> float:
        """The last loss on the validation set; infinite if that is no number, or there is none.

        What settings are ranked by, whatever the metric: it tells apart early on where an accuracy
        does not.
        """
        return self.loss_at(math.inf)

    def loss_at(self, work: float) -> float:
        """The loss at the last evaluation up to this work; infinite as in :attr:`loss`."""
        return math.inf if self.lost else last_loss(self._until(work))

    def when_at(self, loss: float) -> float:
        """The work after which its loss was first this low; infinite if it never was."""
        known = (e for e in self.history.evaluations if e.valid_loss <= loss)
        first = next(known, None)
        return self.lane.work(first) if first else math.inf

    def after(self, history: History, unfinished: Status) -> Status:
        """What has become of a run of it; ``unfinished`` where it could go on."""
        if history.ended:
            return history.ended
        if history.crossing(self.task):
            return Status.REACHED
        if history.step < self.lane.until(self.longest):
            return unfinished
        if "horizon" in self.entrant.hypers and unfinished == Status.RUNNING:
            return unfinished  # a longer run of it may come
        return Status.NOT_REACHED if self.task.budget is None else Status.FINISHED

    def score(self, history: History) -> Score:
        """What a run of it has come to at the end of the budget."""
        last = history.evaluations[-1] if history.evaluations else None
        through = last is not None and self.after(history, Status.STOPPED) == Status.FINISHED
        through = through and "horizon" not in self.entrant.hypers
        metric = last.metric if last is not None and through else math.nan
        work = self.lane.work(last) if last is not None else self.lane.stride
        return Score(-metric if self.task.higher_is_better else metric, work)

    def _until(self, work: float) -> tuple[Evaluation, ...]:
        known = self.history.evaluations
        return tuple(e for e in known if self.lane.work(e) <= work + 1e-9)


def last_loss(evaluations: tuple[Evaluation, ...]) -> float:
    """The last loss on the validation set; infinite if it is no number, or there is none."""
    found = evaluations[-1].valid_loss if evaluations else math.inf
    return found if math.isfinite(found) else math.inf
