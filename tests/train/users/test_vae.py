"""A variational autoencoder: no labels, noise inside the model, a loss of three outputs."""

import torch
from torch import nn

from slalom import Task

X = torch.randn(90, 6)


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(6, 4), nn.Linear(2, 6)

    def forward(self, x):
        mean, spread = self.encode(x).chunk(2, 1)
        return self.decode(mean + torch.randn_like(mean) * (spread / 2).exp()), mean, spread


def elbo(model, x):
    made, mean, spread = model(x)
    apart = -0.5 * (1 + spread - mean**2 - spread.exp()).sum(1).mean()
    return nn.functional.mse_loss(made, x, reduction="sum") / len(x) + apart


def test_a_vae(losses, by_hand):
    task = Task(Vae, train=X, valid=X[:30], step=elbo, batch_size=16, target=6.0)
    task.check()
    assert losses(task, lr=0.1) == by_hand(task, elbo)
