"""A character model of the source text of Python's standard library."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from slalom.tasks._stdlib_text import sources
from slalom.train import Task

LENGTH = 32
"""Characters in a sample."""


class Writer(nn.Module):
    """An embedding of 32, a GRU of 96 units, and the logits of the next character."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, 32)
        self.gru = nn.GRU(32, 96, batch_first=True)
        self.out = nn.Linear(96, characters)

    def forward(self, text: Tensor) -> Tensor:
        """Logits (n, characters, LENGTH) of text (n, LENGTH), classes second as the loss has it."""
        states, _ = self.gru(self.embedding(text))
        return self.out(states).transpose(1, 2)


def task() -> Task:
    """Predict the next character: a perplexity of 6.5 on the last tenth of the text."""
    text = "".join(c if c.isascii() else "?" for c in sources(("",), 200_000)[""])
    alphabet = sorted(set(text))
    codes = torch.from_numpy(np.searchsorted(alphabet, list(text)))
    windows = codes[: (len(codes) - 1) // LENGTH * LENGTH].reshape(-1, LENGTH)
    following = codes[1 : windows.numel() + 1].reshape(-1, LENGTH)
    split = len(windows) * 9 // 10
    return Task(
        lambda: Writer(len(alphabet)), nn.CrossEntropyLoss(), (windows[:split], following[:split]),
        (windows[split:], following[split:]), "perplexity", target=6.5, batch_size=32,
        max_steps=600, eval_every=3, name="stdlib-chars",
    )  # fmt: skip
