"""Detection: lists of images of many sizes and of dicts of boxes; the losses are a dict."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from slalom import Task

ROWS = [(torch.randn(3, 4 + i % 3, 5), {"box": torch.rand(4), "id": i}) for i in range(40)]


class Detector(nn.Linear):
    def forward(self, images, targets):
        found = [super(Detector, self).forward(image.mean((1, 2))) for image in images]
        apart = [(f - t["box"]).abs().mean() for f, t in zip(found, targets, strict=True)]
        return {"box": sum(apart) / len(apart), "size": torch.stack(found).square().mean()}


def step(model, batch):
    return sum(model(*batch).values())


def test_detection(losses, by_hand):
    loader = DataLoader(
        ROWS, 8, shuffle=True, collate_fn=lambda rows: tuple(zip(*rows, strict=True))
    )
    task = Task(lambda: Detector(3, 4), train=loader, valid=loader, step=step, target=0.5)
    task.check()
    assert losses(task) == by_hand(task, step)
