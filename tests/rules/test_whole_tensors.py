"""Rules that look at whole tensors, against formulas written once more, and against a library.

Each function below is an independent walk in NumPy and float64, in its paper's letters: the list
of gradients of one tensor goes in, the last point comes out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import slalom

STEPS = 12


def length(x) -> float:
    return float(np.sqrt(np.sum(np.square(x))))


def lars(w, gradients, gamma, m, beta, eta):
    """You, Gitman & Ginsburg 2017, algorithm 1; the local rate is 1 where a norm is zero."""
    v = np.zeros_like(w)
    for g in gradients:
        some = length(w) > 0 and length(g) > 0
        local = eta * length(w) / (length(g) + beta * length(w)) if some else 1.0
        v = m * v + gamma * local * (g + beta * w)
        w = w - v
    return w


def lamb(x, gradients, eta, b1, b2, eps, decay):
    """You et al. 2020, algorithm 2, phi(z) = z; the ratio is 1 where a norm is zero."""
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        r = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps) + decay * x
        ratio = length(x) / length(r) if length(x) > 0 and length(r) > 0 else 1.0
        x = x - eta * ratio * r
    return x


def stable_adamw(theta, gradients, alpha, b1, b2, eps, decay):
    """Wortsman et al. 2023, algorithm 2."""
    v, u = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, 1):
        b1_hat = b1 * (1 - b1 ** (t - 1)) / (1 - b1**t)
        b2_hat = b2 * (1 - b2 ** (t - 1)) / (1 - b2**t)
        v = b1_hat * v + (1 - b1_hat) * g
        u = b2_hat * u + (1 - b2_hat) * g**2
        rms = np.sqrt(np.mean(g**2 / np.maximum(u, eps**2)))
        eta = alpha / max(1.0, rms)
        theta = theta - eta * decay * theta - eta * v / (np.sqrt(u) + eps)
    return theta


def adagrad_norm(x, gradients, eta, b0_squared, eps=0.0):
    """Ward, Wu & Bottou 2019, algorithm 1."""
    b_squared = b0_squared
    for g in gradients:
        b_squared = b_squared + length(g) ** 2
        x = x - eta / (np.sqrt(b_squared) + eps) * g
    return x


CASES = {
    "LARS": (lars, (2.0, 0.9, 0.0, 1e-3), {"lr": 2.0}),
    "LARS, decay": (
        lars, (2.0, 0.5, 0.1, 0.01),
        {"lr": 2.0, "momentum": 0.5, "weight_decay": 0.1, "trust_coefficient": 0.01},
    ),
    "LARS, no momentum": (lars, (1.0, 0.0, 0.0, 0.02), {"momentum": 0, "trust_coefficient": 0.02}),
    "LAMB": (lamb, (1e-3, 0.9, 0.999, 1e-6, 0.0), {}),
    "LAMB, decay": (
        lamb, (0.05, 0.8, 0.9, 1e-3, 0.1),
        {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
    ),
    "StableAdamW": (stable_adamw, (1e-3, 0.9, 0.99, 1e-8, 1e-2), {}),
    "StableAdamW, 2": (
        stable_adamw, (0.05, 0.8, 0.5, 1e-3, 0.0),
        {"lr": 0.05, "betas": (0.8, 0.5), "eps": 1e-3, "weight_decay": 0},
    ),
    "AdaGradNorm": (adagrad_norm, (1.0, 1e-2, 1e-10), {}),
    "AdaGradNorm, 2": (
        adagrad_norm, (0.3, 2.0), {"lr": 0.3, "initial_accumulator_value": 2.0, "eps": 0}
    ),
}  # fmt: skip

SHAPES = [(40, 30), (5,), (), (3, 4, 2), (1, 1)]


def walks(shape, dtype=torch.float64) -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(len(shape))
    sizes = [10.0 ** (i % 3) for i in range(STEPS)]  # some gradients surprise
    grads = [torch.randn(shape, generator=generator, dtype=dtype) * s for s in sizes]
    return torch.randn(shape, generator=generator, dtype=dtype), grads


def stepped(name: str, starts, gradients, **hypers: Any) -> list[torch.Tensor]:
    params = [torch.nn.Parameter(s.clone()) for s in starts]
    optimizer = getattr(slalom.optim, name)(params, **hypers)
    for row in zip(*gradients, strict=True):
        for param, grad in zip(params, row, strict=True):
            param.grad = grad.clone()
        optimizer.step()
    return [p.detach() for p in params]


@pytest.mark.parametrize("case", CASES)
def test_it_does_what_its_paper_says(case):
    walk, numbers, hypers = CASES[case]
    drawn = [walks(shape) for shape in SHAPES]
    found = stepped(case.split(",")[0], [s for s, _ in drawn], [g for _, g in drawn], **hypers)
    for param, (start, grads) in zip(found, drawn, strict=True):
        expected = walk(start.numpy(), [g.numpy() for g in grads], *numbers)
        assert param.numpy() == pytest.approx(expected, rel=1e-12, abs=1e-12)
