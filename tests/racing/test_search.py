"""What is searched: ranges of all kinds, of the run as of the optimizer, by whom and from where."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import slalom
from slalom.cli import main
from slalom.errors import InputError
from slalom.racing import stopwatch, tpe
from slalom.racing.entrants import Entrant, families
from slalom.racing.options import Options
from slalom.racing.result import Result
from slalom.racing.space import COMMON, Choice, Linear, at, points, share_of
from slalom.racing.spoken import names_of, space_of, words_of
from slalom.racing.status import Stage
from slalom.racing.tpe import suggested
from slalom.train import Run
from slalom.train.varied import varied
from small import small_task


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The clock takes no longer than it must."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopwatch, "TURN", 0.001)
        yield


def race(out: Path, **options: Any) -> Any:
    given = {"entrants": ["SGD", "Adam"], "points_each": 4, "seeds": 3, "budget": "2 epochs"}
    given |= {"baseline": None, "progress": False, "out": out}
    return slalom.race(small_task(), **given | options)


WRITTEN = [
    ("lr=1e-4:1e-1", {"lr": (1e-4, 1e-1)}),
    ("weight_decay=0:0.1", {"weight_decay": (0, 0.1)}),
    ("momentum=linear:0.8:0.99", {"momentum": ("linear", 0.8, 0.99)}),
    ("nesterov=true,false", {"nesterov": Choice((True, False))}),
    ("eps=1e-8,1e-6", {"eps": Choice((1e-8, 1e-6))}),
    ("lr=0.001", {"lr": 0.001}),
    ("betas[1]=0.9:0.999", {"betas[1]": (0.9, 0.999)}),
    ("adam.lr=0.001:1", {"adam": {"lr": (0.001, 1)}}),
    ("batch_size=16:64", {"batch_size": (16, 64)}),
]


@pytest.mark.parametrize(("text", "space"), WRITTEN)
def test_spaces_as_they_are_typed(text: str, space: dict[str, Any]) -> None:
    assert space_of([text]) == space
    assert space_of(words_of(space)) == space


@pytest.mark.parametrize("text", ["lr", "=1", "lr=", ".lr=1", "lr=1:2:3", "lr=a:b"])
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--set .* (says nothing|is no range)"):
        space_of([text])


def test_a_space_is_for_all_that_take_it_and_under_a_name_for_one() -> None:
    space = {
        "lr": 0.01,
        "momentum": (0.5, 0.9),
        "adam": {"lr": (1e-3, 1e-1), "eps": [1e-8, "a", 1]},
    }
    sgd, adam = families(["SGD", "Adam"], space=space)
    assert (sgd.fixed["lr"], set(sgd.space)) == (0.01, {"momentum"})
    assert adam.space == {"lr": (1e-3, 1e-1), "eps": Choice((1e-8, "a", 1))}
    assert "momentum" not in adam.fixed


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"larning_rate": 1}, "space names 'larning_rate', which no entrant takes"),
        ({"momentun": 0.9}, "did you mean momentum"),
        ({"Adm": {"lr": 1}}, "space names 'adm', which does not race; did you mean Adam"),
        ({"Adam": {"momentum": 1}}, "Adam takes no option 'momentum'"),
        ({"lr": (1, 0.1)}, "did you mean"),
        ([("lr", 1)], "it must be a mapping"),
        ({"lr": math.nan}, "lr of SGD is nan; it must be of finite numbers"),
        ({"lr": (math.nan, 1.0)}, "it must be of finite numbers"),
        ({"Adam": {"lr": ["inf", 1]}}, "lr of Adam is ['inf', 1]; it must be of finite numbers"),
    ],
)
def test_what_is_no_space_is_told(space: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        families(["SGD", "Adam"], space=space)
    assert message in str(caught.value)


def test_several_numbers_are_one_value_of_what_takes_several() -> None:
    (found,) = families(["Adam"], space=space_of(["betas=0.8,0.9", "lr=0.1,0.2"]))
    assert found.fixed["betas"] == (0.8, 0.9)
    assert found.space["lr"] == Choice((0.1, 0.2))


def test_a_label_tells_what_is_set_for_the_race_and_no_object() -> None:
    nesterov, adam, own = families(
        {
            "Nesterov": "Nesterov",
            "Adam": "Adam",
            "own": (torch.optim.SGD, {"lr": 0.5}),
        },
        space={"lr": 0.01, "Adam": {"betas": (0.8, 0.9)}, "own": {"lr": (0.1, 1.0), "fused": dict}},
    )
    assert Entrant(0, nesterov, {"momentum": 0.9}).label == "Nesterov(lr=0.01, momentum=0.9)"
    assert Entrant(0, adam, {}).label == "Adam(lr=0.01, betas=(0.8, 0.9))"
    assert Entrant(0, own, {"lr": 0.2}).label == "own(lr=0.2)"


def test_what_has_a_range_though_no_rule_declares_it() -> None:
    sgd, adam, bgd = families(["SGD", "Adam", "BGD"], ("lr", "weight_decay", "warmup", "clip_norm"))
    for family in (sgd, adam, bgd):
        assert {n: family.space[n] for n in ("weight_decay", "warmup", "clip_norm")} == {
            n: COMMON[n] for n in ("weight_decay", "warmup", "clip_norm")
        }
    assert any(p["weight_decay"] == 0 for p in points(sgd.space, 16, 0))
    assert all(0 <= p["warmup"] <= 0.2 for p in points(sgd.space, 16, 0))


def test_warm_up_and_bounds_of_gradients_are_of_the_run(tmp_path: Path) -> None:
    """To the bit what a task of these gives; the optimizer's own options are its own."""
    space = {"torch": (torch.optim.SGD, {"lr": 0.5, "clip_norm": 0.3, "warmup": 8})}
    (family,) = families(space)
    entrant = Entrant(0, family, {})
    assert entrant.arguments == {"lr": 0.5}
    assert "clip_norm=0.3" in entrant.snippet()
    ours = Run(entrant.of(small_task()), entrant.optimizer, 1)
    theirs = Run(small_task(clip_norm=0.3, warmup=8), entrant.optimizer, 1)
    plain = Run(small_task(), entrant.optimizer, 1)
    losses = [[run.advance(1) for _ in range(12)] for run in (ours, theirs, plain)]
    assert losses[0] == losses[1] != losses[2]
    (own,) = families({"ours": (slalom.optim.SGD, {"lr": 0.5, "clip_norm": 0.3})})
    assert Entrant(0, own, {}).arguments == {"lr": 0.5, "clip_norm": 0.3}
    given = {"SGD": (torch.optim.SGD, {"lr": (0.01, 1), "warmup": (0, 0.3), "clip_norm": (0.1, 9)})}
    result = race(tmp_path / "it", entrants=given)
    names = {name for c in result.curves for name in c.hypers}
    assert names == {"lr", "warmup", "clip_norm", "horizon"}
    assert "warm-up of" in result.winner.snippet()
    assert "clip_norm=" in result.winner.snippet()


def test_what_cannot_be_is_said_before_the_race(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="warmup goes with schedules that are a name"):
        slalom.race(
            small_task(schedule="one_cycle"), entrants=["SGD"], space={"warmup": 10},
            out=tmp_path / "it",
        )  # fmt: skip
    with pytest.raises(InputError, match="sampler is 'random'; it is 'tpe'"):
        race(tmp_path / "it", sampler="random")
    assert not (tmp_path / "it").exists()


def test_a_momentum_that_the_schedule_sets_is_not_raced(tmp_path: Path) -> None:
    def cycle(optimizer: torch.optim.Optimizer) -> Any:
        top = [group["lr"] for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, top, total_steps=600)

    task = small_task(schedule=cycle)
    for entrants, hyper in ((["Momentum"], "momentum"), (["Adam"], "betas")):
        with pytest.raises(InputError, match=f"cycle schedule sets the momentum, so that {hyper}"):
            slalom.race(task, entrants=entrants, search=("lr", hyper), out=tmp_path / "it")
    with pytest.raises(InputError, match="momentum of Momentum, which is raced, would count for"):
        slalom.race(task, entrants=["Momentum"], space={"momentum": 0.5}, out=tmp_path / "it")
    Options(["Momentum", "Adam", "AdaGrad"]).check(task)
    with pytest.raises(InputError, match="the OneCycleLR is of 600 steps, and a run may make 601"):
        Options(["SGD"]).check(small_task(schedule=cycle, max_steps=601))


def test_a_bound_of_none_is_none() -> None:
    assert varied(small_task(clip_norm=1.0), clip_norm=0.0).clip_norm is None


@pytest.mark.parametrize(
    ("name", "dimension"),
    [("lr", (1e-4, 1e-1)), ("momentum", (0.5, 0.99)), ("weight_decay", (0.0, 0.1)),
     ("warmup", Linear(0.0, 0.2))],
)  # fmt: skip
def test_shares_and_values_are_each_others_inverse(name: str, dimension: Any) -> None:
    for share in (0.3, 0.5, 0.99):
        assert share_of(name, dimension, at(name, dimension, share)) == pytest.approx(
            share, abs=0.01
        )


def test_the_sampler_looks_where_it_is_good() -> None:
    """A bowl around 1e-2: what it suggests lies nearer than even points do."""
    space = {"lr": (1e-4, 1.0), "nesterov": Choice((True, False))}
    known = [
        ({"lr": rate, "nesterov": flag}, abs(math.log10(rate) + 2) + (not flag))
        for rate in (1e-4, 1e-3, 1e-2, 2e-2, 1e-1, 1.0)
        for flag in (True, False)
    ]
    found = suggested(space, known, 16, 0)
    assert found == suggested(space, known, 16, 0)
    off = [abs(math.log10(p["lr"]) + 2) for p in found]
    assert sorted(off)[len(off) // 2] < 0.9  # 1 of even points
    assert sum(p["nesterov"] for p in found) > len(found) / 2


def test_a_race_by_the_sampler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[float]] = []
    given: dict[str, Any] = {"search": ("lr", "weight_decay"), "points_each": 3}
    given |= {"budget": "5 epochs"}

    def told(space: Any, known: Any, n: int, seed: int) -> Any:
        asked.append([loss for _, loss in known])
        return suggested(space, known, n, seed)

    monkeypatch.setattr("slalom.racing.heats.suggested", told)
    result = race(tmp_path / "it", sampler="tpe", **given)
    assert len(asked) >= 2
    assert all(len(places) >= 3 for places in asked)
    assert result.meta["sampler"] == "tpe"
    again = race(tmp_path / "two", sampler="tpe", **given)
    assert [c.label for c in again.curves] == [c.label for c in result.curves]
    with pytest.raises(InputError, match="sampler 'tpe', and this one has None"):
        race(tmp_path / "it", resume=True, **given)


def test_without_optuna_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match="needs optuna: pip install optuna"):
        tpe.check_sampler("tpe")


FILE = """
import sys; sys.path.insert(0, {folder!r})
import torch
from small import small_task
task = small_task()
entrants = {{"mine": (torch.optim.SGD, {{"lr": (0.1, 1.0)}}), "theirs": torch.optim.Adam}}
"""


def test_entrants_of_the_tasks_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "it.py"
    file.write_text(FILE.format(folder=str(Path(__file__).parents[1])))
    words = ["race", str(file), "--budget", "2 epochs", "--points", "2", "--seeds", "3", "--quiet"]
    words += ["--set", "theirs.lr=0.01,0.02,0.03", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["slalom", *words])
    with pytest.raises(SystemExit, match="0"):
        main()
    result = Result(tmp_path / "out")
    assert {s.rule for s in result.standings} == {"mine", "theirs"}
    rates = {c.hypers["lr"] for c in result.curves if c.rule == "theirs" and c.stage == Stage.HEAT}
    assert rates <= {0.01, 0.02, 0.03}
    again = shlex.split(result.meta["again"])
    assert again[:3] == ["slalom", "race", str(file)]
    assert again[again.index("--set") + 1] == "theirs.lr=0.01,0.02,0.03"
    assert "--entrants" not in again
    capsys.readouterr()
    given = {
        "budget": "2 epochs",
        "points_each": 2,
        "seeds": 3,
        "progress": False,
        "baseline": None,
    }
    result = slalom.race(str(file), entrants=["Mine", "Momentum"], out=tmp_path / "b", **given)
    assert {s.rule for s in result.standings} == {"mine", "Momentum"}


@pytest.mark.parametrize(
    "given", [[8], 8, "8,16", (8.5, 16), (16, 8), (0, 16), (8, 16, 32), (True, 9)]
)
def test_batch_sizes_are_two_whole_numbers(given: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it must be the smallest and the largest to try"):
        race(tmp_path / "it", batch_sizes=given)
    assert not (tmp_path / "it").exists()


def test_integers_of_any_kind_are_whole_numbers() -> None:
    """NumPy's and torch's count, and what is kept of the race is as of Python's."""
    given: dict[str, Any] = {
        "batch_sizes": np.array([8, 16]), "seeds": np.int64(3), "seed": np.uint8(0),
        "points_each": np.int32(2), "lanes": torch.tensor(1),
    }  # fmt: skip
    plain: dict[str, Any] = {
        "batch_sizes": (8, 16), "seeds": 3, "seed": 0, "points_each": 2, "lanes": 1,
    }  # fmt: skip
    task, one, other = small_task(), Options(["sgd"], **given), Options(["sgd"], **plain)
    assert json.dumps(one.record(task)) == json.dumps(other.record(task))
    assert one.again("it.py") == other.again("it.py")
    for bad in (np.float64(3), np.bool_(True), torch.tensor(True), "3", 3.0):
        with pytest.raises(InputError, match=r"^seeds is"):
            Options(seeds=bad)  # type: ignore


@pytest.mark.parametrize(
    "given",
    [
        {"search": 5}, {"search": None}, {"space": {5: 1}}, {"entrants": 5}, {"lanes": 2**70},
        {"log": 5}, {"log": None}, {"log": ["tensorboard", ["mlflow"]]},
        {"points_each": 2**70}, {"full": "yes"}, {"full": None}, {"out": 5}, {"out": b"x"},
    ],
    ids=str,
)  # fmt: skip
def test_an_option_of_another_kind_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    (name,) = given
    with pytest.raises(InputError, match=f"^{name} "):
        slalom.race(small_task(), **{"entrants": ["sgd"], "out": tmp_path / "it"} | given)
    assert not (tmp_path / "it").exists()


@pytest.mark.parametrize("text", ["lr=0.1..0.01", "lr=big", "sgd.momentum=some"])
def test_words_where_a_number_is_asked_for_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it must be a number, a range \(low, high\) or choices"):
        race(tmp_path / "it", space=space_of([text]))
    assert not (tmp_path / "it").exists()


def test_an_entrant_may_bring_settings_of_its_own(tmp_path):
    names = names_of("adam, adam(precision=bfloat16),Momentum(momentum=0.95, lr=0.01:0.1)")
    assert names == ["adam", "adam(precision=bfloat16)", "Momentum(momentum=0.95, lr=0.01:0.1)"]
    plain, half, heavy = families(names)
    assert (half.label, half.fixed) == ("Adam bfloat16", {"precision": "bfloat16"})
    assert half.space == plain.space
    assert (heavy.label, heavy.space["lr"]) == ("Momentum 0.95 (0.01, 0.1)", (0.01, 0.1))
    assert heavy.fixed["momentum"] == 0.95
    entrant = Entrant(0, half, {"lr": 0.01})
    assert entrant.arguments == {"lr": 0.01}
    assert entrant.of(small_task()).precision == torch.bfloat16
    assert entrant.snippet().endswith("# with precision='bfloat16'")
    for bad in ("adam()", "adam(bfloat16)", "adam(lr=1,2)"):
        with pytest.raises(InputError, match="names no entrant"):
            families([bad])
    with pytest.raises(InputError, match=r"takes no option 'presicion'.*did you mean"):
        families(["adam(presicion=bfloat16)"])
    with pytest.raises(InputError, match="precision is 'bfloat61'; it must be"):
        race(tmp_path / "no", entrants=["adam", "adam(precision=bfloat61)"])


def test_a_run_under_autocast_races_against_one_in_float32(tmp_path):
    names = ["Adam", "Adam(precision=bfloat16)"]
    result = race(tmp_path / "it", entrants=names, full=True)
    finals = [c for c in result.curves if c.stage == Stage.FINAL]
    losses = {c.rule: c.valid_loss for c in finals if c.seed == finals[0].seed}
    assert set(losses) == {"Adam", "Adam bfloat16"}
    assert losses["Adam"] != losses["Adam bfloat16"]
    assert "entrants=['Adam', 'Adam(precision=bfloat16)']" in result.meta["again"]
