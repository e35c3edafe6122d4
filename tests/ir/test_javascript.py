"""Rules in JavaScript, against the rules themselves in double precision."""

from __future__ import annotations

import contextlib
import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import node
from drawn import hypers_of
from slalom.ir.branches import branches
from slalom.ir.formula import input_name
from slalom.ir.javascript import javascript
from slalom.ir.program import is_whole
from slalom.rules import RULES, Rule, RuleError, maximum, rule, sign, where

STEPS = 8
ASK = """
function ask({rule, start, grads, hypers}) {
  const made = RULES[rule], state = {};
  for (const name of made.states) {
    const init = made.init[name] ?? 0;
    state[name] = typeof init === "string" ? hypers[init] : init;
  }
  let param = start, path = [];
  grads.forEach((grad, i) => {
    const inputs = {param, grad, step: i + 1, first: i === 0, ...state, ...hypers};
    const served = made.ways.map((way) => way(inputs)).map((r, i) => [r, i]).filter(([r]) => r);
    if (served.length !== 1) throw Error(`${served.length} ways serve`);
    const [[result, way]] = served;
    for (const name of made.states) if (name in result) state[name] = result[name];
    const last = made.formulas[way].at(-1);
    if (last[0] !== "param'" || !Object.is(result.lines.at(-1), result.param)) throw Error("lines");
    param = result.param;
    path.push([param, ...made.states.map((name) => state[name])]);
  });
  return path;
}
"""


@rule(numbers=("count",), bounds={"kind": ("up", "down")})
def odd(param, grad, count, kept, *, step, first, lr=0.1, kind="up", most=None):
    """Whatever the others leave out: a word, a power, a mask, a number that may be None."""
    count = count + 1 if first else 2 * count
    kept = where((grad > 0.5) & ~(param > 1) | (grad == 0), kept - grad, (-kept) ** 2)
    change = grad if kind == "up" else -(sign(kept) * abs(grad))
    if most is not None:
        change = maximum(change, -most * (2**0.5) ** -step)
    return param - lr * change / count, count, kept


SINGLE = {name: rule for name, rule in RULES.items() if not is_whole(rule)}
EVERY: dict[str, Rule] = {**SINGLE, "odd": odd}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    written = ",\n".join(f"{name}: {javascript(rule)}" for name, rule in EVERY.items())
    asked = node.Node(f"const RULES = {{{written}}};{ASK}", tmp_path_factory.mktemp("node"))
    with contextlib.closing(asked):
        yield asked


def reference(rule: Rule, start: float, grads: list[float], hypers: dict[str, Any]):
    """(param, *states) after each update, by the rule itself on float64 tensors."""
    import torch

    param = torch.tensor(start, dtype=torch.float64)
    state = [
        rule.start(n, hypers)
        if n in rule.numbers
        else torch.full_like(param, rule.start(n, hypers))
        for n in rule.arguments
    ]
    for i, grad in enumerate(grads):
        clock = {"step": i + 1} if rule.takes_step else {}
        clock |= {"first": i == 0} if rule.takes_first else {}
        results = rule(param, torch.tensor(grad, dtype=torch.float64), *state, **hypers, **clock)
        param, *state = rule.results(results)
        yield [float(param), *map(float, state)]


def inputs(hypers: dict[str, Any]) -> dict[str, Any]:
    """Hyper-parameters as JavaScript takes them."""
    found = {}
    for name, value in hypers.items():
        if isinstance(value, tuple):
            found |= {input_name(f"{name}[{i}]"): v for i, v in enumerate(value)}
        else:
            found[name] = value
    return found


@node.needed
@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=20)
@given(data=st.data())
def test_an_update_is_that_of_the_rule(name, page, data):
    rule = EVERY[name]
    hypers = data.draw(hypers_of(rule))
    numbers = st.floats(-10, 10).filter(lambda x: x == 0 or abs(x) > 1e-6)
    start = data.draw(numbers)
    grads = data.draw(st.lists(numbers, min_size=1, max_size=STEPS))
    found = page.ask({"rule": name, "start": start, "grads": grads, "hypers": inputs(hypers)})
    for mine, theirs in zip(found, reference(rule, start, grads, hypers), strict=True):
        mine = [float(x) for x in mine]
        scale = max([1.0, abs(start), *map(abs, theirs)])
        assert all(
            (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= 1e-11 * scale
            for a, b in zip(mine, theirs, strict=True)
        ), (mine, theirs)


@node.needed
def test_every_rules_own_examples(page):
    for name, known in SINGLE.items():
        for example in known.examples:
            hypers = {**known.hypers, **example.hypers}
            found = page.ask(
                {"rule": name, "start": 1, "grads": example.gradients, "hypers": inputs(hypers)}
            )
            assert [step[0] for step in found] == pytest.approx(example.params, rel=1e-8)


def test_a_rule_that_looks_at_whole_tensors_is_refused():
    with pytest.raises(RuleError, match="rule lamb looks at whole tensors"):
        javascript(RULES["lamb"])


def test_every_branch_is_found_once():
    found = {(p.flags["kind"], p.flags["first"], "most" in p.flags) for p in branches(odd)}
    assert found == set(itertools.product(["up", "down"], [True, False], [True, False]))
    assert len(branches(odd)) == 8
    momentum = branches(RULES["momentum"], {"maximize": False})
    assert [(p.flags["nesterov"], len(p.guards)) for p in momentum] == [
        (False, 1), (False, 1), (True, 1), (True, 1),
    ]  # fmt: skip


def test_a_branch_of_a_branch():
    @rule
    def nested(param, grad, *, lr=0.1, decay=0.0, floor=0.0):
        """Two conditions, the second asked for where the first holds."""
        if decay > 0 and floor > decay:
            grad = grad + decay
        return param - lr * grad if decay > 0 else param + lr * grad

    outcomes = [tuple(outcome for _, outcome in p.guards) for p in branches(nested)]
    assert outcomes == [(True, True), (True, False), (False,)]


def test_no_word_of_a_rule_ends_the_script():
    @rule
    def evil(param, grad, *, lr=0.1):
        """</script><b>"""
        return param - lr * grad

    assert "</script" not in javascript(evil)
