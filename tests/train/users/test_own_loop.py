"""A script's own loop, raced as it is: by hand it gives the same numbers, to the bit."""

import torch
from torch import nn

import slalom

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))


@slalom.trial(every=4, max_steps=200, higher_is_better=False, target=0.05, metric="mse")
def train(trial):
    model = nn.Linear(3, 1)
    optimizer = trial.optimizer(model.parameters())
    while True:
        for x in X[torch.randperm(64)].split(16):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), x.sum(1, keepdim=True)).backward()
            optimizer.step()
        yield nn.functional.mse_loss(model(X), X.sum(1, keepdim=True)).item()


def test_the_race_runs_the_loop(tmp_path):
    result = slalom.race(train, entrants=["sgd", "adam"], points_each=3, seeds=3, out=tmp_path)
    curve = result.curves[0]
    torch.manual_seed(curve.seed)
    trial = slalom.train.loop.Trial(lambda p: slalom.optim.SGD(p, lr=curve.hypers["lr"]), 0)
    told = [value for value, _ in zip(train.loop(trial), curve.metric, strict=False)]
    assert curve.rule == "SGD"
    assert told == curve.metric[: len(told)]
