"""What a model is that machine code goes through: a row of linear layers and what lies between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import attrgetter, is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from slalom.train.products import HOOKS, hooked

WIDEST = 1024
"""Features of a layer, at most: of wider ones a library that divides its products into blocks is
as fast."""

LARGEST = 1 << 20
"""Numbers of a model, at most: so many are in a cache with their gradients and states."""

LINEAR = "linear"

DROPOUT, LOG_SOFTMAX = "dropout", "log_softmax"

Numbers = Callable[..., tuple[float, ...]]

_SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _as_they_are(*numbers: float) -> tuple[float, ...]:
    return numbers


ACTIVATIONS: dict[Any, tuple[str, tuple[str, ...], Numbers]] = {
    nn.ReLU: ("relu", (), _as_they_are), nn.Tanh: ("tanh", (), _as_they_are),
    nn.Sigmoid: ("sigmoid", (), _as_they_are), nn.SiLU: ("silu", (), _as_they_are),
    nn.GELU: ("gelu", (), _as_they_are), nn.Mish: ("mish", (), _as_they_are),
    nn.ELU: ("elu", ("alpha",), lambda alpha: (alpha, 1.0, 1.0)),
    nn.CELU: ("elu", ("alpha",), lambda alpha: (alpha, 1.0, 1 / alpha)),
    nn.SELU: ("elu", (), lambda: (_SELU[0] * _SELU[1], _SELU[0], 1.0)),
    nn.LeakyReLU: ("leaky_relu", ("negative_slope",), _as_they_are),
    nn.Softplus: ("softplus", ("beta", "threshold"), _as_they_are),
    nn.LogSigmoid: ("log_sigmoid", (), _as_they_are),
    nn.Hardtanh: ("hardtanh", ("min_val", "max_val"), _as_they_are),
    nn.ReLU6: ("hardtanh", (), lambda: (0.0, 6.0)),
    nn.Hardsigmoid: ("hardsigmoid", (), _as_they_are),
    nn.Hardswish: ("hardswish", (), _as_they_are), nn.Softsign: ("softsign", (), _as_they_are),
    nn.Dropout: (DROPOUT, ("p",), _as_they_are),
}  # fmt: skip
"""The job of a layer, the attributes that it hangs on, and the numbers that go with it."""


class UnservedError(Exception):
    """Why torch goes through a model."""


@dataclass(frozen=True)
class Part:
    """One of a row.

    Attributes:
        kind: :data:`LINEAR`, :data:`DROPOUT`, :data:`LOG_SOFTMAX`, or the job of an activation.
        numbers: that go with that.
        name: of the module in the model.
    """

    kind: str
    numbers: tuple[float, ...]
    name: str
    module: Any

    def __str__(self) -> str:
        return f"layer {self.name}" if self.name else "the model"

    @property
    def weight(self) -> str:
        """The name of a linear layer's weight."""
        return f"{self.name}.weight".lstrip(".")

    @property
    def bias(self) -> str | None:
        """The name of its bias; None without one."""
        return None if self.module.bias is None else f"{self.name}.bias".lstrip(".")


class Row:
    """The layers of a model, in their order.

    Attributes:
        parts: of them what computes something.
        tensors: the parameters, by their names.
        flat: whether samples of several dimensions are made rows of numbers first.

    Raises :class:`UnservedError` for a model that is no such row, which says why.
    """

    def __init__(self, model: nn.Module):
        self.tensors = dict(model.named_parameters())
        self.flat, self.parts = False, []
        for part in _row(model, ""):
            self._take(part)
        self._check(model)
        modules = list(model.modules())
        self._attributes = [vars(m) for m in modules]
        self._hooks = [
            hooks for own in self._attributes for name, hooks in own.items() if name in HOOKS
        ]
        self._held = [own for m in modules for own in (m._parameters, m._modules) if own]
        self._modules, self._tensors = modules, list(self.tensors.values())
        self._set = [(SET[type(m)], m) for m in modules if type(m) in SET]
        self._seen = list(chain.from_iterable(map(dict.values, self._held)))
        self._was = self._is()

    def _is(self) -> list[Any]:
        """What else may change without a new object."""
        return [
            [*map(type, self._modules)], ["forward" in own for own in self._attributes],
            [*map(_form, self._tensors)], [*map(Tensor.stride, self._tensors)],
            [look(module) for look, module in self._set],
        ]  # fmt: skip

    @property
    def linear(self) -> list[Part]:
        """The linear layers."""
        return [part for part in self.parts if part.kind == LINEAR]

    def holds(self) -> bool:
        """Whether the model still is that row, and nobody looks on who would see nothing."""
        if any(self._hooks) or _has_any_global_hook() or _watched():
            return False
        seen = list(chain.from_iterable(map(dict.values, self._held)))
        same = len(seen) == len(self._seen) and all(map(is_, seen, self._seen))
        return same and self._is() == self._was

    def lie(self) -> list[Any]:
        """Where its tensors lie, and of which gradients are wanted."""
        return [(t.data_ptr(), t.requires_grad) for t in self._tensors]

    def _take(self, part: Part) -> None:
        kind: Any = type(part.module)
        flat = kind is nn.Flatten and (part.module.start_dim, part.module.end_dim) == (1, -1)
        if self.parts and self.parts[-1].kind == LOG_SOFTMAX:
            raise UnservedError(f"{self.parts[-1]} is a LogSoftmax, and not the last one")
        if flat and not self.parts:
            self.flat = True
        elif part.kind:
            self.parts.append(part)
        elif kind is not nn.Identity and not flat:  # rows of numbers are flat
            raise UnservedError(f"{part} is a {kind.__name__}")

    def _check(self, model: nn.Module) -> None:
        for name, p in chain(self.tensors.items(), model.named_buffers()):
            if type(p) is not nn.Parameter:
                raise UnservedError(f"{name} is a {type(p).__name__} and no parameter")
            if p.dtype != torch.float32 or p.device.type != "cpu" or not p.is_contiguous():
                raise UnservedError(f"{name} is not float32 on the CPU that lies row by row")
            if any(_told(p)):
                raise UnservedError(f"{name} has a hook")
        layers = self.linear
        names = [n for layer in layers for n in (layer.weight, layer.bias) if n is not None]
        if not layers or sorted(names) != sorted(self.tensors):  # one in two places has one name
            raise UnservedError("its parameters are not those of linear layers, once each")
        for one, other in pairwise(layers):
            given, taken = one.module.out_features, other.module.in_features
            if given != taken:
                raise UnservedError(f"{other} takes {taken} numbers, and {given} come to it")
        widest = max(max(part.module.weight.shape) for part in layers)
        numbers = sum(p.numel() for p in self.tensors.values())
        if widest > WIDEST or numbers > LARGEST:
            raise UnservedError(
                f"it has {numbers:,} numbers and is {widest:,} wide; at most {LARGEST:,} and "
                f"{WIDEST:,} are gone through faster than by torch"
            )


def _row(module: nn.Module, name: str) -> Iterator[Part]:
    """The layers in their order, and by their kinds."""
    part = Part(*_job_of(module), name, module)
    if "forward" in vars(module):
        raise UnservedError(f"{part} has a forward of its own")
    if hooked(module):
        raise UnservedError(f"{part} has hooks")
    if type(module) is not nn.Sequential:
        yield part
        return
    for own, inner in module._modules.items():  # a layer that is there twice, too
        assert inner is not None
        yield from _row(inner, f"{name}.{own}".lstrip("."))


def _job_of(module: Any) -> tuple[str, tuple[float, ...]]:
    """What a layer is, and its numbers; of what is not known that it is nothing."""
    kind: Any = type(module)
    if kind is nn.Linear:
        return LINEAR, ()
    if kind is nn.LogSoftmax:
        return LOG_SOFTMAX if module.dim in (1, -1) else "", ()
    if kind not in ACTIVATIONS:
        return "", ()
    job, names, numbers = ACTIVATIONS[kind]
    if kind is nn.GELU and module.approximate == "tanh":
        job = "gelu_tanh"
    try:
        return job, tuple(map(float, numbers(*(getattr(module, name) for name in names))))
    except (TypeError, ValueError, ArithmeticError):  # which torch is to complain of
        return "", ()


SET = {
    kind: attrgetter(*names) for kind, names in
    (*((k, names) for k, (_, names, _) in ACTIVATIONS.items() if names),
     (nn.GELU, ("approximate",)), (nn.LogSoftmax, ("dim",)))
}  # fmt: skip
"""What of a layer may be set to something else."""


_told = attrgetter("_backward_hooks", "_post_accumulate_grad_hooks")
"""Who is told of a parameter's gradient."""

_form = attrgetter("_backward_hooks", "_post_accumulate_grad_hooks", "shape", "dtype")


def _watched() -> bool:
    """Whether somebody looks at torch's operations here, or has them compute in other types."""
    own: Any = torch._C
    return bool(
        own._len_torch_dispatch_stack() or own._len_torch_function_stack()
        or torch.is_autocast_enabled("cpu") or torch.is_anomaly_enabled()
    )  # fmt: skip
