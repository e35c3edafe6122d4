"""bfloat16 by autocast, clipped by value, and an average of the weights that is judged."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slalom.train import Run, Task

X, Y = torch.randn(96, 5), torch.randint(0, 3, (96,))


def test_mixed_precision(losses, by_hand):
    task = Task(
        lambda: nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 3)), nn.CrossEntropyLoss(),
        (X, Y), (X, Y), batch_size=16, precision="bfloat16", clip_value=0.02, ema=0.9,
    )  # fmt: skip
    averages = []

    def begin(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        averages.append(AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)))

        def update(batch):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 0.02)
            optimizer.step()
            averages[0].update_parameters(model)
            return loss.item()

        return update

    assert losses(task) == by_hand(task, begin)
    run = Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 3)
    run.advance(20)
    assert all(map(torch.equal, run.weights().values(), averages[0].module.state_dict().values()))
