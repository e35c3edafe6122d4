"""Our own optimizers pass the suite; those with a defect are caught by the check that is for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from defects import BROKEN, HeavyBall
from defects.learning import Averaging, GoesUp

import slalom
from slalom.ir.program import crosses
from slalom.testing import conformance
from slalom.testing.suite import CHECKS

OPTIONS: dict[str, dict[str, Any]] = {
    "Momentum": {"lr": 1e-2},
    "Muon": {"ns_dtype": "float32"},  # bfloat16 would round coarsely
    "NorMuon": {"ns_dtype": "float32"},
    "AdaBound": {"base_lr": 1e-3},  # by which its bounds follow a schedule
    "SOAP": {"precondition_frequency": 1}, "Shampoo": {"precondition_frequency": 1},
}  # fmt: skip
TORCHS = (
    "ASGD", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop",
    "Rprop",
)  # fmt: skip
OURS = [
    name
    for name in slalom.optim.__all__
    if hasattr(getattr(slalom.optim, name), "rule")
]  # fmt: skip


APART = {"Muon"}
"""Torch's takes matrices alone, and multiplies float64 in bfloat16; see test_muon.py."""

TOGETHER = {
    "parameters without gradient stand still", "parameters added and frozen",
    "parameter groups may be edited", "groups have their own options", "mixed dtypes",
    "what is not finite stays where it is",
    "narrow dtypes",  # their squares, times that of the first estimate, are below float16's least
}  # fmt: skip
"""Checks that hold a parameter among others against what it is by itself, which is what rules that
ask all tensors together are not."""

IDLE = {
    "every gradient counts", "hooks are called", "learning rate scales the first step",
    "narrow dtypes",
}  # fmt: skip
"""Checks for which the first step of SOAP is too little, which moves nothing."""

LONG = {"AdamMini", "FactoredAdafactor", "MARS", "StableAdamW"}
"""Rules that look at whole tensors as LAMB and AdaGradNorm do, without machine code."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in OURS]
)
def test_ours_pass(name):
    reference = getattr(torch.optim, name, None) if name not in APART else None
    failures = conformance(
        made := getattr(slalom.optim, name), reference, options=OPTIONS.get(name, {}), quiet=True
    )
    allowed = TOGETHER if crosses(made.rule) else IDLE if name == "SOAP" else set()
    assert [f for f in failures if f.check not in allowed] == []


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


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHS)
def test_torchs_own_pass(name):
    """Adam and its next of kin divide by an epsilon that is 0 in half precision."""
    failures = conformance(getattr(torch.optim, name), quiet=True)
    known = {"narrow dtypes"} if name in ("Adam", "AdamW", "NAdam", "RAdam") else set()
    assert failures.failed.keys() <= known


def only(check, broken, reference=None):
    """The report of one check."""
    skip = {name: "another" for name in CHECKS if name != check}
    return conformance(broken, reference, skip=skip, quiet=True)


@pytest.mark.parametrize("right", [HeavyBall, Averaging])
def test_what_has_no_defect_passes(right):
    assert conformance(right, quiet=True) == []


@pytest.mark.parametrize(
    ("check", "broken"),
    [(check, broken) for check, several in BROKEN.items() for broken in several],
)
def test_a_defect_is_found_by_its_check_without_a_reference(check, broken):
    assert [failure.check for failure in only(check, broken)] == [check]


class Renames(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad, lr, momentum)
        self.state[p]["velocity"] = self.state[p]["buffer"]


class RoundsItsBuffer(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad, lr, momentum)
        self.state[p]["buffer"] = self.state[p]["buffer"].to(torch.bfloat16).to(p.dtype)


class TakesNanForZero(HeavyBall):
    def apply(self, p, grad, lr, momentum):
        super().apply(p, grad.nan_to_num(0.0, 0.0, 0.0), lr, momentum)


BY_REFERENCE = {
    "checkpoints are the references": Renames,
    "equals the reference": RoundsItsBuffer,
    "what is not finite stays where it is": TakesNanForZero,
    "changed learning rate counts at once": RoundsItsBuffer,
    "sparse gradients": RoundsItsBuffer,
}  # fmt: skip


@pytest.mark.parametrize(("check", "broken"), BY_REFERENCE.items())
def test_a_defect_is_found_against_a_reference(check, broken):
    assert [failure.check for failure in only(check, broken, HeavyBall)] == [check]
    assert only(check, HeavyBall, HeavyBall) == []


def test_every_check_can_fail():
    """Without a reference, except for those that do not apply without one."""
    alone = {"checkpoints are the references", "equals the reference"}
    assert BROKEN.keys() == CHECKS.keys() - alone
    assert alone < BY_REFERENCE.keys()
    for check in alone:
        assert only(check, HeavyBall).not_applicable == {check: "no reference was given"}


class NoFrills(torch.optim.Optimizer):
    """Gradient descent without any of what is not asked of everyone."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if p.is_complex() or p.grad.is_sparse:
                        raise RuntimeError("it takes no complex and no sparse tensors")
                    p.sub_(group["lr"] * p.grad)
        return loss


def test_what_does_not_apply_is_neither_passed_nor_failed(capsys):
    report = conformance(NoFrills, skip={"mixed dtypes": "nobody needs them"})
    assert not report
    assert (report, report.failed) == ([], {})
    assert report.not_applicable.keys() == {
        "changed options count at once", "maximizes", "complex parameters", "sparse gradients",
        "modes undo each other", "equals the reference", "checkpoints are the references",
    }  # fmt: skip
    assert all(report.not_applicable.values())
    parts = [report.passed, report.failed, report.not_applicable, report.skipped]
    assert sorted(name for part in parts for name in part) == sorted(CHECKS)
    told = capsys.readouterr().out
    passed = len(CHECKS) - 8
    assert told.startswith(f"NoFrills: {passed} passed, 7 not applicable, 1 skipped\n")
    assert "not applicable  maximizes: it has no argument maximize\n" in told
    assert "skipped         mixed dtypes: nobody needs them\n" in told


def test_a_report_is_the_list_of_failures(capsys):
    report = conformance(GoesUp)
    assert [failure.check for failure in report] == list(report.failed)
    assert len(report) == len(report.failed) > 0
    told = capsys.readouterr().out
    assert f"GoesUp: {len(report.passed)} passed, {len(report)} failed, " in told
    assert f"FAILED          {report[0]}\n" in told


def test_a_rate_that_each_element_adapts_does_not_follow_lr():
    check = "changed learning rate counts at once"
    why = only(check, torch.optim.Rprop).not_applicable[check]
    assert why == "its step_size starts from lr, and each element's goes its own way"
    assert only(check, slalom.optim.Rprop, torch.optim.Rprop).failed == {}


def test_checks_can_be_left_out_by_name(capsys):
    failures = conformance(GoesUp, skip={"goes down a parabola": "it climbs"})
    assert "goes down a parabola" not in {f.check for f in failures}
    assert failures.skipped == {"goes down a parabola": "it climbs"}
    assert "skipped         goes down a parabola: it climbs" in capsys.readouterr().out
    with pytest.raises(ValueError, match="skip names 'no such check'; the checks are"):
        conformance(GoesUp, skip={"no such check": ""})


def test_nothing_is_left_changed():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    conformance(HeavyBall, quiet=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32
