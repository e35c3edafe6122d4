"""What clipping by the global norm costs: in the step, and as torch does it, before the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from slalom import optim
from slalom.bench.clock import interleaved
from slalom.bench.steps import MODELS


def step(made: Any, model: str, clip: float | None, **more: Any) -> Callable[[], object]:
    """A step of this optimizer, with ``clip_grad_norm_`` before it if ``clip``."""
    gradients = [torch.randn(s) for s in MODELS[model]]
    params = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for param, gradient in zip(params, gradients, strict=True):
        param.grad = gradient
    optimizer = made(params, lr=1e-3, **more)

    def clipped() -> None:
        torch.nn.utils.clip_grad_norm_(params, clip or 1.0)
        optimizer.step()

    return optimizer.step if clip is None else clipped


def main(rounds: int = 9) -> None:
    """Print a step of Adam without clipping, with ours, and with torch's before it."""
    print(f"Adam, clipped to norm 1, median of {rounds} interleaved turns")
    for model in ("25M", "300", "mlp"):
        seconds = interleaved(
            {
                "slalom": step(optim.Adam, model, None),
                "slalom, clip_norm=1.0": step(optim.Adam, model, None, clip_norm=1.0),
                "slalom, clip_grad_norm_": step(optim.Adam, model, 1.0),
                "torch fused": step(torch.optim.Adam, model, None, fused=True),
                "torch fused, clip_grad_norm_": step(torch.optim.Adam, model, 1.0, fused=True),
            },
            rounds=rounds, turn=0.05,
        )  # fmt: skip
        base = seconds["slalom"]
        print(f"\n{model}")
        for name, value in seconds.items():
            print(f"  {name:30}{value * 1e6:12.1f} us {value / base:8.2f}", flush=True)


if __name__ == "__main__":
    main()
