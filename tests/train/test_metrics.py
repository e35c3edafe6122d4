"""The metrics: by sklearn's definitions; classes read from logits of every shape, or refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st

from slalom.errors import InputError
from slalom.train.metrics import METRICS, accuracy, mae, mse, predicted_classes, r2

DTYPES = st.sampled_from([torch.int64, torch.int32, torch.uint8, torch.float32, torch.float64])


@st.composite
def decided(draw):
    """(logits, targets, the classes that the logits are for), of shapes that belong together."""
    n, classes = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    more = tuple(draw(st.lists(st.sampled_from([2, 3]), max_size=2)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    form = draw(st.sampled_from(["classes second", "classes last", "one", "one, of length 1"]))
    if form.startswith("one"):
        classes = 2
        more = ()
    predicted = torch.randint(0, classes, (n, *more), generator=generator)
    targets = torch.randint(0, classes, (n, *more), generator=generator)
    if form.startswith("one"):
        logits = (predicted * 2.0 - 1) * (0.1 + torch.rand(n, generator=generator))
        logits = logits.unsqueeze(-1) if "length" in form else logits
        targets = targets.unsqueeze(-1) if draw(st.booleans()) else targets
    else:
        logits = torch.randn((n, *more, classes), generator=generator)
        logits.scatter_(-1, predicted.unsqueeze(-1), 9.0)
        if form == "classes second" or classes in more[:1]:  # which is how two equal axes are read
            logits = logits.movedim(-1, 1)
        elif not more and draw(st.booleans()):
            targets = targets.unsqueeze(-1)
    dtype = draw(DTYPES)
    if classes == 2 and draw(st.booleans()):
        dtype = torch.bool
    return logits, targets.to(dtype), predicted.reshape(targets.shape)


@given(decided())
def test_classes_are_read_from_logits_of_every_shape(case):
    logits, targets, expected = case
    found = predicted_classes(logits, targets)
    assert found.dtype == torch.int64
    assert torch.equal(found, expected)
    truth, guess = targets.reshape(-1).long().numpy(), expected.reshape(-1).numpy()
    right = sklearn.metrics.accuracy_score(truth, guess)
    assert accuracy(logits, targets) == pytest.approx(right)
    assert METRICS["error"].measure(logits, targets, 0.0) == pytest.approx(1 - right)


def test_one_logit_in_the_middle_and_labels():
    logits = torch.tensor([[[2.0, -1.0]], [[-2.0, 3.0]]])
    assert predicted_classes(logits, torch.zeros(2, 2)).tolist() == [[1, 0], [0, 1]]
    labels = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    logits = torch.tensor([[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]])
    assert accuracy(logits, labels) == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (torch.zeros(4, 3), torch.tensor([0, 1, 2, 3]), "a target is 3, and the outputs tell 3"),
        (torch.zeros(4, 3), torch.tensor([0, 1, -100, 2]), "a target is -100"),
        (torch.zeros(4, 1), torch.tensor([0, 1, 2, 1]), "one output a decision tells 2 classes"),
        (torch.zeros(4), torch.tensor([-1, 1, 1, 1]), "a target is -1"),
        (torch.zeros(4), torch.tensor([0.5, 1, 1, 1]), "a target is 0.5"),
        (torch.zeros(2, 3), torch.eye(3)[:2], "may be classes or labels"),
        (torch.zeros(4, 3), torch.zeros(3).long(), "are no logits for targets of shape (3,)"),
        (torch.zeros(4, 3), torch.zeros(4, 2).long(), "are no logits"),
        (torch.zeros(4, 3, 2), torch.zeros(4).long(), "are no logits"),
        (torch.zeros(4), torch.zeros(1).long(), "are no logits"),
        (torch.zeros(4).long(), torch.zeros(4).long(), "and the outputs are torch.int64"),
        ((torch.zeros(4),), torch.zeros(4), "a tensor of outputs, not a tuple"),
        (torch.zeros(4), [0, 1, 1, 0], "a tensor of targets, not a list"),
    ],
)  # fmt: skip
def test_what_is_no_class_is_refused(outputs, targets, message):
    with pytest.raises(InputError) as caught:
        accuracy(outputs, targets)
    assert message in str(caught.value)


@given(
    st.integers(2, 9), st.sampled_from([(), (1,), (3,)]), st.integers(0, 99), st.booleans()
)  # fmt: skip
def test_values_are_judged_as_sklearn_defines_it(n, columns, seed, strip):
    generator = np.random.default_rng(seed)
    true, predicted = generator.normal(size=(2, n, *columns))
    given_true = true[:, 0] if strip and columns == (1,) else true
    pair = torch.from_numpy(predicted), torch.from_numpy(given_true.copy())
    for ours, theirs in (
        (mse, "mean_squared_error"), (mae, "mean_absolute_error"), (r2, "r2_score"),
    ):  # fmt: skip
        expected = getattr(sklearn.metrics, theirs)(true, predicted)
        assert ours(*pair) == pytest.approx(expected, rel=1e-9)


def test_values_that_do_not_belong_together():
    assert math.isnan(r2(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0])))
    for outputs, targets in (
        (torch.zeros(1, 2), torch.zeros(1)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
    ):
        for measure in (mse, mae, r2):
            with pytest.raises(InputError, match="are no values for targets of shape"):
                measure(outputs, targets)


def test_those_of_the_loss():
    outputs = torch.zeros(1)
    assert METRICS["loss"].measure(outputs, outputs, 2.0) == 2.0
    assert METRICS["perplexity"].measure(outputs, outputs, 2.0) == pytest.approx(math.e**2)
    assert METRICS["perplexity"].measure(outputs, outputs, 1e4) == math.inf


def test_each_says_which_way_is_better():
    better = {name: metric.higher_is_better for name, metric in METRICS.items()}
    assert better == {
        "accuracy": True, "error": False, "loss": False, "mse": False, "mae": False, "r2": True,
        "perplexity": False,
    }  # fmt: skip
