"""Rows of linear layers that machine code of our own goes through, and back.

Of a small network torch's operations take longer to be called than to be computed, and its products
are those of a library that is not made for all processors. Here an update's way through the model,
the loss and back is one call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from slalom.backends.llvm.dense import (
    NO_FLOOR,
    activation,
    dense,
    loss_of,
    product,
    row_sums,
    transpose,
)
from slalom.backends.refusals import Unavailable
from slalom.train.products import hooked

WIDEST = 1024
"""Features of a layer, at most: of wider ones a library that divides its products into blocks is
as fast."""

LARGEST = 1 << 20
"""Numbers of a model, at most: so many are in a cache with their gradients and states."""

ACTIVATIONS: dict[Any, str] = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}

LOSSES: dict[Any, str] = {
    nn.CrossEntropyLoss: "cross_entropy", functional.cross_entropy: "cross_entropy",
    nn.MSELoss: "squared_error", functional.mse_loss: "squared_error",
    nn.BCEWithLogitsLoss: "binary_entropy",
    functional.binary_cross_entropy_with_logits: "binary_entropy",
}  # fmt: skip
"""Those that machine code computes too; of others torch does."""


@dataclass(frozen=True)
class Layer:
    """A linear layer by the names of its tensors, and what follows it: of :data:`ACTIVATIONS`."""

    weight: str
    bias: str | None
    inputs: int
    outputs: int
    follows: str | None


def layers_of(model: nn.Module) -> list[Layer] | None:
    """The layers of a model that machine code goes through; None of another, and where there is no
    machine code."""
    try:
        dense()
    except Unavailable:
        return None
    named = dict(model.named_parameters())
    for p in (*named.values(), *model.buffers()):
        odd = p.dtype != torch.float32 or p.device.type != "cpu" or not p.is_contiguous()
        watched = p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None)
        if odd or watched or type(p) is not nn.Parameter:
            return None
    found = list(_layers(model))
    layers = [layer for layer in found if layer is not None]
    names = [n for layer in layers for n in (layer.weight, layer.bias) if n is not None]
    if not found or len(layers) < len(found) or sorted(names) != sorted(named):
        return None  # sorted: a tensor in two places has one name
    if any(a.outputs != b.inputs for a, b in pairwise(layers)):
        return None
    small = sum(p.numel() for p in named.values()) <= LARGEST
    return layers if small and max(max(x.inputs, x.outputs) for x in layers) <= WIDEST else None


def _layers(model: nn.Module) -> Iterator[Layer | None]:
    last: tuple[str, nn.Linear] | None = None
    for name, part in _row(model, ""):
        kind: Any = type(part)
        flat = kind is nn.Flatten and (part.start_dim, part.end_dim) == (1, -1)
        if flat or kind is nn.Identity:
            continue
        if kind is nn.Linear:
            if last is not None:
                yield _layer(last)
            last = name, part
        elif kind in ACTIVATIONS and last is not None:
            yield _layer(last, ACTIVATIONS[kind])
            last = None
        else:
            yield None
    if last is not None:
        yield _layer(last)


def _layer(named: tuple[str, nn.Linear], follows: str | None = None) -> Layer:
    name, part = named
    bias = None if part.bias is None else f"{name}bias"
    return Layer(f"{name}weight", bias, part.in_features, part.out_features, follows)


def _row(module: nn.Module, prefix: str) -> Iterator[tuple[str, Any]]:
    """The layers in their order, with the beginnings of their tensors' names."""
    if "forward" in vars(module) or hooked(module):
        yield prefix, None
    elif type(module) is nn.Sequential:
        for name, part in module._modules.items():  # a layer that is there twice, too
            assert part is not None
            yield from _row(part, f"{prefix}{name}.")
    else:
        yield prefix, module


class Net:
    """A model, the way through it, and back.

    Args:
        model: of which :func:`layers_of` knows the ``layers``.
        loss: (outputs, targets) -> one number.
    """

    def __init__(self, model: nn.Module, layers: Sequence[Layer], loss: Callable[[Any, Any], Any]):
        self._flat = any(type(m) is nn.Flatten for m in model.modules())
        self._layers, self._loss, self._kind = layers, loss, kind_of(loss)
        self._tensors = dict(model.named_parameters())
        self._gradients = {n: torch.zeros_like(p) for n, p in self._tensors.items()}
        self._lie: list[tuple[int, bool]] = []
        self._ways: dict[tuple[int, int], _Way] = {}

    @property
    def known(self) -> bool:
        """Whether the loss is one of :data:`LOSSES`."""
        return self._kind is not None

    def inputs(self, given: Sequence[Any]) -> Tensor | None:
        """The inputs (samples, features) of the first layer, side by side in memory; None where
        these are no such."""
        if len(given) != 1 or type(given[0]) is not Tensor or given[0].dtype != torch.float32:
            return None
        found = given[0]
        if self._flat and found.dim() > 2:
            found = found.flatten(1)
        if found.dim() != 2 or found.shape[1] != self._layers[0].inputs or not found.shape[0]:
            return None
        return None if found.requires_grad else found.contiguous()

    def learn(self, inputs: Tensor, targets: Any) -> float:
        """Set the gradient of each parameter; the loss."""
        way, value = self._way(inputs.shape[0]), None
        if self._takes(targets, inputs.shape[0]):
            value = way.learn(inputs, targets)
        if value is None:
            outputs = self._empty(inputs)
            way.outputs(inputs, None, outputs)
            found = self._loss(outputs.requires_grad_(), targets)
            (gradient,) = torch.autograd.grad(found, outputs)
            way.back(inputs, None, None, gradient.contiguous())
            value = found.item()
        for name, parameter in self._tensors.items():
            parameter.grad = self._gradients[name] if parameter.requires_grad else None
        return value

    def judged(self, inputs: Tensor, targets: Any) -> tuple[float, Tensor]:
        """(the loss, the outputs)."""
        way, outputs, value = self._way(inputs.shape[0]), self._empty(inputs), None
        if self._takes(targets, inputs.shape[0]):
            value = way.judge(inputs, targets, outputs)
        if value is None:
            way.outputs(inputs, None, outputs)
            value = self._loss(outputs, targets).item()
        return value, outputs

    def right(self, inputs: Tensor, targets: Any) -> tuple[float, float] | None:
        """(the loss, the samples told right), where targets are classes; else None."""
        if self._kind != "cross_entropy" or not self._takes(targets, inputs.shape[0]):
            return None
        return self._way(inputs.shape[0]).tell(inputs, targets)

    def _empty(self, inputs: Tensor) -> Tensor:
        return torch.empty(inputs.shape[0], self._layers[-1].outputs)

    def _takes(self, targets: Any, samples: int) -> bool:
        """Whether a job computes the loss of these targets."""
        if self._kind is None or type(targets) is not Tensor or not targets.is_contiguous():
            return False
        if self._kind == "cross_entropy":
            return targets.dtype == torch.int64 and targets.shape == (samples,)
        shape = (samples, self._layers[-1].outputs)
        return targets.dtype == torch.float32 and targets.shape == shape

    def _way(self, samples: int) -> _Way:
        lie = [(t.data_ptr(), t.requires_grad) for t in self._tensors.values()]
        if lie != self._lie:
            self._lie, self._ways = lie, {}
        key = samples, threading.get_ident()
        if key not in self._ways:
            each = 1 if self._kind == "cross_entropy" else self._layers[-1].outputs
            summed = getattr(self._loss, "reduction", "mean") == "sum"
            share = 1.0 if summed else 1 / (samples * each)
            self._ways[key] = _Way(
                self._layers, self._tensors, self._gradients, self._kind, samples, share
            )
        return self._ways[key]


def kind_of(loss: Any) -> str | None:
    """The job that computes a loss, or None."""
    if not isinstance(loss, nn.Module):
        return LOSSES.get(loss) if isinstance(loss, type(functional.mse_loss)) else None
    weights = [getattr(loss, name, None) for name in ("weight", "pos_weight")]
    odd = "forward" in vars(loss) or hooked(loss) or getattr(loss, "label_smoothing", 0.0)
    odd = odd or getattr(loss, "ignore_index", -1) >= 0  # a class, whose samples do not count
    if odd or weights != [None, None] or getattr(loss, "reduction", "") not in ("mean", "sum"):
        return None
    return LOSSES.get(type(loss))


INPUTS, TARGETS, OUTPUTS, GRADIENT = (-(1 << 62) - place for place in range(4))
"""Stand for addresses that are known when a program runs."""


class _Program:
    """Jobs, as they are told where things lie."""

    def __init__(self, jobs: Iterable[list[int]]):
        self._table = np.array(list(jobs), np.int64)
        self._flat = self._table.ravel()
        marks = INPUTS, TARGETS, OUTPUTS, GRADIENT
        self._places = [(mark, np.flatnonzero(self._flat == mark)) for mark in marks]

    def __call__(self, *given: Tensor | None) -> None:
        """Run with inputs, targets, outputs and their gradient."""
        for tensor, (_, places) in zip(given, self._places, strict=False):
            if tensor is not None:
                self._flat[places] = tensor.data_ptr()
        dense().run(self._table)


class _Way:
    """The programs of one model for so many samples: activations lie feature after feature."""

    def __init__(
        self, layers: Sequence[Layer], tensors: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor], loss: str | None, samples: int, share: float,
    ):  # fmt: skip
        n, last = samples, layers[-1].outputs
        self._n, self._last, self._share, self._loss = n, last, share, loss
        # the sum of the losses; and of classes, those that were known, and told right
        self._told = torch.zeros(3)
        self._stride = dense().stride(n)
        self._room: list[Tensor] = []
        widest = max(max(x.inputs, x.outputs) for x in layers)
        self._one, self._two, rows = (self._spare(f"spare {i}", widest) for i in range(3))
        hidden = [self._spare(f"layer {i}", x.outputs) for i, x in enumerate(layers)]
        through = list(self._through(layers, tensors, hidden))
        back = list(self._returning(layers, tensors, gradients, hidden, rows[0]))
        out = transpose(last, n, hidden[-1], (OUTPUTS, last))
        self.outputs = _Program([*through, out])
        self.back = _Program([transpose(n, last, (GRADIENT, last), self._one), *back])
        if loss is not None:
            lost, judged = (list(self._lost(loss, hidden[-1], taught)) for taught in (True, False))
            self._learn = _Program([*through, *lost, *back])
            self._judge = _Program([*through, *judged, out])
            self._tell = _Program([*through, *judged])

    def _spare(self, name: str, features: int) -> tuple[int, int]:
        """Memory that nothing is kept in from one call to the next: its address, and the numbers
        from a row to the next. Threads have their own."""
        spares = _here.__dict__.setdefault("spares", {})
        key = name, features * self._stride
        if key not in spares:
            spares[key] = torch.zeros(key[1])
        self._room.append(spares[key])  # as long as it is pointed to
        return spares[key].data_ptr(), self._stride

    def _through(
        self, layers: Sequence[Layer], tensors: Mapping[str, Tensor], hidden: list[tuple[int, int]]
    ) -> Iterator[list[int]]:
        n, first, given = self._n, layers[0].inputs, self._one
        yield transpose(n, first, (INPUTS, first), given)
        for layer, into in zip(layers, hidden, strict=True):
            bias = tensors[layer.bias].data_ptr() if layer.bias else 0
            left = tensors[layer.weight].data_ptr(), layer.inputs, 1
            floor = 0.0 if layer.follows == "relu" else NO_FLOOR
            yield product(layer.outputs, n, layer.inputs, left, given, into, bias, floor)
            if layer.follows in ("tanh", "sigmoid"):
                yield activation(layer.follows, layer.outputs, n, into)
            given = into

    def _lost(self, loss: str, outputs: tuple[int, int], taught: bool) -> Iterator[list[int]]:
        n, last, targets = self._n, self._last, TARGETS
        if loss != "cross_entropy" and last > 1:
            yield transpose(n, last, (TARGETS, last), self._two)
            targets = self._two[0]
        told = self._told.data_ptr()
        yield loss_of(
            loss, n, last, outputs, targets, self._one[0], self._share, told, taught=taught
        )

    def _returning(
        self, layers: Sequence[Layer], tensors: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor], hidden: list[tuple[int, int]], rows: int,
    ) -> Iterator[list[int]]:  # fmt: skip
        n, gradient, other = self._n, self._one, self._two
        for place, layer in reversed(list(enumerate(layers))):
            # the slope of a ReLU within is taken by the product that comes to it
            if layer.follows is not None and (layer.follows != "relu" or place == len(layers) - 1):
                slope = f"{layer.follows}_slope"
                yield activation(slope, layer.outputs, n, gradient, hidden[place][0])
            if tensors[layer.weight].requires_grad:
                if place:
                    yield transpose(layer.inputs, n, hidden[place - 1], (rows, layer.inputs))
                left = gradient[0], self._stride, 1
                right = rows if place else INPUTS, layer.inputs
                into = gradients[layer.weight].data_ptr(), layer.inputs
                yield product(layer.outputs, layer.inputs, n, left, right, into)
            if layer.bias and tensors[layer.bias].requires_grad:
                yield row_sums(layer.outputs, n, gradient, gradients[layer.bias].data_ptr())
            if place:
                relu = layers[place - 1].follows == "relu"
                left = tensors[layer.weight].data_ptr(), 1, layer.inputs
                positive = hidden[place - 1][0] if relu else 0
                yield product(
                    layer.inputs, n, layer.outputs, left, gradient, other, positive=positive
                )
            gradient, other = other, gradient

    def learn(self, inputs: Tensor, targets: Tensor) -> float | None:
        """Compute the gradients; the loss, or None where not all targets are classes."""
        self._learn(inputs, targets)
        return self._value()

    def judge(self, inputs: Tensor, targets: Tensor, outputs: Tensor) -> float | None:
        """Compute the outputs; the loss as above."""
        self._judge(inputs, targets, outputs)
        return self._value()

    def tell(self, inputs: Tensor, targets: Tensor) -> tuple[float, float] | None:
        """(the loss, the samples whose class is told right); None as above."""
        self._tell(inputs, targets)
        value = self._value()
        return None if value is None else (value, self._told[2].item())

    def _value(self) -> float | None:
        total, known, _ = self._told.tolist()
        if self._loss == "cross_entropy" and known != self._n:
            return None
        return total * self._share


_here = threading.local()
