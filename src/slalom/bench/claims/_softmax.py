"""Softmax regression on the digits, many copies side by side: convex, and its optimum known."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from slalom import optim
from slalom.tasks import digits

DECAY = 0.01
"""L2, which makes the loss strongly convex."""


@cache
def samples() -> tuple[Tensor, Tensor]:
    """(inputs (n, 65) with a column of ones, classes (n,)) of the training set, in float64."""
    (inputs, classes), _ = digits.data()
    x = torch.from_numpy(inputs).double()
    return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1), torch.from_numpy(classes)


class Softmax:
    """Copies of one softmax regression, which an optimizer updates as one parameter.

    The classic rules go element by element, so that the copies do not see each other.

    Attributes:
        weights: of shape (copies, 65, 10), float64; all 0 at first.
        names: (copies, 10), what each class is called in each copy where gradients are taken; as
            in the data at first.
    """

    def __init__(self, copies: int):
        self.x, self.classes = samples()
        self.names = torch.arange(10).repeat(copies, 1)
        self.weights = nn.Parameter(torch.zeros(copies, 65, 10, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.x)

    @torch.no_grad()
    def losses(self) -> Tensor:
        """(copies,): over all samples, with its decay."""
        logits = self.x @ self.weights
        many = len(self.weights)
        each = functional.cross_entropy(
            logits.transpose(1, 2), self.classes.expand(many, -1), reduction="none"
        )
        return each.mean(1) + DECAY / 2 * self.weights.square().sum((1, 2))

    @torch.no_grad()
    def set_gradient(self, chosen: Tensor | None = None) -> Tensor:
        """Give the weights their gradient over samples (copies, m), by default over all of them;
        the loss (copies,) on these, without its decay."""
        many = len(self.weights)
        x = self.x.expand(many, -1, -1) if chosen is None else self.x[chosen]
        y = self.classes.expand(many, -1) if chosen is None else self.classes[chosen]
        y = self.names.gather(1, y)
        logits = x @ self.weights
        errors = logits.softmax(2) - functional.one_hot(y, 10)
        self.weights.grad = x.transpose(1, 2) @ errors / x.shape[1] + DECAY * self.weights
        return functional.cross_entropy(logits.transpose(1, 2), y, reduction="none").mean(1)


@cache
def optimum() -> tuple[Tensor, float]:
    """(weights (1, 65, 10), loss) where the loss is lowest, by L-BFGS."""
    one = Softmax(1)
    solver = optim.LBFGS(
        [one.weights], max_iter=2000, tolerance_grad=1e-12, tolerance_change=0, history_size=50,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def measured() -> Tensor:
        one.set_gradient()
        return one.losses()[0]

    solver.step(measured)
    return one.weights.detach().clone(), float(one.losses()[0])


@cache
def steepest() -> float:
    """The largest curvature that the loss has anywhere, at most (Böhning 1992)."""
    x, _ = samples()
    largest = torch.linalg.eigvalsh(x.T @ x / len(x))[-1]
    return float(largest) / 2 + DECAY


def draw(n: int, copies: int, m: int, generator: torch.Generator) -> Tensor:
    """Samples (copies, m), drawn from n with replacement."""
    return torch.randint(n, (copies, m), generator=generator)
