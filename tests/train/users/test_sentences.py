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


def test_sentences(losses, by_hand):
    loader = DataLoader(DATA, 8, shuffle=True, collate_fn=padded)
    task = Task(Tagger(nn.Embedding(20, 6), nn.Linear(6, 3)), nn.CrossEntropyLoss(), loader, loader)
    assert losses(task) == by_hand(task)
    (x, y), run = padded(DATA), Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 0)
    right = (run.model(x).argmax(1) == y)[y != -100].double().mean().item()
    assert abs(run.evaluate().metric - right) < 1e-6
