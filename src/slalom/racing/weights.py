"""The weights that a race ends with: those of its winner, at their best."""

from __future__ import annotations

from pathlib import Path

from slalom.racing.contender import Lane
from slalom.racing.entrants import Entrant
from slalom.racing.result import Result
from slalom.racing.status import Stage
from slalom.racing.trainer import one_thread
from slalom.train import Task, atomic
from slalom.train.loop import begun

FILE = "weights.safetensors"


def keep(result: Result, task: Task, entrants: list[Entrant]) -> Path | None:
    """Write the weights of the winner where its metric was best in the finals; None if none won.

    The run is made again up to there, which gives the same to the bit, so that a race need not keep
    the weights of all that might win. The file says of which entrant, seed and update they are, and
    what the metric is there.
    """
    from safetensors.torch import save

    if result.winner is None:
        return None
    label = result.winner.label
    told = [
        (metric if task.higher_is_better else -metric, -step, -curve.seed)
        for curve in result.curves if curve.stage == Stage.FINAL and curve.label == label
        for step, metric in zip(curve.step, curve.metric, strict=True) if metric is not None
    ]  # fmt: skip
    if not told:
        return None
    _, later, seed = max(told)
    entrant = next(e for e in entrants if e.label == label)
    with one_thread():
        length = entrant.horizon or Lane.of(task, entrant).end
        run = begun(entrant.of(task), entrant.optimizer, -seed, entrant.batch_size, length)
        run.advance(-later)
        found = run.evaluate()
        weights = run.weights()
    facts = {
        "entrant": label, "seed": -seed, "step": -later, "task": task.name,
        task.metric.name: found.metric,
    }  # fmt: skip
    content = save(weights, {name: str(value) for name, value in facts.items()})
    return atomic.write(content, result.path / FILE)
