"""Whether what ``slalom tune`` says of the models of ``slalom bench loop`` holds afterwards."""

from __future__ import annotations

import torch

from slalom.bench.loop_models import MODELS
from slalom.bench.memory import CASES
from slalom.fitting.chosen import chosen
from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.trials import TURN, compared, tuned
from slalom.racing.machine import processor
from slalom.train import Task

EVERY = {**MODELS, **CASES}
"""Name -> what makes the model and its loss: those of ``bench loop``, and of ``bench memory``."""

WORST = 0.98
"""How many times as fast a tuned step is to be at least."""

LARGE = {"MLP of 12 x 1024": 1.2, "MLP 2.4M": 1.2, "CNN, 32x32": 1.2}
"""And bit for bit, of the large ones."""


def task_of(name: str) -> Task:
    """A task whose every update is one step of the model on its batch."""
    torch.manual_seed(0)
    _, loss = EVERY[name]()
    nothing = (torch.zeros(8, 1), torch.zeros(8))
    return Task(
        lambda: EVERY[name]()[0], train=nothing, valid=nothing, batch_size=8, metric="loss",
        step=lambda model, batch: loss(model), name=name,
    )  # fmt: skip


def main(rounds: int = 9, model: str | None = None) -> list[str]:
    """Tune each model, then measure anew what was chosen; print both, and the bars missed."""
    print(f"{processor()}, torch {torch.__version__}, {torch.get_num_threads()} threads; Adam")
    print(f"\n  {'':20}{'bit for bit':>24}{'all':>24}")
    missed = []
    for name in EVERY if model is None else [model]:
        task = task_of(name)
        using = chosen("Adam", {"lr": 1e-4}, None, task)
        found = tuned(task, using, list(LEVERS), rounds, TURN, lambda text: None)
        sets = [found.best(exact=True), found.best(exact=False)]
        asked = [names for names in dict.fromkeys(sets) if names]
        _, _, verdicts = compared(task, using, asked, rounds, TURN, lambda text: None, {})
        gains = {v.measured.levers: v for v in verdicts}
        told = []
        for names, least in zip(sets, (LARGE.get(name, WORST), WORST), strict=True):
            seen, gain, text = gains.get(names), 1.0, "as it is"
            if seen is not None:
                gain, text = seen.gain, f"{seen.gain:.2f} ({seen.low:.2f}-{seen.high:.2f})"
            told.append(text)
            if gain < least:
                which = " + ".join(names) or "as it is"
                missed.append(f"{name}: {which} is {gain:.2f} times as fast, below {least}")
        which = "; ".join(" + ".join(names) for names in asked)
        print(f"  {name:20}{told[0]:>24}{told[1]:>24}  {which}", flush=True)
    print(f"\nbelow the bar: {len(missed) or 'nothing'}", *missed, sep="\n  ")
    return missed


if __name__ == "__main__":
    main()
