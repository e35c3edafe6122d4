"""bfloat16 by autocast, clipped by value, and an average of the weights that is judged."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slalom.train import Run, Task

DATA = torch.randn(96, 5), torch.randint(0, 3, (96,))


def loss(model, batch):
    with torch.autocast("cpu", torch.bfloat16):
        return nn.functional.cross_entropy(model(batch[0]), batch[1])


def test_mixed_precision(losses, by_hand):
    task = Task(lambda: nn.Linear(5, 3), nn.CrossEntropyLoss(), DATA, DATA, batch_size=16,
                precision="bfloat16", clip_value=0.02, ema=0.9)  # fmt: skip
    average = AveragedModel(task.make_model(3), multi_avg_fn=get_ema_multi_avg_fn(0.9))

    def clipped(model):
        made, own = torch.optim.SGD(model.parameters(), lr=0.1), list(model.parameters())
        made.register_step_pre_hook(lambda *_: nn.utils.clip_grad_value_(own, 0.02))
        made.register_step_post_hook(lambda *_: average.update_parameters(model))
        return made

    assert losses(task) == by_hand(task, loss, clipped)
    (run := Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 3)).advance(20)
    assert all(map(torch.equal, run.weights().values(), average.module.state_dict().values()))
