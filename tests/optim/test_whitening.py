"""PSGD against its algorithm in NumPy, in float64, and what its factors come to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reference import distance
from slalom.backends import using
from slalom.ir.formula import formulas
from slalom.ir.program import trace
from slalom.optim import PSGD
from slalom.rules.matrices import balanced, identity, largest, squared, whitened

SHAPES = [(6, 6), (6, 6), (9, 4), (4, 9), (5, 3, 2, 2), (7,), (1, 8), (8, 1), (), (0, 3), (3, 0)]


def gradients(steps, shapes=SHAPES, size=0.1):
    generator = torch.Generator().manual_seed(1)
    return [
        [size * torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        for _ in range(steps)
    ]


def norm(x):
    return largest(torch.from_numpy(x.copy())).item()


def moved(q, seen, rate, damping):
    """The author's update of a factor, with damping in place of its noise."""
    p = q.T @ q
    seen = seen + damping * p @ p
    q = q - rate / (norm(seen) + 1) * (seen @ q - q)
    r = q.T - q
    r = r / (norm(r) + 1e-300)
    one, two = r @ q, r @ r @ q
    a = 1 / 8 if np.trace(two) >= 0 else min(1 / 8, -np.trace(one) / np.trace(two))
    return q + a * one + a * a / 2 * two


def psgd(
    param, grads, every, lr=0.01, momentum=0.9, of_momentum=True, rate=0.1, damping=1e-9, scale=1.0,
    clip=(2.0, 10.0), decay=0.0, most=10000,
):  # fmt: skip
    """PSGD of a matrix; a side has a factor, one number a line, or (of length 1) nothing."""
    shape, mean = param.shape, np.zeros_like(param)
    lone = min(shape) <= 1
    whole = [not lone and n <= most for n in shape]
    lines = [not w and n > 1 for w, n in zip(whole, shape, strict=True)]
    if shape == (1, 1):
        lines = [True, False]
    start = scale if lone else scale**0.5
    q = [start * np.eye(n) if w else np.full(n, start if x else 1.0)
         for n, w, x in zip(shape, whole, lines, strict=True)]  # fmt: skip

    def times(x):
        for i, one in enumerate(q):
            x = x if i == 0 else x.T
            x = one.T @ one @ x if whole[i] else (one * one)[:, None] * x
            x = x if i == 0 else x.T
        return x

    for t, g in enumerate(grads):
        param = param - lr * decay * param
        keep = min(t / (t + 1), momentum)
        mean = keep * mean + (1 - keep) * g
        if t % every == 0:
            seen = times(mean if of_momentum else g)
            for i, x in enumerate((seen, seen.T)):
                if whole[i]:
                    q[i] = moved(q[i], x @ x.T / x.shape[1], rate, damping)
                elif lines[i]:
                    p = q[i] ** 2
                    s = (x * x).mean(1) + ((damping * p) ** 2 if lone else damping * p**2)
                    q[i] = q[i] - rate * (s - 1) / (s + 1) * q[i]
            if t % (100 * every) == 0 and all(whole):
                a, b = np.abs(q[0]).max(), np.abs(q[1]).max()
                q = [q[0] * (b / a) ** 0.5, q[1] * (a / b) ** 0.5]
        change = times(mean)
        size = np.sqrt((change**2).mean())
        change = change * min(1, clip[0] / size) if size else change
        param = param - lr * np.clip(change, -clip[1], clip[1])
    return param


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({}, {}),
        ({"whiten": "gradient", "momentum": 0.5, "precondition_lr": 0.5, "weight_decay": 0.1},
         {"of_momentum": False, "momentum": 0.5, "rate": 0.5, "decay": 0.1}),
        ({"max_precond_dim": 6, "init_scale": 4.0, "damping": 0.1, "clip": (0.7, 1.0)},
         {"most": 6, "scale": 4.0, "damping": 0.1, "clip": (0.7, 1.0)}),
        ({"maximize": True, "momentum": 0}, {"momentum": 0}),
        ({"precondition_frequency": 1}, {}),
    ],
    ids=["default", "gradient", "one side", "maximize", "balanced"],
)  # fmt: skip
def test_psgd_is_its_algorithm(options, given, backend):
    every = options.get("precondition_frequency", 3)
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]
    params, rows = [nn.Parameter(s.clone()) for s in starts], gradients(14 if every > 1 else 104)
    with using(backend):
        optimizer = PSGD(params, **{"lr": 0.01, "precondition_frequency": 3, **options})
        for row in rows:
            for p, grad in zip(params, row, strict=True):
                p.grad = grad
            optimizer.step()
    sign = -1 if options.get("maximize") else 1
    for i, (param, start) in enumerate(zip(params, starts, strict=True)):
        if not start.numel():
            continue
        shape = (start.shape[0] if start.dim() else 1, -1)
        grads = [sign * row[i].reshape(shape).numpy() for row in rows]
        expected = psgd(start.reshape(shape).numpy(), grads, every, **given)
        assert distance(param, torch.from_numpy(expected).view(param.shape)) <= 1e-9, i


def test_gradients_come_out_white():
    """Of correlated ones, in units of their own, and of none at all; it stops at the damping."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def drawn():
        return 1e-3 * left @ normal(6, 4) @ right

    left, right = normal(6, 6), normal(4, 4)
    rows, columns = torch.eye(6).double(), torch.eye(4).double()
    for rate in (0.2, 0.02):
        for _ in range(300):
            seen = squared(rows) @ drawn() @ squared(columns)
            rows = whitened(rows, seen @ seen.mT / 4, rate, 1e-9)
            columns = whitened(columns, seen.mT @ seen / 6, rate, 1e-9)
    seen = torch.stack([squared(rows) @ drawn() @ squared(columns) for _ in range(2000)])
    for found in ((seen @ seen.mT).mean(0) / 4, (seen.mT @ seen).mean(0) / 6):
        assert (found - torch.eye(len(found))).abs().max() < 0.25
    for _ in range(200):
        rows = whitened(rows, torch.zeros_like(rows), 0.5, 1e-9)
    assert distance(squared(rows), 1e-9**-0.5 * torch.eye(6).double()) < 1e-6


def test_a_factor_far_from_symmetric_is_turned_a_little():
    factor = torch.randn(6, 6, dtype=torch.float64)
    seen = torch.randn(6, 9, dtype=torch.float64)
    seen = seen @ seen.mT
    expected = moved(factor.numpy(), seen.numpy(), 0.3, 1e-9)
    assert distance(whitened(factor, seen, 0.3, 1e-9), torch.from_numpy(expected)) <= 1e-12


def test_the_norm_is_nearly_that_of_the_matrix():
    for n in (1, 2, 3, 50, 200):
        q = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64)).Q
        # whose longest row is a stranger to the vector of the norm
        apart = torch.block_diag(1.1 * torch.eye(n), torch.full((n, n), n**-0.5))
        skew = torch.randn(n, n, dtype=torch.float64)
        for square in (q @ q.mT, (q * torch.rand(n) ** 8) @ q.mT, apart, skew - skew.mT):
            norm = torch.linalg.matrix_norm(square, 2)
            assert 0.8 * norm <= largest(square) <= norm * (1 + 1e-6)
            assert torch.equal(largest(square), largest(square.clone()))


def test_what_is_kept_of_nothing_is_not_written():
    text = " ".join(formulas(trace(PSGD.rule, {}, step=2, first=False).source))
    assert "whitened(row_factor, (" in text
    assert "0·" not in text


def test_of_no_square_nothing_is_made():
    nothing, square = torch.zeros(0, 0), torch.eye(3)
    assert {tuple(made.shape) for made in (
        identity(nothing, 2.0), squared(nothing), whitened(nothing, nothing, 0.1, 1e-9),
        balanced(nothing, square),
    )} == {(0, 0)}  # fmt: skip
    assert torch.equal(balanced(square, nothing), square)
    assert torch.equal(identity(square, 2.0), 2 * square)
