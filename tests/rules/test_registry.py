"""What every rule of the package says of itself, and that all of it is found by itself."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

import slalom
from reference import trajectory
from slalom.ir.program import is_whole
from slalom.rules import REQUIRED, RULES, Rule, RuleError
from slalom.rules.bounds import Choice
from slalom.rules.registry import collect

over_rules = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
EXAMPLES = [(r, e) for r in RULES.values() for e in r.examples]
over_examples = pytest.mark.parametrize(
    ("rule", "example"), EXAMPLES, ids=[f"{r.name}{list(e.hypers)}" for r, e in EXAMPLES]
)


@over_rules
def test_it_says_what_it_is(rule):
    assert RULES[rule.name] is rule
    assert rule.year is not None, "the first line of the docstring names the year of its paper"
    assert "lr" in rule.search
    assert rule.examples, "numbers that were worked out apart from the rule"


def test_rules_stand_in_the_order_of_their_papers():
    years = [r.year for r in RULES.values()]
    assert years == sorted(years)
    assert list(RULES)[:2] == ["sgd", "momentum"]


@over_rules
def test_it_has_a_class(rule):
    made = getattr(slalom.optim, rule.class_name)
    assert made.rule is rule
    assert made.__name__ == rule.class_name
    assert made.__module__ == "slalom.optim"
    assert made.__doc__ == rule.__doc__
    assert rule.class_name in slalom.optim.__all__
    assert hasattr(made, "eval") == rule.averaged


@over_examples
def test_it_gives_the_numbers_of_its_examples(rule, example):
    grads = [torch.tensor([g], dtype=torch.float64) for g in example.gradients]
    torch.set_default_dtype(torch.float64)
    path = trajectory(rule, torch.ones(1), grads, **example.hypers)
    assert path[1:, 0].tolist() == pytest.approx(example.params, rel=1e-8)


@over_examples
def test_its_class_gives_the_numbers_of_its_examples(rule, example):
    torch.set_default_dtype(torch.float64)
    n = 1 if is_whole(rule) else 3  # of a whole tensor these would be other numbers
    param = torch.nn.Parameter(torch.ones(n))
    optimizer = getattr(slalom.optim, rule.class_name)([param], **example.hypers)
    for gradient, expected in zip(example.gradients, example.params, strict=True):
        param.grad = torch.full((n,), gradient)
        optimizer.step()
        assert param.tolist() == pytest.approx([expected] * n, rel=1e-8)


@over_examples
def test_maximize_turns_the_gradient(rule, example):
    if "maximize" not in rule.hypers:
        pytest.skip("it cannot maximize")
    grads = [torch.tensor([-g], dtype=torch.float64) for g in example.gradients]
    torch.set_default_dtype(torch.float64)
    path = trajectory(rule, torch.ones(1), grads, maximize=True, **example.hypers)
    assert path[1:, 0].tolist() == pytest.approx(example.params, rel=1e-8)


@over_rules
def test_its_class_refuses_what_is_out_of_bounds(rule):
    made = getattr(slalom.optim, rule.class_name)
    params = [torch.nn.Parameter(torch.ones(2))]
    required = {n: 0.1 for n, d in rule.hypers.items() if d is REQUIRED}
    for name, default in rule.hypers.items():
        for i in range(len(default)) if isinstance(default, tuple) else [None]:
            bound = rule.bound(name, i)
            if isinstance(bound, Choice):
                with pytest.raises(ValueError, match="none of these"):
                    made(params, **required | {name: "none of these"})
                continue
            for end in (bound.low - 1, bound.high + 1) if bound is not None else ():
                if abs(end) == float("inf"):
                    continue
                value = end
                if isinstance(default, tuple):
                    value = tuple(end if i == place else v for place, v in enumerate(default))
                with pytest.raises(ValueError, match=r"^Invalid "):
                    made(params, **required | {name: value})


@over_rules
def test_what_a_race_searches_its_class_accepts(rule):
    made = getattr(slalom.optim, rule.class_name)
    for name, ends in rule.search.items():
        hyper, _, place = name.partition("[")
        for value in ends:
            given = value
            if place:
                given = list(rule.hypers[hyper])
                given[int(place[:-1])] = value
            options = {"lr": 0.1, hyper: given}
            made([torch.nn.Parameter(torch.ones(2))], **options)


def package(folder, monkeypatch, **modules: str):
    """A package of these modules, to be imported once."""
    name = folder.name
    monkeypatch.syspath_prepend(folder.parent)
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(f"from slalom.rules import rule\n{text}")
    importlib.invalidate_caches()
    for known in [n for n in sys.modules if n.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, known)
    return importlib.import_module(name)


RULE = "@rule{}\ndef {}(param, grad, *, lr=0.1):\n    {!r}\n    return param - lr * grad\n"


def test_a_package_has_the_rules_of_its_modules(tmp_path, monkeypatch):
    made = package(
        tmp_path / "some_rules", monkeypatch,
        first=RULE.format("", "late", "Of 2020.") + "_hidden = late.derive(late.function)\n",
        second=RULE.format("", "early", "Of 1950.") + "from some_rules.first import late\n",
        third=RULE.format("", "undated", "Of no year."),
    )  # fmt: skip
    found = collect(made)
    assert list(found) == ["early", "late", "undated"]
    assert all(isinstance(r, Rule) for r in found.values())


@pytest.mark.parametrize(
    ("second", "named"),
    [
        (RULE.format("", "one", "Again 2001."), r"one \(One\) and one \(One\)"),
        (RULE.format('(class_name="One")', "two", "2001."), r"two \(One\) and one \(One\)"),
    ],
)
def test_two_rules_of_one_name_are_refused(tmp_path, monkeypatch, second, named):
    made = package(
        tmp_path / "twice", monkeypatch, a=RULE.format("", "one", "2000."), b=second
    )  # fmt: skip
    with pytest.raises(RuleError, match=f"two rules are called {named}.* twice.b needs another"):
        collect(made)


def test_slalom_optim_has_all_of_torch_optim():
    for name in (*torch.optim.__all__, "lr_scheduler", "swa_utils"):
        ours, theirs = getattr(slalom.optim, name), getattr(torch.optim, name)
        is_rule = name in {r.class_name for r in RULES.values()}
        assert (ours is not theirs) == is_rule
        assert name in slalom.optim.__all__
    public = {n for n in vars(torch.optim) if not n.startswith("_")}
    assert public <= set(dir(slalom.optim))
    from slalom.optim.lr_scheduler import StepLR  # pyright: ignore[reportMissingImports]
    from slalom.optim.swa_utils import SWALR  # pyright: ignore[reportMissingImports]

    assert (StepLR, SWALR) == (torch.optim.lr_scheduler.StepLR, torch.optim.swa_utils.SWALR)


def test_all_that_slalom_optim_names_is_there():
    namespace: dict = {}
    exec("from slalom.optim import *", namespace)
    assert set(slalom.optim.__all__) <= namespace.keys()
    assert len(set(slalom.optim.__all__)) == len(slalom.optim.__all__)
