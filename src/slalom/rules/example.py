"""A few updates with their results, worked out apart from the rule: the numbers of its tests."""

from __future__ import annotations

from typing import Any


class Example:
    """What a rule must make of the parameter 1, from the formula of its paper.

        Example((0.5, 0.95), (-1.0, 1.05), lr=0.1)

    The gradient 0.5 brings it to 0.95, then the gradient -1.0 to 1.05.

    Attributes:
        gradients: one for each update.
        params: the parameter after each; the tests compare eight digits.
        hypers: the hyper-parameters that are not at their defaults.
    """

    def __init__(self, *updates: tuple[float, float], **hypers: Any):
        self.gradients = [gradient for gradient, _ in updates]
        self.params = [param for _, param in updates]
        self.hypers = hypers
