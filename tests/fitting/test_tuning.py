"""Levers: what is decided of measurements, and that they are measured."""

from __future__ import annotations

import contextlib
import hashlib
import math
import signal
from dataclasses import replace

import cloudpickle
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import slalom
from slalom.bench import tune as bench
from slalom.cli import tuning as command
from slalom.errors import InputError
from slalom.fitting import events, training
from slalom.fitting.tuning import picture, trials, tune
from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.trials import _FailedError
from slalom.fitting.tuning.tuned import Tuned
from slalom.fitting.tuning.verdict import (
    OTHER,
    ROUNDING,
    SAME,
    Measured,
    chosen,
    interval,
    tried_again,
    verdict,
)
from slalom.fitting.tuning.worker import SHOWN, Worker, some
from slalom.train import Run, Task

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


def task(**options) -> Task:
    given = {"batch_size": 16, "eval_every": 4} | options
    return Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), **given)


@pytest.mark.parametrize(("n", "place"), [(6, 0), (9, 1), (12, 2), (20, 5)])
def test_an_interval_is_that_of_the_sign_test(n, place):
    values = [float(i) for i in range(n)]
    assert interval(values[::-1]) == (values[place], values[-1 - place])
    outside = [2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n for k in (place, place + 1)]
    assert outside[0] <= 0.05 < outside[1]
    assert interval(values[:5]) == (-math.inf, math.inf)


USUAL = Measured((), [1.0, 1.1, 0.9, 1.0, 1.2, 1.0, 1.0], 0.5, (3.0, 4.0), "a", once=1.0)


def pretended(*levers, times=1.0, digest="a", loss=0.5, gradient=(3.0, 4.0), once=1.0):
    seconds = [s / times for s in USUAL.seconds]
    return verdict(USUAL, USUAL, Measured(levers, seconds, loss, gradient, digest, once=once))


@pytest.mark.parametrize(
    ("seen", "numbers"),
    [
        ({}, SAME), ({"digest": "b"}, ROUNDING), ({"digest": "b", "loss": 0.50001}, ROUNDING),
        ({"digest": "b", "loss": 0.501}, OTHER), ({"digest": "b", "loss": math.nan}, OTHER),
        ({"digest": "b", "gradient": (3.0, 4.0004)}, ROUNDING),
        ({"digest": "b", "gradient": (3.0, 4.001)}, OTHER),
        ({"digest": "b", "gradient": (3.0, math.nan)}, OTHER),
    ],
)  # fmt: skip
def test_what_a_lever_does_to_the_numbers_is_found_by_comparing(seen, numbers):
    assert pretended("bfloat16", **seen).numbers == numbers


def test_nothing_is_the_same_where_a_task_differs_from_itself():
    again = replace(USUAL, digest="other")
    assert verdict(USUAL, again, replace(USUAL, levers=("memory kept",))).numbers == ROUNDING


def test_what_helps_is_beyond_its_interval_and_beyond_chance():
    assert pretended("memory kept", times=1.2).helps
    assert not pretended("memory kept").helps
    assert not pretended("memory kept", times=0.8).helps
    mixed = Measured(("memory kept",), [0.9, 1.0, 0.8, 1.1, 1.0, 0.9, 0.9], 0.5, (3.0, 4.0), "a")
    assert verdict(USUAL, USUAL, mixed).gain > 1
    assert not verdict(USUAL, USUAL, mixed).helps
    for times in (1.5, 1 / 1.5):  # a machine on which a thing is so much faster than itself
        moody = replace(USUAL, seconds=[s * times for s in USUAL.seconds])
        faster = [s / 1.4 for s in USUAL.seconds]
        assert not verdict(
            USUAL, moody, Measured(("memory kept",), faster, 0.5, (3.0, 4.0), "a")
        ).helps


def test_compiling_is_paid_for_by_what_it_saves():
    assert pretended("torch.compile", times=2, once=51.0).paid == pytest.approx(100)
    assert pretended("torch.compile", times=0.5, once=51.0).paid is None


def test_those_are_taken_together_that_help_and_do_not_exclude_one_another():
    found = [
        pretended("memory kept", times=1.2), pretended("one thread", times=1.3, digest="b"),
        pretended("all cores", times=1.5), pretended("torch.compile", times=0.9),
        pretended("bfloat16", times=1.4, digest="b", loss=1.0),
    ]  # fmt: skip
    assert chosen(found, exact=True) == ("memory kept", "all cores")
    assert chosen(found, exact=False) == ("memory kept", "all cores", "bfloat16")
    both = pretended("memory kept", "all cores", times=1.1)
    sets = [("all cores",), ("memory kept", "all cores"), ("memory kept", "all cores", "bfloat16")]
    assert tried_again(found) == sets
    assert Tuned(USUAL, USUAL, found).best(exact=False) == ()  # none was measured a second time
    told = Tuned(USUAL, USUAL, found, [found[2], both])
    assert told.best(exact=True) == ("all cores",)  # together they were slower than one of them
    assert told.applied == ()  # which is not free of numbers by its nature
    assert "torch.set_num_threads" in told.code
    assert Tuned(USUAL, USUAL, found[:1], found[:1]).applied == ("memory kept",)
    lucky = pretended("memory kept", times=0.97)
    nothing = Tuned(USUAL, USUAL, found[:1], [lucky])  # it helped once
    assert (nothing.best(exact=False), nothing.applied, nothing.code) == ((), (), "")
    assert "nothing here makes an update faster" in repr(nothing)


def table() -> Tuned:
    half = pretended("bfloat16", times=2.0, digest="b", loss=1.0)
    compiled = pretended("torch.compile", times=2.0, digest="b", once=51.0)
    sized = [replace(USUAL, size=n, peak=10**6) for n in (16, 64)]
    return Tuned(USUAL, USUAL, [half, compiled], [half], {"release": "OSError: no compiler"}, sized)


def test_a_table_has_all_of_it():
    found = table()
    text = repr(found)
    assert "2.00 (2.00-2.00)" in text
    assert "other arithmetic" in text
    assert "release: could not be measured: OSError: no compiler" in text
    assert "1000.000 (900.000-1200.000)" in text  # ms a step
    assert "its first step takes 51.0 s, which is paid for after 100 steps" in text
    assert "bfloat16, again" in text
    assert "64 (53-71)" in text  # samples a second
    last = text.splitlines()[-1]
    assert last.startswith(
        'Task(..., precision="bfloat16")  # other arithmetic: race it: --entrants'
    )
    assert last.endswith('"NAME,NAME(precision=bfloat16)"')
    assert found.to_json()["table"][2]["times"] == pytest.approx(2.0)


def theirs(parameters):
    return torch.optim.Adam(parameters, lr=0.01)


def worked(some: Task, *names: str, make=theirs) -> dict:
    before, high = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        worker = Worker(cloudpickle.dumps((some, make, None, before)), list(names))
        first = worker.first()
        assert worker.turn(0.001) > 0
        assert worker.peak() >= 0
        return first
    finally:
        torch.set_num_threads(before)
        torch.set_float32_matmul_precision(high)
        torch.set_flush_denormal(False)


class Rows(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i], Y[i]


def test_a_worker_makes_the_updates_of_the_task():
    run = Run(task(), lambda p: torch.optim.Adam(p, lr=0.01), 0)
    loss = run.advance(1)
    gradient = [g for p in run.model.parameters() for g in p.grad.reshape(-1).tolist()]
    run.advance(SHOWN - 1)
    usual = worked(task())
    assert (usual["loss"], usual["gradient"]) == (loss, gradient)
    weights = b"".join(p.detach().numpy().tobytes() for p in run.model.parameters())
    assert usual["digest"] == hashlib.sha256(weights).hexdigest()
    for name in ("memory kept", "denormals flushed", "one thread"):
        assert worked(task(), name)["digest"] == usual["digest"]
    assert worked(task(), "bfloat16")["loss"] != loss
    ours = worked(task(), "Slalom's optimizer")
    assert ours["gradient"] == gradient
    assert ours["digest"] != worked(task(), "bfloat16")["digest"]


def test_gradients_are_compared_by_some_numbers_evenly():
    large, small = torch.arange(30_000.0), torch.ones(3)
    found = some([large, small])
    assert found[:3] == [0.0, 4.0, 8.0]
    assert len(found) == 7501
    rows = torch.sparse_coo_tensor([[1]], torch.full((1, 2), 5.0), (4, 2))
    assert some([rows, torch.ones(1, dtype=torch.complex64)]) == [5.0, 5.0, 1.0, 0.0]


def loaded(dataset: Dataset, workers: int = 0) -> Task:
    loader = DataLoader(dataset, 16, shuffle=True, num_workers=workers)
    return Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), loader, (X, Y), eval_every=4)


def test_levers_that_change_how_samples_are_loaded_change_no_number():
    some = loaded(Rows())
    usual = worked(some)
    fit = {name for name, lever in LEVERS.items() if lever.fits(some, torch.optim.Adam)}
    assert fit >= {"workers", "samples in memory"}
    assert "no workers" not in fit
    for name in ("workers", "samples in memory"):
        assert worked(some, name)["digest"] == usual["digest"]
    assert some.train.arrays is None  # the task itself is as it was
    by_two = loaded(Rows(), workers=2)
    lever = LEVERS["no workers"]
    assert lever.fits(by_two, None)
    assert not LEVERS["workers"].fits(by_two, None)
    assert (lever.vary(by_two).train.loading.workers, by_two.train.loading.workers) == (0, 2)
    assert worked(by_two, "no workers")["digest"] == usual["digest"]
    assert not any(LEVERS[n].fits(task(), None) for n in ("workers", "no workers"))


class Augmented(Rows):
    def __getitem__(self, i):
        return X[i] + torch.randn(4), Y[i]


class Ragged(Rows):
    def __getitem__(self, i):
        return X[i, : 1 + i % 2], Y[i]


def test_samples_are_held_in_memory_only_where_that_is_the_same():
    assert LEVERS["samples in memory"].fits(loaded(Rows()), None)
    assert not any(LEVERS["samples in memory"].fits(t, None) for t in (task(), loaded(Augmented())))
    ragged = loaded(Rows())
    ragged.train._dataset = Ragged()
    assert not LEVERS["samples in memory"].fits(ragged, None)


def ours(parameters):
    return slalom.optim.Adam(parameters, lr=0.01)


def test_levers_of_the_update():
    usual = worked(task(), make=ours)
    for name in ("updates in backward", "gradients zeroed"):
        assert LEVERS[name].fits(task(), ours)
        assert worked(task(), name, make=ours)["digest"] == usual["digest"]
    assert not LEVERS["updates in backward"].fits(task(), torch.optim.Adam)
    assert not LEVERS["updates in backward"].fits(task(clip_norm=1.0), ours)
    lever = LEVERS["torch's optimizer"]
    assert lever.fits(task(), ours)
    assert not lever.fits(task(), lambda p: slalom.optim.MARS(p, lr=0.01))
    made = lever.exchange(ours)(task().make_model(0).parameters())
    assert (type(made), made.param_groups[0]["lr"]) == (torch.optim.Adam, 0.01)
    assert made.param_groups[0]["fused"]
    assert not LEVERS["Slalom's optimizer"].fits(task(), ours)
    assert worked(task(), "torch's optimizer", make=ours)["gradient"] == usual["gradient"]


def test_levers_that_change_the_task_do():
    images = Task(
        lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 2)),
        nn.CrossEntropyLoss(), (X.view(-1, 1, 2, 2), Y), (X.view(-1, 1, 2, 2), Y), batch_size=16,
    )  # fmt: skip
    assert LEVERS["channels_last"].fits(images, None)
    assert not LEVERS["channels_last"].fits(task(), None)
    assert len(worked(images, "channels_last")["gradient"]) == 22


def test_what_diverges_at_once_is_told():
    def make(parameters):
        return torch.optim.SGD(parameters, lr=1e30)

    worker = Worker(cloudpickle.dumps((task(), make, None, torch.get_num_threads())), [])
    assert "the loss" in worker.first()["diverged"]


BAD = {
    "rounds is 5; from 6 on there is an interval": {"rounds": 5},
    "there is no lever 'luck'; there are memory kept": {"levers": ["luck"]},
    "Invalid learning rate": {"lr": -1.0},
    "turn is 0": {"turn": 0},
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_measured_is_said_before(message):
    with pytest.raises(InputError, match=message):
        tune(task(), "Adam", **BAD[message])
    with pytest.raises(InputError, match="task is a int"):
        tune(3)


def test_it_is_measured_in_processes_of_their_own():
    found = tune(task(), "SGD", lr=0.1, levers=["memory kept"], rounds=6, turn=0.005)
    assert [v.measured.name for v in found.verdicts][:1] == ["memory kept"]
    assert len(found.usual.seconds) == len(found.again.seconds) == 6
    assert found.usual.digest == found.again.digest == found.verdicts[0].measured.digest


class Pretended:
    """A process that answers at once; ``ends`` says of which levers it ends, and at which turn."""

    ends: dict[tuple[str, ...], int] = {}  # noqa: RUF012
    order: list[tuple[str, ...]] = []  # noqa: RUF012

    def put(self, sent, names, size):
        self.names, self.turns = names, 0

    def ask(self, what, *_):
        if what == "first":
            return {"loss": 1.0, "gradient": (1.0,), "digest": "a", "once": 1.0}
        if what == "turn":
            self.turns += 1
            self.order.append(self.names)
            if self.turns > self.ends.get(self.names, 100):
                raise _FailedError("its process ended with -9")
            return 1.0 / (1 + 0.1 * len(self.names))
        return 0


def test_processes_take_turns_and_one_that_ends_is_left_out(monkeypatch):
    monkeypatch.setattr(trials, "_process", lambda: contextlib.nullcontext(Pretended()))
    monkeypatch.setattr(Pretended, "ends", {("bfloat16",): 3})
    Pretended.order.clear()
    names = ["memory kept", "bfloat16", "denormals flushed"]
    found = tune(task(), "SGD", lr=0.1, levers=names, rounds=6)
    assert found.failed == {"bfloat16": "its process ended with -9"}
    assert found.best(exact=True) == ("memory kept", "denormals flushed")  # of those together
    assert found.applied == ("memory kept",)
    alone = 5 + 2 * 5 + 5 + 3 * 4  # turns, the first of each among them
    assert len(Pretended.order) == alone + 4 + 6 * 4
    assert Pretended.order[5:15] == [
        (), (), ("memory kept",), ("bfloat16",), ("denormals flushed",),
        (), ("memory kept",), ("bfloat16",), ("denormals flushed",), (),
    ]  # fmt: skip
    monkeypatch.setattr(Pretended, "ends", {(): 3})
    with pytest.raises(InputError, match="the task cannot be measured: its process ended"):
        tune(task(), "SGD", lr=0.1, levers=names, rounds=6)


def test_what_is_chosen_for_the_models_of_the_benchmarks_is_measured_anew(monkeypatch, capsys):
    monkeypatch.setattr(trials, "_process", lambda: contextlib.nullcontext(Pretended()))
    monkeypatch.setattr(Pretended, "ends", {})
    assert bench.main(6, "net 10-16-2") == []
    assert "memory kept" in capsys.readouterr().out
    task = bench.task_of("net 10-16-2")
    assert Run(task, lambda p: torch.optim.SGD(p, lr=0.01), 0).advance(2) > 0
    monkeypatch.setattr(bench, "compared", lambda *_: (USUAL, USUAL, []))
    assert bench.main(6, "MLP 2.4M")[0].endswith("is 1.00 times as fast, below 1.2")


def test_fit_applies_what_was_measured_to_help_and_changes_no_number(tmp_path, monkeypatch):
    begun, told, asked = [], [], []

    def measured(some, using, names, rounds, turn, tell):
        asked.append(names)
        kept = [pretended("memory kept", times=1.3)]
        return Tuned(USUAL, USUAL, kept, kept)

    lever = replace(LEVERS["memory kept"], begin=lambda: begun.append(1))
    monkeypatch.setitem(LEVERS, "memory kept", lever)
    monkeypatch.setattr(training, "tuned", measured)
    options = {"lr": 0.01, "steps": 6, "seed": 3, "progress": False}
    out = {"out": tmp_path / "run", "watch": told.append}
    found = slalom.fit(task(), "Adam", tune=True, **out, **options)
    assert torch.equal(found.model.weight, slalom.fit(task(), "Adam", **options).model.weight)
    assert begun == [1]
    assert asked == [["memory kept", "no workers", "workers"]]
    texts = [e.text for e in told if isinstance(e, events.Told)]
    assert texts[0].startswith("measuring")
    assert texts[1:] == ["memory kept: 1.30 times as fast (1.30 to 1.30)"]
    slalom.fit(task(), "Adam", tune=True, **out, **options)  # it is over
    assert begun == [1]


def test_sigterm_ends_what_is_measured_too(monkeypatch):
    def measured(some, using, names, rounds, turn, tell):
        tell("turn 1 of 9")
        signal.raise_signal(signal.SIGTERM)
        tell("turn 2 of 9")

    monkeypatch.setattr(training, "tuned", measured)
    with pytest.raises(SystemExit) as ended:
        slalom.fit(task(), "Adam", steps=3, progress=False, tune=True)
    assert ended.value.code == 143


def test_the_command_prints_what_was_found(monkeypatch, capsys, tmp_path):
    given = {}

    def measured(some, optimizer, **options):
        given.update(options, optimizer=optimizer, task=some.name)
        kept = [pretended("memory kept", times=1.3)]
        return Tuned(USUAL, USUAL, kept, kept)

    monkeypatch.setattr("slalom.fitting.tuning.tune", measured)
    command.tune("digits", lr=0.01, batch_size="32")
    assert capsys.readouterr().out.endswith("slalom.keep_memory()\n")
    assert (given["task"], given["lr"], given["batch_size"]) == ("digits", 0.01, 32)
    command.tune("digits", as_json=True)
    assert '"exact": ["memory kept"]' in capsys.readouterr().out
    command.tune("digits", out=tmp_path / "tuned.html")
    assert "slalom.keep_memory()" in (tmp_path / "tuned.html").read_text()
    with pytest.raises(InputError, match="is to end in"):
        command.tune("digits", out=tmp_path / "tuned.pdf")


def test_sizes_of_the_batch_are_tried_where_batches_can_be_of_any():
    def sizes(some, **settings):
        return trials._sizes(some, trials.chosen_optimizer("Adam", {"lr": 0.1}, None, some))

    assert sizes(task()) == [4, 8, 16, 32, 64]
    assert sizes(task(batch_size=32)) == [8, 16, 32, 64]
    assert sizes(task(batch_size=4, accumulate=3)) == [3, 6, 12, 24, 48]
    assert sizes(loaded(Rows())) == [4, 8, 16, 32, 64]
    whole = trials.chosen_optimizer("BGD", {"lr": 0.1}, None, task())
    assert trials._sizes(task(), whole) == []


def test_the_picture_has_each_lever_by_what_it_does_to_the_numbers(tmp_path):
    found = table()
    drawn = found.plot()
    names = {(t.name, t.y[0], t.x[0]) for t in drawn.data if len(t.x) == 1}
    assert names == {
        (SAME, "as it is, again", 1.0), (OTHER, "bfloat16", 2.0), (ROUNDING, "torch.compile", 2.0),
        (OTHER, "bfloat16, again", 2.0),
    }  # fmt: skip
    assert found.plot("sizes").data[-1].x == (16, 64)
    with pytest.raises(InputError, match="there is no picture of 'sizes'"):
        Tuned(USUAL, USUAL, []).plot("sizes")
    page = picture.write(found, tmp_path / "tuned.html").read_text()
    assert page.count("Plotly.newPlot(") == 2 + page.count("plotly.js v") * 0
    assert "race it" in page
    assert picture.write(found, tmp_path / "tuned.svg").read_text().count("bfloat16") >= 0
