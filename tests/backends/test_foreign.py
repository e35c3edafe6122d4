"""Another backend, registered before the others: the optimizers go on as they did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import served

HERE = Path(__file__).parent

QUICK = ["test_against_torch.py", "test_routed.py", "test_first_steps.py"]
"""Files of the optimizer suite that take seconds."""

OTHERS = {
    "numbers": [
        "test_against_reference.py", "test_endurance.py", "test_sparse.py", "test_treatment.py",
        "test_torchs_tools.py",
    ],
    "clients": [
        "test_checkpoints.py", "test_clients.py", "test_groups_edited.py", "test_plan_changes.py",
        "test_release.py", "test_states_edited.py",
    ],
}  # fmt: skip
"""The others that are about more than machine code."""

ABOUT_MACHINE_CODE = (
    "not llvm and not foreach and not machine_code and not second_way and not reasons "
    "and not fork and not special and not explanation and not whatever_interrupts"
)
"""Tests that ask which backend served, or how machine code does it, by their names; of numbers at
the edge of overflow, which are finite or not with the multiply-adds of a backend; and of exceptions
out of signals: an update in several calls can be cut short, as torch's can."""


def run(*files: str) -> None:
    suite = [str(HERE.parent / "optim" / f) for f in files]
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "foreign", "-p", "no:cacheprovider",
        "-k", ABOUT_MACHINE_CODE, *suite,
    ]  # fmt: skip
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore::UserWarning"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_a_part_of_the_suite_passes_through_it():
    run(*QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("part", OTHERS)
def test_the_others_pass_through_it(part):
    run(*OTHERS[part])


def test_it_is_what_serves():
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "import torch, foreign, slalom\n"
        "p = torch.nn.Parameter(torch.ones(3)); o = slalom.optim.Adam([p], lr=0.1)\n"
        "p.grad = torch.ones(3); o.step(); o.step()\n"
        "print(foreign.SERVED, slalom.explain(o).rows[0][3], round(p[0].item(), 5))"
    )
    assert served.printed(code) == "['adam', 'adam'] numpy 0.8\n"
