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


def adafactor(x, gradients, lr, decay, eps1, eps2, d):
    """Shazeer & Stern 2018, algorithm 4 of matrices, algorithm 5 of vectors; sums, not means."""
    r, c, v = 0.0, 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        rate = max(eps2, np.sqrt(np.mean(x**2))) * min(lr, 1 / np.sqrt(t))
        b = 1 - t**decay
        square = g**2 + eps1
        if x.ndim >= 2:
            flat = square.reshape(len(x), -1)
            r = b * r + (1 - b) * flat.sum(1)
            c = b * c + (1 - b) * flat.sum(0)
            v = (np.outer(r, c) / r.sum()).reshape(x.shape)
        else:
            v = b * v + (1 - b) * square
        u = g / np.sqrt(v)
        x = x - rate * u / max(1.0, np.sqrt(np.mean(u**2)) / d)
    return x


def adam_mini(x, gradients, lr, b1, b2, eps, decay):
    """Zhang et al. 2024, algorithm 1, a block being what the first index is of."""
    m, v = np.zeros_like(x), np.zeros(x.shape[:1])
    for t, g in enumerate(gradients, 1):
        x = x - lr * decay * x
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * np.square(g).reshape(*x.shape[:1], -1).mean(-1)
        v_hat = (v / (1 - b2**t)).reshape(x.shape[:1] + (1,) * (x.ndim - 1))
        x = x - lr * m / (1 - b1**t) / (np.sqrt(v_hat) + eps)
    return x


def mars(x, gradients, lr, b1, b2, gamma, eps, decay):
    """Yuan et al. 2024, algorithm 3 with the corrected gradients of algorithm 2."""
    m, v, before = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        c = g + gamma * b1 / (1 - b1) * (g - before)
        c = c / length(c) if length(c) > 1 else c
        m = b1 * m + (1 - b1) * c
        v = b2 * v + (1 - b2) * c**2
        x = x - lr * decay * x - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        before = g
    return x


def lookahead_adamw(x, gradients, lr, b1, b2, eps, decay, k, alpha):
    """Zhang et al. 2019, algorithm 1, around AdamW."""
    phi, m, v = x, np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        x = x - lr * decay * x
        x = x - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        if t % k == 0:
            phi = phi + alpha * (x - phi)
            x = phi
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

CASES |= {
    "FactoredAdafactor": (adafactor, (1e-2, -0.8, 1e-30, 1e-3, 1.0), {}),
    "FactoredAdafactor, 2": (
        adafactor, (0.3, -0.5, 1e-3, 0.1, 2.0),
        {"lr": 0.3, "decay_rate": 0.5, "eps": 1e-3, "eps_param": 0.1, "d": 2.0},
    ),
    "AdamMini": (adam_mini, (1e-3, 0.9, 0.999, 1e-8, 1e-2), {}),
    "AdamMini, 2": (
        adam_mini, (0.1, 0.8, 0.9, 1e-3, 0.2),
        {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.2},
    ),
    "MARS": (mars, (3e-3, 0.95, 0.99, 0.025, 1e-8, 0.0), {}),
    "MARS, 2": (
        mars, (0.1, 0.8, 0.9, 0.3, 1e-3, 0.2),
        {"lr": 0.1, "betas": (0.8, 0.9), "gamma": 0.3, "eps": 1e-3, "weight_decay": 0.2},
    ),
    "LookaheadAdamW": (lookahead_adamw, (1e-3, 0.9, 0.999, 1e-8, 1e-2, 5, 0.5), {}),
    "LookaheadAdamW, 2": (
        lookahead_adamw, (0.1, 0.8, 0.9, 1e-3, 0.2, 3, 0.8),
        {
            "lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.2, "lookahead_steps": 3,
            "lookahead_alpha": 0.8,
        },
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


def test_transforms_compose_in_one_pass():
    """Lookahead around AdamW, an average of that, and the mask on top: one sweep over memory."""
    from slalom.ir.program import trace
    from slalom.rules import RULES, cautious, ema, lookahead

    made = cautious(ema(lookahead(RULES["adamw"])))
    assert made.class_name == "CautiousEmaLookaheadAdamW"
    hypers = {**made.hypers, "lr": 0.1, "lookahead_steps": 3, "ema_decay": 0.6, "weight_decay": 0.0}
    program = trace(made, hypers, step=9, first=False)
    assert len(program.sweeps) == 1
    start, grads = walks((5,))
    param = torch.nn.Parameter(start.clone())
    optimizer = slalom.optimizer(made)([param], **{n: hypers[n] for n in hypers if n != "maximize"})
    x, phi, average = start.numpy(), start.numpy(), start.numpy()
    m, v = np.zeros(5), np.zeros(5)
    for t, g in enumerate((g.numpy() for g in grads), 1):
        param.grad = torch.tensor(g)
        optimizer.step()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        moved = x - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        if t % 3 == 0:
            moved = phi = phi + 0.5 * (moved - phi)
        average = 0.6 * average + 0.4 * moved
        x = np.where((x - moved) * g > 0, moved, x)
        assert param.detach().numpy() == pytest.approx(x, rel=1e-12)
        assert optimizer.state[param]["ema"].numpy() == pytest.approx(average, rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_it_does_what_its_paper_says(case):
    walk, numbers, hypers = CASES[case]
    drawn = [walks(shape) for shape in SHAPES]
    found = stepped(case.split(",")[0], [s for s, _ in drawn], [g for _, g in drawn], **hypers)
    for param, (start, grads) in zip(found, drawn, strict=True):
        expected = walk(start.numpy(), [g.numpy() for g in grads], *numbers)
        assert param.numpy() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_adafactor_is_that_of_transformers():
    """Of matrices, at its defaults: a rate of 0.01 at most, times the size of the weights."""

    def trained(make):
        draws = torch.Generator().manual_seed(0)
        shapes = (7, 5), (4, 9)
        params = [
            torch.nn.Parameter(torch.randn(s, generator=draws, dtype=torch.float64)) for s in shapes
        ]
        optimizer = make(params)
        for _ in range(20):
            for p in params:
                p.grad = torch.randn(p.shape, generator=draws, dtype=torch.float64) + 0.1 * p.data
            optimizer.step()
        return [p.detach() for p in params]

    theirs = pytest.importorskip("transformers.optimization").Adafactor
    torch.testing.assert_close(
        trained(slalom.optim.FactoredAdafactor), trained(theirs), rtol=1e-12, atol=1e-12
    )
