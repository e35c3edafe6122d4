"""What it is worth to train the runs of finals by machine code, or in lanes: taking turns."""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from slalom.racing.abreast import Abreast
from slalom.racing.contender import Lane
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.runner import Request, Runner
from slalom.racing.together import left_to_torch, refusal
from slalom.racing.trainer import Trainer
from slalom.tasks import TASKS, load
from slalom.train import Task

RATES = {"RMSProp": 0.003, "Adam": 0.01, "Momentum": 0.1}
"""Who runs, at a learning rate with which most of them arrive on the built-in tasks."""

ROUNDS = 3


def seconds(runner: Runner, asked: Sequence[Request]) -> float:
    """Of an update and its share of the evaluations."""
    start = time.perf_counter()
    made = sum(history.step for _, history in runner.advance(asked))
    return (time.perf_counter() - start) / made


def measured(task: Task, lanes: int, seeds: int) -> str:
    """A line: us an update by torch, one by one, and how many times faster in other ways."""
    families = [FIELD[label] for label in RATES]
    entrants = [Entrant(i, FIELD[label], {"lr": lr}) for i, (label, lr) in enumerate(RATES.items())]
    every = Lane.of(task, entrants[0]).every
    asked = [Request(e, seed, task.max_steps, every) for seed in range(seeds) for e in entrants]
    ways: dict[str, Callable[[], Runner]] = {"one by one": lambda: Trainer(task)}
    if left_to_torch(task, 0) is None:
        own = copy.copy(task)
        own.compiled = True
        ways["by machine code"] = lambda: Trainer(own)
    why = None
    if lanes > 1 and (why := refusal(task, families, 0, to_the_bit=False)) is None:
        ways[f"in {lanes} lanes"] = lambda: Abreast(task, lanes)
    rounds = [{name: seconds(make(), asked) for name, make in ways.items()} for _ in range(ROUNDS)]
    told = []
    for name in ways:
        each = statistics.median(found[name] for found in rounds) * 1e6
        ratio = statistics.median(found["one by one"] / found[name] for found in rounds)
        told.append(f"{each:5.0f} us {name}" + ("" if name == "one by one" else f" ({ratio:.2f})"))
    return ", ".join(told) + ("" if why is None else f"; no lanes: {why}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the lines of the tasks named, by default of all built-in ones: ``[TASK ...] [--lanes N]
    [--seeds N]``; of 1 lane none are measured."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    numbers = {"--lanes": 16, "--seeds": 30}
    for name in numbers:
        if name in words:
            place = words.index(name)
            numbers[name] = int(words[place + 1])
            del words[place : place + 2]
    for name in words or TASKS:
        line = measured(load(name), numbers["--lanes"], numbers["--seeds"])
        print(f"{name:13} {line}", flush=True)
