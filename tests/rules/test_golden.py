"""Where frameworks differ in a formula: how ours maps onto Keras' and optax's own classes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch

import slalom

N, STEPS = 9, 25
X = np.random.default_rng(1).normal(size=N)
GRADIENTS = np.random.default_rng(2).normal(size=(STEPS, N))
RATES = np.linspace(0.1, 0.02, STEPS)
"""A learning rate that changes in each step."""


def ours(name: str, *, rates: Any = None, each: Any = None, **options: Any) -> np.ndarray:
    """Our point in the end; ``each(t)`` gives options that change, by step."""
    param = torch.nn.Parameter(torch.tensor(X))
    optimizer = getattr(slalom.optim, name)([param], **options)
    for t, grad in enumerate(GRADIENTS):
        if rates is not None:
            optimizer.param_groups[0]["lr"] = float(rates[t])
        optimizer.param_groups[0].update(each(t + 1) if each else {})
        param.grad = torch.tensor(grad)
        optimizer.step()
    return param.detach().numpy()


def keras_ends(name: str, *, rates: Any = None, **options: Any) -> np.ndarray:
    """Keras' point in the end."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="compares with Keras' own classes")
    floatx = keras.backend.floatx()
    keras.backend.set_floatx("float64")
    try:
        variable = keras.Variable(X, dtype="float64")
        optimizer = getattr(keras.optimizers, name)(**options)
        optimizer.build([variable])
        for t, grad in enumerate(GRADIENTS):
            if rates is not None:
                optimizer.learning_rate = float(rates[t])
            optimizer.apply([keras.ops.convert_to_tensor(grad, dtype="float64")])
        return np.array(keras.ops.convert_to_numpy(variable))
    finally:
        keras.backend.set_floatx(floatx)


def optax_ends(make: Any) -> np.ndarray:
    """Optax' point in the end; ``make(optax)`` is the transformation."""
    optax = pytest.importorskip("optax", reason="compares with optax' own transformations")
    import jax

    with jax.enable_x64(True):
        transformation = make(optax)
        x = jax.numpy.asarray(X)
        state = transformation.init(x)
        for grad in GRADIENTS:
            updates, state = transformation.update(jax.numpy.asarray(grad), state, x)
            x = optax.apply_updates(x, updates)
        return np.array(x)


def assert_same(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def assert_other(a: np.ndarray, b: np.ndarray) -> None:
    """What a wrong mapping would give is far off: the test tells them apart."""
    assert np.abs(a - b).max() > 1e-5


@pytest.fixture(autouse=True)
def _numbers_in_double():
    torch.set_default_dtype(torch.float64)


# Momentum under a changing learning rate


@pytest.mark.parametrize("nesterov", [False, True])
def test_keras_momentum_is_the_classic_one(nesterov):
    theirs = keras_ends("SGD", rates=RATES, learning_rate=0.1, momentum=0.9, nesterov=nesterov)
    assert_same(ours("Momentum", rates=RATES, lr=0.1, momentum=0.9, nesterov=nesterov), theirs)
    assert_other(ours("SGD", rates=RATES, lr=0.1, momentum=0.9, nesterov=nesterov), theirs)


@pytest.mark.parametrize("nesterov", [False, True])
def test_optax_momentum_is_torchs(nesterov):
    theirs = optax_ends(
        lambda o: o.sgd(lambda t: 0.1 - (0.08 / 24) * t, momentum=0.9, nesterov=nesterov)
    )
    assert_same(ours("SGD", rates=RATES, lr=0.1, momentum=0.9, nesterov=nesterov), theirs)
    assert_other(ours("Momentum", rates=RATES, lr=0.1, momentum=0.9, nesterov=nesterov), theirs)


# RMSprop: epsilon inside or outside the root


def test_keras_rmsprop_has_eps_inside_the_root():
    theirs = keras_ends("RMSprop", learning_rate=0.01, rho=0.9, epsilon=1e-2)
    options = {"lr": 0.01, "alpha": 0.9, "eps": 1e-2}
    assert_same(ours("RMSprop", **options, eps_inside_sqrt=True), theirs)
    assert_other(ours("RMSprop", **options), theirs)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_optax_rmsprop_has_either(inside, centered):
    theirs = optax_ends(
        lambda o: o.rmsprop(0.01, decay=0.9, eps=1e-2, centered=centered, eps_in_sqrt=inside)
    )
    options = {"lr": 0.01, "alpha": 0.9, "eps": 1e-2, "centered": centered}
    assert_same(ours("RMSprop", **options, eps_inside_sqrt=inside), theirs)
    assert_other(ours("RMSprop", **options, eps_inside_sqrt=not inside), theirs)


# Adagrad: where the sum starts, and epsilon inside the root with it


@pytest.mark.parametrize("framework", ["keras", "optax"])
def test_adagrads_accumulator_and_eps(framework):
    """Both put eps under the root, where it is as good as a larger start of the sum."""
    start, eps = 0.1, 1e-2
    if framework == "keras":
        theirs = keras_ends(
            "Adagrad", learning_rate=0.1, initial_accumulator_value=start, epsilon=eps
        )
    else:
        theirs = optax_ends(lambda o: o.adagrad(0.1, initial_accumulator_value=start, eps=eps))
    assert_same(ours("Adagrad", lr=0.1, initial_accumulator_value=start + eps, eps=0), theirs)
    assert_other(ours("Adagrad", lr=0.1, initial_accumulator_value=start, eps=eps), theirs)


# Adam: epsilon before or after the correction of bias


def test_keras_adam_has_epsilon_hat():
    """Its epsilon is Kingma & Ba's epsilon-hat (sec. 2): ours times the root of 1 - beta2**t."""
    theirs = keras_ends("Adam", learning_rate=0.01, epsilon=1e-2)

    def hat(t):
        return {"eps": 1e-2 / np.sqrt(1 - 0.999**t)}

    assert_same(ours("Adam", lr=0.01, each=hat), theirs)
    assert_other(ours("Adam", lr=0.01, eps=1e-2), theirs)


def test_optax_adam_is_torchs():
    assert_same(ours("Adam", lr=0.01, eps=1e-2), optax_ends(lambda o: o.adam(0.01, eps=1e-2)))


def test_keras_nadam_runs_its_momentum_schedule_faster():
    """0.96**t where torch has 0.96**(t * momentum_decay)."""
    theirs = keras_ends("Nadam", learning_rate=0.01, epsilon=1e-8)
    assert_same(ours("NAdam", lr=0.01, momentum_decay=1.0), theirs)
    assert_other(ours("NAdam", lr=0.01), theirs)


# The forms of weight decay


def test_decoupled_decay_times_the_rate():
    theirs = optax_ends(lambda o: o.adamw(0.01, weight_decay=0.3))
    assert_same(ours("AdamW", lr=0.01, weight_decay=0.3), theirs)
    assert_other(ours("Adam", lr=0.01, weight_decay=0.3), theirs)


def test_keras_adamw_decays_as_torchs():
    theirs = keras_ends("AdamW", learning_rate=0.01, weight_decay=0.3, epsilon=1e-12)
    assert_same(ours("AdamW", lr=0.01, weight_decay=0.3, eps=1e-12), theirs)


def test_coupled_decay_goes_through_the_moments():
    theirs = optax_ends(lambda o: o.chain(o.add_decayed_weights(0.3), o.adam(0.01)))
    assert_same(ours("Adam", lr=0.01, weight_decay=0.3), theirs)
    assert_other(ours("AdamW", lr=0.01, weight_decay=0.3), theirs)


def test_decay_independent_of_the_rate():
    """Loshchilov & Hutter 2019, algorithm 2: the decay is not multiplied by alpha."""
    theirs = optax_ends(
        lambda o: o.chain(o.scale_by_adam(), o.scale(-0.01), o.add_decayed_weights(-0.003))
    )
    assert_same(ours("AdamW", lr=0.01, weight_decay=0.003 / 0.01), theirs)


# Formulas on which all agree

AGREED = [
    ("Adadelta", {"lr": 0.5, "rho": 0.9, "eps": 1e-6},
     lambda o: o.adadelta(0.5, rho=0.9, eps=1e-6)),
    ("Adamax", {"lr": 0.01}, lambda o: o.adamax(0.01)),
    ("RAdam", {"lr": 0.01, "eps": 1e-15}, lambda o: o.radam(0.01, eps=1e-15)),
    ("RAdam", {"lr": 0.01, "betas": (0.9, 0.9), "eps": 1e-15},
     lambda o: o.radam(0.01, b2=0.9, eps=1e-15)),
    ("Lion", {"lr": 0.01, "weight_decay": 0.1}, lambda o: o.lion(0.01, weight_decay=0.1)),
    ("AdaBelief", {"lr": 0.01, "eps": 1e-8},
     lambda o: o.adabelief(0.01, eps=1e-8, eps_root=1e-8)),
    ("SignSGD", {"lr": 0.01}, lambda o: o.sign_sgd(0.01)),
    ("ScheduleFreeSGD", {"lr": 0.1}, lambda o: o.contrib.schedule_free_sgd(0.1)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "make"), AGREED, ids=[a[0] for a in AGREED])
def test_optax_has_the_same_formula(name, options, make):
    if name == "ScheduleFreeSGD":
        pytest.importorskip("optax.contrib", reason="compares with optax' own transformations")
    assert_same(ours(name, **options), optax_ends(make))


def test_optax_adan_weighs_the_difference_by_the_complement():
    """By 1 - b2 = 0.08 where the paper and its authors' code have 0.92; at b2 = 0.5 they agree."""
    options = {"lr": 0.01, "weight_decay": 0.1, "no_prox": True}

    def theirs(b2):
        return optax_ends(lambda o: o.adan(0.01, b2=b2, eps_root=0.0, weight_decay=0.1))

    assert_same(ours("Adan", **options, betas=(0.98, 0.5, 0.99)), theirs(0.5))
    assert_other(ours("Adan", **options), theirs(0.92))


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        ("Adadelta", {"lr": 0.5}, {"learning_rate": 0.5, "rho": 0.9, "epsilon": 1e-6}),
        ("Lion", {"lr": 0.01}, {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99}),
    ],
)
def test_keras_has_the_same_formula(name, options, theirs):
    assert_same(ours(name, **options), keras_ends(name, **theirs))
