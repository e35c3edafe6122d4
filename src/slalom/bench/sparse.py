"""A step on an embedding of which a batch touches a thousand rows, as the table grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from slalom import optim
from slalom.bench.clock import interleaved

ROWS = (100_000, 1_000_000, 10_000_000)
TOUCHED, WIDTH = 1000, 8

CONTENDERS: dict[str, tuple[Any, str]] = {
    "SGD": (optim.SGD, "SGD"), "Momentum": (optim.Momentum, ""),
    "Adagrad": (optim.Adagrad, "Adagrad"), "RMSprop": (optim.RMSprop, ""),
    "Adam": (optim.Adam, "SparseAdam"),
}  # fmt: skip
"""Ours, and the name of torch's that takes sparse gradients, if there is one."""


def step(made: Any, rows: int) -> Callable[[], object]:
    """A step of this optimizer on a table of so many rows."""
    table = torch.nn.Parameter(torch.zeros(rows, WIDTH))
    optimizer = made([table], lr=1e-3)
    indices = torch.randperm(rows)[:TOUCHED].unsqueeze(0)
    table.grad = torch.sparse_coo_tensor(
        indices, torch.randn(TOUCHED, WIDTH), table.shape, check_invariants=False
    ).coalesce()
    return optimizer.step


def main(rounds: int = 7) -> None:
    """Print milliseconds of a step by table size, and how many times longer torch takes."""
    print(f"{TOUCHED} rows of {WIDTH} touched, median of {rounds} interleaved turns")
    print(f"  {'':10}" + "".join(f"{n:>22,} rows" for n in ROWS) + "    largest/smallest")
    for name, (ours, torchs) in CONTENDERS.items():
        times, row = [], ""
        for rows in ROWS:
            contenders = {"slalom": step(ours, rows)}
            if torchs:
                contenders["torch"] = step(getattr(torch.optim, torchs), rows)
            seconds = interleaved(contenders, rounds=rounds, turn=0.05)
            times.append(seconds["slalom"])
            gain = f"{seconds['torch'] / seconds['slalom']:.1f}x" if torchs else "-"
            row += f"{seconds['slalom'] * 1e3:14.2f} ms {gain:>9}"
        print(f"  {name:10}{row}{times[-1] / times[0]:14.2f}", flush=True)


if __name__ == "__main__":
    main()
