"""A skorch net, raced as it stands; the first losses are those of its own fit, to the bit."""

import numpy as np
import skorch
import torch
from torch import nn

from slalom import Task

X = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def net():
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 2))


def test_a_skorch_net(losses):
    theirs = skorch.NeuralNetClassifier(
        net, criterion=nn.CrossEntropyLoss, lr=0.1, batch_size=16, max_epochs=2, verbose=0
    )
    task = Task.from_skorch(theirs, X, Y, target=0.9)
    task.check()
    torch.manual_seed(3)
    epochs = theirs.fit(X, Y).history[:, "batches"]
    assert losses(task) == [b["train_loss"] for e in epochs for b in e if "train_loss" in b]
