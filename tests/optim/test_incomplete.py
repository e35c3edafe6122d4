"""What is incomplete is refused by a sentence: options of a group, states, checkpoints."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn import Parameter

import slalom
import slalom.backends
from slalom.rules import RULES

STEPPING = [
    rule.class_name for rule in RULES.values()
    if rule.takes_step and rule.state and not rule.averaged
]  # fmt: skip


def trained(name: str, steps: int = 2, **options: Any) -> tuple[Parameter, Any]:
    param = Parameter(torch.ones(3, 2, dtype=torch.float64))
    optimizer = getattr(slalom.optim, name)([param], **options)
    for _ in range(steps):
        step(param, optimizer)
    return param, optimizer


def step(param: Parameter, optimizer: Any) -> None:
    param.grad = torch.full_like(param, 0.5)
    optimizer.step()


def refused(param: Parameter, optimizer: Any, sentence: str) -> None:
    before = param.detach().clone(), copy.deepcopy(optimizer.state_dict()["state"])
    with pytest.raises(RuntimeError, match=sentence):
        step(param, optimizer)
    assert torch.equal(param, before[0])
    assert str(optimizer.state_dict()["state"]) == str(before[1])


@pytest.mark.parametrize("differentiable", [False, True])
def test_a_group_that_was_never_completed(differentiable):
    """It would go at the rule's own rate, whatever the optimizer was made with."""
    param, optimizer = trained("SGD", lr=0.5, momentum=0.5)
    other = torch.ones(3) if differentiable else Parameter(torch.ones(3))
    other.grad = torch.ones(3)
    group = {"params": [other], "lr": 0.1, "differentiable": differentiable}
    optimizer.param_groups.append(group)
    refused(param, optimizer, "parameter group 1 has no 'momentum'; add_param_group")


@pytest.mark.parametrize(
    ("name", "option"), [("SGD", "lr"), ("Adam", "betas"), ("Lion", "maximize")]
)
@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_an_option_taken_away(name, option, backend):
    with slalom.backends.using(backend):
        param, optimizer = trained(name, lr=0.5)
        del optimizer.param_groups[0][option]
        refused(param, optimizer, f"group 0 has no '{option}'")


@pytest.mark.parametrize(
    ("of", "into"),
    [
        ("Adam", "SGD"),
        ("SGD", "Adam"),
        ("RMSprop", "Adadelta"),
        ("Adam", "NAdam"),
        ("Adam", "LARS"),
    ],
)
def test_a_checkpoint_of_another_class(of, into):
    _, other = trained(of, lr=0.25)
    param, optimizer = trained(into, lr=0.5)
    before = str(optimizer.state_dict())
    with pytest.raises(ValueError, match=f"group 0 of the checkpoint has .*, and no .* of {into}"):
        optimizer.load_state_dict(other.state_dict())
    assert str(optimizer.state_dict()) == before
    step(param, optimizer)


def test_what_is_no_state_dict():
    _, optimizer = trained("SGD")
    with pytest.raises(TypeError, match="a state dict is due, not list"):
        optimizer.load_state_dict([])
    with pytest.raises(TypeError, match="a group is a dict, not list"):
        optimizer.add_param_group([])


def test_switches_that_a_checkpoint_lacks_stay():
    """One of an older version, that had fewer."""
    _, optimizer = trained("Adam", lr=0.25, maximize=True, weight_decay=0.5)
    saved = copy.deepcopy(optimizer.state_dict())
    for option in ("maximize", "amsgrad", "decoupled_weight_decay", "weight_decay"):
        del saved["param_groups"][0][option]
    param, resumed = trained("Adam", 0, lr=0.5, maximize=True, weight_decay=0.125)
    resumed.load_state_dict(saved)
    group = resumed.param_groups[0]
    assert (group["lr"], group["maximize"], group["weight_decay"]) == (0.25, True, 0.125)
    step(param, resumed)
    assert (param > 1).all()


@pytest.mark.parametrize("name", STEPPING)
def test_a_state_of_which_a_part_is_missing(name):
    """An update of it would be none of the rule: moments at zero that are taken for settled."""
    # of slow weights that wait for their turn nothing is said before
    # and of roots that wait for theirs
    waits = {"lookahead_steps": 1} if name.startswith("Look") else {}
    param, optimizer = trained(
        name, **waits | ({"precondition_frequency": 1} if name == "Shampoo" else {})
    )
    for lost in [*optimizer.state[param]]:
        if len(optimizer.state[param]) < 3 and lost != "step":
            continue  # without it there is no state any more
        kept = optimizer.state[param].pop(lost)
        refused(param, optimizer, f"the state of parameter 0 of group 0 has .* and no {lost};")
        optimizer.state[param][lost] = kept
    step(param, optimizer)


def test_a_part_is_missing_under_autograd():
    param, optimizer = trained("Adam")
    del optimizer.state[param]["exp_avg_sq"]
    param = param.detach()
    again = slalom.optim.Adam([param], differentiable=True)
    again.state[param] = next(iter(optimizer.state.values()))
    refused(param, again, "and no exp_avg_sq")


@pytest.mark.parametrize(
    ("name", "option", "value", "state"),
    [("Adam", "amsgrad", True, "max_exp_avg_sq"), ("RMSprop", "centered", True, "grad_avg"),
     ("RMSprop", "momentum", 0.5, "momentum_buffer")],
)  # fmt: skip
def test_what_an_option_brings_that_is_turned_on(name, option, value, state):
    param, optimizer = trained(name)
    optimizer.param_groups[0][option] = value
    step(param, optimizer)
    assert state in optimizer.state[param]


def test_a_state_that_is_made_later():
    @slalom.rule
    def late(param, grad, early, later, *, lr=0.5, step):
        if step > 2:
            later = later + grad
        return param - lr * later, early + grad, later

    param = Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = slalom.optimizer(late)([param])
    for _ in range(4):
        step(param, optimizer)
    assert param.tolist() == [-0.75] * 2


@pytest.mark.parametrize("differentiable", [False, True])
def test_a_state_that_never_changes_tells_of_the_first_update(differentiable):
    @slalom.rule
    def kicks(param, grad, anchor, *, lr=0.5, first):
        if first:
            grad = grad + 1
        return param - lr * (grad + anchor), anchor

    param = torch.zeros(3, dtype=torch.float64)
    param = param if differentiable else Parameter(param)
    optimizer = slalom.optimizer(kicks)([param], differentiable=differentiable)
    for _ in range(3):
        param.grad = torch.ones_like(param)
        optimizer.step()
    assert param.tolist() == [-2.0] * 3
