"""``benchmarks/gpu.py`` where there is no GPU: it starts, says so, and its checks are sound."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import slalom
from slalom.errors import InputError

FILE = Path(__file__).parent.parent.parent / "benchmarks" / "gpu.py"
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
NOT_NEEDED = (
    "scipy", "sklearn", "plotly", "rich", "typer", "cloudpickle", "safetensors", "pandas",
    "matplotlib", "ray", "optuna", "pytest", "hypothesis",
)  # fmt: skip


def started(*missing: str) -> tuple[int, str]:
    """Exit status and what it said, in a process where these modules are not installed."""
    code = (
        "import importlib.util, runpy, sys\n"
        f"gone, real = {missing!r}, importlib.util.find_spec\n"
        "for name in gone: sys.modules[name] = None\n"
        "importlib.util.find_spec = lambda n, *a: None if n in gone else real(n, *a)\n"
        f"sys.argv = [{str(FILE)!r}]\n"
        f"runpy.run_path({str(FILE)!r}, run_name='__main__')"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(slalom.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


@WITHOUT_GPU
def test_it_needs_torch_numpy_and_llvmlite_and_says_that_there_is_no_gpu():
    status, said = started(*NOT_NEEDED)
    assert status == 1
    assert said.strip().endswith("can use here; nothing was run")
    assert len(said.strip().splitlines()) == 1


def test_it_says_what_is_missing():
    status, said = started("llvmlite")
    assert (status, said) == (1, "llvmlite must be installed for this: pip install llvmlite\n")


def test_its_checks_pass_on_the_cpu_and_find_what_is_wrong():
    gpu = runpy.run_path(str(FILE))
    few = {n: gpu["CLASSES"][n] for n in ("Adam", "Rprop")}
    assert gpu["correctness"]("cpu", [torch.float32, torch.bfloat16], few) == []
    gpu["DTYPES"][torch.float32] = 1e-12
    wrong = gpu["correctness"]("cpu", [torch.float32], few)
    assert any("Adam torch.float32: off by" in line for line in wrong)


@WITHOUT_GPU
def test_a_race_on_a_gpu_that_is_not_there_is_one_sentence():
    from slalom.cli import app

    done = CliRunner().invoke(app, ["race", "digits", "--device", "cuda"])
    assert done.exit_code
    said = done.output or str(done.exception)
    assert "device 'cuda' cannot be used here, where there is cpu" in said
    with pytest.raises(InputError, match="device 'cuda' cannot be used here"):
        slalom.tasks.load("digits").on("cuda")
