"""What a step of SOAP takes beside its operations on matrices alone, and beside other libraries'.

The hidden matrices of a GPT, with gradients that stay. A turn is one interval of ten steps. What
is there in any case are products with matrices of eigenvectors and of gradients with themselves,
and once an interval a product, a QR decomposition and the turning of the momentum; all these are
torch's, where ours are of machine code where that is quicker. Heavyball is not
compiled, which its steps are by default: that takes minutes and a compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from slalom import optim
from slalom.bench.clock import interleaved, readable
from slalom.bench.loop import installed
from slalom.bench.loop_models import MODELS
from slalom.racing.machine import processor

EVERY, BAR = 10, 1.5
"""Steps of an interval; how many times that of its operations on matrices it may take."""


def _hidden() -> list[nn.Parameter]:
    torch.manual_seed(0)
    model, _ = MODELS["GPT 0.7M"]()
    (hidden, _) = (g["params"] for g in optim.split(model).param_groups)
    return hidden


def _stepped(made: Callable[..., Any]) -> Callable[[], object]:
    params = _hidden()
    grads = [torch.randn_like(p) for p in params]
    optimizer = made(params, lr=1e-4, precondition_frequency=EVERY)

    def interval() -> None:
        for _ in range(EVERY):
            for p, grad in zip(params, grads, strict=True):
                p.grad = grad
            optimizer.step()

    return interval


def _products(decomposes: bool) -> Callable[[], object]:
    """The operations on matrices of an interval, with or without what comes once in it."""
    each = [_Matrix(torch.randn_like(p)) for p in _hidden()]

    def interval() -> None:
        for _ in range(EVERY):
            for one in each:
                one.step()
        if decomposes:
            for one in each:
                one.refresh()

    return interval


class _Matrix:
    """A gradient with eigenvectors and averages, and memory for what comes out."""

    def __init__(self, grad: Tensor):
        self.grad, self.made, self.out = grad.detach(), torch.empty_like(grad), grad.clone()
        self.bases = [torch.linalg.qr(torch.randn(n, n)).Q for n in grad.shape]
        self.grams = [torch.eye(n) for n in grad.shape]

    def step(self) -> None:
        for square, x in zip(self.grams, (self.grad, self.grad.mT), strict=True):
            square.addmm_(x, x.mT, beta=0.95, alpha=0.05)
        self._turn(self.grad)

    def _turn(self, x: Tensor) -> None:
        """Into the eigenvectors and back."""
        left, right = self.bases
        torch.mm(torch.mm(left.mT, x, out=self.made), right, out=self.out)
        torch.mm(torch.mm(left, self.out, out=self.made), right.mT, out=self.out)

    def refresh(self) -> None:
        for basis, square in zip(self.bases, self.grams, strict=True):
            torch.linalg.qr(square @ basis)
        self._turn(self.grad)


def main(rounds: int = 7) -> Sequence[str]:
    """Print what an interval takes; the bars missed, in words."""
    print(f"{processor()}, torch {torch.__version__}, {torch.get_num_threads()} threads; SOAP on")
    print(f"the hidden matrices of the GPT, a step, mean of {EVERY}, median of {rounds} turns")
    contenders: dict[str, Callable[[], object]] = {
        "products alone": _products(False), "with decompositions": _products(True),
        "slalom": _stepped(optim.SOAP),
    }  # fmt: skip
    if (made := installed("pytorch_optimizer", "SOAP")) is not None:
        contenders["pytorch_optimizer"] = _stepped(made)
    if (made := installed("heavyball", "SOAP")) is not None:
        import heavyball.utils  # pyright: ignore[reportMissingImports]

        heavyball.utils.compile_mode = None
        contenders["heavyball"] = _stepped(made)
    times = interleaved(contenders, rounds=rounds, turn=0.01)
    ours = times["slalom"]
    for who, seconds in times.items():
        print(f"  {who:20}{readable(seconds / EVERY):>14}{seconds / ours:>13.2f}x", flush=True)
    missed = []
    for bound in ("products alone", "with decompositions"):
        ratio = ours / times[bound]
        print(f"  {ratio:.2f} times {bound}")
        if ratio > BAR:
            missed.append(f"a step of SOAP takes {ratio:.2f} times {bound}")
    print(f"\nbelow the bar: {len(missed) or 'nothing'}", *missed, sep="\n  ")
    return missed


if __name__ == "__main__":
    main()
