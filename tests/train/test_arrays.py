"""Arrays and columns as people have them: lists a sample, other byte orders, odd dtypes."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from slalom.errors import InputError
from slalom.train.samples import Samples

X = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "data",
    [
        pl.DataFrame({"x": pl.Series(X.tolist(), dtype=pl.List(pl.Float32))}),
        pl.DataFrame({"x": X}), pd.DataFrame({"x": list(X)}),
        pd.DataFrame({"x": [tuple(row.tolist()) for row in X]}),
        pl.DataFrame({"x": pl.Series(X.tolist(), dtype=pl.List(pl.Float32))}).to_arrow(),
        {"x": pd.Series(list(X))},
    ],
)  # fmt: skip
def test_a_column_of_lists_is_an_array(data):
    found = Samples(data, "train").arrays["x"]
    assert torch.equal(found.float(), torch.from_numpy(X))


@pytest.mark.parametrize("data", [X.astype(">f4"), X[::-1][::-1], np.asfortranarray(X)])
def test_an_array_is_read_however_it_lies(data):
    assert torch.equal(Samples((data, X), "train").arrays[0], torch.from_numpy(X))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pd.DataFrame({"x": [[1, 2], [3]]}), "column 'x' of train holds lists of different"),
        (pd.DataFrame({"x": [["a"], ["b"]]}), "column 'x' of train is <U1, not numbers"),
        (pd.DataFrame({"x": ["a", "b"]}), "column 'x' of train is .*, not numbers"),
        ((np.zeros(3, np.longdouble), X[:3]), "which torch has none of; make it float64"),
    ],
)
def test_what_is_no_array_is_named(data, message):
    with pytest.raises(InputError, match=message):
        Samples(data, "train")
