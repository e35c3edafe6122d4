"""What processes tell one another, without a large block of memory that is freed on the way.

glibc keeps blocks as large as the largest that was ever freed, and gives larger ones back to the
kernel, which clears them anew. Who unpickles a data set frees its bytes: training on 8 MB (a
perceptron of 12 x 1024) then takes 2,900 to 4,100 such pages an update, in place of 10,900 to
13,400 in a process that has made its data itself. So the large parts of what is sent are read into
memory that stays, and tensors and arrays lie there.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import cloudpickle
import torch
from torch import Tensor

LARGE = 1 << 16
"""Bytes from which on a tensor is sent apart: glibc gives back none that are smaller."""


@dataclass(frozen=True)
class Packed:
    """Something pickled: its ``content``, and apart from it the memory of what is large."""

    content: bytes
    large: Sequence[Any] = field(default=())

    @classmethod
    def of(cls, something: Any) -> Packed:
        """Something packed; what is large is not copied."""
        file, large = io.BytesIO(), list[pickle.PickleBuffer]()
        _Pickler(file, protocol=5, buffer_callback=large.append).dump(something)
        return cls(file.getvalue(), large)

    def unpacked(self) -> Any:
        """It, over the memory of what is large; another each time."""
        return pickle.loads(self.content, buffers=self.large)


def put(message: Any, file: IO[bytes]) -> None:
    """Write a message."""
    packed = Packed.of(message)
    parts = [packed.content, *[part.raw() for part in packed.large]]
    sizes = [len(part) for part in parts]
    file.write(b"".join(n.to_bytes(8, "little") for n in (len(sizes), *sizes)))
    for part in parts:
        file.write(part)
    file.flush()


def got(file: Any) -> Any:
    """Read one, from a file as :func:`open` gives it. Raises EOFError where there is none."""

    def number() -> int:
        read = file.read(8)
        if len(read) < 8:
            raise EOFError
        return int.from_bytes(read, "little")

    parts = [bytearray(size) for size in [number() for _ in range(number())]]
    for part in parts:
        if file.readinto(part) < len(part):
            raise EOFError
    return Packed(bytes(parts[0]), parts[1:]).unpacked()


class _Pickler(cloudpickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Tensor and _is_plain(obj) and obj.nbytes >= LARGE:
            content: Any = obj.view(-1).view(torch.uint8).numpy()
            return _tensor, (pickle.PickleBuffer(content), obj.dtype, obj.shape)
        return super().reducer_override(obj)


def _is_plain(tensor: Tensor) -> bool:
    """Whether its elements, in their order, are all that there is to it."""
    return (
        tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.is_contiguous()
        and not (tensor.requires_grad or tensor.is_quantized or tensor.is_conj() or tensor.is_neg())
        and not vars(tensor)
    )  # fmt: skip


def _tensor(content: Any, dtype: torch.dtype, shape: torch.Size) -> Tensor:
    return torch.frombuffer(content, dtype=dtype).view(shape)
