"""Optimizers with one defect each, by the check of the conformance kit that is to catch it."""

from defects import calls, conduct, interface, learning, options, persistence, tensors
from defects.base import BROKEN, HeavyBall

__all__ = [
    "BROKEN",
    "HeavyBall",
    "calls",
    "conduct",
    "interface",
    "learning",
    "options",
    "persistence",
    "tensors",
]
