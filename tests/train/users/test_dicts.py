"""Texts of varying length as dicts, collated, with a step and a prediction of the user's own."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from slalom import Task

TEXTS = [{"ids": torch.arange(3 + i % 4) % 7, "label": i % 2} for i in range(60)]


def collate(rows):
    ids = nn.utils.rnn.pad_sequence([r["ids"] for r in rows], batch_first=True)
    return {"ids": ids, "labels": torch.tensor([r["label"] for r in rows])}


def predict(model, batch):
    return model(batch["ids"]).mean(1), batch["labels"]


def step(model, batch):
    return nn.functional.cross_entropy(*predict(model, batch))


def test_dicts(losses, by_hand):
    loader = DataLoader(TEXTS, 8, shuffle=True, collate_fn=collate, drop_last=True)
    net = lambda: nn.Sequential(nn.Embedding(7, 6), nn.Dropout(0.2), nn.Linear(6, 2))  # noqa: E731
    task = Task(net, train=loader, valid=loader, step=step, predict=predict, target=0.6)
    task.check()
    assert losses(task) == by_hand(task, step)
