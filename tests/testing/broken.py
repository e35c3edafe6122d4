"""Optimizers with one defect each, by the check that is to catch it."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

import torch
from torch.optim import Optimizer


class HeavyBall(Optimizer):
    """Momentum, with nothing wrong: what the others are derived from."""

    def __init__(self, params, lr=1e-2, momentum=0.9, weight_decay=0.0, maximize=False):
        options = {"momentum": momentum, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {"lr": lr, **options})

    def step(self, closure=None):
        return self.one_step(closure)

    @torch.no_grad()
    def one_step(self, closure):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, p.grad, group)
        return loss

    def update(self, p, grad, group):
        grad = grad.to_dense() if grad.is_sparse else grad
        grad = -grad if group["maximize"] else grad
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * p
        self.apply(p, grad, group["lr"], group["momentum"])

    def apply(self, p, grad, lr, momentum):
        state = self.state[p]
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(p)
        state["buffer"].mul_(momentum).add_(grad)
        p.sub_(lr * state["buffer"])


BROKEN: dict[str, list[Any]] = defaultdict(list)
"""Check -> the optimizers that it has to catch, without a reference."""


def caught_by(*checks: str) -> Any:
    def entered(broken: Any) -> Any:
        for check in checks:
            BROKEN[check].append(broken)
        return broken

    return entered


# What it is


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


# Parameters and gradients


@caught_by("parameters without gradient stand still")
class Coasts(HeavyBall):
    """Moves on where there is no gradient."""

    @torch.no_grad()
    def step(self, closure=None):
        for p, state in self.state.items():
            if p.grad is None:
                p.sub_(1e-3 * state["buffer"])
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


# Options


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


# What is called


@caught_by("closures")
class DropsTheLoss(HeavyBall):
    def step(self, closure=None):
        super().step(closure)


@caught_by("closures")
class ReturnsTheFirstLoss(HeavyBall):
    def step(self, closure=None):
        self.first = getattr(self, "first", super().step(closure))
        return self.first


@caught_by("closures")
class CallsTheClosureTwice(HeavyBall):
    def step(self, closure=None):
        if closure is not None:
            with torch.enable_grad():
                closure()
        return super().step(closure)


@caught_by("closures")
class CountsClosuresTwice(CountsStepsForAll):
    def step(self, closure=None):
        self.count += closure is not None
        return super().step(closure)


@caught_by("hooks are called")
class SkipsTheHooks(HeavyBall):
    def step(self, closure=None):
        return self.one_step(closure)

    step.hooked = True  # type: ignore[attr-defined]


@caught_by("hooks are called")
class KeepsRemovedHooks(HeavyBall):
    def register_step_post_hook(self, hook):
        super().register_step_post_hook(hook)
        return copy.copy(self).register_state_dict_pre_hook(hook)


@caught_by("hooks are called")
class CallsHooksBefore(HeavyBall):
    def register_step_post_hook(self, hook):
        return super().register_step_pre_hook(hook)


class Scaled(HeavyBall):
    """Takes the scaler's work over, and does not do it."""

    _step_supports_amp_scaling = True


@caught_by("gradient scaler skips overflow")
class StepsOverInfinity(Scaled):
    def update(self, p, grad, group):
        scale = getattr(self, "grad_scale", None)
        super().update(p, grad if scale is None else grad / scale, group)


@caught_by("gradient scaler skips overflow")
class ForgetsToUnscale(Scaled):
    def step(self, closure=None):
        found = getattr(self, "found_inf", None)
        return None if found is not None and found else super().step(closure)


@caught_by("gradient scaler skips overflow")
class UnscalesTwice(ForgetsToUnscale):
    """Also gradients that were unscaled by hand, by the last scale it was given."""

    scale = 1.0

    def update(self, p, grad, group):
        if (given := getattr(self, "grad_scale", None)) is not None:
            self.scale = given
        super().update(p, grad / (self.scale if given is not None else 8.0), group)


# What outlives a run


@caught_by("resumes from a checkpoint")
class ForgetsItsState(HeavyBall):
    def load_state_dict(self, state_dict):
        super().load_state_dict({**state_dict, "state": {}})


@caught_by("resumes from a checkpoint")
class LosesTheStep(CountsStepsForAll):
    """Its count is in no checkpoint."""


@caught_by("resumes from a checkpoint")
class KeepsItsOwnGroups(HeavyBall):
    def load_state_dict(self, state_dict):
        own = self.state_dict()["param_groups"]
        super().load_state_dict({**state_dict, "param_groups": own})


@caught_by("resumes from a checkpoint")
class EmptiesWhatItLoads(HeavyBall):
    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        state_dict["state"].clear()


@caught_by("saving changes nothing")
class ForgetsWhenSaved(HeavyBall):
    def state_dict(self):
        saved = copy.deepcopy(super().state_dict())
        for state in self.state.values():
            state["buffer"].zero_()
        return saved


@caught_by("copies go on alike")
class IsItsOwnCopy(HeavyBall):
    def __deepcopy__(self, memo):
        return copy.copy(self)


@caught_by("copies go on alike")
class SharesItsState(HeavyBall):
    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin.param_groups = copy.deepcopy(self.param_groups, memo)
        mine = [p for group in self.param_groups for p in group["params"]]
        theirs = [p for group in twin.param_groups for p in group["params"]]
        twin.state = defaultdict(dict)
        for p, q in zip(mine, theirs, strict=True):
            twin.state[q] = self.state[p]
        return twin


@caught_by("copies go on alike")
class CopiesStartAnew(HeavyBall):
    def __getstate__(self):
        return {**super().__getstate__(), "state": defaultdict(dict)}


@caught_by("copies go on alike")
class CopiesMoveTheOriginal(HeavyBall):
    def __getstate__(self):
        return {**super().__getstate__(), "origin": Reference(self)}

    def step(self, closure=None):
        loss = super().step(closure)
        if (origin := getattr(self, "origin", None)) is not None:
            origin.of.param_groups[0]["params"][0].data.mul_(0.9)
        return loss


class Reference:
    """The same object in every copy."""

    kept: dict[int, Any] = {}  # noqa: RUF012

    def __init__(self, of):
        self.of = of

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        self.kept[id(self.of)] = self.of
        return Reference._known, (id(self.of),)

    @staticmethod
    def _known(key):
        return Reference(Reference.kept[key])


@caught_by("two optimizers share nothing")
class SharesBuffersOfItsClass(HeavyBall):
    buffers: dict[Any, Any] = {}  # noqa: RUF012

    def apply(self, p, grad, lr, momentum):
        self.state[p]["buffer"] = self.buffers.setdefault(p.shape, torch.zeros_like(p))
        super().apply(p, grad, lr, momentum)


# Dtypes, layouts, kinds of gradient


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


# Learning


@caught_by("every scheduler")
class LosesSchedules(HeavyBall):
    """A schedule's rates are undone before each step."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
        return super().step(closure)


@caught_by("goes down a parabola", "goes down rosenbrocks valley")
class GoesUp(HeavyBall):
    def update(self, p, grad, group):
        super().update(p, -grad, group)


@caught_by("goes down a parabola", "goes down rosenbrocks valley")
class Stands(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        super().apply(p, torch.zeros_like(p), lr, momentum)


class Averaging(HeavyBall):
    """Evaluates at the average of the parameters' values; nothing wrong."""

    training = True

    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad, lr, momentum)
        average = self.state[p].setdefault("average", p.detach().clone())
        average.mul_(0.5).add_(0.5 * p)

    def eval(self):
        self._exchange(to_train=False)

    def train(self):
        self._exchange(to_train=True)

    def _exchange(self, *, to_train):
        if to_train is not self.training:
            self.training = to_train
            for p, state in self.state.items():
                p.data, state["average"] = state["average"], p.detach().clone()


@caught_by("modes undo each other")
class DoesNotComeBack(Averaging):
    def train(self):
        self.training = True


@caught_by("modes undo each other")
class HasNoSecondMode(Averaging):
    def _exchange(self, *, to_train):
        pass


@caught_by("modes undo each other")
class ForgetsInEval(Averaging):
    def eval(self):
        super().eval()
        for state in self.state.values():
            state["buffer"].zero_()
