"""Rules that torch does not have, with all their options, against formulas written once more.

Each function below is an independent walk in NumPy and float64, in its paper's letters: the list
of gradients goes in, the last point comes out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import slalom
from slalom.rules import RULES, RuleError, cautious, grokfast

N, STEPS = 7, 30


def lion(x, gradients, lr, b1, b2, decay):
    """Chen et al. 2023, algorithm 2."""
    m = np.zeros(N)
    for g in gradients:
        c = b1 * m + (1 - b1) * g
        x = x - lr * (np.sign(c) + decay * x)
        m = b2 * m + (1 - b2) * g
    return x


def signum(x, gradients, lr, beta, decay):
    """Bernstein et al. 2018, algorithm 2, on one worker; SignSGD is beta = 0."""
    m = np.zeros(N)
    for g in gradients:
        m = beta * m + (1 - beta) * g
        x = x - lr * (np.sign(m) + decay * x)
    return x


def adabelief(x, gradients, lr, b1, b2, eps, amsgrad=False):
    """Zhuang et al. 2020, algorithm 2."""
    m, s, largest = np.zeros(N), np.zeros(N), np.zeros(N)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps
        largest = np.maximum(largest, s)
        s_hat = (largest if amsgrad else s) / (1 - b2**t)
        x = x - lr * (m / (1 - b1**t)) / (np.sqrt(s_hat) + eps)
    return x


def adabound(x, gradients, lr, b1, b2, final, gamma, eps, amsbound=False):
    """Luo et al. 2019, algorithm 2, as the authors run it: Adam's step size, no root of t."""
    m, v, largest = np.zeros(N), np.zeros(N), np.zeros(N)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        largest = np.maximum(largest, v)
        step = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
        lower, upper = final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
        eta = np.clip(step / (np.sqrt(largest if amsbound else v) + eps), lower, upper)
        x = x - eta * m
    return x


def laprop(x, gradients, lr, mu, nu, eps, decay=0.0):
    """Ziyin, Wang & Ueda 2020, algorithm 1; the decay apart, as in AdamW."""
    m, n = np.zeros(N), np.zeros(N)
    for t, g in enumerate(gradients, 1):
        n = nu * n + (1 - nu) * g**2
        m = mu * m + (1 - mu) * g / (np.sqrt(n / (1 - nu**t)) + eps)
        x = x - lr * decay * x - lr * m / (1 - mu**t)
    return x


def adan(x, gradients, lr, b1, b2, b3, eps, decay, prox):
    """Xie et al. 2022, algorithm 1, b1.. being one minus the paper's; averages corrected."""
    m, v, n, before = np.zeros(N), np.zeros(N), np.zeros(N), gradients[0]
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * (g - before)
        n = b3 * n + (1 - b3) * (g + b2 * (g - before)) ** 2
        eta = lr / (np.sqrt(n / (1 - b3**t)) + eps)
        step = eta * (m / (1 - b1**t) + b2 * v / (1 - b2**t))
        x = (x - step) / (1 + lr * decay) if prox else x * (1 - lr * decay) - step
        before = g
    return x


def cautious_adamw(x, gradients, lr, b1, b2, eps, decay):
    """Liang et al. 2024, algorithm 1, with a scale of 1 in place of d / (nnz + 1)."""
    m, v = np.zeros(N), np.zeros(N)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        u = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        x = x - lr * decay * x
        x = x - lr * np.where(u * g > 0, u, 0)
    return x


def cautious_lion(x, gradients, lr, b1, b2, decay):
    """Liang et al. 2024, algorithm 2, without the scale."""
    m = np.zeros(N)
    for g in gradients:
        u = np.sign(b1 * m + (1 - b1) * g)
        x = x - lr * decay * x - lr * np.where(u * g > 0, u, 0)
        m = b2 * m + (1 - b2) * g
    return x


def schedule_free(z, gradients, lr, beta, warmup=0, b2=None, eps=0.0, decay=0.0):
    """Defazio et al. 2024, eq. 2-4 and, with b2, algorithm 1; x and y of the end."""
    x, y, v, total = z, z, np.zeros(N), 0.0
    for t, g in enumerate(gradients, 1):
        rate = lr * (min(1, t / warmup) if warmup else 1)
        change = g + decay * y
        if b2 is not None:
            v = b2 * v + (1 - b2) * g**2
            rate *= np.sqrt(1 - b2**t)
            change = g / (np.sqrt(v) + eps) + decay * y
        z = z - rate * change
        total += rate**2
        c = rate**2 / total
        x = (1 - c) * x + c * z
        y = (1 - beta) * z + beta * x
    return x, y


def momentum(x, gradients, lr, beta):
    """Polyak 1964, eq. 9, in the words of Sutskever et al. 2013, eq. 1-2."""
    v = np.zeros(N)
    for g in gradients:
        v = beta * v - lr * g
        x = x + v
    return x


def ademamix(x, gradients, lr, b1, b2, b3, alpha, alpha_warmup=0, beta3_warmup=0, decay=0.0):
    """Pagliardini, Ablin & Grangier 2024, algorithm 1; half-lives grow evenly, as sec. 3 says."""
    m, slow, v = np.zeros(N), np.zeros(N), np.zeros(N)
    for t, g in enumerate(gradients, 1):
        a = alpha * min(1.0, t / alpha_warmup) if alpha_warmup else alpha
        b = b3
        if t < beta3_warmup:
            half_lives = [np.log(0.5) / np.log(beta) for beta in (b1, b3)]
            b = 0.5 ** (1 / np.interp(t / beta3_warmup, [0, 1], half_lives))
        m = b1 * m + (1 - b1) * g
        slow = b * slow + (1 - b) * g
        v = b2 * v + (1 - b2) * g**2
        step = (m / (1 - b1**t) + a * slow) / (np.sqrt(v / (1 - b2**t)) + 1e-8)
        x = x - lr * (step + decay * x)
    return x


def adam_atan2(x, gradients, lr, b1, b2, a, b, decay=0.0):
    """Everett et al. 2024, sec. 4.4."""
    m, v = np.zeros(N), np.zeros(N)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        angle = np.arctan2(m / (1 - b1**t), b * np.sqrt(v / (1 - b2**t)))
        x = x - lr * (a * angle + decay * x)
    return x


def grokfast_adamw(x, gradients, lr, b1, b2, decay, alpha, lamb, masked=False):
    """Lee et al. 2024, algorithm 1, before AdamW; masked as in Liang et al. 2024, algorithm 1."""
    h, m, v = gradients[0], np.zeros(N), np.zeros(N)
    for t, g in enumerate(gradients, 1):
        h = alpha * h + (1 - alpha) * g
        louder = g + lamb * h
        m = b1 * m + (1 - b1) * louder
        v = b2 * v + (1 - b2) * louder**2
        step = lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-8)
        x = x - lr * decay * x - (np.where(step * g > 0, step, 0) if masked else step)
    return x


CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("Lion", {"lr": 0.02, "weight_decay": 0.1}, lambda x, g: lion(x, g, 0.02, 0.9, 0.99, 0.1)),
    ("Lion", {"betas": (0.8, 0.6)}, lambda x, g: lion(x, g, 1e-4, 0.8, 0.6, 0)),
    ("SignSGD", {"lr": 0.01, "weight_decay": 0.1}, lambda x, g: signum(x, g, 0.01, 0, 0.1)),
    ("Signum", {"lr": 0.01, "weight_decay": 0.1}, lambda x, g: signum(x, g, 0.01, 0.9, 0.1)),
    ("Momentum", {"lr": 0.01}, lambda x, g: momentum(x, g, 0.01, 0.9)),
    ("AdaBelief", {}, lambda x, g: adabelief(x, g, 1e-3, 0.9, 0.999, 1e-16)),
    (
        "AdaBelief",
        {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-3, "amsgrad": True},
        lambda x, g: adabelief(x, g, 0.01, 0.8, 0.9, 1e-3, True),
    ),
    ("AdEMAMix", {}, lambda x, g: ademamix(x, g, 1e-3, 0.9, 0.999, 0.9999, 5)),
    (
        "AdEMAMix",
        {
            "lr": 0.01,
            "betas": (0.8, 0.9, 0.99),
            "alpha": 3,
            "alpha_warmup": 20,
            "beta3_warmup": 10,
            "weight_decay": 0.1,
        },
        lambda x, g: ademamix(x, g, 0.01, 0.8, 0.9, 0.99, 3, 20, 10, 0.1),
    ),
    ("GrokfastAdamW", {}, lambda x, g: grokfast_adamw(x, g, 1e-3, 0.9, 0.999, 1e-2, 0.98, 2)),
    (
        "GrokfastAdamW",
        {"lr": 0.01, "betas": (0.8, 0.9), "grokfast_alpha": 0.7, "grokfast_lamb": 0.5},
        lambda x, g: grokfast_adamw(x, g, 0.01, 0.8, 0.9, 1e-2, 0.7, 0.5),
    ),
    ("AdamAtan2", {}, lambda x, g: adam_atan2(x, g, 1e-4, 0.9, 0.99, 1.27, 1)),
    (
        "AdamAtan2",
        {"lr": 0.01, "betas": (0.8, 0.9), "a": 2.0, "b": 0.25, "weight_decay": 0.1},
        lambda x, g: adam_atan2(x, g, 0.01, 0.8, 0.9, 2.0, 0.25, 0.1),
    ),
    ("AdaBound", {}, lambda x, g: adabound(x, g, 1e-3, 0.9, 0.999, 0.1, 1e-3, 1e-8)),
    (
        "AdaBound",
        {"lr": 0.01, "gamma": 0.5, "final_lr": 0.02, "amsbound": True, "eps": 1e-3},
        lambda x, g: adabound(x, g, 0.01, 0.9, 0.999, 0.02, 0.5, 1e-3, True),
    ),
    (
        "AdaBound",
        {"lr": 0.01, "gamma": 0.5, "final_lr": 0.02, "base_lr": 0.04},
        lambda x, g: adabound(x, g, 0.01, 0.9, 0.999, 0.005, 0.5, 1e-8),
    ),
    ("LaProp", {}, lambda x, g: laprop(x, g, 4e-4, 0.9, 0.999, 1e-15)),
    (
        "LaProp",
        {"lr": 0.01, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.2},
        lambda x, g: laprop(x, g, 0.01, 0.5, 0.9, 0.1, 0.2),
    ),
    ("Adan", {}, lambda x, g: adan(x, g, 1e-3, 0.98, 0.92, 0.99, 1e-8, 0, True)),
    (
        "Adan",
        {"lr": 0.01, "betas": (0.9, 0.7, 0.95), "eps": 0.1, "weight_decay": 0.2},
        lambda x, g: adan(x, g, 0.01, 0.9, 0.7, 0.95, 0.1, 0.2, True),
    ),
    (
        "Adan",
        {"lr": 0.01, "weight_decay": 0.2, "no_prox": True},
        lambda x, g: adan(x, g, 0.01, 0.98, 0.92, 0.99, 1e-8, 0.2, False),
    ),
    (
        "CautiousAdamW",
        {"lr": 0.01, "weight_decay": 0.2},
        lambda x, g: cautious_adamw(x, g, 0.01, 0.9, 0.999, 1e-8, 0.2),
    ),
    (
        "CautiousLion",
        {"lr": 0.01, "weight_decay": 0.2},
        lambda x, g: cautious_lion(x, g, 0.01, 0.9, 0.99, 0.2),
    ),
    ("ScheduleFreeSGD", {}, lambda x, g: schedule_free(x, g, 1.0, 0.9)[1]),
    (
        "ScheduleFreeSGD",
        {"lr": 0.1, "momentum": 0.7, "weight_decay": 0.2, "warmup_steps": 5},
        lambda x, g: schedule_free(x, g, 0.1, 0.7, 5, decay=0.2)[1],
    ),
    (
        "ScheduleFreeAdamW",
        {},
        lambda x, g: schedule_free(x, g, 2.5e-3, 0.9, b2=0.999, eps=1e-8)[1],
    ),
    (
        "ScheduleFreeAdamW",
        {"lr": 0.1, "betas": (0.8, 0.9), "eps": 0.1, "weight_decay": 0.2, "warmup_steps": 5},
        lambda x, g: schedule_free(x, g, 0.1, 0.8, 5, b2=0.9, eps=0.1, decay=0.2)[1],
    ),
]


def problem():
    generator = np.random.default_rng(0)
    return generator.normal(size=N), list(generator.normal(size=(STEPS, N)))


def trained(name, options, x, gradients):
    param = torch.nn.Parameter(torch.tensor(x))
    optimizer = getattr(slalom.optim, name)([param], **options)
    for g in gradients:
        param.grad = torch.tensor(g)
        optimizer.step()
    return param.detach().numpy(), optimizer


@pytest.fixture(autouse=True)
def _numbers_in_double():
    torch.set_default_dtype(torch.float64)  # a rule's numbers are kept in the default dtype


@pytest.mark.parametrize(
    ("name", "options", "paper"), CASES, ids=["-".join([c[0], *c[1]]) for c in CASES]
)
def test_it_is_its_papers_formula(name, options, paper):
    x, gradients = problem()
    got, _ = trained(name, options, x, gradients)
    np.testing.assert_allclose(got, paper(x, gradients), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "options", "paper"), CASES, ids=["-".join([c[0], *c[1]]) for c in CASES]
)
def test_maximize_turns_the_gradient(name, options, paper):
    x, gradients = problem()
    got, _ = trained(name, {**options, "maximize": True}, x, [-g for g in gradients])
    np.testing.assert_allclose(got, paper(x, gradients), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "options", "extra"),
    [
        ("ScheduleFreeSGD", {"lr": 0.1, "momentum": 0.7, "warmup_steps": 5}, {}),
        ("ScheduleFreeAdamW", {"lr": 0.1, "betas": (0.7, 0.9), "warmup_steps": 5},
         {"b2": 0.9, "eps": 1e-8}),
    ],
)  # fmt: skip
def test_schedule_free_evaluates_at_the_average(name, options, extra):
    x, gradients = problem()
    at_x, at_y = schedule_free(x, gradients, 0.1, 0.7, 5, **extra)
    got, optimizer = trained(name, options, x, gradients)
    optimizer.eval()
    np.testing.assert_allclose(got, at_x, rtol=1e-12)
    with pytest.raises(RuntimeError, match=r"call the optimizer's train\(\)"):
        optimizer.step()
    again = getattr(slalom.optim, name)(optimizer.param_groups[0]["params"], **options)
    again.load_state_dict(optimizer.state_dict())
    again.train()
    np.testing.assert_allclose(got, at_y, rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 1.0, 1.5])
def test_schedule_free_needs_an_interpolation(momentum):
    with pytest.raises(ValueError, match=r"momentum must be in \(0, 1\)"):
        slalom.optim.ScheduleFreeSGD([torch.nn.Parameter(torch.ones(2))], momentum=momentum)


def test_schedule_free_with_constant_rate_averages_all_points():
    """Eq. 4 with equal weights: x is the mean of z_1 ... z_T; here all the gradients are 1."""
    param = torch.nn.Parameter(torch.zeros(1))
    optimizer = slalom.optim.ScheduleFreeSGD([param], lr=0.5, momentum=0.9)
    for _ in range(10):
        param.grad = torch.ones(1)
        optimizer.step()
    optimizer.eval()
    assert param.item() == pytest.approx(-0.5 * np.mean(range(1, 11)), rel=1e-12)


def test_the_papers_defaults():
    defaults = {name: rule.hypers for name, rule in RULES.items()}
    assert defaults["lion"]["betas"] == (0.9, 0.99)
    assert defaults["signum"]["momentum"] == 0.9
    assert defaults["adabelief"]["betas"] == (0.9, 0.999)
    assert (defaults["adabound"]["final_lr"], defaults["adabound"]["gamma"]) == (0.1, 1e-3)
    assert [round(1 - b, 6) for b in defaults["adan"]["betas"]] == [0.02, 0.08, 0.01]
    assert (defaults["laprop"]["lr"], defaults["laprop"]["eps"]) == (4e-4, 1e-15)
    assert defaults["rprop"]["etas"] == (0.5, 1.2)
    assert defaults["rprop"]["step_sizes"] == (1e-6, 50)
    assert (defaults["adadelta"]["lr"], defaults["adadelta"]["eps"]) == (1.0, 1e-6)
    assert defaults["schedule_free_adamw"]["betas"] == (0.9, 0.999)
    assert defaults["schedule_free_sgd"]["momentum"] == 0.9


def test_first_steps_are_as_long_as_the_papers_say():
    """Adam's and its kin's first step is lr; Signum's and Lion's too; AdaBound's is bounded."""
    for name in ("Adam", "AdamW", "LaProp", "Adan", "Lion", "SignSGD", "Signum", "CautiousAdamW"):
        param = torch.nn.Parameter(torch.zeros(3))
        optimizer = getattr(slalom.optim, name)([param], lr=0.1)
        param.grad = torch.tensor([5.0, -0.01, 300.0])
        optimizer.step()
        assert param.tolist() == pytest.approx([-0.1, 0.1, -0.1], rel=1e-5), name


def test_a_cautious_rule_never_steps_up_its_gradient():
    for base in map(RULES.__getitem__, ("adam", "sgd", "rmsprop", "adan", "laprop")):
        options = {"momentum": 0.9} if "momentum" in base.hypers else {}
        make = slalom.optimizer(cautious(base), "Cautious")
        param = torch.nn.Parameter(torch.zeros(200))
        optimizer = make([param], lr=0.01, **options)
        stayed = 0
        for _ in range(20):
            before = param.detach().clone()
            param.grad = torch.randn(200)
            optimizer.step()
            move = param.detach() - before
            assert bool((move * param.grad <= 0).all())
            stayed += int((move == 0).sum())
        assert 0 < stayed < 20 * 200


def test_transforms_compose_in_one_pass():
    """Grokfast below, the mask on top, by the formula of both papers."""
    made = cautious(grokfast(RULES["adamw"]))
    assert made.class_name == "CautiousGrokfastAdamW"
    assert made.state == ("slow_grad", *RULES["adamw"].state)
    assert made.bounds.keys() >= {"lr", "betas", "eps", "grokfast_alpha", "grokfast_lamb"}
    x, gradients = problem()
    param = torch.nn.Parameter(torch.tensor(x))
    optimizer = slalom.optimizer(made)([param], lr=0.01, grokfast_alpha=0.7)
    for g in gradients:
        param.grad = torch.tensor(g)
        optimizer.step()
    paper = grokfast_adamw(x, gradients, 0.01, 0.9, 0.999, 1e-2, 0.7, 2, masked=True)
    np.testing.assert_allclose(param.detach().numpy(), paper, rtol=1e-12, atol=1e-13)


def test_grokfast_adds_to_a_rule_once():
    with pytest.raises(RuleError, match="rule grokfast_adamw has grokfast_alpha already"):
        grokfast(RULES["grokfast_adamw"])


def test_grokfast_keeps_arguments_of_like_names_apart():
    """RMSprop has an alpha and a grad_avg of its own, and NAdam's number stays a number."""
    made = grokfast(RULES["rmsprop"])
    assert made.hypers["alpha"] == RULES["rmsprop"].hypers["alpha"] == 0.99
    assert made.bound("alpha") is not None
    assert grokfast(RULES["nadam"]).numbers == ("mu_product",)


def test_a_cautious_rule_keeps_the_base_rules_state():
    x, gradients = problem()
    _, plain = trained("AdamW", {}, x, gradients)
    _, careful = trained("CautiousAdamW", {}, x, gradients)
    for own, other in zip(plain.state.values(), careful.state.values(), strict=True):
        assert own.keys() == other.keys()
        assert all(torch.equal(own[name], other[name]) for name in own)


@pytest.mark.parametrize("name", ["SignSGD", "Signum", "Lion", "CautiousLion", "CautiousAdamW"])
def test_a_gradient_of_zero_moves_nothing(name):
    param = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = getattr(slalom.optim, name)([param], lr=0.1, weight_decay=0)
    param.grad = torch.tensor([0.0, 1.0])
    optimizer.step()
    assert param.tolist() == pytest.approx([1.0, 1.9])


def test_signum_keeps_an_average_of_the_gradients():
    param = torch.nn.Parameter(torch.zeros(1))
    optimizer = slalom.optim.Signum([param], momentum=0.75)
    for grad in (1.0, -3.0):
        param.grad = torch.tensor([grad])
        optimizer.step()
    assert optimizer.state[param]["exp_avg"].item() == 0.75 * 0.25 * 1.0 - 0.25 * 3.0
