"""The next character of the standard library's text, by the two before it: a convex model."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from slalom import optim
from slalom.tasks._stdlib_text import sources

DECAY = 1e-5
"""L2, which makes the loss strongly convex."""

NEAR = 0.05
"""Near the optimum: so much of the first loss above it is left."""


class Characters:
    """Softmax regression over ``n`` samples of two characters and the one that follows.

    Samples of equal contexts are counted together where all of them are asked for, which changes
    neither the loss nor its gradient.
    """

    def __init__(self, n: int):
        text = "".join(c if c.isascii() else "?" for c in sources(("",), n + 2)[""])
        alphabet, codes = np.unique(list(text), return_inverse=True)
        self.n, self.classes = len(codes) - 2, len(alphabet)
        codes = torch.from_numpy(codes)
        self.before = torch.stack([codes[:-2], codes[1:-1] + self.classes], 1)
        self.after = codes[2:]
        self.contexts, which = torch.unique(self.before, dim=0, return_inverse=True)
        counts = torch.zeros(len(self.contexts), self.classes)
        counts.index_put_((which, self.after), torch.ones(self.n), accumulate=True)
        self.shares = counts / self.n

    def model(self) -> nn.EmbeddingBag:
        """The untrained one; what it gives are logits."""
        bag = nn.EmbeddingBag(2 * self.classes, self.classes, mode="sum")
        nn.init.zeros_(bag.weight)
        return bag

    def loss(self, model: nn.EmbeddingBag) -> Tensor:
        """Over all samples, with its decay."""
        logs = model(self.contexts).log_softmax(1)
        return -(self.shares * logs).sum() + DECAY / 2 * model.weight.square().sum()

    def batch_loss(self, model: nn.EmbeddingBag, chosen: Tensor) -> Tensor:
        """Over some samples, without its decay, which is the optimizer's."""
        return functional.cross_entropy(model(self.before[chosen]), self.after[chosen])

    def near(self) -> float:
        """The loss that is near the optimum."""
        model = self.model()
        first = self.loss(model).item()
        solver = optim.LBFGS(
            model.parameters(), max_iter=300, history_size=20, line_search_fn="strong_wolfe"
        )

        def measured() -> Tensor:
            solver.zero_grad()
            loss = self.loss(model)
            loss.backward()
            return loss

        solver.step(measured)
        lowest = self.loss(model).item()
        return lowest + NEAR * (first - lowest)


@cache
def characters(n: int) -> tuple[Characters, float]:
    """The problem of so many samples, and the loss that is near its optimum."""
    problem = Characters(n)
    return problem, problem.near()
