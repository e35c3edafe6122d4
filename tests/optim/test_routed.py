"""Several rules in one optimizer: each group as it would go alone, and one state for all."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch.nn import Parameter

import slalom
from slalom import optim
from slalom.rules import sign

RULES = ("Momentum", "AdamW", "Adagrad", "SGD", "NAdam", "Lion")


def params(seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Parameter]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(5, 3), (7,), (2, 3, 4), (), (4, 4), (9,)]
    return [Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in shapes]


def walk(optimizer: torch.optim.Optimizer, steps: int, seed: int, part: slice) -> None:
    """Steps whose gradients are the same for a parameter, whoever updates it with whom."""
    held = [p for g in optimizer.param_groups for p in g["params"]]
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        grads = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in params()]
        for p, grad in zip(held, grads[part], strict=True):
            p.grad = grad.to(p.dtype)
        optimizer.step()


def routed(values: list[Parameter], **arguments: object) -> optim.Routed:
    groups = [{"params": [p], "rule": r} for p, r in zip(values, RULES, strict=True)]
    return optim.Routed(groups, **{"lr": 0.01} | arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_each_group_goes_as_it_would_alone(dtype: torch.dtype) -> None:
    together = params(dtype=dtype)
    optimizer = routed(together)
    walk(optimizer, 6, 1, slice(None))
    for i, (rule, start) in enumerate(zip(RULES, params(dtype=dtype), strict=True)):
        walk(getattr(optim, rule)([start], lr=0.01), 6, 1, slice(i, i + 1))
        assert torch.equal(start, together[i]), rule


def test_it_is_one_plan_of_machine_code() -> None:
    optimizer = routed(params())
    walk(optimizer, 2, 1, slice(None))
    plan = optimizer._plan
    walk(optimizer, 2, 1, slice(None))
    assert optimizer._plan is plan
    assert {row[3] for row in slalom.explain(optimizer).rows} == {"llvm"}


def test_groups_override_and_defaults_are_each_rules_own() -> None:
    a, b, c = params()[:3]
    optimizer = optim.Routed(
        [
            {"params": [a], "rule": "Momentum", "momentum": 0.5, "lr": 0.2},
            {"params": [b], "rule": "Adam", "lr": 0.3},
            {"params": [c]},
        ],
        rule="AdamW", weight_decay=0.25,
    )  # fmt: skip
    first, second, third = optimizer.param_groups
    assert (first["momentum"], first["lr"], first["nesterov"]) == (0.5, 0.2, False)
    assert (second["lr"], second["betas"], second["weight_decay"]) == (0.3, (0.9, 0.999), 0.25)
    assert (third["rule"], third["lr"], third["weight_decay"]) == ("AdamW", 1e-3, 0.25)


def test_clip_norm_is_over_all_groups() -> None:
    together, clipped = params(), params()
    bound = 0.7
    walk(routed(together, clip_norm=bound), 3, 1, slice(None))
    plain = routed(clipped)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        for p in clipped:
            p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)
        torch.nn.utils.clip_grad_norm_(clipped, bound)
        plain.step()
    torch.testing.assert_close(together, clipped, rtol=1e-12, atol=1e-12)


def test_checkpoints_copies_and_schedules() -> None:
    whole = params()
    optimizer = routed(whole)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    for i in range(4):
        walk(optimizer, 1, i, slice(None))
        schedule.step()
    assert {g["lr"] for g in optimizer.param_groups} == {0.0025}
    stream = io.BytesIO()
    torch.save(optimizer.state_dict(), stream)
    stream.seek(0)
    later = copy.deepcopy(whole)
    resumed = routed(later, lr=1.0)
    resumed.load_state_dict(torch.load(stream, weights_only=True))
    twin, pickled = copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))
    for o in (optimizer, resumed, twin, pickled):
        walk(o, 3, 9, slice(None))
        now = [p for g in o.param_groups for p in g["params"]]
        assert all(map(torch.equal, now, whole))


def test_a_checkpoint_names_other_rules_for_the_groups() -> None:
    """The rule belongs to what is loaded, as every option does."""
    saved = routed(params()).state_dict()
    other = optim.Routed([{"params": [p]} for p in params()], rule="SGD", lr=1.0)
    other.load_state_dict(saved)
    assert [g["rule"] for g in other.param_groups] == list(RULES)
    saved["param_groups"][0]["rule"] = "Sophia"
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match="Sophia"):
        other.load_state_dict(saved)
    assert other.state_dict() == before


@slalom.rule
def signs(param, grad, *, lr=1e-2):
    return param - lr * sign(grad)


Signs = slalom.optimizer(signs, "Signs")


def test_a_rule_of_ones_own() -> None:
    (p,) = params()[:1]
    start = p.detach().clone()
    optimizer = optim.Routed([{"params": [p], "rule": Signs}], lr=0.5)
    p.grad = torch.randn_like(p)
    optimizer.step()
    assert torch.equal(p, start - 0.5 * p.grad.sign())
    assert optimizer.state_dict()["param_groups"][0]["rule"] == "Signs"
    again = pickle.loads(pickle.dumps(optimizer))
    again.load_state_dict(optimizer.state_dict())


def test_what_it_refuses() -> None:
    p, q = params()[:2]
    for arguments, error, message in (
        ({}, ValueError, "rule=None names no rule"),
        ({"rule": "Adan_"}, ValueError, "did you mean 'Adan'"),
        ({"rule": torch.optim.Adam}, ValueError, "names no rule"),
        ({"rule": "RuleOptimizer"}, ValueError, "names no rule"),
        ({"rule": "ScheduleFreeSGD"}, ValueError, "cannot be one of several"),
        ({"rule": "Momentum"}, ValueError, "Momentum needs a value for lr"),
        ({"rule": "Adam", "lr": -1.0}, ValueError, "Invalid learning rate: -1.0"),
        ({"rule": "Adam", "momentum": 0.9}, TypeError, "no.* argument 'momentum'"),
    ):
        with pytest.raises(error, match=message):
            optim.Routed([p], **arguments)
    with pytest.raises(ValueError, match="rule='Nothing' names no rule"):
        optim.Routed([{"params": [p]}, {"params": [q], "rule": "Nothing"}], rule="Adam")
