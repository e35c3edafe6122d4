"""``slalom.fit`` through machine code: torch's runs to rounding, or torch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import slalom
from slalom.cli.training import train
from slalom.errors import InputError
from slalom.fitting import events
from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.packing import Packed
from slalom.fitting.tuning.worker import Sent, Worker
from slalom.train import Run, Task

X = torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


def task(*layers: nn.Module, **options: Any) -> Task:
    rest = layers or (nn.Linear(5, 16), nn.SiLU(), nn.Dropout(0.3), nn.Linear(16, 2))
    given = {"batch_size": 16, "eval_every": 4, "target": 0.9, "name": "plane"} | options
    return Task(nn.Sequential(*rest), nn.CrossEntropyLoss(), (X, Y), (X, Y), **given)


def fit(given: Task, by: Any = "Adam", **options: Any) -> Any:
    return slalom.fit(given, by, **{"lr": 0.01, "steps": 20, "progress": False} | options)


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_it_is_torchs_run_to_rounding_and_the_same_each_time() -> None:
    own, found, again = fit(task()), *(fit(task(), machine_code=True) for _ in range(2))
    assert not equal(own.model, found.model)
    assert equal(found.model, again.model)
    for a, b in zip(own.model.parameters(), found.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    assert [e.step for e in own.history] == [e.step for e in found.history]


def test_what_it_cannot_do_is_torchs_to_the_bit_and_said() -> None:
    layers = nn.Linear(5, 16), nn.BatchNorm1d(16), nn.Linear(16, 2)
    told: list[Any] = []
    found = fit(task(*layers), machine_code=True, watch=told.append)
    assert equal(found.model, fit(task(*layers)).model)
    said = [e.text for e in told if isinstance(e, events.Told)]
    assert said == ["torch goes through the model: layer 1 is a BatchNorm1d"]


def test_a_run_goes_on_as_it_was_begun(tmp_path: Any, monkeypatch: Any) -> None:
    class Stopped(Exception):  # noqa: N818 - it is none
        pass

    def stop(event: Any) -> None:
        if isinstance(event, events.Moved) and event.step >= 9:
            raise Stopped

    for name, machine_code in (("it", True), ("own", False)):
        with pytest.raises(Stopped):
            fit(task(), machine_code=machine_code, out=tmp_path / name, watch=stop)
    with pytest.raises(InputError, match=r"by machine code.* training"):
        fit(task(), out=tmp_path / "it")
    with monkeypatch.context() as patched:
        patched.setattr("slalom.fitting.through.refusal", lambda task, seed: "no")
        with pytest.raises(InputError, match=r"by machine code, which cannot be had here \(no\)"):
            fit(task(), out=tmp_path / "it", machine_code=True)
    told: list[Any] = []
    found = fit(task(), out=tmp_path / "own", machine_code=True, watch=told.append)
    assert equal(found.model, fit(task()).model)
    said = f"torch goes through the model: so was the run in {tmp_path / 'own'} begun"
    assert said in [e.text for e in told if isinstance(e, events.Told)]
    found = fit(task(), out=tmp_path / "it", machine_code=True)
    assert equal(found.model, fit(task(), machine_code=True).model)


def test_a_seed_of_an_ensemble_is_the_run_of_that_seed(tmp_path: Any) -> None:
    study = slalom.ensemble(
        task(), "Adam", lr=0.01, steps=20, seeds=2, out=tmp_path, progress=False
    )
    assert study.training == "by machine code"
    assert equal(study.fits[1].model, fit(task(), seed=1, machine_code=True).model)
    kept = fit(task(), seed=1, machine_code=True, out=tmp_path / "seed-1")
    assert equal(kept.model, study.fits[1].model)


@pytest.mark.parametrize("on_nonfinite", ["stop", "skip", "back"])
def test_what_goes_wrong_goes_wrong_as_torchs(on_nonfinite: Any) -> None:
    def ended(machine_code: bool) -> Any:
        x = X.clone()
        x[7] = 3e38  # whose outputs are no numbers
        given = Task(
            nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2)), nn.CrossEntropyLoss(),
            (x, Y), (X, Y), batch_size=16, eval_every=4, target=0.9,
        )  # fmt: skip
        try:
            found = fit(given, machine_code=machine_code, on_nonfinite=on_nonfinite)
        except slalom.fitting.TrainingError as error:
            return str(error), error.step
        return found.skipped, found.last.step, round(found.last.valid_loss, 4)

    assert ended(True) == ended(False)


def test_what_does_not_go_with_it_is_refused() -> None:
    with pytest.raises(InputError, match="machine_code=True does not go with compile=True"):
        fit(task(), machine_code=True, compile=True)
    with pytest.raises(InputError, match="machine_code is of one run"):
        slalom.ensemble(task(), "Adam", lr=0.01, steps=4, seeds=2, machine_code=True)


def test_the_command_goes_on_in_a_folder_of_its_own(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for machine_code in (False, True, True):
        train("cancer", "Adam", lr=0.01, steps=6, machine_code=machine_code, quiet=True)
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_it_is_a_lever() -> None:
    from slalom.fitting.chosen import chosen

    lever, using = LEVERS["machine code"], chosen("Adam", {"lr": 0.01}, None, task())
    assert lever.fits(task(), using.make)
    assert not lever.fits(task(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)), using.make)
    assert not lever.neutral
    found = []
    for names in ([], ["machine code"]):
        sent = Sent(Packed.of((task(), using.make, None)), 1, Run)
        found.append(Worker(sent, names).turn(1, 0.0))
    assert found[0].digest != found[1].digest
    assert found[1].gradient == pytest.approx(found[0].gradient, rel=1e-4, abs=1e-6)
