"""Fingerprints: equal for what is the same, in every process, and different for what is not."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import slalom
from slalom.errors import InputError
from slalom.racing import fingerprint as fingerprints
from slalom.racing.fingerprint import fingerprint, fingerprint_of
from slalom.train.samples import Samples

HEAD = "import torch\nfrom torch import nn\n"


def defined(text: str, name: str = "it") -> Any:
    """What a module of this text defines."""
    scope: dict[str, Any] = {"__name__": "a_users_own"}
    exec(compile(HEAD + text, "a_users_own.py", "exec"), scope)
    return scope[name]


CLASS = """
width = 8
class Net(nn.Module):
    def __init__(self, depth=2):
        super().__init__()
        self.layer = nn.Linear(4, width)
    def forward(self, x):
        return torch.tanh(self.layer(x))
def it():
    return Net()
"""
OPTIMIZER = """
class it(torch.optim.SGD):
    rate = 0.5
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
    def step(self, closure=None):
        return super().step(closure)
"""
METRIC = """
def right(o, t):
    return (o.argmax(1) == t).float()
def it(o, t, *, weight=1.0):
    def mean(x):
        return x.mean()
    return weight * mean(right(o, t)).item()
"""
OPTIONS = """
class Options: pass
options = Options(); options.rate = 0.1; options.resume = False
it = lambda params: torch.optim.SGD(params, lr=options.rate)
"""


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (METRIC, "argmax(1)", "argmin(1)"), (METRIC, "weight=1.0", "weight=1"),
        (METRIC, "x.mean()", "x.sum()"), (METRIC, "weight *", "-weight *"),
        (CLASS, "tanh", "relu"), (CLASS, "width = 8", "width = 9"), (CLASS, "depth=2", "depth=3"),
        (CLASS, "nn.Module", "nn.Identity"), (OPTIMIZER, "lr=0.1", "lr=0.2"),
        (OPTIMIZER, "rate = 0.5", "rate = 0.6"), (OPTIMIZER, "optim.SGD", "optim.Adam"),
        (OPTIMIZER, "step(closure)", "step()"), (OPTIONS, "rate = 0.1", "rate = 0.2"),
    ],
)  # fmt: skip
def test_other_code_is_told(text: str, old: str, new: str) -> None:
    assert old in text
    assert fingerprint(defined(text)) != fingerprint(defined(text.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (METRIC, "def mean(x)", "# the mean\n    def mean(x)"),
        (CLASS, "width = 8", "width = 8\nunused = 3"),
        (OPTIONS, "resume = False", "resume = True"), (OPTIMIZER, "\n", "\n\n"),
    ],
)  # fmt: skip
def test_what_does_not_matter_is_not(text: str, old: str, new: str) -> None:
    assert fingerprint(defined(text)) == fingerprint(defined(text.replace(old, new)))


def closing_over(value: Any) -> Any:
    return lambda params: (params, value)


TENSOR = torch.arange(6.0)
TWICE = [TENSOR, TENSOR]

UNEQUAL: list[tuple[Any, Any]] = [
    (1, 1.0), (1, True), (0.0, -0.0), ("1", 1), (None, 0), ((), []), ({1: 2}, {1: 3}), (b"a", "a"),
    ([1, [2]], [[1], 2]), ({1, 2}, {1, 3}), (TENSOR, TENSOR + 1e-6), (TENSOR, TENSOR.double()),
    (TENSOR, TENSOR.reshape(2, 3)), (TENSOR.reshape(2, 3), TENSOR.reshape(3, 2).T),
    (nn.Parameter(TENSOR), nn.Parameter(TENSOR, requires_grad=False)),
    (TWICE, [TENSOR, TENSOR.clone()]), (TENSOR.to_sparse(), (TENSOR + 1).to_sparse()),
    (np.arange(3), np.arange(3) + 1), (np.arange(3), np.arange(3.0)),
    (closing_over(0.1), closing_over(0.2)), (closing_over([1]), closing_over([2])),
    (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1)),
    (nn.CrossEntropyLoss(weight=torch.ones(2)), nn.CrossEntropyLoss(weight=torch.zeros(2))),
    (functools.partial(torch.optim.SGD, lr=0.1), functools.partial(torch.optim.SGD, lr=0.2)),
    (functools.partial(torch.optim.SGD), functools.partial(torch.optim.Adam)),
    (torch.optim.SGD, slalom.optim.SGD), (slalom.optim.Adam, slalom.optim.AdamW),
    (nn.Dropout(0.1), nn.Dropout(0.2)), (TENSOR.sum, TENSOR.mean), (torch.relu, torch.tanh),
    (functools.cache(closing_over(1)), functools.cache(closing_over(2))),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), UNEQUAL)
def test_other_values_are_told(one: Any, other: Any) -> None:
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(other)


def test_strides_do_not_matter() -> None:
    """Torch calls a row of one number contiguous, whatever its stride."""
    for view in (TENSOR[2].expand(1), TENSOR[2:3].as_strided((1, 1), (0, 5)), TENSOR[::2]):
        assert fingerprint(view) == fingerprint(torch.tensor(view.tolist()))


def rule(**hypers: Any) -> Any:
    beta = hypers["beta"]

    @slalom.rule(search={"lr": (1e-5, 1e-2)})
    def mine(param: Any, grad: Any, *, lr: float = 1e-3) -> Any:
        return param - beta * lr * grad

    return slalom.optimizer(mine)


def test_classes_of_rules_are_their_rules() -> None:
    assert fingerprint(rule(beta=1.0)) == fingerprint(rule(beta=1.0))
    assert fingerprint(rule(beta=1.0)) != fingerprint(rule(beta=2.0))


def test_what_cannot_be_taken_apart_goes_by_its_class(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert fingerprint(threading.Lock()) == fingerprint(threading.Lock())
        assert fingerprint(file) != fingerprint(threading.Lock())


def test_circles_and_depths_end() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert fingerprint(circle) != fingerprint(deep)


class Mine(torch.optim.SGD):
    pass


class Stepping(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


@functools.lru_cache
def remembered(n: int) -> int:
    return n


class Lazy:
    @functools.cached_property
    def value(self) -> int:
        return 3


def test_use_changes_nothing() -> None:
    """Torch wraps the step of a class when it is first made, and what is asked for is kept."""
    lazy = Lazy()
    makes = [Mine, Stepping, rule(beta=1.0), slalom.optim.Adam, torch.optim.SGD]
    things = [*makes, remembered, lazy, lambda: (lazy.value, remembered)]
    before = [fingerprint(thing) for thing in things]
    for make in makes:
        parameter = nn.Parameter(torch.ones(2))
        parameter.grad = torch.ones(2)
        make([parameter], lr=0.1).step()
    assert lazy.value == remembered(3)
    assert [fingerprint(thing) for thing in things] == before


def test_every_process_finds_the_same() -> None:
    """Whatever the order of its sets, and wherever its objects lie."""
    code = (
        "import torch, test_fingerprint as t\n"
        "print(*(t.fingerprint(x) for p in t.UNEQUAL for x in p), t.fingerprint(t.things()))"
    )
    found = set()
    for seed in ("1", "2"):
        paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": paths}
        found.add(subprocess.check_output([sys.executable, "-c", code], env=env))
    assert len(found) == 1


def things() -> list[Any]:
    """Some that hold sets, and closures of sets."""
    words = {"alpha", "beta", "gamma", "delta"}
    torch.manual_seed(0)
    return [words, frozenset(words), lambda x: x in {"p", "q", "r", "s"} | words, nn.LSTM(3, 4)]


class Images(Dataset[Any]):
    """Drawn anew at each reading, from the global random numbers."""

    def __init__(self, changed: int = -1, broken: int = -1) -> None:
        self.changed, self.broken = changed, broken

    def __len__(self) -> int:
        return 300

    def __getitem__(self, i: int) -> Any:
        if i == self.broken:
            raise OSError("the disk is gone")
        return torch.rand(3) + i + (i == self.changed), i % 2


def test_datasets_are_read() -> None:
    found = fingerprint_of(Samples(Images(), "train"))
    assert fingerprint_of(Samples(DataLoader(Images(), shuffle=True), "train")) == found
    for i in (0, 255, 256, 299):
        assert fingerprint_of(Samples(Images(changed=i), "train")) != found
    with pytest.raises(InputError, match="train cannot be read: OSError: the disk is gone at"):
        fingerprint_of(Samples(Images(broken=270), "train"))


def test_of_large_datasets_some_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "READ", 11)
    found = fingerprint_of(Samples(Images(), "train"))
    assert fingerprint_of(Samples(Images(changed=299), "train")) != found
    assert fingerprint_of(Samples(Images(changed=1), "train")) == found


def test_arrays_are_read_whole() -> None:
    x, y = torch.randn(50, 3), torch.arange(50)
    found = fingerprint_of(Samples((x, y), "train"))
    assert fingerprint_of(Samples(TensorDataset(x, y), "train")) == found
    other = y.clone()
    other[49] = 0
    assert fingerprint_of(Samples((x, other), "train")) != found
