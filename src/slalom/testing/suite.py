"""Run every check on one optimizer class; tell what it passes, fails, and what does not apply."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from slalom.testing import conduct, learning, persistence, protocol, schedulers, settings, tensors
from slalom.testing.subject import NotApplicable, Subject

CHECKS: dict[str, Callable[[Subject], None]] = {
    check.__name__.replace("_", " "): check
    for module in (protocol, settings, persistence, tensors, schedulers, learning, conduct)
    for check in module.CHECKS
}
"""Every check by name. Each raises where the optimizer fails it, NotApplicable where it has none
of what the check is about."""


@dataclass(frozen=True)
class Failure:
    """A check that an optimizer does not pass, and how it fails."""

    check: str
    message: str

    def __str__(self) -> str:
        return f"{self.check}: {self.message}"


class Report(list[Failure]):
    """What came of the checks: the list of the failures, empty if there were none, and the rest.

    Each check is in one of the four: ``passed``, ``failed``, ``not_applicable``, ``skipped``.

    Attributes:
        name: of the optimizer class.
        passed: the checks that it passes.
        not_applicable: check -> what it asks for that this optimizer does not have.
        skipped: check -> why the caller left it out.
    """

    def __init__(self, name: str, skipped: Mapping[str, str]):
        super().__init__()
        self.name = name
        self.passed: list[str] = []
        self.not_applicable: dict[str, str] = {}
        self.skipped = dict(skipped)

    @property
    def failed(self) -> dict[str, str]:
        """Check -> how the optimizer fails it."""
        return {failure.check: failure.message for failure in self}

    def __str__(self) -> str:
        """A line of counts, and one for each check that was not passed."""
        groups = {
            "failed": self.failed, "not applicable": self.not_applicable, "skipped": self.skipped,
        }  # fmt: skip
        counts = ", ".join(f"{len(checks)} {what}" for what, checks in groups.items() if checks)
        lines = [f"{self.name}: {len(self.passed)} passed" + (counts and f", {counts}")]
        for what, checks in groups.items():
            what = what.upper() if what == "failed" else what
            lines += [f"  {what:14}  {check}: {why}" for check, why in checks.items()]
        return "\n".join(lines)


def conformance(
    optimizer_class: Callable[..., Optimizer],
    reference: Callable[..., Optimizer] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    reference_options: Mapping[str, Any] | None = None,
    tolerance: float = 1e-12,
    skip: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> Report:
    """Check an optimizer class against all that torch.optim promises; the failures.

    Any class made as ``optimizer_class(params, **options)`` can be checked, Slalom's or not. With
    a ``reference`` (made with ``reference_options``, by default the same) every result and
    checkpoint is compared with its. Without one the class is held against what is true of every
    update rule (a learning rate of 0 moves nothing, a changed option changes what follows, each
    parameter goes as it would alone) and against itself in the plainest circumstances: contiguous
    tensors, no interruption. Results may differ by ``tolerance`` as a share of a tensor's largest
    value, in float64.

    ``skip`` names checks (keys of ``slalom.testing.suite.CHECKS``) not to run, and why; ValueError
    if there is none of that name. Returns the failures, as a list that also has ``passed``,
    ``not_applicable`` and ``skipped``, and prints it unless ``quiet``. Torch's default dtype is
    float64 meanwhile, since its classes keep step counts and the like in that dtype; it and the
    state of the random generator are left as they were.
    """
    skip = dict(skip or {})
    for name in skip.keys() - CHECKS.keys():
        raise ValueError(f"skip names {name!r}; the checks are {', '.join(CHECKS)}")
    options = dict(options or {})
    others = options if reference_options is None else dict(reference_options)
    subject = Subject(optimizer_class, reference, options, others, tolerance)
    report = Report(getattr(optimizer_class, "__name__", "the optimizer"), skip)
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_default_dtype(torch.float64)
        try:
            for name in [n for n in CHECKS if n not in skip]:
                _add(report, name, subject)
        finally:
            torch.set_default_dtype(dtype)
    if not quiet:
        print(report)
    return report


def _add(report: Report, name: str, subject: Subject) -> None:
    torch.manual_seed(0)
    try:
        CHECKS[name](subject)
    except NotApplicable as reason:
        report.not_applicable[name] = str(reason)
    except AssertionError as error:
        report.append(Failure(name, str(error) or _place(error)))
    except Exception as error:
        report.append(Failure(name, f"{type(error).__name__}: {error} ({_place(error)})"))
    else:
        report.passed.append(name)


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"line {frame.lineno} of {frame.filename}: {frame.line}"
