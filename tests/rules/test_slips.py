"""A slip in a rule is named in one sentence, where the rule is defined."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any

import pytest
import torch

import slalom
from slalom.optim.rule_optimizer import CHOICES, TREATMENT
from slalom.rules import RULES, Example, RuleError, rule
from slalom.rules.signature import OF_CLASSES, OF_GROUPS


def function(signature: str, body: str = "return param") -> Any:
    namespace: dict[str, Any] = {"torch": torch}
    exec(f"def mine({signature}):\n    {body}", namespace)
    return namespace["mine"]


SIGNATURES = [
    ("param", r"a rule takes \(param, grad, its states by name, \*, keyword-only"),
    ("", r"a rule takes \(param, grad"),
    ("grad, param, *, lr=0.1", "the first two of these very names"),
    ("self, param, grad, *, lr=0.1", "the first two of these very names"),
    ("param, lr, grad", "the first two of these very names"),
    ("*, param, grad, lr=0.1", "the first two of these very names"),
    ("param, grad, *state, lr=0.1", r"takes no \*state; it names each state"),
    ("param, grad, *, lr=0.1, **rest", r"takes no \*\*rest"),
    ("param, grad, /, *, lr=0.1", "param is positional only; leave out the /"),
    ("param, grad=None, *, lr=0.1", "grad has a default; it is always given"),
    ("param, grad, step, *, lr=0.1", r"step is no state; .*\(param, grad, \*, step\)"),
    ("param, grad, first, *, lr=0.1", r"first is no state; .*\(param, grad, \*, first\)"),
    ("param, grad, m=0, *, lr=0.1", r'm stands before the star.* init=\{"m": ...\}'),
    ("param, grad, lr=0.1", r"lr stands before the star.*after it, \(param, grad, \*, lr=0.1\)"),
    ("param, grad, lr", "lr stands before the star, among the states; a hyper-parameter"),
    ("param, grad, m, weight_decay, *, lr=0.1", "weight_decay stands before the star"),
    ("param, grad, *, lr=0.1, betas=[0.9, 0.99]", r"betas has the default \[0.9.*write a tuple"),
    ("param, grad, *, lr=0.1, betas=()", r"betas has the default \(\); it must be a number"),
    ("param, grad, *, lr=0.1, pair=(0.9, None)", "pair has the default"),
    ("param, grad, *, lr=0.1, pair=((1, 2), 3)", "pair has the default"),
    ("param, grad, *, lr=0.1, on=(True, False)", "on has the default"),
    ("param, grad, *, lr={}", "lr has the default {}; it must be a number"),
    ("param, grad, *, lr=torch.tensor(0.1)", "lr has the default tensor"),
    ("param, grad, *, lr=10**400", "lr has the default 1000"),
    ("param, grad, *, lr=1j", "lr has the default 1j"),
    ("param, grad, *, lr=float('nan')", "lr has the default nan"),
    ("param, grad, *, lr=0.1, f=abs", "f has the default <built-in function abs>"),
    ("param, grad, *, lr=-0.1", "the default of lr is -0.1; it must be >= 0, or bounds must say"),
    ("param, grad, *, lr='fast'", "the default of lr is 'fast'; it must be >= 0"),
    ("param, grad, *, betas=(0.9, 1.0)", r"the default of betas\[1\] is 1.0; .* in \[0, 1\)"),
    *(
        (f"param, grad, *, lr=0.1, {name}=1.0", f"hyper-parameter {name} needs another name")
        for name in (*OF_GROUPS, *OF_CLASSES, "initial_lr", "swa_lr", "max_momentum")
    ),
]


@pytest.mark.parametrize(("signature", "what"), SIGNATURES, ids=[s for s, _ in SIGNATURES])
def test_of_a_signature(signature, what):
    with pytest.raises(RuleError, match=what) as caught:
        rule(function(signature))
    assert "rule mine" in str(caught.value)
    assert "\n" not in str(caught.value)


class Callable:
    def __call__(self, param, grad, *, lr=0.1):
        return param - lr * grad


async def later(param, grad, *, lr=0.1):
    return param


def generated(param, grad, *, lr=0.1):
    yield param


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (0.1, "0.1 is no function; a rule is made of one"),
        ("adam", "'adam' is no function"),
        (Callable, "is no function"),
        (Callable(), "has no name that a rule could have; write the rule with def"),
        (functools.partial(generated, lr=0.5), "has no name"),
        (lambda param, grad, *, lr=0.1: param, "has no name"),
        (later, "rule later is a generator or a coroutine"),
        (generated, "rule generated is a generator or a coroutine"),
        (RULES["adam"], "adam is a rule already"),
        (max, "rule max: no signature found"),
    ],
)
def test_of_what_is_no_function(made, what):
    with pytest.raises(RuleError, match=what):
        rule(made)


DECLARED = "param, grad, m, n, *, lr=0.1, betas=(0.9, 0.99), flag=False, word='a', none=None"
OPTIONS = [
    ({"numbers": "m"}, r"numbers is the word 'm'; write \(\"m\",\)"),
    ({"numbers": ("k",)}, r"numbers names 'k', which is none of its states \(m, n\)"),
    ({"init": {"k": 1.0}}, r"init names k=1.0; it maps a state \(m, n\) to a number"),
    ({"init": {"m": "rate"}}, r"init names m='rate'; .*that are numbers \(lr\)"),
    ({"init": {"m": "betas"}}, "init names m='betas'"),
    ({"init": {"m": "flag"}}, "init names m='flag'"),
    ({"init": {"m": None}}, "init names m=None"),
    ({"init": {"m": torch.ones(1)}}, "init names m=tensor"),
    ({"init": [("m", 1)]}, "init is .* it must be a dict from names"),
    ({"search": {"rate": (0.1, 1)}}, "search names 'rate', which is none of its hyper-parameters"),
    ({"search": {"step": (1, 2)}}, "search names 'step'"),
    (
        {"search": {"betas": (0.1, 0.9)}},
        r"search names 'betas', which is several; name \"betas\[0\]",
    ),
    ({"search": {"betas[2]": (0.1, 0.9)}}, r"search names 'betas\[2\]'; of betas there is 2"),
    ({"search": {"lr[0]": (0.1, 0.9)}}, r"search names 'lr\[0\]'; of lr there is one"),
    ({"search": {"betas[x]": (0.1, 0.9)}}, r"search names 'betas\[x\]', which is none"),
    ({"search": {"flag": (0.1, 0.9)}}, "search names 'flag', which is no number"),
    ({"search": {"word": (0.1, 0.9)}}, "search names 'word', which is no number"),
    ({"search": {"lr": (1.0, 0.1)}}, r"search of lr is \(1.0, 0.1\); it must be \(low, high\)"),
    ({"search": {"lr": (0.0, 0.1)}}, "with 0 < low < high"),
    ({"search": {"lr": 0.1}}, "search of lr is 0.1; it must be"),
    ({"search": {"lr": (0.1, 0.2, 0.3)}}, "search of lr is"),
    ({"search": {"lr": ("a", "b")}}, "search of lr is"),
    ({"search": {"lr": (0.1, float("inf"))}}, "search of lr is"),
    ({"search": {"betas[0]": (0.1, 1.0)}}, r"search of betas\[0\] is .*must be in \[0, 1\)"),
    ({"search": {"lr": (0.1, 2)}, "bounds": {"lr": "[0, 1]"}}, "search of lr is"),
    ({"bounds": {"rate": ">= 0"}}, "bounds names 'rate'"),
    ({"bounds": {"betas[2]": ">= 0"}}, r"bounds names 'betas\[2\]'"),
    ({"bounds": {"flag": ">= 0"}}, "bounds names 'flag', which is True or False"),
    ({"bounds": {"lr": "positive"}}, r"bounds of lr: 'positive' is no interval; write \">= 0\""),
    ({"bounds": {"lr": "[1, 0]"}}, r"bounds of lr: the interval '\[1, 0\]' holds no number"),
    ({"bounds": {"lr": "(1, 1]"}}, "holds no number"),
    ({"bounds": {"lr": (0, 1)}}, "is no choice; name the words"),
    ({"bounds": {"lr": 0}}, "bounds of lr"),
    ({"bounds": {"lr": ("a", "b")}}, "an interval bounds a number, and a tuple of words a word"),
    ({"bounds": {"word": ">= 0"}}, "an interval bounds a number"),
    ({"bounds": {"word": ("b", "c")}}, "the default of word is 'a'; it must be 'b' or 'c'"),
    ({"bounds": {"lr": "> 1"}}, "the default of lr is 0.1; it must be > 1"),
    ({"bounds": {"betas[1]": "< 0.5"}}, r"the default of betas\[1\] is 0.99; it must be < 0.5"),
    ({"requires": {"a < b": lambda h: h["rate"]}}, "requires names 'rate', which is none of its"),
    ({"requires": {"a < b": lambda h: h["lr"] > 1}}, "its defaults do not meet .*: a < b"),
    ({"sparse": "row"}, 'sparse is \'row\'; it must be "rows", "dense" or None'),
    ({"sparse": True}, "sparse is True"),
    ({"averaged": True}, "an averaged rule keeps the state z"),
    ({"class_name": "My Rule"}, "class_name is 'My Rule', which cannot be the name of a class"),
    ({"class_name": 3}, "class_name is 3"),
    ({"field": {"Mine": {"rate": 1}}}, "field 'Mine' names 'rate'"),
    ({"field": "Mine"}, "field is 'Mine'; it must be a dict"),
    ({"field": {"Mine": None}}, "field 'Mine' is None; it must be a dict"),
    ({"examples": [Example((0.1, 0.2), rate=1)]}, "an example names 'rate'"),
    ({"examples": [(0.1, 0.2)]}, "examples has .* it holds slalom.rules.Example"),
]


@pytest.mark.parametrize(("options", "what"), OPTIONS, ids=[what[:40] for _, what in OPTIONS])
def test_of_an_option(options, what):
    with pytest.raises(RuleError, match=what) as caught:
        rule(**options)(function(DECLARED))
    assert str(caught.value).startswith("rule mine: ")
    assert "\n" not in str(caught.value)


def test_an_option_that_there_is_not():
    with pytest.raises(TypeError, match="'serach'"):
        rule(serach={})(function(DECLARED))  # type: ignore[call-overload]


RESULTS = [
    ("pass", "rule mine returns nothing; it must return the new param, m"),
    ("return None", "rule mine returns nothing"),
    ("return param", "rule mine returns 1 results where 2 are due: the new param, m"),
    ("return param, m, m", "rule mine returns 3 results where 2 are due"),
    ("return param, None", "returns None for m; where nothing changes, return m as it was given"),
    ("return None, m", "returns None for param"),
    ("return param, 'm'", "returns a str for m"),
    ("return param, (m,)", "returns a tuple for m"),
    ("return [param, m]", "returns a list; it must return the new param, m as a tuple"),
    ("return {'param': param}", "returns a dict"),
    ("return param * (2 if lr in {0.1, 0.2} else 1), m", "looks a value up in a set or a dict"),
    ("return param * {0.1: 2.0}.get(lr, 1.0), m", "looks a value up in a set or a dict"),
]


@pytest.mark.parametrize(("body", "what"), RESULTS, ids=[b for b, _ in RESULTS])
def test_of_results(body, what):
    made = rule(function("param, grad, m, *, lr=0.1", body))
    param = torch.nn.Parameter(torch.ones(2))
    param.grad = torch.ones(2)
    optimizer = slalom.optimizer(made)([param])
    with pytest.raises(RuleError, match=what) as caught:
        optimizer.step()
    assert "\n" not in str(caught.value)
    assert param.tolist() == [1.0, 1.0]
    assert not optimizer.state


def test_what_is_allowed():
    made = rule(
        numbers=["m"], init={"m": "lr", "n": 2}, search={"lr": (0.01, 1), "betas[1]": (0.5, 0.9)},
        bounds={"lr": "(0, inf)", "betas": "(-1, 1)", "word": ("a", "b"), "none": "> 0"},
        field={"Mine": {}, "Mine of all": {"flag": True, "batch_size": "all"}}, class_name="MINE",
    )(function(DECLARED))  # fmt: skip
    assert (made.numbers, made.state) == (("m",), ("n",))
    assert made.start("m", {"lr": 0.5}) == 0.5
    assert str(made.bound("betas", 1)) == "in (-1, 1)"
    assert made.class_name == "MINE"
    assert rule(bounds={"lr": None})(function("param, grad, *, lr=-1.0")).bounds == {}
    assert rule(function("param, grad, *, step=1, first=True, lr=0.1")).hypers == {"lr": 0.1}


def test_a_class_checks_its_words_and_numbers():
    made = slalom.optimizer(
        rule(
            bounds={"word": ("a", "b"), "none": "> 0"}, requires={"lr is 1": lambda h: h["lr"] < 1}
        )(function(DECLARED, "return param - lr * grad, m, n"))
    )
    params = [torch.nn.Parameter(torch.ones(2))]
    made(params, word="b", none=2, betas=[0.5, 0.25])
    for options, error, what in [
        ({"word": "c"}, ValueError, "^Invalid word value: c; word must be 'a' or 'b'$"),
        ({"word": 3}, TypeError, "^word is 3; it must be a word$"),
        ({"none": -1}, ValueError, "^Invalid none value: -1; none must be > 0$"),
        ({"lr": "0.1"}, TypeError, "^lr is '0.1'; it must be a number$"),
        ({"lr": None}, TypeError, "^lr is None; it must be a number$"),
        ({"lr": 1j}, TypeError, "^lr is 1j; it must be a number$"),
        ({"lr": float("nan")}, ValueError, "^Invalid learning rate: nan$"),
        ({"lr": torch.ones(2)}, ValueError, "^Tensor lr must be 1-element$"),
        ({"lr": 1}, ValueError, "^lr is 1$"),
        ({"betas": (0.5,)}, ValueError, r"^Mine takes 2 betas, not \(0.5,\)$"),
        ({"betas": 0.5}, ValueError, "^Mine takes 2 betas, not 0.5$"),
        ({"betas": (0.5, "x")}, TypeError, r"^betas\[1\] is 'x'; it must be a number$"),
        ({"betas": (0.5, 1.5)}, ValueError, "^Invalid beta parameter at index 1: 1.5$"),
    ]:
        with pytest.raises(error, match=what):
            made(params, **options)
        with pytest.raises(error, match=what):
            made([{"params": params, **options}])


def test_the_names_that_are_taken_are_all_that_classes_have():
    assert set(OF_CLASSES) == {"self", *CHOICES, *TREATMENT}
    assert set(TREATMENT) == {
        f.name for f in fields(type(slalom.optim.SGD([torch.ones(1)])._treatment))
    }
    group = slalom.optim.ScheduleFreeSGD({"w": torch.nn.Parameter(torch.ones(1))}.items())
    kept = group.param_groups[0].keys() - RULES["schedule_free_sgd"].hypers.keys()
    assert kept - set(CHOICES) <= set(OF_GROUPS)
