"""What a step touches that is not its own, or does not take as it is."""

from __future__ import annotations

import torch

from defects.base import HeavyBall, caught_by


@caught_by("leaves the random generator alone")
class TakesRandomNumbers(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad + 0 * torch.rand(()), group)


@caught_by("tells autograd what it writes")
class WritesInSecret(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        kept = self.state[p].setdefault("buffer", torch.zeros_like(p))
        kept.mul_(momentum).add_(grad)
        p.data.sub_(lr * kept)


@caught_by("takes parameters as they are")
class KeepsItsOwnCopy(HeavyBall):
    def update(self, p, grad, group):
        copies = self.__dict__.setdefault("copies", {})
        own = copies.setdefault(p, p.detach().clone())
        super().update(own, grad, group)
        p.copy_(own)


@caught_by("updates whatever has a gradient")
class LeavesTheFrozenOut(HeavyBall):
    def update(self, p, grad, group):
        if p.requires_grad:
            super().update(p, grad, group)


@caught_by("keeps no more from step to step")
class Leaks(HeavyBall):
    def update(self, p, grad, group):
        self.__dict__.setdefault("old", []).append(grad.clone())
        super().update(p, grad, group)
