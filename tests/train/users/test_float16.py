"""float16 with a gradient scaler, clipped by norm; the loop is that of torch's own recipe."""

import torch
from torch import nn

from slalom import Task

DATA = torch.randn(64, 4), torch.randint(0, 2, (64,))


def test_float16(losses, looped):
    task = Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), DATA, DATA, batch_size=16,
                precision="float16", clip_norm=0.3)  # fmt: skip

    def begin(model):
        optimizer, scaler = torch.optim.SGD(model.parameters(), lr=0.1), torch.amp.GradScaler("cpu")

        def update(batch):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            scaler.step(optimizer), scaler.update()
            return loss.item()

        return update

    assert losses(task) == looped(task, begin)
