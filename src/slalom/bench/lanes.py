"""What it is worth to train the runs of finals in lanes: both ways, taking turns."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence

from slalom.racing.abreast import Abreast
from slalom.racing.contender import Lane
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.runner import Request, Runner
from slalom.racing.together import refusal
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
    """A line: us an update one by one and in lanes, and how many times faster."""
    families = [FIELD[label] for label in RATES]
    why = refusal(task, families, 0, to_the_bit=False)
    if why is not None:
        return f"one by one: {why}"
    bits = refusal(task, families, 0)
    entrants = [Entrant(i, FIELD[label], {"lr": lr}) for i, (label, lr) in enumerate(RATES.items())]
    every = Lane.of(task, entrants[0]).every
    asked = [Request(e, seed, task.max_steps, every) for seed in range(seeds) for e in entrants]
    pairs = [
        (seconds(Trainer(task), asked), seconds(Abreast(task, lanes), asked)) for _ in range(ROUNDS)
    ]
    own, beside = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    note = "" if bits is None else f"; a race goes one by one: {bits}"
    return f"{own:5.0f} us one by one, {beside:5.0f} in {lanes} lanes: {ratio:.2f} times{note}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the lines of the tasks named, by default of all built-in ones: ``[TASK ...] [--lanes N]
    [--seeds N]``."""
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
