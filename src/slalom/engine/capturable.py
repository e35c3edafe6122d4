"""Steps that ask the device for nothing: counts, rates and branches stay there.

A graph can record them. Where a rule branches on its step count, all its branches are traced, each
parameter's scalars are computed for each by torch's operations in double precision, and a row says
which one serves.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from slalom.backends import BACKENDS
from slalom.backends.base import Backend, Slot, Work
from slalom.backends.crossings import check_crossings
from slalom.backends.general import elements
from slalom.backends.refusals import Unavailable, refuse_no_matrix, refuse_squares
from slalom.engine.distributed import LocalParts, localised, over_processes, own_part
from slalom.engine.memory import check, lending, sharing
from slalom.engine.sorting import alone
from slalom.engine.standing import TOO_WIDE, Stay, stay, told_of
from slalom.engine.there import Part, is_recorded, there
from slalom.engine.treatment import Treatment
from slalom.ir.program import looks_along, multiplies
from slalom.rules.definition import Rule

Group = Mapping[str, Any]


_is_asked_for = methodcaller("get", "capturable")
_is_differentiable = methodcaller("get", "differentiable")


def step_there(
    last: Stay | None, before: Callable[[Sequence[Any]], None], groups: Sequence[Any], states: Any,
    rule_of: Callable[[Group], Rule], treatment: Treatment, grad_scale: Tensor | None,
    found_inf: Tensor | None,
) -> tuple[Stay | None] | None:  # fmt: skip
    """Make the step if it is one for here (:func:`stays_there`); None if not, else a plan for more.

    By ``last``, the plan that the step before left, where it still serves. Else ``before`` is
    called with the groups first.
    """
    if last is not None and last.step(groups, states, treatment, rule_of, grad_scale, found_inf):
        return (last,)
    if not stays_there(groups, treatment, found_inf, rule_of):
        return None
    before(groups)
    return (update_there(groups, states, rule_of, treatment, grad_scale, found_inf),)


def stays_there(
    groups: Sequence[Group], treatment: Treatment, found_inf: Tensor | None,
    rule_of: Callable[[Group], Rule],
) -> bool:  # fmt: skip
    """Whether the step of these groups is to ask the device of the parameters for nothing.

    So it is asked of a group (``capturable``), or a plain step would have to wait for what the
    device alone knows: whether it is to be skipped, or a rate that is a tensor there; and so it is
    where gradients are clipped by their norm and a backend needs nothing of torch's for it. Counts
    are then kept there, as by torch's fused classes. Of ``on_nonfinite="raise"`` the answer is
    waited for, since what it promises is that nothing was updated, of sparse gradients, whose rows
    have to be known, and of rules that decompose matrices.

    Raises RuntimeError, as torch does, while a graph is recorded of a step that is not for it.
    """
    if any(map(_is_differentiable, groups)):
        _refuse_capture()
        return False
    if any(map(_is_asked_for, groups)):
        kinds = {p.device.type for g in groups for p in g["params"]}
        if any(kind != "cpu" or kind in _recorded() for kind in kinds):
            return True
    _refuse_capture()
    recorded, first = _recorded(), [p for g in groups[:1] for p in g["params"][:1]]
    if treatment.on_nonfinite == "raise" or any(p.device.type not in recorded for p in first):
        return False  # the quick answer of every step on the host
    known = [found_inf, *(v for g in groups for v in g.values())]
    asks = treatment.on_nonfinite == "skip" or any(
        isinstance(v, Tensor) and v.device.type in recorded for v in known
    )
    asks = asks or (treatment.clip_norm is not None and _stands(groups, treatment, rule_of))
    return (
        asks
        and not any(rule_of(g).squares for g in groups)
        and all(
            p.device.type in recorded and (p.grad is None or p.grad.layout == torch.strided)
            for g in groups
            for p in g["params"]
        )
    )


def _stands(
    groups: Sequence[Group], treatment: Treatment, rule_of: Callable[[Group], Rule]
) -> bool:  # fmt: skip
    """Whether a backend makes such steps by itself, once one was made."""
    for rule in set(map(rule_of, groups)):
        if rule.squares or multiplies(rule) or (treatment.state_dtype and looks_along(rule)):
            return False
    params = [p for g in groups for p in g["params"] if p.grad is not None]
    plain = {type(t) for p in params for t in (p, p.grad)} <= {Tensor, Parameter}
    wide = any(t.dtype in TOO_WIDE for p in params for t in (p, p.grad))
    devices = {p.device for p in params}
    if not plain or wide or len(devices) != 1:
        return False
    (device,) = devices
    return any(b.stands(device) for b in _asked(device)[:1])


def _recorded() -> list[str | None]:
    """The types of the devices whose steps a graph can record."""
    return [b.device for b in BACKENDS if b.captures]


def _refuse_capture() -> None:
    if is_recorded():
        raise RuntimeError(
            "Attempting CUDA graph capture of step() of an optimizer that was made without "
            "capturable=True; its step counts and rates are the host's, and a replay would not "
            "see them change. Make it with capturable=True"
        )


def _asked(device: torch.device) -> list[Backend]:
    return [
        b for b in BACKENDS if b.device is None or (b.device == device.type and b.captures)
    ]  # fmt: skip


@torch.no_grad()
def update_there(
    groups: Sequence[Group],
    states: Any,
    rule_of: Callable[[Group], Rule],
    treatment: Treatment,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
) -> Stay | None:
    """Update every parameter that has a gradient, reading no value of a tensor.

    Returns a plan for steps like this one, where there is one.

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
    parts = _parts(groups, states, rule_of)
    if not parts:
        return None
    for part in parts:
        refuse_squares(part.rule, "capturable")
    scale, skip = _measured([g for part in parts for g in part.grads], treatment, grad_scale)
    if found_inf is not None:
        skip = skip | (there(found_inf, skip.device) > 0)
    with torch.inference_mode(False):  # what is made outlives that mode
        for part in parts:
            part.prepare(treatment, scale, skip)
    check_crossings((part.treated, program) for part in parts for program in part.programs)
    slots = [slot for part in parts for slot in part.slots]
    own = [localised(slot) for slot in slots]
    for part in parts:
        for slot in part.slots:
            for program in part.programs:
                refuse_no_matrix(program, own[slot.place].param)
    pairs = [(s, o) for s, o in zip(slots, own, strict=True) if s is not o]
    lent = LocalParts(pairs) if pairs else None
    try:
        if lent is not None and not lent.lend():
            raise RuntimeError("the parameters changed while they were being updated")
        works = _placed(parts, own)
        for part in parts:
            part.commit(states)
        _run(works)
    finally:
        if lent is not None:
            lent.take_back()
    for part in parts:
        part.count()
    told = told_of(treatment, grad_scale, found_inf, parts[0].device)
    return stay(parts, works, groups, states, treatment, told)


def _parts(groups: Sequence[Group], states: Any, rule_of: Callable[[Group], Rule]) -> list[Part]:
    """The parameters that have a gradient, by group and device."""
    found: list[Part] = []
    index = place = 0
    for number, group in enumerate(groups):
        of_device: dict[torch.device, Part] = {}
        for i, param in enumerate(group["params"]):
            index, grad = index + 1, param.grad
            if grad is None:
                continue
            name = f"parameter {i} of group {number}"
            check(param, grad, name)
            if grad.layout != torch.strided:
                raise RuntimeError(
                    f"the gradient of {name} is sparse, and capturable=True takes none: how many "
                    "rows it has is known on the device alone"
                )
            if param.device not in of_device:
                of_device[param.device] = Part(rule_of(group), group, number, param.device)
            own = {n: v for n, v in states.get(param, {}).items() if v is not None}
            of_device[param.device].add(param, grad, own, name, place, index - 1)
            place += 1
        found += of_device.values()
    return found


def _measured(
    grads: Sequence[Tensor], treatment: Treatment, grad_scale: Tensor | None
) -> tuple[Tensor | None, Any]:
    """What gradients are multiplied by, and whether the step is to be skipped."""
    device = grads[0].device
    scale = None if grad_scale is None else 1.0 / there(grad_scale, device).double()
    skip = torch.zeros((), dtype=torch.bool, device=device)
    if treatment.measures:
        norm, amiss = _norm(grads)
        if treatment.on_nonfinite == "skip":
            skip = skip | (amiss > 0)
        if treatment.clip_norm is not None:
            scale = torch.ones_like(norm) if scale is None else scale
            scale = scale * treatment.factor(norm * scale.abs())
    return scale, skip


def _norm(grads: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The norm of all gradients as one vector, and how many of them are not finite.

    Of distributed ones that is of all processes together.
    """
    alike: dict[Any, list[Tensor]] = {}
    for grad in grads:
        part, spread = own_part(grad)
        if part.numel() or spread is not None:
            alike.setdefault((spread, part.device), []).append(elements(part))
    device = grads[0].device
    found: list[Tensor] = []
    for (spread, _), own in alike.items():
        norms = torch.stack(torch._foreach_norm(own, 2, dtype=torch.float64))  # pyright: ignore[reportPrivateImportUsage]
        amiss = norms.isfinite().logical_not().sum(dtype=torch.float64)
        if spread is not None:  # squares are what can be summed
            square, amiss = over_processes(torch.stack([norms.square().sum(), amiss]), spread)
            norms = square.sqrt().reshape(1)
        found.append(torch.stack([torch.linalg.vector_norm(norms), amiss]).to(device))
    if not found:
        return torch.zeros((), dtype=torch.float64, device=device), torch.zeros((), device=device)
    norms, amiss = torch.stack(found).unbind(1)
    return torch.linalg.vector_norm(norms), amiss.sum()


def _placed(parts: Sequence[Part], own: Sequence[Slot]) -> list[tuple[Backend, list[Work]]]:
    """The slots by the first backend that takes them; what shares memory is taken alone."""
    tangled = sharing(own) | lending(own)
    own = [alone(slot) if slot.place in tangled else slot for slot in own]
    taken = {slot.place: _first(slot) for slot in own}
    if crossing := [slot for slot in own if slot.crosses]:  # by one backend
        last = max((taken[s.place] for s in crossing), key=BACKENDS.index)
        taken |= {s.place: last for s in crossing}
    works: dict[int, tuple[Backend, list[Work]]] = {}
    for part in parts:
        chosen: dict[int, tuple[Backend, list[int], list[Slot]]] = {}
        for i, slot in enumerate(own[s.place] for s in part.slots):
            backend = taken[slot.place]
            _, rows, slots = chosen.setdefault(id(backend), (backend, [], []))
            rows.append(i)
            slots.append(slot)
        for backend, rows, slots in chosen.values():
            table = part.rows
            if len(rows) < len(part.slots):
                each = table.unbind()
                table = torch.stack([each[i] for i in rows])
            work = Work(slots, part.programs, table, part.chance)
            works.setdefault(id(backend), (backend, []))[1].append(work)
    return list(works.values())


def _first(slot: Slot) -> Backend:
    """The first backend that takes a slot."""
    return next(b for b in _asked(slot.param.device) if b.why_not(slot) is None)


def _run(works: Sequence[tuple[Backend, list[Work]]]) -> None:
    for backend, own in works:
        try:
            backend.run_rows(own)
        except Unavailable as error:  # then nothing was changed, and the next one serves
            warnings.warn(f"a step runs without {backend.name}'s kernels: {error}", stacklevel=7)
            after = _asked(own[0].slots[0].param.device)
            others = after[after.index(backend) + 1 :]
            slots = [slot for work in own for slot in work.slots]
            other = next(b for b in others if not any(map(b.why_not, slots)))
            other.run_rows(own)  # at once, since they may have to meet
