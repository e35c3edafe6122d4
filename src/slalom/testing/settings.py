"""Checks of the options: the learning rate and the others, of each group, and when they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from slalom.testing.subject import (
    GROUPS,
    Make,
    NotApplicable,
    Subject,
    apart,
    gradients,
    in_two_groups,
    parameters,
    run,
    starts,
    walk,
)


def learning_rate_scales_the_first_step(subject: Subject) -> None:
    """Twice the rate makes twice the first step, or about; a rate of 0 makes none."""
    values = starts()
    grads = gradients(values, 3)

    def length(lr: float) -> float:
        ends = run(lambda p: subject.make(p, lr=lr), values, grads[:1])
        return sum((e.detach() - v).square().sum().item() for e, v in zip(ends, values)) ** 0.5  # noqa: B905

    once, twice = length(0.01), length(0.02)
    assert once > 0, "its first step moves nothing"
    assert 1.5 < twice / once < 3, f"its first step is {twice / once:.2g} times as long at 2 lr"
    still = [[torch.zeros_like(g) for g in row] for row in grads]
    kept = subject.kept_rate
    for given in (still,) if kept and kept[1] else (grads, still):
        optimizer, params = in_two_groups(subject.make, values)
        for group in optimizer.param_groups:
            group["lr"] = 0.0  # torch's distributed checkpoints make such a step
        walk(optimizer, params, given)
        for value, param in zip(values, params, strict=True):
            assert torch.equal(value, param), "it moves parameters while their group's lr is 0"


def changed_learning_rate_counts_at_once(subject: Subject) -> None:
    """The group's rate is read in each step, wherever in the run and in whichever group it is.

    The next step has to tell, or the one after it where the rate is kept in the state for one, as
    ASGD's is. A rate of 0 need not halt it: momentum that contains the rate goes on.
    """
    values = starts()
    name, own = subject.kept_rate or ("", False)
    after = 2 if name else 1
    ends = [_changed(make, values, 3, 3, 0, "lr", 0.04) for make in (subject.make, subject.plain)]
    subject.same(ends[0], ends[1], "after the lr has changed")
    if own:
        raise NotApplicable(f"its {name} starts from lr, and each element's goes its own way")
    for before in (1, 2, 5):
        kept = _changed(subject.make, values, before, after, 0, "lr", 0.01)
        for number in (0, 1):
            for lr in (0.0, 0.04):
                got = _changed(subject.make, values, before, after, number, "lr", lr)
                _only_there(
                    got, kept, number, f"lr from 0.01 to {lr} after {before} steps", every=True
                )


def changed_options_count_at_once(subject: Subject) -> None:
    """Weight decay, momentum, betas and eps are read from the group in each step."""
    values = starts()
    applies = False
    for name, value, other in _options(subject):
        applies = True
        after = 1 if name == "weight_decay" else 3  # a beta may count in what is kept alone
        ends = [
            _changed(make, values, 12, after, 1, name, other)
            for make in (subject.make, subject.plain)
        ]
        subject.same(ends[0], ends[1], f"after {name} has changed")
        kept = _changed(subject.make, values, 12, after, 1, name, value)
        _only_there(ends[0], kept, 1, f"{name} from {value} to {other}")
    if not applies:
        raise NotApplicable("its groups have none of weight_decay, eps, momentum and betas but 0")


def groups_have_their_own_options(subject: Subject) -> None:
    values = starts()
    grads = gradients(values, 10)
    for name, common, own in (("lr", 0.01, 0.03), *_options(subject)):
        params = parameters(values)
        groups = [{"params": params[:2], name: own}, {"params": params[2:]}]
        got = walk(subject.make(groups, **{name: common}), params, grads)
        alone = [
            run(_with(subject.plain, name, value), values[part], [row[part] for row in grads])
            for part, value in ((GROUPS[0], own), (GROUPS[1], common), (GROUPS[0], common))
        ]
        subject.same(got, [*alone[0], *alone[1]], f"with {name}={own} in a group of {common}")
        differ = any(apart(a, b) for a, b in zip(alone[0], alone[2], strict=True))
        assert differ, f"it goes with {name}={own} as it does with {name}={common}"


def tensor_learning_rate(subject: Subject) -> None:
    """A tensor as lr is read in each step, so that it can be filled with another rate."""
    values = starts()
    grads = gradients(values, 6)
    rate = torch.tensor(0.02, dtype=torch.float64)
    params, others = parameters(values), parameters(values)
    try:
        optimizer = subject.make(params, lr=rate)
        walk(optimizer, params, grads[:3])
    except (TypeError, ValueError, RuntimeError) as error:
        raise NotApplicable(f"it refuses a tensor as lr: {error}") from error
    assert rate.item() == 0.02, "it changes the tensor given as lr"
    rate.fill_(0.05)
    by_number = subject.plain(others, lr=0.02)
    walk(by_number, others, grads[:3])
    by_number.param_groups[0]["lr"] = 0.05
    got, expected = walk(optimizer, params, grads[3:]), walk(by_number, others, grads[3:])
    subject.same(got, expected, "with a tensor as lr, filled anew on the way")
    late, params = subject.make(others := parameters(values), lr=0.02), others
    walk(late, params, grads[:3])
    late.param_groups[0]["lr"] = torch.tensor(0.05, dtype=torch.float64)
    subject.same(walk(late, params, grads[3:]), expected, "with an lr that became a tensor")


def maximizes(subject: Subject) -> None:
    """It goes up with ``maximize`` as it goes down on the negative; each group as it says."""
    if not subject.accepts("maximize"):
        raise NotApplicable("it has no argument maximize")
    values = starts()
    grads = gradients(values, 6)
    negative = [[-g for g in row] for row in grads]
    given = {**subject.options, "maximize": False}
    expected = run(lambda p: subject.plain(p, **given), values, grads)
    got = run(lambda p: subject.make(p, maximize=True), values, negative)
    subject.same(got, expected, "maximizing the negative")
    params = parameters(values)
    groups = [{"params": params[:2], "maximize": True}, {"params": params[2:], "maximize": False}]
    mixed = [[*n[:2], *g[2:]] for n, g in zip(negative, grads, strict=True)]
    subject.same(walk(subject.make(groups), params, mixed), expected, "maximizing in one group")


def _options(subject: Subject) -> Iterator[tuple[str, Any, Any]]:
    """(name, value, another value) of the options that each group has, and that matter."""
    group = subject.make(parameters(starts())).param_groups[0]
    for name in ("weight_decay", "momentum", "betas", "eps"):
        value = group.get(name)
        if isinstance(value, bool) or value is None:
            continue
        if name == "weight_decay":
            yield name, value, value + 0.5
        elif name == "eps":  # which may be the least that a norm is taken for
            yield name, value, value + 100.0
        elif isinstance(value, Real):
            if value:  # torch's own RMSprop has no buffer where it is turned on later
                yield name, value, 0.9 * value  # type: ignore[operator]
        elif isinstance(value, Sequence):
            for i, beta in enumerate(value):
                if beta:
                    yield name, value, (*value[:i], 0.9 * beta, *value[i + 1 :])


def _with(make: Make, name: str, value: Any) -> Callable[..., Optimizer]:
    return lambda params: make(params, **{name: value})


def _changed(
    make: Make, values: list[Tensor], before: int, after: int, number: int, name: str, value: Any
) -> list[Any]:
    """The ends of a run of two groups, one's option changed after ``before`` steps."""
    grads = gradients(values, before + after)
    optimizer, params = in_two_groups(lambda p: make(p, lr=0.01), values)
    walk(optimizer, params, grads[:before])
    optimizer.param_groups[number][name] = value
    return walk(optimizer, params, grads[before:])


def _only_there(
    got: list[Any], kept: list[Any], number: int, what: str, *, every: bool = False
) -> None:
    """A change of one group's option tells in it, in any or ``every`` parameter, and there alone.

    Every parameter of several elements: the steps of one alone may undo each other.
    """
    pairs = list(zip(got[GROUPS[number]], kept[GROUPS[number]], strict=True))
    tells = [apart(a, b) for a, b in pairs if a.numel() >= 5]
    assert all(tells) if every else any(tells), f"it does not follow group {number}'s {what}"
    rest = zip(got[GROUPS[1 - number]], kept[GROUPS[1 - number]], strict=True)
    assert not any(apart(a, b) for a, b in rest), (
        f"group {1 - number} follows group {number}'s {what}"
    )


CHECKS = (
    learning_rate_scales_the_first_step, changed_learning_rate_counts_at_once,
    changed_options_count_at_once, groups_have_their_own_options, tensor_learning_rate, maximizes,
)  # fmt: skip
