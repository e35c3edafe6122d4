"""A run: what it says of itself is so, and stopped anywhere it goes on as if it had not been."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import slalom
from slalom.errors import InputError
from slalom.train import Run, Task
from slalom.train.guarded import GuardedRun

INPUTS = torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
CLASSES = (INPUTS.sum(1) > 0).long()


def task(**options) -> Task:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))

    given = {
        "model": model,
        "train": (INPUTS, CLASSES),
        "valid": (INPUTS, CLASSES),
        "target": 0.9,
        "batch_size": 16,
    }
    return Task(**{"loss": nn.CrossEntropyLoss(), **given, **options})


MAKERS = {
    "ours": lambda p: slalom.optim.Adam(p, lr=0.01),
    "ours, momentum": lambda p: slalom.optim.SGD(p, lr=0.1, momentum=0.9),
    "torch": lambda p: torch.optim.AdamW(p, lr=0.01),
    "torch, momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "schedule-free": lambda p: slalom.optim.ScheduleFreeAdamW(p, lr=0.01),
}


def by_all_methods(kind):
    """A class whose updates go through all of the methods that they are made of."""
    return type("Stepped", (kind,), {"_update": lambda self: kind._update(self)})


class Lost(nn.Module):
    """A loss that is so many times what it should be in one of its calls."""

    def __init__(self, call, factor):
        super().__init__()
        self.call, self.factor, self.calls = call, factor, 0

    def forward(self, outputs, targets):
        self.calls += 1
        loss = nn.functional.cross_entropy(outputs, targets)
        return loss * self.factor if self.calls == self.call else loss


def same(a: Run, b: Run) -> bool:
    return all(
        torch.equal(p, q) for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True)
    )


@pytest.mark.parametrize("kind", [Run, GuardedRun])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"schedule": "cosine"},
        {"clip_norm": 0.1},
        {"clip_value": 0.01},
        {"precision": "bfloat16"},
        {"replacement": True},
        {"accumulate": 2},
        {"ema": 0.9},
    ],
    ids=str,
)
def test_updates_in_one_frame_are_those_that_go_through_all_methods(options, kind):
    kinds = kind, by_all_methods(kind)
    one, other = (k(task(**options), MAKERS["torch"], 3, updates=40) for k in kinds)
    losses = [[run.advance(n) for n in (1, 5, 7)] for run in (one, other)]
    assert losses[0] == losses[1]
    assert same(one, other)
    assert one.found(0.0, 0.0).train_loss == other.found(0.0, 0.0).train_loss


@pytest.mark.parametrize("factor", [math.nan, math.inf, -math.inf, 1e9, -1e9])
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("kind", [Run, GuardedRun])
def test_a_loss_that_is_not_as_it_should_be_ends_them_alike(factor, skips, kind):
    found = []
    for one in (kind, by_all_methods(kind)):
        run = one(task(loss=Lost(6, factor)), MAKERS["ours"], 3)
        run.skips = skips
        losses = run.advance(4), run.advance(5)
        weights = [p.tolist() for p in run.model.parameters()]
        found.append((run.step, run.diverged, getattr(run, "skipped", 0), losses, weights))
    assert found[0][0] in (6, 9)
    assert repr(found[0]) == repr(found[1])


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("batch", [None, 1, "all"])
def test_stopped_and_gone_on_is_the_same_to_the_bit(maker, batch, tmp_path):
    def seen(run: Run):
        found = run.evaluate()
        return found.step, found.samples, found.metric, found.valid_loss, found.train_loss

    whole, part, other = (Run(task(), MAKERS[maker], 3, batch_size=batch) for _ in range(3))
    expected = []
    for _ in range(4):
        whole.advance(5)
        expected.append(seen(whole))
    part.advance(5)
    part.evaluate()
    part.advance(3)
    part.save(tmp_path / "run.pt")
    torch.rand(100)  # whatever else the program draws
    other.load(tmp_path / "run.pt")
    found = []
    for steps in (2, 5, 5):
        other.advance(steps)
        found.append(seen(other))
    assert same(whole, other)
    assert found == expected[1:]


def test_schedule_free_is_judged_at_its_average_and_trained_at_its_own_point():
    run = Run(task(), MAKERS["schedule-free"], 0)
    run.advance(20)
    trained = [p.detach().clone() for p in run.model.parameters()]
    found = run.evaluate()
    assert all(torch.equal(p, t) for p, t in zip(run.model.parameters(), trained, strict=True))
    run.optimizer.eval()
    run.model.eval()
    assert any(not torch.equal(p, t) for p, t in zip(run.model.parameters(), trained, strict=True))
    with torch.no_grad():
        loss = nn.CrossEntropyLoss()(run.model(INPUTS), CLASSES).item()
    assert found.valid_loss == pytest.approx(loss, rel=1e-5)


def test_random_numbers_of_others_are_left_alone():
    def draw() -> list[float]:
        return [torch.rand(()).item(), np.random.randn(), random.random()]

    for data in ((INPUTS, CLASSES), Augmented()):
        for seed in (torch.manual_seed, np.random.seed, random.seed):
            seed(5)
        expected = [draw(), draw()]
        for seed in (torch.manual_seed, np.random.seed, random.seed):
            seed(5)
        found = [draw()]
        given = task(train=data, valid=data)
        given.check()
        run = Run(given, MAKERS["ours"], 0)
        run.advance(7)
        run.evaluate()
        assert [*found, draw()] == expected


def test_seeds_differ_and_agree():
    runs = [Run(task(), MAKERS["ours"], seed) for seed in (0, 0, 1)]
    for run in runs:
        run.advance(3)
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_a_module_is_made_anew_for_each_seed():
    module = nn.Linear(5, 2)
    weight = module.weight.clone()
    made = Task(module, nn.CrossEntropyLoss(), (INPUTS, CLASSES), (INPUTS, CLASSES))
    a, b, c = (made.make_model(seed) for seed in (0, 0, 1))
    assert torch.equal(a.weight, b.weight)
    assert not torch.equal(a.weight, c.weight)
    assert torch.equal(module.weight, weight)


def test_what_is_drawn_while_training_is_not_what_the_parameters_were_made_of():
    class Drawing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.first = nn.Linear(5, 2), torch.rand(3)
            self.later = None

        def forward(self, x):
            self.later = torch.rand(3) if self.later is None else self.later
            return self.layer(x)

    run = Run(Task(Drawing, nn.CrossEntropyLoss(), *[(INPUTS, CLASSES)] * 2), MAKERS["ours"], 0)
    torch.manual_seed(0)
    everything = torch.rand(200)
    run.advance(1)
    assert not bool(torch.isin(run.model.later, everything).any())


class Augmented(Dataset):
    """Draws from each of the generators that a data set may know."""

    def __len__(self) -> int:
        return 90

    def __getitem__(self, i):
        noise = torch.rand(()).item() + np.random.randn() + random.random()
        return INPUTS[i] + 0.1 * noise, CLASSES[i]


def test_data_that_are_drawn_at_random_are_drawn_again_alike(tmp_path):
    given = task(train=Augmented(), valid=Augmented())
    whole, part, other = (Run(given, MAKERS["ours"], 3) for _ in range(3))
    for run in (whole, part):
        run.advance(8)
    expected = part.evaluate()
    part.save(tmp_path / "run.pt")
    random.random()
    np.random.rand(5)
    other.load(tmp_path / "run.pt")
    for run in (whole, other):
        run.advance(7)
    assert same(whole, other)
    assert part.evaluate().valid_loss == expected.valid_loss


def test_bgd_takes_the_step_of_the_whole_gradient():
    given = task()
    run = Run(given, lambda p: slalom.optim.SGD(p, lr=0.5), 0, batch_size="all")
    run.model.eval()  # no dropout
    before = [p.detach().clone() for p in run.model.parameters()]
    loss = nn.CrossEntropyLoss()(run.model(INPUTS), CLASSES)
    gradients = torch.autograd.grad(loss, list(run.model.parameters()))
    run.advance(1)
    for p, b, g in zip(run.model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(p.detach(), b - 0.5 * g)
    assert run.samples == 90


def test_the_losses_that_are_told_are_means_over_samples():
    def plain() -> nn.Module:
        return nn.Linear(5, 2)

    weight = torch.tensor([1.0, 4.0])
    valid = INPUTS.repeat(20, 1), torch.where(INPUTS.repeat(20, 1)[:, 0] > 0, 1, 0)
    for loss, function in (
        (nn.CrossEntropyLoss(reduction="sum"), nn.CrossEntropyLoss()),
        (lambda o, t: nn.functional.cross_entropy(o, t, reduction="sum"), nn.CrossEntropyLoss()),
        (nn.CrossEntropyLoss(weight), nn.CrossEntropyLoss(weight)),
    ):
        given = Task(plain, loss, (INPUTS, CLASSES), valid, batch_size=90, target=0.9)
        run = Run(given, lambda p: torch.optim.SGD(p, lr=0.0), 0)
        told = run.advance(2)
        evaluation = run.evaluate()
        at_train, at_valid = (function(run.model(x), t) for x, t in ((INPUTS, CLASSES), valid))
        assert told == evaluation.train_loss == pytest.approx(at_train.item(), rel=1e-5)
        assert evaluation.valid_loss == pytest.approx(at_valid.item(), rel=1e-5)


def test_batches_may_be_drawn_with_replacement():
    seen = []

    class Seen(nn.Linear):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    given = Task(
        lambda: Seen(5, 2), nn.CrossEntropyLoss(), *[(INPUTS, CLASSES)] * 2, batch_size=16,
        replacement=True,
    )  # fmt: skip
    Run(given, MAKERS["ours"], 0).advance(6)
    assert seen == [16] * 6  # an epoch of 90 would have ended with 10


def test_groups_of_parameters_reach_the_optimizer():
    def groups(model):
        return [{"params": [model[0].weight], "lr": 0.0}, {"params": [model[0].bias]}]

    run = Run(task(parameter_groups=groups), lambda p: slalom.optim.SGD(p, lr=0.1), 0)
    before = [p.detach().clone() for p in run.model.parameters()]
    run.advance(2)
    changed = [not torch.equal(p, b) for p, b in zip(run.model.parameters(), before, strict=True)]
    assert changed == [False, True, False, False]


def test_outputs_may_be_of_any_form():
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 2)

        def forward(self, batch):
            return {"logits": self.layer(batch["x"]), "size": (batch["x"].sum(1),)}

    class Named(Dataset):
        def __len__(self) -> int:
            return 1500

        def __getitem__(self, i):
            return {"x": INPUTS[i % 90]}, CLASSES[i % 90]

    def accuracy(outputs, targets):
        assert len(outputs["size"][0]) == len(targets) == 1500
        return (outputs["logits"].argmax(1) == targets).float().mean()

    given = Task(
        Many, lambda o, t: nn.functional.cross_entropy(o["logits"], t), Named(), Named(), accuracy,
        0.9, 32, higher_is_better=True,
    )  # fmt: skip
    given.check()
    run = Run(given, MAKERS["ours"], 0)
    run.advance(40)
    assert run.evaluate().metric > 0.8
    Run(given, MAKERS["ours"], 0, batch_size="all").advance(2)


def test_a_run_that_blows_up_says_so():
    run = Run(task(), lambda p: torch.optim.SGD(p, lr=1e12), 0)
    run.advance(50)
    assert run.diverged is not None
    assert run.step < 50
    before = run.step
    assert math.isnan(run.advance(10))
    assert run.step == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_on_a_gpu_too_it_goes_on_to_the_bit_with_random_numbers_of_its_own(tmp_path):
    torch.cuda.manual_seed(5)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed(5)
    whole, part, other = (Run(task(device="cuda"), MAKERS["torch"], 3) for _ in range(3))
    whole.advance(9)
    part.advance(4)
    part.evaluate()
    part.save(tmp_path / "run.pt")
    other.load(tmp_path / "run.pt")
    other.advance(5)
    assert same(whole, other)
    assert torch.equal(torch.rand(3, device="cuda"), expected)


class Pairs(Dataset):
    def __len__(self) -> int:
        return 90

    def __getitem__(self, i):
        return INPUTS[i], CLASSES[i]


@pytest.mark.parametrize(
    "data",
    [
        Pairs(),
        DataLoader(Pairs(), batch_size=16, shuffle=True),
        TensorDataset(INPUTS, CLASSES),
        (INPUTS.numpy(), CLASSES.numpy()),
        (INPUTS.double().numpy(), CLASSES.numpy()),
    ],
    ids=["dataset", "loader", "tensor dataset", "numpy", "float64 numpy"],
)
def test_all_forms_of_data_are_the_same_data(data):
    expected, found = (
        Run(task(), MAKERS["ours"], 0),
        Run(task(train=data, valid=data), MAKERS["ours"], 0),
    )
    for run in (expected, found):
        run.advance(9)
    assert same(expected, found)
    assert expected.evaluate().metric == found.evaluate().metric


@pytest.mark.parametrize("batch", [0, 91, 2.5, "most"])
def test_a_batch_that_cannot_be_drawn(batch):
    with pytest.raises(InputError, match=f"a batch of {batch} cannot be drawn from 90 samples"):
        Run(task(), MAKERS["ours"], 0, batch_size=batch)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: Run(task(), MAKERS["ours"], 1), "of a run whose seed is 0, and here it is 1"),
        (lambda: Run(task(), MAKERS["ours"], 0, batch_size=8), "whose batch size is 16, and here"),
        (lambda: Run(task(), MAKERS["ours"], 0, batch_size="all"), "whose batch size is 16"),
        (lambda: Run(task(model=lambda: nn.Linear(5, 2)), MAKERS["ours"], 0), "another model"),
        (lambda: Run(task(parameter_groups=lambda m: [m[0].bias]), MAKERS["ours"], 0), "another"),
    ],
)
def test_a_state_of_another_run_is_refused(other, message):
    run = Run(task(), MAKERS["ours"], 0)
    run.advance(3)
    with pytest.raises(InputError, match=message):
        other().load_state_dict(run.state_dict())


def test_damaged_and_missing_checkpoints(tmp_path):
    run = Run(task(), MAKERS["ours"], 0)
    with pytest.raises(InputError, match="there is no checkpoint"):
        run.load(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"the checkpoint .*bad.pt cannot be read"):
        run.load(tmp_path / "bad.pt")
