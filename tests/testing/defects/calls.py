"""Closures, hooks and scalers."""

from __future__ import annotations

import contextlib
import copy

import torch

from defects.base import HeavyBall, caught_by
from defects.interface import CountsStepsForAll


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


@caught_by("closures")
class KeepsExceptions(HeavyBall):
    def step(self, closure=None):
        with contextlib.suppress(Exception):
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
