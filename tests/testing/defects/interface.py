"""What it is, its parameters and its gradients."""

from __future__ import annotations

import torch

from defects.base import HeavyBall, caught_by


@caught_by("is an optimizer")
class NoOptimizer:
    def __init__(self, params, lr=1e-2):
        self.param_groups = [{"params": list(params), "lr": lr}]


@caught_by("is an optimizer")
class LosesNames(HeavyBall):
    def add_param_group(self, param_group):
        named = [p if isinstance(p, tuple) else ("", p) for p in param_group["params"]]
        super().add_param_group({**param_group, "params": [p for _, p in named]})


@caught_by("is an optimizer")
class KeepsGradients(HeavyBall):
    def zero_grad(self, set_to_none=True):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.zero_()


@caught_by("wrong parameters are refused")
class TakesAnything(HeavyBall):
    def add_param_group(self, param_group):
        self.param_groups.append({**self.defaults, **param_group})


@caught_by("wrong parameters are refused")
class TakesNothing(HeavyBall):
    def __init__(self, params, **options):
        super().__init__(list(params) or [torch.nn.Parameter(torch.zeros(1))], **options)


@caught_by("parameters without gradient stand still")
class Coasts(HeavyBall):
    """Moves on where there is no gradient."""

    @torch.no_grad()
    def step(self, closure=None):
        for p, state in self.state.items():
            if p.grad is None:
                p.sub_(1e-3 * state["buffer"])
        return super().step(closure)


@caught_by("parameters without gradient stand still")
class DecaysAll(HeavyBall):
    """Decays what has no gradient too."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
        return super().step(closure)


@caught_by("parameters without gradient stand still", "parameters added and frozen")
class CountsStepsForAll(HeavyBall):
    """One count for all parameters, also those without a gradient."""

    count = 0

    def step(self, closure=None):
        self.count += 1
        return super().step(closure)

    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad, lr / self.count, momentum)


@caught_by("parameters added and frozen", "parameter groups may be edited")
class ReadsItsGroupsOnce(HeavyBall):
    @torch.no_grad()
    def step(self, closure=None):
        if not hasattr(self, "known"):
            self.known = [(p, group) for group in self.param_groups for p in group["params"]]
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        for p, group in self.known:
            if p.grad is not None:
                self.update(p, p.grad, group)
        return loss


@caught_by("parameters added and frozen", "parameters without gradient stand still")
class MovesTheFrozen(HeavyBall):
    """Goes on with the last gradient it has seen."""

    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None and "last" in self.state[p]:
                    self.update(p.data, self.state[p]["last"], group)
        return loss

    def update(self, p, grad, group):
        super().update(p, grad, group)
        self.state[p]["last"] = grad


@caught_by("parameters added and frozen", "groups have their own options")
class SkipsLaterGroups(HeavyBall):
    def step(self, closure=None):
        groups, self.param_groups = self.param_groups, self.param_groups[:1]
        loss = super().step(closure)
        self.param_groups = groups
        return loss


@caught_by("every gradient counts")
class KeepsTheFirstGradients(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, self.state[p].setdefault("grad", grad.clone()), group)


@caught_by("every gradient counts")
class LosesEverySecondGradient(HeavyBall):
    def update(self, p, grad, group):
        count = self.state[p]["count"] = self.state[p].get("count", 0) + 1
        super().update(p, grad if count % 2 else torch.zeros_like(p), group)


@caught_by("every gradient counts")
class KnowsGradientsByTheirObject(HeavyBall):
    def update(self, p, grad, group):
        seen = self.__dict__.setdefault("seen", {})
        if seen.get(p, (None,))[0] is not grad:
            seen[p] = grad, grad.clone()
        super().update(p, seen[p][1], group)


@caught_by("gradients are left alone")
class NegatesInPlace(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad.neg_() if group["maximize"] else grad, {**group, "maximize": False})


@caught_by("gradients are left alone")
class DecaysInPlace(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad.add_(group["weight_decay"] * p), {**group, "weight_decay": 0})


@caught_by("gradients are left alone", "every gradient counts")
class TakesGradientsAway(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, grad, group)
        p.grad = None


@caught_by("gradients are left alone", "shared and expanded gradients")
class ChangesGradients(HeavyBall):
    def update(self, p, grad, group):
        grad.data = grad.contiguous() * 0.9
        super().update(p, grad, group)


@caught_by("storage may move")
class KeepsParametersMemory(HeavyBall):
    def update(self, p, grad, group):
        kept = self.__dict__.setdefault("kept", {}).setdefault(p, p.detach())
        super().update(kept, grad, group)


@caught_by("storage may move")
class KeepsStatesMemory(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        state = self.state[p]
        state.setdefault("buffer", torch.zeros_like(p))
        kept = self.__dict__.setdefault("kept", {}).setdefault(p, state["buffer"].detach())
        kept.mul_(momentum).add_(grad)
        p.sub_(lr * state["buffer"])
