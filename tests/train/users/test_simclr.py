"""Two noisy views of each sample by a dataset with workers, told apart in the batch (SimCLR)."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from slalom import Task

X = torch.randn(40, 4)


class Views:
    def __len__(self):
        return 40

    def __getitem__(self, i):
        return X[i] + 0.1 * torch.randn(4), X[i] + np.float32(np.random.rand())


def step(model, batch):
    z = F.normalize(torch.cat([model(view) for view in batch]))
    return F.cross_entropy((2 * z @ z.T).fill_diagonal_(-9), torch.arange(len(z)).roll(len(z) // 2))


def test_simclr(losses, by_hand):
    views = DataLoader(Views(), 8, shuffle=True, num_workers=1)
    task = Task(lambda: nn.Linear(4, 3), train=views, valid=views, step=step)
    assert losses(task) == by_hand(task, step)
