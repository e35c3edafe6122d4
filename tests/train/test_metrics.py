"""The metrics: by sklearn's definitions; outputs read as the loss reads them, or refused."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torchmetrics import classification

from slalom.errors import InputError
from slalom.train import Task
from slalom.train.evaluation import read
from slalom.train.metrics import METRICS
from slalom.train.own_metric import metric_of
from slalom.train.reading import reading_of

DTYPES = st.sampled_from([torch.int64, torch.int32, torch.uint8, torch.float32, torch.float64])


def measured(name, loss, outputs, targets):
    """A metric by name, of outputs and targets of this loss."""
    metric = METRICS[name]
    return metric.measure(*read(metric, reading_of(loss), outputs, targets))


@st.composite
def decided(draw):
    """(loss, outputs, targets, the classes the outputs are for), of shapes that belong together."""
    n, classes = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    more = tuple(draw(st.lists(st.sampled_from([2, 3]), max_size=2)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    form = draw(
        st.sampled_from(["classes second", "classes last", "shares", "logits", "sure", "±"])
    )
    one = form in ("logits", "sure", "±")
    classes = 2 if one else classes
    predicted = torch.randint(0, classes, (n, *more), generator=generator)
    targets = torch.randint(0, classes, (n, *more), generator=generator)
    dtype = draw(DTYPES)
    if one:
        outputs = (predicted * 2.0 - 1) * (0.1 + torch.rand(predicted.shape, generator=generator))
        loss = {"logits": nn.BCEWithLogitsLoss(), "sure": nn.BCELoss(), "±": nn.SoftMarginLoss()}
        given_targets = targets.to(dtype)
        if form == "sure":
            outputs = outputs.sigmoid()
        elif form == "±":
            given_targets = 2.0 * targets - 1
        if not more and draw(st.booleans()):
            outputs = outputs.unsqueeze(-1)
        return loss[form], outputs, given_targets, predicted, targets
    outputs = torch.randn((n, *more, classes), generator=generator)
    outputs.scatter_(-1, predicted.unsqueeze(-1), 9.0)
    if form == "shares":
        shares = 0.9 * F.one_hot(targets, classes) + 0.1 / classes
        return (
            nn.CrossEntropyLoss(),
            outputs.movedim(-1, 1),
            shares.movedim(-1, 1),
            predicted,
            targets,
        )
    if form == "classes second" or classes in more[:1]:  # which is how two equal axes are read
        outputs = outputs.movedim(-1, 1)
    loss = draw(st.sampled_from([nn.CrossEntropyLoss(), nn.NLLLoss(), F.cross_entropy, None, len]))
    return loss, outputs, targets.to(dtype), predicted, targets


@given(decided())
def test_classes_are_read_as_the_loss_reads_them(case):
    loss, outputs, targets, predicted, true = case
    right = sklearn.metrics.accuracy_score(true.reshape(-1), predicted.reshape(-1))
    assert measured("accuracy", loss, outputs, targets) == pytest.approx(right)
    assert measured("error", loss, outputs, targets) == pytest.approx(1 - right)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(ignore_index=7), functools.partial(F.cross_entropy, ignore_index=7),
        functools.partial(functools.partial(F.nll_loss, ignore_index=3), ignore_index=7),
    ],
)  # fmt: skip
def test_what_the_loss_ignores_is_not_judged(loss):
    outputs = torch.tensor([[2.0, 1.0], [0.0, 3.0], [4.0, 0.0]])
    assert measured("accuracy", loss, outputs, torch.tensor([0, 7, 1])) == 0.5


@pytest.mark.parametrize(
    ("loss", "outputs", "targets", "message"),
    [
        (None, torch.zeros(4, 3), torch.tensor([0, 1, 2, 3]), "a target is 3, and the outputs"),
        (nn.BCEWithLogitsLoss(), torch.zeros(4, 1), torch.tensor([0, 1, 2, 1]), "a target is 2"),
        (nn.BCEWithLogitsLoss(), torch.zeros(4), torch.tensor([-1, 1, 1, 1]), "a target is -1"),
        (nn.SoftMarginLoss(), torch.zeros(4), torch.tensor([0, 1, 1, 1]), "takes -1 and 1"),
        (nn.BCELoss(), torch.tensor([2.0]), torch.tensor([1.0]), "takes probabilities"),
        (None, torch.zeros(4), torch.tensor([0, 1, 1, 1]), "may be logits, probabilities or signs"),
        (len, torch.zeros(4, 1), torch.zeros(4, 1), "may be logits, probabilities or signs"),
        (nn.MSELoss(), torch.zeros(4, 1), torch.zeros(4, 1), "does not say how outputs are read"),
        (None, torch.zeros(4, 3), torch.zeros(3).long(), "are no scores for targets of shape (3,)"),
        (None, torch.zeros(4, 3), torch.zeros(4, 2).long(), "are no scores"),
        (None, torch.zeros(4, 3, 2), torch.zeros(4).long(), "are no scores"),
        (None, torch.zeros(4), torch.zeros(1).long(), "are no scores"),
        (None, torch.zeros(4).long(), torch.zeros(4).long(), "and the outputs are torch.int64"),
        (None, (torch.zeros(4),), torch.zeros(4), "a tensor of outputs, not a tuple"),
        (None, torch.zeros(4), [0, 1, 1, 0], "a tensor of targets, not a list"),
    ],
)  # fmt: skip
def test_what_is_no_class_is_refused(loss, outputs, targets, message):
    with pytest.raises(InputError) as caught:
        measured("accuracy", loss, outputs, targets)
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
        ("mse", "mean_squared_error"), ("mae", "mean_absolute_error"), ("r2", "r2_score"),
        ("rmse", "root_mean_squared_error"),
    ):  # fmt: skip
        if ours == "rmse" and columns == (3,):  # sklearn's is the mean of the columns' roots
            continue
        expected = getattr(sklearn.metrics, theirs)(true, predicted)
        assert measured(ours, nn.MSELoss(), *pair) == pytest.approx(expected, rel=1e-9)


def test_values_that_do_not_belong_together():
    alike = torch.tensor([3.0, 3.0])
    assert math.isnan(measured("r2", nn.MSELoss(), torch.tensor([1.0, 2.0]), alike))
    for outputs, targets in (
        (torch.zeros(1, 2), torch.zeros(1)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
    ):
        for name in ("mse", "mae", "r2"):
            with pytest.raises(InputError, match="are no values for targets of shape"):
                measured(name, nn.MSELoss(), outputs, targets)


@given(st.integers(0, 99), st.sampled_from([2, 3, 7]))
def test_scores_and_classes_are_judged_by_sklearn(seed, classes):
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(40, classes, generator=generator)
    targets = torch.arange(40) % classes
    shares, predicted = outputs.double().softmax(1), outputs.argmax(1)
    loss = nn.CrossEntropyLoss()
    average = "binary" if classes == 2 else "macro"
    for name in ("f1", "precision", "recall"):
        theirs = getattr(sklearn.metrics, f"{name}_score")
        expected = theirs(targets, predicted, average=average, zero_division=0)
        assert measured(name, loss, outputs, targets) == pytest.approx(expected)
    scores = shares[:, 1] if classes == 2 else shares
    expected = sklearn.metrics.roc_auc_score(targets, scores, multi_class="ovr")
    assert measured("auroc", loss, outputs, targets) == pytest.approx(expected)
    truth = targets if classes == 2 else F.one_hot(targets, classes)
    expected = sklearn.metrics.average_precision_score(truth, scores)
    assert measured("average_precision", loss, outputs, targets) == pytest.approx(expected)
    if classes > 5:
        expected = sklearn.metrics.top_k_accuracy_score(targets, shares, k=5)
        assert measured("top5", loss, outputs, targets) == pytest.approx(expected)
    if classes == 2:  # one logit a decision is the same
        one = outputs[:, 1] - outputs[:, 0]
        found = measured("auroc", nn.BCEWithLogitsLoss(), one, targets.float())
        assert found == pytest.approx(sklearn.metrics.roc_auc_score(targets, shares[:, 1]))


def test_those_of_the_loss():
    assert METRICS["loss"].measure(2.0) == 2.0
    assert METRICS["perplexity"].measure(2.0) == pytest.approx(math.e**2)
    assert METRICS["perplexity"].measure(1e4) == math.inf


def test_functions_take_their_arguments_by_name():
    reading = reading_of(nn.CrossEntropyLoss())
    outputs, targets = torch.tensor([1.0, 5.0]), torch.tensor([2.0, 3.0])

    def ours(outputs, targets):
        return float(outputs[0] - targets[1])

    def theirs(y_true, y_pred):
        return float(y_pred[0] - y_true[1])

    def one_name_tells(truth, z):
        return theirs(truth, z)

    def other_name_tells(z, all_preds, scale=1):
        return theirs(z, all_preds)

    def by_keyword(*, target, preds):
        return theirs(target, preds)

    def half(preds, *, target):
        return ours(preds, target)

    def nothing_tells(a, b):
        return ours(a, b)

    for function in (
        ours, theirs, one_name_tells, other_name_tells, by_keyword, half, nothing_tells,
    ):  # fmt: skip
        assert metric_of(function, True, reading).measure(outputs, targets) == -2.0
    f1 = metric_of(sklearn.metrics.cohen_kappa_score, True, reading)
    assert (f1.of, f1.higher_is_better) == ("classes", True)
    with pytest.raises(InputError, match="needs higher_is_better"):
        metric_of(ours, None, reading)
    with pytest.raises(InputError, match="did you mean accuracy"):
        metric_of("acuracy", None, reading)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            lambda: torchmetrics.MetricCollection([torchmetrics.R2Score()]),
            "a MetricCollection gives R2Score, and a race is judged by one number",
        ),
        (lambda: torchmetrics.MeanMetric(), "a MeanMetric does not say whether a larger value"),
        (
            lambda: sklearn.metrics.make_scorer(sklearn.metrics.f1_score),
            "a scorer of scikit-learn, which takes an estimator; give the function",
        ),
    ],
)
def test_what_is_no_one_number_of_outputs_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        metric_of(given(), None, reading_of(None))


class Mean:
    """What torchmetrics' objects have."""

    higher_is_better = False

    def __init__(self):
        self.total, self.n = 100.0, 1  # left over from elsewhere

    def reset(self):
        self.total, self.n = 0.0, 0

    def update(self, preds, target):
        self.total += float((preds - target).abs().sum())
        self.n += len(target)

    def compute(self):
        return torch.tensor(self.total / self.n)


def test_a_torchmetrics_object_begins_anew_each_time():
    metric = metric_of(Mean(), None, reading_of(None))
    for _ in range(2):
        one = metric.measure.start()
        for part in (torch.tensor([1.0, 3.0]), torch.tensor([2.0])):
            one.update(part, torch.zeros(len(part)))
        assert one.compute() == 2.0
    assert not metric.higher_is_better


def test_a_torchmetrics_object_of_classes_takes_the_zeros_and_ones_of_a_loss():
    metric = classification.MultilabelAccuracy(2)
    labels = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    pair = torch.randn(2, 4), labels
    Task(lambda: nn.Linear(4, 2), nn.BCEWithLogitsLoss(), pair, pair, metric).check()
    strict = metric_of(classification.MultilabelAUROC(2), None, reading_of(None))
    assert strict.measure(2 * labels - 1, labels) == 1.0
    with pytest.raises(ValueError, match="to be an int"):  # shares are the metric's own affair
        strict.measure(labels, 0.3 * labels)
