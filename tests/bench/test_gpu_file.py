"""``benchmarks/gpu.py`` where there is no GPU: it starts, says so, and its checks are sound."""

from __future__ import annotations

import math
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import slalom
from slalom.backends import using
from slalom.errors import InputError

sys.path.insert(0, str(Path(__file__).parent.parent / "backends" / "cuda"))
from standin import Simulated  # pyright: ignore[reportMissingImports]

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


@pytest.mark.slow
def test_its_checks_pass_on_the_cpu_for_every_rule():
    checks = runpy.run_path(str(FILE))["correctness"]
    assert checks("cpu", [torch.float32, torch.float16]) == []


def test_it_knows_what_kernels_serve():
    gpu = runpy.run_path(str(FILE))
    with using(Simulated(), "foreach"):
        for name in ("Adam", "LAMB", "AdamMini", "Muon"):
            backend = "foreach" if name == "Muon" else "simulated"
            assert gpu["serves"](gpu["CLASSES"][name].rule, "cpu") == backend
            assert gpu["check_rule"](name, torch.float32, "cpu") <= gpu["DTYPES"][torch.float32]


class Pretended:
    """What the file asks of ``torch.cuda``, without a GPU: whatever is recorded is done at once."""

    record = wait_stream = replay = __enter__ = __exit__ = lambda self, *_: None

    def elapsed_time(self, _) -> float:
        return 1.0


SMALL = {
    '"cuda"': '"cpu"', ".cuda()": ".cpu()", "1 << 28": "1 << 10", "50257": "57",
    "width: int = 768, layers: int = 12": "width: int = 64, layers: int = 1",
}  # fmt: skip
"""The file as it is, but for the device and for how large things are."""


@WITHOUT_GPU
@pytest.mark.parametrize("late", [False, True])
def test_all_contests_are_held_and_told(monkeypatch, late):
    """``late``: there is no time for anything but a copy."""
    text, space = FILE.read_text(), {"__name__": "gpu", "__doc__": ""}
    for old, new in SMALL.items():
        assert old in text
        text = text.replace(old, new)
    exec(compile(text, str(FILE), "exec"), space)
    gpu: Any = space
    for name in ("Event", "Stream", "CUDAGraph", "stream", "graph", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, **__: Pretended())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (4e4, 4e4))
    monkeypatch.setattr(gpu["gc"], "collect", lambda: 0)  # half a second, and a hundred times
    monkeypatch.setattr(torch, "compile", lambda step, **_: step)
    found: dict[str, Any] = {}
    gpu["speed"](found, 0.0 if late else math.inf)
    told = gpu["table"]({"gpu": "none", "torch": "2", "speed": found})
    assert told.count("failed") == (not late)  # torch records foreach on a GPU alone
    contests = 2 if late else 2 + 1 + 2 + 1
    assert len(told.splitlines()) == 1 + contests + len(found["rules"])
    assert (len(found["rules"]) > 30) == (not late)
    assert gpu["table"]({"speed": {}}) == "no speed was measured"


@WITHOUT_GPU
def test_a_race_on_a_gpu_that_is_not_there_is_one_sentence():
    from slalom.cli import app

    done = CliRunner().invoke(app, ["race", "digits", "--device", "cuda"])
    assert done.exit_code
    said = done.output or str(done.exception)
    assert "device 'cuda' cannot be used here, where there is cpu" in said
    with pytest.raises(InputError, match="device 'cuda' cannot be used here"):
        slalom.tasks.load("digits").on("cuda")
