"""What must not go from one run to another, and what must stay as the user set it."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from slalom.errors import InputError
from slalom.train import Run, Task

X = 5 + 3 * torch.randn(80, 4)
Y = torch.randint(0, 3, (80,))


def run(task, seed=0, steps=12):
    made = Run(task, lambda p: torch.optim.SGD(p, lr=0.05), seed)
    made.advance(steps)
    return made


def same(one, two):
    pairs = zip(one.model.state_dict().values(), two.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 3)

    def forward(self, x):
        if self.training:
            x = x * (1 + random.random()) + np.random.randn() + torch.rand(1)
        return self.f(x)


def test_randomness_of_all_kinds_is_the_runs_own(tmp_path):
    task = Task(Noisy, nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=8)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    one = run(task)
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1][1]).all()
    assert np.random.get_state()[2:] == before[1][2:]
    assert torch.equal(torch.get_rng_state(), before[2])
    random.seed(5), np.random.seed(5), torch.manual_seed(5), np.random.randn()
    assert same(one, run(task))
    half = run(task, steps=7)
    half.save(tmp_path / "it.pt")
    other = Run(task, lambda p: torch.optim.SGD(p, lr=0.05), 0)
    other.load(tmp_path / "it.pt")
    other.advance(5)
    assert same(one, other)


class Fading(nn.Module):
    n = 0

    def forward(self, outputs, targets):
        self.n += 1
        return nn.functional.cross_entropy(
            outputs, targets, label_smoothing=max(0, 0.8 - self.n / 20)
        )


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, outputs, targets):
        return nn.functional.cross_entropy(outputs * self.w, targets)


@pytest.mark.parametrize("loss", [Fading, Learned])
def test_what_a_loss_keeps_is_the_runs_own(loss, tmp_path):
    task = Task(lambda: nn.Linear(4, 3), loss(), (X, Y), (X, Y), batch_size=8)
    one, two = run(task), run(task)
    assert same(one, two)
    half = run(task, steps=5)
    half.save(tmp_path / "it.pt")
    other = Run(task, lambda p: torch.optim.SGD(p, lr=0.05), 0)
    other.load(tmp_path / "it.pt")
    other.advance(7)
    assert same(one, other)
    if loss is Learned:
        assert not torch.equal(one.objective.of.w, torch.ones(3))
        assert torch.equal(one.objective.of.w, other.objective.of.w)
        assert torch.equal(task.loss.w, torch.ones(3))


def frozen():
    back = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
    back.eval().requires_grad_(False)
    return nn.Sequential(back, nn.Linear(6, 3))


def test_a_part_in_eval_mode_stays_there():
    one = run(Task(frozen, nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=8))
    one.evaluate()
    back, head = one.model
    assert not any(part.training for part in back.modules())
    assert head.training
    assert one.model.training
    assert torch.equal(back[1].running_mean, torch.zeros(6))
    whole = Task(lambda: frozen().eval(), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=8)
    assert all(part.training for part in whole.make_model(0).modules())


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(4))
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(x * self.scale)


def test_a_module_starts_anew_or_is_refused():
    with pytest.raises(InputError, match="its parameters scale cannot be started anew"):
        Task(Bare(), nn.CrossEntropyLoss(), (X, Y), (X, Y)).make_model(0)
    attention = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.uniform_(7.0, 7.1)
    task = Task(attention, nn.MSELoss(), (X[:, None], X[:, None]), (X[:, None], X[:, None]), "mse")
    made = task.make_model(0)
    assert not any(bool((p >= 7).any()) for p in made.parameters())
    assert torch.equal(made.self_attn.out_proj.bias, torch.zeros(4))  # as when it is made
    kept = frozen()
    expected = kept[0][0].weight.clone()
    made = Task(kept, nn.CrossEntropyLoss(), (X, Y), (X, Y)).make_model(0)
    assert torch.equal(made[0][0].weight, expected)
    assert not torch.equal(made[1].weight, kept[1].weight)


def adapted():
    """As adapters of low rank begin: what they add is 0."""
    made = nn.Sequential(nn.Linear(4, 2, bias=False), nn.Linear(2, 3, bias=False))
    nn.init.zeros_(made[1].weight)
    return made


def test_a_module_that_was_begun_otherwise_than_it_would_be_anew_is_refused():
    with pytest.raises(InputError, match=r"whose 1\.weight is 0 throughout, and its reset_para"):
        Task(adapted(), nn.CrossEntropyLoss(), (X, Y), (X, Y)).check()
    task = Task(adapted, nn.CrossEntropyLoss(), (X, Y), (X, Y))
    task.check()
    assert not task.make_model(0)[1].weight.any()


@pytest.mark.parametrize("model", [lambda: nn.LazyLinear(3), nn.LazyLinear(3), nn.LazyBatchNorm1d])
def test_a_model_without_shapes_is_refused(model):
    task = Task(model, nn.CrossEntropyLoss(), (X, Y), (X, Y))
    with pytest.raises(InputError, match="the model's weight has no shape before its first batch"):
        task.check()


class Wandering(Dataset):
    def __init__(self):
        self.own = np.random.default_rng(0)

    def __len__(self):
        return 80

    def __getitem__(self, i):
        return X[i] + self.own.normal(), Y[i]


def test_a_dataset_with_a_generator_of_its_own_is_refused():
    task = Task(lambda: nn.Linear(4, 3), nn.CrossEntropyLoss(), Wandering(), (X, Y), batch_size=8)
    with pytest.raises(InputError, match="is another each time it is asked for"):
        task.check()


def test_a_module_that_was_trained_is_told_of(recwarn):
    torch.manual_seed(0)
    given = nn.Sequential(nn.Linear(4, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 3))
    task = Task(given, nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=16)
    task.check()
    assert not [w for w in recwarn if "as its layer begins it" in str(w.message)]
    for began in (lambda w: nn.init.normal_(w, std=0.02), lambda w: w.data.mul_(3)):
        began(given[0].weight)
        with pytest.warns(UserWarning, match="a module whose 0.weight is not as its layer begins"):
            task.check()


def test_a_module_shared_between_models_is_refused():
    norm = nn.BatchNorm1d(4, affine=False)
    task = Task(lambda: nn.Sequential(norm, nn.Linear(4, 3)), nn.CrossEntropyLoss(), (X, Y), (X, Y))
    with pytest.raises(InputError, match="uses the same module for 0 each time"):
        task.check()
