"""Checkpoints of optimizers: which saved state belongs to which parameter, and what is taken."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from slalom.backends.narrow import CODES, SCALE, decode, owner
from slalom.optim.checks import may_lack
from slalom.rules import RULES
from slalom.rules.definition import Rule

Group = dict[str, Any]

OWN = ("params", "param_names", "rule")
"""Options of a group that a checkpoint which lacks them leaves as they are."""


def copied(saved: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict that shares no memory with this one, on the same devices."""
    with torch.no_grad():
        return {**copy.deepcopy({k: v for k, v in saved.items() if k != "state"}), "state": {
            key: {name: _copy(value) for name, value in state.items()}
            for key, state in saved["state"].items()
        }}  # fmt: skip


def widened(saved: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict whose states are float32 or wider, and what belongs to others is left out."""
    return {**saved, "state": {k: _wide(own) for k, own in saved["state"].items()}}


def _wide(own: Mapping[str, Any]) -> dict[str, Any]:
    found = {n: v for n, v in own.items() if owner(n, own) is None}
    for name, value in found.items():
        if isinstance(value, Tensor) and value.dtype in CODES:
            found[name] = decode(value, own[name + SCALE])
        elif isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16):
            found[name] = value.float()
    return found


def load(
    optimizer: Optimizer, saved: dict[str, Any], rule_of: Callable[[Group], Any],
    beyond: Collection[str], strict: bool,
) -> None:  # fmt: skip
    """What ``load_state_dict`` of Slalom's optimizers does.

    ``rule_of`` raises ValueError for a group that the optimizer cannot follow. ``beyond`` are
    options that a group lacks where they have their defaults.
    """
    if not isinstance(saved, Mapping):
        raise TypeError(f"a state dict is due, not {type(saved).__name__}")
    saved = dict(saved)
    for hook in optimizer._optimizer_load_state_dict_pre_hooks.values():
        saved = hook(optimizer, saved) or saved
    now, then = optimizer.param_groups, saved["param_groups"]
    ours, theirs = _names(now), _names(then)
    if ours and theirs:
        owners, groups = _by_name(now, then, ours, theirs, strict)
    else:
        owners, groups = _by_order(now, then)
    for number, (group, present) in enumerate(zip(groups, now, strict=True)):
        _complete(number, group, present, rule_of(group), beyond)
    state: defaultdict[Any, Any] = defaultdict(dict)
    if ours and theirs:  # what the checkpoint does not know stays; strict leaves nothing such
        known = set(map(id, owners.values()))
        state.update((p, s) for p, s in optimizer.state.items() if id(p) not in known)
    for key, values in saved["state"].items():
        if key in owners:
            param = owners[key]
            state[param] = {n: _copy(v, None if n == "step" else param) for n, v in values.items()}
        elif not (ours and theirs):
            state[key] = values
    optimizer.__setstate__({"state": state, "param_groups": groups})
    for hook in optimizer._optimizer_load_state_dict_post_hooks.values():
        hook(optimizer)


def _names(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Name -> (place of its group, parameter or its key); None if not all have a name of theirs."""
    if not all("param_names" in g for g in groups):
        return None
    named = [
        (name, (i, param))
        for i, g in enumerate(groups)
        for name, param in zip(g["param_names"], g["params"], strict=True)
    ]
    return dict(named) if len(dict(named)) == len(named) else None


def _by_order(now: list[Group], then: list[Group]) -> tuple[dict[Any, Tensor], list[Group]]:
    """Saved key -> parameter, and the groups to be, where order is all that is known."""
    if len(now) != len(then):
        raise ValueError("loaded state dict has a different number of parameter groups")
    if any(len(a["params"]) != len(b["params"]) for a, b in zip(now, then, strict=True)):
        raise ValueError(
            "loaded state dict contains a parameter group that doesn't match the size of "
            "optimizer's group"
        )
    keys, params = (chain.from_iterable(g["params"] for g in groups) for groups in (then, now))
    return dict(zip(keys, params, strict=True)), [
        _merged(a, b) for a, b in zip(now, then, strict=True)
    ]


def _by_name(
    now: list[Group], then: list[Group], ours: dict[str, Any], theirs: dict[str, Any], strict: bool
) -> tuple[dict[Any, Tensor], list[Group]]:
    """Saved key -> parameter, and the groups to be, each with the options its parameters had."""
    missing = [n for n in ours if n not in theirs]
    unexpected = [n for n in theirs if n not in ours]
    if strict and (missing or unexpected):
        lists = [
            f"{what}: {', '.join(names)}"
            for what, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise ValueError(
            f"the checkpoint does not fit these parameters by name; {'; '.join(lists)}. "
            "strict=False takes what fits; to match by order, delete param_names from the "
            "checkpoint's param_groups"
        )
    groups = []
    for group in now:
        sources = {theirs[n][0] for n in group["param_names"] if n in theirs}
        options = [{k: v for k, v in then[i].items() if k not in OWN[:2]} for i in sources]
        if any(str(o) != str(options[0]) for o in options):
            raise ValueError(
                f"the parameters {', '.join(group['param_names'])} are one group here and several "
                "in the checkpoint, with different options; make the same groups"
            )
        groups.append(_merged(group, options[0]) if options else group)
    owners = {theirs[n][1]: ours[n][1] for n in ours if n in theirs}
    return owners, groups


def _merged(group: Group, saved: Mapping[str, Any]) -> Group:
    """The saved options for the parameters of ``group``."""
    taken = {k: copy.deepcopy(v) for k, v in saved.items() if k != "params"}
    return {**taken, **{k: group[k] for k in OWN if k in group and (k != "rule" or k not in taken)}}


def _complete(
    number: int, group: Group, present: Group, rule: Rule, beyond: Collection[str]
) -> None:
    """Leave options that the checkpoint lacks as they are; ValueError if they make another class.

    A version with fewer options lacks what is off by default, and has no other rule's.
    """
    lacks = [n for n in rule.hypers if n not in group and n not in beyond]
    needs = [n for n in lacks if not may_lack(rule.hypers[n])]
    others = [n for n in group if n in _OPTIONS and n not in rule.hypers]
    if needs and (others or any(rule.hypers[n] for n in needs)):
        raise ValueError(
            f"group {number} of the checkpoint has {', '.join(n for n in group if n not in OWN)}, "
            f"and no {needs[0]}; load a checkpoint of {rule.class_name}"
        )
    group |= {n: present[n] for n in lacks if n in present}


_OPTIONS = {option for rule in RULES.values() for option in rule.hypers}


def _copy(value: Any, param: Tensor | None = None) -> Any:
    """A copy in the same dtype, on the device of ``param`` where one is given."""
    if isinstance(value, Tensor):
        device = value.device if param is None else param.device
        return value.detach().to(device, copy=True)
    return copy.deepcopy(value)
