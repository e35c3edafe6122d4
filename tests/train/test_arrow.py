"""Tables and columns of Arrow are data like arrays, and are not copied where they need not be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import slalom
from slalom.errors import InputError
from slalom.train.samples import Samples

pa = pytest.importorskip("pyarrow")

X = np.random.default_rng(0).standard_normal((120, 6), dtype=np.float32)
Y = (X.sum(1) > 0).astype(np.int64)
LISTS = pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 6)
TABLE = pa.table({"x": LISTS, "y": Y})


@pytest.mark.parametrize(
    "data",
    [(TABLE["x"], TABLE["y"]), (LISTS, pa.array(Y)), TABLE, pa.record_batch({"x": LISTS, "y": Y})],
    ids=["columns", "arrays", "table", "record batch"],
)
def test_it_is_served_as_arrays_are(data):
    found = Samples(data, "train")
    named = found.arrays if isinstance(found.arrays, dict) else dict(zip("xy", found.arrays))  # noqa: B905
    assert torch.equal(named["x"], torch.from_numpy(X))
    assert torch.equal(named["y"], torch.from_numpy(Y))
    plain = Samples((X, Y), "train").batches(16, 3)
    for step in range(10):
        (batch, n), (expected, m) = found.batches(16, 3)[step], plain[step]
        parts = tuple(batch.values()) if isinstance(batch, dict) else batch
        assert n == m
        assert all(map(torch.equal, parts, expected))


def test_numbers_of_one_chunk_are_not_copied():
    found = Samples((TABLE["x"], TABLE["y"]), "train")
    assert found.arrays[1].data_ptr() == TABLE["y"].chunk(0).buffers()[1].address


def test_chunks_become_one_and_lists_of_lists_keep_their_shape():
    twice = pa.concat_tables([TABLE, TABLE])
    assert torch.equal(Samples((twice["x"], twice["y"]), "train").arrays[0][120:], torch.tensor(X))
    nested = pa.FixedSizeListArray.from_arrays(LISTS, 10)
    shaped = Samples((nested, pa.array(range(12))), "train").arrays[0]
    assert torch.equal(shaped, torch.tensor(X.reshape(12, 10, 6)))


def test_a_parquet_file_trains(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(TABLE, tmp_path / "it.parquet")
    read = parquet.read_table(tmp_path / "it.parquet")
    task = slalom.Task(
        lambda: nn.Linear(6, 2), nn.CrossEntropyLoss(),
        (read["x"].cast(LISTS.type), read["y"]), (X, Y), batch_size=16,
    )  # fmt: skip
    plain = slalom.Task(
        lambda: nn.Linear(6, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=16
    )
    one, other = (slalom.fit(t, "SGD", lr=0.1, steps=20, progress=False) for t in (task, plain))
    assert torch.equal(one.model.weight, other.model.weight)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["a", "b"], "dtype object, not numbers"), ([1, None], r"missing values \(1\)"),
        ([[1], [2, 3]], "train holds lists of different lengths; pad them"),
    ],
)  # fmt: skip
def test_what_is_no_numbers_is_named(column, message):
    with pytest.raises(InputError, match=message):
        Samples(pa.table({"x": column}), "train")
