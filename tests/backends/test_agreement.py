"""Rules of any form and any names: machine code, torch's operations and the rule itself agree.

The rule itself is its function, called on float64 tensors.
"""

from __future__ import annotations

import keyword
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch.nn import Parameter

import slalom
from slalom.backends import BACKENDS, using
from slalom.rules import (
    absolute,
    atan2,
    maximum,
    mean,
    minimum,
    norm,
    rule,
    sign,
    sqrt,
    total,
    where,
)  # fmt: skip
from slalom.rules.bounds import COMMON

COLLIDING = (
    "t0", "t1", "t2", "t10", "h0", "h1", "h0_0", "h0_1", "n0", "n1", "a0", "a1", "s0", "s1", "v0",
    "v1", "i", "row", "noise", "next", "more", "some", "body", "done", "entry", "begin", "end",
    "update", "loop", "addresses", "number", "inf", "nan", "float", "map", "int", "first_",
    "step_", "flag0", "complex", "ValueError", "add", "mul", "pow", "neg", "maximum_", "minimum_",
    "sqrt_", "where_", "sign_", "abs", "name", "tensor", "self_", "state", "scalars", "values",
    "betas", "beta1", "exp_avg", "momentum", "row_0", "x", "lr2", "NULL", "i1", "double", "ptr",
    "late", "rule_", "scale", "shrink", "bound", "grad_", "param_", "group", "params_", "_", "__a",
    "ä", "λ", "count", "present", "found_inf", "grad_scale", "defaults", "lambda_",
)  # fmt: skip
TAKEN = {"param", "grad", "lr", "betas", "eps", "weight_decay", "step", "first", "pair"} | {
    "sqrt", "maximum", "minimum", "where", "sign", "absolute", "atan2", "total", "mean", "norm",
}  # fmt: skip

identifiers = (
    st.sampled_from(COLLIDING)
    | st.from_regex(r"[abhinstv][0-9]{1,2}(_[0-9])?", fullmatch=True)
    | st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True)
).filter(
    lambda name: name not in TAKEN and not keyword.iskeyword(name) and not name.startswith("__")
)


@dataclass
class Written:
    """A rule as text, with what it needs."""

    text: str
    states: list[str]
    numbers: list[str] = field(default_factory=list)
    init: dict[str, float] = field(default_factory=dict)

    def rule(self) -> slalom.rules.Rule:
        space: dict[str, Any] = {
            f.__name__: f
            for f in (sqrt, maximum, minimum, where, sign, absolute, atan2, total, mean, norm)
        }
        exec(compile(self.text, "<drawn>", "exec"), space)
        bounds = {name: None for name in COMMON if f", {name}=" in self.text}
        return rule(numbers=self.numbers, init=self.init, bounds=bounds)(space["drawn"])


@st.composite
def expressions(draw: st.DrawFn, elements: list[str], scalars: list[str], depth: int = 3) -> str:
    """An element expression that stays finite on moderate numbers."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(elements))
    part = expressions(elements, scalars, depth - 1)
    a, b = draw(part), draw(part)
    s = draw(scalar_expressions(scalars))
    return draw(st.sampled_from([
        f"({a} + {b})", f"({a} - {b})", f"({s} * {a})", f"({a} * {s})", f"({a} / (1.5 + {b} ** 2))",
        f"(0.25 * {a} * {b})", f"({a} + {s})", f"({s} - {a})", f"(-{a})", f"sqrt({a} ** 2 + 0.5)",
        f"absolute({a})", f"maximum({a}, {b})", f"minimum({a}, {s})", f"maximum({s}, {a})",
        f"where({a} > {b}, {a}, {s})", f"where({a} <= {s}, {b}, 0.5)",
        f"({s} / (2.0 + absolute({a})))",
        f"atan2({a}, 0.5 + {b} ** 2)", f"atan2(0.25, 1 + absolute({a}))", f"atan2({a}, 2.0)",
        f"where({a} > 0.0, 1.0, {s})", f"({a} / (1.0 + {s} ** 2))",
        f"({a} / (1.0 + norm({b})))", f"({a} - mean({b}))", f"maximum({a}, {s} * total({a}))",
        f"where((norm({a}) > {s}) & ({b} > {a}), {a}, {b})", f"(({s} < mean({a})) * {b})",
    ]))  # fmt: skip


@st.composite
def scalar_expressions(draw: st.DrawFn, scalars: list[str]) -> str:
    a, b = draw(st.sampled_from(scalars)), draw(st.sampled_from(scalars))
    return draw(st.sampled_from([
        a, "0.5", "-1.25", f"(1 - {a})", f"({a} * {b})", f"({a} + 0.25)", f"(0.9 ** step * {a})",
        f"(1 / (1 + {a} ** 2))", f"maximum({a}, {b})", f"sqrt(1 + {a} * {a})", f"({a} / step)",
    ]))  # fmt: skip


@st.composite
def rules(draw: st.DrawFn) -> Written:
    names = draw(st.lists(identifiers, min_size=3, max_size=7, unique=True))
    n_states = draw(st.integers(0, min(3, len(names) - 1)))
    states, hypers = names[:n_states], names[n_states:]
    number = hypers.pop() if len(hypers) > 1 and draw(st.booleans()) else None
    defaults = {h: draw(st.floats(-1.5, 1.5).map(lambda x: round(x, 3))) for h in hypers}
    elements = ["param", "grad", *states]
    scalars = [*hypers, "lr", "pair[0]", "pair[1]", *([number] if number else [])]
    element, scalar = expressions(elements, scalars), scalar_expressions(scalars)
    results = [f"param - lr * {draw(element)}"]
    if draw(st.integers(0, 9)) == 0:
        results = [draw(st.sampled_from(["param", "grad", "0.5", "lr * step"]))]
    for own in states:
        results.append(draw(st.one_of(
            element, st.sampled_from(elements), st.just(own), scalar, st.just("0.75"),
        )))  # fmt: skip
    arguments = [*states, *([number] if number else [])]
    if number:
        results.append(f"0.5 * {number} + {draw(scalar)} * 0.125")
    keywords = ["lr=0.1", "pair=(0.5, 0.25)", *(f"{h}={v!r}" for h, v in defaults.items())]
    lines = [
        f"def drawn({', '.join(['param', 'grad', *arguments])}, *, step, {', '.join(keywords)}):"
    ]
    if draw(st.booleans()):  # the order in which things are named, and what is branched on
        lines.append(f"    if {hypers[0]} > 0.25 and step > 2: lr = 0.5 * lr")
    lines.append(f"    return {', '.join(results)}")
    starts = {s: draw(st.sampled_from([0.0, 0.5])) for s in arguments}
    return Written("\n".join(lines), states, [number] if number else [], starts)


SHAPES = [(), (3,), (5, 7), (0,)]


def by_the_rule(made: slalom.rules.Rule, grads: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    """What the function makes of the parameters, and what it keeps, in float64."""
    found = []
    for shape, own in zip(SHAPES, zip(*grads, strict=True), strict=True):
        param = start(shape)
        kept = [
            made.start(n, {}) if n in made.numbers else torch.full(shape, made.start(n, {}))
            for n in made.arguments
        ]
        for step, grad in enumerate(own, 1):
            param, *kept = made.results(made(param, grad, *kept, **made.hypers, step=step))
            param, *kept = (
                x if n in made.numbers else torch.as_tensor(x).double().expand(shape)
                for n, x in zip(("param", *made.arguments), (param, *kept), strict=True)
            )
        found += [param, *map(torch.as_tensor, kept)]
    return found


def by_a_backend(
    made: slalom.rules.Rule, grads: list[list[torch.Tensor]], gaps: bool
) -> list[torch.Tensor]:
    params = [Parameter(start(shape)) for shape in SHAPES]
    if gaps:
        params = [Parameter(torch.stack([p.detach()] * 2, -1)[..., 0]) for p in params]
    optimizer = slalom.optimizer(made)(params)
    for own in grads:
        for param, grad in zip(params, own, strict=True):
            param.grad = grad.clone()
        optimizer.step()
        assert all(torch.equal(p.grad, g) for p, g in zip(params, own, strict=True))
    found = []
    for param in params:
        state = optimizer.state[param]
        found += [param.detach(), *(state.get(n) for n in made.arguments)]
    return found


def start(shape: tuple[int, ...]) -> torch.Tensor:
    line = torch.linspace(-1.0, 1.0, max(1, math.prod(shape)))[: math.prod(shape)].view(shape)
    return line + 0.1 * line.square()  # of a line itself one element is the mean, to rounding


def compare(written: Written) -> bool:
    """Fails where two ways differ; False where the numbers leave the range that can be compared."""
    torch.set_default_dtype(torch.float64)
    made = written.rule()
    draws = torch.Generator().manual_seed(1)
    grads = [[torch.randn(shape, generator=draws) for shape in SHAPES] for _ in range(4)]
    expected = by_the_rule(made, grads)
    if not all(x.isfinite().all() and (x.abs() < 1e6).all() for x in expected):
        return False
    results = {}
    for backend in ("llvm", "foreach"):
        with using(backend):
            results[backend] = by_a_backend(made, grads, False)
    with using("foreach"):
        results["foreach, with gaps"] = by_a_backend(made, grads, True)
    for name, got in results.items():
        for x, y in zip(got, expected, strict=True):
            if x is None:  # a state that nothing reads and nothing changes is not kept
                continue
            torch.testing.assert_close(
                x.double(), y.double(), rtol=1e-9, atol=1e-11,
                msg=lambda text, name=name: f"{name}\n{written.text}\n{text}",
            )  # fmt: skip
    return True


def written(states: list[str], results: str, hypers: str = "", **more: Any) -> Written:
    arguments = ", ".join(["param", "grad", *states])
    hypers = f"lr=0.1, pair=(0.5, 0.25){', ' * bool(hypers)}{hypers}"
    return Written(f"def drawn({arguments}, *, step, {hypers}):\n return {results}", states, **more)


@example(written(["g1", "g2"], "param - lr * (grad + g1 + g2), grad, g1"))
@example(written(["g1", "g2"], "param - lr * (grad + g1 + g2), g2, g1", init={"g1": 1.0}))
@example(written(["m", "v"], "param - lr * m, grad * v, m", init={"v": 1.0}))
@example(written(["before"], "param - lr * grad, param"))
@example(written(["before"], "before, param - lr * grad", init={"before": 0.5}))
@example(written(["m"], "m, m", init={"m": 0.5}))
@example(written(["m"], "grad, grad"))
@example(written(["m"], "0.5, lr * step"))
@example(written(["m"], "param, m"))
@example(written([], "param"))
@example(written(["m", "n"], "param - lr * (m + n), grad + m, grad + m"))
@example(written(["m", "n"], "param, m + grad, param - (m + grad)"))
@example(written([], "param - ((lr * step + 1) * 3 - t2) * grad", "t2=2.0, h0=1.0, h0_0=3.0"))
@example(written([], "param - (pair[0] + 10 * pair[1] + 100 * pair1) * grad", "pair1=0.125"))
@example(written(["m"], "param - lr * m, m + grad * (step == 2)"))
@example(written([], "param - (step > 2) * grad + (lr > 0) * grad / (1 + (step >= 3))"))
@settings(max_examples=40)
@given(rules())
def test_all_ways_agree(drawn):
    assume(compare(drawn))


@pytest.mark.parametrize("names", [COLLIDING[i::8] for i in range(8)])
def test_no_name_meets_one_that_is_generated(names):
    """Many of them at once, four as states, the others as hyper-parameters in every expression."""
    names = [n for n in names if n not in TAKEN]
    states, hypers = names[:4], names[4:]
    total = " + ".join(f"{h} * (step + {i}) ** 2" for i, h in enumerate(hypers))
    moved = " + ".join(states)
    kept = ", ".join(f"0.5 * {s} + {h} * grad" for s, h in zip(states, hypers, strict=False))
    defaults = ", ".join(f"{h}=0.{i + 1}" for i, h in enumerate(hypers))
    assert compare(
        written(states, f"param - lr * 0.01 * ({total}) * ({moved} + grad), {kept}", defaults)
    )


def test_a_backend_is_chosen_by_name():
    param = Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    for chosen in ("llvm", "foreach"):
        with using(chosen):
            (row,) = slalom.explain(slalom.optim.SGD([param])).rows
            assert row[3] == chosen
    before = list(BACKENDS)
    missing = "no backend 'metal'; there are llvm, cuda, foreach"
    with pytest.raises(ValueError, match=missing), using("metal"):
        pass
    with pytest.raises(KeyError), using("foreach"):
        raise KeyError
    assert before == BACKENDS


def test_random_rounding_tells_states_apart_on_all_ways():
    """Two states of names of one length, with the same values, do not draw the same chances."""

    def twins(param, grad, alpha, omega, *, lr=1.0):
        return param - lr * grad, alpha + 0.001 * grad, omega + 0.001 * grad

    made = slalom.optimizer(rule(twins))
    seen = []
    for backend in ("llvm", "foreach"):
        with using(backend):
            param = Parameter(torch.ones(4000, dtype=torch.bfloat16))
            optimizer = made([param], rounding="stochastic")
            for _ in range(2):
                param.grad = torch.ones_like(param)
                optimizer.step()
                for name in ("alpha", "omega"):
                    optimizer.state[param][name].fill_(1.0)
            optimizer.step()
            alpha, omega = (optimizer.state[param][n] for n in ("alpha", "omega"))
            up = [(t > 1).double().mean().item() for t in (alpha, omega)]
            assert all(0.09 < share < 0.17 for share in up)  # 0.001 of a unit of 2**-7
            assert (alpha == omega).double().mean() < 0.9
            seen.append((alpha, omega))
    assert torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][1], seen[1][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_small_states_become_what_the_others_were(backend, dtype):
    @rule(shapes={"a": "one", "b": "one", "c": "row", "d": "row"}, init={"a": 1.0, "c": 2.0})
    def turning(param, grad, a, b, c, d, *, lr=0.1):
        return param - lr * total(grad) * grad, b, a, d, c + a

    param = Parameter(torch.ones(3, 2, dtype=dtype))
    param.grad = torch.ones_like(param)
    with using(backend):
        optimizer = slalom.optimizer(turning)([param])
        optimizer.step()
    state = optimizer.state[param]
    assert (float(state["a"]), float(state["b"])) == (0.0, 1.0)
    assert state["c"].flatten().tolist() == [0.0] * 3
    assert state["d"].flatten().tolist() == [3.0] * 3
