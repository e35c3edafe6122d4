"""Kernels that read and write states of eight bits, and parameters with a remainder."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from standin import Simulated
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.backends.cuda import codes, work
from slalom.backends.cuda.codes import code_kernel
from slalom.backends.cuda.sums import SumKernels
from slalom.backends.cuda.target import AMD, NVIDIA
from slalom.backends.llvm.compile import assembly_for
from slalom.engine import keeping
from slalom.ir.program import trace
from slalom.rules import RULES

sys.path.insert(0, str(Path(__file__).parent))
from test_kernels import assemble, ptxas

LENGTHS = ((9001,), (33, 5), (), (64,), (0,), (4097,))


@pytest.fixture(autouse=True)
def all_coded(monkeypatch):
    """Small parameters too."""
    monkeypatch.setattr(keeping, "LEAST", 1)


def trained(backend: Any, name: str, dtype: torch.dtype, off: int, **options: Any) -> list:
    draws = torch.Generator().manual_seed(2)

    def drawn(shape: tuple[int, ...]) -> torch.Tensor:
        """Beginning so many elements behind where a vector may."""
        size = torch.Size(shape).numel()
        own = torch.zeros(size + off, dtype=dtype)[off:].view(shape)
        own.copy_(torch.randn(shape, generator=draws))
        return own

    params = [Parameter(drawn(shape)) for shape in LENGTHS]
    with using(backend):
        optimizer = getattr(slalom.optim, name)(params, lr=0.01, **options)
        for step in range(4):
            for p in params:
                grad = drawn(tuple(p.shape))
                p.grad = None if step == 2 and p.dim() == 2 else grad
            if step == 3:  # a block becomes NaN, and no other
                params[0].grad[70] = torch.nan
            optimizer.step()
        served = {row[3] for row in slalom.explain(optimizer).rows}
    assert served == {backend if isinstance(backend, str) else backend.name}
    states = [optimizer.state[p] for p in params]
    return [*(p.detach() for p in params), *(s[n] for s in states for n in sorted(s))]


def alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal to the bit, NaN being one."""
    return a.dtype == b.dtype and torch.equal(a.isnan(), b.isnan()) and torch.equal(
        a.nan_to_num(), b.nan_to_num()
    )  # fmt: skip


CASES = [
    ("Adam", torch.float32, {"state_dtype": "8bit"}),
    ("Adam", torch.bfloat16, {"state_dtype": "8bit", "rounding": "stochastic"}),
    ("AdamW", torch.bfloat16, {"state_dtype": "8bit", "remainder": "exact"}),
    ("Adam", torch.float16, {"remainder": "kahan"}),
]
SLOW = [
    ("Adan", torch.float32, {"state_dtype": "8bit"}),
    ("Adam", torch.float64, {"state_dtype": {"exp_avg": "8bit"}}),
    ("AdamW", torch.bfloat16, {"remainder": "kahan", "state_dtype": {"exp_avg_sq": "8bit"}}),
    ("Lion", torch.float32, {"state_dtype": "8bit", "rounding": "stochastic"}),
    ("RMSprop", torch.float32, {"state_dtype": "8bit", "centered": True, "momentum": 0.9}),
]


def check(name: str, dtype: torch.dtype, options: dict[str, Any], off: int) -> None:
    got, expected = (trained(b, name, dtype, off, **options) for b in (Simulated(), "llvm"))
    assert any(t.dtype in (torch.int8, torch.uint8, torch.int16, dtype) for t in got)
    assert all(map(alike, got, expected)), [
        (a.dtype, a.shape) for a, b in zip(got, expected, strict=True) if not alike(a, b)
    ]


@pytest.mark.parametrize(("name", "dtype", "options"), CASES, ids=str)
def test_every_bit_is_the_cpus(name, dtype, options):
    check(name, dtype, options, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype", "options"), SLOW, ids=str)
def test_every_bit_of_more_rules_is_the_cpus(name, dtype, options):
    check(name, dtype, options, 1)


def test_a_wrong_code_is_found(monkeypatch):
    def bent(*given, **more):
        made = code_kernel(*given, **more)
        assert "icmp ugt" in made
        return made.replace("icmp ugt", "icmp ult")

    monkeypatch.setattr("slalom.backends.cuda.members.code_kernel", bent)
    monkeypatch.setattr(work, "_kernels", work._kernels.__wrapped__)
    param = Parameter(torch.ones(100))
    param.grad = torch.ones(100)
    optimizer = slalom.optim.Adam([param], state_dtype="8bit")
    told = "was tried on this GPU and gave another exp_avg"
    with using(Simulated(), "foreach"), pytest.warns(UserWarning, match=told):
        optimizer.step()


SUMMING = [
    ("LAMB", torch.float32, {"state_dtype": "8bit"}),
    ("StableAdamW", torch.bfloat16, {"state_dtype": "8bit", "remainder": "exact"}),
    ("LARS", torch.float16, {"remainder": "kahan"}),
]
MORE_SUMMING = [
    ("Prodigy", torch.float32, {"state_dtype": "8bit"}),
    ("LAMB", torch.float64, {"state_dtype": {"exp_avg": "8bit"}}),
    ("LARS", torch.bfloat16, {"state_dtype": "8bit", "rounding": "stochastic"}),
    ("MARS", torch.float32, {"state_dtype": "8bit", "rounding": "stochastic"}),
    ("AdamMini", torch.bfloat16, {"remainder": "kahan", "state_dtype": "bfloat16"}),
    ("FactoredAdafactor", torch.bfloat16, {"remainder": "exact"}),
    ("Prodigy", torch.bfloat16, {"state_dtype": "8bit", "remainder": "exact"}),
]


def check_sums(name: str, dtype: torch.dtype, options: dict[str, Any]) -> None:
    """The CPU's but for the order of the sums; and wherever arrays begin, the same to the bit."""
    found = [trained(Simulated(), name, dtype, off, **options) for off in (0, 1)]
    assert all(map(alike, *found))
    for a, b in zip(found[0], trained("llvm", name, dtype, 0, **options), strict=True):
        if a.is_floating_point():
            torch.testing.assert_close(a, b, equal_nan=True)
        elif a.numel():
            assert ((a.int() - b.int()).abs() <= 1).float().mean() > 0.99


@pytest.mark.parametrize(("name", "dtype", "options"), SUMMING, ids=str)
def test_rules_that_sum_keep_narrow_states_by_kernels_too(name, dtype, options):
    check_sums(name, dtype, options)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype", "options"), MORE_SUMMING, ids=str)
def test_more_rules_that_sum_keep_narrow_states(name, dtype, options):
    check_sums(name, dtype, options)


def test_codes_in_rows_are_left_to_torchs_operations():
    param = Parameter(torch.ones(64, 64))
    param.grad = torch.ones(64, 64)
    optimizer = slalom.optim.AdamMini([param], lr=0.1, state_dtype="8bit")
    with using(Simulated(), "foreach"):
        (row,) = slalom.explain(optimizer).rows
    assert row[3] == "foreach"
    assert "sums over rows or columns and keeps states in 8 bits" in row[4]


def test_a_wrong_sum_of_codes_is_found(monkeypatch):
    made = codes.Codes._summed

    def bent(self, *given):
        return (line.replace("fadd double", "fsub double") for line in made(self, *given))

    monkeypatch.setattr(codes.Codes, "_summed", bent)
    monkeypatch.setattr(work, "_kernels", work._kernels.__wrapped__)
    param = Parameter(torch.ones(100))
    param.grad = torch.ones(100)
    optimizer = slalom.optim.LAMB([param], state_dtype="8bit")
    told = "was tried on this GPU and gave another .* of lamb"
    with using(Simulated(), "foreach"), pytest.warns(UserWarning, match=told):
        optimizer.step()


@pytest.mark.parametrize("name", ["Adam", "RAdam", "LAMB"])
@pytest.mark.parametrize("options", [{}, {"rounding": "stochastic"}], ids=str)
def test_steps_that_ask_nothing_write_the_cpus_codes(name, options):
    """RAdam has two ways, a kernel each; codes are as near, since scalars are torch's."""
    found = []
    for backend, more in ((Simulated(), {"capturable": True}), ("llvm", {})):
        draws = torch.Generator().manual_seed(1)
        params = [Parameter(torch.randn(n, generator=draws)) for n in (5000, 33)]
        with using(backend):
            optimizer = getattr(slalom.optim, name)(
                params, lr=0.01, state_dtype="8bit", **options, **more
            )
            for _ in range(7):
                for p in params:
                    p.grad = torch.randn(p.shape, generator=draws)
                optimizer.step()
        found.append(params)
        kinds = {t.dtype for p in params for t in optimizer.state[p].values()}
        assert torch.int8 in kinds or torch.uint8 in kinds
    torch.testing.assert_close(*found, rtol=2e-4, atol=2e-5)


ARRAYS = (
    ("param", "float"), ("grad", "float"), ("exp_avg", "i8"), ("exp_avg_scale", "float"),
    ("exp_avg_sq", "u8"), ("exp_avg_sq_scale", "float"),
)  # fmt: skip


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_ptx_is_read_and_assembled(architecture, tmp_path):
    program = trace(RULES["adam"], RULES["adam"].hypers, step=2, first=False)
    text = code_kernel(program, ARRAYS, NVIDIA, stochastic=False)
    ptx = assembly_for(text, NVIDIA.triple, architecture)
    assert ".local" not in ptx
    assert not re.search(r"\bcall\b|\.approx|\.ftz", ptx)
    assert not re.findall(r"^\s+(?:add|sub|mul|mad)\.f(?:16|32|64)\b", ptx, re.MULTILINE)
    assert ptx.count("ld.global.v4.b32") + ptx.count("ld.global.v2.b64") == 2
    assert ptx.count("bar.sync") == 3
    if ptxas() is not None:
        assemble(ptxas() or "", ptx, architecture, tmp_path)
    code = assembly_for(code_kernel(program, ARRAYS, AMD, stochastic=True), AMD.triple, "gfx90a")
    assert "s_swappc" not in code


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_ptx_of_sums_of_codes_is_read_and_assembled(architecture, tmp_path):
    program = trace(RULES["lamb"], RULES["lamb"].hypers, step=2, first=False)
    kernels = SumKernels(program, ARRAYS, NVIDIA, False)
    for sweep, text in zip(kernels._sweeps, kernels.texts, strict=True):
        ptx = assembly_for(text, NVIDIA.triple, architecture)
        assert ".local" not in ptx
        assert not re.search(r"\bcall\b|\.approx|\.ftz", ptx)
        assert not re.findall(r"^\s+(?:add|sub|mul|mad)\.f(?:16|32|64)\b", ptx, re.MULTILINE)
        plain = [n for n in sweep.reads if n in ("param", "grad")]
        assert ptx.count("ld.global.v4.b32") + ptx.count("ld.global.v2.b64") == len(plain)
        if ptxas() is not None:
            assemble(ptxas() or "", ptx, architecture, tmp_path)
