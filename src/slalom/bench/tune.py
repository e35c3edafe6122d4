"""Whether what ``slalom tune`` says of the models of ``slalom bench loop`` holds afterwards."""

from __future__ import annotations

import time

import torch
from torch.utils.data import DataLoader, TensorDataset

from slalom.bench.loop_models import MODELS
from slalom.bench.memory import CASES
from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.loops import PlainRun
from slalom.fitting.tuning.trials import TURN, Trials
from slalom.racing.machine import processor
from slalom.train import Task

EVERY = {**CASES, **MODELS}
"""Name -> what makes the model and its loss: those of ``bench loop``, and of ``bench memory``."""

WORST = 0.98
"""How many times as fast a tuned step is to be at least."""

LARGE = {"MLP of 12 x 1024": 1.2, "MLP 2.4M": 1.2, "CNN, 32x32": 1.2}
"""And bit for bit, of the large ones."""

BATCHES = 8
"""Of an epoch."""

AFTERWARDS = 0.25
"""Of the time is for measuring what was chosen once more."""


def task_of(name: str) -> Task:
    """The model with a DataLoader of some batches like its own, as a loop by hand has them."""
    torch.manual_seed(0)
    _, loss = EVERY[name]()
    rows = [tensor.repeat(BATCHES, *[1] * (tensor.dim() - 1)) for tensor in loss.batch]
    size = len(loss.batch[0])
    loader = DataLoader(TensorDataset(*rows), size, shuffle=True)
    return Task(
        lambda: EVERY[name]()[0], train=loader, valid=tuple(loss.batch), metric="loss",
        step=lambda model, batch: loss.of(model, *batch), name=name,
    )  # fmt: skip


def adam(parameters: object) -> torch.optim.Adam:
    """torch's, with nothing said."""
    return torch.optim.Adam(parameters, lr=1e-4)  # type: ignore[arg-type]


def main(rounds: int = 12, model: str | None = None, seconds: float = 120.0) -> list[str]:
    """Tune each model for so many seconds beside the plain loop (a DataLoader, torch's Adam), what
    was chosen measured anew at their end; print both, and the bars missed."""
    print(f"{processor()}, torch {torch.__version__}, {torch.get_num_threads()} threads; Adam")
    print(f"\n  {'':20}{'as it is':>10}{'bit for bit':>20}{'all':>20}")
    missed = []
    for name in EVERY if model is None else [model]:
        now = time.monotonic()
        ends = now + seconds
        trials = Trials(
            task_of(name), adam, None, PlainRun, ends - AFTERWARDS * seconds, rounds, TURN,
            lambda text: None,
        )  # fmt: skip
        with trials:
            found = trials.tuned(list(LEVERS))
            sets = [found.best(exact=True), found.best(exact=False)]
            asked = [names for names in dict.fromkeys(sets) if names]
            seen = {v.levers: v for v in trials.compared(asked, ends, whole=True)}
        told = []
        for names, least in zip(sets, (LARGE.get(name, WORST), WORST), strict=True):
            text, gain = "as it is", 1.0
            if names in seen:
                low, high = seen[names].interval
                gain = seen[names].gain
                text = f"{gain:.2f} ({low:.2f}-{high:.2f})"
            told.append(text)
            if gain < least:
                which = " + ".join(names) or "as it is"
                missed.append(f"{name}: {which} is {gain:.2f} times as fast, below {least}")
        ms = f"{1e3 * trials.usual[-1].seconds:.2f} ms"
        which = "; ".join(" + ".join(names) for names in asked)
        print(f"  {name:20}{ms:>10}{told[0]:>20}{told[1]:>20}  {which}", flush=True)
        if found.untried:
            print(f"    not tried in {seconds:.0f} s: {', '.join(found.untried)}")
    print(f"\nbelow the bar: {len(missed) or 'nothing'}", *missed, sep="\n  ")
    return missed


if __name__ == "__main__":
    main()
