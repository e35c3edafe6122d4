"""What is kept in fewer bits than it is computed in: states as codes, parameters with a remainder.

A state of eight bits is a tensor of codes, which lies as its parameter does, beside one float32 for
each :data:`BLOCK` codes as they lie in memory: the largest magnitude there. A code stands for a
number between 0 and that one by the law of telephony (mu-law, ITU-T G.711): a tiny share is added
to it, and then it is a float of few bits. So it is made by a multiplication, an addition and a
shift, a number near 0 is not lost beside a large one, and the largest is exact.

A parameter of bfloat16 is the upper half of a float32 whose lower half is kept as a state
(:data:`REMAINDER`), or has beside it what the last rounding lost (:data:`LOST`; Kahan 1965).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slalom.backends.layout import like
from slalom.backends.rounding import drawn, place_of
from slalom.backends.spread import part_of, put_together
from slalom.rules.definition import Rule

BLOCK = 64
"""Codes that share a scale."""

TINY = 2.0**-100
"""What the largest of a block counts as where it is smaller."""

LOW = 0x40000000
"""The bits of 2.0, of which those are 0 that codes are made of."""

SCALE = "_scale"
"""Ends the name of the scales of a state."""

REMAINDER, LOST = "param_remainder", "param_lost"
"""What is kept of a parameter beside it: the lower half of its bits, or what rounding lost."""


@dataclass(frozen=True)
class Code:
    """What codes of a dtype stand for: code k for scale * (x(k) - base).

    x(k) is the float32 with k added to the bits of 2.0, ``shift`` bits from their end. A signed
    code is a sign and k, and not the complement of two, as floats are.

    Attributes:
        shift: so there are 2 ** (23 - shift) steps in a doubling of x.
        top: the largest code, of the largest number.
        signed: whether there are negative codes, which stand for negative numbers.
        base: 2.0, or a little less, so that the code 0 does not stand for 0.
    """

    shift: int
    top: int
    signed: bool
    base: float

    @property
    def reach(self) -> float:
        """What the largest number of a block is multiplied to."""
        return float(np.uint32(LOW + (self.top << self.shift)).view(np.float32)) - self.base


CODES = {
    torch.int8: Code(18, 127, True, 2.0), torch.uint8: Code(19, 255, False, 2.0 - 1 / 32),
}  # fmt: skip
"""By dtype, the codes of states with both signs and of those that are never negative.

Of the former the smallest step is 1/472 of the largest number, of the latter 1/1015792, and 0
stands for a quarter of that: a second moment that became 0 beside a first one that did not would
make a step without bound. (A quarter, since nothing rounds to less than the code 0 then.) In states
of Adam, in blocks of 64, codes cost an update 0.8% and 0.7% of its norm, each alone. Of the dynamic
maps of Dettmers et al. 2022 these numbers were 1.5% and 0.3%, of the softsign and the root of
Gonzalez Ortiz et al. 2026 0.8% and 0.5%.
"""

NARROW = (*CODES, torch.int16)
"""The dtypes of what is no number by itself: codes and remainders."""


def owner(name: str, names: Iterable[str]) -> str | None:
    """Whose companion it is among the tensors of a slot: ``param``, a state, or None of nothing."""
    if name in (REMAINDER, LOST):
        return "param"
    state = name.removesuffix(SCALE)
    return state if state != name and state in names else None


def blocks(tensor: Tensor) -> int:
    """How many scales the codes of a tensor have."""
    return -(-tensor.numel() // BLOCK)


def scales_of(codes: Tensor) -> Tensor:
    """Scales of 0 for codes: a number for each block, in rows where rows hold whole blocks.

    So that scales of a DTensor are distributed by rows, as its codes are.
    """
    own = part_of(codes)
    shape = blocks_in_rows(codes.shape) or (blocks(codes),)
    if own is codes:
        return torch.zeros(shape, dtype=torch.float32, device=codes.device)
    found = torch.zeros(len(own), *shape[1:], dtype=torch.float32, device=own.device)
    return put_together(found, codes, shape)


def blocks_in_rows(shape: Sequence[int]) -> tuple[int, ...] | None:
    """(rows, blocks in each) of a tensor of this shape; None where rows do not hold whole blocks.

    Rows are those along the first axis.
    """
    size = math.prod(shape[1:])
    return None if not shape or not size or size % BLOCK else (shape[0], size // BLOCK)


def encode(
    values: Tensor, codes: Tensor, scales: Tensor, draw: Callable[[], Tensor] | None = None
) -> None:
    """Put values (of any dtype and layout) into codes, which are dense, and their scales.

    To the nearest code, or by the chance of :func:`slalom.backends.rounding.drawn`. A block with
    a value that is not finite becomes NaN, whatever its codes. Of DTensors, which are distributed
    by rows that hold whole blocks, each process puts its own.
    """
    if (own := part_of(codes)) is not codes:
        encode(part_of(like(codes, values)), own, part_of(scales), draw)
        return
    code, n = CODES[codes.dtype], codes.numel()
    flat = torch.zeros(scales.numel() * BLOCK, dtype=torch.float32, device=codes.device)
    flat[:n] = flattened(like(codes, values))
    largest = flat.view(-1, BLOCK).abs().amax(1) if n else flattened(scales)
    largest = torch.where(largest < TINY, torch.full_like(largest, TINY), largest)
    nothing = largest - largest  # or NaN, of infinity too
    flattened(scales).copy_(largest * torch.full_like(largest, 1 / code.reach) + nothing)
    factor = torch.full_like(largest, code.reach) / largest
    flat = flat[:n]
    x = flat.abs() * factor.repeat_interleave(BLOCK)[:n] + code.base
    found = x.view(torch.int32)
    if draw is None:
        found = (found + (1 << (code.shift - 1)) - LOW) >> code.shift
    else:
        found = (found + (draw() << (code.shift - 16)) - LOW) >> code.shift
        found = found.clamp(0, code.top)
    if code.signed:
        found = found + (torch.signbit(flat).to(torch.int32) << 7)
    flattened(codes).copy_((found & 0xFF).to(torch.uint8).view(codes.dtype))


def decode(codes: Tensor, scales: Tensor) -> Tensor:
    """The numbers (float32) that codes stand for, which lie as these do."""
    if (own := part_of(codes)) is not codes:
        return put_together(decode(own, part_of(scales)), codes, codes.shape)
    code, n = CODES[codes.dtype], codes.numel()
    found = flattened(codes).to(torch.int32)
    x = (((found & code.top) << code.shift) + LOW).view(torch.float32) - code.base
    x = x * scales.repeat_interleave(BLOCK)[:n]
    made = torch.empty_like(codes, dtype=torch.float32)
    flattened(made).copy_(torch.where(found < 0, -x, x))
    return made


def flattened(tensor: Tensor) -> Tensor:
    """The elements of a dense tensor as they lie in memory."""
    return tensor.as_strided((tensor.numel(),), (1,))


def joined(param: Tensor, remainder: Tensor) -> Tensor:
    """The float32 of which a bfloat16 is the nearest, and the remainder (int16) the lower half."""
    high = param.contiguous().view(torch.int16).to(torch.int32) << 16
    return (high + remainder.contiguous()).view(torch.float32)


def parted(values: Tensor, param: Tensor, remainder: Tensor) -> None:
    """Put float32 into the nearest bfloat16, the larger of two as near, and the remainder."""
    values = torch.where(values.isnan(), torch.full_like(values, torch.nan), values).contiguous()
    bits = values.view(torch.int32)
    high = (bits + 0x8000) >> 16
    param.copy_(high.to(torch.int16).view(torch.bfloat16))
    remainder.copy_(bits - (high << 16))


class Opened:
    """The tensors of a slot as float32 where they are kept in fewer bits.

    Attributes:
        tensors: by name; what is written there is put back by :meth:`close`.
    """

    def __init__(self, slot: Mapping[str, Tensor]):
        self._slot = slot
        self.tensors = {n: t for n, t in slot.items() if owner(n, slot) is None}
        for name, tensor in self.tensors.items():
            if tensor.dtype in CODES:
                self.tensors[name] = decode(tensor, slot[name + SCALE])
        param = slot["param"]
        if REMAINDER in slot:
            self.tensors["param"] = like(param, joined(param, slot[REMAINDER]))
        if LOST in slot:
            self.tensors["param"] = param.float() + slot[LOST].float()

    def close(self, rule: Rule, writes: Iterable[str], noise: int | Tensor | None) -> None:
        """Put back what was written; ``noise`` where codes are drawn by chance."""
        slot = self._slot
        for name in writes:
            own, value = slot[name], self.tensors[name]
            if own.dtype in CODES:
                draw = None
                if noise is not None:
                    places = torch.arange(own.numel(), device=own.device)
                    draw = drawn_for(noise, place_of(rule, name), places)
                encode(value, own, slot[name + SCALE], draw)
            elif name == "param" and REMAINDER in slot:
                parted(value, own, slot[REMAINDER])
            elif name == "param" and LOST in slot:
                own.copy_(value)
                lost = value - own.float()
                slot[LOST].copy_(torch.where(lost.isfinite(), lost, torch.zeros_like(lost)))


def drawn_for(noise: int | Tensor, array: int, places: Tensor) -> Callable[[], Tensor]:
    """What draws for elements at these places; see :func:`slalom.backends.rounding.drawn`."""
    return lambda: drawn(noise, array, places)


def is_narrow(slot: Mapping[str, Tensor]) -> bool:
    """Whether one of a slot's tensors is no number by itself."""
    return REMAINDER in slot or LOST in slot or any(t.dtype in CODES for t in slot.values())
