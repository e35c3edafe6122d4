"""Run every check on one optimizer class, print and return what fails."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from slalom.testing import learning, numbers, protocol, schedulers
from slalom.testing.subject import NotApplicable, Subject

CHECKS: dict[str, Callable[[Subject], None]] = {
    check.__name__.replace("_", " "): check
    for module in (protocol, numbers, schedulers, learning)
    for check in module.CHECKS
}
"""Every check by name; each raises where the optimizer fails it."""


@dataclass(frozen=True)
class Failure:
    """A check that an optimizer does not pass, and how it fails."""

    check: str
    message: str

    def __str__(self) -> str:
        return f"{self.check}: {self.message}"


def conformance(
    optimizer_class: Callable[..., Optimizer],
    reference: Callable[..., Optimizer] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    reference_options: Mapping[str, Any] | None = None,
    tolerance: float = 1e-12,
    skip: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> list[Failure]:
    """Check an optimizer class against all that torch.optim promises; the failures.

    Any class made as ``optimizer_class(params, **options)`` can be checked, Slalom's or not. With
    a ``reference`` (made with ``reference_options``, by default the same) every result and
    checkpoint is compared with its; without one the class is compared with itself in the plainest
    circumstances: contiguous tensors, no interruption, one parameter alone. Results may differ by
    ``tolerance`` as a share of a tensor's largest value, in float64.

    ``skip`` names checks (keys of ``slalom.testing.suite.CHECKS``) not to run, and why; ValueError
    if there is none of that name. What fails is printed, with what was skipped, unless ``quiet``.
    Torch's default dtype is float64 meanwhile, since its classes keep step counts and the like in
    that dtype; it and the state of the random generator are left as they were.
    """
    skip = dict(skip or {})
    for name in skip.keys() - CHECKS.keys():
        raise ValueError(f"skip names {name!r}; the checks are {', '.join(CHECKS)}")
    options = dict(options or {})
    others = options if reference_options is None else dict(reference_options)
    subject = Subject(optimizer_class, reference, options, others, tolerance)
    failures: list[Failure] = []
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_default_dtype(torch.float64)
        try:
            for name, check in CHECKS.items():
                if name not in skip:
                    failures += _outcome(name, check, subject)
        finally:
            torch.set_default_dtype(dtype)
    if not quiet:
        _tell(getattr(optimizer_class, "__name__", "the optimizer"), failures, skip)
    return failures


def _outcome(name: str, check: Callable[[Subject], None], subject: Subject) -> list[Failure]:
    torch.manual_seed(0)
    try:
        check(subject)
    except NotApplicable:
        pass
    except AssertionError as error:
        return [Failure(name, str(error) or _place(error))]
    except Exception as error:
        return [Failure(name, f"{type(error).__name__}: {error} ({_place(error)})")]
    return []


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"line {frame.lineno} of {frame.filename}: {frame.line}"


def _tell(name: str, failures: list[Failure], skip: Mapping[str, str]) -> None:
    passed = len(CHECKS) - len(skip) - len(failures)
    print(f"{name}: {passed} of {len(CHECKS) - len(skip)} checks passed")
    for failure in failures:
        print(f"  FAILED  {failure}")
    for check, reason in skip.items():
        print(f"  skipped {check}: {reason}")
