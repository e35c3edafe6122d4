"""Tracing: what is hoisted, what is dead, what is refused and in which words."""

from __future__ import annotations

import math

import pytest
import torch

import slalom
from slalom.backends import using
from slalom.ir.formula import formulas
from slalom.ir.known import program_for, programs
from slalom.ir.program import trace
from slalom.rules import (
    RULES,
    RuleError,
    cautious,
    lookahead,
    maximum,
    minimum,
    rule,
    sign,
    sqrt,
    where,
)


def traced(rule, **hypers):
    return trace(rule, {**rule.hypers, "lr": 0.1, **hypers})


def test_what_depends_on_scalars_only_is_hoisted():
    program = traced(RULES["adam"])
    elementwise = [n.op for n in program.body.nodes if n.op != "tensor"]
    assert "pow" not in elementwise
    assert elementwise.count("div") == 1
    assert elementwise.count("sqrt") == 1
    row = program.row(3, False, *{**RULES["adam"].hypers, "lr": 0.1}.values())
    assert 0.1 * (1 / (1 - 0.9**3)) in row
    assert 1 / (1 - 0.999**3) in row


def test_equal_expressions_are_computed_once():
    @rule
    def twice(param, grad, *, lr=0.1):
        return param - lr * sqrt(abs(grad) + lr) * sqrt(abs(grad) + lr)

    assert [n.op for n in traced(twice).body.nodes].count("sqrt") == 1


@pytest.mark.parametrize(
    ("name", "hypers", "live"),
    [
        ("sgd", {}, ()),
        ("sgd", {"momentum": 0.9}, ("momentum_buffer",)),
        ("rmsprop", {}, ("square_avg",)),
        ("rmsprop", {"centered": True}, ("square_avg", "grad_avg")),
        ("adam", {}, ("exp_avg", "exp_avg_sq")),
        ("adam", {"amsgrad": True}, ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")),
    ],
)
def test_state_that_is_not_used_is_dead(name, hypers, live):
    assert traced(RULES[name], **hypers).live_state == live


@pytest.mark.parametrize(
    ("name", "hypers", "expected"),
    [
        ("sgd", {}, 12),
        ("sgd", {"momentum": 0.9}, 20),
        ("momentum", {}, 20),
        ("adagrad", {}, 20),
        ("rmsprop", {}, 20),
        ("adam", {}, 28),
        ("adam", {"amsgrad": True}, 36),
    ],
)
def test_bytes_moved(name, hypers, expected):
    program = trace(RULES[name], {**RULES[name].hypers, "lr": 0.1, **hypers}, first=False)
    assert program.bytes == expected


def test_formulas_read_like_the_paper():
    assert formulas(traced(RULES["momentum"]).source) == [
        "velocity' = momentum·velocity - lr·grad",
        "param' = param + velocity'",
    ]
    assert formulas(traced(RULES["adam"]).source) == [
        "exp_avg' = beta1·exp_avg + (1 - beta1)·grad",
        "exp_avg_sq' = beta2·exp_avg_sq + (1 - beta2)·grad²",
        "param' = param - lr·exp_avg' / (1 - beta1^step)"
        " / (√(exp_avg_sq' / (1 - beta2^step)) + eps)",
    ]


def test_a_branch_on_a_hyper_parameter_makes_a_program_of_its_own():
    @rule
    def decaying(param, grad, *, lr=0.1, weight_decay=0.0):
        if weight_decay != 0:
            grad = grad + weight_decay * param
        return param - lr * grad

    without = program_for(decaying, {"lr": 0.1, "weight_decay": 0.0}, 1, True)
    with_it = program_for(decaying, {"lr": 0.1, "weight_decay": 0.5}, 1, True)
    assert without is not with_it
    assert program_for(decaying, {"lr": 0.7, "weight_decay": 0.2}, 9, False) is with_it
    assert len(programs(decaying)) == 2
    assert without.row(1, True, 0.1, 0.5) is None


def test_a_branch_on_the_step_changes_the_program_when_its_time_comes():
    @rule(init={"first_grad": 5.0})
    def warm(param, grad, first_grad, *, step, lr=0.5):
        if step <= 2:
            return param - 0.25 * grad, first_grad
        return param - lr * grad * first_grad, first_grad

    p = torch.nn.Parameter(torch.zeros(3))
    optimizer = slalom.optimizer(warm)([p])
    for expected in (-0.25, -0.5, -3.0, -5.5):
        p.grad = torch.ones(3)
        optimizer.step()
        assert torch.equal(p.detach(), torch.full((3,), expected))


@pytest.mark.parametrize(("since", "moved"), [(1.0, 28), (4.0, 36)])
def test_transforms_of_transforms_are_one_pass(since, moved):
    """The slow weights are touched in every fifth step alone."""
    made = cautious(lookahead(RULES["adam"]))
    program = trace(made, made.hypers, step=5, first=False, numbers=[since])
    assert len(program.sweeps) == 1
    assert program.bytes == moved


def test_division_by_zero_among_scalars_is_ieee():
    @rule
    def reckless(param, grad, *, lr=0.1, zero=0.0):
        return param + grad * (lr / zero)

    p = torch.nn.Parameter(torch.zeros(3))
    optimizer = slalom.optimizer(reckless)([p])
    p.grad = torch.tensor([1.0, -1.0, 0.0])
    optimizer.step()
    assert p[0] == math.inf
    assert p[1] == -math.inf
    assert math.isnan(p[2])


def every_operation(param, grad, state, *, step, lr=0.1, pair=(0.5, 2.0)):
    """All that a rule may use."""
    a, b = pair
    mask = ((grad > 0) & (param <= 1)) | ~(state < b) | (grad == 0) | (param != grad)
    x = where(mask, sqrt(abs(grad)) ** 3, -grad / a)
    x = maximum(x, minimum(param, lr)) + sign(grad) * (grad >= state) - (1 - state) * 0.5
    x = x + maximum(0.25, grad) + minimum(2, state) + where(lr > 0.05, x, 0.0) + x**0.5 * 0
    state = 1 / (1 + state**2) + where(mask, 1.0, a**step)
    return param - lr * x, state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_operation_is_what_it_is_on_tensors(dtype):
    made = rule(every_operation)
    start = torch.randn(101, dtype=dtype)
    grads = [torch.randn(101, dtype=dtype) for _ in range(4)]
    grads[1][::7] = 0.0
    param, state = start.clone().double(), torch.zeros(101, dtype=torch.float64)
    p = torch.nn.Parameter(start.clone())
    optimizer = slalom.optimizer(made)([p])
    for i, grad in enumerate(grads):
        param, state = every_operation(param, grad.double(), state, step=i + 1)
        p.grad = grad
        optimizer.step()
        assert slalom.explain(optimizer).rows[0][3] == "llvm"
        finite = param.isfinite()
        assert torch.equal(finite, p.isfinite())
        torch.testing.assert_close(
            p[finite].double(), param[finite], rtol=1e-5 if dtype == torch.float32 else 1e-12,
            atol=1e-5 if dtype == torch.float32 else 1e-12,
        )  # fmt: skip


def branching(param, grad, *, lr=0.1):
    if grad > 0:
        return param - lr * grad
    return param


def unknown_method(param, grad, *, lr=0.1):
    return param - lr * grad.tanh()


def unknown_torch_function(param, grad, *, lr=0.1):
    return param - lr * torch.exp(grad)


def plain_number(param, grad, *, lr=0.1):
    return param - math.exp(lr) * grad


def reduction(param, grad, *, lr=0.1):
    return param - lr * sum(grad)


def odd_power(param, grad, *, lr=0.1):
    return param - lr * grad**2.5


def misspelt(param, grad, *, lr=0.1):
    return param - lr * gard  # noqa: F821


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (branching, "it branches on the value of a tensor; use where"),
        (unknown_method, "it uses .tanh, which is unknown here"),
        (unknown_torch_function, "it calls torch.exp"),
        (plain_number, "it turns a value of the trace into a plain number"),
        (reduction, "it takes a tensor apart"),
        (odd_power, "it raises a tensor to the power 2.5"),
        (misspelt, "NameError: name 'gard' is not defined"),
    ],
)
def test_what_cannot_be_traced_is_named(function, what):
    first = function.__code__.co_firstlineno
    with pytest.raises(RuleError) as caught:
        traced(rule(function))
    message = str(caught.value)
    assert what in message
    assert f"rule {function.__name__} cannot be traced at line {first + 1}" in message
    assert "test_trace.py" in message
    assert "a rule may use + - * / **" in message


def test_the_wrong_number_of_results_is_named():
    @rule
    def forgetful(param, grad, velocity, *, lr=0.1):
        return param - lr * grad

    with pytest.raises(
        RuleError, match="forgetful returns 1 results where 2 are due: the new param, velocity"
    ):
        traced(forgetful)


def test_a_signature_that_is_no_rule_is_named():
    with pytest.raises(RuleError, match=r"rule f\(param, lr=0.1, \*args\): a rule takes"):
        rule(lambda_named("f", "param, lr=0.1, *args"))
    with pytest.raises(RuleError, match="init names moment"):
        rule(init={"moment": 1.0})(lambda_named("f", "param, grad, *, lr=0.1"))
    with pytest.raises(RuleError, match="search names 'momentum'"):
        rule(search={"momentum": (0, 1)})(lambda_named("f", "param, grad, *, lr=0.1"))


def lambda_named(name, signature):
    namespace: dict = {}
    exec(f"def {name}({signature}): return param", namespace)
    return namespace[name]


MASKS = {
    "number last": lambda g, lr: (g > 0) & (lr > 0.05),
    "number first": lambda g, lr: (lr > 0.05) & (g > 0),
    "or": lambda g, lr: (g > 0) | (lr > 0.05),
    "two numbers": lambda g, lr: (g > 0) & ((lr > 0) & (lr < 0.05)),
    "not a number": lambda g, lr: (g > 0) & ~(g > 1) | (lr > 0.5),
}


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize("lr", [0.01, 0.1])
@pytest.mark.parametrize("mask", MASKS)
def test_conditions_of_tensors_and_numbers_are_joined(mask, lr, backend):
    @slalom.rule
    def masked(param, grad, *, lr=0.1):
        return param - where(MASKS[mask](grad, lr), lr, 0.5 * lr) * grad

    start, grad = torch.ones(4), torch.tensor([-1.0, 0.5, 1.0, 2.0])
    rate = torch.tensor(lr)  # with which & means what it means for tensors
    kept = MASKS[mask](grad, rate)
    expected = start - torch.where(kept, rate, 0.5 * rate) * grad
    param = torch.nn.Parameter(start.clone())
    param.grad = grad
    with using(backend):
        slalom.optimizer(masked)([param], lr=lr).step()
    torch.testing.assert_close(param.detach(), expected)


def test_what_is_no_condition_is_not_joined():
    @slalom.rule
    def joined(param, grad, *, lr=0.1):
        return param - lr * where(grad & (grad > 0), grad, 0)

    with pytest.raises(RuleError, match="is not a comparison"):
        trace(joined, {})
