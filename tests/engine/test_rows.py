"""Slots that stay in the rows they were sorted into, and those that have to be sorted anew."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import slalom
from slalom import optim
from slalom.backends import using
from slalom.backends.row import Row, Together
from slalom.engine import sorting
from slalom.engine.plan import Plan

N = 12


@slalom.rule(numbers=("pace",), init={"pace": 1})
def paced(param, grad, velocity, pace, *, step, lr=0.1):
    """A rule with a number of its own, which halves the step where it has grown."""
    pace = pace * 0.9 if pace > 0.5 else pace + 0.3 / step
    velocity = 0.9 * velocity + grad
    return param - lr * pace * velocity, velocity, pace


Edit = Callable[[list[nn.Parameter], Any, int], None]


def _numbers(params: list[nn.Parameter], optimizer: Any, step: int) -> None:
    for i, p in enumerate(params):
        optimizer.state[p]["pace"].fill_(0.2 + 0.1 * ((i * step) % 7))


def _numbers_of_some(params: list[nn.Parameter], optimizer: Any, step: int) -> None:
    for p in params[step % 3 :: 3]:
        optimizer.state[p]["pace"].fill_(0.3)


def _counts(params: list[nn.Parameter], optimizer: Any, step: int) -> None:
    for i, p in enumerate(params):
        optimizer.state[p]["step"].fill_(1 + i * step)


def _absent(params: list[nn.Parameter], optimizer: Any, step: int) -> None:
    for i, p in enumerate(params):
        if (i + step) % 3 == 0:
            p.grad = None


def _dtypes(params: list[nn.Parameter], optimizer: Any, step: int) -> None:
    for i, p in enumerate(params):
        if (i + step) % 2:
            p.grad_dtype = None
            p.grad = p.grad.double()  # type: ignore[union-attr]


@pytest.mark.parametrize("edit", [_numbers, _numbers_of_some, _counts, _absent, _dtypes])
@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize("many", [2, 4, sorting.MANY])
def test_each_parameter_goes_as_it_would_alone(
    edit: Edit, backend: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One optimizer of all, against one for each, which never has more than one row."""
    monkeypatch.setattr(sorting, "MANY", many)
    torch.manual_seed(0)
    kind = slalom.optimizer(paced)
    together = [nn.Parameter(torch.randn(5)) for _ in range(N)]
    apart = copy.deepcopy(together)
    with using(backend):
        whole, own = kind(together), [kind([p]) for p in apart]
        states = {p: o.state[p] for p, o in zip(apart, own, strict=True)}
        for step in range(1, 9):
            for p, q in zip(together, apart, strict=True):
                p.grad = torch.randn(5)
                q.grad = p.grad.clone()
            if step > 1:
                edit(together, whole, step)
                edit(apart, type("", (), {"state": states}), step)
            whole.step()
            for o in own:
                o._plan = None  # a fresh look each time
                o.step()
                states[o.param_groups[0]["params"][0]] = o.state[o.param_groups[0]["params"][0]]
            for p, q in zip(together, apart, strict=True):
                assert torch.equal(p, q), step
                for name, value in whole.state[p].items():
                    assert torch.equal(value, states[q][name]), (step, name)


def test_rows_are_kept_where_only_their_numbers_change(monkeypatch: pytest.MonkeyPatch) -> None:
    params = [nn.Parameter(torch.randn(5)) for _ in range(N)]
    optimizer = slalom.optimizer(paced)(params)

    def step(n: int) -> None:
        for p in params:
            p.grad = torch.ones(5)
        if n > 1:
            for i, p in enumerate(params):
                optimizer.state[p]["pace"].fill_(0.01 * (i % 4) + 0.001 * n)
        optimizer.step()

    step(1)
    step(2)
    regroups = []
    own = Plan._regroup
    monkeypatch.setattr(Plan, "_regroup", lambda *a: regroups.append(1) or own(*a))
    for n in range(3, 8):
        step(n)
    assert not regroups
    optimizer.state[params[0]]["pace"].fill_(0.4)  # no longer that of its row
    for p in params:
        p.grad = torch.ones(5)
    optimizer.step()
    assert regroups


@pytest.mark.parametrize("grouped", [False, True])
def test_many_rows_are_computed_at_once(monkeypatch: pytest.MonkeyPatch, grouped: bool) -> None:
    """No row by itself, whatever their numbers, counts and rates become."""
    n = 3 * sorting.MANY
    params = [nn.Parameter(torch.randn(5)) for _ in range(n)]
    groups = [{"params": [p], "lr": 0.1 + 0.01 * i} for i, p in enumerate(params)]
    optimizer = slalom.optimizer(paced)(groups if grouped else params)
    alone, own = [], Row.fill
    monkeypatch.setattr(Row, "fill", lambda *a: alone.append(1) or own(*a))
    for step in range(1, 6):
        for i, p in enumerate(params):
            p.grad = torch.ones(5)
            if step > 1 and not grouped:
                optimizer.state[p]["pace"].fill_(0.3 + 0.001 * (i + step))
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
        optimizer.step()
    assert len(alone) < 4  # in the first step, of a row or two


def test_rows_that_need_another_program_go_on_by_themselves() -> None:
    """One of many numbers comes below the rule's border, where it goes on otherwise."""
    n = 3 * sorting.MANY
    torch.manual_seed(0)
    kind = slalom.optimizer(paced)
    params = [nn.Parameter(torch.randn(5)) for _ in range(n)]
    other = copy.deepcopy(params)
    whole, own = kind(params), [kind([p]) for p in other]
    for step in range(1, 8):
        for i, (p, q, o) in enumerate(zip(params, other, own, strict=True)):
            p.grad = torch.randn(5)
            q.grad = p.grad.clone()
            if step > 1:
                pace = 0.6 + 0.001 * i - 0.2 * (i < step - 3)
                whole.state[p]["pace"].fill_(pace)
                o.state[q]["pace"].fill_(pace)
            o.step()
        whole.step()
        assert all(map(torch.equal, params, other)), step


def test_many_groups_have_their_own_rates() -> None:
    torch.manual_seed(0)
    params = [nn.Parameter(torch.randn(3)) for _ in range(200)]
    others = copy.deepcopy(params)
    ends = []
    for own, lib in ((params, optim), (others, torch.optim)):
        groups = [{"params": [p], "lr": 1e-3 * (i + 1)} for i, p in enumerate(own)]
        optimizer = lib.Adam(groups)
        for _ in range(3):
            for i, p in enumerate(own):
                p.grad = torch.full((3,), 0.1 * i - 5)
            optimizer.step()
        ends.append(torch.stack([p.detach() for p in own]))
    torch.testing.assert_close(*ends)


WANDERING = [
    lambda p: optim.Adam(p),
    lambda p: optim.AdamW(p, amsgrad=True),
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3),
    lambda p: optim.RAdam(p),  # another program from the sixth update on
    lambda p: optim.NAdam(p),  # a number of each parameter's own
    lambda p: optim.LAMB(p),
    lambda p: optim.Adam(p, clip_norm=0.1),
]


@pytest.mark.parametrize("make", WANDERING)
@pytest.mark.parametrize("grouped", [False, True])
def test_gradients_that_come_and_go(
    make: Callable[..., Any], grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against an optimizer that forgets its plan before each step; few sortings where it may."""
    sorted_anew: list[Any] = []
    sort = sorting.Sorting.sort

    def counted(self: Any, *args: Any) -> None:
        sorted_anew.append(self)
        sort(self, *args)

    monkeypatch.setattr(sorting.Sorting, "sort", counted)
    made = []
    for _ in range(2):
        torch.manual_seed(1)
        params = [nn.Parameter(torch.randn(3, 2)) for _ in range(20)]
        groups = [{"params": params[:7], "lr": 0.05}, {"params": params[7:]}]
        made.append((params, make(groups if grouped else params)))
    plan = None
    for step in range(60):
        torch.manual_seed(step)
        present = torch.rand(20) < (1.0 if step in (0, 40, 41) or step > 43 else 0.5)
        grads = torch.randn(20, 3, 2)
        for i, (params, optimizer) in enumerate(made):
            for p, grad, there in zip(params, grads, present, strict=True):
                p.grad = grad.clone() if there else None
            for group in optimizer.param_groups:  # in every step, seldom, in every step
                group["lr"] *= 1 if step % 20 in range(4, 12) else 0.99
            if i:
                optimizer._plan = None
            optimizer.step()
        assert all(map(torch.equal, made[0][0], made[1][0])), step
        plan = plan or made[0][1]._plan
    rows = plan._sorting.rows  # type: ignore[union-attr]
    elementwise = isinstance(made[0][1], (optim.Adam, optim.AdamW, optim.SGD))
    if elementwise:
        assert made[0][1]._plan is plan
        assert sorted_anew.count(plan._sorting) < 12  # type: ignore[union-attr]
        assert len(rows) < 20  # and again by count, since all were there for long


def test_scalars_are_kept_by_count() -> None:
    """Of many rows as of each by itself, and computed seldom where options stay what they are."""
    rng = np.random.default_rng(0)
    group_of = np.sort(rng.integers(0, 3, 30))
    counts = rng.integers(1, 9, 30).astype(float)
    rate = torch.tensor(0.3)
    options = [{**optim.Adam.rule.hypers, "lr": lr} for lr in (0.1, 0.2, rate)]
    rows = [Row(optim.Adam.rule, g, c, (), ()) for g, c in zip(group_of, counts, strict=True)]
    program = rows[0].choose(options[0], {})
    together = Together(rows, range(30), program)
    inner, computed = program.rows, []
    program.__dict__["rows"] = lambda *a: computed.append(1) or inner(*a)
    try:
        for step in range(150):
            if step < 50:
                options[step % 2]["lr"] *= 0.99
            rate.mul_(1 if step < 50 else 0.9)  # the same object, and another number
            if step == 100:
                options[2]["lr"] = 0.2
                computed.clear()
            counts += rng.integers(0, 2, 30)
            counts[0] += 7 * (step % 40 == 0)  # loaded from elsewhere
            assert together.fill(counts[:, None], options, [{}] * 3)
            for row, count, found in zip(rows, counts, together.values, strict=True):
                alone = program.row(count + 1, False, *row.taken(options[row.group], {}))
                assert found.tobytes() == np.array(alone).tobytes(), step
        assert 0 < len(computed) < 25
    finally:
        del program.__dict__["rows"]


def test_scalars_of_a_group_are_not_taken_for_anothers() -> None:
    """One group comes to the very counts at which the next one began, all of both kept in a row."""
    counts = np.repeat([1.0, 14.0, 50.0], [10, 5, 5])
    options = [{**optim.Adam.rule.hypers, "lr": lr} for lr in (0.1, 0.2)]
    rows = [Row(optim.Adam.rule, i // 10, c, (), ()) for i, c in enumerate(counts)]
    program = rows[0].choose(options[0], {})
    together = Together(rows, range(20), program)
    for _ in range(40):
        assert together.fill(counts[:, None], options, [{}] * 2)
        alone = program.row(counts[0] + 1, False, *rows[0].taken(options[0], {}))
        assert together.values[0].tolist() == list(alone or ())
        counts[:10] += 1
