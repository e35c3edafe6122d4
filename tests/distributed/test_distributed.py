"""Several processes, started by torchrun: what they make together is what one makes alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed

WORKER = Path(__file__).parent / "worker.py"
CASES = (
    "data_parallel", "sparse_data_parallel", "fully_sharded", "clipped", "tensor_parallel",
    "not_finite", "sums", "matrices", "squares", "narrow", "unusual", "zero_redundancy",
    "capturable",
)  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.distributed.is_available(), reason="this torch has no torch.distributed"
    ),
]


def run(processes: int, *cases: str) -> tuple[set[str], str]:
    """The cases that passed in all of so many processes, and what was said if one did not."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), str(WORKER), *cases]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    passed = {line.removeprefix("passed ") for line in ended.stdout.splitlines()}
    return passed, ended.stderr if ended.returncode else ""


@pytest.fixture(scope="module", params=[2, 4])
def outcome(request: pytest.FixtureRequest) -> tuple[set[str], str]:
    """Of all cases in one start: starting takes longer than they do."""
    return run(request.param, *CASES)


@pytest.mark.parametrize("case", CASES)
def test_processes_together(outcome: tuple[set[str], str], case: str) -> None:
    passed, said = outcome
    assert case in passed, said


def test_a_checkpoint_of_two_processes_goes_on_in_four(tmp_path: Path) -> None:
    passed, said = run(2, f"save={tmp_path}")
    assert passed == {"save"}, said
    passed, said = run(4, f"load={tmp_path}")
    assert passed == {"load"}, said
