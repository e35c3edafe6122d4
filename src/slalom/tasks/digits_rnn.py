"""The digits read row by row by a recurrent network."""

from __future__ import annotations

from torch import Tensor, nn

from slalom.tasks.digits import data
from slalom.train import Task


class Reader(nn.Module):
    """A GRU of 64 units over the 8 rows of 8 pixels; its last state decides."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 64, batch_first=True)
        self.out = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 10) of images (n, 64)."""
        states, _ = self.gru(images.unflatten(1, (8, 8)))
        return self.out(states[:, -1])


def task() -> Task:
    """Classify held-out digits: 96 in 100 right."""
    train, valid = data()
    return Task(
        Reader, nn.CrossEntropyLoss(), train, valid, "accuracy", target=0.96, batch_size=64,
        max_steps=1200, name="digits-rnn",
    )  # fmt: skip
