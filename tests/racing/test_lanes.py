"""Runs in lanes are those that are trained one by one, to rounding, whoever is beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import slalom
from slalom import api
from slalom.errors import InputError
from slalom.racing import stopwatch
from slalom.racing.abreast import Abreast
from slalom.racing.entrants import FIELD, Entrant, Family, families
from slalom.racing.result import Result
from slalom.racing.runner import History, Request
from slalom.racing.status import Status
from slalom.racing.together import refusal
from slalom.racing.trainer import Trainer
from slalom.train import Task, lanes, stack
from slalom.train.loop import begun
from slalom.train.net import Net
from small import ENTRANTS, small_task


@pytest.fixture(autouse=True, scope="module")
def _short_clock() -> Iterator[None]:
    """Nothing here is about seconds."""
    before, stopwatch.TURN = stopwatch.TURN, 1e-3
    yield
    stopwatch.TURN = before


RULES = [
    "SGD", "AdaGrad", "Adam", "BGD", "LAMB", "Muon", "ScheduleFreeAdamW",
]  # fmt: skip
"""Of elements, of sums, of products of matrices, with an average, and of all samples."""


def small(**options: Any) -> Task:
    """The small task with layers whose sizes leave nothing over in a vector of the processor."""
    task = small_task(**options)
    task.model = lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    return task


def requests(task: Task, labels: list[str], until: int = 40) -> list[Request]:
    return [
        Request(Entrant(number, family, {"lr": 0.01}), seed, until, 5)
        for number, family in enumerate(families(labels))
        for seed in range(3)
    ]


def answers(runner: Any, asked: list[Request]) -> list[History]:
    return [history for _, history in runner.advance(asked)]


def numbers(history: History) -> list[tuple[Any, ...]]:
    """All of it but the seconds."""
    return [(e.step, e.samples, e.train_loss, e.valid_loss, e.metric) for e in history.evaluations]


@pytest.mark.parametrize(
    "options",
    [
        {}, {"clip_norm": 0.1}, {"schedule": "cosine", "warmup": 5}, {"ema": 0.9},
        {"metric": "loss", "target": 0.01},
    ],
    ids=["plain", "clipped", "scheduled", "averaged", "loss"],
)  # fmt: skip
def test_runs_in_lanes_are_those_one_by_one(options: dict[str, Any]) -> None:
    task = small(**({"target": 2.0} | options))
    rules = RULES if not options else ["SGD", "ScheduleFreeAdamW"]
    asked = requests(task, rules, 30)
    assert refusal(task, families(rules), 0) is None
    for lane, own in zip(
        answers(Abreast(task, 7), asked), answers(Trainer(task), asked), strict=True
    ):
        assert lane.ended is own.ended is None
        assert [(e.step, e.samples) for e in lane.evaluations] == [
            (e.step, e.samples) for e in own.evaluations
        ]
        for a, b in zip(lane.evaluations, own.evaluations, strict=True):
            assert (a.train_loss, a.valid_loss) == pytest.approx(
                (b.train_loss, b.valid_loss), rel=2e-4, abs=1e-5
            )


def test_who_is_beside_a_run_changes_no_bit() -> None:
    task = small(target=2.0)
    asked = requests(task, ["SGD", "Adam", "RMSProp"])
    whole = answers(Abreast(task, 9), asked)
    few = answers(Abreast(task, 2), asked)  # others enter while some are on their way
    alone = [answers(Abreast(task, 4), [one])[0] for one in asked]
    back = answers(Abreast(task, 9), asked[::-1])[::-1]
    for other in (few, alone, back):
        assert list(map(numbers, other)) == list(map(numbers, whole))


def test_runs_go_on_from_one_heat_to_the_next() -> None:
    task = small(target=2.0)
    runner, asked = Abreast(task, 4), requests(task, ["SGD", "Adam"], 20)
    first = answers(runner, asked)
    more = [
        Request(r.entrant, r.seed, 40, 5, history) for r, history in zip(asked, first, strict=True)
    ]
    whole = answers(Abreast(task, 4), requests(task, ["SGD", "Adam"], 40))
    assert list(map(numbers, answers(runner, more[::-1])))[::-1] == list(map(numbers, whole))
    known = answers(Abreast(task, 4), more)  # by one that has none of them
    assert list(map(numbers, known)) == list(map(numbers, whole))


def test_who_diverges_or_fails_leaves_its_lane_to_others() -> None:
    class Failing(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            if self.steps == 7:
                raise RuntimeError("no more")
            return super().step()

    task = small(metric="loss", target=1e-9)
    made = [
        Family("fine", torch.optim.SGD, {}, {"lr": 0.1}),
        Family("wild", torch.optim.SGD, {}, {"lr": 1e6}),
        Family("failing", Failing, {}, {"lr": 0.1}),
    ]
    asked = [
        Request(Entrant(number, family, {}), seed, 40, 5)
        for number, family in enumerate(made) for seed in range(2)
    ]  # fmt: skip
    lanes, own = answers(Abreast(task, 3), asked), answers(Trainer(task), asked)
    assert [(h.ended, h.step) for h in lanes] == [(h.ended, h.step) for h in own]
    assert [h.ended for h in lanes[::2]] == [None, Status.DIVERGED, Status.FAILED]
    assert lanes[4].reason == own[4].reason
    assert lanes[4].reason.startswith("RuntimeError: no more at ")
    assert lanes[4].reason.endswith(" after 6 updates on seed 0")


def test_a_loss_that_fails_for_one_run_ends_that_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the way through the model raises is of nobody, until each is tried by itself."""
    task, update = small(target=2.0), stack.update

    def failing(members: Any, batches: Any) -> Any:
        if any(m.run.seed == 1 and m.run.step == 7 for m in members):
            raise ValueError("an odd batch")
        return update(members, batches)

    monkeypatch.setattr(lanes, "update", failing)
    asked = requests(task, ["SGD"])
    zero, one, two = answers(Abreast(task, 3), asked)
    assert (one.ended, one.step) == (Status.FAILED, 5)
    assert one.reason.startswith("ValueError: an odd batch at ")
    assert one.reason.endswith(" after 7 updates on seed 1")
    monkeypatch.undo()
    whole = answers(Abreast(task, 3), asked)
    assert [numbers(zero), numbers(two)] == [numbers(whole[0]), numbers(whole[2])]


class Counting(nn.Linear):
    calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return super().forward(x)


class Branching(nn.Linear):
    def forward(self, x: Any) -> Any:
        return super().forward(x) * (2 if x.sum() > 0 else 1)


class Seeded(nn.Linear):
    """Keeps a tensor of its own seed, which is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__(6, 2)
        self.scale = torch.rand(2)

    def forward(self, x: Any) -> Any:
        return super().forward(x) * self.scale


def twice() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.GELU(), layer, nn.Linear(6, 2))


class Noisy(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad.add_(torch.randn_like(parameter))
        return super().step()


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (lambda: nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.5), nn.Linear(4, 2)), "draws random"),
        (lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), "BatchNorm"),
        (lambda: Counting(6, 2), "in its attributes"),
        (lambda: Branching(6, 2), "torch cannot stack it: RuntimeError: "),
        (Seeded, "beside others"),
        (twice, "a layer is in two places of the model"),
    ],
)
def test_what_cannot_be_stacked_is_told_in_one_line(model: Any, why: str) -> None:
    task = small()
    task.model = model
    found = refusal(task, families(["SGD", "Adam"]), 0)
    assert found is not None
    assert why in found
    assert "\n" not in found


def test_a_rule_that_draws_random_numbers_is_told() -> None:
    assert refusal(small(), [FIELD["Adam"], Family("Noisy", Noisy, {"lr": (0.1, 1.0)})], 0) == (
        "an update of Noisy draws random numbers"
    )


@pytest.mark.parametrize(
    "options",
    [{"accumulate": 2}, {"precision": "bfloat16"}],
)
def test_what_a_task_asks_beside_a_gradient_is_told(options: dict[str, Any]) -> None:
    assert refusal(small(**options), families(["SGD"]), 0) is not None


@pytest.mark.parametrize("entrant", ["SGD(precision=bfloat16)", "SGD(precision=float32)"])
def test_a_precision_of_an_entrants_own_is_told(entrant: str) -> None:
    found = refusal(small(), families(["SGD", entrant]), 0)
    assert found == "it accumulates batches, or has a precision of its own"


def test_layers_that_are_not_plain_are_stacked_by_vmap() -> None:
    """To rounding; they may hang on who is beside them in their last bit."""
    task = small(target=2.0)
    task.model = lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.LayerNorm(16),
        nn.Linear(16, 2, bias=False),
    )  # fmt: skip
    assert refusal(task, families(["SGD", "Adam"]), 0, to_the_bit=False) is None


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 6), nn.Linear(6, 2))
    model[2].weight = model[0].weight
    return model


def test_a_parameter_that_is_shared_within_a_model_is_stacked_once() -> None:
    task = small(target=2.0)
    task.model = tied
    assert refusal(task, families(["SGD", "Adam"]), 0, to_the_bit=False) is None
    asked = requests(task, ["Adam"], 20)
    pairs = zip(answers(Abreast(task, 3), asked), answers(Trainer(task), asked), strict=True)
    for lane, own in pairs:
        assert lane.evaluations[-1].valid_loss == pytest.approx(
            own.evaluations[-1].valid_loss, rel=1e-4
        )


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_stacked_products_are_the_layers_own(outputs: int, bias: bool) -> None:
    made = [nn.Sequential(nn.Linear(5, outputs, bias=bias), nn.GELU()).double() for _ in range(3)]
    tensors = stack._stacked([dict(m.named_parameters()) for m in made])
    for tensor in tensors.values():
        tensor.requires_grad_()
    x = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    found = stack._outputs(made[0], tensors, (x,))
    assert torch.autograd.gradcheck(
        lambda x, *t: stack._outputs(made[0], dict(zip(tensors, t, strict=True)), (x,)),
        (x, *tensors.values()),
    )
    for place, model in enumerate(made):
        torch.testing.assert_close(found[place], model(x[place]))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_cross_entropy_of_many_is_that_of_each(reduction: str) -> None:
    from slalom.train.products import losses_of

    loss = nn.CrossEntropyLoss(reduction=reduction, ignore_index=1)
    outputs, targets = torch.randn(3, 8, 4), torch.randint(0, 4, (3, 8))
    own = torch.stack([loss(o, t) for o, t in zip(outputs, targets, strict=True)])
    torch.testing.assert_close(losses_of(loss, outputs, targets), own)


# races


def race(out: Path, **options: Any) -> Result:
    given = {"entrants": ENTRANTS[:2], "points_each": 3, "seeds": 3, "out": out, "progress": False}
    return slalom.race(options.pop("task", None) or small(), **(given | options))


def ledger(result: Result) -> list[Any]:
    return [
        (c.label, c.seed, c.stage, tuple(c.step), tuple(c.valid_loss), tuple(c.metric))
        for c in result.curves
    ]


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return race(tmp_path_factory.mktemp("lanes") / "it", lanes=5)


def test_a_race_in_lanes_is_the_race_to_rounding(raced: Result, tmp_path: Path) -> None:
    own = race(tmp_path / "own", lanes=1)
    assert (raced.meta["lanes"], own.meta["lanes"]) == (5, 1)
    assert [(s.label, s.status, s.steps_to_target) for s in raced.standings] == [
        (s.label, s.status, s.steps_to_target) for s in own.standings
    ]
    assert "lanes=5" in raced.meta["again"]


def test_a_race_in_lanes_that_was_interrupted_comes_to_the_same(
    raced: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def interrupted(members: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return stack.evaluate(members)

    monkeypatch.setattr(lanes, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        race(tmp_path / "it", lanes=5)
    monkeypatch.undo()
    assert ledger(race(tmp_path / "it", lanes=5, resume=True)) == ledger(raced)


def test_a_race_is_gone_on_with_in_as_many_lanes(raced: Result) -> None:
    with pytest.raises(InputError, match="a race with lanes 5, and this one has 1; resume it as"):
        race(raced.path, resume=True)


def test_a_race_that_cannot_have_lanes_says_so_and_goes_on(tmp_path: Path) -> None:
    task = small()
    task.model = lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.1), nn.Linear(8, 2))
    told: list[Any] = []
    result = race(tmp_path / "it", task=task, lanes=5, watch=told.append)
    note = "runs are trained one by one, and not in lanes: an update of SGD draws random numbers"
    assert note in result.notes
    assert note in [getattr(event, "text", None) for event in told]
    assert result.meta["lanes"] == 1
    race(tmp_path / "it", task=task, lanes=5, resume=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lanes": 0}, "lanes is 0"), ({"workers": 2}, "lanes=4 goes with workers=1"),
        ({"engine": "ray"}, "lanes=4 goes with engine='processes'"),
        ({"runner": object()}, "lanes=4 goes with no runner"),
    ],
)  # fmt: skip
def test_lanes_that_cannot_be_are_refused(options: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        race(tmp_path / "it", **({"lanes": 4} | options))
    assert not (tmp_path / "it").exists()


def test_random_numbers_that_the_trial_did_not_see_end_the_race() -> None:
    class Late(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            torch.rand(1)
            return super().step()

    task = small()
    asked = [Request(Entrant(0, Family("Late", Late, {}, {"lr": 0.1}), {}), 0, 5, 5)]
    with pytest.raises(InputError, match="race with lanes=1"):
        answers(Abreast(task, 2), asked)


COMPILED = "runs go through the model by machine code, and are those of torch to rounding"


def test_a_race_decides_for_machine_code_and_says_so(tmp_path: Path) -> None:
    told: list[Any] = []
    found = race(tmp_path / "it", watch=told.append)
    assert (found.meta["compiled"], found.meta["lanes"]) == (True, 1)
    assert any(getattr(event, "text", "").startswith(COMPILED) for event in told)
    own = race(tmp_path / "own", lanes=1)
    assert own.meta["compiled"] is False
    assert "lanes=1" in own.meta["again"]
    assert "lanes" not in found.meta["again"]
    assert [(s.label, s.status, s.steps_to_target) for s in found.standings] == [
        (s.label, s.status, s.steps_to_target) for s in own.standings
    ]
    assert ledger(found) != ledger(own)  # in a last bit
    spread = race(tmp_path / "spread", workers=2)
    assert ledger(spread) == ledger(found)


def test_a_race_goes_on_as_it_was_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = 0

    def stop(event: object) -> None:
        nonlocal moved
        moved += type(event).__name__ == "Moved"
        if moved == 6:
            raise KeyboardInterrupt

    for name, options in (("it", {}), ("own", {"lanes": 1})):
        moved = 0
        with pytest.raises(KeyboardInterrupt):
            race(tmp_path / name, watch=stop, **options)
    with pytest.raises(InputError, match="a race with compiled True, and this one has False"):
        race(tmp_path / "it", resume=True, lanes=1)
    with monkeypatch.context() as patched:
        patched.setattr(api, "refusal", lambda task, seed: "no")
        with pytest.raises(InputError, match=r"by machine code, which cannot be had here \(no\)"):
            race(tmp_path / "it", resume=True)
    for name, options in (("it", {}), ("own", {"lanes": 1})):  # whichever is asked for no more
        whole = race(tmp_path / f"{name} whole", **options)
        assert ledger(race(tmp_path / name, resume=True)) == ledger(whole)


def test_a_model_that_machine_code_comes_to_otherwise_is_torchs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Net.learn
    monkeypatch.setattr(Net, "learn", lambda *given: learn(*given) * 1.01)
    told: list[Any] = []
    assert race(tmp_path / "it", watch=told.append).meta["compiled"] is False
    said = "torch goes through the model: by machine code its first updates come to something else"
    assert said in [getattr(event, "text", "") for event in told]


def test_seconds_are_shared(tmp_path: Path) -> None:
    task = small()
    one, two = (stack.Member(begun(task, FIELD["SGD"].make, s)) for s in (0, 1))
    stack.update([one, two], [m.run.batch() for m in (one, two)])  # type: ignore[misc]
    assert one.run.seconds == two.run.seconds > 0
    assert math.isfinite(one.run.seconds)
