"""In which dtype each state is kept, and what is kept beside it: begun, converted, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from slalom.backends.layout import is_dense, is_lazy_view, like, plain, same_layout
from slalom.backends.narrow import (
    CODES,
    LOST,
    REMAINDER,
    SCALE,
    blocks,
    blocks_in_rows,
    decode,
    encode,
    joined,
    scales_of,
)
from slalom.backends.refusals import RefusedTensorError
from slalom.backends.spread import moved_to_lines, part_of
from slalom.engine.distributed import is_distributed
from slalom.engine.starting import begun, check_state
from slalom.errors import InputError
from slalom.ir.known import program_for
from slalom.ir.operations import VARIES
from slalom.ir.program import Program
from slalom.ir.signs import holds_weights, never_negative
from slalom.rules.definition import Rule

EIGHT = "8bit"
DTYPES: dict[Any, str] = {
    "float32": "float32", torch.float32: "float32", "bfloat16": "bfloat16",
    torch.bfloat16: "bfloat16", EIGHT: EIGHT,
}  # fmt: skip
"""What states may be asked to be kept in, and how that is called."""

LEAST = 65536
"""Elements below which a parameter has no codes: they save little, and cost time in a cache."""

REMAINDERS = {None: None, "exact": REMAINDER, "kahan": LOST}
"""What may be kept of a parameter's rounding, and under which name."""

Asked = str | Mapping[str, str] | None


def asked_for(state_dtype: Any) -> Asked:
    """``state_dtype`` in words; :class:`slalom.InputError` for what is no dtype of states."""
    if state_dtype is None:
        return None
    if isinstance(state_dtype, Mapping):
        return {str(name): _word(f"state_dtype[{name!r}]", d) for name, d in state_dtype.items()}
    return _word("state_dtype", state_dtype)


def _word(said: str, dtype: Any) -> str:
    try:
        return DTYPES[dtype]
    except (KeyError, TypeError):
        raise InputError(
            f"{said} is {dtype!r}; it must be float32, bfloat16 or 8bit, or a dict of these by "
            "the names of states"
        ) from None


def check_asked(asked: Asked, remainder: str | None, rules: Sequence[Rule]) -> None:
    """Raise :class:`slalom.InputError` where no rule has a state of that name, or none can."""
    named = asked if isinstance(asked, Mapping) else {}
    own = {n for rule in rules for n in rule.state if n not in rule.shapes}
    for name, dtype in named.items():
        if name not in own:
            states = f"its states are {', '.join(sorted(own))}" if own else "it has no states"
            raise InputError(f"state_dtype names {name}, which {_called(rules)} lacks; {states}")
        if dtype == EIGHT and any(n == name and holds_weights(r, n) for r in rules for n in own):
            raise InputError(
                f"state_dtype asks for {name} in 8 bits, which holds weights: their updates would "
                "be lost in so few; leave it in float32"
            )
    companions = {REMAINDER, LOST, *(n + SCALE for n in own)}
    if (asked or remainder) and (clash := own & companions):
        raise InputError(
            f"{_called(rules)} has a state {min(clash)}, a name that is taken where state_dtype or "
            "remainder is given; call the state otherwise"
        )
    if remainder and any(rule.averaged for rule in rules):
        raise InputError(
            f"remainder is not served by {_called(rules)}, which moves parameters between two "
            "points; leave it out, and keep the parameters in float32"
        )


def _called(rules: Sequence[Rule]) -> str:
    return " and ".join(dict.fromkeys(rule.class_name for rule in rules))


@cache
def _of_weights(rule: Rule) -> frozenset[str]:
    return frozenset(n for n in rule.state if holds_weights(rule, n))


def positive(rule: Rule, group: Mapping[str, Any], program: Program, *numbers: float) -> set[str]:
    """The states that are never negative: under a program, and in the steps to come."""
    later = program_for(rule, group, 1000.0, False, *numbers)
    starts = {n: rule.start(n, group) for n in rule.state if n not in rule.shapes}
    return never_negative((program, later), starts)


def dtype_of(
    asked: Asked, rule: Rule, name: str, param: Tensor, signs: Callable[[], set[str]]
) -> torch.dtype | None:
    """What a state of a parameter is to be kept in; None where that is as torch has it.

    ``signs`` tells the states that are never negative. Raises :class:`RefusedTensorError` for a
    parameter of which no codes are kept.
    """
    wish = asked.get(name) if isinstance(asked, Mapping) else asked
    if wish is None or name in rule.shapes or param.is_complex():
        return None
    if wish != EIGHT:
        return getattr(torch, wish)
    if name in _of_weights(rule):
        return None
    if param.numel() < LEAST or not _has_blocks(rule, param):
        return torch.promote_types(param.dtype, torch.float32)
    ordinary = type(param) in (Tensor, torch.nn.Parameter) and param.layout == torch.strided
    if not ordinary and not is_distributed(param):
        raise RefusedTensorError(
            f"state_dtype='8bit' is not served of a {type(param).__name__}, whose blocks would not "
            "be those of one tensor; use 'bfloat16', or leave it out"
        )
    return torch.uint8 if name in signs() else torch.int8


def state_of(
    rule: Rule, name: str, param: Tensor, own: Mapping[str, Any], start: float | Tensor,
    asked: Asked, signs: Callable[[], set[str]], hypers: Mapping[str, Any],
) -> dict[str, Tensor]:  # fmt: skip
    """A state of a parameter, with its scales where it is of codes; begun where there is none.

    ``own`` is what is kept of the parameter. What is there is taken as it is where it is in the
    form that is asked for, else converted, or moved to where the parameter is.
    """
    there = own.get(name)
    dtype = None if asked is None else dtype_of(asked, rule, name, param, signs)
    if there is None:
        return begin(rule, name, param, start, dtype, hypers)
    if name in rule.shapes:
        check_state(rule, name, there, param, hypers)
        if there.dim() and is_distributed(there):
            there = moved_to_lines(param, VARIES[rule.shapes[name]], there)
        return {name: there if there.device == param.device else there.detach().to(param.device)}
    scales, coded = own.get(name + SCALE), there.dtype in CODES
    if coded:
        check_codes(name, there, scales)
    check_state(rule, name, there, param, hypers, coded)
    right = fits(there, param) or not _ordinary(there) or not plain(param)
    if dtype is None and coded:
        dtype = param.dtype
    if right and dtype in (None, there.dtype):
        return {name: there} | ({name + SCALE: scales} if coded and scales is not None else {})
    if coded and scales is not None:
        there = numbers_of(there, scales, param.device)
    return remade(name, there.detach(), param, dtype or there.dtype)


def _ordinary(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, torch.nn.Parameter)


def _has_blocks(rule: Rule, param: Any) -> bool:
    """Whether what a step touches or a process holds of a parameter are whole blocks of codes."""
    grad = param.grad
    if grad is None or grad.layout == torch.strided or rule.sparse != "rows":
        grad = None
    if grad is None and not is_distributed(param):
        return True
    if blocks_in_rows(param.shape) is None or not part_of(param).is_contiguous():
        return False
    if grad is not None:
        return grad.sparse_dim() == 1
    return all(p.is_replicate() or getattr(p, "dim", None) == 0 for p in param.placements)


def begin(
    rule: Rule,
    name: str,
    param: Tensor,
    start: float | Tensor,
    dtype: torch.dtype | None,
    hypers: Mapping[str, Any],
) -> dict[str, Tensor]:
    """A state full of ``start``, with its scales where it is of codes."""
    if dtype is None:
        return {name: begun(rule, name, param, start, hypers)}
    if isinstance(start, Tensor):
        return remade(name, begun(rule, name, param, start, hypers), param, dtype)
    if dtype not in CODES:
        return {name: torch.full_like(param, start, dtype=dtype, requires_grad=False)}
    codes = torch.zeros_like(param, dtype=dtype, requires_grad=False)
    scales = scales_of(codes)
    if start:
        encode(torch.full_like(codes, start, dtype=torch.float32), codes, scales)
    return {name: codes, name + SCALE: scales}


def check_codes(name: str, codes: Tensor, scales: Any) -> None:
    """Raise RuntimeError for codes without sound scales."""
    amiss, due = None, blocks_in_rows(codes.shape) or (blocks(codes),)
    if not isinstance(scales, Tensor):
        amiss = f"and there is no {name}{SCALE}"
    elif scales.dtype != torch.float32 or tuple(scales.shape) != due:
        amiss = f"and {name}{SCALE} is not {'x'.join(map(str, due))} float32"
    elif is_distributed(codes) != is_distributed(scales):
        amiss = f"and of these and {name}{SCALE} one is a DTensor"
    elif part_of(scales).numel() != blocks(part_of(codes)):
        amiss = f"and {name}{SCALE} is not distributed as they are"
    elif not (is_dense(part_of(codes)) and part_of(scales).is_contiguous()):
        amiss = "with gaps between them"
    elif codes.device != scales.device:
        amiss = f"and {name}{SCALE} lies on another device"
    if amiss:
        raise RuntimeError(
            f"the state {name} is of 8-bit codes {amiss}; load a checkpoint that is whole"
        )


def numbers_of(codes: Tensor, scales: Tensor, device: torch.device) -> Tensor:
    """What codes stand for, on a device."""
    return decode(codes.detach(), scales.detach()).to(device)


def fits(state: Tensor, param: Tensor) -> bool:
    """Whether a state lies where and as its parameter does, and may be written to."""
    return (
        plain(state) and same_layout(param, state) and not is_lazy_view(state)
        and not (state.is_inference() and not param.is_inference())  # torch would not write to it
        and state.device == param.device  # the model was not moved
    )  # fmt: skip


def remade(name: str, values: Tensor, param: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """A state of these values in another dtype, with its scales where it is of codes."""
    if dtype not in CODES:
        return {name: like(param.detach(), values.to(param.device)).to(dtype)}
    codes = torch.zeros_like(param, dtype=dtype, requires_grad=False)
    scales = scales_of(codes)
    encode(values.to(param.device), codes, scales)
    return {name: codes, name + SCALE: scales}


def remainder_of(kind: str, param: Tensor, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is kept of a parameter's rounding, found, converted or begun; nothing where it is wide.

    Raises :class:`RefusedTensorError` where there is no such remainder, RuntimeError for one that
    is not this parameter's.
    """
    if param.dtype not in (torch.bfloat16, torch.float16):
        return {}
    name = REMAINDERS[kind]
    assert name is not None
    if kind == "exact" and param.dtype != torch.bfloat16:
        raise RefusedTensorError(
            "remainder='exact' makes float32 of bfloat16, and a parameter is float16; use 'kahan'"
        )
    dtype = torch.int16 if kind == "exact" else param.dtype
    other = LOST if kind == "exact" else REMAINDER
    if name not in own and other in own and plain(param):
        _check_remainder(other, own[other], param)
        return {name: _other(param.detach(), other, own[other].to(param.device), dtype)}
    if name not in own:
        return {name: torch.zeros_like(param, dtype=dtype, requires_grad=False)}
    there = own[name]
    _check_remainder(name, there, param)
    if there.dtype != dtype:
        raise RuntimeError(f"{name} is {there.dtype}, not {dtype}; load a checkpoint that is whole")
    if plain(param) and not fits(there, param):
        return {name: like(param.detach(), there.to(param.device))}
    return {name: there}


def _check_remainder(name: str, there: Tensor, param: Tensor) -> None:
    if there.shape != param.shape:
        raise RuntimeError(
            f"{name} has shape {tuple(there.shape)} where its parameter has {tuple(param.shape)}; "
            "load a checkpoint of the same model"
        )


def _other(param: Tensor, kept: str, there: Tensor, dtype: torch.dtype) -> Tensor:
    """A remainder of the one kind from that of the other, as near as it holds."""
    if kept == REMAINDER:
        return like(param, (joined(param, there) - param.float()).to(dtype))
    bits = (param.float() + there.float()).contiguous().view(torch.int32)
    low = bits - param.float().contiguous().view(torch.int32)
    return like(param, low.clamp(-0x8000, 0x7FFF).to(dtype))
