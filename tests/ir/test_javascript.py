"""Rules in JavaScript, against the rules themselves in double precision."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import node
from drawn import hypers_of
from slalom.ir.branches import branches
from slalom.ir.formula import input_name
from slalom.ir.javascript import javascript
from slalom.paths.sliders import counted, fixed
from slalom.rules import (
    RULES,
    Rule,
    RuleError,
    columns,
    maximum,
    mean,
    norm,
    orthogonal,
    rows,
    rule,
    sign,
    total,
    where,
)

STEPS = 8
ASK = """
function ask({rule, start, grads, hypers}) {
  const made = RULES[rule], state = {};
  for (const name of made.states) {
    const init = made.init[name] ?? 0;
    const value = typeof init === "string" ? hypers[init] : init;
    state[name] = made.single.includes(name) ? value : start.map(() => value);
  }
  let param = start, path = [];
  grads.forEach((grad, i) => {
    const inputs = {param, grad, step: i + 1, first: i === 0, ...state, ...hypers};
    for (const name in hypers) if (hypers[name] === "Infinity") inputs[name] = Infinity;
    const served = made.ways.map((way) => way(inputs)).map((r, i) => [r, i]).filter(([r]) => r);
    if (served.length !== 1) throw Error(`${served.length} ways serve`);
    const [[result, way]] = served;
    for (const name of made.states) if (name in result) state[name] = result[name];
    const last = made.formulas[way].at(-1);
    const same = String(result.lines.at(-1)) === String(result.param);
    if (last[0] !== "param'" || !same) throw Error("lines");
    param = result.param;
    path.push([param, ...made.states.map((name) => state[name])].flat());
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


@rule(shapes={"whole": "one", "each": "row", "along": "column"})
def odd_sums(param, grad, whole, each, along, *, step, lr=0.1):
    """Sums of every kind, of elements and of what was summed."""
    whole = whole + total(grad) + mean(param * param) - norm(each) + total(along)
    each = each + total(grad, axis=1) * norm(param, axis=1)
    along = along + mean(grad * param, axis=0) + norm(grad, axis=0) + rows(param) + columns(param)
    turned = orthogonal(param / (1 + norm(param)), [(1.5, -0.5, 0.25), (1, step, 0)])
    return param - lr * (whole + each * along + sign(whole) * turned), whole, each, along


EVERY: dict[str, Rule] = {**RULES, "odd": odd, "odd_sums": odd_sums}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Every rule for a vector of one element, and of three."""
    written = ",\n".join(
        f"{name}{size}: {javascript(rule, size, fixed(rule), counted(rule))}"
        for name, rule in EVERY.items() for size in (1, 3)
    )  # fmt: skip
    asked = node.Node(f"const RULES = {{{written}}};{ASK}", tmp_path_factory.mktemp("node"))
    with contextlib.closing(asked):
        yield asked


def reference(
    rule: Rule, start: list[float], grads: list[list[float]], hypers: dict[str, Any]
) -> Iterator[list[float]]:
    """(param, *states) after each update, by the rule itself on float64 tensors."""
    import torch

    param = torch.tensor(start, dtype=torch.float64)
    state = [
        rule.start(n, hypers)
        if n in rule.numbers
        else param.new_full(rule.shape(n, param.shape, hypers), rule.start(n, hypers))
        for n in rule.arguments
    ]
    for i, grad in enumerate(grads):
        clock = {"step": i + 1} if rule.takes_step else {}
        clock |= {"first": i == 0} if rule.takes_first else {}
        results = rule(param, torch.tensor(grad, dtype=torch.float64), *state, **hypers, **clock)
        param, *state = rule.results(results)
        yield torch.cat(
            [torch.as_tensor(t, dtype=torch.float64).flatten() for t in (param, *state)]
        ).tolist()


def inputs(hypers: dict[str, Any]) -> dict[str, Any]:
    """Hyper-parameters as JavaScript takes them."""
    found = {}
    for name, value in hypers.items():
        if isinstance(value, tuple):
            found |= {input_name(f"{name}[{i}]"): v for i, v in enumerate(value)}
        else:
            found[name] = "Infinity" if value == math.inf else value  # JSON knows no infinity
    return found


@node.needed
@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=20)
@given(data=st.data())
def test_an_update_is_that_of_the_rule(name, page, data):
    rule = EVERY[name]
    hypers = {**data.draw(hypers_of(rule)), **fixed(rule)}
    size = data.draw(st.sampled_from([1, 3]))
    numbers = st.floats(-10, 10).filter(lambda x: x == 0 or abs(x) > 1e-6)
    vectors = st.lists(numbers, min_size=size, max_size=size)
    start = data.draw(vectors)
    grads = data.draw(st.lists(vectors, min_size=1, max_size=STEPS))
    found = page.ask(
        {"rule": f"{name}{size}", "start": start, "grads": grads, "hypers": inputs(hypers)}
    )
    for mine, theirs in zip(found, reference(rule, start, grads, hypers), strict=True):
        mine = [float(x) for x in mine]
        scale = max(map(abs, [1.0, *start, *theirs]))
        assert all(
            (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= 1e-11 * scale
            for a, b in zip(mine, theirs, strict=True)
        ), (mine, theirs)


@node.needed
def test_every_rules_own_examples(page):
    for name, known in RULES.items():
        for example in known.examples:
            if example.hypers.keys() & fixed(known).keys():
                continue
            hypers = {**known.hypers, **example.hypers}
            grads = [[grad] for grad in example.gradients]
            found = page.ask(
                {"rule": f"{name}1", "start": [1], "grads": grads, "hypers": inputs(hypers)}
            )
            assert [step[0] for step in found] == pytest.approx(example.params, rel=1e-8)


def test_a_loop_that_a_number_ends_is_refused_where_it_is_open():
    with pytest.raises(RuleError, match="branches more than 64 times"):
        javascript(RULES["muon"], 2)


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

    assert "</script" not in javascript(evil, 1)
