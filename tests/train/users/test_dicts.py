"""A dataset of dicts, collated, with a step and a prediction of the user's own: to the bit."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from slalom.train import Task


class Texts(Dataset):
    def __len__(self):
        return 60

    def __getitem__(self, i):
        return {"ids": torch.arange(3 + i % 4) % 7, "label": i % 2}


def collate(rows):
    ids = nn.utils.rnn.pad_sequence([r["ids"] for r in rows], batch_first=True)
    return {"ids": ids, "labels": torch.tensor([r["label"] for r in rows])}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(7, 6), nn.Linear(6, 2)

    def forward(self, ids):
        return self.out(nn.functional.dropout(self.words(ids).mean(1), 0.2, self.training))


def step(model, batch):
    return nn.functional.cross_entropy(model(batch["ids"]), batch["labels"])


def test_dicts(losses, by_hand):
    loader = DataLoader(Texts(), 8, shuffle=True, collate_fn=collate, drop_last=True)
    task = Task(
        Net, train=loader, valid=loader, step=step, target=0.6,
        predict=lambda model, batch: (model(batch["ids"]), batch["labels"]),
    )  # fmt: skip
    task.check()

    def start(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def update(batch):
            optimizer.zero_grad()
            loss = step(model, batch)
            loss.backward()
            optimizer.step()
            return loss.item()

        return update

    assert losses(task) == by_hand(task, start)
