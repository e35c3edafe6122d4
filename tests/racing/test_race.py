"""A race on a small task: its order, its honesty, its record."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import slalom
from slalom.cli import main
from slalom.errors import InputError
from slalom.racing import events
from slalom.racing.contender import Lane
from slalom.racing.design import OUT
from slalom.racing.entrants import Entrant, Family, families
from slalom.racing.needs import typical, with_restarts
from slalom.racing.result import Result
from slalom.racing.runner import History
from slalom.racing.space import points
from slalom.train import Evaluation, Run, Task
from slalom.train.loop import begun
from small import ENTRANTS, changed, small_task


def options(folder, **more):
    return {"entrants": ENTRANTS, "points_each": 4, "seeds": 3, "out": folder, **more}


def steps(result: Result) -> list:
    return [
        (
            s.label,
            s.status,
            s.reached,
            s.seeds,
            s.steps_to_target,
            s.samples_to_target,
            s.told,
        )
        for s in result.standings
    ]


def test_the_standings_are_in_order(raced):
    """Who leads is first, in the table as in the verdict; the rest by what they need beside it."""
    assert [s.place for s in raced.standings] == [1, 2, 3]
    assert sorted(s.rule for s in raced.standings) == sorted(ENTRANTS)
    first, *others = raced.standings
    assert (first.call, first.ratio) == (None, None)
    ratios = [s.ratio.value for s in others]
    assert ratios == sorted(ratios)
    assert raced.meta["finished"]
    assert raced.winner is not None
    assert raced.winner.label == first.label == raced.verdict.winner


def test_every_row_rests_on_runs_of_the_finals(raced):
    """Each to the target, or to so many times what the least on its seed was, on three seeds."""
    far = raced.design.far
    for s in raced.standings:
        assert s.seeds >= 3
        for place, run in raced.finals[s.rule].items():
            least = min(own[place].work for own in raced.finals.values() if own[place].arrived)
            assert run.arrived or run.ended or run.work >= far * least - run.stride


def test_a_standing_can_be_had_again_by_hand(raced):
    """The winner's steps on a seed are those of a run with its optimizer on that seed."""
    task = small_task()
    task.compiled = raced.meta["compiled"]
    final = next(c for c in raced.curves if c.stage == "final" and c.label == raced.winner.label)
    run = begun(task, raced.winner.optimizer, final.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for step, metric, loss in zip(final.step, final.metric, final.valid_loss, strict=True):
        run.advance(step - run.step)
        evaluation = run.evaluate()
        assert (evaluation.metric, evaluation.valid_loss) == (metric, loss)
    torch.set_num_threads(threads)


def test_the_snippet_runs(raced):
    model = nn.Linear(2, 2)
    scope = {"model": model}
    exec(raced.winner.snippet(), scope)
    expected = raced.winner.optimizer(model.parameters())
    assert type(scope["optimizer"]) is type(expected)
    mine, other = scope["optimizer"].param_groups[0], expected.param_groups[0]
    assert mine["lr"] == pytest.approx(other["lr"], rel=1e-3)


def test_the_same_seed_gives_the_same_race(raced, tmp_path):
    again = slalom.race(small_task(), **options(tmp_path / "again"))
    assert steps(again) == steps(raced)
    other = slalom.race(small_task(), **options(tmp_path / "other", seed=7))
    assert steps(other) != steps(raced)


def test_all_share_initial_weights_and_batches():
    """Two entrants of one rule and setting make the same run, whatever their number."""
    family = families(["SGD"])[0]
    runs = [
        Run(small_task(), Entrant(number, family, {"lr": 0.1}).optimizer, 5) for number in (0, 9)
    ]
    for run in runs:
        run.advance(10)
    for p, q in zip(*(r.model.parameters() for r in runs), strict=True):
        assert torch.equal(p, q)


def test_a_rule_entered_twice_ties_with_itself(tmp_path):
    """The A/A test: two names for one thing must never be told apart."""

    def momentum(params):
        return slalom.optim.Momentum(params, lr=0.1)

    twice = {"this": momentum, "that": momentum}
    result = slalom.race(small_task(), **options(tmp_path, entrants=twice))
    assert result.verdict.tie
    assert result.verdict.text.startswith("A tie of")
    assert result.verdict.rivals[0].work.value == 1.0


def test_a_clear_winner_is_called_one(tmp_path):
    entrants = {
        "quick": lambda params: slalom.optim.Adam(params, lr=0.03),
        "slow": lambda params: slalom.optim.Adam(params, lr=0.003),
    }
    result = slalom.race(small_task(), **options(tmp_path, entrants=entrants, seeds=20))
    assert result.winner.rule == "quick"
    assert not result.verdict.tie
    assert result.verdict.rivals[0].call in OUT
    assert " soonest, in " in result.verdict.text


def never_but(label: str, folder: Path, status: str) -> Result:
    """The race with no run of another that arrives; those ended as ``status`` says."""
    with changed(folder / "ledger.sqlite") as db:
        db.execute(
            "UPDATE run SET status = ?, steps_to_target = NULL, samples_to_target = NULL, "
            "seconds_to_target = NULL WHERE stage = 'final' "
            "AND entrant != (SELECT number FROM entrant WHERE label = ?)", [status, label],
        )  # fmt: skip
    return Result(folder)


def test_who_was_stopped_is_not_told_to_be_slower_than_that(tmp_path, raced):
    shutil.copytree(raced.path, tmp_path / "it")
    result = never_but(raced.winner.label, tmp_path / "it", "stopped")
    for s in result.standings[1:]:
        assert (s.reached, s.steps_to_target, s.best_metric, s.chance) == (0, None, None, None)
        assert s.told.startswith(("more than 1.5 times on", "not told apart", "at least"))
    assert "the only one" not in result.verdict.text


def test_the_only_one_is_said_where_others_ran_as_long_as_they_may(
    tmp_path, raced, capsys, monkeypatch
):
    """Also in JSON, which knows no infinity."""
    shutil.copytree(raced.path, tmp_path / "it")
    result = never_but(raced.winner.label, tmp_path / "it", "not reached")
    if not result.verdict.tie:
        assert "is the only one that reached accuracy 0.95" in result.verdict.text
    assert all(s.chance.value == 0 for s in result.standings[1:])
    monkeypatch.setattr(sys, "argv", ["slalom", "report", str(tmp_path / "it"), "--json"])
    with pytest.raises(SystemExit, match="0"):
        main()
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["verdict"]["rivals"][-1]["work"]["high"] is None
    assert told["verdict"]["winner"] == result.winner.label


def test_torch_classes_and_plain_functions_may_enter(tmp_path):
    def mine(params):
        return torch.optim.SGD(params, lr=0.3, momentum=0.8)

    entrants = {
        "torch": (torch.optim.AdamW, {"lr": (1e-3, 1e-1)}), "mine": mine,
        "free": slalom.optim.ScheduleFreeSGD,
    }  # fmt: skip
    result = slalom.race(small_task(), **options(tmp_path, entrants=entrants))
    assert {s.rule for s in result.standings} == set(entrants)
    assert next(s for s in result.standings if s.rule == "mine").hypers == {}
    assert result.winner is not None
    assert result.winner.snippet().startswith("import ")


def test_who_diverges_is_recorded_and_out(tmp_path):
    entrants = {"wild": (torch.optim.SGD, {"lr": (1e6, 1e8)}), "Adam": slalom.optim.Adam}
    result = slalom.race(small_task(), **options(tmp_path, entrants=entrants))
    wild = next(s for s in result.standings if s.rule == "wild")
    assert wild.status == "diverged"
    assert "loss" in wild.reason
    assert result.winner.rule == "Adam"


def test_an_unreachable_target_is_said_to_be_so(tmp_path):
    result = slalom.race(small_task(target=1.0, max_steps=40), **options(tmp_path))
    assert result.winner is None
    assert result.verdict.text.startswith("Nobody reached accuracy 1 in 3 runs of each: the best, ")
    text = result.verdict.text
    assert " within 40 steps. Raise the task's max_steps, or lower its target." in text
    assert all(s.steps_to_target is None for s in result.standings)


def test_without_a_target_one_is_found(tmp_path):
    """One that the finals reach on most seeds, and it is said that the race chose it, and how."""
    task = small_task(target=None, max_steps=120, metric="loss")
    result = slalom.race(task, **options(tmp_path))
    target = result.meta["target"]
    assert 0 < target < 0.3  # the untrained loss is 0.7
    (note,) = [n for n in result.notes if "the race chose loss" in n]
    assert "on 4 of 5 seeds that nothing else uses" in note
    first = result.standings[0]
    assert 2 * first.reached > first.seeds
    checks = [c for c in result.curves if c.seed in range(995, 1000)]
    held = sum(min(map(max, zip(c.metric, c.metric[1:], c.metric[2:], strict=False))) <= target
               for c in checks if c.step and c.step[-1] <= 60)  # fmt: skip
    assert held >= 4
    assert task.target is None


def test_no_target_to_be_found(tmp_path):
    task = small_task(target=None, max_steps=10)  # two evaluations, and three make a value hold
    with pytest.raises(InputError, match="no target was found: nobody held a value of accuracy"):
        slalom.race(task, **options(tmp_path))


def test_a_target_that_takes_no_training_is_none(tmp_path):
    with pytest.raises(InputError, match=r"the untrained model has loss 0\.\d+ on .*; choose one"):
        slalom.race(small_task(metric="loss", target=10.0), **options(tmp_path / "it"))
    assert not (tmp_path / "it").exists()


def test_a_target_that_cannot_be_held_is_none(tmp_path):
    task = small_task(max_steps=10)
    with pytest.raises(InputError, match="is 2 evaluations, and a target is held over 3"):
        slalom.race(task, **options(tmp_path / "it"))


def test_bgd_pays_for_all_samples(tmp_path):
    result = slalom.race(small_task(), **options(tmp_path, entrants=["BGD", "SGD"], points_each=3))
    bgd = next(s for s in result.standings if s.rule == "BGD")
    assert bgd.batch == 192
    curve = next(c for c in result.curves if c.rule == "BGD")
    assert curve.samples[0] == 192 * curve.step[0]


class Broken(nn.Module):
    """Fails in its fourth update."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 2)
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.calls > 3:
            raise RuntimeError("the fourth is too much")
        return self.linear(x)


def test_an_error_of_the_users_stops_the_entrant_and_names_the_line(tmp_path):
    task = small_task()
    task.model = Broken
    with pytest.raises(InputError) as caught:
        slalom.race(task, **options(tmp_path))
    assert "every entrant failed" in str(caught.value)
    assert "RuntimeError: the fourth is too much" in str(caught.value)
    assert "after 3 updates" in str(caught.value)
    assert "test_race.py" in str(caught.value)


@pytest.mark.parametrize("more", [{}, {"budget": "20 steps"}])
def test_one_that_fails_does_not_stop_the_others(more, tmp_path):
    class Failing(torch.optim.SGD):
        def step(self, closure=None):
            raise ValueError("no such optimizer today")

    entrants = {"bad": Failing, "Adam": slalom.optim.Adam}
    result = slalom.race(small_task(), **options(tmp_path, entrants=entrants, **more))
    assert next(s for s in result.standings if s.rule == "bad").status == "failed"
    assert any("no such optimizer today" in note for note in result.notes)
    assert result.winner.rule == "Adam"
    assert not result.verdict.tie
    assert "is the only one that" in result.verdict.text
    assert "failed: ValueError" in result.verdict.text
    assert next(s for s in result.standings if s.rule == "bad").told.startswith("failed on ")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"entrants": ["adamm"]}, "there is no entrant 'adamm'.*did you mean Adam"),
        ({"entrants": []}, "entrants is empty"),
        ({"entrants": ["SGD", "sgd"]}, "two entrants are called SGD"),
        ({"entrants": {"x": 5}}, "the entrant x is a int; it must be"),
        (
            {"entrants": {"x": (torch.optim.SGD, {"lr": (1.0, 0.1)})}},
            r"range of lr is \(1.0, 0.1\)",
        ),
        ({"points_each": 0}, "points_each is 0; it must be a whole number from 1 on"),
        ({"seeds": 2}, "seeds is 2; it must be a whole number from 3 on"),
        ({"workers": 0}, "workers is 0"),
        ({"entrants": "adamm"}, "there is no entrant 'adamm'"),
        ({"baseline": "adam"}, "baseline is 'adam'; it must be an optimizer class or a function"),
        ({"resume": True, "out": None}, "resume needs out"),
    ],
)
def test_bad_input(more, message, tmp_path):
    with pytest.raises(InputError, match=message):
        slalom.race(small_task(), **{**options(tmp_path / "race"), **more})
    assert not (tmp_path / "race").exists()


@pytest.mark.parametrize("call", [slalom.race, lambda task: slalom.fit(task, "Adam")])
def test_what_is_no_task_is_told(call):
    with pytest.raises(InputError, match=r"the task is a Linear; it must be a slalom\.Task"):
        call(torch.nn.Linear(2, 2))


def test_one_entrant_needs_no_list(tmp_path):
    for i, one in enumerate(("Adam", slalom.optim.Adam)):
        result = slalom.race(
            small_task(), progress=False, within=0.05, **options(tmp_path / str(i), entrants=one)
        )
        assert result.meta["entrants"] == ["Adam"]


def test_a_race_is_not_written_over_another(raced):
    before = (raced.path / "ledger.sqlite").read_bytes()
    with pytest.raises(InputError, match="exists already; choose another folder, or resume it"):
        slalom.race(small_task(), **options(raced.path))
    assert (raced.path / "ledger.sqlite").read_bytes() == before


def test_interrupted_and_resumed_is_the_same_race(raced, tmp_path):
    class Interrupt:
        def __init__(self, left: int) -> None:
            self.left = left

        def __call__(self, event: events.Event) -> None:
            self.left -= isinstance(event, events.Moved)
            if self.left == 0:
                raise KeyboardInterrupt

    folder, resumed = tmp_path / "race", False
    for stop in (9, 17, 25):
        with pytest.raises(KeyboardInterrupt):
            slalom.race(small_task(), **options(folder, watch=Interrupt(stop), resume=resumed))
        resumed = True
        known = Result(folder)
        assert not known.meta["finished"]
        assert known.standings
    result = slalom.race(small_task(), **options(folder, resume=True))
    assert steps(result) == steps(raced)
    assert result.verdict.rivals[0].work == raced.verdict.rivals[0].work


def test_only_the_same_race_is_resumed(raced):
    with pytest.raises(InputError, match="is a race with seed 0, and this one has 1; resume it as"):
        slalom.race(small_task(), **options(raced.path, resume=True, seed=1))


def test_points_are_spread_and_seeded():
    space = {"lr": (1e-4, 1e-1), "momentum": (0.5, 0.99)}
    found = points(space, 8, 3)
    assert found == points(space, 8, 3)
    assert found != points(space, 8, 4)
    eighths = sorted(int((math.log10(p["lr"]) + 4) / 3 * 8 - 1e-3) for p in found)
    assert len(set(eighths)) >= 6
    assert all(1e-4 <= p["lr"] <= 1e-1 and 0.5 <= p["momentum"] <= 0.99 for p in found)
    assert points({}, 5, 0) == [{}]


def test_the_race_says_that_it_extended_a_range(tmp_path):
    entrants = {"shy": (slalom.optim.SGD, {"lr": (0.02, 0.05)})}
    result = slalom.race(small_task(), **options(tmp_path, entrants=entrants))
    assert result.standings[0].hypers["lr"] > 0.05
    assert "the best shy lay at the edge of its range; extended" in result.notes


def test_a_crossing_must_hold():
    task = small_task(target=0.9)

    def history(*metrics: float) -> History:
        return History(tuple(Evaluation(i, i, 0.0, 0.0, 0.0, m) for i, m in enumerate(metrics, 1)))

    assert history(0.8, 0.95, 0.8, 0.95, 0.95).crossing(task) is None
    assert history(0.8, 0.95, 0.8, 0.9, 0.95, 0.91).crossing(task).step == 4


def test_work_makes_batches_of_different_sizes_comparable():
    task = small_task()
    bgd = Lane.of(task, Entrant(0, Family("b", torch.optim.SGD, {}, {}, "all"), {}))
    sgd = Lane.of(task, Entrant(1, Family("s", torch.optim.SGD, {}), {}))
    assert (sgd.every, bgd.every) == (5, 1)
    assert sgd.until(12) == 15
    assert bgd.until(24) == 2
    assert bgd.work(Evaluation(2, 384, 0.0, 0.0, 0.0, 0.0)) == 24


def test_the_bill_adds_up(raced):
    assert raced.cost.samples == sum(c.samples[-1] for c in raced.curves if c.samples)
    first = raced.finals[raced.standings[0].rule]
    one = min(typical(first), with_restarts(first)) * raced.meta["batch_size"]
    assert raced.cost.runs == pytest.approx(raced.cost.samples / one)
    assert 0 < raced.cost.search_runs < raced.cost.runs


def test_a_data_frame_has_every_evaluation(raced):
    pytest.importorskip("pandas", reason="pandas is needed for data frames")
    frame = raced.to_dataframe()
    assert len(frame) == sum(len(c.step) for c in raced.curves)
    assert {"label", "seed", "stage", "step", "metric", "lr"} <= set(frame.columns)


def test_a_task_by_name_needs_no_more(tmp_path):
    result = slalom.race("diabetes", entrants=["sgd"], points_each=3, seeds=3, out=tmp_path / "d")
    assert isinstance(result, Result)
    assert result.meta["spec"] == "diabetes"
    assert isinstance(small_task(), Task)


def test_a_full_race_runs_all_on_all_seeds(tmp_path):
    result = slalom.race(small_task(max_steps=60), **options(tmp_path, full=True, seeds=4))
    assert {len(own) for own in result.finals.values()} == {4}
    for own in result.finals.values():
        assert all(r.arrived or r.ended or r.work >= 60 for r in own.values())
    assert "Performance profile: how often each is there" in result.report().read_text()
    assert result.meta["again"].endswith("full=True)  # with your own task")


def test_rules_are_judged_by_a_search_for_every_seed(tmp_path):
    result = slalom.race(small_task(), **options(tmp_path, about="rules", seeds=3))
    assert [s.label for s in result.standings] == [s.rule for s in result.standings]
    for s in result.standings:
        assert len(s.settings) == s.seeds == 3
        assert all(label.startswith(f"{s.rule}(lr=") for label in s.settings)
    assert len({label for s in result.standings for label in s.settings}) > 3
    heats = {c.seed for c in result.curves if c.stage == "heat"}
    assert heats == {0, 1, 2, 3, 4, 5}
