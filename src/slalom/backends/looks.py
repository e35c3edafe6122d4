"""What is seen of many tensors at once, from Python: to be compared with what was seen before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from slalom.backends.layout import is_lazy_view, span

_shape = attrgetter("shape")
_kept_as = attrgetter("dtype", "device", "shape")


def facts(tensors: Sequence[Tensor]) -> tuple[list[Any], ...]:
    """What a launch relies on of what is written, beside where it lies."""
    return list(map(_kept_as, tensors)), _strides(tensors), list(map(is_lazy_view, tensors))


def alike_to(tensors: Sequence[Tensor]) -> Callable[..., bool]:
    """Whether the arguments are as these tensors were, by type, dtype, device, shape and strides.

    Asked at once of all, by what torch.compile guards its code with. Yes is certain; no may also
    be for reasons that do not matter here.
    """
    if not tensors or _is_one_fake(tensors):
        return lambda *_: False
    try:
        from torch._C._dynamo.guards import TensorGuards

        shapes: Any = [list(t.shape) for t in tensors]
        strides: Any = [list(t.stride()) for t in tensors]
        guards = TensorGuards(*tensors, dynamic_dims_sizes=shapes, dynamic_dims_strides=strides)
        return guards.check
    except Exception:  # not in this version of torch, or not for such tensors
        return lambda *_: False


def forms(grads: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All of gradients but where they lie: their kind, and how the elements lie."""
    return list(zip(map(_kind, grads), map(_shape, grads), _strides(grads), strict=True))


def _kind(grad: Tensor) -> tuple[Any, ...]:
    """What of a gradient a backend may have asked before the launch was made."""
    return type(grad), grad.layout, grad.dtype, grad.device, _is_unusual(grad)


def ordinary(param: Tensor) -> tuple[Any, ...]:
    """The kind that no backend refuses which serves the parameter."""
    return Tensor, torch.strided, param.dtype, param.device, False


def _is_unusual(tensor: Tensor) -> bool:
    return type(tensor) is Tensor and (is_lazy_view(tensor) or tensor._is_zerotensor())


def addresses(tensors: Sequence[Tensor], alike: bool = False) -> list[int | None]:
    """Where tensors lie; None of one without memory of its own. ``alike``: see :func:`alike_to`."""
    try:
        if alike or not _is_one_fake(tensors):
            return list(map(Tensor.data_ptr, tensors))
    except RuntimeError:
        pass
    return list(map(_address, tensors))


def _is_one_fake(tensors: Sequence[Tensor]) -> bool:
    """Whether a tensor is one of those that tell 0 for an address, and warn."""
    return FakeTensor in set(map(type, tensors))


def _address(tensor: Tensor) -> int | None:
    try:
        return None if type(tensor) is FakeTensor else tensor.data_ptr()
    except RuntimeError:
        return None


def spans(tensors: Iterable[Tensor]) -> list[tuple[int, int]]:
    """The memory of those that have some of their own."""
    return [span(t) for t in tensors if t.layout == torch.strided and _address(t) is not None]


def _strides(tensors: Sequence[Tensor]) -> list[tuple[int, ...] | None]:
    try:
        return list(map(Tensor.stride, tensors))
    except RuntimeError:  # one is not strided
        return [t.stride() if t.layout == torch.strided else None for t in tensors]


def reach(tensor: Any) -> int:
    """How many bytes from its first element to behind its last; 0 without memory of its own."""
    if tensor.layout != torch.strided or _address(tensor) is None:
        return 0
    begin, end = span(tensor)
    return end - begin
