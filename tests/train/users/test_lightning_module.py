"""A LightningModule and its loaders, raced as they stand; its losses are those by hand."""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from slalom import Task

X = torch.randn(64, 3)
LOADER = DataLoader(TensorDataset(X, X.sum(1, keepdim=True)), 8, shuffle=True)


class Sum(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def training_step(self, batch):
        return nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def validation_step(self, batch):
        self.log("val_mse", self.training_step(batch))


def test_a_module(losses):
    module = Task.from_lightning(Sum(), train=LOADER, valid=LOADER, metric="val_mse", target=0.1)
    plain = Task(Sum, train=LOADER, valid=LOADER, step=lambda m, batch: m.training_step(batch))
    module.check()
    assert losses(module) == losses(plain)
