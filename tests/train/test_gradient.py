"""Batch gradient descent: chunks of any size give the gradient of all samples at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from slalom.errors import InputError
from slalom.train import full_gradient
from slalom.train.samples import Samples

torch.manual_seed(0)
INPUTS = torch.randn(101, 6, dtype=torch.float64)
CLASSES = torch.randint(0, 4, (101,))
VALUES = torch.randn(101, 4, dtype=torch.float64)
WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
LOSSES = {
    "mse": (nn.MSELoss(), VALUES),
    "mse, sum": (nn.MSELoss(reduction="sum"), VALUES),
    "a function": (lambda o, t: (o - t).abs().mean(), VALUES),
    "cross entropy": (nn.CrossEntropyLoss(), CLASSES),
    "cross entropy, weights": (nn.CrossEntropyLoss(weight=WEIGHT), CLASSES),
    "cross entropy, sum": (nn.CrossEntropyLoss(weight=WEIGHT, reduction="sum"), CLASSES),
    "cross entropy, ignored": (nn.CrossEntropyLoss(weight=WEIGHT, ignore_index=2), CLASSES),
    "cross entropy, shares": (nn.CrossEntropyLoss(), VALUES.softmax(1)),
}


def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()


@pytest.mark.parametrize("name", LOSSES)
@given(chunk=st.integers(1, 150))
def test_chunks_are_equal_to_the_whole(name, chunk):
    loss, targets = LOSSES[name]
    one, many = model(), model()
    value = loss(one(INPUTS), targets)
    if getattr(loss, "reduction", "mean") == "sum":
        value = value / len(INPUTS)
    value.backward()
    with torch.no_grad():
        torch.set_default_dtype(torch.float64)
        samples = Samples((INPUTS, targets), "train")
        torch.set_default_dtype(torch.float32)
    found = full_gradient(many, loss, samples, chunk=chunk)
    assert found == pytest.approx(value.item(), rel=1e-12)
    for p, q in zip(many.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-12, atol=1e-14)


def test_batch_statistics_are_refused_where_they_would_differ():
    with_norm = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))
    samples = Samples((INPUTS.float(), CLASSES), "train")
    full_gradient(with_norm, nn.CrossEntropyLoss(), samples, chunk=101)
    with pytest.raises(InputError, match="1 is a BatchNorm1d, whose output depends on the whole"):
        full_gradient(with_norm, nn.CrossEntropyLoss(), samples, chunk=50)
    full_gradient(with_norm.eval(), nn.CrossEntropyLoss(), samples, chunk=50)
