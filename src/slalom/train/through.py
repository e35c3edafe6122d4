"""The programs of machine code that go through a row of layers, and back."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.llvm.dense import (
    NO_FLOOR,
    activation,
    cross_entropy_of,
    dense,
    error_of,
    log_softmax,
    product,
    row_sums,
    times,
    transpose,
)
from slalom.train.criterion import CLASSES, Criterion, weights_of
from slalom.train.row import DROPOUT, LINEAR, LOG_SOFTMAX, Part

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


class Through:
    """The programs of one model for so many samples: activations lie feature after feature.

    Args:
        parts: of the row, without what has nothing to do.
        taught: whether there is a way back.
    """

    def __init__(
        self, parts: Sequence[Part], tensors: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor], criterion: Criterion | None, loss: Any, samples: int, *,
        taught: bool,
    ):  # fmt: skip
        self._parts, self._tensors, self._gradients = parts, tensors, gradients
        self._n, self._taught, self._criterion = samples, taught, criterion
        self._stride = dense().stride(samples)
        self._room: list[Tensor] = []
        self._told = torch.zeros(5)
        layers = [p for p in parts if p.kind == LINEAR]
        self._in, self._last = layers[0].module.in_features, layers[-1].module.out_features
        self._weights = weights_of(loss, self._last) if criterion else None
        widest = max(max(p.module.weight.shape) for p in layers)
        self._one, self._two = self._spare("one", widest), self._spare("two", widest)
        self._first = parts.index(layers[0])
        self._lies = self._places()
        self._aside = {
            i: self._spare(f"aside {i}", self._width(i))[0]
            for i, part in enumerate(parts) if taught and part.kind not in (LINEAR, LOG_SOFTMAX)
        }  # fmt: skip
        self._masks = [
            (torch.zeros(samples, self._width(i)), 1 - part.numbers[0], i)
            for i, part in enumerate(parts) if part.kind == DROPOUT
        ]  # fmt: skip

    def _spare(self, name: str, features: int) -> tuple[int, int]:
        """Memory that nothing is kept in from one call to the next: its address, and the numbers
        from a row to the next. Threads have their own."""
        spares = _here.__dict__.setdefault("spares", {})
        key = name, features * self._stride
        if key not in spares:
            spares[key] = torch.zeros(key[1])
        self._room.append(spares[key])  # as long as it is pointed to
        return spares[key].data_ptr(), self._stride

    def _width(self, place: int) -> int:
        """Numbers that come out of a part."""
        before = [p for p in self._parts[: place + 1] if p.kind == LINEAR]
        return before[-1].module.out_features if before else self._in

    def _places(self) -> list[tuple[int, int]]:
        """Where lies what comes out of each part: of a layer in memory of its own, of all else
        where it came from."""
        lies, at = [], self._spare("inputs", self._in) if self._first else self._one
        for i, part in enumerate(self._parts):
            if part.kind == LINEAR:
                at = self._spare(f"layer {i}", self._width(i))
            lies.append(at)
        return lies

    def _cut(self, place: int) -> bool:
        """Whether a part is a ReLU that the product before it takes with it, and the one that comes
        back to it its slope: what lies there goes to another layer, and is dropped at most."""
        if self._parts[place].kind != "relu" or self._parts[place - 1].kind != LINEAR or not place:
            return False
        after = [p.kind for p in self._parts[place + 1 :] if p.kind != DROPOUT]
        return after[:1] == [LINEAR]

    def draw(self) -> None:
        """Draw who is dropped, as torch's layers do in their order."""
        for mask, kept, _ in self._masks:
            if kept:
                mask.bernoulli_(kept).div_(kept)

    @cached_property
    def outputs(self) -> _Program:
        """Inputs -> outputs."""
        return _Program([*self._through(), *self._logarithms(), self._out()])

    @cached_property
    def back(self) -> _Program:
        """The gradient of the outputs -> those of the parameters."""
        n, last = self._n, self._last
        return _Program([transpose(n, last, (GRADIENT, last), self._one), *self._returning()])

    @cached_property
    def learn(self) -> _Program:
        """Inputs, targets -> gradients; the loss is in :meth:`value`."""
        return _Program([*self._through(), *self._lost(), *self._returning()])

    @cached_property
    def judge(self) -> _Program:
        """Inputs, targets -> outputs; the loss as above."""
        return _Program([*self._through(), *self._lost(), *self._logarithms(), self._out()])

    @cached_property
    def tell(self) -> _Program:
        """Inputs, targets -> what :meth:`told` says."""
        return _Program([*self._through(), *self._lost()])

    def _out(self) -> list[int]:
        return transpose(self._last, self._n, self._lies[-1], (OUTPUTS, self._last))

    def _logarithms(self) -> Iterator[list[int]]:
        if self._parts[-1].kind == LOG_SOFTMAX:
            yield log_softmax(self._last, self._n, self._lies[-1])

    def _through(self) -> Iterator[list[int]]:
        n, at = self._n, self._spare("inputs", self._in) if self._first else self._one
        yield transpose(n, self._in, (INPUTS, self._in), at)
        masks = {i: mask for mask, _, i in self._masks}
        for i, part in enumerate(self._parts):
            width, into = self._width(i), self._lies[i]
            if part.kind == LINEAR:
                own, m = self._tensors, part.module
                bias = own[part.bias].data_ptr() if part.bias else 0
                left = own[part.weight].data_ptr(), m.in_features, 1
                cut = i + 1 < len(self._parts) and self._cut(i + 1)
                floor = 0.0 if cut else NO_FLOOR
                yield product(width, n, m.in_features, left, at, into, bias, floor)
                at = into
            elif part.kind == DROPOUT:
                aside = self._aside[i]
                given = masks[i].data_ptr(), width
                yield transpose(n, width, given, (aside, self._stride))
                yield times(width, n, at, aside)
            elif part.kind != LOG_SOFTMAX and not self._cut(i):
                yield activation(part.kind, width, n, at, self._aside.get(i, 0), part.numbers)

    def _lost(self) -> Iterator[list[int]]:
        n, last, targets, own = self._n, self._last, TARGETS, self._criterion
        assert own is not None
        outputs, into, told = self._lies[-1], self._one[0], self._told.data_ptr()
        if own.kind == CLASSES:
            assert self._weights is not None
            yield cross_entropy_of(
                n, last, outputs, targets, into, 1.0, told, taught=self._taught,
                weights=self._weights, smoothing=own.smoothing, ignored=own.ignored,
                mean=not own.summed,
            )  # fmt: skip
            return
        if last > 1:
            yield transpose(n, last, (TARGETS, last), self._two)
            targets = self._two[0]
        yield error_of(
            own.kind, n, last, outputs, targets, into, self._share, told, taught=self._taught,
            numbers=own.numbers,
        )  # fmt: skip

    @property
    def _share(self) -> float:
        """By which the losses of numbers are multiplied."""
        assert self._criterion is not None
        return 1.0 if self._criterion.summed else 1 / (self._n * self._last)

    def _returning(self) -> Iterator[list[int]]:
        n, gradient, other = self._n, self._one, self._two
        for i, part in reversed(list(enumerate(self._parts))):
            if part.kind == LOG_SOFTMAX or self._cut(i) or i < self._first:
                continue  # a loss of logarithms is told what these are of
            if part.kind != LINEAR:
                yield times(self._width(i), n, gradient, self._aside[i])
                continue
            taken, made = part.module.in_features, part.module.out_features
            if self._tensors[part.weight].requires_grad:
                rows = INPUTS
                if i:
                    rows = self._spare("rows", taken)[0]
                    yield transpose(taken, n, self._lies[i - 1], (rows, taken))
                left = gradient[0], self._stride, 1
                into = self._gradients[part.weight].data_ptr(), taken
                yield product(made, taken, n, left, (rows, taken), into)
            if part.bias and self._tensors[part.bias].requires_grad:
                yield row_sums(made, n, gradient, self._gradients[part.bias].data_ptr())
            if i > self._first:
                before = max(j for j in range(i) if self._parts[j].kind == LINEAR) + 1
                positive = self._lies[i - 1][0] if self._cut(before) else 0
                left = self._tensors[part.weight].data_ptr(), 1, taken
                yield product(taken, n, made, left, gradient, other, positive=positive)
                gradient, other = other, gradient

    def value(self) -> float | None:
        """The loss; None where not all targets are classes, or none counts."""
        total, known, _, skipped, weights = self._told.tolist()
        criterion = self._criterion
        assert criterion is not None
        if criterion.kind != CLASSES:
            return total * self._share
        if known + skipped != self._n or not (weights or criterion.summed):
            return None
        return total if criterion.summed else total / weights

    def told(self) -> tuple[float, float, float] | None:
        """(the sum of the losses, that of the weights, the samples whose class is told right); None
        where not all targets are classes that count."""
        total, known, right, _, weights = self._told.tolist()
        return (total, weights, right) if known == self._n else None


_here = threading.local()
