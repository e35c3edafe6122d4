"""Checkpoints and copies."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

import torch

from defects.base import HeavyBall, caught_by
from defects.interface import CountsStepsForAll


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
