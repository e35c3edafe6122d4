"""Batches that are gathered several at a time are those that are gathered one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slalom.train import Batches, samples
from slalom.train.samples import Samples

N = 1347


def data(width: int = 16, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(N, width, generator=torch.Generator().manual_seed(0)).to(dtype)
    return x, torch.arange(N)


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("m", [1, 3, 16, 64, 500, N])
def test_they_are_the_same_samples(m, replacement):
    x, y = data()
    drawn = Samples((x, y), "train").batches(m, 7, replacement=replacement)
    order = Batches(N, m, 7, replacement=replacement)
    steps = [*range(45), 3, 44, 20, 21, 2000, 2001, 0]
    for step in steps:
        (inputs, targets), n = drawn[step]
        assert torch.equal(inputs, x[order[step]])
        assert torch.equal(targets, y[order[step]])
        assert n == len(order[step])
        assert inputs.is_contiguous()


def test_all_begin_where_torchs_own_tensors_do(monkeypatch):
    asked = []
    taken = samples._taken
    monkeypatch.setattr(samples, "_taken", lambda a, i, n: asked.append(len(n)) or taken(a, i, n))
    for m, width in ((64, 16), (16, 10), (8, 1), (5, 16), (16, 3)):
        drawn = Samples(data(width), "train").batches(m, 1)
        for step in range(300):
            batch, _ = drawn[step]
            assert all(part.data_ptr() % 64 == 0 for part in batch)
    assert max(asked) == samples.MOST  # or nothing of this was tried


def test_what_is_large_is_gathered_alone(monkeypatch):
    monkeypatch.setattr(samples, "_taken", None)
    drawn = Samples((torch.zeros(64, 1 << 14), torch.zeros(64)), "train").batches(16, 0)
    assert drawn[0][0][0].shape == (16, 1 << 14)


def test_what_is_done_to_one_is_not_done_to_another():
    x, y = data()
    drawn = Samples((x, y), "train").batches(64, 7)
    order = Batches(N, 64, 7)
    weight = torch.ones((), requires_grad=True)
    for step in range(4):
        (inputs, targets), _ = drawn[step]
        assert inputs._base is None
        inputs.mul_(weight)  # which puts it into a graph
        inputs.sum().backward()
        targets.zero_()
        (after, later), _ = drawn[step + 1]
        assert not after.requires_grad
        assert torch.equal(after, x[order[step + 1]])
        assert torch.equal(later, y[order[step + 1]])
    (fresh, _), _ = drawn[5]
    fresh.requires_grad_()
    assert fresh.is_leaf


def test_an_array_on_the_disk_is_gathered_from_there(tmp_path):
    x, y = data()
    np.save(tmp_path / "x.npy", x.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = Samples((mapped, y), "train")
    assert found.arrays[0].data_ptr() == mapped.ctypes.data  # and not copied
    order = Batches(N, 64, 7)
    drawn = found.batches(64, 7)
    for step in range(25):
        assert torch.equal(drawn[step][0][0], x[order[step]])
