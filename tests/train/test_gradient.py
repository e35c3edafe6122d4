"""Batch gradient descent: chunks of any size give the gradient of all samples at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from slalom.errors import InputError
from slalom.train import Run, Task, full_gradient
from slalom.train.reduction import reduction_of

torch.manual_seed(0)
INPUTS = torch.randn(101, 6, dtype=torch.float64)
CLASSES = torch.randint(0, 4, (101,))
VALUES = torch.randn(101, 4, dtype=torch.float64)
WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
CLASSES_OF_WORDS = torch.randint(0, 4, (101, 3))
LOSSES = {
    "mse": (nn.MSELoss(), VALUES),
    "mse, sum": (nn.MSELoss(reduction="sum"), VALUES),
    "a mean": (lambda o, t: (o - t).abs().mean(), VALUES),
    "a sum": (lambda o, t: (o - t).abs().sum(), VALUES),
    "cross entropy": (nn.CrossEntropyLoss(), CLASSES),
    "cross entropy, smoothed": (nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1), CLASSES),
    "cross entropy, weights": (nn.CrossEntropyLoss(weight=WEIGHT), CLASSES),
    "cross entropy, sum": (nn.CrossEntropyLoss(weight=WEIGHT, reduction="sum"), CLASSES),
    "cross entropy, ignored": (nn.CrossEntropyLoss(weight=WEIGHT, ignore_index=2), CLASSES),
    "cross entropy, shares": (nn.CrossEntropyLoss(), VALUES.softmax(1)),
    "likelihood": (nn.NLLLoss(weight=WEIGHT, ignore_index=0), CLASSES),
}
SUMS = {"mse, sum", "a sum", "cross entropy, sum"}


def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()


def same_gradients(one: nn.Module, many: nn.Module) -> None:
    for p, q in zip(many.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=12)
@given(chunk=st.integers(1, 150))
@example(chunk=1)
@example(chunk=25)  # a last chunk of one
@example(chunk=101)
def test_chunks_are_equal_to_the_whole(name, chunk):
    loss, targets = LOSSES[name]
    one, many = model(), model()
    value = loss(one(INPUTS), targets) / (len(INPUTS) if name in SUMS else 1)
    value.backward()
    found = full_gradient(many, loss, (INPUTS, targets), chunk=chunk)
    assert found == pytest.approx(value.item(), rel=1e-12)
    same_gradients(one, many)


def test_weights_count_the_positions_of_a_sequence():
    loss = nn.CrossEntropyLoss(weight=WEIGHT, ignore_index=1)
    one, many = (nn.Sequential(model(), nn.Unflatten(1, (4, 1))) for _ in range(2))
    one.append(nn.Upsample(scale_factor=3)).double()
    many.append(nn.Upsample(scale_factor=3)).double()
    loss(one(INPUTS), CLASSES_OF_WORDS).backward()
    full_gradient(many, loss, (INPUTS, CLASSES_OF_WORDS), chunk=13)
    same_gradients(one, many)


def test_a_chunk_whose_targets_are_all_ignored_counts_for_nothing():
    targets = torch.where(torch.arange(101) < 60, -100, CLASSES)
    one, many = model(), model()
    nn.CrossEntropyLoss()(one(INPUTS), targets).backward()
    full_gradient(many, nn.CrossEntropyLoss(), (INPUTS, targets), chunk=20)
    same_gradients(one, many)


def test_sparse_gradients_stay_sparse_and_small():
    bags = torch.randint(0, 7, (101, 5))

    def make() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(nn.EmbeddingBag(7, 4, sparse=True), nn.Linear(4, 4)).double()

    one, many = make(), make()
    nn.CrossEntropyLoss()(one(bags), CLASSES).backward()
    full_gradient(many, nn.CrossEntropyLoss(), (bags, CLASSES), chunk=10)
    found = many[0].weight.grad
    assert found.is_sparse
    assert found._nnz() <= 7
    torch.testing.assert_close(found.to_dense(), one[0].weight.grad.to_dense())


def test_memory_is_that_of_a_chunk():
    largest = 0

    class Watched(nn.Linear):
        def forward(self, x):
            nonlocal largest
            largest = max(largest, len(x))
            return super().forward(x)

    full_gradient(Watched(6, 4).double(), nn.MSELoss(), (INPUTS, VALUES), chunk=10)
    assert largest == 10


def by_hand(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets, weight=WEIGHT)


def contrast(outputs, targets):
    return (outputs @ outputs.T).softmax(1).diagonal().mean()


@pytest.mark.parametrize("loss", [by_hand, contrast])
def test_a_loss_of_the_batch_as_a_whole_is_refused_where_it_would_differ(loss):
    one, many = model(), model()
    loss(one(INPUTS), CLASSES).backward()
    full_gradient(many, loss, (INPUTS, CLASSES), chunk=101)
    same_gradients(one, many)
    with pytest.raises(InputError, match="neither the mean nor the sum of the losses of its"):
        full_gradient(model(), loss, (INPUTS, CLASSES), chunk=50)


def test_batch_statistics_are_refused_where_they_would_differ():
    with_norm = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)).double()
    data = INPUTS, CLASSES
    full_gradient(with_norm, nn.CrossEntropyLoss(), data, chunk=101)
    with pytest.raises(InputError, match="1 is a BatchNorm1d, whose output depends on the whole"):
        full_gradient(with_norm, nn.CrossEntropyLoss(), data, chunk=50)
    full_gradient(with_norm.eval(), nn.CrossEntropyLoss(), data, chunk=50)
    without = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False)).eval()
    with pytest.raises(InputError, match="1 is a BatchNorm1d"):
        full_gradient(without.double(), nn.CrossEntropyLoss(), data, chunk=50)


@given(n=st.integers(1, 40), total=st.booleans(), seed=st.integers(0, 99))
def test_how_a_function_reduces_is_measured(n, total, seed):
    generator = torch.Generator().manual_seed(seed)
    outputs, targets = torch.randn(2, n, 3, generator=generator)

    def loss(o, t):
        each = (o - t).square().mean(1)
        return each.sum() if total else each.mean()

    found = reduction_of(loss, lambda: (lambda pair: loss(*pair), (outputs, targets), n))
    assert found.kind == ("sum" if total else "mean")


@pytest.mark.parametrize("total", [False, True])
def test_how_a_function_that_draws_numbers_reduces_is_measured_too(total):
    def loss(outputs, targets):  # as that of an autoencoder that draws its code
        each = (outputs + 0.2 * torch.randn_like(outputs) - targets).square()
        return each.sum() if total else each.mean()

    torch.manual_seed(0)
    whole = torch.randn(16, 3), torch.randn(16, 3)
    for _ in range(20):
        found = reduction_of(loss, lambda: (lambda pair: loss(*pair), whole, 16))
        assert found.kind == ("sum" if total else "mean")
    hidden = reduction_of(loss, lambda: (lambda pair: 1e3 * torch.randn(()), whole, 16))
    assert hidden.kind == "other"


def test_no_chunk():
    with pytest.raises(InputError, match="chunk is 0; it must be"):
        full_gradient(model(), nn.MSELoss(), (INPUTS, VALUES), chunk=0)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_accumulated_batches_are_the_update_of_the_large_one(reduction):
    x = torch.randn(48, 4, dtype=torch.float64)
    y = torch.randint(0, 3, (48,))

    def updated(size, accumulate):
        task = Task(
            lambda: nn.Linear(4, 3).double(), nn.CrossEntropyLoss(reduction=reduction), (x, y),
            (x, y), batch_size=size, accumulate=accumulate,
        )  # fmt: skip
        run = Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 0)
        losses = [run.advance(1) for _ in range(3)]
        return run.model.weight, losses

    (one, losses), (several, others) = updated(48, 1), updated(12, 4)
    torch.testing.assert_close(several, one)
    assert others == pytest.approx(losses)
