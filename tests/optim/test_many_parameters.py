"""The first step of many parameters, and of many groups: what it asks of Python, counted."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
import torch
from torch import nn

from slalom import optim


def made(n: int, *, grouped: bool = False) -> Any:
    """An optimizer of so many parameters, each with a gradient, before its first step."""
    params = [nn.Parameter(torch.full((3,), i / n)) for i in range(n)]
    for p in params:
        p.grad = p.detach() - 0.5
    groups = [{"params": [p], "lr": 1e-3 * (1 + i)} for i, p in enumerate(params)]
    return optim.Adam(groups if grouped else params)


def calls(optimizer: Any) -> int:
    """How many functions of Python and of C a step calls."""
    n = [0]

    def count(frame: Any, event: str, argument: Any) -> None:
        n[0] += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        optimizer.step()
    finally:
        sys.setprofile(before)
    return n[0]


@pytest.mark.parametrize("grouped", [False, True])
def test_a_first_step_grows_as_its_parameters_do(grouped: bool) -> None:
    calls(made(60, grouped=grouped))  # what is traced and compiled once
    few, some, many = (calls(made(n, grouped=grouped)) for n in (60, 120, 240))
    assert many - some < 2.1 * (some - few)
    assert many < 240 * (190 if grouped else 97)


@pytest.mark.parametrize("grouped", [False, True])
def test_later_steps_ask_nothing_of_one_parameter_after_another(grouped: bool) -> None:
    found = []
    for n in (60, 240):
        optimizer = made(n, grouped=grouped)
        optimizer.step()
        optimizer.step()
        found.append(calls(optimizer))
    assert found[1] - found[0] <= (180 * 8 if grouped else 0), found


def test_what_comes_to_stay_is_not_looked_through_again_and_again() -> None:
    optimizer, found = made(3000), []
    gc.callbacks.append(lambda phase, info: found.append(phase))
    try:
        optimizer.step()
    finally:
        gc.callbacks.pop()
    assert len(found) < 20
    assert gc.isenabled()


@pytest.mark.parametrize("collecting", [False, True])
def test_whether_python_collects_is_left_as_it_was(collecting: bool) -> None:
    optimizer = made(3)
    optimizer.param_groups[0]["lr"] = "much"
    before = gc.isenabled()
    (gc.enable if collecting else gc.disable)()
    try:
        with pytest.raises(Exception, match="much"):
            optimizer.step()
        assert gc.isenabled() is collecting
        optimizer.param_groups[0]["lr"] = 0.1
        optimizer.step()
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if before else gc.disable)()


def turned(p: nn.Parameter) -> None:
    p.grad, p.data = None, p.data.t()
    p.grad = torch.rand(4, 3).t()


def negative(p: nn.Parameter) -> None:
    p.grad = torch.ops.aten._neg_view(torch.rand(4, 3))


def another_dtype(p: nn.Parameter) -> None:
    p.grad = None
    p.grad_dtype = torch.float64  # type: ignore[attr-defined]
    p.grad = torch.rand(4, 3, dtype=torch.float64)


def gaps(p: nn.Parameter) -> None:
    p.grad = torch.rand(4, 6)[:, ::2]


def its_own_gradient(p: nn.Parameter) -> None:
    p.grad = p.detach()


def empty(p: nn.Parameter) -> None:
    p.grad, p.data = None, torch.zeros(0, 3)
    p.grad = torch.zeros(0, 3)


def sparse(p: nn.Parameter) -> None:
    p.grad = torch.rand(4, 3).to_sparse(1)


def frozen(p: nn.Parameter) -> None:
    p.grad = None


ODD = [turned, negative, another_dtype, gaps, its_own_gradient, empty, sparse, frozen]


@pytest.mark.filterwarnings("ignore:Adam runs without machine code")
@pytest.mark.parametrize("odd", ODD)
def test_one_that_is_odd_is_seen_among_many_that_are_alike(odd: Any) -> None:
    def params() -> list[nn.Parameter]:
        torch.manual_seed(3)
        found = [nn.Parameter(torch.rand(4, 3)) for _ in range(6)]
        for p in found:
            p.grad = torch.rand(4, 3)
        odd(found[3])
        return found

    together, apart = params(), params()
    optimizers = [optim.Adam(together), *(optim.Adam([p]) for p in apart)]
    for _ in range(2):
        for optimizer in optimizers:
            optimizer.step()
    assert all(map(torch.equal, together, apart))
