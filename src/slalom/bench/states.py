"""What states and parameters of fewer bits save and take: memory, and the time of a step.

Memory is that of a process of its own for each choice: what it holds after two steps more than
before the parameters were made. It is measured with the gradients, which a training holds too.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch

from slalom import explain, optim
from slalom.bench.clock import interleaved, readable
from slalom.bench.steps import MODELS

BFLOAT = torch.bfloat16

CHOICES: dict[str, tuple[torch.dtype, dict[str, Any]]] = {
    "float32": (torch.float32, {}),
    "states in bfloat16": (torch.float32, {"state_dtype": "bfloat16"}),
    "states in 8 bits": (torch.float32, {"state_dtype": "8bit"}),
    "parameters in bfloat16, exact, states in float32":
        (BFLOAT, {"state_dtype": "float32", "remainder": "exact"}),
    "parameters in bfloat16, exact, states in 8 bits":
        (BFLOAT, {"state_dtype": "8bit", "remainder": "exact"}),
    "parameters in bfloat16, kahan, states in 8 bits":
        (BFLOAT, {"state_dtype": "8bit", "remainder": "kahan"}),
    "parameters and states in bfloat16": (BFLOAT, {}),
    "parameters in bfloat16, states in 8 bits": (BFLOAT, {"state_dtype": "8bit"}),
}  # fmt: skip
"""Dtype of parameters and gradients, and arguments of AdamW."""

TORCHS = "torch.optim.AdamW, float32"

SIZE = 25_000_000
"""Parameters whose memory is measured, in tensors of a million."""

CACHED = {f"{size:,} in a cache": [(size,)] for size in (65_536, 262_144, 1_000_000)}
"""Single tensors that a processor's caches hold, stepped again and again."""

BARS = {"25M": 1.2}
"""How many times as fast as in float32 a step with states in 8 bits is to be; else 0.95."""


def _made(made: Any, shapes: list[Any], dtype: torch.dtype, **options: Any) -> Any:
    params = [torch.nn.Parameter(torch.zeros(s, dtype=dtype)) for s in shapes]
    for param in params:
        param.grad = torch.ones_like(param)
    return made(params, lr=1e-3, **options)


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(choice: str, size: int = SIZE) -> tuple[float, float]:
    """(measured, told by :func:`slalom.explain`) bytes a parameter; 0 for what torch's takes."""
    torchs = choice == TORCHS
    dtype, options = CHOICES["float32" if torchs else choice]
    made = torch.optim.AdamW if torchs else optim.AdamW
    shapes = [(1_000_000,)] * (size // 1_000_000)
    warm = _made(made, [(70_000,)], dtype, **options)
    for _ in range(2):
        warm.step()  # code is compiled, threads are there
    before = _resident()
    optimizer = _made(made, shapes, dtype, **options)
    for _ in range(2):
        optimizer.step()
    grown = _resident() - before
    told = 0.0 if torchs else sum(explain(optimizer).bytes.values())
    return grown / sum(torch.Size(s).numel() for s in shapes), told


def main(rounds: int = 9) -> None:
    """Print what AdamW takes under each choice, and its steps beside those in float32."""
    print(f"AdamW, {SIZE:,} parameters with gradients; bytes a parameter")
    print(f"  {'':52}{'measured':>10}{'told':>8}{'7 billion':>12}")
    for choice in (TORCHS, *CHOICES):
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            measured, told = alone.submit(memory, choice).result()
        print(
            f"  {choice:52}{measured:10.2f}{told:8.2f}{measured * 7e9 / 2**30:8.0f} GiB", flush=True
        )
    print(
        f"\na step of Adam, {torch.get_num_threads()} threads, median of {rounds} interleaved turns"
    )
    missed = []
    for model, shapes in {**MODELS, **CACHED}.items():
        steps = {c: _made(optim.Adam, shapes, d, **o).step for c, (d, o) in CHOICES.items()}
        seconds = interleaved(steps, rounds=rounds, turn=0.02)
        whole = seconds["float32"]
        print(f"\n{model}: {readable(whole)} in float32")
        for choice in list(CHOICES)[1:]:
            gain = whole / seconds[choice]
            print(
                f"  {choice:52}{readable(seconds[choice]):>12}{gain:8.2f} times as fast", flush=True
            )
            if choice == "states in 8 bits" and gain < BARS.get(model, 0.95):
                missed.append(f"{model}: states in 8 bits are {gain:.2f} times as fast")
    print(f"\nbelow the bar: {len(missed) or 'nothing'}", *missed, sep="\n  ")


if __name__ == "__main__":
    main()
