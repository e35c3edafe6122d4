"""``slalom.fit`` trains what a loop by hand trains, and what the race trained, to the bit."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import nn

import slalom
from slalom.errors import InputError
from slalom.fitting import Callback, events, training
from slalom.report import logs
from slalom.train import Batches, Task
from slalom.train.models import compile_model
from slalom.train.rng import seed_of
from small import small_task

X = torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))


def task(**options) -> Task:
    given = {"batch_size": 16, "eval_every": 4, "target": 0.9, "name": "plane"} | options
    return Task(model, nn.CrossEntropyLoss(), (X, Y), (X, Y), **given)


def fit(*given, **options) -> slalom.fitting.Fit:
    return slalom.fit(*given, progress=False, **options)


def equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def by_hand(make, seed: int, steps: int, decay: float | None = None) -> nn.Module:
    """A loop as people write it, with dropout, and with cosine decay and clipping if asked."""
    torch.manual_seed(seed)
    net = model()
    optimizer = make(net.parameters())
    scheduler = None
    if decay:
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda t: 0.5 * (1 + math.cos(math.pi * min(1.0, t / steps)))
        )
    batches = Batches(len(X), 16, seed)
    torch.manual_seed(seed_of(seed, 2))
    for step in range(steps):
        chosen = batches[step]
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(X[chosen]), Y[chosen]).backward()
        if decay:
            nn.utils.clip_grad_norm_(net.parameters(), decay)
        optimizer.step()
        if scheduler:
            scheduler.step()
    return net


MAKERS = {
    "torch.optim.Adam": functools.partial(torch.optim.Adam, lr=0.01),
    "torch.optim.SGD": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "slalom.optim.RMSprop": functools.partial(slalom.optim.RMSprop, lr=0.01),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_it_is_the_loop_by_hand_to_the_bit(make):
    found = fit(task(), make, steps=25, seed=3)
    assert equal(found.model, by_hand(make, 3, 25))
    assert [e.step for e in found.history] == [4, 8, 12, 16, 20, 24, 25]
    assert not found.model.training
    assert not equal(found.model, by_hand(make, 4, 25))


def test_a_schedule_and_a_bound_are_those_of_the_loop_by_hand():
    make = MAKERS["torch.optim.Adam"]
    found = fit(task(schedule="cosine", clip_norm=0.5), make, steps=25, seed=3)
    assert equal(found.model, by_hand(make, 3, 25, decay=0.5))
    assert not equal(found.model, by_hand(make, 3, 25))


@pytest.mark.parametrize("bound", [{"clip_norm": 0.5}, {"clip_value": 0.02}], ids=str)
def test_our_own_optimizers_clip_in_their_pass(bound, monkeypatch):
    def make(parameters, **options):
        return slalom.optim.Adam(parameters, lr=0.01, **options)

    for name in ("clip_grad_norm_", "clip_grad_value_"):
        monkeypatch.setattr(nn.utils, name, None)
    found = fit(task(**bound), make, steps=25, seed=3)
    assert equal(found.model, by_hand(functools.partial(make, **bound), 3, 25))
    assert not equal(found.model, by_hand(make, 3, 25))


def test_what_an_optimizer_does_not_have_counts_in_the_norm_as_in_torch():
    """It cannot clip in its own pass then."""

    def found(make):
        some = task(clip_norm=0.5, parameter_groups=lambda m: [m[0].weight])
        return fit(some, make, steps=5, seed=3).model

    with_bound = found(lambda p: slalom.optim.SGD(p, lr=0.1))
    of_torch = found(lambda p: torch.optim.SGD(p, lr=0.1))
    torch.testing.assert_close(with_bound[0].weight, of_torch[0].weight)


def test_a_batch_of_all_is_batch_gradient_descent():
    plain = task()
    plain.model = lambda: nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2))
    found = fit(plain, torch.optim.SGD, lr=0.1, batch_size="all", steps=7, seed=2)
    torch.manual_seed(2)
    net = plain.model()
    for _ in range(7):
        net.zero_grad()
        nn.functional.cross_entropy(net(X), Y).backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.1 * p.grad
    for a, b in zip(net.parameters(), found.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert found.last.samples == 7 * 90
    assert equal(fit(plain, "BGD", lr=0.1, steps=7, seed=2).model, found.model)


def test_it_is_the_run_of_the_race_to_the_bit(tmp_path):
    raced = slalom.race(small_task(), out=tmp_path / "it", **RACED)  # by torch
    won = raced.winner
    curve = next(c for c in raced.curves if c.label == won.label and c.stage == "final")
    every = raced.meta.get("finals_every")
    for given in (raced, raced.path, str(raced.path / "ledger.sqlite")):
        found = fit(small_task(), given, seed=curve.seed, steps=curve.step[-1], eval_every=every)
        assert [e.step for e in found.history] == curve.step
        assert [e.valid_loss for e in found.history] == curve.valid_loss
        assert [e.metric for e in found.history] == curve.metric
        assert found.label == won.label


def test_it_ends_where_the_race_ends_a_run(raced):
    label = raced.winner.label
    curve = next(c for c in raced.curves if c.label == label and c.steps_to_target)
    every = raced.meta["finals_every"]
    found = fit(small_task(), raced, seed=curve.seed, until_target=True, eval_every=every)
    assert found.status == "reached"
    assert found.last.step == curve.step[-1]
    assert found.history[-3].step == curve.steps_to_target


RACED = {
    "lanes": 1,
    "entrants": ["Momentum"],
    "points_each": 2,
    "seeds": 3,
    "progress": False,
    "baseline": None,
}


def test_what_a_race_fixed_of_the_run_is_told_by_its_result_alone(tmp_path):
    won = slalom.race(small_task(), space={"warmup": 0.1}, out=tmp_path / "it", **RACED)
    found = fit(small_task(), won, steps=20)
    lr = won.winner.hypers["lr"]
    same = fit(small_task(), "Momentum", lr=lr, warmup=0.1, steps=20)
    assert equal(found.model, same.model)
    assert not equal(found.model, fit(small_task(), "Momentum", lr=lr, steps=20).model)
    with pytest.raises(InputError, match="raced with a warmup that its ledger does not tell"):
        fit(small_task(), won.path, steps=5)


@pytest.mark.slow
def test_what_a_race_searched_of_the_run_is_told_by_its_ledger_too(tmp_path):
    won = slalom.race(small_task(), search=("lr", "warmup"), out=tmp_path / "it", **RACED)
    found = [fit(small_task(), given, steps=20) for given in (won, won.path)]
    assert equal(found[0].model, found[1].model)
    hypers = won.winner.hypers
    same = fit(small_task(), "Momentum", lr=hypers["lr"], warmup=hypers["warmup"], steps=20)
    assert equal(found[0].model, same.model)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"epochs": 2}, 12), ({"epochs": 0.5}, 3), ({"steps": 9}, 9), ({}, 40),
        ({"epochs": 2, "batch_size": 45}, 4), ({"batch_size": 32}, 20),
    ],
)  # fmt: skip
def test_it_is_as_long_as_it_is_asked_to_be(options, steps):
    assert fit(task(max_steps=40), "Adam", **options).last.step == steps


def test_it_is_as_long_as_the_tasks_budget():
    assert fit(task(target=None, budget="3 epochs"), "Adam").last.step == 18
    with pytest.raises(InputError, match="has to know after how many updates"):
        fit(task(schedule="cosine"), "Adam", seconds=1)


def test_seconds_are_those_of_updates():
    found = fit(task(), "Adam", seconds=0.05)
    assert found.last.seconds >= 0.05
    assert found.history[-2].seconds < 0.05 + 0.25  # it was looked at in between


def test_the_average_of_weights_is_what_is_given_back():
    found = fit(task(ema=0.9), "Adam", lr=0.01, steps=20, seed=1)
    plain = fit(task(), "Adam", lr=0.01, steps=20, seed=1)
    assert not equal(found.model, plain.model)
    loss, metric = task().judge(found.model)
    assert (loss, metric) == (found.last.valid_loss, found.last.metric)


@pytest.mark.slow
def test_a_compiled_model_is_trained_and_goes_on(tmp_path):
    options = {"lr": 0.01, "steps": 8, "seed": 1}
    plain = fit(task(), "Adam", **options)
    for _ in range(2):
        found = fit(task(), "Adam", compile="aot_eager", out=tmp_path / "run", **options)
        for a, b in zip(found.model.parameters(), plain.model.parameters(), strict=True):
            torch.testing.assert_close(a, b)
        assert found.model.state_dict().keys() == plain.model.state_dict().keys()
    with pytest.raises(InputError, match="has aot_eager as its compile, and here it is False"):
        fit(task(), "Adam", out=tmp_path / "run", **options)


def test_a_model_of_torchs_own_classes_is_compiled_too():
    calls = []

    def backend(graph, inputs):
        calls.append(len(inputs))
        return graph.forward

    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    plain = model(X)
    compile_model(model, backend=backend)
    assert torch.equal(model(X), plain)
    assert len(calls) == 1


def test_a_backend_that_compiles_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(training, "compile_model", lambda model, **options: asked.append(options))
    fit(task(), "Adam", steps=2, compile=True)
    fit(task(), "Adam", steps=2, compile="eager")
    fit(task(), "Adam", steps=2)
    assert asked == [{}, {"backend": "eager"}]


def test_callbacks_are_called_at_the_named_points():
    seen = []

    class Mine(Callback):
        def started(self, event):
            seen.append(("started", event.updates, type(event.run.optimizer).__name__))

        def evaluated(self, event):
            seen.append(("evaluated", event.evaluation.step, event.best))

        def finished(self, event):
            seen.append(("finished", event.result.last.step))

    plain = []
    found = fit(task(), "Adam", lr=0.01, steps=8, watch=[Mine(), plain.append])
    assert seen[0] == ("started", 8, "Adam")
    assert [s[:2] for s in seen[1:3]] == [("evaluated", 4), ("evaluated", 8)]
    assert seen[3:] == [("finished", 8)]
    assert [type(e) for e in plain if not isinstance(e, events.Moved)] == [
        events.Started, events.Evaluated, events.Evaluated, events.Finished,
    ]  # fmt: skip
    assert sum(isinstance(e, events.Moved) for e in plain) >= 2
    assert "plane with Adam(lr=0.01), seed 0: trained to its end" in repr(found)


def test_the_curves_go_where_log_says(tmp_path, monkeypatch):
    told = []

    class Service:
        def __init__(self, module, name, folder):
            told.append(("begun", name, folder))

        def scalar(self, tag, value, step):
            told.append((tag, value, step))

        def text(self, tag, text):
            told.append((tag, text.splitlines()[0]))

        def close(self, kind):
            told.append("closed")

    monkeypatch.setitem(logs.SERVICES, "tensorboard", (Service, ("json",)))
    found = fit(task(), "Adam", lr=0.01, steps=8, out=tmp_path / "run", log="tensorboard")
    assert told[0] == ("begun", "plane", tmp_path / "run")
    for i, e in enumerate(found.history):
        assert told[3 * i + 1 : 3 * i + 4] == [
            ("accuracy", e.metric, e.step), ("valid_loss", e.valid_loss, e.step),
            ("train_loss", e.train_loss, e.step),
        ]  # fmt: skip
    assert told[-2:] == [("run", "plane with Adam(lr=0.01), seed 0: trained to its end"), "closed"]


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(capsys):
    slalom.fit(task(max_steps=12), "Adam", lr=0.01)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2  # the second after the first evaluation; the next after ten seconds
    assert lines[0].endswith("s  plane with Adam(lr=0.01), seed 0, 12 steps")
    assert "s  step 4 of 12: loss " in lines[1]
    assert "samples/s" in lines[1]


def test_progress_on_a_terminal_has_a_bar():
    from rich.console import Console

    from slalom.fitting.progress import Progress

    console = Console(force_terminal=True, record=True, width=100)
    shown = Progress(console=console)
    fit(
        task(),
        "Adam",
        lr=0.01,
        steps=40,
        watch=[shown, lambda e: shown._bar and shown._bar.refresh()],
    )
    text = console.export_text()
    assert "samples/s" in text
    assert "left" in text
    assert "accuracy" in text


BAD = {
    "there is no entrant 'Adm'.*did you mean Adam": (("Adm",), {}),
    "Adam takes no option 'lrr'; did you mean lr": (("Adam",), {"lrr": 1}),
    "Momentum cannot be made: missing a required argument: 'lr'": (("Momentum",), {}),
    "Adam.* cannot be made: Invalid learning rate: -1": (("Adam",), {"lr": -1.0}),
    "a run has one value of each": (("Adam",), {"lr": (1e-4, 1e-1)}),
    "epochs and steps are given": (("Adam",), {"epochs": 1, "steps": 2}),
    "steps is 0": (("Adam",), {"steps": 0}),
    "epochs is -1": (("Adam",), {"epochs": -1}),
    "seed is -1": (("Adam",), {"seed": -1}),
    "on_nonfinite is 'ignore'": (("Adam",), {"on_nonfinite": "ignore"}),
    "must make an optimizer": ((lambda params: 3,), {}),
    "a batch of 100 cannot be drawn from 90": (("Adam",), {"batch_size": 100}),
    "batch_size is '16'; it must be a whole number": (("Adam",), {"batch_size": "16"}),
    "seed is 9223372036854775808": (("Adam",), {"seed": 2**63}),
    "out is 3; it must be the path": (("Adam",), {"out": 3}),
    "2 optimizers are given; a run has one": (({"a": "Adam", "b": "SGD"},), {}),
    "writes to the run's folder; give one as out": (("Adam",), {"log": "tensorboard"}),
    "watch is a int": (("Adam",), {"watch": 3}),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_trained_is_said_before(message):
    given, options = BAD[message]
    with pytest.raises(InputError, match=message):
        fit(task(), *given, **options)


def test_a_race_that_nobody_won_has_no_winner(raced, monkeypatch):
    monkeypatch.setattr(type(raced), "_won", None)
    monkeypatch.setitem(vars(raced), "winner", None)
    with pytest.raises(InputError, match="nobody won the race in"):
        fit(small_task(), raced)


def test_a_loop_of_ones_own_and_a_task_without_target_are_told():
    @slalom.trial(every=1, max_steps=2, higher_is_better=True)
    def mine(trial):
        yield 1.0

    with pytest.raises(InputError, match="is its own training"):
        fit(mine, "Adam")
    with pytest.raises(InputError, match=r"task is a int; it must be a slalom\.Task"):
        fit(3, "Adam")
    with pytest.raises(InputError, match="no target to train until"):
        fit(task(target=None), "Adam", until_target=True)
