"""An ensemble is the runs of its seeds, whoever trains them and however often they are stopped."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from scipy import stats
from torch import nn
from torch.nn import functional as F

import slalom
from slalom.cli.training import runs, train
from slalom.errors import InputError
from slalom.fitting import Ensemble, Fit, TrainingError, ensembles
from slalom.fitting.averaged import Averaged
from slalom.fitting.course import Course
from slalom.train import Evaluation, Task, lanes, stack

X = torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


def task(
    dropout: float = 0.0, pause: float = 0.0, bends: type[nn.Module] = nn.Tanhshrink, **options: Any
) -> Task:
    def model() -> nn.Module:
        middle = [nn.Dropout(dropout)] if dropout else []
        return nn.Sequential(nn.Linear(5, 16), bends(), *middle, nn.Linear(16, 2))

    class Loss(nn.CrossEntropyLoss):
        def forward(self, outputs: Any, targets: Any) -> Any:
            time.sleep(pause)
            return super().forward(outputs, targets)

    loss = Loss() if pause else nn.CrossEntropyLoss()
    given = {"batch_size": 16, "eval_every": 4, "target": 0.9, "name": "plane"} | options
    return Task(model, loss, (X, Y), (X, Y), **given)


def ensemble(*given: Any, **options: Any) -> Ensemble:
    return slalom.ensemble(*given, **({"progress": False, "steps": 26, "lr": 0.01} | options))


def fit(*given: Any, **options: Any) -> Fit:
    return slalom.fit(*given, progress=False, **({"steps": 26, "lr": 0.01} | options))


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


KINDS: dict[str, dict[str, Any]] = {
    "plain": {}, "ema": {"ema": 0.9}, "cosine": {"schedule": "cosine", "warmup": 3},
}  # fmt: skip


@pytest.mark.parametrize("bends", [nn.Tanhshrink, nn.ReLU])
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_each_run_is_that_of_its_seed_to_rounding(options: dict[str, Any], bends: Any) -> None:
    options = options | {"bends": bends}
    found = ensemble(task(**options), "Adam", seeds=3, seed=4)
    assert found.training == ("by machine code" if bends is nn.ReLU else "side by side")
    for own, seed in zip(found.fits, (4, 5, 6), strict=True):
        alone = fit(task(**options), "Adam", seed=seed)
        assert own.seed == seed
        assert [(e.step, e.samples) for e in own.history] == [
            (e.step, e.samples) for e in alone.history
        ]
        for a, b in zip(own.history, alone.history, strict=True):
            assert (a.train_loss, a.valid_loss) == pytest.approx(
                (b.train_loss, b.valid_loss), rel=1e-4
            )
        torch.testing.assert_close(weights(own.model), weights(alone.model), rtol=1e-3, atol=1e-5)
        assert not own.model.training


def test_what_cannot_be_stacked_is_trained_one_after_the_other_to_the_bit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = ensemble(task(0.3), "Adam", seeds=2, progress=True)
    why = "one after the other: an update of Adam(lr=0.01) draws random numbers"
    assert found.training == why
    line = f"plane with Adam(lr=0.01), 2 seeds from 0, 26 steps, {why}"
    assert line in capsys.readouterr().out
    for own in found.fits:
        alone = fit(task(0.3), "Adam", seed=own.seed)
        assert torch.equal(weights(own.model), weights(alone.model))


def of_metrics(values: list[float]) -> Ensemble:
    made = task()
    fits = [
        Fit(made, made.make_model(seed), torch.optim.SGD([X]), "SGD", seed,
            [Evaluation(5, 80, 1.0, 0.5, 0.6, value)], "finished", 0, None)
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return Ensemble(made, "SGD", fits, {}, "side by side", None)


@pytest.mark.parametrize("values", [[0.5, 0.75], [0.9, 0.91, 0.95, 0.97, 0.9, 0.93]])
def test_the_interval_is_students(values: list[float]) -> None:
    found = of_metrics(values)
    error = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / len(values), scale=error)
    assert found.interval == pytest.approx((low, high), rel=1e-12)
    assert found.mean.metric == pytest.approx(sum(values) / len(values), rel=1e-12)
    assert (found.mean.valid_loss, found.mean.step) == (pytest.approx(0.6), 5)
    one = of_metrics([0.5])
    assert one.interval[0] != one.interval[0]


LOSSES: dict[str, tuple[Any, Any, Any]] = {  # loss, outputs -> probabilities, what is said of them
    "CrossEntropyLoss": (nn.CrossEntropyLoss(), lambda o: o.softmax(1), lambda p: p.log()),
    "cross_entropy": (F.cross_entropy, lambda o: o.softmax(1), lambda p: p.log()),
    "NLLLoss": (nn.NLLLoss(), lambda o: o.log_softmax(1).exp(), lambda p: p.log()),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss(), torch.sigmoid, torch.logit),
    "MSELoss": (nn.MSELoss(), lambda o: o, lambda p: p),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_of_predictions_is_by_its_definition(name: str) -> None:
    loss, probabilities, said = LOSSES[name]
    models = [nn.Linear(5, 3).double() for _ in range(4)]
    x = 10 * torch.randn(7, 5, dtype=torch.float64)
    with torch.no_grad():
        wanted = torch.stack([probabilities(m(x)) for m in models]).mean(0)
        averaged = Averaged(models, loss)
        torch.testing.assert_close(averaged.predict(x), wanted)
        torch.testing.assert_close(averaged(x), said(wanted))


def test_of_probabilities_themselves_the_mean_is_taken() -> None:
    models = [nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()) for _ in range(3)]
    averaged = Averaged(models, nn.BCELoss())
    wanted = sum(m(X) for m in models) / 3
    torch.testing.assert_close(averaged.predict(X), wanted)
    torch.testing.assert_close(averaged(X), wanted)


def test_an_ensemble_predicts_and_is_judged_as_one() -> None:
    found = ensemble(task(), "Adam", seeds=3)
    shares = torch.stack([m(X).softmax(1) for m in found.models]).mean(0).detach()
    torch.testing.assert_close(found.predict(X.numpy()), shares)
    assert found.averaged == (
        pytest.approx(F.nll_loss(shares.log(), Y).item(), rel=1e-5),
        (shares.argmax(1) == Y).double().mean().item(),
    )
    last = [f.last.metric for f in found.fits]
    assert found.metrics == dict(enumerate(last))
    text, page = repr(found), found._repr_html_()
    assert f"accuracy {sum(last) / 3:.4g} in the mean" in text
    assert "of their mean predictions" in text
    assert page.count("<tr>") == 4
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["metric"] == "accuracy"
    assert list(found.to_dataframe().groupby("seed").size()) == [7, 7, 7]


def test_a_loss_that_says_nothing_of_means_is_told() -> None:
    given = task()
    own = Task(given.model, lambda o, t: F.cross_entropy(o, t) + 0.1, (X, Y), (X, Y), batch_size=16)
    found = ensemble(own, "Adam", seeds=2, steps=3)
    with pytest.raises(InputError, match="does not say what a mean of outputs is"):
        found.predict(X)
    assert found.averaged is None
    assert "mean predictions" not in repr(found)


def test_a_seed_that_goes_wrong_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = stack.losses_of

    def lost(loss: Any, outputs: Any, targets: Any) -> Any:
        found = real(loss, outputs, targets)
        return torch.cat([found[:1], found[1:2] * float("nan"), found[2:]])

    whole = ensemble(task(), "Adam", seeds=3)
    with monkeypatch.context() as patched:
        patched.setattr(ensembles, "refused", lambda *given: None)
        patched.setattr(stack, "losses_of", lost)
        found = ensemble(task(), "Adam", seeds=3)
    assert "the loss was nan in step" in found.lost[1]
    assert [f.seed for f in found.fits][:1] == [0]
    assert torch.equal(weights(found.fits[0].model), weights(whole.fits[0].model))
    assert "seed 1 is left out: the loss was nan" in repr(found)
    with pytest.raises(TrainingError, match="the loss rose"):
        ensemble(task(), "SGD", seeds=2, lr=1e8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": 1}, "seeds is 1, and an ensemble has two runs at least; slalom.fit trains one"),
        ({"seeds": 2.5}, "seeds is 2.5"), ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63 - 1}, "the last of 3 would not be below"),
        ({"seconds": 3}, "seconds is of one run, and an ensemble has several; leave it out"),
        ({"log": "tensorboard"}, "log is of one run"),
        ({"steps": None, "epochs": -1}, "epochs is -1"), ({"out": 3}, "out is 3"),
        ({"momentum": 0.5}, "momentum"), ({"until_target": "x", "target": 1}, "target"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        ensemble(task(), "Adam", **({"seeds": 3} | options))
    assert "\n" not in str(raised.value)


def test_a_budget_in_seconds_is_refused() -> None:
    with pytest.raises(InputError, match="runs side by side share those; give epochs or steps"):
        ensemble(task(target=None, budget="3 seconds"), "Adam", seeds=3, steps=None)


# the folder


@pytest.mark.parametrize("bends", [nn.Tanhshrink, nn.ReLU])
def test_a_disk_that_fills_up_costs_checkpoints_and_no_training(
    bends: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    save, lost = Course._save, []

    def saved(self: Course, *given: Any, must: bool) -> None:
        with monkeypatch.context() as patched:
            if not must and self.status == "begun":  # neither the first nor the last one
                patched.setattr(os, "fsync", full)
                lost.append(given)
            save(self, *given, must=must)

    monkeypatch.setattr(Course, "_save", saved)
    found = ensemble(task(bends=bends), "Adam", seeds=3, out=tmp_path / "it", save_every=3)
    assert len(lost) > 9
    monkeypatch.undo()
    whole = ensemble(task(bends=bends), "Adam", seeds=3)
    assert found.lost == {}
    assert same(tmp_path / "it", whole)


@pytest.mark.parametrize("bends", [nn.Tanhshrink, nn.ReLU])
def test_a_disk_that_is_full_is_told_and_what_there_is_is_gone_on_with(
    bends: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    calls, real = itertools.count(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda f: full() if next(calls) > 11 else real(f))
    with pytest.raises(InputError, match="No space left on device") as raised:
        ensemble(task(bends=bends), "Adam", seeds=3, out=tmp_path / "it", save_every=3)
    assert "\n" not in str(raised.value)
    monkeypatch.undo()
    again = ensemble(task(bends=bends), "Adam", seeds=3, out=tmp_path / "it", save_every=3)
    whole = ensemble(task(bends=bends), "Adam", seeds=3)
    assert same(tmp_path / "it", whole)
    assert again.metrics == whole.metrics


def same(folder: Path, whole: Ensemble) -> bool:
    """Whether what is written is to the bit what was found."""
    return all(
        torch.equal(tensor, load_file(folder / f"seed-{f.seed}" / "weights.safetensors")[name])
        for f in whole.fits for name, tensor in f.model.state_dict().items()
    )  # fmt: skip


def test_more_seeds_are_added_and_those_there_are_given_back(tmp_path: Path) -> None:
    few = ensemble(task(), "Adam", seeds=2, out=tmp_path / "it")
    assert same(tmp_path / "it", few)
    more = ensemble(task(), "Adam", seeds=4, out=tmp_path / "it")
    assert same(tmp_path / "it", more)
    for a, b in zip(more.fits[:2], few.fits, strict=True):
        assert torch.equal(weights(a.model), weights(b.model))
        assert a.history == b.history  # seconds too: nothing was trained again
    again = ensemble(task(), "Adam", seeds=2, out=tmp_path / "it")
    assert again.metrics == few.metrics
    known = json.loads((tmp_path / "it" / "run.json").read_text())
    assert (known["seeds"], known["status"], known["step"]) == (4, "finished", 4 * 26)
    assert known["last"]["metric"] == pytest.approx(more.mean.metric)
    with pytest.raises(InputError, match=r"has 26 steps as its length"):
        ensemble(task(), "Adam", seeds=2, steps=27, out=tmp_path / "it")
    with pytest.raises(InputError, match="has side by side as its training"):
        fit(task(), "Adam", out=tmp_path / "it" / "seed-0")


def test_how_it_was_begun_is_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble(task(0.3), "Adam", seeds=2, out=tmp_path / "it")
    monkeypatch.setattr(ensembles, "refused", lambda *given: None)
    again = ensemble(task(0.3), "Adam", seeds=2, out=tmp_path / "it")
    assert again.training.startswith("one after the other: ")
    own = fit(task(0.3), "Adam", out=tmp_path / "it" / "seed-0")  # which it goes on with
    assert torch.equal(weights(own.model), weights(again.fits[0].model))


def begun(folder: Path, seconds: float | None = None, at: int | None = None) -> int:
    """Train in a forked process, and kill it so many seconds after it has begun, or let it be asked
    to end in the update of this number; its exit code."""
    process = os.fork()
    if not process:
        code = 1
        try:
            torch.set_num_threads(1)
            calls = itertools.count(1)

            def update(*given: Any) -> Any:
                if next(calls) == at:
                    os.kill(os.getpid(), signal.SIGTERM)
                return stack.update(*given)

            lanes.update = update  # type: ignore[assignment]
            ensemble(task(pause=1e-3), "Adam", seeds=3, out=folder, steps=60, save_every=7)
            code = 0
        except SystemExit as end:
            code = int(str(end.code))
        finally:
            os._exit(code)
    if seconds is not None:
        late = time.monotonic() + 30
        while not (folder / "seed-2" / "run.json").exists() and time.monotonic() < late:
            time.sleep(0.002)
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def killed(folder: Path, moments: int) -> None:
    whole = ensemble(task(pause=1e-3), "Adam", seeds=3, steps=60)
    assert whole.training == "side by side"
    chance, ended = random.Random(moments), 0
    for _ in range(moments):
        ended += begun(folder, chance.uniform(0, 0.25)) == -signal.SIGKILL
    assert ended
    assert begun(folder) == 0
    assert same(folder, whole)


@needs_fork
def test_one_that_is_killed_again_and_again_ends_the_same(tmp_path: Path) -> None:
    killed(tmp_path / "it", 3)


@needs_fork
@pytest.mark.slow
def test_one_that_is_killed_at_twelve_moments_ends_the_same(tmp_path: Path) -> None:
    killed(tmp_path / "it", 12)


@needs_fork
def test_sigterm_writes_where_all_are(tmp_path: Path) -> None:
    folder = tmp_path / "it"
    assert begun(folder, at=17) == 143
    steps = set()
    for seed in range(3):
        known = json.loads((folder / f"seed-{seed}" / "run.json").read_text())
        assert known["status"] == "begun"
        kept = [p.name for p in (folder / f"seed-{seed}" / "checkpoints").iterdir()]
        assert known["step"] == max(int(name.split("-")[1]) for name in kept)
        steps.add(known["step"])
    assert len(steps) == 1
    assert 17 <= steps.pop() <= 20  # where they are evaluated next
    assert begun(folder) == 0
    assert same(folder, ensemble(task(pause=1e-3), "Adam", seeds=3, steps=60))


FILE = """
import slalom, torch
x = torch.randn(128, 4, generator=torch.Generator().manual_seed(0))
y = (x.sum(1) > 0).long()
mine = slalom.Task(
    lambda: torch.nn.Linear(4, 2), torch.nn.CrossEntropyLoss(), (x[:96], y[:96]), (x[96:], y[96:]),
    batch_size=8, name="mine",
)
"""


def test_the_command_trains_from_many_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"lr": 0.01, "steps": 12}
    train("mine.py", "Adam", seeds=3, **options)
    assert "mine with Adam(lr=0.01), 3 seeds" in capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    train("mine.py", "Adam", seeds=4, as_json=True, **options)  # goes on there
    assert len(json.loads(capsys.readouterr().out)["seeds"]) == 4
    assert sorted(p.name for p in folder.glob("seed-*")) == [f"seed-{i}" for i in range(4)]
    runs(None)
    told = capsys.readouterr().out
    assert "mine with Adam(lr=0.01), 4 seeds from 0, 12 steps: finished, step 48, acc" in told
    runs(folder)
    assert capsys.readouterr().out.count("\n") == 5
    with pytest.raises(InputError, match="--compile is of one run; leave it out, or --seeds"):
        train("mine.py", "Adam", seeds=3, compiled=True, **options)
