"""Sentences of varying lengths, padded in each batch, with tags of which some do not count."""

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from slalom.train import Run, Task

WORDS = [torch.randint(1, 20, (3 + i % 5,)) for i in range(48)]
DATA = [(w, torch.where(w > 15, -100, w % 3)) for w in WORDS]


def padded(samples):
    words, tags = zip(*samples, strict=True)
    return pad_sequence(words, True), pad_sequence(tags, True, padding_value=-100)


class Tagger(nn.Sequential):
    def forward(self, x):
        return super().forward(x).transpose(1, 2)


def test_sentences(losses, by_hand, by_torch):
    loaders = [DataLoader(DATA, 8, shuffle=s, collate_fn=padded) for s in (True, False)]
    make = lambda: Tagger(nn.Embedding(20, 6), nn.Linear(6, 3))  # noqa: E731
    task = Task(make, nn.CrossEntropyLoss(), *loaders, "accuracy", 0.9)
    task.check()
    assert losses(task) == by_hand(task, by_torch)
    run = Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 0)
    x, y = padded(DATA)
    right = (run.model(x).argmax(1) == y)[y != -100].double().mean().item()
    assert abs(run.evaluate().metric - right) < 1e-6
