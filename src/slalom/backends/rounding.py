"""Stochastic rounding to bfloat16: up or down by chance, so that the mean is the exact value.

Rounded to nearest, an update smaller than half a unit in the last place is lost, every time. By
chance it is kept as often as it is large (Gupta et al. 2015, sec. 3.1). The chance is a hash of a
seed and of the element's place, so that a step comes out the same on any number of threads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from slalom.rules.definition import Rule

_GOLDEN, _SEED, _STEP = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95, 0x2545F4914F6CDD1D
_MASK = (1 << 64) - 1
_WORD = (1 << 32) - 1


def noise_of(seed: int, step: int, place: int) -> int:
    """32 random bits of a step of the parameter at this place: splitmix64 (Steele et al. 2014)."""
    x = (seed * _SEED + step * _STEP + (place + 1) * _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return (x ^ (x >> 31)) >> 32


def noises_of(seed: int, steps: Tensor, places: Tensor) -> Tensor:
    """The same of many parameters, on the device of ``steps`` and ``places`` (of one shape).

    int64, which wraps as 64 bits without a sign do.
    """
    return noises_from(_signed(seed * _SEED) + (places + 1) * _signed(_GOLDEN), steps)


def noises_from(shares: Tensor, steps: Tensor) -> Tensor:
    """The same, of what seed and place add (:func:`share`, int64)."""
    x = steps.to(torch.int64) * _signed(_STEP) + shares
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    return _shifted(x ^ _shifted(x, 31), 32)


def share(seed: int, place: int) -> int:
    """What seed and place add to the bits of :func:`noise_of`: an int64, in two's complement."""
    return _signed(seed * _SEED + (place + 1) * _GOLDEN)


def _signed(word: int) -> int:
    """The number that 64 bits are in two's complement."""
    word &= _MASK
    return word - (word >> 63 << 64)


def _shifted(x: Tensor, shift: int) -> Tensor:
    """A shift to the right of bits without a sign."""
    return (x >> shift) & ((1 << (64 - shift)) - 1)


def place_of(rule: Rule, name: str) -> int:
    """The number of a tensor among those of an update: ``param`` is 0, the states start at 2."""
    return 0 if name == "param" else 2 + rule.arguments.index(name)


def rounded(values: Tensor, noise: int | Tensor, array: int, places: Tensor) -> Tensor:
    """``values`` as bfloat16, each rounded up with the chance of its distance from the one below.

    NaN and infinity stay what they are. ``places`` (int64, of the values' shape or in their order)
    number the elements, ``array`` the tensor among those of the update, the parameter being 0.
    """
    exact = values.to(torch.float32)
    bits = exact.contiguous().view(torch.int32)
    up = bits + drawn(noise, array, places.reshape(exact.shape)).contiguous()
    up = (up & -(1 << 16)).view(torch.float32)
    return torch.where(exact.isfinite(), up, exact).to(torch.bfloat16)


def drawn(noise: int | Tensor, array: int, places: Tensor) -> Tensor:
    """Sixteen random bits (int32) for each place: those of machine code.

    They are murmur3's last mix of noise, place and array.
    """
    x = (places * 0x9E3779B1 + 0x9E3779B9 * (1 + array)) & _WORD
    x = x ^ noise
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = ((x ^ (x >> shift)) * factor) & _WORD
    return (x >> 16).to(torch.int32)
