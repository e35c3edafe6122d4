"""The claims of the field: experiments run, statistics are right, the page is whole."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from slalom.bench import measured
from slalom.bench.claims import CLAIMS, _tuned
from slalom.bench.claims._characters import Characters
from slalom.bench.claims._claim import (
    Call,
    Claim,
    Figure,
    Finding,
    exact,
    exponent,
    mean,
    share,
    shown,
    times,
)  # fmt: skip
from slalom.bench.claims._softmax import DECAY, Softmax, optimum, samples, steepest
from slalom.bench.claims._timed import speed_ups
from slalom.bench.claims.adagrad import width
from slalom.errors import InputError

ROOT = Path(__file__).parents[2]
RECORD, PAGE = ROOT / "benchmarks" / "claims.json", ROOT / "docs" / "claims.md"


def test_every_claim_is_told_as_it_was_measured():
    found, page = measured.known(RECORD), PAGE.read_text()
    assert len(CLAIMS) >= 19
    assert page == measured.written(found)
    for name, claim in CLAIMS.items():
        assert claim.text in page
        assert (f"| {claim.text} | not measured yet |" in page) == (name not in found)
    for name, one in found.items():
        for figure in one.finding.figures:
            assert f"| {figure.what} | {figure} |" in page, name
            assert figure.low <= figure.value <= figure.high


def test_all_of_it_takes_less_than_forty_minutes():
    assert sum(one.seconds for one in measured.known(RECORD).values()) < 40 * 60


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_every_experiment_can_be_done(name):
    assert CLAIMS[name].measure(True).figures


def test_an_experiment_finds_what_theory_has():
    """Momentum's gain over gradient descent, and what adds up: closed forms of its own."""
    figures = {f.what: f for f in CLAIMS["ravine"].measure(True).figures}
    assert figures["a step under a constant gradient, in steps without momentum"].value == (
        pytest.approx(10, rel=1e-6)
    )
    assert figures["the largest rate that stays bounded, likewise"].value == (
        pytest.approx(1.9, rel=1e-3)
    )
    by_theory = figures["the same by theory, condition 100"].value
    measured = figures["gradient descent in multiples of Momentum, condition 100"].value
    assert by_theory == pytest.approx(math.log(9 / 11) / math.log(99 / 101))
    assert 0.6 * by_theory < measured < by_theory


def claims_of(calls: list[str]) -> dict[str, Claim]:
    def measure(name: str):
        def found(quick: bool) -> Finding:
            calls.append(name)
            if name == "second" and calls.count(name) == 1:
                raise KeyboardInterrupt
            return Finding(Call.HOLDS, "It does.", [Figure("it", 2.0, 1.0, 3.0)])

        return found

    return {n: Claim(n, f"The {n}.", "Try.", measure(n)) for n in ("first", "second")}


def test_what_was_interrupted_goes_on(tmp_path, monkeypatch):
    calls: list[str] = []
    monkeypatch.setattr(measured, "CLAIMS", claims_of(calls))
    paths = tmp_path / "r.json", tmp_path / "p.md"
    with pytest.raises(KeyboardInterrupt):
        measured.main(*paths)
    assert list(json.loads(paths[0].read_text())) == ["first"]
    assert not paths[1].exists()
    measured.main(*paths)
    assert calls == ["first", "second", "second"]
    assert "| it | 2 (1 to 3) |" in paths[1].read_text()
    measured.main(*paths)
    assert len(calls) == 3
    measured.main(*paths, ["first"])
    assert calls[3:] == ["first"]


def test_what_cannot_be_measured_now_is_said_and_passed_over(tmp_path, monkeypatch, capsys):
    def busy(quick: bool) -> Finding:
        monkeypatch.setattr("os.getloadavg", lambda: (99.0, 99.0, 99.0))
        speed_ups([1], 64, 12)
        raise AssertionError

    found = {**claims_of([]), "second": Claim("second", "It.", "Try.", busy)}
    monkeypatch.setattr(measured, "CLAIMS", found)
    measured.main(tmp_path / "r.json", tmp_path / "p.md")
    assert "second: a load of 99.0 on" in capsys.readouterr().out
    assert "| It. | not measured yet |" in (tmp_path / "p.md").read_text()


def test_an_unknown_claim_is_refused():
    with pytest.raises(InputError, match=r"there is no claim 'ravines'.*did you mean ravine"):
        measured.main(Path("no.json"), Path("no.md"), ["ravines"])


def test_intervals_are_scipys():
    values = [1.0, 2.0, 4.0, 3.0]
    found = mean("", values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    twice = times("", [2.0, 8.0], [1.0, 4.0])
    assert (twice.value, twice.low, twice.high) == pytest.approx((2, 2, 2))
    assert times("", values, [1.0] * 4).value == pytest.approx(stats.gmean(values))
    half = share("", 5, 10)
    assert (half.value, half.low, half.high) == pytest.approx((0.5, 0.1871, 0.8129), abs=1e-4)
    assert exponent("", [1, 2, 4], [[3, 12, 48], [1, 4, 16]]).value == pytest.approx(2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1.0, "1"), (0.98765, "0.988"), (12345.6, "12,346"), (2e-7, "2.0e-07"),
        (-0.5, "-0.5"), (math.inf, "never"), (250.4, "250"),
    ],
)  # fmt: skip
def test_numbers_are_shown_in_three_digits(value, text):
    assert shown(value) == text
    assert str(exact("", value)) == text


def test_a_valley_is_as_wide_as_where_the_need_is_low():
    bowl = [(-3.0, 8.0), (-2.0, 1.0), (-1.0, 2.0), (0.0, math.inf)]
    assert width(bowl) == pytest.approx(1 / 3 + 1)  # log 2 of log 8, and a whole decade
    assert width([(0.0, math.inf), (1.0, math.inf)]) == 0


def test_softmax_regression_has_the_gradient_of_its_loss():
    problem = Softmax(2)
    with torch.no_grad():
        problem.weights.normal_(generator=torch.Generator().manual_seed(0))
    x, y = samples()
    twin = problem.weights.detach().clone().requires_grad_()
    losses = torch.stack([functional.cross_entropy(x @ w, y) for w in twin])
    losses = losses + DECAY / 2 * twin.square().sum((1, 2))
    losses.sum().backward()
    problem.set_gradient()
    assert torch.allclose(problem.losses(), losses)
    assert torch.allclose(problem.weights.grad, twin.grad)


def test_its_optimum_is_one_and_its_curvature_is_bounded():
    weights, lowest = optimum()
    problem = Softmax(1)
    with torch.no_grad():
        problem.weights.copy_(weights)
    problem.set_gradient()
    assert problem.weights.grad.norm() < 1e-7
    assert problem.losses().item() == pytest.approx(lowest)
    with torch.no_grad():
        problem.weights.zero_()
    assert problem.losses().item() == pytest.approx(math.log(10))
    assert steepest() > DECAY


def test_characters_are_counted_together_without_a_difference():
    problem = Characters(500)
    model = problem.model()
    torch.nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(0))
    apart = problem.batch_loss(model, torch.arange(problem.n))
    decay = 5e-6 * model.weight.square().sum()
    assert torch.allclose(problem.loss(model), apart + decay)


def test_the_bank_is_looked_for_in_the_root_of_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "copying" in _tuned.recorded()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="start the command in the repository's root"):
        _tuned.recorded()
