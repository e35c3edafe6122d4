"""Torch's operations over lists: no more passes than torch's optimizers, and the same values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Parameter

import slalom.optim
from slalom.backends import using
from slalom.backends.foreach.write import _where, function_of
from slalom.ir.known import program_for
from slalom.rules import RULES

SHARED: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}), ("SGD", {"momentum": 0.9, "dampening": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {}), ("Adam", {"amsgrad": True, "weight_decay": 0.1}), ("AdamW", {}), ("Adamax", {}),
    ("NAdam", {}), ("RAdam", {}), ("Adagrad", {}), ("Adadelta", {}), ("ASGD", {}),
    ("RMSprop", {}), ("RMSprop", {"centered": True, "momentum": 0.9}),
]  # fmt: skip


@pytest.fixture
def passes(monkeypatch) -> Iterator[Counter[str]]:
    """The operations over lists that are called, by their names."""
    found: Counter[str] = Counter()

    def counted(name: str, operation: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            found[name] += 1
            return operation(*args, **options)

        return call

    for name in [n for n in dir(torch) if n.startswith("_foreach_")]:
        monkeypatch.setattr(torch, name, counted(name, getattr(torch, name)))
    function_of.cache_clear()  # what is written holds torch's operations
    yield found
    function_of.cache_clear()


@pytest.mark.parametrize(("name", "options"), SHARED, ids=str)
def test_a_step_takes_no_more_passes_than_torchs(name, options, passes):
    def late_step(optimizer: type[torch.optim.Optimizer], **more: Any) -> int:
        params = [Parameter(torch.ones(3)), Parameter(torch.ones(5))]
        for p in params:
            p.grad = torch.ones_like(p)
        made = optimizer(params, **options, **more)
        for _ in range(7):  # RAdam's other branch begins at the sixth
            made.step()
        passes.clear()
        made.step()
        return passes.total()

    with using("foreach"):
        ours = late_step(getattr(slalom.optim, name))
    assert 0 < ours <= late_step(getattr(torch.optim, name), foreach=True)


@pytest.mark.parametrize(
    ("name", "options"),
    [("adam", {}), ("adamax", {}), ("adan", {}), ("rmsprop", {"centered": True})], ids=str,
)  # fmt: skip
def test_factors_that_are_tensors_give_what_numbers_give(name, options):
    rule = RULES[name]
    program = program_for(rule, options, 3, False)
    row = program.row(3, False, *(rule.hypers | options).values())
    (sweep,), results = program.sweeps, []
    assert row is not None
    scalars = row[: len(sweep.scalars)]
    for late in ((), tuple(range(len(scalars)))):
        tensors = {
            n: [torch.linspace(0.1, 0.8, 5) * (1 + 0.02 * i)] for i, n in enumerate(sweep.reads)
        }
        own = [torch.tensor(float(s)) for s in scalars] if late else scalars
        function = function_of(sweep, torch.float32, late, frozenset(), True)
        results.append(function.call(tensors, own))
    torch.testing.assert_close(*results)


SPECIAL = [0.0, -0.0, 1.5, -math.inf, math.inf, math.nan, 1e-45]


@given(
    st.sampled_from([torch.float32, torch.float64]), st.sampled_from(SPECIAL),
    st.sampled_from(SPECIAL), st.sampled_from(["both", "first", "second", "neither"]),
    st.booleans(),
)  # fmt: skip
def test_a_choice_by_bits_is_a_choice(dtype, a, b, single, turned):
    """Of single numbers and of tensors, to the bit, in any layout."""
    torch.manual_seed(0)
    condition = torch.rand(3, 3001) < 0.5
    x, y = torch.rand(3, 3001, dtype=dtype), torch.rand(3, 3001, dtype=dtype)
    x[0], y[1] = a, b
    if turned:
        condition, x, y = condition.t(), x.t(), y.t()
    x = torch.tensor(a, dtype=dtype) if single in ("both", "first") else x
    y = torch.tensor(b, dtype=dtype) if single in ("both", "second") else y
    expected, found = torch.where(condition, x, y), _where(condition, x, y)
    bits = torch.int32 if dtype == torch.float32 else torch.int64
    assert (found.dtype, found.stride()) == (dtype, expected.stride())
    assert torch.equal(found.contiguous().view(bits), expected.contiguous().view(bits))
