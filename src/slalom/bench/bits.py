"""What training by Adam loses where its states have eight bits and its parameters sixteen.

Six tasks of the bank, at the rate that is the best in it, on 30 seeds that chose nothing. Every
form is compared with float32 seed by seed, by the test that judges a race: all seeds are run, so
that its error of 5% is one look's. Tensors of every size have codes here, as these models have no
large ones.
"""

from __future__ import annotations

import copy
import json
import math
import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slalom import optim
from slalom.bench.bank import load
from slalom.engine import keeping
from slalom.racing.contender import Lane
from slalom.racing.design import Design
from slalom.racing.entrants import Entrant, Family
from slalom.racing.estimate import estimate
from slalom.racing.needs import Run
from slalom.racing.replay import Bank
from slalom.racing.runner import HOLD, Request
from slalom.racing.sequential import judge
from slalom.racing.trainer import Trainer, one_thread
from slalom.train import Task, atomic

TASKS = ("small-cnn", "small-attention", "small-rnn", "rare-words", "mislabelled-fifth", "lookup")

SEEDS = range(1000, 1030)

DESIGN = Design(error=0.05, seeds=len(SEEDS), first=len(SEEDS))

FORMS: dict[str, dict[str, Any]] = {
    "float32": {},
    "8bit": {"state_dtype": "8bit"},
    "8bit, by chance": {"state_dtype": "8bit", "rounding": "stochastic"},
    "exact": {"state_dtype": "float32", "remainder": "exact"},
    "exact, 8bit": {"state_dtype": "8bit", "remainder": "exact"},
    "kahan, 8bit": {"state_dtype": "8bit", "remainder": "kahan"},
    "bfloat16": {"state_dtype": "8bit"},
}
"""Arguments of Adam; what comes after the first three has the model in bfloat16, all of it.

``exact`` is training in float32 but for the arithmetic of the model, to the bit: what it needs more
is that arithmetic's, and what others need more than it, is theirs.
"""

WIDE = ("float32", "8bit", "8bit, by chance")


class InBfloat(nn.Module):
    """A model whose parameters and arithmetic are bfloat16, which takes and gives float32."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner.bfloat16()

    def forward(self, *inputs: Tensor) -> Tensor:
        narrow = [x.bfloat16() if x.is_floating_point() else x for x in inputs]
        return self.inner(*narrow).float()


def task_of(name: str, form: str) -> Task:
    task = load(name)
    _ = task.reduction  # found out once, for the model in float32
    if form in WIDE:
        return task
    made, model = copy.copy(task), task.model
    if isinstance(model, nn.Module):
        raise TypeError(f"{name} has one model for all seeds")
    made.model = lambda: InBfloat(model())
    return made


def rate(name: str, folder: Path) -> float:
    """The learning rate of Adam that takes the least, in the median over the bank's own seeds."""
    bank, task = Bank.load(folder / f"{name}.json.xz"), load(name)
    needs = {}
    for (family, lr), histories in bank.histories.items():
        if family == "Adam" and lr is not None:
            crossings = [h.crossing(task) for h in histories]
            needs[lr] = statistics.median(math.inf if c is None else c.step for c in crossings)
    return min(needs, key=needs.__getitem__)


def run(task: Task, form: str, lr: float, seed: int) -> tuple[float, bool, bool]:
    """(updates to the target or to the end, whether it arrived, whether it ended by itself)."""
    entrant = Entrant(0, Family("Adam", optim.Adam, {}, FORMS[form]), {"lr": lr})
    every = Lane.of(task, entrant).every
    until = task.max_steps + HOLD * task.eval_every
    ((_, history),) = Trainer(task).advance([Request(entrant, seed, until, every)])
    crossing = history.crossing(task)
    last = crossing or (history.evaluations[-1] if history.evaluations else None)
    return (last.step if last else 1), crossing is not None, history.ended is not None


def tell(name: str, forms: Mapping[str, Mapping[str, Any]], stride: float) -> None:
    """Print what a task's runs say of each form beside float32."""
    runs = {
        form: {
            int(s): Run(work, arrived, stride, ended) for s, (work, arrived, ended) in own.items()
        }
        for form, own in forms.items()
    }
    whole = runs["float32"]
    middle = statistics.median(r.work for r in whole.values())
    arrived = sum(r.arrived for r in whole.values())
    print(
        f"\n{name}: float32 takes {middle:.0f} updates in the median; "
        f"{arrived} of {len(whole)} runs arrive"
    )
    for form, own in runs.items():
        bases = ["float32"] if form in WIDE else ["float32", "exact"]
        for base in [b for b in bases if b != form]:
            if min(len(own), len(runs[base])) < len(SEEDS):
                continue
            ratio = estimate(own, runs[base], DESIGN.error, *DESIGN.looks)
            judged = judge({base: runs[base], form: own}, DESIGN)
            told = "; ".join(
                f"{n} is {f.call}" if f.call == DESIGN.lost else f"not told apart (p = {f.p:.2f})"
                for n, f in judged.findings.items()
            )
            arrived = sum(r.arrived for r in own.values())
            print(f"  {form:17} over {base:9}{ratio!s:22} {arrived} arrive; {told}", flush=True)


def main(path: str = "benchmarks/bits.json", folder: str = "benchmarks/bank") -> None:
    """Make the runs that the file lacks, which is written after each, and print what all say."""
    keeping.LEAST = 1
    file = Path(path)
    found = json.loads(file.read_text()) if file.exists() else {}
    torch.set_num_threads(1)
    if hasattr(os, "nice"):
        os.nice(19 - os.nice(0))
    with one_thread():
        for name in TASKS:
            lr, made = rate(name, Path(folder)), {form: task_of(name, form) for form in FORMS}
            own = found.setdefault(name, {})
            for seed in SEEDS:
                for form, task in made.items():
                    if str(seed) not in own.setdefault(form, {}):
                        own[form][str(seed)] = run(task, form, lr, seed)
                with atomic.whole(file) as out:
                    out.write(json.dumps(found).encode())
            tell(name, own, made["float32"].eval_every)


if __name__ == "__main__":
    main()
