"""The bank of recorded runs, and whole races replayed from it: their cost and their choice."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from slalom.bench import record, tuners
from slalom.bench.kinds import lines
from slalom.bench.need import Need
from slalom.bench.race import (
    SUFFIX,
    Search,
    TaskRaces,
    banked,
    least,
    left_out,
    needs,
    ninth,
    rows_of,
    summary,
)
from slalom.bench.record import BEYOND, COARSE, GOOD, STEP, Recorder, coarse, refined
from slalom.bench.verdict import FASTER, called, fields, one_final, one_race
from slalom.errors import InputError
from slalom.racing.contender import Lane
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.replay import Bank, Draw, Replayer, Terms
from slalom.racing.runner import HOLD, History, Request
from slalom.racing.space import searched_evenly
from slalom.racing.status import Status
from slalom.racing.trainer import Trainer
from slalom.train import Evaluation
from small import small_task

BANK = Path(__file__).parents[2] / "benchmarks" / "bank"
NAMES = [path.name.removesuffix(SUFFIX) for path in sorted(BANK.glob(f"*{SUFFIX}"))]
STEPS = range(1, 301)
TWO = [FIELD["SGD"], FIELD["BGD"]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> tuple:
    """(task, path, bank) of a small task and two rules on three seeds."""
    task = small_task(max_steps=60)
    path = tmp_path_factory.mktemp("bank") / "small.json.xz"
    return task, path, Recorder(task, path, seeds=3).record(TWO)


def request(task, label, rate, seed, work) -> Request:
    entrant = Entrant(0, FIELD[label], {"lr": rate})
    lane = Lane.of(task, entrant)
    return Request(entrant, seed, lane.until(work), lane.every)


def answer(runner, asked) -> History:
    ((_, history),) = runner.advance([asked])
    return history


def shape(history: History) -> list:
    return [(e.step, e.samples) for e in history.evaluations]


def test_a_bank_is_what_was_recorded(recorded):
    task, path, bank = recorded
    again = Bank.load(path)
    assert again.terms == bank.terms == Terms.of(task)
    assert again.histories.keys() == bank.histories.keys()
    for key, histories in bank.histories.items():
        assert len(histories) == 3
        for one, other in zip(histories, again.histories[key], strict=True):
            assert one.ended == other.ended
            assert shape(one) == shape(other)
            crossings = one.crossing(task), other.crossing(task)
            assert [c and c.step for c in crossings] == [crossings[0] and crossings[0].step] * 2
            for a, b in zip(one.evaluations, other.evaluations, strict=True):
                assert (b.valid_loss, b.metric) == pytest.approx((a.valid_loss, a.metric), rel=1e-3)
                assert b.train_loss == pytest.approx(a.train_loss, rel=1e-2)
    again.save(path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()


def test_every_run_arrives_or_ends_or_goes_on_to_the_cap(recorded):
    task, _, bank = recorded
    for (label, rate), histories in bank.histories.items():
        lane = Lane.of(task, Entrant(0, FIELD[label], {"lr": rate}))
        for history in histories:
            whole = history.step == lane.until(60) + HOLD * lane.every
            assert whole or history.ended or history.crossing(task)


def test_rounding_moves_no_value_past_the_target(tmp_path):
    task = small_task(metric="loss", target=0.123456)
    values = [0.123457, 0.123456, 0.123455, 0.2]
    evaluations = tuple(Evaluation(i, i, 0.0, 1.0, v, v) for i, v in enumerate(values, 1))
    Bank(Terms.of(task), {("SGD", 0.1): [History(evaluations)]}).save(tmp_path / "it")
    ((history,),) = Bank.load(tmp_path / "it").histories.values()
    assert [task.reached(e.metric) for e in history.evaluations] == [False, True, True, False]


def test_a_bank_of_another_version_is_refused(tmp_path, monkeypatch):
    Bank(Terms.of(small_task())).save(tmp_path / "it")
    monkeypatch.setattr("slalom.racing.replay.VERSION", 3)
    with pytest.raises(InputError, match="version 2, not 3"):
        Bank.load(tmp_path / "it")


def test_a_recording_that_was_killed_goes_on(recorded, tmp_path, monkeypatch):
    task, whole, _ = recorded
    path, calls = tmp_path / "small.json.xz", itertools.count()
    made = record.trainer

    def killed(*args):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return made(*args)

    monkeypatch.setattr("slalom.bench.record.PAUSE", -1.0)
    monkeypatch.setattr(record, "trainer", killed)
    with pytest.raises(KeyboardInterrupt):
        Recorder(task, path, seeds=3).record(TWO)
    assert not path.exists()
    before = dict(Recorder(task, path, seeds=3).bank.histories)
    assert before
    trained = []

    def noted(*args):
        runner = made(*args)
        advance = runner.advance
        monkeypatch.setattr(runner, "advance", lambda r: trained.extend(r) or advance(r))
        return runner

    monkeypatch.setattr(record, "trainer", noted)
    Recorder(task, path, seeds=3).record(TWO)
    assert Bank.load(path).histories.keys() == Bank.load(whole).histories.keys()
    again = {(r.entrant.family.label, r.entrant.hypers["lr"]) for r in trained}
    assert again
    assert not again & before.keys()
    assert [p.name for p in tmp_path.iterdir()] == ["small.json.xz"]


def test_a_recording_of_another_task_is_refused(recorded):
    _, path, _ = recorded
    with pytest.raises(InputError, match="remove the file to record it anew"):
        Recorder(small_task(max_steps=60, target=0.9), path)
    with pytest.raises(InputError, match="with eval_every 5, and the task has 10"):
        Replayer(small_task(max_steps=60, eval_every=10), Bank.load(path))


def test_what_cannot_be_stacked_is_trained_one_by_one(tmp_path):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.out = nn.GRU(6, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            return self.out(self.gru(x[:, None])[0][:, -1])

    task = small_task(max_steps=5)
    task.model = Recurrent
    bank = Recorder(task, tmp_path / "it", seeds=1).record([FIELD["SGD"]])
    key = bank.nearest("SGD", 0.1)
    alone = answer(Trainer(task), request(task, "SGD", key[1], 0, 15))
    assert bank.histories[key] == [replace(alone, evaluations=bank.histories[key][0].evaluations)]
    assert [e.valid_loss for e in bank.histories[key][0].evaluations] == [
        e.valid_loss for e in alone.evaluations
    ]


def test_the_first_grid_leaves_the_range_on_both_sides():
    for family in FIELD.values():
        low, high = searched_evenly(family.space, "lr") or (math.nan, math.nan)
        rates = coarse(family)
        assert len(rates) == COARSE
        assert rates[0] <= 1.01 * low / BEYOND
        assert rates[-1] >= high * BEYOND / 1.01


@given(
    st.lists(st.floats(1, 100) | st.just(math.inf), min_size=COARSE, max_size=COARSE),
)
def test_a_grid_is_refined_until_it_is_dense_beside_what_is_good(values):
    family = FIELD["SGD"]
    first = coarse(family)

    def need(rate: float) -> tuple[float, float]:
        nearest = min(range(COARSE), key=lambda i: abs(math.log(first[i] / rate)))
        return values[nearest] * (1 + abs(math.log(first[nearest] / rate))), 1.0

    rates: list[float] = list(first)
    for _ in range(50):
        more = refined(rates, [need(r) for r in rates], (first[0], first[-1]))
        assert set(rates) <= set(more)
        if more == rates:
            break
        rates = more
    else:
        pytest.fail("it never ends")
    found = [need(rate)[0] for rate in rates]
    for i in range(len(rates) - 1):
        if min(found[i], found[i + 1]) <= GOOD * min(found) < math.inf:
            assert rates[i + 1] / rates[i] <= 1.02 * STEP


def test_a_grid_grows_where_the_best_lies_at_its_edge():
    first = coarse(FIELD["SGD"])
    edges = first[0], first[-1]
    falling = [(100.0 - i, 1.0) for i in range(COARSE)]
    assert max(refined(first, falling, edges)) > first[-1]
    assert min(refined(first, falling[::-1], edges)) < first[0]
    nobody = [(math.inf, 1.0 + i) for i in range(COARSE)]
    assert len(refined(first, nobody, edges)) == COARSE + 1


def test_a_need_is_the_expected_work_with_restarts(recorded):
    task = small_task(max_steps=60)
    lane = Lane.of(task, Entrant(0, FIELD["SGD"], {}))

    def run(crossing: int | None, steps: int, ended: Status | None = None) -> History:
        metrics = [1.0 if crossing and s >= crossing else 0.0 for s in range(5, steps + 1, 5)]
        return History(
            tuple(Evaluation(5 * i, 80 * i, 0.0, 1.0, 1.0, m) for i, m in enumerate(metrics, 1)),
            ended,
        )

    need = Need.of(
        task, lane, [run(20, 30), run(40, 50), run(None, 70), run(None, 10, Status.DIVERGED)]
    )
    assert need.works == [20, 40, math.inf, math.inf]
    assert need.spent == [20, 40, 60, 10]
    assert need.expected == 130 / 2
    assert need.arrived == 0.5
    assert need.median == math.inf
    assert Need.of(task, lane, [run(None, 70)]).expected == math.inf
    assert Need.of(task, lane, [run(20, 30), run(40, 50)]).expected == 30


@given(st.integers(2, 10), st.integers(0, 50), st.integers(1, 12))
def test_finals_are_drawn_from_seeds_that_the_heats_have_not_seen(recorded, race, heats):
    draw, again = (Draw(recorded, race, final=lambda seed: seed >= 1000) for _ in range(2))
    dealt = [draw(seed) for seed in range(heats)]
    finals = [draw(seed) for seed in range(1000, 1100)]
    assert len(set(dealt)) == min(heats, recorded // 2)
    assert not set(dealt) & set(finals)
    assert set(dealt) | set(finals) <= set(range(recorded))
    assert dealt == [draw(seed) for seed in range(heats)] == [again(seed) for seed in range(heats)]
    assert finals == [again(seed) for seed in range(1000, 1100)]


def test_races_deal_other_seeds_to_their_heats():
    assert {Draw(8, race, final=lambda s: s > 9)(0) for race in range(40)} == set(range(8))


def test_a_replay_answers_what_a_run_would(recorded):
    task, path, bank = recorded
    runner = Replayer(task, Bank.load(path))
    tame = [key for key in bank.histories if key[1] < 0.3]
    assert {label for label, _ in tame} == {"SGD", "BGD"}
    for label, rate in tame:
        for seed, work in ((0, 20), (2, 60)):
            asked = request(task, label, rate, seed, work)
            trained, replayed = answer(Trainer(task), asked), answer(runner, asked)
            assert shape(trained) == shape(replayed)
            assert trained.ended == replayed.ended
            for a, b in zip(trained.evaluations, replayed.evaluations, strict=True):
                assert b.valid_loss == pytest.approx(a.valid_loss, rel=2e-3, abs=1e-4)


def test_a_replay_says_what_it_cannot_answer(recorded):
    task, _, bank = recorded
    runner = Replayer(task, bank)
    rates = bank.rates("SGD")
    slow = request(task, "SGD", rates[0], 0, 60)
    assert answer(runner, slow).step == 60
    with pytest.raises(InputError, match="is recorded for 70 updates, and asked for up to 100"):
        answer(runner, replace(slow, until=100))
    with pytest.raises(InputError, match="every 5 updates, and asked for every 2"):
        answer(runner, replace(slow, every=2))
    with pytest.raises(InputError, match="no runs of Adam"):
        answer(runner, request(task, "Adam", 0.01, 0, 20))
    momentum = Entrant(0, FIELD["SGD"], {"lr": 0.1, "momentum": 0.5})
    with pytest.raises(InputError, match="only learning rates are"):
        answer(runner, replace(slow, entrant=momentum))


def test_a_harder_target_than_was_recorded_is_not_made_up(recorded):
    _, _, bank = recorded
    harder = small_task(max_steps=60, target=1.01)
    runner = Replayer(harder, bank)
    rate = next(r for r in bank.rates("SGD") if bank.histories["SGD", r][0].step < 60)
    with pytest.raises(InputError, match="record it further"):
        answer(runner, request(harder, "SGD", rate, 0, 60))


def test_the_table_shows_a_task(recorded):
    task, _, bank = recorded
    text = "\n".join(lines(task, bank))
    assert text.startswith("small (built in): 110 parameters, accuracy 0.95, cap 60")
    assert "SGD" in text
    assert "waits" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_is_of_the_task_that_is_called_so(name):
    ((task, bank),) = banked(BANK, [name])
    Replayer(task, bank)
    assert bank.terms.target == pytest.approx(task.target)
    assert bank.seeds >= 8
    least = min(needs(task, bank).values())
    assert math.isfinite(least)
    for family in FIELD.values():
        assert set(bank.rates(family.label)) >= set(coarse(family))


def test_the_bank_is_large_and_of_many_kinds():
    assert len(NAMES) >= 24
    assert sum(path.stat().st_size for path in BANK.iterdir()) < 8e6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["least-squares-1e3", "few-digits", "factors", "poisson"])
def test_a_recording_is_what_training_gives(name):
    """As far as rounding is not blown up, which it is where losses jump."""
    ((task, bank),) = banked(BANK, [name])
    for label in FIELD:
        own = {k: v for k, v in needs(task, bank).items() if k[0] == label}
        key = min(own, key=lambda k: own[k])
        for seed in (0, bank.seeds - 1):
            asked = request(task, label, key[1], seed, task.max_steps)
            trained, known = answer(Trainer(task), asked), bank.histories[key][seed]
            for a, b in list(zip(trained.evaluations, known.evaluations, strict=False))[:5]:
                assert (b.step, b.samples) == (a.step, a.samples)
                assert b.valid_loss == pytest.approx(a.valid_loss, rel=0.02)


@pytest.mark.slow
def test_the_search_is_cheap_and_its_choice_is_good():
    """What benchmarks/race_cost.py shows of the standard schedule, with few seeds, on every task.

    The bars of regret (1.10 in the median of tasks, 1.35 for nine of ten, 1.6 for all) are not
    reached by the last tenth; the README says by how much.
    """
    shown: list[str] = []
    rows = rows_of(BANK, seeds=6, races=1, show=shown.append)
    assert len(shown) == len(NAMES)
    regrets = [row.regret("standard") for row in rows]
    assert statistics.median(row.cost("standard") for row in rows) <= 14, shown
    assert statistics.median(regrets) <= 1.12, shown
    assert ninth(regrets) <= 1.7, shown
    assert statistics.median(row.races[0].cost for row in rows) <= 120, shown


def test_what_is_left_out_does_not_choose():
    """A schedule that is good on one task alone is not the one that this task is judged by."""

    def row(name: str, **regrets: float) -> TaskRaces:
        found = {s: [Search(10.0, r, r)] for s, r in regrets.items()}
        return TaskRaces(name, False, found, [])

    rows = [row("odd", a=3.0, b=1.0), row("x", a=1.0, b=1.2), row("y", a=1.0, b=1.2)]
    assert left_out(rows) == {"odd": "a", "x": "b", "y": "b"}
    assert "regret 1.20 (bar 1.10)" in summary(rows, left_out(rows))
    assert "worst 3.00 (1.60: odd)" in summary(rows, left_out(rows))


def test_what_finals_take_at_least():
    """Three seeds of each, up to 1.5 times; and as many as Wald says of one that is to be found."""
    task = small_task(metric="loss", target=0.5, eval_every=1, max_steps=300)

    def runs(*works: int) -> list[History]:
        return [
            History(tuple(Evaluation(i, 16 * i, 0.0, 1.0, 1.0, float(i < w)) for i in STEPS))
            for w in works
        ]  # fmt: skip

    def finals(**needed: tuple[int, int]) -> float:
        histories = {(label, 0.1): runs(*works) for label, works in needed.items()}
        return least(task, Bank(Terms.of(task), histories))

    assert task.batch_size == 16
    assert finals(SGD=(100, 100)) == 3
    assert finals(SGD=(100, 100), Adam=(200, 250)) == pytest.approx(3 + 3 * 1.5)
    assert finals(SGD=(100, 100), Adam=(100, 120)) == pytest.approx(3 + 3 * 1.1)
    assert finals(SGD=(100, 100), Adam=(200, 301)) == pytest.approx(3 + 3 * 1.5)  # never
    low, high = math.log(0.8), math.log(1.8)
    told = 0.9 * math.log(0.9 / 0.02) + 0.1 * math.log(0.1 / 0.98)
    seeds = told * 2 * ((high - low) / 2) ** 2 / ((high + low) / 2) ** 2
    assert 20 < seeds < 50
    assert finals(SGD=(100, 100), Adam=(80, 180)) == pytest.approx(seeds * (1 + 1.15))


@pytest.fixture(scope="module")
def field():
    """Tasks whose best setting always arrives, and those where it does not."""
    found = fields(BANK)
    misses = [math.isinf(max(works)) for _, works in found]
    return [[of for of, miss in zip(found, misses, strict=True) if miss == m] for m in (0, 1)]


@pytest.mark.slow
def test_drawn_finals_are_those_of_a_race(field):
    """To the seed and the run: the heats of two equals choose nothing."""
    for seed in range(9):
        task, works = field[seed % 2][seed // 2 % 3]
        factor = (1.0, FASTER)[seed // 4 % 2]
        race, final = one_race(task, works, factor, seed), one_final(task, works, factor, seed)
        assert race.judgement == final
        assert race.finals.keys() == {"this", "that"}


@pytest.mark.slow
def test_equals_are_seldom_told_apart(field):
    arrive, miss = field
    assert called(arrive, 1.0, 200) <= 0.05
    assert called(miss, 1.0, 200) <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


@pytest.mark.slow
def test_the_faster_is_found(field):
    """The bar is 90% where seeds differ little; among all tasks it is found somewhat less often."""
    assert called(field[0], FASTER, 200) >= 0.85


@pytest.mark.slow
def test_tuners_are_asked_for_the_same():
    """One search each of benchmarks/race_tuners.py; on this task heats are not always cheaper."""
    ((task, bank),) = banked(BANK, ["few-digits"])
    for cost in (tuners.heats_cost, tuners.optuna_cost, tuners.asha_cost):
        assert 1 < cost(task, bank, 0) < math.inf, cost
