"""The words of a rule mean the same on numbers and on tensors of any dtype and device."""

from __future__ import annotations

import inspect
import math

import pytest
import torch

from slalom.rules import (
    absolute,
    adaptive,
    atan2,
    cautious,
    descent,
    log,
    maximum,
    minimum,
    moments,
    parts,
    rule,
    sign,
    signs,
    sqrt,
    where,
)

NUMBERS = [-2.5, -1.0, -0.0, 0.0, 0.3, 4.0, math.inf, -math.inf, math.nan]


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("function", [absolute, sign])
def test_of_one(function):
    values = torch.tensor(NUMBERS, dtype=torch.float64)
    for x, y in zip(NUMBERS, function(values).tolist(), strict=True):
        assert same(float(function(x)), y)


def test_root():
    values = torch.tensor([0.0, 0.25, 2.0], dtype=torch.float64)
    assert [sqrt(x) for x in values.tolist()] == sqrt(values).tolist()


@pytest.mark.parametrize("function", [maximum, minimum])
def test_of_two(function):
    for a in NUMBERS:
        for b in NUMBERS:
            tensor = torch.tensor(a, dtype=torch.float64)
            for result in (function(tensor, b), function(b, tensor)):
                assert same(result.item(), function(a, b))


def test_angle():
    for y in NUMBERS:
        for x in NUMBERS:
            of_y, of_x = (torch.tensor(v, dtype=torch.float64) for v in (y, x))
            for result in (atan2(of_y, x), atan2(y, of_x), atan2(of_y, of_x)):
                assert result.item() == pytest.approx(math.atan2(y, x), rel=1e-15, nan_ok=True)


def test_logarithm():
    assert log(2.0) == math.log(2)
    assert log(torch.tensor(2.0, dtype=torch.float64)).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_where_keeps_its_numbers_exact(dtype):
    """Also the numbers that float32, the default dtype, does not hold."""
    x = torch.tensor([1.0, -1.0, 0.0], dtype=dtype)
    factor = where(x > 0, 1.2, where(x < 0, 0.1, 0.3))
    assert factor.tolist() == [1.2, 0.1, 0.3]
    assert where(x > 0, 1.2, x).dtype == dtype
    assert where(True, 1.2, 0.1) == 1.2


def test_torchs_eleven_rules_fit_in_400_lines():
    """With all else that stands in their files, and the pieces they share."""
    files = [adaptive, descent, moments, parts, signs]
    assert sum(len(inspect.getsource(f).splitlines()) for f in files) <= 400


def test_cautious_keeps_signature_and_declarations():
    @rule(numbers=("count",), init={"count": 3, "buffer": "start"}, search={"lr": (0.1, 1.0)})
    def base(param, grad, count, buffer, *, lr=0.1, start=2.0):
        """Base (Somebody 2000)."""
        return param - lr * buffer * grad, count + 1, buffer

    made = cautious(base)
    assert made.name == "cautious_base"
    assert made.arguments == base.arguments
    assert made.numbers == base.numbers
    assert (made.hypers, made.init, made.search) == (base.hypers, base.init, base.search)
    assert "Base (Somebody 2000)" in made.title
    assert made(1.0, 1.0, 3, 2.0, lr=0.1) == (0.8, 4, 2.0)
    assert made(1.0, 1.0, 3, -2.0, lr=0.1) == (1.0, 4, -2.0)
