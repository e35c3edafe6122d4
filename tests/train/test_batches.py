"""Batches: every sample once an epoch, the same at any time, and any step without its past."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slalom.errors import InputError
from slalom.train import Batches

sizes = st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@given(sizes, st.integers(0, 5), st.integers(0, 4))
def test_an_epoch_has_every_sample_once(size, seed, epoch):
    n, m = size
    batches = Batches(n, m, seed)
    first = epoch * batches.per_epoch
    seen = [batches[first + i] for i in range(batches.per_epoch)]
    assert sorted(torch.cat(seen).tolist()) == list(range(n))
    assert [len(b) for b in seen[:-1]] == [m] * (len(seen) - 1)
    assert len(seen[-1]) == (n - 1) % m + 1


@given(
    sizes, st.integers(0, 5), st.lists(st.integers(0, 200), min_size=1, max_size=8), st.booleans()
)
def test_a_batch_depends_on_its_step_alone(size, seed, steps, replacement):
    n, m = size
    one = Batches(n, m, seed, replacement=replacement)
    for step in steps:
        fresh = Batches(n, m, seed, replacement=replacement)
        assert torch.equal(one[step], fresh[step])


@given(sizes, st.integers(0, 300), st.integers(1, 40), st.booleans())
def test_those_ahead_are_the_same_in_one_piece(size, step, most, replacement):
    n, m = size
    batches = Batches(n, m, 3, replacement=replacement)
    indices, lengths = batches.ahead(step, most)
    assert 1 <= len(lengths) <= most
    assert set(lengths[:-1]) <= {m}
    for i, part in enumerate(indices.split(lengths)):
        assert torch.equal(part, batches[step + i])


def test_seeds_and_epochs_differ():
    a, b = Batches(100, 100, 0), Batches(100, 100, 1)
    assert not torch.equal(a[0], b[0])
    assert not torch.equal(a[0], a[1])


def test_with_replacement_every_sample_is_as_likely():
    drawn = torch.cat([Batches(10, 5, 3, replacement=True)[i] for i in range(4000)])
    counts = torch.bincount(drawn, minlength=10)
    assert counts.sum() == 20_000
    assert (counts - 2000).abs().max() < 6 * 2000**0.5


@pytest.mark.parametrize(("n", "m"), [(0, 1), (5, 0), (5, 6), (5, 2.5)])
def test_what_cannot_be_drawn(n, m):
    with pytest.raises(InputError, match=f"a batch of {m} cannot be drawn from {n} samples"):
        Batches(n, m, 0)


def test_a_seed_below_zero():
    with pytest.raises(InputError, match="the seed is -1; it must be a whole number from 0 on"):
        Batches(5, 2, -1)
