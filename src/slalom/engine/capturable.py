"""Steps that a graph can record: counts, rates and branches stay on the device, never asked for.

Where a rule branches on its step count, all its branches are traced, each parameter's scalars are
computed for each by torch's operations in double precision, and a row says which one serves.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor

from slalom.backends import BACKENDS
from slalom.backends.base import (
    BEFORE,
    UNPREPARED,
    Backend,
    RefusedTensorError,
    Slot,
    Unavailable,
    refuse_no_matrix,
)
from slalom.backends.general import elements
from slalom.engine.distributed import is_distributed
from slalom.engine.memory import check, lending, sharing
from slalom.engine.sorting import alone
from slalom.engine.starting import begun, check_whole
from slalom.engine.treatment import Treatment
from slalom.ir.branches import branches
from slalom.ir.program import Program, is_flag
from slalom.ir.tensors import Values
from slalom.rules.definition import REQUIRED, Rule
from slalom.rules.treated import treated

Group = Mapping[str, Any]


_is_asked_for = methodcaller("get", "capturable")
_is_differentiable = methodcaller("get", "differentiable")


def is_capturable(groups: Sequence[Group]) -> bool:
    """Whether the step of these groups is to be one that can be recorded.

    So it is asked of a group, none is differentiated, and a parameter lies where there are graphs.
    """
    if not any(map(_is_asked_for, groups)) or any(map(_is_differentiable, groups)):
        return False
    recorded = {b.device for b in BACKENDS if b.captures}
    kinds = {p.device.type for g in groups for p in g["params"]}
    return any(kind != "cpu" or kind in recorded for kind in kinds)


def refuse_capture() -> None:
    """Raise RuntimeError, as torch does, while a graph is recorded of a step that is not for it."""
    if _is_recorded():
        raise RuntimeError(
            "Attempting CUDA graph capture of step() of an optimizer that was made without "
            "capturable=True; its step counts and rates are the host's, and a replay would not "
            "see them change. Make it with capturable=True"
        )


def _is_recorded() -> bool:
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def _asked(device: torch.device) -> list[Backend]:
    return [
        b for b in BACKENDS if b.device is None or (b.device == device.type and b.captures)
    ]  # fmt: skip


@lru_cache(64)
def _traced(
    rule: Rule, fixed: tuple[tuple[str, Any], ...], varying: frozenset[str]
) -> tuple[Program, ...]:
    """The programs of every way that these inputs can make the rule take."""
    return tuple(branches(rule, dict(fixed), varying))


@torch.no_grad()
def update_capturably(
    groups: Sequence[Group],
    states: Any,
    rule_of: Callable[[Group], Rule],
    treatment: Treatment,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
) -> None:
    """Update every parameter that has a gradient, reading no value of a tensor.

    Step counts and the numbers of rules are tensors on the parameters' device, made there or moved
    there. Hyper-parameters may be tensors too, and are then read when a graph is replayed.
    ``grad_scale`` divides the gradients; where ``found_inf`` is not 0, or a gradient is not finite
    and the treatment skips such steps, nothing is updated nor counted.

    Raises, before anything is changed, ValueError for a treatment that needs an answer of the
    device, RuntimeError for parameters that cannot be served, and where a graph is recorded of a
    first step: every replay would begin again with what that makes.
    """
    if treatment.on_nonfinite == "raise":
        raise ValueError(
            "on_nonfinite='raise' would have to wait for the GPU, which capturable=True rules out; "
            "use on_nonfinite='skip'"
        )
    treatment.refuse_narrow("capturable=True")
    if treatment.rounding != "nearest":
        raise ValueError("rounding='stochastic' is not served with capturable=True; leave one out")
    parts = [
        part
        for number, group in enumerate(groups)
        for part in _parts(number, group, states, rule_of(group))
    ]
    if not parts:
        return
    scale, skip = _measured([g for part in parts for g in part.grads], treatment, grad_scale)
    if found_inf is not None:
        skip = skip | (_to(found_inf, skip.device) > 0)
    ready = [_Ready(part, treatment, scale, skip) for part in parts]
    for part in parts:
        part.commit(states)
    for one in ready:
        one.run()


@dataclass
class _Part:
    """The parameters of a group on one device, with all that is kept for them.

    Attributes:
        kept: of each parameter what its state dict is to hold beside what it holds.
        counts, numbers: of each parameter its step count, and each number of its rule.
    """

    rule: Rule
    group: Group
    params: list[Tensor]
    grads: list[Tensor]
    own: list[dict[str, Any]]
    kept: list[dict[str, Any]]
    place: int

    def commit(self, states: Any) -> None:
        for param, kept in zip(self.params, self.kept, strict=True):
            states[param].update(kept)

    def tensor(self, i: int, name: str, start: Callable[[], Tensor]) -> Tensor:
        """What is kept of a parameter under this name, on its device; made where it is not."""
        there = self.own[i].get(name, self.kept[i].get(name))
        device = self.params[i].device
        if isinstance(there, Tensor) and there.device == device:
            return there
        if _is_recorded():
            raise RuntimeError(UNPREPARED)
        made = start() if there is None else torch.as_tensor(there).to(device, copy=True)
        self.kept[i][name] = made
        return made


def _parts(number: int, group: Group, states: Any, rule: Rule) -> list[_Part]:
    found: dict[torch.device, _Part] = {}
    for place, param in enumerate(group["params"]):
        grad = param.grad
        if grad is None:
            continue
        name = f"parameter {place} of group {number}"
        check(param, grad, name)
        if is_distributed(param):
            raise RuntimeError(f"{name} is a DTensor, which capturable=True does not serve")
        if grad.layout != torch.strided:
            raise RuntimeError(f"the gradient of {name} is sparse, and capturable=True takes none")
        part = found.setdefault(param.device, _Part(rule, group, [], [], [], [], number))
        part.params.append(param)
        part.grads.append(grad)
        part.own.append({n: v for n, v in states.get(param, {}).items() if v is not None})
        part.kept.append({})
    return list(found.values())


def _measured(
    grads: Sequence[Tensor], treatment: Treatment, grad_scale: Tensor | None
) -> tuple[Tensor | None, Any]:
    """What gradients are multiplied by, and whether the step is to be skipped."""
    device = grads[0].device
    scale = None if grad_scale is None else 1.0 / _to(grad_scale, device).double()
    skip = torch.zeros((), dtype=torch.bool, device=device)
    if treatment.measures:
        flat = [elements(g) for g in grads if g.numel()]
        norms = [torch.linalg.vector_norm(g, dtype=torch.float64).to(device) for g in flat]
        norm = torch.linalg.vector_norm(torch.stack(norms)) if norms else skip.double()
        if treatment.on_nonfinite == "skip":
            skip = skip | norm.isfinite().logical_not()
        if treatment.clip_norm is not None:
            scale = torch.ones_like(norm) if scale is None else scale
            scale = scale * treatment.factor(norm * scale.abs())
    return scale, skip


class _Ready:
    """The rows of a part, computed before anything is changed."""

    def __init__(self, part: _Part, treatment: Treatment, scale: Tensor | None, skip: Any):
        self._part = part
        rule = treated(part.rule, treatment.acts(scale is not None))
        device = part.params[0].device
        skip = _to(skip, device)
        options = {n: part.group.get(n, d) for n, d in part.rule.hypers.items()}
        if treatment.independent_weight_decay is not None and isinstance(options["lr"], Tensor):
            raise ValueError("independent_weight_decay needs lr as a number with capturable=True")
        options |= treatment.late(scale, part.group)
        inputs, fixed, varying = _inputs(rule, options, device)
        n, default = len(part.params), torch.get_default_dtype()
        kept = torch.float64 if default == torch.float64 else torch.float32

        def number(name: str, i: int) -> Tensor:
            start = _start(rule, name, options)
            return torch.zeros((), dtype=kept, device=device).add_(start)

        def count(i: int) -> Tensor:  # what a rule that does not count has left tells of a first
            there = not rule.takes_step and any(s in part.own[i] for s in rule.state)
            return torch.full((), float(there), dtype=kept, device=device)

        self._counts = [part.tensor(i, "step", lambda i=i: count(i)) for i in range(n)]
        self._numbers = [
            [part.tensor(i, name, lambda i=i, name=name: number(name, i)) for i in range(n)]
            for name in rule.numbers
        ]
        counts = _column(self._counts)
        inputs |= {"step": counts + 1}
        for name, own in zip(rule.numbers, self._numbers, strict=True):
            inputs[name] = _column(own)
        varying |= {"step", *rule.numbers}
        self._programs = _traced(rule, tuple(fixed.items()), frozenset(varying))
        values = Values(inputs)
        which = torch.full((n,), -1.0, dtype=torch.float64, device=device)
        noise = torch.zeros_like(which)
        width = max(len(p.scalars) for p in self._programs)
        columns = [noise] * width
        after = [_column(own) for own in self._numbers]
        for k, program in enumerate(self._programs):
            serves = skip.logical_not().expand(n)
            serves = serves & values.serves(program, counts == 0)
            which = torch.where(serves, float(k), which)
            for j, symbol in enumerate(program.scalars):
                columns[j] = torch.where(serves, _as_column(values(symbol), which), columns[j])
            for j, symbol in enumerate(program.numbers):
                after[j] = torch.where(serves, _as_column(values(symbol), which), after[j])
        rows = torch.stack([which, noise, *columns], 1).unbind()
        assert len((which, noise)) == BEFORE
        self._after, self._counted = after, (1.0 - skip.double()).to(kept)
        self._works = [
            (backend, slots, torch.stack([rows[s.place] for s in slots]))
            for backend, slots in self._placed(rule, options)
        ]

    def _placed(self, rule: Rule, options: Mapping[str, Any]) -> list[tuple[Backend, list[Slot]]]:
        """The slots by the first backend that takes them; what shares memory is taken alone."""
        part = self._part
        flags = [(p.sums, p.by_rows, p.multiplies) for p in self._programs]
        if any(p.crossings for p in self._programs):
            raise RefusedTensorError(
                f"{rule.class_name} asks all tensors together for what it needs, which "
                "capturable=True does not serve; leave it out"
            )
        whole, matrix, multiplies = map(any, zip(*flags, strict=True))
        names = [s for s in rule.state if any(s in p.live_state for p in self._programs)]
        found: list[Slot] = []
        for i, param in enumerate(part.params):
            for program in self._programs:
                refuse_no_matrix(program, param)
            check_whole(part.rule, names, part.own[i], f"a parameter of group {part.place}")

            def made(name: str, param: Tensor = param) -> Tensor:
                started = begun(rule, name, param.detach(), 0.0)
                own = torch.view_as_real(started) if started.is_complex() else started
                own.add_(_start(rule, name, options))
                return started

            state = {n: part.tensor(i, n, lambda n=n, made=made: made(n)) for n in names}
            slot = Slot(
                param, state, [], 0.0, part.place, i, whole=whole, matrix=matrix,
                multiplies=multiplies, small=rule.shapes,
            )  # fmt: skip
            found.append(slot)
        works: dict[int, tuple[Backend, list[Slot]]] = {}
        tangled = sharing(found) | lending(found)
        for slot in found:
            if slot.place in tangled:
                slot = alone(slot)
            backend = next(b for b in _asked(slot.param.device) if b.why_not(slot) is None)
            works.setdefault(id(backend), (backend, []))[1].append(slot)
        return list(works.values())

    def run(self) -> None:
        """Update and count."""
        for backend, slots, rows in self._works:
            try:
                backend.run_rows(slots, self._programs, rows)
            except Unavailable as error:  # then nothing was changed, and the next one serves
                warnings.warn(
                    f"a step runs without {backend.name}'s kernels: {error}", stacklevel=7
                )
                after = _asked(slots[0].param.device)
                others = after[after.index(backend) + 1 :]
                other = next(b for b in others if all(b.why_not(s) is None for s in slots))
                other.run_rows(slots, self._programs, rows)
        torch._foreach_add_(  # pyright: ignore[reportPrivateImportUsage]
            self._counts, [self._counted] * len(self._counts)
        )
        for own, after in zip(self._numbers, self._after, strict=True):
            moved = [v.view(o.shape) for o, v in zip(own, after.unbind(), strict=True)]
            torch._foreach_copy_(own, moved)  # pyright: ignore[reportPrivateImportUsage]


def _inputs(
    rule: Rule, options: Mapping[str, Any], device: torch.device
) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """The values of the hyper-parameters; numbers to trace with; which of them are tensors."""
    inputs: dict[str, Any] = {}
    fixed, varying = dict(options), set()

    def scalar(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return float(value)
        return _to(value.detach(), device).double()

    for name, value in options.items():
        if is_flag(rule, name, value):
            continue
        several = isinstance(value, tuple | list)
        for i, one in enumerate(value if several else [value]):
            inputs[f"{name}[{i}]" if several else name] = scalar(one)
        if any(isinstance(one, Tensor) for one in (value if several else [value])):
            varying.add(name)
            default = rule.hypers[name]
            fixed[name] = 1.0 if default in (REQUIRED, None) else default
    return inputs, fixed, varying


def _start(rule: Rule, name: str, options: Mapping[str, Any]) -> Any:
    """What is kept under a name before the first update: a number, or a tensor that lr may be."""
    start = rule.init.get(name, 0.0)
    return options[start] if isinstance(start, str) else start


def _to(number: Tensor, device: torch.device) -> Tensor:
    """A tensor of one element, where it is wanted; nobody waits for it."""
    return number.to(device, non_blocking=True).reshape(())


def _column(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([t.reshape(()) for t in tensors]).double()


def _as_column(value: Any, like: Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        return torch.full_like(like, float(value))
    return value.to(like.dtype).expand(like.shape)
