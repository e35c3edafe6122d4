"""Rules that sum, by machine code: at the edges of blocks, on any threads, beside other rules."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import Parameter

import slalom
from reference import distance, trajectory
from slalom.backends import using
from slalom.backends.llvm.driver import BLOCK, LINE
from slalom.rules import absolute, mean, norm, rule, sqrt, total, where

EDGE = BLOCK * LINE
SIZES = [0, 1, 15, 16, 17, EDGE - 1, EDGE, EDGE + 1, 16 * EDGE, 16 * EDGE + 1, 17 * EDGE + 5]
"""Vectors, blocks, and what one thread takes through all sweeps; each and one beside it."""

SHAPES = [
    *((n,) for n in SIZES), (), (5, 0), (0, 5), (1, 17 * EDGE), (32, 2048), (33, 2048), (3, 16, 1),
    (40, 2055), (2, 3 * EDGE), (17 * EDGE, 1), (9000, 9), (5000, 15),
]  # fmt: skip


@rule(shapes={"pull": "one"})
def drawn_back(param, grad, pull, start, *, lr=0.1, rest=0.5):
    """A rule of a user's, with sums of its own: weights drawn to where they began, by distance."""
    away = param - start
    length = norm(away)
    pull = where(length > pull, length, rest * pull)
    pressed = total(grad * away) / (1 + length * length)
    step = grad - where(pressed > 0, 0, pressed) * away
    moved = lr * step / (sqrt(total(step * step)) + 1e-6) + lr * pull / (1 + pull) * away
    return param - moved, pull, start


@rule(shapes={"height": "column", "width": "row"})
def rows(param, grad, height, width, *, lr=0.1, beta=0.5):
    """Sums of all three kinds in one sweep, each of which the next one reads, two of a kind."""
    height = beta * height + norm(grad, axis=0)
    width = beta * width + norm(grad, axis=1)
    scaled = grad / (1 + height) + grad * (mean(param, axis=0) > mean(grad, axis=0)) / (1 + width)
    turned = scaled - mean(scaled, axis=1) - total(scaled) / (1 + total(scaled * scaled))
    lively = norm(width) / (1 + mean(height) + norm(turned) + mean(absolute(turned), axis=0))
    return param - lr * lively * turned / (1 + total(height)), height, width


CLASSES = {
    "LAMB": slalom.optim.LAMB, "StableAdamW": slalom.optim.StableAdamW,
    "drawn_back": slalom.optimizer(drawn_back), "AdamMini": slalom.optim.AdamMini,
    "FactoredAdafactor": slalom.optim.FactoredAdafactor, "rows": slalom.optimizer(rows),
}  # fmt: skip


def stepped(made, starts, grads, threads=1, **options):
    torch.set_num_threads(threads)
    params = [Parameter(s.clone()) for s in starts]
    optimizer = made(params, lr=0.01, **options)
    for row in grads:
        for param, grad in zip(params, row, strict=True):
            param.grad = None if grad is None else grad.clone()
        optimizer.step()
    assert {r[3] for r in slalom.explain(optimizer).rows} <= {"llvm", "none"}
    torch.set_num_threads(1)
    return params, optimizer


def drawn(sizes, n=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(len(sizes))
    rows = [[torch.randn(s, generator=generator, dtype=dtype) for s in sizes] for _ in range(n + 1)]
    return rows[0], rows[1:]


@pytest.mark.parametrize("name", CLASSES)
def test_at_every_edge_it_is_the_rule_and_threads_change_no_bit(name):
    starts, grads = drawn(SHAPES)
    alone, _ = stepped(CLASSES[name], starts, grads)
    for i, (param, start) in enumerate(zip(alone, starts, strict=True)):
        path = trajectory(CLASSES[name].rule, start, [row[i] for row in grads], lr=0.01)
        assert distance(param, path[-1], path) <= 1e-13
    for threads in (2, 3):
        assert all(map(torch.equal, stepped(CLASSES[name], starts, grads, threads)[0], alone))
    singly = [
        stepped(CLASSES[name], [s], [[row[i]] for row in grads])[0][0] for i, s in enumerate(starts)
    ]
    assert all(map(torch.equal, singly, alone))  # nor do tensors beside it


sizes = st.lists(st.sampled_from(SIZES) | st.integers(0, 3 * EDGE), min_size=1, max_size=4)
kinds = st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16])


@example([16 * EDGE + 1, 7], torch.bfloat16, torch.float32, [False] * 4)
@settings(max_examples=25)
@given(sizes, kinds, kinds, st.lists(st.booleans(), min_size=4, max_size=4))
def test_any_sizes_and_dtypes_are_as_by_torchs_operations(sizes, dtype, of_state, gone):
    """Gradients come and go, and from the second step on a state is of another dtype."""
    starts, grads = drawn(sizes, dtype=dtype)
    found = []
    for backend in ("llvm", "foreach"):
        with using(backend):
            params = [Parameter(s.clone()) for s in starts]
            optimizer = CLASSES["drawn_back"](params, lr=0.01)
            for i, row in enumerate(grads):
                for param, grad, skip in zip(params, row, gone, strict=False):
                    param.grad = None if i == 1 and skip else grad.clone()
                optimizer.step()
                for param in params:
                    own = optimizer.state[param]
                    own["start"] = own["start"].to(of_state)
            assert {r[3] for r in slalom.explain(optimizer).rows} == {backend}
            found.append([t for p in params for t in (p, *optimizer.state[p].values())])
    unit = max(torch.finfo(dtype).eps, 1e-14)  # of sums in another order
    for a, b in zip(*found, strict=True):
        assert a.dtype == b.dtype
        assert distance(a, b) <= 8 * unit
