"""Sounds of varying length and their texts, put end to end, under CTC: batches that do not join."""

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from slalom import Task

SOUNDS = [(torch.randn(8 + i % 5, 3), torch.randint(1, 5, (2 + i % 3,))) for i in range(40)]


def collate(rows):
    sounds, texts = zip(*rows, strict=True)
    lengths = [torch.tensor([len(part) for part in parts]) for parts in (sounds, texts)]
    return {"x": pad_sequence(sounds), "y": torch.cat(texts), "lengths": lengths}


def ctc(model, batch):
    shares = model(batch["x"]).log_softmax(-1)
    return nn.functional.ctc_loss(shares, batch["y"], *batch["lengths"])


def test_speech(losses, by_hand):
    loader = DataLoader(SOUNDS, 8, shuffle=True, collate_fn=collate)
    task = Task(lambda: nn.Linear(3, 5), train=loader, valid=loader, step=ctc, target=2.0)
    task.check()
    assert losses(task) == by_hand(task, ctc)
