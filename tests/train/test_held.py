"""What models, losses and optimizers keep in attributes goes on with a run that was stopped."""

from __future__ import annotations

import collections
import enum
import random

import numpy as np
import pytest
import torch
from torch import nn

from slalom.errors import InputError
from slalom.train import Run, Task
from slalom.train.held import Held

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


class Phase(enum.Enum):
    FIRST = 1
    LATER = 2


class Mean:
    """A helper of a user's own."""

    def __init__(self):
        self.value, self.n, self.back = torch.zeros(4), 0, self  # and a circle

    def add(self, x):
        self.n += 1
        self.value = self.value + (x - self.value) / self.n


class Keeping(nn.Module):
    """What it has kept decides its output."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 2)
        self.register_buffer("mean", torch.zeros(4), persistent=False)
        self.plain, self._n, self.lazily = torch.zeros(4), 0, None
        self.twice = [self.plain, self.f, torch.relu]
        self.last = collections.deque(maxlen=3)
        self.table = collections.defaultdict(list)
        self.array, self.set = np.zeros(4), set()
        self.torchs = torch.Generator().manual_seed(4)
        self.numpys, self.pythons = np.random.default_rng(1), random.Random(2)
        self.old, self.helper, self.phase = np.random.RandomState(3), Mean(), Phase.FIRST
        self.inner = [nn.Linear(4, 4)]  # no part of the model

    def forward(self, x):
        if self.training:
            self._n += 1
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            self.plain += 0.1 * x.mean(0)
            self.last.append(x.mean().item())
            self.table[self._n % 2, "key"].append(np.float32(self._n))
            self.array = self.array + 0.01
            self.set.add(self._n % 7)
            self.helper.add(x.mean(0))
            self.lazily = {"n": self._n, "made": self.f.weight}
            self.phase = Phase.LATER if self._n > 3 else Phase.FIRST
            with torch.no_grad():
                self.inner[0].weight.mul_(0.9)
            x = x + torch.rand(1, generator=self.torchs) + self.pythons.random()
            x = x + self.numpys.normal() + self.old.normal()
        kept = self.mean + self.twice[0] + self.helper.value + torch.from_numpy(self.array).float()
        kept = kept + sum(self.last) + len(self.set) + (self.phase is Phase.LATER)
        kept = kept + float(sum(sum(v) for v in self.table.values())) / 100
        return self.f(x + self.inner[0](kept))


class Own(torch.optim.Optimizer):
    """One that keeps what torch does not know of."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})
        self.n, self.by, self.inner = 0, {}, torch.optim.Adam(self.param_groups[0]["params"], 0.01)

    @torch.no_grad()
    def step(self):
        self.n += 1
        self.inner.step()
        for p in self.param_groups[0]["params"]:
            self.by[p] = self.by.get(p, 0) + p.grad
            p.sub_(self.by[p], alpha=0.1 / self.n)


def made() -> Run:
    task = Task(Keeping, nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=8)
    return Run(task, Own, 3)


def test_a_run_goes_on_with_all_that_is_kept(tmp_path):
    whole, half, rest = made(), made(), made()
    whole.advance(12)
    half.advance(5)
    half.save(tmp_path / "it.pt")
    rest.advance(2)  # and one that was elsewhere goes back
    rest.load(tmp_path / "it.pt")
    assert rest.model.twice[0] is rest.model.plain
    assert rest.model.lazily["made"] is rest.model.f.weight
    rest.advance(7)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(rest.model.state_dict()[name], tensor), name
    assert rest.evaluate().valid_loss == whole.evaluate().valid_loss


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_tensor_that_shares_a_parameters_memory_is_not_written_into_it():
    def normed() -> Run:
        model = lambda: nn.utils.spectral_norm(nn.Linear(4, 2))  # noqa: E731
        task = Task(model, nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=8)
        return Run(task, lambda p: torch.optim.SGD(p, 0.1), 0)

    whole, rest = normed(), normed()
    whole.advance(4)
    rest.load_state_dict(whole.state_dict())
    for run in (whole, rest):
        run.advance(3)
    assert torch.equal(whole.model.weight_orig, rest.model.weight_orig)


def test_what_was_made_in_training_and_is_not_there_is_told():
    class Later(nn.Linear):
        helper = None

        def forward(self, x):
            self.helper = Mean()
            return super().forward(x)

    def later() -> Run:
        task = Task(lambda: Later(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=8)
        return Run(task, lambda p: torch.optim.SGD(p, 0.1), 0)

    run = later()
    run.advance(1)
    with pytest.raises(InputError, match="made in training is not there to go on with"):
        later().load_state_dict(run.state_dict())


def test_functions_made_in_training_are_made_again():
    one, other = nn.Linear(1, 1), nn.Linear(1, 1)
    one.made, one.several = {1: torch.relu, 2: 3}, [torch.relu]
    other.made, other.several = {}, []
    Held([other], []).restore(Held([one], []).state())
    assert (other.made, other.several) == ({2: 3}, [])
