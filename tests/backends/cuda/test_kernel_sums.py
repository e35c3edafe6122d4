"""Kernels of rules that sum over whole tensors, and of the norm of all gradients."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simulated
import torch
from simulated import HOST
from standin import Simulated
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.backends.cuda import adding, work
from slalom.backends.cuda.kernel import CHUNK
from slalom.backends.cuda.squares import Squares
from slalom.backends.cuda.sums import SumKernels, refused
from slalom.backends.cuda.target import AMD, NVIDIA, THREADS
from slalom.backends.llvm.compile import assembly_for
from slalom.ir.program import Program, is_whole, trace
from slalom.rules import RULES
from slalom.rules.definition import REQUIRED

sys.path.insert(0, str(Path(__file__).parent))
from test_kernels import assemble, ptxas

CLASSES = [
    name for name in slalom.optim.__all__
    if (rule := getattr(getattr(slalom.optim, name), "rule", None)) is not None
    and is_whole(rule)
]  # fmt: skip
LENGTHS = ((9000,), (33, 5), (), (3,), (0,), (4097,))


def programs() -> dict[str, Program]:
    found = {}
    for name, rule in RULES.items():
        hypers = {n: 1.0 if d is REQUIRED else d for n, d in rule.hypers.items()}
        program = trace(rule, hypers, step=2, first=False)
        if program.sums and not program.by_rows and not refused(program):
            found[name] = program
    return found


PROGRAMS = programs()


def kernels(name: str, target: Any, kind: str = "float", stochastic: bool = False) -> SumKernels:
    program = PROGRAMS[name]
    small = program.rule.shapes
    arrays = tuple(
        (n, "float" if n in small else kind) for n in ("param", "grad", *program.live_state)
    )
    return SumKernels(program, arrays, target, stochastic)


def trained(backend: Any, name: str, dtype: torch.dtype, off: int = 0, **options: Any) -> list:
    draws = torch.Generator().manual_seed(2)

    def drawn(shape: tuple[int, ...]) -> torch.Tensor:
        """Beginning so many elements behind where a vector may."""
        memory = torch.zeros(math.prod(shape) + off, dtype=dtype)
        own = memory[off:].view(shape)
        own.copy_(torch.randn(shape, generator=draws))
        return own

    params = [Parameter(drawn(shape)) for shape in LENGTHS]
    with using(backend):
        optimizer = getattr(slalom.optim, name)(params, lr=0.01, **options)
        for step in range(4):
            for p in params:
                grad = drawn(tuple(p.shape))
                p.grad = None if step == 2 and p.dim() == 2 else grad
            optimizer.step()
        served = {row[3] for row in slalom.explain(optimizer).rows}
    assert served == {backend if isinstance(backend, str) else backend.name}
    states = [optimizer.state[p] for p in params]
    return [*(p.detach() for p in params), *(s[n] for s in states for n in sorted(s))]


SERVED = [n for n in CLASSES if getattr(slalom.optim, n).rule.name in PROGRAMS]


def check_rule(name: str, dtype: torch.dtype) -> None:
    """Elements are the same to the bit; the sums are rounded in another order."""
    got, expected = (trained(b, name, dtype) for b in (Simulated(), "llvm"))
    near = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(got, expected, rtol=near, atol=near / 10)
    assert dtype == torch.float64 or sum(map(torch.equal, got, expected)) > 0.8 * len(got)


@pytest.mark.parametrize("name", ["LAMB", "AdaGradNorm"])
def test_whole_rules_are_what_the_cpu_makes_of_them(name):
    check_rule(name, torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64],
)
@pytest.mark.parametrize("name", SERVED)
def test_whole_rules_in_all_dtypes(name, dtype):
    check_rule(name, dtype)


def test_neither_addresses_nor_the_order_of_blocks_change_a_bit(monkeypatch):
    found = [trained(Simulated(), "LAMB", torch.float32, off) for off in (0, 1)]
    monkeypatch.setattr(simulated, "FORWARDS", [True])
    found.append(trained(Simulated(), "LAMB", torch.float32))
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


def summed_as_said(values: np.ndarray) -> float:
    """The sum of squares in the very order of the kernels, in words of NumPy."""
    lanes, partial = 4, []
    for begin in range(0, max(len(values), 1), CHUNK):
        own = values[begin : begin + CHUNK].astype(np.float64)
        threads = []
        for t in range(THREADS):
            abreast, single, i = np.zeros(lanes), 0.0, t * lanes
            while i + lanes <= len(own):
                abreast = abreast + own[i : i + lanes] * own[i : i + lanes]
                i += lanes * THREADS
            total = ((abreast[0] + abreast[1]) + abreast[2]) + abreast[3]
            for single in own[i:]:
                total = total + single * single
            threads.append(total)
        partial.append(by_few(threads))
    shares = [in_order(partial[t::THREADS]) for t in range(THREADS)]
    return by_few(shares)


def in_order(numbers: Any) -> float:
    total = -0.0
    for number in numbers:
        total = total + number
    return total


def by_few(numbers: list[float]) -> float:
    return in_order([in_order(numbers[16 * t : 16 * t + 16]) for t in range(8)])


def test_sums_are_added_in_the_order_that_is_said():
    gpu, draws = Simulated().gpu, torch.Generator().manual_seed(1)
    grads = [torch.randn(n, generator=draws) for n in (600_001, 4096, 37, 0)]
    shapes, every = [g.shape for g in grads], np.arange(4)[:, None]
    squares = Squares(gpu, "float", range(4), shapes, lambda *_: every)
    for _ in range(2):  # counters are 0 again
        squares.run(np.array([g.data_ptr() for g in grads], np.uint64).view(np.int64))
        found = squares._found.tolist()
        assert found == [summed_as_said(g.numpy()) for g in grads]
        assert found[0] == pytest.approx(float(grads[0].double().square().sum()), rel=1e-14)


def stepped(backend: Simulated, optimizer: Any) -> list[str]:
    before = len(backend.library.calls)
    with using(backend):
        optimizer.step()
    return [c[0] for c in backend.library.calls[before:] if c[0] == "cuLaunchKernel"]


@pytest.mark.parametrize(
    ("name", "options", "launches"),
    [("LAMB", {}, 2), ("LARS", {}, 2), ("AdaGradNorm", {}, 2), ("SGD", {"clip_norm": 1.0}, 2)],
)
def test_a_launch_a_sweep_and_one_for_the_norm(name, options, launches):
    backend = Simulated()
    params = [Parameter(torch.ones(5000)), Parameter(torch.ones(3))]
    optimizer = getattr(slalom.optim, name)(params, lr=0.1, **options)
    for p in params:
        p.grad = torch.ones_like(p)
    for _ in range(3):
        calls = stepped(backend, optimizer)
    assert len(calls) == launches


def test_a_norm_follows_who_is_present():
    ours, theirs = ([Parameter(torch.ones(n)) for n in (5000, 3)] for _ in range(2))
    with using(Simulated()):
        one = slalom.optim.SGD(ours, lr=0.1, clip_norm=1.0)
        two = torch.optim.SGD(theirs, lr=0.1)
        for step in range(4):
            for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
                for p in (a, b):
                    p.grad = None if step == 1 + k else torch.full_like(p, step + 1.0)
            one.step()
            torch.nn.utils.clip_grad_norm_(theirs, 1.0)
            two.step()
    torch.testing.assert_close(ours, theirs)


def test_a_wrong_sum_is_found(monkeypatch):
    made = adding._gather

    def bent(sums):
        return (line.replace("i64 %p, 128", "i64 %p, 256") for line in made(sums))

    monkeypatch.setattr(adding, "_gather", bent)
    monkeypatch.setattr(work, "_kernels", work._kernels.__wrapped__)
    monkeypatch.setattr("slalom.backends.cuda.proof.LENGTHS", ((129 * CHUNK, 0),))
    param = Parameter(torch.ones(30))
    param.grad = torch.ones(30)
    optimizer = slalom.optim.AdaGradNorm([param], lr=0.1)
    told = "was tried on this GPU and gave another sum of adagrad_norm"
    with using(Simulated(), "foreach"), pytest.warns(UserWarning, match=told):
        optimizer.step()
    assert not torch.equal(param, torch.ones(30))


# What is compiled.


def read_ptx(kernels: SumKernels, architecture: str) -> list[str]:
    """Fails where a kernel is not what it should be; their PTX."""
    found = []
    for text in kernels.texts:
        ptx = assembly_for(text, NVIDIA.triple, architecture)
        assert ".local" not in ptx
        assert not re.search(r"\bcall\b|\.approx|\.ftz", ptx)
        loose = re.findall(r"^\s+(?:add|sub|mul|mad)\.f(?:16|32|64)\b", ptx, re.MULTILINE)
        assert not loose, loose  # ptxas may join what is not told how to round
        found.append(ptx)
    sweeps = [ptx for ptx, grid in zip(found, kernels.grids, strict=True) if grid == "chunks"]
    for sweep, ptx in zip(kernels._sweeps, sweeps, strict=True):
        wide = re.findall(r"ld\.global\.(?:v4\.b32|v2\.b64)", ptx)
        assert len(wide) == len(sweep.reads), (kernels._program.rule.name, wide)
        assert ptx.count("bar.sync") == (5 if sweep.sums else 0)
        assert ptx.count("atom.global") == bool(sweep.sums)
        assert ptx.count("fence.sc.gpu") == 2 * bool(sweep.sums)
    return found


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_ptx_is_read_and_assembled(architecture, tmp_path):
    names = PROGRAMS if architecture == "sm_90" else ["lamb"]
    for name in names:
        for ptx in read_ptx(kernels(name, NVIDIA), architecture):
            if ptxas() is not None and name == "lamb":
                assemble(ptxas() or "", ptx, architecture, tmp_path)


def test_code_for_amd_is_made_too():
    for text in kernels("lamb", AMD).texts:
        code = assembly_for(text, AMD.triple, "gfx90a")
        assert "s_swappc" not in code  # a call
        assert code.count("s_barrier") == (5 if "@part.5" in text else 0)
        assert set(re.findall(r"\.private_segment_fixed_size:\s+(\d+)", code)) == {"0"}


def test_kernels_for_this_machine_are_phases():
    assert any("@phase.5" in text for text in kernels("lamb", HOST).texts)
