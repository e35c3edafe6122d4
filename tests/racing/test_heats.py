"""The heats on scripted runs: who is dropped and when, who is added, and who is chosen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch

from slalom.racing.contender import Contender
from slalom.racing.entrants import Entrant, Family
from slalom.racing.heats import Heats
from slalom.racing.runner import History, Request, Runner
from slalom.racing.schedule import STANDARD, Schedule
from slalom.racing.status import Status
from slalom.train import Evaluation
from small import small_task

Curve = Callable[[str, float, int, int], float]
"""(rule, learning rate, seed, step) -> the loss there; NaN where it diverges."""


class Scripted(Runner):
    """A runner whose runs are those of a formula, stopped as a trainer would."""

    any_spacing = False

    def __init__(self, task, curve: Curve):
        super().__init__(task)
        self._curve = curve

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        for request in requests:
            yield request, self._run(request)

    def _run(self, request: Request) -> History:
        entrant, known = request.entrant, []
        batch = 192 if entrant.batch_size == "all" else 16
        for step in range(request.every, request.until + 1, request.every):
            label, rate = entrant.family.label, entrant.hypers.get("lr", 1.0)
            value = self._curve(label, rate, request.seed, step * batch // 16)
            if math.isnan(value):
                return History(tuple(known), Status.DIVERGED, "its loss is no number")
            known.append(Evaluation(step, step * batch, 0.0, value, value, value))
            if History(tuple(known)).crossing(self.task):
                break
        return History(tuple(known))


def heats(curve: Curve, *labels: str, schedule: Schedule = STANDARD, **options) -> Heats:
    task = small_task(metric="loss", target=0.1, **{"max_steps": 2000} | options)
    field = [
        Family(n, torch.optim.SGD, {"lr": (0.01, 1.0)}, {}, "all" if n == "all" else None)
        for n in labels
    ]
    number = itertools.count()
    made = Heats(
        task, field, Scripted(task, curve), (0, 1),
        lambda family, hypers: Entrant(next(number), family, hypers), schedule=schedule,
    )  # fmt: skip
    made.run()
    return made


def bowl(best: float, need: float, plateau: float = 0.0) -> Callable[[float, int], float]:
    """Losses that fall evenly from 1; soonest at a learning rate, at the target by ``need``."""

    def loss(rate: float, step: int) -> float:
        own = need * (1 + abs(math.log(rate / best)) ** 2)
        return 1.0 - 0.91 * max(0.0, min(1.0, (step - plateau) / own))

    return loss


def done(found: Heats, label: str) -> list[float]:
    """The work of the settings that were there from the start."""
    return sorted(s.done for s in found.contenders[label][:4])


def test_the_best_rate_is_found_though_no_point_is_there() -> None:
    for best in (0.02, 0.09, 0.4):
        found = heats(lambda n, r, s, t, b=best: bowl(b, 100)(r, t), "A").chosen["A"]
        assert 1 / 1.5 < found.rate / best < 1.5


def test_a_range_is_left_where_its_edge_is_best() -> None:
    for best in (0.001, 8.0):
        found = heats(lambda n, r, s, t, b=best: bowl(b, 100)(r, t), "A")
        assert 1 / 1.6 < found.chosen["A"].rate / best < 1.6
        assert found.extended == ["A"]
    assert heats(lambda n, r, s, t: bowl(0.1, 100)(r, t), "A").extended == []


def test_nobody_goes_before_somebody_has_moved() -> None:
    """On the plateau the loss tells nothing: here it is the higher, the better the rate."""

    def curve(label: str, rate: float, seed: int, step: int) -> float:
        if step <= 200:
            return 1.0 + 0.01 * rate
        return bowl(0.8, 100, plateau=200)(rate, step)

    found = heats(curve, "A")
    assert found.chosen["A"].rate > 0.4
    assert min(done(found, "A")) >= 160
    hasty = heats(curve, "A", schedule=Schedule(moved=-1.0, stirred=-1.0, extend=10**9))
    assert min(done(hasty, "A")) < 160


def test_a_rule_keeps_its_settings_until_one_of_its_own_has_moved() -> None:
    def curve(label: str, rate: float, seed: int, step: int) -> float:
        if label == "late" and step <= 100:
            return 1.0 + 0.01 * rate
        return bowl(0.3, 200, plateau=100 if label == "late" else 0)(rate, step)

    found = heats(curve, "soon", "late", schedule=Schedule(settle=10**9))
    assert min(done(found, "soon")) < 100 <= min(done(found, "late"))


def test_no_setting_goes_for_what_seeds_explain() -> None:
    """Rates differ by less than two rules do from seed to seed; so all of them go on."""

    def curve(label: str, rate: float, seed: int, step: int) -> float:
        luck = {"A": 0.0, "B": 0.2, "C": -0.2, "D": 0.1}[label] * seed
        return 1.0 - 0.91 * min(1.0, step / 100) + 0.02 * math.log(rate) / math.log(100) + luck

    labels = "ABCD"
    calm = heats(lambda n, r, s, t: curve(n, r, 0, t), *labels, schedule=Schedule(extend=10**9))
    wild = heats(curve, *labels, schedule=Schedule(extend=10**9))
    assert min(done(calm, "A")) < 40
    assert min(done(wild, "A")) >= 80


def test_one_that_is_behind_is_tuned_no_further_and_chosen_all_the_same() -> None:
    def curve(label: str, rate: float, seed: int, step: int) -> float:
        return bowl(0.2, 200 if label == "quick" else 800)(rate, step)

    found = heats(curve, "quick", "slow")
    assert found.chosen["quick"].status == Status.REACHED
    assert found.chosen["slow"].status == Status.CHOSEN
    assert max(s.done for s in found.contenders["slow"]) < found.best
    assert not any(s.status == Status.RUNNING for s in everyone(found))


def test_who_is_evaluated_seldom_enters_late_and_with_few() -> None:
    def curve(label: str, rate: float, seed: int, step: int) -> float:
        return bowl(0.2, 400)(rate, step)

    found = heats(curve, "all", "A", batch_size=16, eval_every=2)
    ran = [s for s in found.contenders["all"] if s.history.evaluations]
    assert 0 < len(ran) < len(found.contenders["all"])
    assert found.chosen["all"] in ran


def test_a_lucky_edge_is_not_chosen_over_the_middle() -> None:
    """The largest rate that is stable was soonest; its neighbour above never arrives."""

    def chosen(alone: float) -> int:
        made = heats(lambda n, r, s, t: 1.0, "A", max_steps=20, schedule=Schedule(alone=alone))
        for contender, need in zip(made.contenders["A"], (104, 102, 100, math.inf), strict=False):
            steps = (need, need + 5, need + 10) if math.isfinite(need) else (150,)
            value = 0.05 if math.isfinite(need) else 1.0
            contender.history = History(
                tuple(Evaluation(n, 16 * n, 0.0, value, value, value) for n in steps)
            )
        rates = [s.rate for s in made.contenders["A"]]
        return rates.index(made.chosen["A"].rate)

    assert chosen(alone=1.5) == 1
    assert chosen(alone=1.02) == 2


def test_it_ends_where_all_diverge_or_never_arrive() -> None:
    found = heats(lambda n, r, s, t: math.nan, "A", "B")
    assert all(s.status == Status.DIVERGED for s in everyone(found))
    assert set(found.chosen) == {"A", "B"}
    found = heats(lambda n, r, s, t: 1.0, "A", "B", max_steps=100)
    assert all(s.status == Status.NOT_REACHED for s in everyone(found))
    assert set(found.chosen) == {"A", "B"}


def test_others_go_on_where_the_best_is_lost() -> None:
    """A rule was given up for being behind one that diverges in the end."""

    def curve(label: str, rate: float, seed: int, step: int) -> float:
        if label == "rash":
            return bowl(0.2, 300)(rate, step) if step <= 100 else math.nan
        return bowl(0.2, 800)(rate, step)

    found = heats(curve, "rash", "sure")
    assert found.chosen["sure"].to_target < math.inf
    assert found.best == found.chosen["sure"].to_target


def test_who_was_dropped_gets_another_chance_where_nobody_arrives() -> None:
    """The one that starts best comes to rest before the target."""

    def curve(label: str, rate: float, seed: int, step: int) -> float:
        slow = 1.0 - 0.91 * min(1.0, step / 500)
        return max(0.3, 1.0 - step / 20) if rate > 0.3 else slow

    found = heats(curve, "A", max_steps=1000)
    assert found.chosen["A"].to_target < math.inf
    assert any(s.status == Status.NOT_REACHED for s in everyone(found))


def test_who_is_further_than_the_best_took_keeps_what_is_known_of_it() -> None:
    """It was behind after a heat in which another arrived, and is not asked for less."""

    def curve(label: str, rate: float, seed: int, step: int) -> float:
        return bowl(0.2, 45 if label == "quick" else 200)(rate, step)

    found = heats(curve, "quick", "near", schedule=Schedule(behind=math.inf))
    assert found.best < 60
    assert found.contenders["near"][2].done == 80


def everyone(found: Heats) -> list[Contender]:
    return [s for own in found.contenders.values() for s in own]
