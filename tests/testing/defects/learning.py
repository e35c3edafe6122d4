"""Where it goes, and in which mode."""

from __future__ import annotations

import torch

from defects.base import HeavyBall, caught_by


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
