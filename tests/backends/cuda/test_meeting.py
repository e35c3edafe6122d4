"""Kernels of rules that ask all tensors of a group or an optimizer for a number each."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import simulated
import torch
from simulated import HOST
from standin import Simulated
from test_kernels import INSTRUCTION, assemble, ptxas
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.backends.cuda import members, work
from slalom.backends.cuda.meeting import meeting_kernel
from slalom.backends.cuda.target import NVIDIA
from slalom.backends.llvm.compile import assembly_for
from slalom.rules import highest, mean, norm, rule, sqrt, total

SHAPES = ((9000,), (33, 5), (), (3,), (0,), (4097,))


@rule(shapes={"shared": "one", "most": "one"})
def company(param, grad, shared, most, *, step, lr=0.01):
    """A norm over a group, then over all, then the highest of what became of both."""
    length = sqrt(total(total(grad * grad), over="group"))
    far = sqrt(total(total(param * param), over="optimizer"))
    ahead = grad / (1 + length + far)
    most = highest(norm(ahead) + most, over="group")
    return param - lr / step * ahead / (0.5 + most), shared + length + far, most


@rule(shapes={"last": "one"})
def after_all(param, grad, last, *, lr=0.01):
    """What all are asked for after the last sweep, of which nothing is needed in one."""
    return param - lr * grad, highest(mean(grad), over="optimizer") + total(last, over="group")


OWN = [company, after_all]
NAMES = ["Prodigy", "DAdaptAdam", *(r.name for r in OWN)]


def made_of(name: str) -> Any:
    own = next((r for r in OWN if r.name == name), None)
    return getattr(slalom.optim, name) if own is None else slalom.optimizer(own)


def mixed(name: str, dtype: torch.dtype, **options: Any) -> tuple[Any, list[Parameter]]:
    """An optimizer of two groups, of which the second is in bfloat16 and another order."""
    draws = torch.Generator().manual_seed(2)
    params = [Parameter(torch.randn(s, generator=draws).to(dtype)) for s in SHAPES]
    more = [Parameter(torch.randn(s, generator=draws).bfloat16()) for s in SHAPES[::-1]]
    groups = [{"params": params[:3]}, {"params": [*more, *params[3:]]}]
    return made_of(name)(groups, lr=0.01, **options), [*params, *more]


def trained(backend: Any, name: str, dtype: torch.dtype, **options: Any) -> list:
    optimizer, params = mixed(name, dtype, **options)
    draws = torch.Generator().manual_seed(3)
    with using(backend) if isinstance(backend, str) else using(backend, "foreach"):
        for step in range(4):
            for p in params:
                grad = torch.randn(p.shape, generator=draws).to(p.dtype)
                p.grad = None if step in (0, 2) and p.dim() == 2 else grad
            optimizer.step()
        served = {row[3] for row in slalom.explain(optimizer).rows}
    assert served == {backend if isinstance(backend, str) else backend.name}
    kept = [s[n] for p in params for s in [optimizer.state[p]] for n in sorted(s) if n != "step"]
    return [*(p.detach() for p in params), *kept]


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", NAMES)
def test_rules_that_ask_all_are_what_the_cpu_makes_of_them(name, dtype):
    got, expected = (trained(b, name, dtype) for b in (Simulated(), "llvm"))
    near = 8 * torch.finfo(dtype).eps
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=near, atol=near / 10)


def test_neither_the_order_of_blocks_nor_of_launches_changes_a_bit(monkeypatch):
    found = [trained(Simulated(), "Prodigy", torch.float32)]
    monkeypatch.setattr(simulated, "FORWARDS", [True])
    found.append(trained(Simulated(), "Prodigy", torch.float32))
    assert all(map(torch.equal, *found))


def launches(backend: Simulated, optimizer: Any) -> list[int]:
    """The blocks of each launch of a step."""
    before = len(backend.library.calls)
    with using(backend, "foreach"):
        optimizer.step()
    return [c[1] for c in backend.library.calls[before:] if c[0] == "cuLaunchKernel"]


@pytest.mark.parametrize("name", NAMES)
def test_a_crossing_is_a_small_launch_between_the_sweeps(name):
    """Two sweeps, two crossings, and what is done for each tensor beside these."""
    backend, params = Simulated(), [Parameter(torch.ones(5000)), Parameter(torch.ones(3))]
    optimizer = made_of(name)(params, lr=0.1)
    for p in params:
        p.grad = torch.ones_like(p)
    for _ in range(3):
        found = launches(backend, optimizer)
    assert len(found) == 7


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5, "on_nonfinite": "skip"}], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_counts_may_be_on_the_device(name, options):
    got = trained(Simulated(), name, torch.float32, capturable=True, **options)
    expected = trained("llvm", name, torch.float32, **options)
    for a, b in zip(got, expected, strict=True):
        near = 1e-2 if a.dtype == torch.bfloat16 else 3e-5
        torch.testing.assert_close(a.double(), b.double(), rtol=near, atol=near / 100)


def test_a_recorded_step_meets_in_each_replay():
    backend, found = Simulated(), []
    for recorded in (False, True):
        optimizer, params = mixed("Prodigy", torch.float32, capturable=True)
        for p in params:
            p.grad = torch.ones_like(p)
        for _ in range(2):
            launches(backend, optimizer)
        if recorded:
            backend.library.captured = True
            launches(backend, optimizer)
            backend.library.captured = False
            for _ in range(3):
                backend.library.replay()
        else:
            for _ in range(3):
                launches(backend, optimizer)
        found.append([p.detach().clone() for p in params])
    assert all(map(torch.equal, *found))


def test_a_plan_of_such_steps_stays(monkeypatch):
    from slalom.engine import capturable

    made, update = [], capturable.update_there
    monkeypatch.setattr(capturable, "update_there", lambda *g: made.append(1) or update(*g))
    optimizer, params = mixed("Prodigy", torch.float32, clip_norm=1.0, capturable=True)
    for p in params:
        p.grad = torch.ones_like(p)
    backend = Simulated()
    for _ in range(4):
        launches(backend, optimizer)
    assert len(made) == 1


@pytest.mark.parametrize("many", [1, 5, 300])
@pytest.mark.parametrize("high", [0, 1])
def test_numbers_are_brought_together_in_the_order_that_is_said(many, high):
    numbers = np.random.default_rng(0).normal(size=many)
    for lost in (None, 0, many - 1):
        own = numbers.copy()
        if lost is not None:
            own[lost] = math.nan
        threads = [own[t::128] for t in range(128)]
        start = -math.inf if high else -0.0

        def joined(values: Any, start: float = start) -> float:
            found = start
            for value in values:
                found = (np.maximum if high else np.add)(found, value)
            return found

        every = [joined(t) for t in threads]
        said = joined([joined(every[16 * k : 16 * k + 16]) for k in range(8)])
        words = np.array([3, many, high, *(own.ctypes.data + 8 * np.arange(many))], np.int64)
        simulated.launch(meeting_kernel(HOST), [words.ctypes.data, 0], 1)
        np.testing.assert_array_equal(own, np.full(many, said))


def test_several_gpus_are_left_to_torchs_operations(monkeypatch):
    backend, other = Simulated(), Simulated()
    gpus = itertools.cycle([backend.gpu, other.gpu])
    monkeypatch.setattr(backend, "gpu_of", lambda _: next(gpus))
    optimizer, params = mixed("Prodigy", torch.float32)
    for p in params:
        p.grad = torch.ones_like(p)
    told = "Prodigy asks all tensors together, and they are on several GPUs"
    with using(backend, "foreach"), pytest.warns(UserWarning, match=told):
        optimizer.step()


WRONG = {
    "nothing told": ("store double %all, ptr addr", "store double %neutral, ptr addr"),
    "some not asked": ("i64 %m, 128", "i64 %m, 256"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_meeting_is_found(monkeypatch, what):
    made, (old, new) = members.meeting_kernel, WRONG[what]

    def bent(target):
        text = made(target)
        assert old in text
        return text.replace(old, new)

    monkeypatch.setattr(members, "meeting_kernel", bent)
    monkeypatch.setattr(work, "_kernels", work._kernels.__wrapped__)
    monkeypatch.setattr("slalom.backends.cuda.proof.LENGTHS", ((37, 0),) * 140)
    optimizer, params = mixed("Prodigy", torch.float32)
    for p in params:
        p.grad = torch.ones_like(p)
    told = "was tried on this GPU and gave another .* of prodigy"
    with using(Simulated(), "foreach"), pytest.warns(UserWarning, match=told):
        optimizer.step()


def test_what_sums_over_rows_too_is_left_to_torchs_operations():
    @rule(shapes={"along": "row"})
    def both(param, grad, along, *, lr=0.01):
        return param - lr * grad, along + total(grad, axis=1) * total(total(grad), over="group")

    param = Parameter(torch.ones(6, 5))
    param.grad = torch.ones(6, 5)
    with using(Simulated(), "foreach"):
        (row,) = slalom.explain(slalom.optimizer(both)([param])).rows
    assert row[3] == "foreach"
    assert "asks all tensors together, and sums over rows or columns" in row[4]


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_ptx_of_a_meeting_is_read_and_assembled(architecture, tmp_path):
    ptx = assembly_for(meeting_kernel(NVIDIA), NVIDIA.triple, architecture)
    names = INSTRUCTION.findall(ptx)
    assert ".local" not in ptx
    assert "call" not in names
    assert not [n for n in names if "approx" in n or n in ("add.f64", "mul.f64")]
    assert ptx.count("bar.sync") == 3
    if ptxas() is not None:
        assemble(ptxas() or "", ptx, architecture, tmp_path)
