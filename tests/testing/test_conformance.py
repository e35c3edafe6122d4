"""Our own optimizers pass the suite; those with a defect are caught by the check that is for it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import slalom
from slalom.testing import conformance
from slalom.testing.suite import CHECKS

OPTIONS: dict[str, dict[str, Any]] = {"Momentum": {"lr": 1e-2}}
OURS = [
    name
    for name in slalom.optim.__all__
    if hasattr(getattr(slalom.optim, name), "rule")
]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_ours_pass(name):
    reference = getattr(torch.optim, name, None)
    failures = conformance(
        getattr(slalom.optim, name), reference, options=OPTIONS.get(name, {}), quiet=True
    )
    assert failures == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("RMSprop", {"centered": True, "momentum": 0.9}),
        ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
        ("AdamW", {"amsgrad": True}),
        ("Adagrad", {"lr_decay": 0.01, "initial_accumulator_value": 0.1}),
        ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
        ("RAdam", {"betas": (0.9, 0.99)}),
        ("ASGD", {"t0": 3, "weight_decay": 0.1}),
    ],
)
def test_ours_pass_with_options(name, options):
    classes = getattr(slalom.optim, name), getattr(torch.optim, name)
    assert conformance(*classes, options=options, quiet=True) == []


class RoutedAdam(slalom.optim.Routed):
    """One rule for all groups."""

    def __init__(self, params, **arguments):
        super().__init__(params, rule="Adam", **arguments)


def test_routed_passes_as_the_rule_it_gives():
    assert conformance(RoutedAdam, torch.optim.Adam, quiet=True) == []


def test_torchs_own_pass():
    for name in ("SGD", "Adagrad", "Rprop"):
        assert conformance(getattr(torch.optim, name), quiet=True) == []


class SGD(torch.optim.SGD):
    """The base of the broken ones below."""

    def __init__(self, params, lr=1e-2, momentum=0.9, maximize=False):
        super().__init__(params, lr=lr, momentum=momentum, maximize=maximize)


class ForgetsItsState(SGD):
    def load_state_dict(self, state_dict):
        super().load_state_dict({**state_dict, "state": {}})


class ReadsTheRateOnce(SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = self.defaults["lr"]
        return super().step(closure)


class PairsStorage(SGD):
    """Walks raw memory, whatever the strides."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    flat = p.grad.as_strided((p.numel(),), (1,))
                    p.as_strided((p.numel(),), (1,)).sub_(flat, alpha=group["lr"])


class ChangesGradients(SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and p.grad.layout == torch.strided:
                    p.grad.data = p.grad.contiguous() * 1.0
                    p.grad.mul_(0.9)
        return super().step(closure)


class SkipsTheHooks(SGD):
    def step(self, closure=None):
        return torch.optim.SGD.step.__wrapped__(self, closure)  # type: ignore[attr-defined]

    step.hooked = True  # type: ignore[attr-defined]


class DropsTheLoss(SGD):
    def step(self, closure=None):
        super().step(closure)


class CountsStepsForAll(SGD):
    """One count for all parameters, also those without a gradient."""

    def __init__(self, params, lr=1e-2):
        super().__init__(params, lr=lr)
        self.count = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.count += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad, alpha=group["lr"] / self.count)

    def state_dict(self):
        return {**super().state_dict(), "count": self.count}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.count = state_dict["count"]


class GoesUp(SGD):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, lr=lr, maximize=True)


class SharesWhenCopied(SGD):
    def __deepcopy__(self, memo):
        return copy.copy(self)


class NoOptimizer:
    def __init__(self, params, lr=1e-2):
        self.param_groups = [{"params": list(params), "lr": lr}]


@pytest.mark.parametrize(
    ("broken", "reference", "check"),
    [
        (ForgetsItsState, None, "resumes from a checkpoint"),
        (ReadsTheRateOnce, SGD, "changed learning rate counts at once"),
        (ReadsTheRateOnce, SGD, "every scheduler"),
        (ReadsTheRateOnce, SGD, "groups have their own options"),
        (PairsStorage, None, "layouts"),
        (PairsStorage, None, "layout changed on resume"),
        (PairsStorage, SGD, "equals the reference"),
        (ChangesGradients, None, "shared and expanded gradients"),
        (SkipsTheHooks, None, "hooks are called"),
        (DropsTheLoss, None, "closures"),
        (CountsStepsForAll, None, "parameters without gradient stand still"),
        (GoesUp, None, "goes down a parabola"),
        (GoesUp, None, "goes down rosenbrocks valley"),
        (SharesWhenCopied, None, "copies go on alike"),
        (NoOptimizer, None, "is an optimizer"),
    ],
)
def test_a_defect_is_found_by_its_check(broken, reference, check, capsys):
    failures = conformance(broken, reference)
    assert check in {f.check for f in failures}
    told = capsys.readouterr().out
    assert f"FAILED  {check}: " in told
    assert f"{broken.__name__}: {len(CHECKS) - len(failures)} of {len(CHECKS)} checks" in told


def test_a_third_partys_state_must_have_the_references_names():
    class Renamed(SGD):
        def step(self, closure=None):
            super().step(closure)
            for state in self.state.values():
                state["velocity"] = state["momentum_buffer"]

    failures = conformance(Renamed, SGD, quiet=True)
    assert "checkpoints are the references" in {f.check for f in failures}


def test_checks_can_be_left_out_by_name(capsys):
    failures = conformance(GoesUp, skip={"goes down a parabola": "it climbs"})
    assert "goes down a parabola" not in {f.check for f in failures}
    assert "skipped goes down a parabola: it climbs" in capsys.readouterr().out
    with pytest.raises(ValueError, match="skip names 'no such check'; the checks are"):
        conformance(GoesUp, skip={"no such check": ""})


def test_nothing_is_left_changed():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    conformance(SGD, quiet=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32
