"""A table of the bank: what each task asks of a search, and that it is what it says it is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

from slalom.bench.bank import kind
from slalom.bench.need import Need
from slalom.bench.race import banked, need
from slalom.racing.entrants import FIELD
from slalom.racing.replay import Bank, Key
from slalom.racing.runner import History
from slalom.racing.space import searched_evenly
from slalom.train import Task

MOVED = 0.1
"""The share of the way to the target up to which a run counts as not having moved."""

EARLY = 0.125
"""The share of the best's need at which others may be ahead of it."""

EXPLAINED = """\
need: expected work with restarts (ERT), in updates of the task's batch size, of the best setting
seeds: that arrive with it; of all settings that arrive at all, in the mean
waits: share of its way before it has gone a tenth of what it has to go (its plateau)
rises: its highest validation loss over its first
early: share of settings with a lower loss than it at an eighth of its way
then, rule by rule: the best rate, what it needs, and the seeds that arrive (* outside its range)"""


def show(folder: Path, names: Iterable[str] = (), write: Callable[[str], None] = print) -> None:
    """Write the table, for all recorded tasks or for those named."""
    write(EXPLAINED)
    for task, bank in banked(folder, tuple(names)):
        write("")
        for line in lines(task, bank):
            write(line)


def lines(task: Task, bank: Bank) -> list[str]:
    """What the table says of one task."""
    needs = {key: need(task, bank, key) for key in bank.histories}
    best = min(needs, key=lambda key: needs[key].expected)
    arriving = [n.arrived for n in needs.values() if n.arrived]
    parameters = sum(p.numel() for p in task.make_model(0).parameters())
    runs = [h for h in bank.histories[best] if h.crossing(task)]
    head = (
        f"{task.name} ({kind(task.name)}): {parameters} parameters, {task.metric.name} "
        f"{task.target:.4g}, cap {task.max_steps}, evaluated every {task.eval_every}"
    )
    if not runs:
        return [head, "  nobody arrives"]
    rules = [_rule(needs, family.label) for family in FIELD.values()]
    return [
        head,
        f"  need {needs[best].expected:.0f}, {statistics.median(map(len, _ways(task, runs))):.0f} "
        f"evaluations; seeds {needs[best].arrived:.0%}, {statistics.mean(arriving):.0%}; "
        f"waits {statistics.median(waiting(task, h) for h in runs):.0%}; "
        f"rises {statistics.median(rising(h) for h in runs):.2g}; "
        f"early {statistics.median(ahead(bank, best, task, i) for i in range(bank.seeds)):.0%}",
        "  " + ", ".join(filter(None, rules)),
    ]  # fmt: skip


def _rule(needs: dict[Key, Need], label: str) -> str:
    own = {key[1]: n for key, n in needs.items() if key[0] == label}
    if not own:
        return ""
    rate = min(own, key=lambda r: own[r].expected)
    low, high = searched_evenly(FIELD[label].space, "lr") or (0.0, math.inf)
    mark = "" if low <= rate <= high else "*"
    if not own[rate].arrived:
        return f"{label} never"
    return f"{label} {rate:g}{mark}: {own[rate].expected:.0f} ({own[rate].arrived:.0%})"


def _ways(task: Task, runs: Iterable[History]) -> list[list[float]]:
    """The metric up to the crossing, of runs that have one."""
    found = []
    for run in runs:
        crossing = run.crossing(task)
        assert crossing is not None
        found.append([e.metric for e in run.evaluations if e.step <= crossing.step])
    return found


def waiting(task: Task, run: History) -> float:
    """The share of a run's way before it has for good done :data:`MOVED` of what it has to do."""
    ((first, *rest),) = _ways(task, [run])
    assert task.target is not None
    moved = [(m - first) / (task.target - first) if task.target != first else 1.0 for m in rest]
    still = [i for i, share in enumerate(moved, 1) if share < MOVED]
    return (max(still, default=0) + 1) / (len(rest) + 1)


def rising(run: History) -> float:
    """The highest loss of a run over its first."""
    return max(e.valid_loss for e in run.evaluations) / run.evaluations[0].valid_loss


def ahead(bank: Bank, best: Key, task: Task, seed: int) -> float:
    """The share of settings with a lower loss than the best's, early on its way on a seed."""
    own = bank.histories[best][seed]
    crossing = own.crossing(task) or own.evaluations[-1]
    limit = max(EARLY * crossing.samples, own.evaluations[0].samples)
    losses = {key: _loss(runs[seed], limit) for key, runs in bank.histories.items()}
    return sum(loss < losses[best] for loss in losses.values()) / len(losses)


def _loss(run: History, samples: float) -> float:
    known = [e.valid_loss for e in run.evaluations if e.samples <= samples]
    return known[-1] if known and math.isfinite(known[-1]) else math.inf
