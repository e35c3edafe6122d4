"""A translation with teacher forcing, whose coin is Python's."""

import random

import torch
from torch import nn

from slalom import Task

TEXT = torch.randint(1, 9, (48, 5))


class Translate(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.cell, self.out = nn.Embedding(9, 6), nn.GRUCell(6, 6), nn.Linear(6, 9)

    def forward(self, source, target):
        word, state, found = torch.zeros_like(source[:, 0]), self.words(source).mean(1), []
        for right in target.T:
            found.append(self.out(state := self.cell(self.words(word), state)))
            word = right if self.training and random.random() < 0.5 else found[-1].argmax(1)
        return torch.stack(found, 2)


def test_teacher_forcing(losses, by_hand):
    step = lambda model, b: nn.functional.cross_entropy(model(*b), b[1])  # noqa: E731
    task = Task(Translate, train=(TEXT, TEXT.flip(1)), valid=(TEXT, TEXT.flip(1)), step=step,
                predict=lambda model, b: (model(*b), b[1]), batch_size=8)  # fmt: skip
    assert losses(task) == by_hand(task, step)
