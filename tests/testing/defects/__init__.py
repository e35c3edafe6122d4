"""Optimizers with one defect each, by the check of the conformance kit that is to catch it."""

from defects import calls, interface, learning, options, persistence, tensors
from defects.base import BROKEN, HeavyBall

__all__ = [
    "BROKEN",
    "HeavyBall",
    "calls",
    "interface",
    "learning",
    "options",
    "persistence",
    "tensors",
]
