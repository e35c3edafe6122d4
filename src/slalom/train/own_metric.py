"""Metrics of the user's own: functions in either order or of a model, sklearn's, torchmetrics'."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from slalom.errors import InputError, did_you_mean
from slalom.train.metrics import METRICS, Metric
from slalom.train.reading import Reading

TARGETS = {
    "targets", "target", "y", "true", "ytrue", "labels", "label", "truth", "gt", "gold", "actual",
    "actuals", "expected", "groundtruth", "references", "reference",
}  # fmt: skip
OUTPUTS = {
    "outputs", "output", "out", "pred", "preds", "predictions", "prediction", "predicted", "ypred",
    "logits", "logit", "scores", "score", "prob", "probs", "proba", "hat", "yhat", "estimate",
    "estimates", "estimated", "forecast",
}  # fmt: skip
"""Words in what the arguments of such functions are called; ``y_pred`` is of the latter."""

MODELS, LOADERS = {"model", "net", "module", "network"}, {
    "loader", "data", "valid", "batches", "dataloader", "valid_loader", "val_loader",
}  # fmt: skip


def metric_of(given: Any, higher_is_better: bool | None, reading: Reading) -> Metric:
    """The metric that the user names or brings.

    A name of :data:`METRICS`; a function of (outputs, targets), in either order where the name of
    an argument tells, or of (model, loader); a function of sklearn.metrics, which gets classes,
    probabilities or values as its arguments' names say; a torchmetrics object, which gets each
    batch. Raises :class:`InputError` for anything else.
    """
    if isinstance(given, Metric):
        return given
    if isinstance(given, str):
        if given not in METRICS:
            hint = did_you_mean(given, METRICS)
            raise InputError(
                f"metric {given!r} is unknown; it is one of {', '.join(METRICS)}, or a "
                f"function{hint}"
            )
        return METRICS[given]
    if all(callable(getattr(given, n, None)) for n in ("update", "compute", "reset")):
        return _torchmetrics(given, higher_is_better)
    if not callable(given):
        raise InputError(f"metric is a {type(given).__name__}; it must be a name or a function")
    if hasattr(given, "_score_func"):
        raise InputError(
            "metric is a scorer of scikit-learn, which takes an estimator; give the function that "
            "it is made of, as in functools.partial(f1_score, average='macro')"
        )
    function: Any = given
    bare: Any = given
    while isinstance(bare, functools.partial):
        bare = bare.func
    name = getattr(bare, "__name__", None) or type(bare).__name__
    names = _arguments(given)
    better = higher_is_better
    if (getattr(bare, "__module__", None) or "").startswith("sklearn.metrics"):
        ending = name.rpartition("_")[2]
        better = (
            {"score": True, "loss": False, "error": False}.get(ending) if better is None else better
        )
        of = "values"
        if names[1:2] == ["y_score"] or names[1:2] == ["y_proba"] or name == "log_loss":
            of = "scores"
        elif reading.manner not in ("values", "unknown") or "_classification" in bare.__module__:
            of = "classes"
        _know(better)
        return Metric(
            name, bool(better), of,
            lambda outputs, targets: float(function(_flat(targets), _flat(outputs))),
        )  # fmt: skip
    _know(better)
    if len(names) >= 2 and names[0].lower() in MODELS and names[1].lower() in LOADERS:
        return Metric(name, bool(better), "model", function)
    return Metric(name, bool(better), "outputs", _by_name(function))


def _know(higher_is_better: bool | None) -> None:
    if higher_is_better is None:
        raise InputError("a metric that is a function needs higher_is_better=True or False")


BETTER = {
    True: ("acc", "f1", "auroc", "auc", "precision", "recall", "r2", "iou", "dice", "bleu", "rouge",
           "map", "score", "matthews"),
    False: ("loss", "error", "err", "mse", "mae", "rmse", "perplexity", "nll", "wer", "cer"),
}  # fmt: skip
"""Words in the names of values of which a larger one is better, or a smaller one."""


def direction(name: str) -> bool:
    """Whether a larger value of what is called so is better.

    Raises :class:`InputError` where the name does not tell.
    """
    words = {w for part in name.lower().replace("-", "_").split("_") for w in part.split("/")}
    found = {
        better for better, known in BETTER.items()
        if any(w in known or (w.startswith("acc") and better) for w in words)
    }  # fmt: skip
    if len(found) != 1:
        raise InputError(f"whether a larger {name} is better is not known; say higher_is_better=")
    return found.pop()


def _flat(tensor: Any) -> Any:
    array = tensor.detach().cpu().numpy()
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array


def _by_name(function: Callable[..., Any]) -> Callable[[Any, Any], float]:
    """The function as one of (outputs, targets): in this order, unless a name tells otherwise."""
    names = _arguments(function)[:2]
    by_keyword = len(names) < 2
    if by_keyword:
        names = (names + _arguments(function, inspect.Parameter.KEYWORD_ONLY))[:2]
    roles = [*map(_role, names), None, None]
    swapped = (roles[0] == "targets") > (roles[1] == "targets") or (
        (roles[1] == "outputs") > (roles[0] == "outputs")
    )

    def measured(outputs: Any, targets: Any) -> float:
        given = (targets, outputs) if swapped else (outputs, targets)
        if by_keyword and len(names) == 2:
            return float(function(**dict(zip(names, given, strict=True))))
        return float(function(*given))

    return measured


def _role(name: str) -> str | None:
    words = set(name.lower().split("_"))
    return "outputs" if words & OUTPUTS else "targets" if words & TARGETS else None


def _arguments(function: Callable[..., Any], *kinds: Any) -> list[str]:
    """The names of the arguments, those that may be given by their place unless told otherwise."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return []
    kinds = kinds or (
        inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    )  # fmt: skip
    return [p.name for p in parameters if p.kind in kinds]


class Updated:
    """A torchmetrics object, which is told of every batch and then asked."""

    def __init__(self, pristine: Any):
        self._metric = copy.deepcopy(pristine)
        self._metric.reset()

    def update(self, outputs: Any, targets: Any) -> None:
        """Tell it of a batch; of classes that a loss takes as 0.0 and 1.0, as whole numbers."""
        if isinstance(targets, Tensor) and targets.is_floating_point() and self._of_classes:
            whole = targets.long()
            targets = whole if bool((whole == targets).all()) else targets
        self._metric.update(outputs, targets)

    @property
    def _of_classes(self) -> bool:
        return type(self._metric).__module__.startswith("torchmetrics.classification")

    def compute(self) -> float:
        """What it says of all of them. Raises :class:`InputError` for several numbers."""
        found = self._metric.compute()
        if isinstance(found, Mapping):
            raise _several(self._metric, found)
        return float(found)


def _torchmetrics(given: Any, higher_is_better: bool | None) -> Metric:
    if callable(getattr(given, "keys", None)):
        raise _several(given, given.keys())
    better = getattr(given, "higher_is_better", None)
    if higher_is_better is not None:
        better = higher_is_better
    if better is None:
        raise InputError(
            f"a {type(given).__name__} does not say whether a larger value is better; say "
            "higher_is_better="
        )
    return Metric(type(given).__name__, bool(better), "outputs", _Fresh(given))


def _several(given: Any, names: Iterable[Any]) -> InputError:
    return InputError(
        f"a {type(given).__name__} gives {', '.join(map(str, names))}, and a race is judged by one "
        "number; give the metric that gives it alone"
    )


class _Fresh:
    """Makes a fresh :class:`Updated` for every evaluation."""

    def __init__(self, given: Any):
        self._given = given

    def start(self) -> Updated:
        """One that was told nothing yet."""
        return Updated(self._given)

    def __call__(self, outputs: Any, targets: Any) -> float:
        one = self.start()
        one.update(outputs, targets)
        return one.compute()
