"""A step that reads torch's objects itself finds what torch would have said of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slalom import optim
from slalom.backends.llvm import anatomy as module
from slalom.backends.llvm import driver as driver_module

SHAPES = [(), (3,), (2, 3), (0, 4), (2, 1, 3), (2, 3, 1, 2), (1, 2, 1, 2, 3), (2, 1, 2, 1, 2, 3)]


@pytest.fixture
def asked(monkeypatch):
    """A driver that asks torch of everything."""
    monkeypatch.setattr(driver_module.driver(), "anatomy", None)


def test_the_places_are_found_here():
    at = module.anatomy()
    assert at is not None
    t = torch.empty(100).as_strided((2, 3), (5, 7), 4)
    words = module._words(t._cdata, 24)
    assert list(words[at.sizes : at.sizes + 2]) == [2, 3]
    assert list(words[at.strides : at.strides + 2]) == [5, 7]
    assert words[at.offset] == 4
    assert module._words(words[at.storage], 6)[at.data] == t.untyped_storage().data_ptr()


@pytest.mark.parametrize("broken", ["kind_bits", "keys", "kind"])
def test_places_that_do_not_tell_tensors_apart_are_not_used(broken, monkeypatch):
    at = module._found()
    setattr(at, broken, {"kind_bits": 0, "keys": at.dim, "kind": at.dim}[broken])
    monkeypatch.setattr(module, "_found", lambda: at)
    module.anatomy.cache_clear()
    try:
        assert module.anatomy() is None
    finally:
        monkeypatch.undo()
        module.anatomy.cache_clear()
        assert module.anatomy() is not None


def turned(t: torch.Tensor) -> torch.Tensor:
    """The same numbers, laid out another way where that is possible."""
    return t.transpose(0, -1).contiguous().transpose(0, -1) if t.dim() > 1 else t.clone()


GRADIENTS = {
    "none": lambda g: None,
    "plain": lambda g: g,
    "the same again": None,
    "negated": torch._neg_view,
    "zero": lambda g: torch._efficientzerotensor(g.shape, dtype=g.dtype),
    "other strides": turned,
    "with gaps": lambda g: torch.stack([g, g], -1)[..., 0],
    "expanded": lambda g: g.mean().expand_as(g),
    "part of a bucket": lambda g: torch.cat([torch.ones(3), g.reshape(-1)])[3:].view_as(g),
    "from NumPy": lambda g: torch.from_numpy(g.numpy().copy()),
    "a copy when written": lambda g: torch._lazy_clone(g),
}


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(SHAPES), min_size=1, max_size=5),
    st.lists(st.sampled_from(sorted(GRADIENTS)), min_size=6, max_size=12),
    st.booleans(),
)
def test_whatever_gradients_come_the_numbers_are_torchs(shapes, kinds, several):
    def trained(make):
        torch.manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(s)) for s in shapes]
        optimizer = make(params, lr=0.1)
        for turn, kind in enumerate(kinds):
            for i, p in enumerate(params):
                g = torch.randn(p.shape)
                way = GRADIENTS[kinds[(turn + i) % len(kinds)] if several else kind]
                if way is not None:
                    p.grad = way(g)
            optimizer.step()
        return params

    for ours, theirs in zip(trained(optim.Adam), trained(torch.optim.Adam), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("what", ["parameter", "gradient", "state"])
@pytest.mark.parametrize("way", ["read", "asked"])
def test_memory_that_is_shared_until_written_is_copied_first(what, way, request):
    if way == "asked":
        request.getfixturevalue("asked")
    p = torch.nn.Parameter(torch.ones(5))
    optimizer = optim.Adam([p], lr=0.1)
    p.grad = torch.ones(5)
    for _ in range(3):
        optimizer.step()
    tensor = {"parameter": p.data, "gradient": p.grad, "state": optimizer.state[p]["exp_avg"]}[what]
    before, kept = tensor.clone(), torch._lazy_clone(tensor)
    for _ in range(2):
        optimizer.step()
    assert torch.equal(kept, before)
    if what != "gradient":
        assert not torch.equal(tensor if what == "state" else p, before)


def test_as_asked_to_the_bit(request):
    def trained():
        torch.manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(s)) for s in SHAPES]
        params.append(
            torch.nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
        )
        optimizer = optim.AdamW(params, lr=0.1, amsgrad=True)
        for turn in range(6):
            for i, p in enumerate(params):
                absent = (turn + i) % 3 == 0
                p.grad = None if absent else torch.randn_like(p)
            optimizer.step()
        return params

    read = trained()
    request.getfixturevalue("asked")
    assert all(torch.equal(a, b) for a, b in zip(read, trained(), strict=True))
