"""Levers: what is decided of measurements, and that they are measured."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
import types
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import slalom
from slalom.bench import tune as bench
from slalom.cli import tuning as command
from slalom.errors import InputError
from slalom.fitting import events
from slalom.fitting.tuning import picture, trials, tune
from slalom.fitting.tuning.levers import LEVERS, plain
from slalom.fitting.tuning.loops import PlainRun
from slalom.fitting.tuning.packing import LARGE, Packed, got, put
from slalom.fitting.tuning.trials import Trials
from slalom.fitting.tuning.tuned import Tuned
from slalom.fitting.tuning.turns import FailedError, LateError, Tried, Turns
from slalom.fitting.tuning.verdict import (
    OTHER,
    ROUNDING,
    SAME,
    Verdict,
    chosen,
    hopeless,
    interval,
    tried_again,
)
from slalom.fitting.tuning.worker import BEFORE, Sent, Turn, Worker, some
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


def test_what_cannot_be_told_any_more_is_given_up():
    assert not hopeless([0.9], 9)  # one of nine may lie below
    assert hopeless([0.9, 1.1, 1.0], 9)
    assert hopeless([0.9], 8)
    assert not hopeless([0.9, 0.8, 1.2], 12)


SEEN = Turn(1.0, losses=(0.5, 0.4), gradient=(3.0, 4.0), digest="a", once=1.0, steps=9)
USUAL = [replace(SEEN, seconds=s) for s in (1.0, 1.1, 0.9, 1.0, 1.2, 1.0, 1.0)]


def pretended(*levers, times=1.0, **seen):
    return Verdict(levers, [(u, replace(u, seconds=u.seconds / times, **seen)) for u in USUAL])


@pytest.mark.parametrize(
    ("seen", "numbers"),
    [
        ({}, SAME), ({"digest": "b"}, ROUNDING), ({"steps": 8}, ROUNDING),
        ({"digest": "b", "losses": (0.50001, 0.4)}, ROUNDING),
        ({"digest": "b", "losses": (0.501, 0.4)}, OTHER),
        ({"digest": "b", "losses": (0.5, 0.401)}, OTHER),
        ({"digest": "b", "losses": (0.5, math.nan)}, OTHER),
        ({"digest": "b", "gradient": (3.0, 4.0004)}, ROUNDING),
        ({"digest": "b", "gradient": ()}, ROUNDING),  # spent in the backward pass
        ({"digest": "b", "gradient": (3.0, 4.001)}, OTHER),
        ({"digest": "b", "gradient": (3.0, math.nan)}, OTHER),
    ],
)  # fmt: skip
def test_what_a_lever_does_to_the_numbers_is_found_by_comparing(seen, numbers):
    assert pretended("bfloat16", **seen).numbers == numbers


def test_nothing_is_the_same_where_a_task_differs_from_itself():
    pairs = [(SEEN, SEEN), (replace(SEEN, digest="b"), replace(SEEN, digest="b"))]
    assert Verdict(("memory kept",), pairs).numbers == ROUNDING
    stays = [(SEEN, SEEN), (SEEN, replace(SEEN, digest=""))]  # whose weights are further
    assert Verdict(("torch.compile",), stays).numbers == SAME


def test_what_helps_is_beyond_its_interval():
    assert pretended("memory kept", times=1.2).helps
    assert not pretended("memory kept").helps
    assert not pretended("memory kept", times=0.8).helps
    assert not replace(pretended("memory kept", times=1.2), pairs=[(SEEN, SEEN)] * 5).helps
    mixed = [(SEEN, replace(SEEN, seconds=s)) for s in (0.9, 1.0, 0.8, 1.1, 0.9, 0.9, 0.9)]
    assert Verdict(("memory kept",), mixed).gain > 1
    assert not Verdict(("memory kept",), mixed).helps


def test_compiling_is_paid_for_by_what_it_saves():
    assert pretended("torch.compile", times=2, once=51.0).paid == pytest.approx(100)
    assert pretended("torch.compile", times=0.5, once=51.0).paid is None


def test_those_are_taken_together_that_help_and_do_not_exclude_one_another():
    found = [
        pretended("memory kept", times=1.2), pretended("one thread", times=1.3, digest="b"),
        pretended("all cores", times=1.5), pretended("torch.compile", times=0.9),
        pretended("bfloat16", times=1.4, digest="b", losses=(1.0, 1.0)),
    ]  # fmt: skip
    assert chosen(found, exact=True) == ("memory kept", "all cores")
    assert chosen(found, exact=False) == ("memory kept", "all cores", "bfloat16")
    both = pretended("memory kept", "all cores", times=1.1)
    sets = [("all cores",), ("memory kept", "all cores"), ("memory kept", "all cores", "bfloat16")]
    assert tried_again(found) == sets
    assert Tuned(USUAL, found).best(exact=False) == ()  # none was measured a second time
    told = Tuned(USUAL, found, [found[2], both])
    assert told.best(exact=True) == ("all cores",)  # together they were slower than one of them
    assert "torch.set_num_threads" in told.code
    lucky = pretended("memory kept", times=0.97)
    nothing = Tuned(USUAL, found[:1], [lucky])  # it helped once
    assert (nothing.best(exact=False), nothing.code) == ((), "")
    assert "nothing here makes an update faster" in repr(nothing)


def table() -> Tuned:
    half = pretended("bfloat16", times=2.0, digest="b", losses=(1.0, 1.0))
    compiled = pretended("torch.compile", times=2.0, digest="b", once=51.0)
    few = replace(pretended("memory kept", times=0.5), pairs=[(SEEN, SEEN)])
    sized = {n: [replace(one, peak=10**6) for one in USUAL] for n in (16, 64)}
    failed = {"release": "OSError: no compiler"}
    return Tuned(USUAL, [half, compiled, few], [half], failed, sized, ["one thread"])


def test_a_table_has_all_of_it():
    found = table()
    text = repr(found)
    assert "2.00 (2.00-2.00)" in text
    assert "other arithmetic" in text
    assert "release: could not be measured: OSError: no compiler" in text
    assert "not tried, for want of time: one thread" in text
    assert "1000.000 (900.000-1200.000)" in text  # ms a step
    assert "1.00      1" in text  # one turn has no interval
    assert "its first step takes 51.0 s, which is paid for after 100 steps" in text
    assert "bfloat16, again" in text
    assert "64 (53-71)" in text  # samples a second
    last = text.splitlines()[-1]
    assert last.startswith(
        'Task(..., precision="bfloat16")  # other arithmetic: race it: --entrants'
    )
    assert last.endswith('"NAME,NAME(precision=bfloat16)"')
    rows = json.loads(json.dumps(found.to_json(), allow_nan=False))["table"]
    assert (rows[1]["times"], "low" in rows[1], "low" in rows[3]) == (2.0, True, False)


def theirs(parameters):
    return torch.optim.Adam(parameters, lr=0.01)


def worked(some: Task, *names: str, make=theirs, steps=7) -> Turn:
    before, high = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        sent = Sent(Packed.of((some, make, None)), before, PlainRun)
        return Worker(sent, names).turn(steps, 0.0)
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
    losses = [run.advance(1)]
    gradient = [g for p in run.model.parameters() for g in p.grad.reshape(-1).tolist()]
    losses += [run.advance(1) for _ in range(BEFORE - 1)]
    run.advance(7)
    usual = worked(task())
    assert (usual.losses, usual.gradient, usual.steps) == (tuple(losses), gradient, BEFORE + 7)
    weights = b"".join(p.detach().numpy().tobytes() for p in run.model.parameters())
    assert usual.digest == hashlib.sha256(weights).hexdigest()
    for name in ("memory kept", "denormals flushed", "one thread"):
        assert worked(task(), name).digest == usual.digest
    assert worked(task(), "bfloat16").losses != usual.losses
    ours = worked(task(), "Slalom's optimizer")
    assert ours.gradient == gradient
    assert ours.digest != worked(task(), "bfloat16").digest
    whole = Worker(Sent(Packed.of((task(), theirs, None)), 1, Run), ())
    assert whole.turn(7, 0.0).digest == usual.digest
    assert whole.turn(7, 0.0).digest == ""  # it went on


def test_what_is_large_lies_where_it_was_read_and_comes_as_it_went():
    """No block as large as the data is freed in the process that trains on them."""
    x = torch.randn(300, 100)
    weight = torch.randn(300, 100, requires_grad=True)
    numbers = np.arange(2 * LARGE).reshape(2, -1)
    sent = {
        "x": x, "again": x, "half": x.bfloat16(), "whether": x > 0, "every other": x[:, ::2],
        "none": x[:0], "one": x[0, 0], "complex": x + 1j * x, "conjugated": (x + 1j * x).conj(),
        "weight": weight, "numbers": numbers, "turned": numbers.T, "text": "t",
    }  # fmt: skip
    file = io.BytesIO()
    put(Packed.of(sent), file)
    packed = got(io.BufferedReader(io.BytesIO(file.getvalue())))
    found = packed.unpacked()
    assert list(found) == list(sent)
    for name, then in sent.items():
        now = found[name]
        assert type(now) is type(then)
        if isinstance(then, torch.Tensor):
            assert (now.dtype, now.requires_grad) == (then.dtype, then.requires_grad)
            assert torch.equal(now, then)
        else:
            assert np.array_equal(now, then)
    assert found["again"] is found["x"]
    places = [torch.frombuffer(part, dtype=torch.uint8).data_ptr() for part in packed.large]
    for tensor in ("x", "complex"):
        assert found[tensor].data_ptr() in places
    assert found["numbers"].ctypes.data in places
    with pytest.raises(EOFError):
        got(io.BufferedReader(io.BytesIO(file.getvalue()[:-1])))


def test_gradients_are_compared_by_some_numbers_evenly():
    large, small = torch.arange(30_000.0), torch.ones(3)
    found = some([large, small])
    assert found[:3] == [0.0, 4.0, 8.0]
    assert len(found) == 7501
    rows = torch.sparse_coo_tensor([[1]], torch.full((1, 2), 5.0), (4, 2))
    assert some([rows, torch.ones(1, dtype=torch.complex64)]) == [5.0, 5.0, 1.0, 0.0]


def loaded(dataset: Dataset, workers: int = 0, **options) -> Task:
    loader = DataLoader(dataset, 24, shuffle=True, num_workers=workers, **options)
    return Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), loader, (X, Y), eval_every=4)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_loop_that_people_write_has_the_batches_of_a_run(accumulate, monkeypatch):
    begun = []
    init = DataLoader.__iter__
    monkeypatch.setattr(DataLoader, "__iter__", lambda self: begun.append(1) or init(self))
    some = loaded(TensorDataset(X, Y))  # three batches an epoch
    some.accumulate = accumulate
    usual = worked(some)
    epochs = -(-(BEFORE + 7) * accumulate // (3 if accumulate == 1 else 4))
    assert len(begun) >= epochs - accumulate + 1
    assert LEVERS["batches"].fits(some, None)
    begun.clear()
    assert worked(some, "batches").digest == usual.digest
    assert not begun
    assert not LEVERS["batches"].fits(task(), None)
    assert not LEVERS["batches"].fits(loaded(Rows()), None)


def test_a_loader_with_processes_begins_them_anew_in_each_epoch_unless_they_persist():
    fits = {name for name, lever in LEVERS.items() if lever.group == "loading"
            and lever.fits(loaded(Rows(), 1), None)}  # fmt: skip
    assert fits == {"workers kept", "no workers", "samples in memory"}
    kept = loaded(Rows(), 1, persistent_workers=True)
    assert not LEVERS["workers kept"].fits(kept, None)
    usual = worked(loaded(Rows()), steps=2)
    assert worked(loaded(Rows(), 1), steps=2).digest == usual.digest
    assert worked(loaded(Rows(), 1), "workers kept", steps=2).digest == usual.digest


def test_levers_that_change_how_samples_are_loaded_change_no_number():
    some = loaded(Rows())
    usual = worked(some)
    fit = {name for name, lever in LEVERS.items() if lever.fits(some, torch.optim.Adam)}
    assert fit >= {"workers", "samples in memory"}
    assert "no workers" not in fit
    for name in ("workers", "samples in memory"):
        assert worked(some, name).digest == usual.digest
    assert some.train.arrays is None  # the task itself is as it was
    by_two = loaded(Rows(), workers=2)
    lever = LEVERS["no workers"]
    assert lever.fits(by_two, None)
    assert not LEVERS["workers"].fits(by_two, None)
    assert (lever.vary(by_two).train.loading.workers, by_two.train.loading.workers) == (0, 2)
    assert worked(by_two, "no workers").digest == usual.digest
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
        assert worked(task(), name, make=ours).digest == usual.digest
    assert LEVERS["updates in backward"].fits(task(), theirs)
    assert not LEVERS["updates in backward"].fits(task(), lambda p: torch.optim.Rprop(p[:0]))
    assert not LEVERS["updates in backward"].fits(task(clip_norm=1.0), ours)
    lever = LEVERS["torch's fused optimizer"]
    assert lever.fits(task(), ours)
    assert not lever.fits(task(), lambda p: slalom.optim.MARS(p, lr=0.01))
    made = lever.exchange(ours)(task().make_model(0).parameters())
    assert (type(made), made.param_groups[0]["lr"]) == (torch.optim.Adam, 0.01)
    assert made.param_groups[0]["fused"]
    assert not LEVERS["Slalom's optimizer"].fits(task(), ours)
    assert worked(task(), "torch's fused optimizer", make=ours).gradient == usual.gradient


def test_levers_that_change_the_task_do():
    images = Task(
        lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 2)),
        nn.CrossEntropyLoss(), (X.view(-1, 1, 2, 2), Y), (X.view(-1, 1, 2, 2), Y), batch_size=16,
    )  # fmt: skip
    assert LEVERS["channels_last"].fits(images, None)
    assert not LEVERS["channels_last"].fits(task(), None)
    assert len(worked(images, "channels_last").gradient) == 22


def test_what_diverges_at_once_is_told():
    def make(parameters):
        return torch.optim.SGD(parameters, lr=1e30)

    with pytest.raises(InputError, match="the first updates diverge: the loss"):
        worked(task(), make=make)


def test_the_loop_that_people_write_has_torchs_optimizer():
    made = plain(lambda p: slalom.optim.Adam(p, lr=0.01, betas=(0.8, 0.9)))(
        task().make_model(0).parameters()
    )
    assert type(made) is torch.optim.Adam
    group = made.param_groups[0]
    assert (group["lr"], group["betas"], group["fused"]) == (0.01, (0.8, 0.9), None)

    def rule(parameters):
        return slalom.optim.MARS(parameters, lr=0.01)

    assert plain(rule) is rule


BAD = {
    "rounds is 5; from 6 on there is an interval": {"rounds": 5},
    "there is no lever 'luck'; there are memory kept": {"levers": ["luck"]},
    "Invalid learning rate": {"lr": -1.0},
    "turn is 0": {"turn": 0},
    "seconds is -1": {"seconds": -1},
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_measured_is_said_before(message):
    with pytest.raises(InputError, match=message):
        tune(task(), "Adam", **BAD[message])
    with pytest.raises(InputError, match="task is a int"):
        tune(3)


def test_it_is_measured_in_processes_of_their_own():
    with Trials(task(), theirs, None, PlainRun, time.monotonic() + 60, 6, 0.005, print) as some:
        some.begin()
        found = some.compared([("memory kept",)], time.monotonic() + 60)
    assert [v.numbers for v in found] == [SAME]
    assert {t.digest for t in some.usual} == {some.usual[0].digest}


def test_a_model_of_a_file_that_no_other_process_has_is_compiled(monkeypatch):
    made = types.ModuleType("nobody_s_file")
    exec(
        "import torch\nSCALE = 2.0\nclass Net(torch.nn.Linear):\n"
        "    def forward(self, x):\n        return super().forward(x) * SCALE\n",
        vars(made),
    )
    seen = []
    monkeypatch.setattr("slalom.fitting.tuning.levers.compile_model", seen.append)
    LEVERS["torch.compile"].dress(SimpleNamespace(model=made.Net(4, 2)))
    assert sys.modules.pop("nobody_s_file").SCALE == 2.0
    assert len(seen) == 1


class Ends(nn.Linear):
    def forward(self, x):
        os.kill(os.getpid(), signal.SIGKILL)


class Waits(nn.Linear):
    def forward(self, x):
        time.sleep(60)
        return super().forward(x)


def test_a_process_that_ends_or_is_late_is_told_and_none_is_left(monkeypatch):
    bad = Task(lambda: Ends(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=16)
    turns = Turns(bad, theirs, None, PlainRun)
    with pytest.raises(FailedError, match="its process ended with -9"):
        turns.turn(Tried(), 1, until=time.monotonic() + 60)
    turns.close()
    late = Task(lambda: Waits(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=16)
    turns, begun = Turns(late, theirs, None, PlainRun), []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **o: begun.append(popen(*a, **o)) or begun[-1]
    )
    with pytest.raises(LateError):
        turns.turn(Tried(), 1, until=time.monotonic() + 8)
    ends = time.monotonic() + 20
    with contextlib.suppress(ProcessLookupError):  # those that it has forked are gone too
        while os.killpg(begun[0].pid, 0) is None:
            assert time.monotonic() < ends
            time.sleep(0.01)


class Pretended:
    """Turns made at once, by a clock of their own. ``ends`` says of which levers they fail, and at
    which turn; ``late`` which take a hundred times as long."""

    def __init__(self, monkeypatch, ends=None, late=(), gain=0.1):
        self.ends, self.late, self.gain = ends or {}, late, gain
        self.now, self.order, self.made = 0.0, [], {}
        monkeypatch.setattr(trials, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(trials, "Turns", lambda *given: self)

    def turn(self, tried, steps, seconds, until):
        self.now += 100.0 if tried.names in self.late else 1.0
        self.order.append(tried.names)
        self.made[tried] = self.made.get(tried, 0) + 1
        if self.now > until:
            raise LateError
        if self.made[tried] > self.ends.get(tried.names, 1000):
            raise FailedError("its process ended with -9")
        return replace(SEEN, seconds=1.0 / (1 + self.gain * len(tried.names)))

    def done(self, tried=None):
        pass

    close = done


def test_processes_take_turns_and_one_that_ends_is_left_out(monkeypatch):
    seen = Pretended(monkeypatch, {("bfloat16",): 3})
    names = ["memory kept", "bfloat16", "denormals flushed"]
    found = tune(task(), "SGD", lr=0.1, levers=names, rounds=6, seconds=1000)
    assert found.failed == {"bfloat16": "its process ended with -9"}
    assert found.best(exact=True) == ("memory kept", "denormals flushed")  # of those together
    assert found.untried == []
    assert seen.order[2:10] == [
        (), ("memory kept",), ("bfloat16",), ("denormals flushed",),
        ("memory kept",), ("bfloat16",), ("denormals flushed",), (),
    ]  # fmt: skip
    assert len(seen.order) == 2 + 4 * 4 + 2 * 3 + 6 * 3
    Pretended(monkeypatch, {(): 3})
    with pytest.raises(InputError, match="the task cannot be measured: its process ended"):
        tune(task(), "SGD", lr=0.1, levers=names, rounds=6)


def test_levers_are_tried_in_their_order_as_long_as_there_is_time(monkeypatch):
    seen = Pretended(monkeypatch)
    some = loaded(TensorDataset(X, Y))
    found = tune(some, "SGD", lr=0.1, seconds=60)
    tried = [v.name for v in found.verdicts]
    fit = [n for n, lever in LEVERS.items() if lever.fits(some, theirs)]
    assert tried == fit[: len(tried)]
    assert 2 <= len(tried) < len(fit)
    assert [*found.untried][-1] == "batch size"
    assert seen.now <= 60
    assert found.best(exact=True) == tuple(tried)  # there was time to measure it again
    slow = Pretended(monkeypatch, late=[("memory kept",)])
    found = tune(some, "SGD", lr=0.1, seconds=60)
    assert found.failed["memory kept"].startswith("its first turn was not over")
    Pretended(monkeypatch, late=[()])
    with pytest.raises(InputError, match="give more seconds"):
        tune(some, "SGD", lr=0.1, seconds=60)
    assert slow.now > 60  # by the turn that was late


def test_where_time_is_shorter_than_was_thought_the_first_levers_have_it(monkeypatch):
    seen = Pretended(monkeypatch)
    with Trials(task(), theirs, None, PlainRun, 1000.0, 12, 0.1, print) as some:
        some.begin()
        names = ["memory kept", "one thread", "denormals flushed"]
        found = some.compared([(name,) for name in names], seen.now + 16, told=True)
    assert [v.name for v in found if v.helps] == ["memory kept"]
    assert seen.now <= 2 + 16


def test_levers_that_do_not_help_leave_early(monkeypatch):
    seen = Pretended(monkeypatch, gain=-0.1)
    found = tune(task(), "SGD", lr=0.1, levers=["memory kept"], rounds=12, seconds=1000)
    assert found.best(exact=False) == ()
    assert seen.made[Tried(("memory kept",))] == 3  # 2 of 12 may lie below 1


def test_what_is_chosen_for_the_models_of_the_benchmarks_is_measured_anew(monkeypatch, capsys):
    Pretended(monkeypatch)
    monkeypatch.setattr(bench, "time", trials.time)
    assert bench.main(6, "net 10-16-2", seconds=1000) == []
    assert "memory kept" in capsys.readouterr().out
    some = bench.task_of("net 10-16-2")
    assert Run(some, lambda p: torch.optim.SGD(p, lr=0.01), 0).advance(2) > 0
    Pretended(monkeypatch, gain=-0.1)
    monkeypatch.setattr(bench, "time", trials.time)
    assert bench.main(6, "MLP 2.4M", seconds=1000)[0].endswith("is 1.00 times as fast, below 1.2")


def test_fit_applies_what_was_measured_to_help_and_changes_no_number(tmp_path, monkeypatch):
    begun, told, asked = [], [], []

    def measured(self, names):
        asked.append(names)
        kept = [pretended("memory kept", times=1.3)]
        return Tuned(USUAL, kept, kept)

    lever = replace(LEVERS["memory kept"], begin=lambda: begun.append(1))
    monkeypatch.setitem(LEVERS, "memory kept", lever)
    monkeypatch.setattr(Trials, "tuned", measured)
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
    def turn(self, *asked):
        signal.raise_signal(signal.SIGTERM)
        return SEEN

    monkeypatch.setattr(Turns, "turn", turn)
    with pytest.raises(SystemExit) as ended:
        slalom.fit(task(), "Adam", steps=3, progress=False, tune=True)
    assert ended.value.code == 143


def test_the_command_prints_what_was_found(monkeypatch, capsys, tmp_path):
    given = {}

    def measured(some, optimizer, **options):
        given.update(options, optimizer=optimizer, task=some.name)
        kept = [pretended("memory kept", times=1.3)]
        return Tuned(USUAL, kept, kept)

    monkeypatch.setattr("slalom.fitting.tuning.tune", measured)
    command.tune("digits", lr=0.01, batch_size="32")
    assert capsys.readouterr().out.endswith("slalom.keep_memory()\n")
    assert (given["task"], given["lr"], given["batch_size"]) == ("digits", 0.01, 32)
    assert "seconds" not in given
    command.tune("digits", as_json=True, minutes=2.0)
    assert given["seconds"] == 120
    assert '"exact": ["memory kept"]' in capsys.readouterr().out
    command.tune("digits", out=tmp_path / "tuned.html")
    assert "slalom.keep_memory()" in (tmp_path / "tuned.html").read_text()
    with pytest.raises(InputError, match="is to end in"):
        command.tune("digits", out=tmp_path / "tuned.pdf")
    with pytest.raises(InputError, match="give one of them"):
        command.tune("digits", seconds=5, minutes=1)


def test_sizes_of_the_batch_are_tried_where_batches_can_be_of_any():
    def sizes(some, size=None):
        return Trials(some, theirs, size, PlainRun, 0.0, 6, 0.1, print)._sizes()

    assert sizes(task()) == [4, 8, 16, 32, 64]
    assert sizes(task(batch_size=32)) == [8, 16, 32, 64]
    assert sizes(task(batch_size=4, accumulate=3)) == [3, 6, 12, 24, 48]
    assert sizes(loaded(Rows())) == [6, 12, 24, 48]
    assert sizes(task(), "all") == []


def test_the_picture_has_each_lever_by_what_it_does_to_the_numbers(tmp_path):
    found = table()
    drawn = found.plot()
    names = {(t.name, t.y[0], t.x[0]) for t in drawn.data if len(t.x) == 1}
    assert names == {
        (SAME, "memory kept", 1.0), (OTHER, "bfloat16", 2.0), (ROUNDING, "torch.compile", 2.0),
        (OTHER, "bfloat16, again", 2.0),
    }  # fmt: skip
    assert found.plot("sizes").data[-1].x == (16, 64)
    with pytest.raises(InputError, match="there is no picture of 'sizes'"):
        Tuned(USUAL, []).plot("sizes")
    with pytest.raises(InputError, match="no lever was measured"):
        picture.write(Tuned(USUAL, []), tmp_path / "none.svg")
    page = picture.write(found, tmp_path / "tuned.html").read_text()
    assert page.count("Plotly.newPlot(") == 2 + page.count("plotly.js v") * 0
    assert "race it" in page
    assert picture.write(found, tmp_path / "tuned.svg").read_text().count("bfloat16") >= 0
