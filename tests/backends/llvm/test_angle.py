"""The angle that machine code computes by arithmetic alone, beside NumPy's in more digits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import Parameter

import slalom
from slalom.rules import atan2, rule

SPECIAL = [0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan"), 1e-30, -1e30]


@rule()
def turned(param, grad, *, lr=1.0):
    return atan2(grad, param)


def angles(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    param = Parameter(torch.from_numpy(x.copy()))
    param.grad = torch.from_numpy(y.copy())
    optimizer = slalom.optimizer(turned)([param])
    with slalom.backends.using("llvm"):
        optimizer.step()
    return param.detach().numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_within_three_units_of_the_last_place(dtype):
    chance = np.random.default_rng(0)
    size = np.exp(chance.uniform(-60, 60, (2, 20_003)))
    y, x = (size * chance.choice([-1, 1], size.shape)).astype(dtype)
    x[:5000] = np.abs(y[:5000]) * np.linspace(0.2, 5, 5000).astype(dtype)  # where it is no corner
    true = np.arctan2(y.astype(np.longdouble), x.astype(np.longdouble))
    places = np.abs(angles(y, x) - true) / np.spacing(np.abs(true).astype(dtype))
    assert places.max() <= 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_zeros_infinities_and_nan(dtype):
    y, x = np.array(list(itertools.product(SPECIAL, SPECIAL)), dtype).T
    found, true = angles(y, x), np.arctan2(y, x)
    np.testing.assert_allclose(found, true, rtol=3 * np.finfo(dtype).eps)
    known = ~np.isnan(true)
    assert (np.signbit(found) == np.signbit(true))[known].all()
