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


def tail(x: torch.Tensor) -> torch.Tensor:
    """The normal distribution up to x, whose tail keeps its digits."""
    return torch.erfc(-x / 2**0.5) / 2


ACTIVATIONS: dict[str, tuple[Any, tuple[float, ...]]] = {
    "relu": (F.relu, ()), "tanh": (torch.tanh, ()), "sigmoid": (torch.sigmoid, ()),
    "silu": (F.silu, ()), "gelu": (lambda x: x * tail(x), ()),
    "gelu_tanh": (lambda x: x * torch.sigmoid((8 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)), ()),
    "mish": (F.mish, ()), "elu": (lambda x: 3 * F.elu(x / 3, 0.7), (2.1, 1.0, 1 / 3)),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1), (0.1,)),
    "softplus": (lambda x: F.softplus(x, 2, 15), (2.0, 15.0)), "log_sigmoid": (F.logsigmoid, ()),
    "hardtanh": (lambda x: F.hardtanh(x, -2, 1.5), (-2.0, 1.5)),
    "hardsigmoid": (F.hardsigmoid, ()), "hardswish": (F.hardswish, ()),
    "softsign": (F.softsign, ()),
}  # fmt: skip

TAILS = {"gelu": 100, "gelu_tanh": 100, "silu": 100, "mish": 100, "softplus": 100,
         "log_sigmoid": 100, "sigmoid": 100}  # fmt: skip
"""Units of rounding of an exponential of what is far below 0; those are of its argument."""


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_and_their_slopes_are_torchs(machine: Dense, kind: str) -> None:
    function, numbers = ACTIVATIONS[kind]
    n = WIDE.numel()
    found, slope = torch.zeros(2, 1, machine.stride(n))
    found[0, :n] = WIDE
    run(machine, code.activation(kind, 1, n, at(found), slope.data_ptr(), numbers))
    x = WIDE.double().requires_grad_()
    wanted = function(x)
    wanted.sum().backward()
    there = WIDE.isfinite()  # of infinities torch's own slopes are NaN, or not
    units = TAILS.get(kind, 4)
    torch.testing.assert_close(
        found[0, :n].double()[there], wanted[there], rtol=units * EPS, atol=2e-36
    )
    near = there & (WIDE.abs() < 1)
    torch.testing.assert_close(found[0, :n].double()[near], wanted[near], rtol=6 * EPS, atol=1e-37)
    torch.testing.assert_close(slope[0, :n].double()[there], x.grad[there], rtol=0, atol=20 * EPS)
    alone = torch.zeros(1, machine.stride(n))
    alone[0, :n] = WIDE
    run(machine, code.activation(kind, 1, n, at(alone), 0, numbers))  # without its slopes
    assert torch.equal(alone.nan_to_num(), found.nan_to_num())
    assert torch.equal(found[0, :n].isnan(), function(WIDE).isnan())


@settings(max_examples=20, deadline=None)
@given(rows=SIZES, columns=SIZES)
def test_a_matrix_times_another_number_by_number(machine: Dense, rows: int, columns: int) -> None:
    stride = machine.stride(columns)
    a, b = random(rows, stride), random(rows, stride, seed=1)
    wanted = a * b
    run(machine, code.times(rows, columns, at(a), b.ctypes.data))
    assert np.array_equal(a[:, :columns], wanted[:, :columns])


def laid(machine: Dense, of_samples: torch.Tensor) -> torch.Tensor:
    """(samples, features) feature after feature, with room to the end of a vector."""
    n, features = of_samples.shape
    found = torch.zeros(features, machine.stride(n))
    found[:, :n] = of_samples.T
    return found


ERRORS: dict[str, tuple[Any, tuple[float, ...]]] = {
    "squared_error": (F.mse_loss, ()), "absolute_error": (F.l1_loss, ()),
    "huber": (lambda z, t: F.smooth_l1_loss(z, t, beta=0.5), (0.5, 2.0)),
    "binary_entropy": (F.binary_cross_entropy_with_logits, ()),
}  # fmt: skip

SHAPES = pytest.mark.parametrize(("n", "features"), [(64, 10), (33, 7), (3, 2), (1, 1)])
SCALES = 1e-3, 1.0, 30.0, 1e4


@SHAPES
@pytest.mark.parametrize("kind", ERRORS)
def test_losses_of_numbers_and_their_gradients_are_torchs(
    machine: Dense, kind: str, n: int, features: int
) -> None:
    for scale in SCALES:
        drawn = torch.Generator().manual_seed(n)
        z = torch.randn(n, features, generator=drawn) * scale
        own = torch.rand(n, features, generator=drawn)
        function, numbers = ERRORS[kind]
        lies, outputs, told = laid(machine, own), laid(machine, z), torch.zeros(1)
        into, share = torch.zeros_like(outputs), 1 / (n * features)
        for taught in (False, True):
            job = code.error_of(
                kind, n, features, at(outputs), lies.data_ptr(), into.data_ptr(), share,
                told.data_ptr(), taught=taught, numbers=numbers,
            )  # fmt: skip
            run(machine, job)
            assert into.any() == taught
        double = z.double().requires_grad_()
        wanted = function(double, own.double())
        wanted.backward()
        assert told[0].item() * share == pytest.approx(wanted.item(), rel=2e-6, abs=2e-7)
        most = max(1.0, double.grad.abs().max().item() / share)
        torch.testing.assert_close(
            into[:, :n].T.double(), double.grad, rtol=0, atol=8 * EPS * most * share
        )


@SHAPES
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", ["plain", "weighted", "smoothed", "both"])
def test_cross_entropies_and_their_gradients_are_torchs(
    machine: Dense, kind: str, reduction: str, n: int, features: int
) -> None:
    for scale in SCALES:
        drawn = torch.Generator().manual_seed(n)
        z = torch.randn(n, features, generator=drawn) * scale
        own = torch.randint(0, features, (n,), generator=drawn)
        own[n // 2 + 1 :: 3], own[0] = 1, 0  # 1 is ignored
        weights = torch.rand(features, generator=drawn) + 0.5
        if kind in ("plain", "smoothed"):
            weights = torch.ones(features)
        smoothing = 0.0 if kind in ("plain", "weighted") else 0.3
        outputs, told = laid(machine, z), torch.zeros(5)
        into = torch.zeros_like(outputs)
        job = code.cross_entropy_of(
            n, features, at(outputs), own.data_ptr(), into.data_ptr(), 1.0, told.data_ptr(),
            taught=True, weights=weights.numpy(), smoothing=smoothing, ignored=1,
            mean=reduction == "mean",
        )  # fmt: skip
        run(machine, job)
        double = z.double().requires_grad_()
        wanted = F.cross_entropy(
            double, own, weights.double(), ignore_index=1, label_smoothing=smoothing,
            reduction=reduction,
        )  # fmt: skip
        wanted.backward()
        most = max(1 / n, double.grad.abs().max().item())
        passed = own == 1
        assert told[1:4].tolist() == [
            (~passed).sum(), (z.argmax(1) == own)[~passed].sum(), passed.sum()
        ]  # fmt: skip
        assert told[4].item() == pytest.approx(weights[own[~passed]].sum().item(), rel=1e-6)
        value = told[0].item() / (told[4].item() if reduction == "mean" else 1)
        assert value == pytest.approx(wanted.item(), rel=2e-6, abs=2e-7)
        torch.testing.assert_close(
            into[:, :n].T.double(), double.grad, rtol=8 * EPS, atol=8 * EPS * most
        )


@SHAPES
def test_logarithms_of_shares_are_torchs(machine: Dense, n: int, features: int) -> None:
    for scale in SCALES:
        z = torch.randn(n, features, generator=torch.Generator().manual_seed(n)) * scale
        outputs = laid(machine, z)
        run(machine, code.log_softmax(features, n, at(outputs)))
        wanted = F.log_softmax(z.double(), 1)
        torch.testing.assert_close(
            outputs[:, :n].T.double(), wanted, rtol=2 * EPS, atol=4 * EPS * max(1, scale)
        )


def entropy(machine: Dense, outputs: torch.Tensor, own: torch.Tensor, told: torch.Tensor) -> None:
    classes, weights = len(outputs), np.ones(len(outputs), np.float32)
    into = torch.zeros_like(outputs)
    job = code.cross_entropy_of(
        len(own), classes, at(outputs), own.data_ptr(), into.data_ptr(), 1.0, told.data_ptr(),
        taught=True, weights=weights,
    )  # fmt: skip
    run(machine, job)


def test_of_equal_outputs_the_first_is_the_class_that_is_told(machine: Dense) -> None:
    z, own, told = torch.zeros(5, 3), torch.tensor([0, 1, 2, 0, 7]), torch.zeros(5)
    entropy(machine, laid(machine, z), own, told)
    assert told[1:].tolist() == [4, 2, 0, 4]  # there is no class 7


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_what_is_no_number_is_lost_nowhere(machine: Dense, bad: str) -> None:
    z, own = torch.zeros(20, 3), torch.zeros(20, dtype=torch.int64)
    z[17, 1] = float(bad)
    outputs, told = laid(machine, z), torch.zeros(5)
    slope = torch.zeros_like(outputs)
    entropy(machine, outputs, own, told)
    assert not torch.isfinite(told[0])
    for kind, (_, numbers) in ERRORS.items():
        targets = outputs if kind == "binary_entropy" else torch.zeros_like(outputs)
        job = code.error_of(
            kind, 20, 3, at(outputs), targets.data_ptr(), slope.data_ptr(), 1.0, told.data_ptr(),
            taught=True, numbers=numbers,
        )  # fmt: skip
        run(machine, job)
        assert not torch.isfinite(told[0])


def test_vectors_are_those_of_the_processor() -> None:
    width, columns = jit().vector
    assert (width, columns) in {(4, 2), (4, 4), (8, 2), (16, 4)}
    assert [dense().stride(n) // width % 2 for n in (65, 450, 1000)] == [1, 1, 1]
