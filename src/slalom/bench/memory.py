"""What ``slalom.keep_memory()`` brings: whole steps in processes of their own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch
from torch import nn
from torch.nn import functional as F

from slalom import optim
from slalom.bench.clock import readable
from slalom.bench.loop_models import MODELS, Made
from slalom.train.kept_memory import keep_memory

SECONDS = 2.0
"""Of steps in a turn, about, after a few that are not counted."""


def deep() -> Made:
    """An MLP of 12 layers of 1024, batches of 128."""
    layers = [part for _ in range(12) for part in (nn.Linear(1024, 1024), nn.ReLU())]
    x, y = torch.randn(128, 1024), torch.randn(128, 1024)
    return nn.Sequential(*layers), lambda m: F.mse_loss(m(x), y)


def convolutional() -> Made:
    """A CNN of 5 layers on 32x32 images, batches of 64."""
    widths = (3, 32, 64, 64, 128, 128)
    layers: list[nn.Module] = []
    for i in range(5):
        layers += nn.Conv2d(widths[i], widths[i + 1], 3, padding=1), nn.ReLU()
        layers += [nn.MaxPool2d(2)] if i in (1, 3) else []
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 64, 10))
    x, y = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))
    return model, lambda m: F.cross_entropy(m(x), y)


CASES: dict[str, Callable[[], Made]] = {
    "MLP of 12 x 1024": deep, "MLP 2.4M": MODELS["MLP 2.4M"], "CNN, 32x32": convolutional,
    "digits MLP": MODELS["digits MLP"],
}  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """What a process saw: medians of a step's seconds, by the clock and by the processor's time,
    the pages that the kernel cleared for a step in the mean, and the third loss."""

    seconds: float
    worked: float
    pages: float
    loss: float


def turn(case: str, keep: bool, seconds: float = SECONDS) -> Turn:
    """A loop by hand, in a process that does nothing else."""
    import resource  # which Windows lacks, as it does glibc

    if keep:
        keep_memory()
    torch.manual_seed(0)
    model, loss = CASES[case]()
    optimizer = optim.Adam(model.parameters(), lr=1e-4)
    times: list[tuple[float, float]] = []
    value, pages, left = 0.0, 0, 3
    end = time.perf_counter() + seconds
    while left or time.perf_counter() < end:
        left = max(0, left - 1)
        if len(times) == 3:
            pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        start, worked = time.perf_counter(), time.process_time()
        found = loss(model)
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append((time.perf_counter() - start, time.process_time() - worked))
        value = found.item() if len(times) == 3 else value
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - pages
    clock, processor = (statistics.median(t) for t in zip(*times[2:], strict=True))
    return Turn(clock, processor, pages / max(1, len(times) - 3), value)


def main(rounds: int = 5) -> None:
    """Print a step of each model with memory kept and not, the processes taking turns.

    How often the kernel clears a page hangs on where in the heap things lie, and not on what else
    the machine does.
    """
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {keep_memory()}")
    print(
        f"\n  {'':20}{'as it is':>14}{'kept':>14}{'ratio':>10}{'processor':>11}{'pages a step':>18}"
    )
    for case in CASES:
        found: dict[bool, list[Turn]] = {False: [], True: []}
        for _ in range(rounds):
            for keep, turns in found.items():
                with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                    turns.append(alone.submit(turn, case, keep).result())
        usual, kept = (statistics.median(t.seconds for t in turns) for turns in found.values())
        work, less = (statistics.median(t.worked for t in turns) for turns in found.values())
        pages = " to ".join(
            f"{statistics.median(t.pages for t in turns):,.0f}" for turns in found.values()
        )
        same = {t.loss for turns in found.values() for t in turns}
        told = "" if len(same) == 1 else "  other losses!"
        print(
            f"  {case:20}{readable(usual):>14}{readable(kept):>14}{usual / kept:>9.2f}x"
            f"{work / less:>10.2f}x{pages:>18}{told}",
            flush=True,
        )


if __name__ == "__main__":
    main()
