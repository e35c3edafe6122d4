"""Steps under autograd: gradients through every rule, values as in the ordinary step."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import slalom
from reference import distance
from slalom import rules
from slalom.ir.program import multiplies
from slalom.rules import REQUIRED, Rule
from slalom.rules.functions import sqrt

RULES = {n: r for n, r in rules.RULES.items() if not r.squares}  # which are refused
FLAGS = {
    name: [n for n, d in rule.hypers.items() if isinstance(d, bool) and n != "maximize"]
    for name, rule in RULES.items()
}

OPTIONS = [
    pytest.param(rule, options, id="-".join([name, *options]))
    for name, rule in RULES.items()
    for options in ({}, *({flag: True} for flag in FLAGS[name]))
]
over_rules = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
over_options = pytest.mark.parametrize(("rule", "options"), OPTIONS)


@pytest.fixture(autouse=True)
def _counters_in_double():
    """Or a difference quotient through a state that is one number would be a rounding error."""
    torch.set_default_dtype(torch.float64)


def hypers_of(rule: Rule, **options: Any) -> dict[str, Any]:
    """Hyper-parameters at which everything of the rule acts and is smooth."""
    chosen: dict[str, Any] = {
        "lr": 0.05, "eps": 1e-3, "momentum": 0.7, "weight_decay": 0.1, "lr_decay": 0.1, "d0": 0.5,
        "growth_rate": 5.0,
    }  # fmt: skip
    given = {n: chosen.get(n, d) for n, d in rule.hypers.items()}
    if "d0" in given:  # or its sums would be smaller than the step of a difference quotient
        given["betas"] = (0.9, 0.5)
    if "ns_dtype" in given:  # bfloat16 would round coarsely
        given["ns_dtype"] = "float32"
    if options.get("nesterov") and "dampening" in given:
        given["dampening"] = 0
    return given | options


def made(rule: Rule, params: list[Tensor], hypers: dict[str, Any], **options: Any) -> Any:
    return getattr(slalom.optim, rule.class_name)(params, **hypers, **options)


def randoms(count: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(5, generator=generator, dtype=dtype) for _ in range(count)]


def states_before(rule: Rule, hypers: dict[str, Any]) -> dict[str, Tensor]:
    """What three ordinary steps leave, but for zeros, where rprop's sign has no derivative."""
    start, *grads = randoms(4, seed=2)
    param = torch.nn.Parameter(start)
    optimizer = made(rule, [param], hypers)
    for grad in grads:
        param.grad = grad
        optimizer.step()
    return {n: torch.where(v == 0, 0.3, v).detach() for n, v in optimizer.state[param].items()}


def stepped(
    rule: Rule, hypers: dict[str, Any], names: list[str], kept: dict[str, Tensor],
    param: Tensor, grad: Tensor, *states: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Two updates as a function of tensors: the new parameter and the new states."""
    param = param.clone()
    optimizer = made(rule, [param], hypers, differentiable=True)
    copies = {n: v.clone() for n, v in kept.items()}
    optimizer.state[param].update(copies, **dict(zip(names, states, strict=True)))
    for factor in (1.0, 0.7):
        param.grad = factor * grad + 0.1
        optimizer.step()
    return (param, *(optimizer.state[param][n] for n in names))


def point(rule: Rule, hypers: dict[str, Any]) -> tuple[Any, ...]:
    """Where to differentiate :func:`stepped`: what it takes after the hyper-parameters."""
    state = states_before(rule, hypers)
    names = [n for n in rule.state if n in state]
    kept = {n: v for n, v in state.items() if n not in names}
    inputs = [*randoms(2), *(state[n] for n in names)]
    return names, kept, *(t.clone().requires_grad_() for t in inputs)


@over_options
def test_gradients_of_parameter_gradient_and_states(rule, options):
    hypers = hypers_of(rule, **options)
    names, kept, *inputs = point(rule, hypers)
    assert gradcheck(lambda *t: stepped(rule, hypers, names, kept, *t), inputs)


@over_options
def test_gradients_from_the_start(rule, options):
    """What a state starts from has a derivative too, such as SGD's first momentum."""
    hypers = hypers_of(rule, **options)
    inputs = [t.requires_grad_() for t in randoms(2)]
    assert gradcheck(lambda *t: stepped(rule, hypers, [], {}, *t), inputs, atol=1e-4)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "rmsprop", "adagrad", "nadam", "adan"])
def test_second_order(name):
    rule = RULES[name]
    hypers = hypers_of(rule)
    names, kept, *inputs = point(rule, hypers)
    assert gradgradcheck(lambda *t: stepped(rule, hypers, names, kept, *t), inputs)


NO_DERIVATIVE = ("t0", "warmup_steps", "initial_accumulator_value", "step_sizes", "ns_steps")


def tensors_of(rule: Rule) -> list[tuple[str, int | None]]:
    """The hyper-parameters by which there is a derivative, those of a tuple one by one."""
    found: list[tuple[str, int | None]] = []
    for name, default in rule.hypers.items():
        if isinstance(default, tuple):
            found += [(name, i) for i in range(len(default))]
        elif default is REQUIRED or (
            isinstance(default, int | float)
            and not isinstance(default, bool)
            and name not in NO_DERIVATIVE
        ):
            found.append((name, None))
    return found


@over_rules
def test_hypergradients(rule):
    """By every hyper-parameter given as a tensor, through three updates from the start."""
    hypers = hypers_of(rule)
    named = tensors_of(rule)
    values = [hypers[n] if i is None else hypers[n][i] for n, i in named]
    start, *grads = randoms(4, seed=3)

    def after(*tensors: Tensor) -> Tensor:
        given: dict[str, Any] = dict(hypers)
        for (name, i), tensor in zip(named, tensors, strict=True):
            given[name] = tensor if i is None else (*given[name][:i], tensor, *given[name][i + 1 :])
        param = start.clone()
        optimizer = made(rule, [param], given, differentiable=True)
        for grad in grads:
            param.grad = grad + 0.1 * param
            optimizer.step()
        return param

    tensors = [torch.tensor(float(v), dtype=torch.float64, requires_grad=True) for v in values]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no silent conversion of what needs a gradient
        assert gradcheck(after, tensors)
        used = torch.autograd.grad(after(*tensors).sum(), tensors, allow_unused=True)
    acting = {n for (n, _), grad in zip(named, used, strict=True) if grad is not None}
    assert "lr" in acting or rule.name == "rprop"  # whose lr is only the first step size
    assert acting & {"lr", "betas", "etas", "momentum"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128, torch.bfloat16], ids=str)
@over_options
def test_the_values_are_those_of_the_ordinary_step(rule, options, dtype):
    if dtype == torch.complex128 and (rule.shapes.keys() - {"sum"} or multiplies(rule)):
        pytest.skip("it keeps rows or multiplies matrices, and refuses complex numbers")
    hypers = hypers_of(rule, **options)
    start, *grads = randoms(9, dtype)
    ends = []
    for differentiable in (False, True):
        param = start.clone() if differentiable else torch.nn.Parameter(start.clone())
        optimizer = made(rule, [param], hypers, differentiable=differentiable)
        for grad in grads:
            param.grad = grad.clone()
            optimizer.step()
            param.grad.zero_()  # which no state may share memory with
        ends.append((param.detach(), optimizer.state[param]))
    (ours, state), (theirs, other) = ends
    assert state.keys() == other.keys()
    bound = 1e-13 if dtype != torch.bfloat16 else 0.01  # a rounding may fall the other way
    for a, b in ((ours, theirs), *((state[n], other[n]) for n in state)):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert distance(a, b) <= bound


@over_rules
def test_steps_of_both_kinds_may_follow_each_other(rule):
    """The option is one of the group, and is looked at in every step."""
    hypers = hypers_of(rule)
    start, *grads = randoms(9)
    ends = []
    for mixed in (False, True):
        param = torch.nn.Parameter(start.clone(), requires_grad=False)
        optimizer = made(rule, [param], hypers)
        for i, grad in enumerate(grads):
            optimizer.param_groups[0]["differentiable"] = mixed and i % 3 == 1
            param.grad = grad
            optimizer.step()
        ends.append(param.detach())
    assert distance(*ends) <= 1e-13


def test_only_the_groups_that_say_so_are_recorded():
    a, b = randoms(2)
    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    leaf = torch.nn.Parameter(b)
    optimizer = slalom.optim.SGD([{"params": [a], "differentiable": True}, {"params": [leaf]}], lr)
    a.grad, leaf.grad = torch.ones_like(a), torch.ones_like(b)
    optimizer.step()
    assert a.grad_fn is not None
    assert leaf.is_leaf
    assert distance(leaf.detach(), randoms(2)[1] - 0.1) <= 1e-15


@pytest.mark.parametrize("kind", ["clip_norm", "clip_value", "independent_weight_decay"])
def test_treatment_has_derivatives(kind):
    """Clipping by norm couples the elements of all parameters; zero gradients stay zero."""
    options = {kind: 0.3}

    def after(*grads: Tensor) -> tuple[Tensor, ...]:
        params = [torch.ones_like(g) for g in grads]
        optimizer = slalom.optim.SGD(params, lr=0.1, differentiable=True, **options)
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad * 1.0
        optimizer.step()
        return tuple(params)

    grads = [g.requires_grad_() for g in randoms(2)]
    assert gradcheck(after, grads)
    zeros = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (back,) = torch.autograd.grad(after(zeros)[0].sum(), zeros)
    assert back.isfinite().all()
    plain = [torch.nn.Parameter(torch.ones_like(g)) for g in grads]
    optimizer = slalom.optim.SGD(plain, lr=0.1, **options)
    for param, grad in zip(plain, grads, strict=True):
        param.grad = grad.detach()
    optimizer.step()
    for a, b in zip(plain, after(*grads), strict=True):
        assert distance(a.detach(), b.detach()) <= 1e-14


@pytest.mark.parametrize("name", ["Adam", "Momentum", "SGD", "Adagrad"])
def test_sparse_gradients_mean_what_they_mean_elsewhere(name):
    ends = []
    for differentiable in (False, True):
        values = torch.arange(12, dtype=torch.float64).reshape(4, 3)
        param = values.clone() if differentiable else torch.nn.Parameter(values.clone())
        optimizer = getattr(slalom.optim, name)([param], lr=0.1, differentiable=differentiable)
        for rows in ([0, 2], [2, 2], [1, 0]):
            rows = torch.tensor([rows])
            grad = torch.ones(2, 3, dtype=torch.float64)
            param.grad = torch.sparse_coo_tensor(rows, grad, (4, 3))
            optimizer.step()
        ends.append(param.detach())
    assert distance(*ends) <= 1e-14


def test_a_learning_rate_learns():
    """What the option is for: descent on the learning rate through five updates."""
    lr = torch.tensor(0.01, dtype=torch.float64, requires_grad=True)
    outer = torch.optim.SGD([lr], lr=1e-3)
    losses = []
    for _ in range(20):
        param = torch.ones(3, dtype=torch.float64, requires_grad=True).clone()
        optimizer = slalom.optim.SGD([param], lr=lr, momentum=0.5, differentiable=True)
        for _ in range(5):
            here = param.clone()
            (param.grad,) = torch.autograd.grad(here.square().sum(), here, create_graph=True)
            optimizer.step()
        loss = param.square().sum()
        outer.zero_grad()
        loss.backward()
        outer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.9 * losses[0]


def refused(optimizer: Any, param: Tensor, error: type[Exception], message: str) -> None:
    """The step raises, and leaves parameter and state as they were."""
    before = param.detach().clone()
    with pytest.raises(error, match=message):
        optimizer.step()
    assert torch.equal(param.detach(), before)
    assert not optimizer.state.get(param)


def test_what_is_refused():
    leaf = torch.nn.Parameter(torch.ones(3))
    for library in (torch.optim, slalom.optim):
        optimizer = library.Adam([leaf], differentiable=True)
        leaf.grad = torch.ones(3)
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            optimizer.step()
    assert not optimizer.state.get(leaf)
    assert torch.equal(leaf.detach(), torch.ones(3))
    for options in ({"on_nonfinite": "skip"}, {"rounding": "stochastic"}):
        param = torch.ones(3)
        param.grad = torch.ones(3)
        optimizer = slalom.optim.Adam([param], differentiable=True, **options)
        refused(optimizer, param, ValueError, f"{next(iter(options))} has no derivative")
    with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
        slalom.optim.Adam([leaf], fused=True, differentiable=True)


def test_a_scalar_that_is_no_real_number_names_rule_and_option():
    @slalom.rule
    def ending(param, grad, *, step, lr=0.1, total=1):
        return param - lr * sqrt(1 - step / total) * grad

    param = torch.ones(3)
    optimizer = slalom.optimizer(ending)([param], differentiable=True)
    param.grad = torch.ones(3)
    optimizer.step()
    with pytest.raises(ValueError, match=r"rule ending: .*step=2, total=1"):
        optimizer.step()
    assert float(optimizer.state[param]["step"]) == 1
    assert math.isfinite(float(param.sum()))


def test_a_shared_count_stays_the_users():
    param = torch.ones(3)
    optimizer = slalom.optim.Adam([param], differentiable=True)
    count = optimizer.state[param]["step"] = torch.tensor(4.0, dtype=torch.float32)
    optimizer.state[param] |= {"exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)}
    param.grad = torch.ones(3)
    optimizer.step()
    assert float(count) == 5
    assert optimizer.state[param]["step"] is count
