"""Batches in whatever form: moved, cut and put together, whatever they are nested in."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slalom.train.overlap import within
from slalom.train.tree import joined, moved, rows

Pair = namedtuple("Pair", ["one", "two"])


class OwnDict(dict):
    """As user code and libraries have them."""


class Batch:
    """Moves as a whole."""

    def __init__(self, where="cpu"):
        self.where = where

    def to(self, device):
        return Batch(device)


def trees(leaf):
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=2),
            st.tuples(inner, inner),
            st.builds(Pair, inner, inner),
            st.dictionaries(st.sampled_from("ab"), inner, min_size=1),
            st.dictionaries(st.sampled_from("ab"), inner, min_size=1).map(OwnDict),
            st.dictionaries(st.sampled_from("ab"), inner, min_size=1).map(OrderedDict),
        ),
        max_leaves=4,
    )


def leaves(tree):
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in leaves(tree[key])]
    if isinstance(tree, list | tuple):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def kinds(tree):
    if isinstance(tree, dict):
        return type(tree), {key: kinds(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree), [kinds(part) for part in tree]
    return type(tree)


@given(trees(st.integers(0, 9).map(lambda i: i + torch.arange(12.0).reshape(6, 2))))
def test_a_batch_is_its_parts_together(tree):
    again = joined([rows(tree, 6, begin, begin + 2) for begin in (0, 2, 4)])
    assert kinds(again) == kinds(tree)
    for a, b in zip(leaves(again), leaves(tree), strict=True):
        assert torch.equal(a, b)


@given(trees(st.one_of(st.builds(Batch), st.builds(torch.zeros, st.just(2)), st.text(max_size=2))))
def test_whatever_can_be_moved_is_moved(tree):
    there = moved(tree, torch.device("meta"))
    assert kinds(there) == kinds(tree)
    for leaf in leaves(there):
        if isinstance(leaf, torch.Tensor):
            assert leaf.is_meta
        elif isinstance(leaf, Batch):
            assert leaf.where == torch.device("meta")


def test_what_cannot_be_put_together():
    assert joined([{"names": "a"}]) == {"names": "a"}
    with pytest.raises(ValueError, match="batches of str cannot be put together"):
        joined([{"names": "a"}, {"names": "b"}])
    with pytest.raises(ValueError, match="keys"):
        joined([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}])


def test_what_has_no_row_a_sample_stays_whole():
    whole = {"x": torch.zeros(6, 2), "weights": torch.zeros(3), "name": "a"}
    part = rows(whole, 6, 1, 3)
    assert part["x"].shape == (2, 2)
    assert part["weights"] is whole["weights"]
    assert part["name"] == "a"


def test_a_container_that_moves_itself_is_left_to_do_so():
    """A packed sequence keeps its batch sizes on the CPU."""
    packed = torch.nn.utils.rnn.pack_sequence([torch.zeros(3), torch.zeros(2)])
    there = moved((packed, torch.zeros(2)), torch.device("meta"))
    assert there[0].data.is_meta
    assert not there[0].batch_sizes.is_meta


def test_data_in_any_memory_is_compared_by_its_numbers():
    """A column of one number a row counts as contiguous whatever its stride."""
    column = torch.arange(4.0).expand(1, 4).T
    targets = torch.ones(1).expand(4)
    assert within((column, targets), (column.clone(), torch.ones(4)))
    assert not within((column, targets), (column.flip(0)[:3], torch.ones(3)))
