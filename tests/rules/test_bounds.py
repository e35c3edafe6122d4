"""Intervals as they are written, and classes that take what is inside and refuse what is not."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import slalom
from drawn import hypers_of
from slalom.rules import RULES
from slalom.rules.bounds import Choice, Interval, bound, place

ends = st.floats(-1e6, 1e6) | st.integers(-10, 10)


@given(ends, ends, st.booleans(), st.booleans(), ends)
def test_an_interval_holds_what_lies_between(low, high, closed_below, closed_above, value):
    low, high = sorted((low, high))
    text = f"{'[' if closed_below else '('}{low}, {high}{']' if closed_above else ')'}"
    if low == high and not (closed_below and closed_above):
        with pytest.raises(ValueError, match="holds no number"):
            Interval.of(text)
        return
    interval = Interval.of(text)
    assert (value in interval) == (low < value < high or value in interval_ends(interval))
    assert math.nan not in interval
    assert (torch.tensor(float(value), dtype=torch.float64) in interval) == (value in interval)
    assert str(interval) == f"in {text}"


def interval_ends(interval: Interval) -> list[float]:
    both = zip((interval.low, interval.high), interval.closed, strict=True)
    return [end for end, belongs in both if belongs]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">= 0", [0, 0.0, 1e300, math.inf], [-1e-300, math.nan, -math.inf]),
        ("> 0", [1e-300, math.inf], [0, -0.0]),
        ("<= 1", [1, -math.inf], [1.0000001, math.inf]),
        ("<1", [0.999], [1]),
        ("[0,1)", [0, 0.999], [1, -1e-9]),
        ("(-inf, inf)", [0, -1e300], [math.inf, math.nan]),
        ("[2, 2]", [2], [2.1]),
    ],
)
def test_what_is_written(text, inside, outside):
    interval = Interval.of(text)
    assert all(value in interval for value in inside)
    assert not any(value in interval for value in outside)


@pytest.mark.parametrize("text", ["", "0", "[0, 1", "0, 1", ">= x", "=> 0", "[0; 1]", ">= 0, < 1"])
def test_what_is_no_interval(text):
    with pytest.raises(ValueError, match='is no interval; write ">= 0"'):
        Interval.of(text)
    with pytest.raises(ValueError, match="is no choice"):
        bound([])


def test_a_choice_holds_its_words():
    made = bound(["a", "b", "c"])
    assert made == Choice(("a", "b", "c"))
    assert "b" in made
    assert "d" not in made
    assert str(made) == "'a' or 'b' or 'c'"


def test_which_number_of_several_is_meant():
    assert place("betas[1]") == ("betas", 1)
    assert place("lr") == ("lr", None)
    assert place("betas[-1]") == ("betas[-1]", None)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=20)
@given(data=st.data())
def test_a_class_takes_what_lies_within(rule, data):
    hypers = data.draw(hypers_of(rule))
    made = getattr(slalom.optim, rule.class_name)
    group = made([torch.nn.Parameter(torch.ones(2))], **hypers).param_groups[0]
    # what torch's class lacks is there only where it is not the default
    assert {n: group.get(n, rule.hypers[n]) for n in hypers} == hypers
