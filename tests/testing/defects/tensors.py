"""Dtypes, layouts and kinds of gradient."""

from __future__ import annotations

import torch

from defects.base import HeavyBall, caught_by


@caught_by("narrow dtypes")
class Widens(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        p.data = p.data.double()
        super().apply(p, grad, lr, momentum)


@caught_by("narrow dtypes")
class IgnoresHalves(HeavyBall):
    def update(self, p, grad, group):
        if p.dtype not in (torch.float16, torch.bfloat16):
            super().update(p, grad, group)


@caught_by("narrow dtypes")
class LosesSmallSquares(HeavyBall):
    """Their square is 0 in half precision."""

    def apply(self, p, grad, lr, momentum):
        p.sub_(lr * grad * (grad * 1e-4).square().gt(0))


@caught_by("mixed dtypes")
class RoundsToTheNarrowest(HeavyBall):
    def update(self, p, grad, group):
        dtypes = [q.dtype for g in self.param_groups for q in g["params"] if not q.is_complex()]
        narrow = min(dtypes, key=lambda d: d.itemsize, default=p.dtype)
        super().update(p, grad.to(narrow).to(p.dtype) if grad.is_floating_point() else grad, group)


@caught_by("complex parameters")
class MovesRealPartsAlone(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad.real if grad.is_complex() else grad, group)


@caught_by("complex parameters")
class SquaresComplexNumbers(HeavyBall):
    """By their modulus where real and imaginary parts have squares of their own."""

    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad / (grad.abs() + 1e-8), lr, momentum)


@caught_by("layouts", "layout changed on resume")
class PairsStorage(HeavyBall):
    """Walks raw memory, whatever the strides."""

    def update(self, p, grad, group):
        if grad.is_sparse or p.numel() == 0:
            return
        flat = grad.as_strided((p.numel(),), (1,))
        p.as_strided((p.numel(),), (1,)).sub_(flat, alpha=group["lr"])


@caught_by("layout changed on resume")
class PairsStatesStorage(HeavyBall):
    """Keeps its state in the order in which the parameter first lay in memory."""

    def apply(self, p, grad, lr, momentum):
        state = self.state[p]
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(p)
        state["buffer"].mul_(momentum).add_(grad)
        if (
            p.stride() != state["buffer"].stride()
            and p.numel() == p.untyped_storage().nbytes() // 8
        ):
            p.as_strided((p.numel(),), (1,)).sub_(
                lr * state["buffer"].as_strided((p.numel(),), (1,))
            )
        else:
            p.sub_(lr * state["buffer"])


@caught_by("shared and expanded gradients")
class ScalesGradients(HeavyBall):
    """In place, and what shares memory as often as it is shared."""

    def update(self, p, grad, group):
        if 0 in grad.stride() and grad.dim():
            grad.select(0, 0).mul_(1.1)
        super().update(p, grad, group)


@caught_by("sparse gradients")
class DropsRepeatedRows(HeavyBall):
    def update(self, p, grad, group):
        if grad.is_sparse:
            p[grad._indices()[0]] -= group["lr"] * grad._values()
        else:
            super().update(p, grad, group)


@caught_by("sparse gradients")
class MovesEmptyRows(HeavyBall):
    def update(self, p, grad, group):
        if grad.is_sparse:
            p.sub_(1e-3 * (grad.to_dense() == 0))
        super().update(p, grad, group)


@caught_by("sparse gradients")
class RefusesHalfDone(HeavyBall):
    def update(self, p, grad, group):
        if grad.is_sparse:
            p.mul_(0.9)
            raise RuntimeError("sparse gradients are not supported")
        super().update(p, grad, group)


@caught_by("what is not finite stays where it is")
class ClipsByTheNormOfAll(HeavyBall):
    def step(self, closure=None):
        norms = [
            p.grad.norm() for g in self.param_groups for p in g["params"] if p.grad is not None
        ]
        self.factor = 1 / (1 + torch.stack(norms).norm()) if norms else 1.0
        return super().step(closure)

    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad * self.factor, lr, momentum)
