"""Several labels a sample, weighted, judged as by scikit-learn: by the mean over labels."""

import pytest
import sklearn.metrics
import torch
from torch import nn

from slalom.train import Run, Task

X = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, :3] + X[:, 1:] > 0.5).float()
LOSS = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.0, 3.0]))
SKLEARN = {
    "f1": lambda o: sklearn.metrics.f1_score(Y, o > 0, average="macro"),
    "auroc": lambda o: sklearn.metrics.roc_auc_score(Y, o),
    "average_precision": lambda o: sklearn.metrics.average_precision_score(Y, o),
    "accuracy": lambda o: ((o > 0) == Y).float().mean(),
}


@pytest.mark.parametrize("metric", SKLEARN)
def test_several_labels(metric, losses, by_hand):
    task = Task(lambda: nn.Linear(4, 3), LOSS, (X, Y), (X, Y), metric, 0.9, batch_size=16)
    task.check()
    assert losses(task) == by_hand(task, lambda model, b: LOSS(model(b[0]), b[1]))
    run = Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 0)
    assert run.evaluate().metric == pytest.approx(SKLEARN[metric](run.model(X).detach()))
