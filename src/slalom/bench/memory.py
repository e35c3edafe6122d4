"""What ``slalom.keep_memory()`` brings: whole steps in processes of their own."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from slalom import optim
from slalom.bench.clock import readable
from slalom.bench.loop_models import MODELS, Loss, Made
from slalom.fitting.tuning.loops import PlainRun
from slalom.fitting.tuning.turns import Tried, Turns
from slalom.fitting.tuning.worker import Turn
from slalom.train import Task
from slalom.train.kept_memory import keep_memory

SECONDS = 2.0
"""Of steps in a turn, about."""


def deep() -> Made:
    """An MLP of 12 layers of 1024, batches of 128."""
    layers = [part for _ in range(12) for part in (nn.Linear(1024, 1024), nn.ReLU())]
    x, y = torch.randn(128, 1024), torch.randn(128, 1024)
    return nn.Sequential(*layers), Loss(lambda m, x, y: F.mse_loss(m(x), y), x, y)


def convolutional() -> Made:
    """A CNN of 5 layers on 32x32 images, batches of 64."""
    widths = (3, 32, 64, 64, 128, 128)
    layers: list[nn.Module] = []
    for i in range(5):
        layers += nn.Conv2d(widths[i], widths[i + 1], 3, padding=1), nn.ReLU()
        layers += [nn.MaxPool2d(2)] if i in (1, 3) else []
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 64, 10))
    x, y = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))
    return model, Loss(lambda m, x, y: F.cross_entropy(m(x), y), x, y)


CASES: dict[str, Callable[[], Made]] = {
    "MLP of 12 x 1024": deep, "MLP 2.4M": MODELS["MLP 2.4M"], "CNN, 32x32": convolutional,
    "digits MLP": MODELS["digits MLP"],
}  # fmt: skip


def task_of(made: Callable[[], Made], name: str) -> Task:
    """A task whose every update is one step of the model on its batch."""
    torch.manual_seed(0)
    _, loss = made()
    nothing = (torch.zeros(8, 1), torch.zeros(8))
    return Task(
        lambda: made()[0], train=nothing, valid=nothing, batch_size=8, metric="loss",
        step=lambda model, batch: loss(model), name=name,
    )  # fmt: skip


def main(rounds: int = 5) -> None:
    """Print a step of each model with memory kept and not, in turns that each have a process.

    How often the kernel clears a page hangs on where in the heap things lie, and not on what else
    the machine does.
    """
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {keep_memory()}")
    print(
        f"\n  {'':20}{'as it is':>14}{'kept':>14}{'ratio':>10}{'processor':>11}{'pages a step':>18}"
    )
    for case, made in CASES.items():
        turns = Turns(task_of(made, case), lambda p: optim.Adam(p, lr=1e-4), None, PlainRun)
        found: dict[Tried, list[Turn]] = {Tried(): [], Tried(("memory kept",)): []}
        try:
            steps = max(1, round(SECONDS / turns.turn(Tried(), seconds=SECONDS / 4).seconds))
            for _ in range(rounds):
                for tried, seen in found.items():
                    seen.append(turns.turn(tried, steps))
        finally:
            turns.close()
        usual, kept = (statistics.median(t.seconds for t in seen) for seen in found.values())
        work, less = (statistics.median(t.worked for t in seen) for seen in found.values())
        pages = " to ".join(
            f"{statistics.median(t.pages for t in seen):,.0f}" for seen in found.values()
        )
        same = {t.digest for seen in found.values() for t in seen}
        told = "" if len(same) == 1 else "  other weights!"
        print(
            f"  {case:20}{readable(usual):>14}{readable(kept):>14}{usual / kept:>9.2f}x"
            f"{work / less:>10.2f}x{pages:>18}{told}",
            flush=True,
        )


if __name__ == "__main__":
    main()
