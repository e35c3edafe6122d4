"""Where torch's C++ objects keep what a step looks at, found out by looking at some of them.

Asking torch's C interface of a tensor takes ten calls; the same words in the same places say that
all is as it was when torch was asked last. Nothing is taken from a header: each place is found by
values that stand nowhere else, and tried on tensors that must and that must not look alike. Where
anything is otherwise, there is no anatomy, and torch is asked each time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from slalom.backends.llvm.once import once
from slalom.backends.llvm.torch_c import welcome

_WORDS = 24
"""Words of a TensorImpl that are searched; torch 2.13 has 22."""

_SIZES, _STRIDES, _OFFSET = (3, 5, 7), (2, 8, 64), 11


class Anatomy(ctypes.Structure):
    """What ``driver.c`` declares under this name; places are counted in words."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in (
            "storage", "dim", "sizes", "strides", "offset", "kind", "keys", "data", "context",
            "most_dims",
        )),
        ("kind_bits", ctypes.c_uint64), ("plain", ctypes.c_uint64), ("undefined", ctypes.c_void_p),
    ]  # fmt: skip


@once
def anatomy() -> Anatomy | None:
    """The places in this build of torch; None where they were not found for certain."""
    try:
        with _disable_current_modes(), torch.inference_mode(False), torch.enable_grad():
            found = _found()
            return found if _tells_apart(found) else None
    except (ValueError, RuntimeError, AttributeError, NotImplementedError):
        return None


def anatomy_beside(tensor: Tensor) -> Anatomy | None:
    """The same for tensors on the device of one that is plain, whose dispatch keys are others."""
    known = anatomy()
    if known is None or tensor.is_cpu:
        return known
    own = Anatomy.from_buffer_copy(known)
    own.plain = torch._C._dispatch_keys(tensor).raw_repr()
    return own


def _found() -> Anatomy:
    """ValueError where something stands in no place, or in two."""
    tensor = torch.empty(1024, dtype=torch.float32, device="cpu").as_strided(
        _SIZES, _STRIDES, _OFFSET
    )
    storage = tensor.untyped_storage()
    words, at = _words(tensor._cdata, _WORDS), Anatomy()
    at.dim = _only(words, (3, *_SIZES))
    at.sizes = at.dim + 1
    at.strides = _only(words, _STRIDES)
    at.most_dims = at.strides - at.sizes
    at.offset = _only(words, (_OFFSET, tensor.numel()))
    at.kind = at.offset + 2
    at.plain = torch._C._dispatch_keys(tensor).raw_repr()
    at.keys = _only(words, (at.plain,))
    at.storage = _only(words, (storage._cdata,))
    # what the allocator gave stands behind the header twice: as data, and as what will be freed
    of_storage = _words(storage._cdata, 6)
    at.data = of_storage.index(storage.data_ptr())
    at.context = at.data + 2
    if of_storage[at.context] != storage.data_ptr() or at.keys <= at.kind:
        raise ValueError("the parts of a storage stand otherwise")
    at.kind_bits = (1 << 40) - 1  # two bytes of dtype, three of a device that is there
    if not welcome()["grad"]:
        raise ValueError("gradients cannot be asked for")
    grad = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(welcome()["grad"])
    at.undefined = ctypes.c_void_p.from_address(grad(tensor._cdata)).value
    return at


def _tells_apart(at: Anatomy) -> bool:
    """Whether plain tensors look alike, and none that is not plain looks like them."""
    plain = torch.zeros(4, 6, dtype=torch.float32, device="cpu")
    leaf = torch.nn.Parameter(plain.clone())
    grad = torch.autograd.grad((leaf * leaf).sum(), leaf)[0]
    usual = [_signature(t, at) for t in (plain, plain[1:].t(), grad, leaf)]
    others: list[Tensor] = [
        *(plain.to(d) for d in (torch.float64, torch.bfloat16, torch.int32)),
        torch.ops.aten._neg_view(plain),
        torch.ops.aten._efficientzerotensor((4, 6), dtype=torch.float32, device="cpu"),
        plain.to("meta"),
        plain.to_sparse(),
        _Wrapper(plain),
    ]
    turned = plain.to(torch.complex64)
    return (
        len(set(usual)) == 1
        and all(_signature(t, at) not in usual for t in others)
        and _signature(turned, at) != _signature(turned.conj(), at)
    )


def _signature(tensor: Tensor, at: Anatomy) -> tuple[int, int]:
    words = _words(tensor._cdata, _WORDS)
    return words[at.kind] & at.kind_bits, words[at.keys]


class _Wrapper(Tensor):
    """A tensor without memory of its own."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> Tensor:
        return Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    @classmethod
    def __torch_dispatch__(cls, *_: object) -> object:
        raise NotImplementedError


def _words(address: int, n: int) -> Sequence[int]:
    return list((ctypes.c_uint64 * n).from_address(address))


def _only(words: Sequence[int], wanted: Sequence[int]) -> int:
    """The one place where these words stand in a row. Raises ValueError where it is not one."""
    n = len(wanted)
    (place,) = (i for i in range(len(words) - n + 1) if tuple(words[i : i + n]) == tuple(wanted))
    return place
