"""The other question: who is best at the end of a budget."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from test_kill import found

import slalom
from slalom.cli import main
from slalom.errors import InputError
from slalom.racing import pace, stopwatch
from slalom.racing.design import AtTheEnd
from slalom.racing.result import Result
from slalom.racing.status import Stage, Status
from slalom.report import told
from slalom.report.charts import charts
from slalom.train import Run
from slalom.train.budget import Budget
from small import ENTRANTS, small_task


def race(out: Path, **options: Any) -> Any:
    given = {"entrants": ENTRANTS, "points_each": 3, "seeds": 4, "out": out, "progress": False}
    given |= {"budget": "33 steps"}
    return slalom.race(small_task(), **given | options)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The clock takes no longer than it must."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopwatch, "TURN", 0.001)
        yield


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return race(tmp_path_factory.mktemp("budget") / "it")


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("10 epochs", 10, "epochs"), ("1 epoch", 1, "epochs"), ("0.5epochs", 0.5, "epochs"),
        ("2000 steps", 2000, "steps"), ("2,000 updates", 2000, "steps"),
        ("1e6 samples", 1e6, "samples"), ("1_000 samples", 1000, "samples"),
        ("90s", 90, "seconds"), ("1.5 minutes", 90, "seconds"), ("2h", 7200, "seconds"),
        (" 10  Epochs ", 10, "epochs"),
    ],
)  # fmt: skip
def test_budgets_as_people_write_them(text: str, amount: float, unit: str) -> None:
    read = Budget.read(text)
    assert (read.amount, read.unit) == (amount, unit)
    assert Budget.read(str(read)) == read


@pytest.mark.parametrize(
    "text", ["10", "epochs", "-1 epochs", "0 steps", "10 apples", 10, None, ""]
)
def test_what_is_no_budget_is_refused(text: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"budget is .*; it must be so many epochs, steps"):
        Budget.read(text)
    if text is not None:
        with pytest.raises(InputError):
            race(tmp_path / "it", budget=text)
        assert not (tmp_path / "it").exists()


def test_the_nearest_unit_is_told() -> None:
    with pytest.raises(InputError, match="did you mean epochs"):
        Budget.read("10 epocs")


def test_how_long_a_budget_is() -> None:
    """192 samples in batches of 16 are 12 updates an epoch; of 40, 5 of which the last is small."""
    task = small_task().lasting("10 epochs")
    assert (task.max_steps, task.target) == (120, None)
    assert [task.updates(n) for n in (16, 40, 192)] == [120, 50, 10]
    assert small_task(target=None, max_steps=None, budget="0.3 epochs").max_steps == 4
    task = small_task().lasting("33 steps")
    assert [task.updates(n) for n in (16, 40, 192)] == [33, 13, 2]
    task = small_task().lasting("1000 samples")
    assert [task.updates(n) for n in (16, 40, 192)] == [62, 25, 5]
    assert small_task().lasting("90s").updates(16) is None


def test_target_and_budget_are_two_questions() -> None:
    with pytest.raises(InputError, match="target asks who is there soonest, and budget who is"):
        small_task(max_steps=None, budget="10 epochs")
    with pytest.raises(InputError, match="leave max_steps out"):
        small_task(target=None, budget="10 epochs")
    with pytest.raises(InputError, match="less than one update, which takes 16 samples"):
        small_task().lasting("10 samples")
    task = small_task()
    task.lasting("2 epochs")
    assert (task.target, task.max_steps, task.budget) == (0.95, 400, None)


def test_every_run_of_the_finals_takes_the_budget_and_no_more(ended: Result) -> None:
    finals = [c for c in ended.curves if c.stage == Stage.FINAL]
    assert {c.step[-1] for c in finals} == {33}
    assert all(c.status == Status.FINISHED for c in finals)
    assert max(c.step[-1] for c in ended.curves) == 33
    assert finals[0].step == [5, 10, 15, 20, 25, 30, 33]
    assert isinstance(ended.design, AtTheEnd)


def test_a_row_is_the_median_of_plain_runs(ended: Result) -> None:
    first = ended.standings[0]
    assert first.rule == ended.judgement.leader
    winner = ended.winner
    assert winner is not None
    curves = [c for c in ended.curves if c.stage == Stage.FINAL and c.rule == first.rule]
    torch.set_num_threads(1)
    for curve in curves[:2]:
        run = Run(small_task(), winner.optimizer, curve.seed)
        run.advance(33)
        assert run.evaluate().metric == curve.metric[-1]
    assert first.at_end == statistics.median(c.metric[-1] for c in curves)  # type: ignore[type-var]
    assert first.ratio is first.difference is None
    for s in ended.standings[1:]:
        assert s.ratio is s.chance is s.steps_to_target is None
        assert s.difference is not None
        assert s.difference.value >= 0


def test_the_chosen_are_the_best_of_those_that_came_to_the_end(ended: Result) -> None:
    for rule in ENTRANTS:
        heats = [c for c in ended.curves if c.stage == Stage.HEAT and c.rule == rule]
        through = [c for c in heats if c.status == Status.FINISHED]
        assert through
        chosen = next(c for c in through if c.chosen)
        assert chosen.metric[-1] == max(c.metric[-1] or 0 for c in through)
        assert any(c.step[-1] < 33 for c in heats)  # and the others cost less


def test_what_is_shown(ended: Result) -> None:
    text = ended.verdict.text
    assert " after 33 steps" in text
    assert "accuracy 0." in text
    assert "interval" in text
    page = ended.report().read_text()
    assert "accuracy at the end" in page
    assert "accuracy after 33 steps" in page
    assert "accuracy at the end" in repr(ended)
    assert {c.name for c in charts(ended)} >= {"metric", "finals", "learning_rates", "heats"}
    assert "runs of 33 steps" in told.bill(ended)
    assert "Adam(lr=0.001) was at accuracy" in told.bill(ended)
    content = json.loads(json.dumps(ended.to_json(), allow_nan=False))
    assert content["meta"]["budget"] == "33 steps"
    assert content["standings"][1]["difference"]["seeds"] >= 3
    assert content["verdict"]["rivals"][0]["work"] is None
    assert "budget='33 steps'" in ended.meta["again"]
    assert ended.plot.finals() is not None
    assert ended.plot.learning_rates(backend="matplotlib") is not None


def test_a_worse_one_is_told_with_its_difference(tmp_path: Path) -> None:
    entrants = {"good": ("Adam", {"lr": 0.03}), "bad": ("Adam", {"lr": 1e-4})}
    optim = {name: (slalom.optim.Adam, space) for name, (_, space) in entrants.items()}
    result = race(tmp_path / "it", entrants=optim, budget="3 epochs", baseline=None, seeds=8)
    assert result.verdict.winner == "good"
    assert not result.verdict.tie
    (rival,) = result.verdict.rivals
    assert rival.difference.low > 0
    assert "good is the best after 3 epochs, at accuracy" in result.verdict.text
    assert "bad is worse by" in result.verdict.text


def test_it_is_resumed_and_another_budget_is_another_race(tmp_path: Path, ended: Result) -> None:
    first = race(tmp_path / "it", within=1e-9)
    assert not first.meta["finished"]
    with pytest.raises(InputError, match="budget '33 steps', and this one has '34 steps'"):
        race(tmp_path / "it", resume=True, budget="34 steps")
    assert found(race(tmp_path / "it", resume=True).path) == found(ended.path)


def test_workers_change_nothing(tmp_path: Path, ended: Result) -> None:
    assert found(race(tmp_path / "it", workers=2).path) == found(ended.path)


def test_seconds_are_updates_as_they_are_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = {"SGD": 0.1, "Momentum": 0.2, "Adam": 0.25, "baseline": 0.5, "Adam(lr=0.001)": 0.5}
    asked: list[int] = []

    def timed(task: Any, entrants: Any, seed: int, limit: Any) -> Any:
        asked.append(len(entrants))
        return [[each[e.family.label]] * 3 for e in entrants], None

    monkeypatch.setattr(pace, "stopwatch", timed)
    result = race(tmp_path / "it", budget="4s", within=1e-9)
    result = race(tmp_path / "it", budget="4s", resume=True)
    assert asked == [4]
    ends = {c.rule: c.step[-1] for c in result.curves if c.stage != Stage.HEAT}
    assert ends == {"SGD": 40, "Momentum": 20, "Adam": 16, "Adam(lr=0.001)": 8}
    assert " after 4 seconds" in result.verdict.text
    assert any("updates are made: 40 of SGD, 20 of Momentum, 16 of Adam" in n for n in result.notes)


def test_what_does_not_go_with_seconds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a budget in seconds goes with one batch size"):
        race(tmp_path / "a", budget="4s", batch_sizes=(8, 32))


def test_who_cannot_make_an_update_does_not_race(tmp_path: Path) -> None:
    result = race(tmp_path / "it", entrants=["BGD", "SGD"], budget="10 steps")
    assert [s.rule for s in result.standings] == ["SGD"]
    assert "BGD did not race: one update of it takes more than the budget" in result.notes
    with pytest.raises(InputError, match="nobody makes an update within 10 steps"):
        race(tmp_path / "more", entrants=["BGD"], budget="10 steps")


def test_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "it"
    words = ["race", "cancer", "--budget", "20 steps", "--entrants", "sgd,adam", "--points", "2"]
    words += ["--seeds", "3", "--out", str(out), "--quiet"]
    monkeypatch.setattr("sys.argv", ["slalom", *words])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert " after 20 steps" in capsys.readouterr().out
    assert "--budget '20 steps'" in Result(out).meta["again"]


def test_a_loop_of_ones_own(tmp_path: Path) -> None:
    @slalom.trial(every=5, max_steps=40, higher_is_better=False)
    def loop(trial: Any) -> Any:
        x = torch.nn.Parameter(torch.ones(2))
        optimizer = trial.optimizer([x])
        while True:
            for _ in range(5):
                optimizer.zero_grad()
                x.square().sum().backward()
                optimizer.step()
            yield x.detach().square().sum().item()

    given: dict[str, Any] = {"entrants": ["SGD", "Adam"], "seeds": 3, "progress": False}
    result = slalom.race(loop, budget="20 steps", out=tmp_path / "it", **given)
    assert {c.step[-1] for c in result.curves if c.stage == Stage.FINAL} == {20}
    for budget, message in (
        ("2 epochs", "counts its updates alone; give the budget in steps"),
        ("22 steps", "the loop yields every 5 updates, and a budget of 22 steps ends between"),
        ("50 steps", "the loop makes 40 updates, and the budget is 50 steps"),
    ):
        with pytest.raises(InputError, match=message):
            slalom.race(loop, budget=budget, out=tmp_path / "no", **given)
