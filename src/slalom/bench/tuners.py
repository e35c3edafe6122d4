"""What it costs other tuners to find what the race finds, on the same recorded runs.

Optuna (TPE with Hyperband) and Ray Tune (ASHA) search the same space: one of the classic methods,
and its learning rate evenly in the logarithm of its range. A run stops where it reaches the target
and holds it, or at the task's cap; what a tuner minimises is the work to the target, and what it
prunes by is the loss on the validation set at each evaluation, which is what heats are ranked by.
All go by one seed. The cost is in typical runs of the grid's best setting, until the best that was
found is within 1.15 of it: a tuner is stopped there, which it could not know, and all of the heats
are paid. The race's finals are counted in a line of their own. They tell which rule is faster
and by how much, on fresh seeds; whoever wants to know that of a tuner's choice pays them as well.
"""

from __future__ import annotations

import logging
import math
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slalom.bench.race import banked, needs, replay, search
from slalom.racing.contender import Lane
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.replay import Bank
from slalom.racing.runner import History
from slalom.racing.space import searched_evenly
from slalom.train import Task

WITHIN = 1.15
"""Of the grid's best; what counts as found."""

TRIALS = 200
"""Trials of a tuner at most; one that has not found it by then counts as infinitely dear."""


class Tuning:
    """One search of a tuner over the recorded runs of a task: what it has cost, and found.

    Trials of a tuner all have one seed, as it would run them.
    """

    def __init__(self, task: Task, bank: Bank, seed: int):
        self.task, self.bank, self.seed = task, bank, seed
        self.grid = needs(task, bank)
        self.least = min(self.grid.values())
        self.spent, self.cost = 0.0, math.inf
        self._best = math.inf

    def trial(self, method: str, share: float, report: Callable[[int, float], bool]) -> float:
        """Run one setting; ``report(evaluations, loss)`` says whether it is pruned.

        Returns the work to the target; for a run that does not arrive, more than the cap.
        """
        low, high = searched_evenly(FIELD[method].space, "lr") or (1.0, 1.0)
        key = self.bank.nearest(method, low * (high / low) ** share)
        histories = self.bank.histories[key]
        history: History = histories[self.seed % len(histories)]
        lane = Lane.of(self.task, Entrant(0, FIELD[method], {}))
        crossing = history.crossing(self.task)
        loss = math.inf
        evaluations = history.evaluations
        for i, e in enumerate(evaluations):
            loss = e.valid_loss if math.isfinite(e.valid_loss) else 1e9
            if report(i + 1, loss) and crossing is None:
                self.spent += lane.work(e)
                return self.task.max_steps + loss
        if crossing is None:  # recorded no further; the tuner would go on to the cap
            last = lane.work(evaluations[-1]) if evaluations else 0.0
            n = len(evaluations)
            while history.ended is None and last < self.task.max_steps:
                n, last = n + 1, last + lane.stride
                if report(n, loss):
                    break
            self.spent += last
            return self.task.max_steps + min(loss, 1e9)
        self.spent += lane.work(evaluations[-1])
        work = lane.work(crossing)
        if work < self._best:
            self._best = work
            found = self.grid[key] <= WITHIN * self.least
            self.cost = self.spent / self.least if found else math.inf
        return work

    @property
    def evaluations(self) -> int:
        """Evaluations up to the cap, for an entrant with the task's batches."""
        return self.task.max_steps // self.task.eval_every


def optuna_cost(task: Task, bank: Bank, seed: int) -> float:
    """What Optuna needs: TPE, pruned by Hyperband."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tuning = Tuning(task, bank, seed)

    def objective(trial: Any) -> float:
        method = trial.suggest_categorical("method", list(FIELD))
        share = trial.suggest_float(f"lr of {method}", 0.0, 1.0)
        pruned = False

        def report(evaluations: int, loss: float) -> bool:
            nonlocal pruned
            trial.report(loss, evaluations)
            pruned = trial.should_prune()
            return pruned

        value = tuning.trial(method, share, report)
        if pruned and value > task.max_steps:
            raise optuna.TrialPruned
        return value

    pruner = optuna.pruners.HyperbandPruner(1, tuning.evaluations, 3)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
    stop = [lambda study, trial: study.stop() if math.isfinite(tuning.cost) else None]
    study.optimize(objective, n_trials=TRIALS, callbacks=stop)  # type: ignore[arg-type]
    return tuning.cost


def asha_cost(task: Task, bank: Bank, seed: int) -> float:
    """What ASHA needs: Ray Tune's own scheduler, asked by one worker at a time.

    Its class decides about each reported result; the processes around it would train nothing here.
    """
    import random

    from ray.tune.experiment import Trial
    from ray.tune.schedulers import ASHAScheduler, TrialScheduler

    tuning, chance = Tuning(task, bank, seed), random.Random(seed)
    scheduler = ASHAScheduler(
        time_attr="n", metric="loss", mode="min", max_t=tuning.evaluations, grace_period=1,
        reduction_factor=3,
    )  # fmt: skip
    for _ in range(TRIALS):
        trial = Trial("replayed", stub=True)
        scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]

        def report(evaluations: int, loss: float, trial: Any = trial) -> bool:
            if evaluations >= tuning.evaluations:
                return False
            asked = scheduler.on_trial_result(None, trial, {"n": evaluations, "loss": loss})  # type: ignore[arg-type]
            return asked == TrialScheduler.STOP

        tuning.trial(chance.choice(list(FIELD)), chance.random(), report)
        if math.isfinite(tuning.cost):
            break
    return tuning.cost


def heats_cost(task: Task, bank: Bank, seed: int) -> float:
    """What the race's search needs, its choice made by the one seed of the heats."""
    found = search(task, bank, seed)
    return found.cost * found.regret if found.picked <= WITHIN else math.inf


def race_cost(task: Task, bank: Bank, seed: int) -> float:
    """What the whole race needs, finals and all."""
    found = replay(task, bank, seed)
    return found.cost * found.regret if found.regret <= WITHIN else math.inf


def main(folder: Path = Path("benchmarks/bank"), seeds: int = 10) -> None:
    """Print, for every task and in all, the median cost of each."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    kinds = {
        "slalom, heats": heats_cost, "optuna TPE+Hyperband": optuna_cost,
        "ray tune ASHA": asha_cost, "slalom, with finals": race_cost,
    }  # fmt: skip
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    print(f"cost to be within {WITHIN} of the best, in its runs; median (found, of {seeds} seeds)")
    for task, bank in banked(folder):
        for kind, cost in kinds.items():
            costs = [cost(task, bank, seed) for seed in range(seeds)]
            found[kind] += costs
            print(f"{task.name:17} {kind:21} {_told(costs)}", flush=True)
    for kind, costs in found.items():
        print(f"{'all':17} {kind:21} {_told(costs)}")


def _told(costs: list[float]) -> str:
    return f"{statistics.median(costs):7.1f}  ({sum(map(math.isfinite, costs))})"


if __name__ == "__main__":
    main()
