"""Whether the runs of a race can be trained side by side, found out before it starts."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.optim import SGD

from slalom.racing.contender import Lane
from slalom.racing.entrants import Entrant, Family
from slalom.racing.space import points
from slalom.racing.trainer import one_thread
from slalom.train import Evaluation, Run, Task, stack
from slalom.train.compiled import CompiledRun
from slalom.train.compiled import refusal as unserved
from slalom.train.loop import Loop
from slalom.train.objective import Supervised
from slalom.train.tree import same

FIRST = 2
"""Updates after which a run in a stack is compared with the one by itself."""

MOST = 40
"""Updates that are made in stacks of other runs, at most: an epoch where it is shorter, whose last
batch may be smaller."""

ROUNDING = 200
"""Units of rounding by which losses may differ after the first updates."""


Begun = Callable[[int], Run]
"""A run at its start, by its seed."""


def refusal(
    task: Task, families: Sequence[Family], seed: int, *, to_the_bit: bool = True
) -> str | None:
    """Why the runs of a race cannot be trained side by side, or None.

    By what the task is, and by a trial: every family's runs make their first updates by themselves
    and in stacks. Their losses must agree to rounding; and with ``to_the_bit``, whoever else is in
    the stack, to the bit, so that a race that was killed comes to the same when it is resumed. It
    takes as long as a few epochs of training, at most.
    """
    if any("precision" in (*f.space, *f.fixed) for f in families):
        return ACCUMULATES
    entrants = [
        Entrant(number, family, points(family.space, None, seed)[0])
        for number, family in enumerate(families)
    ]
    runs = [(e.family.label, partial(_begun, task, e)) for e in entrants]
    return refused(task, runs, seed, to_the_bit=to_the_bit)


ACCUMULATES = "it accumulates batches, or has a precision of its own"
OWN_LOOP = "a loop of one's own trains itself"


def refused(
    task: Task, runs: Sequence[tuple[str, Begun]], seed: int, *, to_the_bit: bool = True
) -> str | None:
    """The same of runs (what each is called, and what begins it)."""
    if isinstance(task, Loop):
        return OWN_LOOP
    if not isinstance(task.objective, Supervised) or any(task.objective.modules_that_learn()):
        return "its loss is no function of outputs and targets alone"
    if task.accumulate > 1 or task.precision is not None:
        return ACCUMULATES
    with one_thread():
        return _tried(task, runs, seed, to_the_bit)


def _tried(
    task: Task, runs: Sequence[tuple[str, Begun]], seed: int, to_the_bit: bool
) -> str | None:
    alone: list[tuple[str, Evaluation]] = []
    several: list[Callable[[], Run]] = []
    for number, (label, begun) in enumerate(runs):
        try:
            run = begun(seed + number)
            if run.batch() is None:
                continue
            places = sum(1 for _ in run.model.named_modules(remove_duplicate=False))
            if places > sum(1 for _ in run.model.modules()):
                return "a layer is in two places of the model"  # where torch leaves what it swaps
            before = run.state_dict()
            buffers = [b.clone() for b in run.model.buffers()]
            run.advance(FIRST)
            after, found = run.state_dict(), run.evaluate()
        except Exception:  # it fails alone, as where it fails later
            continue
        if not same(before["noise"], after["noise"]):
            return f"an update of {label} draws random numbers"
        if not same(buffers, list(run.model.buffers())):
            return "the model keeps more of a batch than its gradient, as BatchNorm does"
        if not same(before["attributes"], after["attributes"]):
            return "the model or the loss keeps something in its attributes from batch to batch"
        alone.append((label, found))
        several.append(partial(begun, seed + number))
    if not alone:
        return "every update takes more than one batch"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "There is a performance drop")  # of one by one
            first = _stacked(several, FIRST)
    except Exception as error:
        said = re.split(r"(?<=\w)\. |\n", str(error))[0]
        return f"torch cannot stack it: {type(error).__name__}: {said}"
    for (label, own), beside in zip(alone, first, strict=True):
        pairs = (own.train_loss, beside.train_loss), (own.valid_loss, beside.valid_loss)
        if not all(_near(*pair) for pair in pairs):
            return (
                f"{label} comes to a loss of {own.valid_loss:.6g} by itself, and of "
                f"{beside.valid_loss:.6g} beside others"
            )
    if to_the_bit and _hangs_on_others(task, several):
        return "the last bit of its losses hangs on who trains beside it"
    return None


def _hangs_on_others(task: Task, runs: Sequence[Callable[[], Run]]) -> bool:
    """Whether runs come to other numbers in another place of the stack, or with others in it."""
    updates = min(MOST, max(FIRST, task.updates_per_epoch(task.batch_size)))
    whole = _losses(_stacked(runs, updates))
    other = _losses(_stacked([*runs[::-1], runs[0]], updates))
    single = _losses(_stacked(runs[:1], updates))
    return whole != other[-2::-1] or single != whole[:1]


def left_to_torch(task: Task, seed: int, batch_size: Any = None) -> str | None:
    """Why torch goes through the models of a task; None where machine code does, and comes to what
    torch does: by the first updates, to rounding."""
    if isinstance(task, Loop):
        return OWN_LOOP
    if (why := unserved(task, seed)) is not None:
        return why
    found = []
    with one_thread():
        for kind in (Run, CompiledRun):
            size = batch_size or task.batch_size
            run = kind(task, partial(SGD, lr=1e-3), seed, batch_size=size)
            loss = run.advance(FIRST)
            if isinstance(run, CompiledRun) and not run.served:
                return "an update takes several batches, or inputs that are no rows of float32"
            found.append((loss, run.evaluate().valid_loss))
    if all(_near(*pair) for pair in zip(*found, strict=True)):
        return None
    return "by machine code its first updates come to something else"


def _begun(task: Task, entrant: Entrant, seed: int) -> Run:
    length = entrant.horizon or Lane.of(task, entrant).end
    own = entrant.of(task)
    return Run(own, entrant.optimizer, seed, batch_size=entrant.batch_size, updates=length)


def _stacked(runs: Sequence[Callable[[], Run]], updates: int) -> list[Evaluation]:
    """What runs come to that make so many updates side by side.

    Those of batches of other sizes are apart, as they are in a race.
    """
    members = [stack.Member(begun()) for begun in runs]
    for _ in range(updates):
        groups: dict[Any, list[tuple[stack.Member, stack.Batch]]] = {}
        for member in members:
            batch = member.run.batch()
            assert batch is not None
            groups.setdefault(stack.shapes(batch), []).append((member, batch))
        for group in groups.values():
            found = stack.update(*zip(*group, strict=True))
            for error in found:
                if isinstance(error, Exception):
                    raise error
    return stack.evaluate(members)


def _near(one: float, other: float) -> bool:
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.isfinite(one) == math.isfinite(other)
    return abs(one - other) <= ROUNDING * torch.finfo(torch.float32).eps * (1 + abs(one))


def _losses(found: Sequence[Evaluation]) -> list[tuple[str, str]]:
    return [(e.train_loss.hex(), e.valid_loss.hex()) for e in found]
