"""Several processes, started by torchrun: what they make together is what one makes alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed

WORKER = Path(__file__).parent / "worker.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.distributed.is_available(), reason="this torch has no torch.distributed"
    ),
]


def run(processes: int, *case: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), str(WORKER), *case]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.mark.parametrize("processes", [2, 4])
def test_data_parallel(processes: int) -> None:
    run(processes, "ddp")


@pytest.mark.parametrize("processes", [2, 4])
def test_fully_sharded_with_uneven_shards(processes: int) -> None:
    run(processes, "fsdp")


def test_clip_norm_is_over_all_shards() -> None:
    run(2, "clipped")


def test_a_checkpoint_of_two_processes_goes_on_in_four(tmp_path: Path) -> None:
    run(2, "save", str(tmp_path))
    run(4, "load", str(tmp_path))


def test_zero_redundancy() -> None:
    run(2, "zero")
