"""A step while other processes hold the cores: ours and torch's fused, taking turns."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

import torch

from slalom import optim
from slalom.bench.clip import step
from slalom.bench.clock import interleaved

BUSY = 4
"""Processes that do nothing but run."""


def main(rounds: int = 15) -> None:
    """Print a step of Adam on each model, idle and under load, against torch's fused."""
    for busy in (0, BUSY):
        with ExitStack() as stack:
            for _ in range(busy):
                spin = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                stack.callback(spin.kill)
            print(f"{busy} busy processes, median of {rounds} interleaved turns")
            for model in ("25M", "resnet18", "300", "mlp"):
                seconds = interleaved(
                    {
                        "slalom": step(optim.Adam, model, None),
                        "fused": step(torch.optim.Adam, model, None, fused=True),
                    },
                    rounds=rounds, turn=0.05,
                )  # fmt: skip
                ours, theirs = seconds["slalom"] * 1e6, seconds["fused"] * 1e6
                print(f"  {model:12}{ours:12.1f} us, fused {theirs:12.1f} us: {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
