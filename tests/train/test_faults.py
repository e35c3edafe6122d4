"""Faults in what users give are told in one sentence, with the nearest valid thing."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import slalom
from slalom.errors import InputError
from slalom.racing.entrants import families
from slalom.train import Run, Task
from slalom.train.faults import told

X = torch.randn(40, 4)
Y = torch.randint(0, 2, (40,))


class Long(Dataset):
    """Says that it has more than it has."""

    def __len__(self):
        return 50

    def __getitem__(self, i):
        return X[i], Y[i]


class Backwards(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        raise ArithmeticError("no gradient here")


class Net(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)

    def forward(self, x):
        return Backwards.apply(super().forward(x))


def missing():
    raise FileNotFoundError("weights.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": Long()}, "sample 49 of train, the last of its 50, cannot be read: IndexError"),
        ({"model": missing}, r"model\(\) fails: FileNotFoundError: weights.pt"),
        ({"model": Net}, "the gradient of the loss cannot be computed: ArithmeticError: no grad"),
        ({"device": "cuad"}, "device 'cuad' cannot be used here, where there is cpu"),
        ({"parameter_groups": lambda m: m.wieght}, "parameter_groups fails: AttributeError: "),
        (
            {"schedule": functools.partial(torch.optim.lr_scheduler.StepLR)},
            "the schedule cannot be made: TypeError: .* missing 1 required",
        ),
    ],
)
def test_faults_of_a_task(options, message):
    given = {"model": lambda: nn.Linear(4, 2), "train": (X, Y), "valid": (X, Y), **options}
    with pytest.raises(InputError, match=message) as caught:
        Task(loss=nn.CrossEntropyLoss(), batch_size=8, **given).check()
    assert caught.value.__cause__ is not None  # the traceback of the user's own line
    assert "\n" not in str(caught.value)


class Endless(Dataset):
    def __len__(self):
        return self.rows

    def __getitem__(self, i):
        return X[i], Y[i]


def train_on(model, loader):
    with torch.no_grad():
        model.weight.add_(1)
    return 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "meta"}, "device 'meta' cannot be used here, where there is cpu"),
        ({"loss": nn.CrossEntropyLoss}, "loss is the class CrossEntropyLoss; give one of it"),
        ({"valid": X}, "8 samples of valid: a batch is a Tensor of .8, 4., and a loss needs the"),
        ({"train": Endless()}, "the length of train cannot be had: AttributeError: 'Endless'"),
        ({"metric": train_on, "higher_is_better": True},
         "to evaluate it changes the model's weight, so that a run would hang on how often it is"),
        ({"metric": lambda o, t: {}, "higher_is_better": True},
         r"from outputs like \(8, 2\) and targets like \(8,\)"),
    ],
)  # fmt: skip
def test_faults_of_parts_of_a_task(options, message):
    given = {"loss": nn.CrossEntropyLoss(), "train": (X, Y), "valid": (X, Y), **options}
    with pytest.raises(InputError, match=message):
        Task(lambda: nn.Linear(4, 2), batch_size=8, **given).check()


schedulers = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (functools.partial(schedulers.OneCycleLR, max_lr=0.1, total_steps=9),
         "the OneCycleLR sets learning rates of its own, so that those which are raced would"),
        (functools.partial(schedulers.CyclicLR, base_lr=0.1, max_lr=1.0), "the CyclicLR sets"),
        (lambda o: torch.optim.swa_utils.SWALR(o, swa_lr=0.05), "the SWALR sets learning rates of"),
        (schedulers.ReduceLROnPlateau, "after every update; give schedule_every='epoch'"),
        (lambda epoch: 0.9**epoch, r"as it takes one argument, .* function of \(step, total\)"),
        (lambda step, total: 0.5 - step, "schedule gives -0.5 for update 1 of 500; it must give"),
        (lambda step, total: float("nan"), "schedule gives nan for update 0 of 500; it must give"),
    ],
)  # fmt: skip
def test_a_schedule_that_makes_nothing_of_the_rate_is_refused(schedule, message):
    task = Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), schedule=schedule)

    def begun():
        task.check()
        Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 0).advance(2)

    with pytest.raises(InputError, match=message):
        begun()


def test_a_plateau_of_a_metric_of_which_less_is_better_is_refused():
    most = functools.partial(schedulers.ReduceLROnPlateau, mode="max")
    task = Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), "loss",
                schedule=most, schedule_every="epoch")  # fmt: skip
    with pytest.raises(InputError, match="looks for the most of loss, of which less is better"):
        task.check()


def test_a_schedule_that_takes_its_rates_from_the_optimizer_is_raced():
    def given(optimizer):
        top = [group["lr"] for group in optimizer.param_groups]
        return schedulers.OneCycleLR(optimizer, top, 500)

    for schedule in (given, functools.partial(schedulers.LambdaLR, lr_lambda=lambda step: step)):
        options = {"schedule": schedule, "parameter_groups": lambda m: [
            {"params": [m.weight], "lr": 3}, {"params": [m.bias], "lr": 1}]}  # fmt: skip
        Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), **options).check()


class OfTimm:
    """The shape of timm's schedulers: told how many epochs or updates there were."""

    def __init__(self, optimizer):
        self.optimizer, self.rates = optimizer, [g["lr"] for g in optimizer.param_groups]
        self.step(0)

    def step(self, epoch, metric=None):
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = 1e-3 if epoch < 1 else rate / epoch

    def step_update(self, num_updates, metric=None):
        self.step(num_updates / 10)

    def state_dict(self):
        return {}

    load_state_dict = step_update


@pytest.mark.parametrize(("every", "rate"), [("epoch", 0.1 / 2), ("step", 0.1 / 1)])
def test_a_scheduler_that_is_told_where_the_run_is(every, rate):
    task = Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=8,
                schedule=OfTimm, schedule_every=every)  # fmt: skip
    task.check()
    run = Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 0)
    assert run.optimizer.param_groups[0]["lr"] == 1e-3
    run.advance(2 * task.updates_per_epoch(8))
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(rate)


class Showing(nn.Linear):
    """Has a loss where it is trained alone, as the detectors of torchvision."""

    def forward(self, batch):
        out = super().forward(batch[0])
        return nn.functional.cross_entropy(out, batch[1]) if self.training else out


def test_a_step_may_have_no_loss_where_the_model_is_judged():
    def right(model, loader):
        return sum((model(b).argmax(1) == b[1]).double().mean() for b in loader) / len(loader)

    def step(model, batch):
        found = model(batch)
        return found if model.training else None

    given = {"train": (X, Y), "valid": (X, Y), "batch_size": 8}
    task = Task(lambda: Showing(4, 2), step=step, metric=right, higher_is_better=True, **given)
    task.check()
    evaluated = Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 0).evaluate()
    assert evaluated.valid_loss == -evaluated.metric
    with pytest.raises(InputError, match="the loss is NoneType; it must be a tensor of one number"):
        Task(lambda: Showing(4, 2), step=step, metric="loss", **given).check()


def test_a_step_that_calls_backward_and_clears_its_gradients():
    def attacked(model, batch):  # fast gradient signs
        inputs = batch[0].clone().requires_grad_(True)
        nn.functional.cross_entropy(model(inputs), batch[1]).backward()
        model.zero_grad()
        return nn.functional.cross_entropy(model(inputs.detach() + inputs.grad.sign()), batch[1])

    task = Task(lambda: nn.Linear(4, 2), train=(X, Y), valid=(X, Y), step=attacked, metric="loss",
                batch_size=7)  # fmt: skip
    task.check()


class Deep(nn.Linear):
    def forward(self, x):
        return self.inner(x)  # the outer line

    def inner(self, x):
        raise LookupError("no such word")  # the inner line


def test_the_users_own_lines_are_told_and_no_others():
    task = Task(lambda: Deep(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=8)
    with pytest.raises(InputError) as caught:
        task.check()
    text = str(caught.value)
    assert text.startswith("the model fails on inputs of shape (8, 4), 8 samples of train: Lookup")
    inner, outer = text.index("# the inner line"), text.index("called at")
    assert inner < outer < text.index("# the outer line")
    assert "torch/nn" not in text
    assert "slalom/train" not in text
    with pytest.raises(LookupError) as error:
        Deep(4, 2)(X)
    assert told(error.value).count(__file__) == 3


class Late(nn.Linear):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.calls > 7:
            raise ValueError("the eighth is cursed")
        return super().forward(x)


def test_a_race_names_entrant_seed_and_step_and_blames_no_metric(tmp_path):
    task = Task(
        lambda: Late(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), "accuracy", 0.999,
        batch_size=8, eval_every=5, max_steps=50,
    )  # fmt: skip
    given = {"entrants": ["SGD"], "points_each": 2, "seeds": 3, "baseline": None}
    with pytest.raises(InputError) as caught:
        slalom.race(task, out=tmp_path / "it", progress=False, **given)
    text = str(caught.value)
    assert text.startswith("every entrant failed; the first, SGD(lr=")
    assert "ValueError: the eighth is cursed" in text
    assert "after 7 updates on seed 0" in text


def test_outputs_with_a_loss_beside_them_are_judged():
    """A metric is told of what was joined, and not blamed for a number beside the outputs."""

    class Both(nn.Linear):
        def forward(self, x):
            found = super().forward(x)
            return {"loss": found.sum(), "logits": found}

    def right(outputs, targets):
        return (outputs["logits"].argmax(1) == targets).double().mean()

    Task(
        lambda: Both(4, 2), lambda o, t: nn.functional.cross_entropy(o["logits"], t), (X, Y),
        DataLoader(TensorDataset(X, Y), 7), right, 0.9, batch_size=8, higher_is_better=True,
    ).check()  # fmt: skip


def test_a_loss_of_the_models_own_is_measured_without_blaming_the_metric():
    """Batches that were put together have one loss each; so it is neither a mean nor a sum."""

    class Both(nn.Linear):
        def forward(self, x):
            found = super().forward(x)
            return {"loss": found.square().mean(), "logits": found}

    def right(outputs, targets):
        return (outputs["logits"].argmax(1) == targets).double().mean()

    task = Task(
        lambda: Both(4, 2), lambda o, t: o["loss"], (X, Y), (X, Y), right, 0.9, batch_size=8,
        higher_is_better=True,
    )  # fmt: skip
    task.check()
    assert task.reduction.kind == "other"


class Follower(nn.Module):
    """A teacher follows its student, as in BYOL and MoCo; and a queue of what was seen."""

    def __init__(self, always=False):
        super().__init__()
        self.student, self.teacher = nn.Linear(4, 2), nn.Linear(4, 2).requires_grad_(False)
        self.register_buffer("queue", torch.zeros(2))
        self.always = always

    def forward(self, x):
        if self.training or self.always:
            with torch.no_grad():
                self.teacher.weight.mul_(0.9).add_(self.student.weight, alpha=0.1)
                self.queue = self.teacher(x).mean(0)
        return (self.student(x) - self.teacher(x)).square().mean() + self.queue.mean()


def test_what_follows_the_trained_is_no_training_but_to_look_on():
    def task(model):
        return Task(model, train=X, valid=X, step=lambda model, batch: model(batch),
                    metric="loss", batch_size=8)  # fmt: skip

    task(Follower).check()
    with pytest.raises(InputError, match="to evaluate it changes the model's queue, so that a run"):
        task(lambda: Follower(True)).check()


class Picky(nn.Linear):
    """Fails on the batches of the validation set, all but the first."""

    def forward(self, x):
        if not self.training and bool((x == 7).any()):
            raise ValueError("a seven")
        return super().forward(x)


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_what_the_model_does_in_evaluation_is_told_of_it(metric):
    late = X.clone()
    late[-1] = 7
    task = Task(lambda: Picky(4, 2), nn.CrossEntropyLoss(), (X, Y), DataLoader(TensorDataset(
        late, Y), 8), metric, 0.5, batch_size=8)  # fmt: skip
    with pytest.raises(
        InputError, match="the validation set cannot be evaluated: ValueError: a seven"
    ) as e:
        task.check()
    assert "metric" not in str(e.value)


def test_what_the_metric_does_is_told_of_it():
    def wrong(outputs, targets):
        raise KeyError("no such key")

    class Several:
        higher_is_better = True

        def update(self, outputs, targets):
            """Take it."""

        def reset(self):
            """Begin anew."""

        def compute(self):
            return {"one": 1.0, "two": 2.0}

    def checked(metric):
        Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), metric, 0.5,
             batch_size=8, higher_is_better=True).check()  # fmt: skip

    with pytest.raises(InputError, match="the metric wrong cannot be computed from outputs like"):
        checked(wrong)
    with pytest.raises(InputError, match="a Several gives one, two, and a race is judged by one"):
        checked(Several())


class Stream(IterableDataset):
    def __init__(self, said, true):
        self.said, self.true = said, true

    def __len__(self):
        return self.said

    def __iter__(self):
        return iter([(X[0], 1)] * self.true)


@pytest.mark.parametrize("drop_last", [False, True])
def test_an_iterable_that_says_it_has_more_than_it_yields(drop_last):
    def run(said, true):
        loader = DataLoader(Stream(said, true), 8, drop_last=drop_last)
        task = Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), loader, (X, Y))
        made = Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 0)
        for _ in range(9):
            made.advance(1)
        return made.samples

    assert run(20, 20) == (72 if drop_last else 60)
    with pytest.raises(InputError, match="train says by its __len__ that it has 40 samples, and y"):
        run(40, 20)


@pytest.mark.parametrize(
    ("entrants", "message"),
    [
        (["adm"], "did you mean Adam?"),
        (["LOIN"], "did you mean Lion?"),
        ({"a": (torch.optim.Adam, {"lr": (0.1, 0.001)})}, r"did you mean \(0.001, 0.1\)\?"),
    ],
)
def test_faults_of_entrants(entrants, message):
    with pytest.raises(InputError, match=message):
        families(entrants)
