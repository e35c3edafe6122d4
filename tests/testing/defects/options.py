"""The learning rate, other options, their groups and schedules."""

from __future__ import annotations

import torch

from defects.base import HeavyBall, caught_by


@caught_by("learning rate scales the first step")
class SquaresTheRate(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad, 100 * lr**2, momentum)


@caught_by("learning rate scales the first step")
class NeverStands(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad, lr + 1e-4, momentum)


@caught_by("learning rate scales the first step")
class DecaysAtRateZero(HeavyBall):
    def update(self, p, grad, group):
        p.mul_(1 - 1e-3)
        super().update(p, grad, group)


@caught_by("changed learning rate counts at once", "every scheduler")
class ReadsTheRateInItsFirstStep(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad, {**group, "lr": group.setdefault("first_lr", group["lr"])})


@caught_by("changed learning rate counts at once", "every scheduler")
class ReadsTheRateWhenMade(HeavyBall):
    """So that a constructor's rate counts, and no other."""

    def add_param_group(self, param_group):
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        self.__dict__.setdefault("rates", {})[id(group)] = group["lr"]

    def update(self, p, grad, group):
        super().update(p, grad, {**group, "lr": self.rates[id(group)]})


@caught_by("changed learning rate counts at once")
class ReadsTheRateAfterTheStep(HeavyBall):
    """So that a change counts one step late."""

    def update(self, p, grad, group):
        super().update(
            p, grad, {**group, "lr": self.__dict__.setdefault("late", {}).get(p, group["lr"])}
        )
        self.late[p] = group["lr"]


@caught_by("changed learning rate counts at once")
class TakesZeroForUnset(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad, {**group, "lr": group["lr"] or self.defaults["lr"]})


@caught_by("changed learning rate counts at once")
class NeverRaisesTheRate(HeavyBall):
    def update(self, p, grad, group):
        least = group["least"] = min(group.get("least", 1e9), group["lr"])
        super().update(p, grad, {**group, "lr": least})


@caught_by("changed learning rate counts at once", "groups have their own options")
class ReadsTheFirstGroupsRate(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad, {**group, "lr": self.param_groups[0]["lr"]})


@caught_by("changed learning rate counts at once")
class FollowsTheFirstGroupAlone(HeavyBall):
    """In later groups the rate of the first step stays."""

    def update(self, p, grad, group):
        kept = group.setdefault("first_lr", group["lr"])
        lr = group["lr"] if group is self.param_groups[0] else kept
        super().update(p, grad, {**group, "lr": lr})


@caught_by("changed options count at once")
class ReadsMomentumOnce(HeavyBall):
    def update(self, p, grad, group):
        kept = group.setdefault("first_momentum", group["momentum"])
        super().update(p, grad, {**group, "momentum": kept})


@caught_by("changed options count at once")
class ReadsDecayOnce(HeavyBall):
    def update(self, p, grad, group):
        kept = group.setdefault("first_decay", group["weight_decay"])
        super().update(p, grad, {**group, "weight_decay": kept})


@caught_by("changed options count at once", "groups have their own options")
class ReadsTheDefaultMomentum(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad, {**group, "momentum": self.defaults["momentum"]})


@caught_by("changed options count at once")
class ReadsBetasOnce(torch.optim.Adam):
    def step(self, closure=None):
        for group in self.param_groups:
            group["betas"] = group.setdefault("first_betas", group["betas"])
        return super().step(closure)


@caught_by("groups have their own options", "changed learning rate counts at once")
class ReadsTheDefaultRate(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad, {**group, "lr": self.defaults["lr"]})


@caught_by("groups have their own options")
class IgnoresTheRate(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad, 0.01, momentum)


@caught_by("tensor learning rate")
class ReadsTheTensorOnce(HeavyBall):
    def __init__(self, params, lr=1e-2, **options):
        super().__init__(params, lr=float(lr), **options)


@caught_by("tensor learning rate")
class ChangesTheTensor(HeavyBall):
    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].mul_(0.9)
        return loss


@caught_by("maximizes")
class IgnoresMaximize(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad, {**group, "maximize": False})


@caught_by("maximizes")
class MaximizesAllOrNone(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad, {**group, "maximize": self.param_groups[0]["maximize"]})


@caught_by("tensor learning rate")
class IgnoresARateThatBecomesATensor(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        late = isinstance(lr, torch.Tensor) and not isinstance(self.defaults["lr"], torch.Tensor)
        super().apply(p, grad, self.defaults["lr"] if late else lr, momentum)


@caught_by("changed options count at once")
class IgnoresLaterEps(HeavyBall):
    def __init__(self, params, lr=1e-2, eps=1e-8):
        super().__init__(params, lr)
        self.eps = eps
        for group in self.param_groups:
            group["eps"] = eps

    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad / (grad.abs() + self.eps), lr, momentum)
