"""Jobs on matrices against float64, whatever their sizes and the processor's vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from slalom.backends.llvm import dense as code
from slalom.backends.llvm.dense import Dense, dense
from slalom.backends.llvm.jit import jit

SIZES = st.integers(1, 70)
EPS = float(np.finfo(np.float32).eps)


@pytest.fixture(scope="module", params=["own", "narrow"])
def machine(request: pytest.FixtureRequest) -> Dense:
    """With the vectors of this processor, and with those that every one has."""
    return dense() if request.param == "own" else Dense(4, 2)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run(machine: Dense, *jobs: list[int]) -> None:
    machine.run(np.array(jobs, np.int64))


def at(array: Any) -> tuple[int, int]:
    address = array.ctypes.data if isinstance(array, np.ndarray) else array.data_ptr()
    return address, array.shape[-1]


def around(rows: int, columns: int) -> np.ndarray:
    """A matrix in one that is wider and higher, whose rim nobody may write."""
    return np.full((rows + 2, columns + 3), 7.0, np.float32)


@settings(max_examples=60, deadline=None)
@given(rows=SIZES, columns=SIZES, depth=SIZES, turned=st.booleans(), ends=st.integers(0, 3))
def test_a_product_is_numpys_and_writes_nothing_else(
    machine: Dense, rows: int, columns: int, depth: int, turned: bool, ends: int
) -> None:
    a, b = random(rows, depth), random(depth, columns, seed=1)
    bias, sign = random(rows, seed=2), random(rows + 2, columns + 3, seed=3)
    into = around(rows, columns)
    lies = np.ascontiguousarray(a.T) if turned else a
    left = lies.ctypes.data, *((1, rows) if turned else (depth, 1))
    wanted = a.astype(float) @ b
    more: dict[str, Any] = {}
    if ends == 1:
        wanted, more = wanted + bias[:, None], {"bias": bias.ctypes.data}
    elif ends == 2:
        wanted, more = np.maximum(wanted, 0), {"floor": 0.0}
    elif ends == 3:
        wanted = np.where(sign[1:-1, 1:-2] > 0, wanted, 0)
        more = {"positive": sign[1:, 1:].ctypes.data}
    run(
        machine,
        code.product(
            rows, columns, depth, left, at(b), (into[1:, 1:].ctypes.data, columns + 3), **more
        ),
    )
    size = np.abs(a.astype(float)) @ np.abs(b) + 4
    assert np.all(np.abs(into[1:-1, 1:-2] - wanted) <= depth * EPS * size)
    into[1:-1, 1:-2] = 7.0
    assert np.all(into == 7.0)


@settings(max_examples=30, deadline=None)
@given(rows=SIZES, columns=SIZES)
def test_rows_become_columns_and_are_summed(machine: Dense, rows: int, columns: int) -> None:
    a, into, sums = random(rows, columns), around(columns, rows), np.full(rows + 1, 7, np.float32)
    run(
        machine,
        code.transpose(rows, columns, at(a), (into[1:, 1:].ctypes.data, rows + 3)),
        code.row_sums(rows, columns, at(a), sums.ctypes.data),
    )
    assert np.array_equal(into[1:-1, 1:-2], a.T)
    into[1:-1, 1:-2] = 7.0
    assert np.all(into == 7.0)
    np.testing.assert_allclose(sums[:-1], a.sum(1, dtype=float), atol=columns * EPS * 4)
    assert sums[-1] == 7


WIDE = torch.cat([
    torch.linspace(-90, 90, 500), torch.logspace(-30, 2, 300), -torch.logspace(-30, 2, 300),
    torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan")]),
])  # fmt: skip


@pytest.mark.parametrize("kind", ["tanh", "sigmoid"])
def test_activations_and_their_slopes_are_torchs(machine: Dense, kind: str) -> None:
    n = WIDE.numel()
    found = torch.zeros(1, machine.stride(n))
    found[0, :n] = WIDE
    slope = torch.ones_like(found)
    run(
        machine,
        code.activation(kind, 1, n, at(found)),
        code.activation(f"{kind}_slope", 1, n, at(slope), found.data_ptr()),
    )
    x = WIDE.double().requires_grad_()
    wanted = getattr(torch, kind)(x)
    wanted.sum().backward()
    torch.testing.assert_close(
        found[0, :n].double(), wanted, rtol=4 * EPS, atol=1e-37, equal_nan=True
    )
    torch.testing.assert_close(slope[0, :n].double(), x.grad, rtol=0, atol=4 * EPS, equal_nan=True)


def laid(machine: Dense, of_samples: torch.Tensor) -> torch.Tensor:
    """(samples, features) feature after feature, with room to the end of a vector."""
    n, features = of_samples.shape
    found = torch.zeros(features, machine.stride(n))
    found[:, :n] = of_samples.T
    return found


LOSSES: dict[str, Any] = {
    "cross_entropy": F.cross_entropy, "squared_error": F.mse_loss,
    "binary_entropy": F.binary_cross_entropy_with_logits,
}  # fmt: skip


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize(("n", "features"), [(64, 10), (33, 7), (3, 2), (1, 1)])
@pytest.mark.parametrize("kind", LOSSES)
def test_losses_and_their_gradients_are_torchs(
    machine: Dense, kind: str, n: int, features: int, scale: float
) -> None:
    drawn = torch.Generator().manual_seed(n)
    z = torch.randn(n, features, generator=drawn) * scale
    own = torch.rand(n, features, generator=drawn)
    if kind == "cross_entropy":
        own = torch.randint(0, features, (n,), generator=drawn)
    lies = own if kind == "cross_entropy" else laid(machine, own)
    outputs, into, told = laid(machine, z), laid(machine, z) * 0, torch.zeros(3)
    each = 1 if kind == "cross_entropy" else features
    job = code.loss_of(
        kind, n, features, at(outputs), lies.data_ptr(), into.data_ptr(), 1 / (n * each),
        told.data_ptr(), taught=True,
    )  # fmt: skip
    run(machine, job)
    double = z.double().requires_grad_()
    wanted = LOSSES[kind](double, own if kind == "cross_entropy" else own.double())
    wanted.backward()
    assert told[0].item() / (n * each) == pytest.approx(wanted.item(), rel=2e-6, abs=2e-7)
    most = max(1.0, double.grad.abs().max().item() * n * each)
    torch.testing.assert_close(
        into[:, :n].T.double(), double.grad, rtol=0, atol=8 * EPS * most / (n * each)
    )
    if kind == "cross_entropy":
        assert told[1].item() == n
        assert told[2].item() == (z.argmax(1) == own).sum().item()


def test_of_equal_outputs_the_first_is_the_class_that_is_told(machine: Dense) -> None:
    z, own = torch.zeros(5, 3), torch.tensor([0, 1, 2, 0, 7])
    outputs, into, told = laid(machine, z), laid(machine, z), torch.zeros(3)
    job = code.loss_of(
        "cross_entropy", 5, 3, at(outputs), own.data_ptr(), into.data_ptr(), 1.0, told.data_ptr(),
        taught=False,
    )  # fmt: skip
    run(machine, job)
    assert told[1:].tolist() == [4, 2]  # there is no class 7


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_what_is_no_number_is_lost_nowhere(machine: Dense, bad: str) -> None:
    z, own = torch.zeros(20, 3), torch.zeros(20, dtype=torch.int64)
    z[17, 1] = float(bad)
    outputs, into, told = laid(machine, z), laid(machine, z), torch.zeros(3)
    slope = torch.zeros_like(into)
    for kind, targets in (
        ("cross_entropy", own),
        ("binary_entropy", outputs),
        ("squared_error", into),
    ):
        job = code.loss_of(
            kind, 20, 3, at(outputs), targets.data_ptr(), slope.data_ptr(), 1.0,
            told.data_ptr(), taught=True,
        )  # fmt: skip
        run(machine, job)
        assert not torch.isfinite(told[0])


def test_vectors_are_those_of_the_processor() -> None:
    width, columns = jit().vector
    assert (width, columns) in {(4, 2), (4, 4), (8, 2), (16, 4)}
    assert [dense().stride(n) // width % 2 for n in (65, 450, 1000)] == [1, 1, 1]
