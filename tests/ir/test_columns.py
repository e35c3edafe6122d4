"""Scalars computed for many rows at once, against the same row by row, to the bit."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slalom.ir.program import Program, trace
from slalom.rules import RULES, absolute, atan2, log, maximum, minimum, rule, sign, sqrt
from slalom.rules.definition import REQUIRED


@rule(numbers=("pace", "other"), init={"pace": 1, "other": 2})
def every_operation(param, grad, pace, other, *, step, lr=0.1, pair=(0.5, 0.999)):
    """All that may be done with numbers."""
    a, b = pair
    if step > 3:
        pace = pace * 0.9 + ((other > pace) + (pace >= lr)) * (other != 0.25)
    other = sqrt(absolute(other)) / (1 - b**step) + step**0.3 - maximum(pace, minimum(other, a))
    pace = (
        atan2(pace, other)
        + log(step)
        + step % 3
        - sign(pace - 0.3) * (-other)
        + absolute(other) ** a
    )
    return param - lr * pace * grad + other, pace, other


def bits(numbers) -> bytes:
    """Of NaNs none is told from another."""
    return struct.pack(f"{len(numbers)}d", *(float("nan") if n != n else n for n in numbers))


def agrees(program: Program, counts, numbers, options, group_of) -> bool:
    """Whether the columns were served; they are what the rows are one by one, if so."""
    found = program.rows(np.array(counts), np.array(numbers), options, np.array(group_of))
    if found is None:
        return False
    for row, count, own, group in zip(found, counts, numbers, group_of, strict=True):
        alone = program.row(count + 1, count == 0, *options[group], *own)
        assert alone is not None
        assert bits(row.tolist()) == bits(alone)
    return True


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("alike", [True, False])
def test_every_rule(name: str, alike: bool) -> None:
    own = RULES[name]
    rng = np.random.default_rng(0)
    usual = {n: 1e-3 if d is REQUIRED else d for n, d in own.hypers.items()}
    # of one program, whichever rule it is
    counts = [11.0 if alike else 11.0 + i % 3 for i in range(9)]
    numbers = [[rng.uniform(0.1, 0.9) for _ in own.numbers] for _ in counts]
    program = trace(own, usual, step=12, first=False, numbers=numbers[0])
    others = {  # an interval stays a whole number
        n: v * 0.9375 if isinstance(v, float) and n in program.shapes else v
        for n, v in usual.items()
    }
    options = [tuple(usual.values()), tuple(others.values())]
    assert agrees(program, counts, numbers, options, [i % 2 for i in range(len(counts))])


some = st.floats(-1e3, 1e3) | st.sampled_from([0.0, -0.0, 0.25, 1.0, 1e308, -1e-308])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), some, some, st.integers(0, 1)), min_size=2, max_size=6),
    st.tuples(some, some),
    st.tuples(st.floats(0.01, 0.9), st.floats(0, 1)),
)
def test_every_operation_is_the_same_or_not_served(rows, rates, pair) -> None:
    counts, paces, others, groups = zip(*rows, strict=True)
    options = [(rates[0], pair), (rates[1], (0.5, 0.999))]
    given_ = [float(c) for c in counts], list(zip(paces, others, strict=True)), options, groups
    agrees(_late(), *given_)
    agrees(_early(), *given_)


def _late() -> Program:
    return trace(every_operation, {}, step=9, first=False, numbers=[0.5, 0.5])


def _early() -> Program:
    return trace(every_operation, {}, step=1, first=True, numbers=[0.5, 0.5])


def test_every_operation_is_served() -> None:
    assert agrees(_late(), [4.0, 5.0, 6.0], [[0.2, 3.0], [-0.3, 0.5], [0.4, 0.25]],
                  [(0.1, (0.5, 0.999))], [0, 0, 0])  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "rate", "flag"),
    [
        ([3.0, 4.0], 0.1, False),  # the branch on the step comes out otherwise in the second row
        ([8.0, 9.0], "0.1", False),  # float would read it
        ([8.0, 9.0], None, False),
        ([8.0, 9.0], 0.0, False),  # divided by
        ([8.0, 9.0], -1.5, False),  # a root of a negative number
        ([8.0, 9.0], -3.0, False),  # a power of one
        ([8.0, 9.0], 0.1, True),
    ],
)
def test_what_one_row_has_to_itself_is_not_served(counts, rate, flag) -> None:
    @rule(numbers=("pace",), init={"pace": 1})
    def picky(param, grad, pace, *, step, lr=0.1, flag=False):
        pace = pace / lr + (lr + 2) ** 0.5 + sqrt(lr + 1) + (1.0 if step > 4 else step)
        return param - (-pace if flag else pace) * grad, pace

    program = trace(picky, {}, step=9, first=False)
    options = [(0.1, False), (rate, flag)]
    numbers = [[1.0], [2.0]]
    assert agrees(program, [8.0, 9.0], numbers, options[:1], [0, 0])
    assert not agrees(program, counts, numbers, options, [0, 1])
