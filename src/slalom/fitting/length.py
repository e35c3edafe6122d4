"""How long a run is: epochs, steps, or seconds; by default what its task says."""

from __future__ import annotations

import math
from dataclasses import dataclass

from slalom.errors import InputError
from slalom.fitting.chosen import Chosen
from slalom.train import Task
from slalom.train.given import above_zero, whole_number


@dataclass(frozen=True)
class Length:
    """The length of a run.

    Attributes:
        batch: samples in an update.
        updates: after which it ends; None for one that ends by the clock.
        seconds: of updates after which it ends; infinite otherwise.
        every: updates between evaluations.
        told: the length in words.
    """

    batch: int
    updates: int | None
    seconds: float
    every: int
    told: str


def length_of(
    task: Task, chosen: Chosen, epochs: float | None, steps: int | None, seconds: float | None,
    eval_every: int | None,
) -> Length:  # fmt: skip
    """The length that is asked for; that of the task where none is.

    Raises :class:`InputError` where two are given, for what is none, and for seconds under a
    schedule that has to know its end.
    """
    given = {"epochs": epochs, "steps": steps, "seconds": seconds}
    asked = [name for name, value in given.items() if value is not None]
    if len(asked) > 1:
        raise InputError(f"{' and '.join(asked)} are given; a run has one length")
    size = chosen.batch_size
    batch = task.n_train if size == "all" else size or task.batch_size
    usual = round(task.eval_every * task.batch_size / batch)
    every = max(1, usual if eval_every is None else whole_number("eval_every", eval_every))
    budget = task.budget
    if not asked and budget is not None and budget.unit == "seconds":
        seconds = budget.amount
    if seconds is not None:
        limit = above_zero("seconds", seconds) or 0.0
        if task.schedule.ends:
            raise InputError(
                f"a {task.schedule.told} has to know after how many updates the run ends; give "
                "epochs or steps in place of seconds"
            )
        return Length(batch, None, limit, every, f"{limit:g} seconds")
    if epochs is not None:
        amount = above_zero("epochs", epochs) or 0.0
        updates = task.updates_of(amount, batch)
        return Length(batch, max(1, updates), math.inf, every, f"{amount:g} epochs")
    if steps is not None:
        updates = whole_number("steps", steps)
    elif (own := task.updates(batch)) is not None:
        updates = own
    else:
        updates = chosen.horizon or max(1, math.ceil(task.max_steps * task.batch_size / batch))
    return Length(batch, updates, math.inf, every, f"{updates:,} steps")
