"""Tensors of a device are looked at as the CPU's are: forged here, so that no device is needed."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from slalom.backends.base import Counts, Look, Slot
from slalom.backends.llvm import driver as driver_module
from slalom.backends.llvm.anatomy import anatomy
from slalom.backends.llvm.gathering import Gathered

CUDA = 1
"""The number of CUDA among torch's types of devices, and of its bit among the dispatch keys."""


@pytest.fixture(params=["by their words", "by torch's functions"], autouse=True)
def way(request, monkeypatch):
    """A driver that knows where torch's objects keep things, and one that asks of everything."""
    if request.param == "by torch's functions":
        monkeypatch.setattr(driver_module.driver(), "anatomy", None)


def words(tensor: Tensor) -> ctypes.Array[ctypes.c_uint64]:
    return (ctypes.c_uint64 * 24).from_address(tensor._cdata)


def place(tensor: Tensor, index: int) -> None:
    """Let a tensor of the host's memory say that it lies on a GPU."""
    at = anatomy()
    assert at is not None
    own = words(tensor)
    own[at.kind] = own[at.kind] & ~(0xFFFF << 16) | CUDA << 16 | index << 24
    own[at.keys] = own[at.keys] & ~1 | 1 << CUDA
    assert tensor.device == torch.device("cuda", index)


@contextmanager
def forged(*tensors: Tensor, index: int = 1) -> Iterator[None]:
    before = [bytes(words(t)) for t in tensors]
    for tensor in tensors:
        place(tensor, index)
    try:
        yield
    finally:  # what they are freed by is the host's
        at = anatomy()
        assert at is not None
        for tensor, content in zip(tensors, before, strict=True):
            old = (ctypes.c_uint64 * 24).from_buffer_copy(content)
            for word in (at.kind, at.keys):
                words(tensor)[word] = old[word]


class Step:
    """A parameter of GPU 1 with a gradient, a state there and a count of the host's."""

    def __init__(self, *, present: bool = True):
        self.param, self.grad = Parameter(torch.ones(4, 3)), torch.ones(4, 3)
        self.state, self.count = torch.zeros(4, 3), torch.tensor(2.0)
        self.all = (self.param, self.grad, self.state)
        self.present = present

    def gathered(self) -> Gathered:
        self.param.grad = self.grad if self.present else None
        slot = Slot(self.param, {"exp_avg": self.state}, [self.count], 0.0, 0, 0)
        found = Gathered([slot], [], Counts([slot]))
        assert found.gather() is (Look.CHANGED if self.present else Look.SAME)
        assert found.gather() is Look.SAME
        return found


def test_addresses_counts_and_presence_are_found():
    step = Step()
    with forged(*step.all):
        found = step.gathered()
        assert found._arrays[:3].tolist() == [t.data_ptr() for t in step.all]
        assert found.counts.values.tolist() == [[2.0]]
        step.count.fill_(7.0)
        assert found.gather() is Look.CHANGED
        assert found.counts.values.tolist() == [[7.0]]
        versions = [t._version for t in step.all]
        found._updated()
        assert [t._version - v for t, v in zip(step.all, versions, strict=True)] == [1, 0, 1]
        assert step.count.item() == 8.0
        step.param.grad = None
        assert found.gather() is Look.CHANGED
        assert found.counts.present.tolist() == [0]


def test_a_gradient_that_comes_later_is_one_of_that_device():
    step, other = Step(present=False), torch.ones(4, 3)
    with forged(*step.all, other):
        found = step.gathered()
        step.param.grad = other
        assert found.gather() is Look.CHANGED
        assert found._arrays[1] == other.data_ptr()


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_moves_to_another_gpu_is_seen(which):
    step = Step()
    with forged(*step.all):
        found = step.gathered()
        place(step.all[which], 0)
        assert found.gather() is Look.STALE


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_moves_to_the_host_is_seen(which):
    step = Step()
    with forged(*step.all):
        found = step.gathered()
        at, own = anatomy(), words(step.all[which])
        assert at is not None
        own[at.kind] = own[at.kind] & ~(0xFFFF << 16) | 0xFF << 24
        own[at.keys] = own[at.keys] & ~(1 << CUDA) | 1
        assert step.all[which].device.type == "cpu"
        assert found.gather() is Look.STALE


def test_memory_that_moves_is_looked_up():
    step, elsewhere = Step(), torch.ones(4, 3)
    with forged(*step.all, elsewhere):
        found = step.gathered()
        step.param.data = elsewhere
        assert found.gather() is Look.SAME
        assert found._arrays[0] == elsewhere.data_ptr()
        step.state.data = elsewhere
        assert found.gather() is Look.STALE
