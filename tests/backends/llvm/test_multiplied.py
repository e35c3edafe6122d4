"""Products between two sweeps by machine code, against float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slalom.backends.llvm import multiplied
from slalom.backends.llvm.multiplied import MOST, between, gram
from slalom.rules import matrices

sides = st.integers(1, 70)


@pytest.fixture(autouse=True)
def machine_code(monkeypatch):
    """It serves, whatever processor this is, and torch does not."""
    monkeypatch.setattr(multiplied, "_is_quicker", lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)

    def none(*given, **options):
        raise AssertionError("torch's product was asked for")

    monkeypatch.setattr(matrices, "between", none)
    monkeypatch.setattr(matrices, "gram", none)


def drawn(rows: int, columns: int, turned: bool, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if turned:
        return torch.randn(columns, rows, generator=generator).mT
    return torch.randn(rows, columns, generator=generator)


def near(found: torch.Tensor, exact: torch.Tensor) -> None:
    assert (found - exact).abs().max() <= 1e-6 * exact.abs().max() * max(1, len(exact)) ** 0.5


@settings(max_examples=60)
@given(
    rows=sides, columns=sides, seed=st.integers(0, 99),
    empty=st.sampled_from(["", "left", "right"]), in_place=st.booleans(),
    turns=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)  # fmt: skip
def test_between_is_that_of_float64(rows, columns, seed, empty, turns, in_place):
    x = drawn(rows, columns, turns[0] and not in_place, seed)
    left = torch.empty(0, 0) if empty == "left" else drawn(rows, rows, turns[1], seed + 1)
    right = torch.empty(0, 0) if empty == "right" else drawn(columns, columns, turns[2], seed + 2)
    exact = x.double()
    exact = left.double() @ exact if left.numel() else exact
    exact = exact @ right.double() if right.numel() else exact
    out = x if in_place else torch.empty(rows, columns)
    assert between(left, x, right, out) is out
    near(out, exact)
    if not in_place:
        assert torch.equal(between(left, x, right), out)


@settings(max_examples=60)
@given(
    rows=sides, columns=sides, seed=st.integers(0, 99), turned=st.booleans(),
    axis=st.sampled_from([0, 1]), in_place=st.booleans(),
)  # fmt: skip
def test_gram_is_that_of_float64(rows, columns, seed, turned, axis, in_place):
    x = drawn(rows, columns, turned, seed)
    matrix = x.double() if axis == 1 else x.double().mT
    onto = drawn(len(matrix), len(matrix), False, seed + 1)
    exact = 0.9 * onto.double() + 0.2 * matrix @ matrix.mT
    version = onto._version
    found = gram(x, axis, onto, 0.9, 0.2, in_place)
    near(found, exact)
    assert (found is onto) == in_place == (onto._version > version)


def test_convolutions_are_matrices_and_what_is_not_finite_stays_so():
    x = torch.randn(5, 3, 2, 2)
    right = torch.linalg.qr(torch.randn(12, 12)).Q
    out = torch.empty_like(x)
    between(torch.empty(0, 0), x, right, out)
    near(out.view(5, 12), x.view(5, 12).double() @ right.double())
    x[0, 0, 0, 0], x[1, 1, 1, 1] = torch.nan, torch.inf
    between(torch.empty(0, 0), x, right, out)
    assert out[0].isnan().all()
    assert not out[1].isfinite().any()
    assert out[2:].isfinite().all()


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.double(), lambda x: x.bfloat16(), lambda x: torch.randn(MOST + 1, 4),
        lambda x: torch.randn(8, 8)[::2, ::2],
    ],
    ids=["float64", "bfloat16", "large", "with gaps"],
)  # fmt: skip
def test_what_it_does_not_serve_goes_to_torch(change, monkeypatch):
    x = change(torch.randn(4, 4))
    square = torch.eye(len(x), dtype=x.dtype)
    for ask in (
        lambda: gram(x, 1, square),
        lambda: between(square, x, torch.empty(0, 0), torch.empty_like(x).contiguous()),
    ):
        with pytest.raises(AssertionError, match="torch's product was asked for"):
            ask()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (5,), ()])
def test_of_what_is_no_matrix_there_is_no_square(shape, monkeypatch):
    monkeypatch.undo()
    x, none = torch.ones(shape), torch.empty(0, 0)
    assert gram(x, 0, none) is none
    assert gram(x, 1, none) is none
    assert torch.equal(between(none, x, none, torch.empty(shape)), x)


def test_the_default_dtype_says_nothing():
    x, onto, right = torch.randn(5, 3), torch.eye(3), torch.randn(3, 3).mT
    none = torch.empty(0, 0)
    expected = 0.5 * onto + x.mT @ x, x @ right
    torch.set_default_dtype(torch.float64)
    found = gram(x, 0, onto, 0.5), between(none, x, right)
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other)


def test_more_threads_go_to_torch(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(AssertionError, match="torch's product was asked for"):
        gram(torch.randn(3, 3), 1, torch.eye(3))
