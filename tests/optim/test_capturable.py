"""``capturable=True``: counts and rates on the device, nothing asked of it, the same numbers."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.backends.base import Backend
from slalom.backends.cuda.driver import CudaError
from slalom.backends.foreach import Foreach
from slalom.backends.foreach.part import Part
from slalom.backends.general import square_sum
from slalom.ir.program import crosses, is_whole

sys.path.insert(0, str(Path(__file__).parent.parent / "backends" / "cuda"))
from standin import HipLibrary, Library, Simulated  # pyright: ignore[reportMissingImports]

CLASSES = [n for n in slalom.optim.__all__ if hasattr(getattr(slalom.optim, n), "rule")]
ALONE = [n for n in CLASSES if not crosses(getattr(slalom.optim, n).rule)]
"""Those that ask no other tensors."""

SHAPES = ((5000,), (33, 5), (), (3,), (0,))


class Recordable(Foreach):
    """Torch's operations on a device whose work can be recorded, which the CPU stands for."""

    name, device, captures = "recordable", "cpu", True


def trained(backend, name: str, steps: int = 7, dtype=torch.float32, **options):
    """Parameters and states after some steps, one parameter having no gradient in one of them."""
    draws = torch.Generator().manual_seed(2)
    params = [Parameter(torch.randn(s, generator=draws).to(dtype)) for s in SHAPES]
    with using(backend, "foreach"):
        optimizer = getattr(slalom.optim, name)(params, lr=0.01, **options)
        for step in range(steps):
            for p in params:
                grad = torch.randn(p.shape, generator=draws).to(dtype)
                p.grad = None if step == 2 and p.dim() == 2 else grad
            optimizer.step()
    own = [optimizer.state[p] for p in params]
    kept = [torch.as_tensor(s[n]) for s in own for n in sorted(s) if n != "step"]
    return [*(p.detach() for p in params), *kept], own


@pytest.mark.parametrize("name", ALONE)
def test_every_rule_by_torchs_operations(name):
    """RAdam's branches, Adan's first step and ASGD's are chosen where the counts are."""
    multiplies = "ns_dtype" in getattr(slalom.optim, name).rule.hypers
    # bfloat16 would round coarsely
    options: dict[str, Any] = {"ns_dtype": "float32"} if multiplies else {}
    got, own = trained(Recordable(), name, capturable=True, **options)
    expected, _ = trained("llvm", name, **options)
    torch.testing.assert_close(got, expected, rtol=2e-5, atol=2e-7)
    assert [float(s["step"]) for s in own] == [7, 6, 7, 7, 7]


@pytest.mark.parametrize("name", ["RAdam", "Adan", "SGD", "NAdam"])
def test_a_few_rules_by_kernels_to_the_bit(name):
    options: dict[str, Any] = {"momentum": 0.9} if name == "SGD" else {}
    got, own = trained(Simulated(), name, capturable=True, **options)
    assert all(map(torch.equal, got, trained("llvm", name, **options)[0]))
    assert all(s["step"].device.type == "cpu" for s in own)  # where the parameters are


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.complex64])
@pytest.mark.parametrize("name", CLASSES)
def test_every_rule_by_kernels(name, dtype):
    if dtype == torch.complex64 and name in ("ASGD", "ScheduleFreeAdamW", "ScheduleFreeSGD"):
        pytest.skip("the longest, and no other in kind")
    if is_whole(getattr(slalom.optim, name).rule):
        pytest.skip("no kernel serves it")
    got, _ = trained(Simulated(), name, dtype=dtype, capturable=True)
    tight = 1e-12 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(got, trained("llvm", name, dtype=dtype)[0], rtol=tight, atol=tight)


def test_where_nothing_is_recorded_it_changes_nothing():
    got, _ = trained("llvm", "Adam", capturable=True)
    assert all(map(torch.equal, got, trained("llvm", "Adam")[0]))


@pytest.mark.parametrize("name", ALONE)
def test_nothing_is_asked_of_the_device(name):
    """On pretended CUDA tensors reading a number raises, and so does meeting one of the CPU."""
    with FakeTensorMode():
        params = [
            Parameter(torch.empty(4, 3, device="cuda")),
            Parameter(torch.empty(3, device="cuda", dtype=torch.bfloat16)),
        ]
        optimizer = getattr(slalom.optim, name)(
            params, lr=0.01, capturable=True, clip_norm=1.0, on_nonfinite="skip"
        )
        optimizer.param_groups[0]["lr"] = torch.empty((), device="cuda")
        optimizer.found_inf = torch.zeros(1, device="cuda")
        optimizer.grad_scale = torch.ones((), device="cuda")
        for p in params:
            p.grad = torch.empty_like(p)
        for _ in range(2):
            optimizer.step()
        for p in params:
            assert {v.device.type for v in optimizer.state[p].values()} == {"cuda"}
        with pytest.raises((DataDependentOutputException, RuntimeError)):
            float(optimizer.state[params[0]]["step"])  # what is asked is noticed


def test_what_asks_all_tensors_is_refused_before_anything_is_changed():
    with using(Recordable(), "foreach"):
        param = Parameter(torch.ones(3))
        param.grad = torch.ones(3)
        optimizer = slalom.optim.Prodigy([param], capturable=True)
        with pytest.raises(RuntimeError, match="Prodigy asks all tensors together"):
            optimizer.step()
        assert torch.equal(param, torch.ones(3))
        assert not optimizer.state


def one(backend, **options):
    param = Parameter(torch.linspace(-1, 1, 9))
    optimizer = slalom.optim.Adam([param], lr=0.1, capturable=True, **options)

    def step(grad: torch.Tensor) -> None:
        param.grad = grad
        with using(backend, "foreach"):
            optimizer.step()

    return param, optimizer, step


@pytest.mark.parametrize("backend", [Recordable(), Simulated()])
def test_a_rate_on_the_device_is_read_in_every_step(backend):
    param, optimizer, step = one(backend)
    lr = optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    other, ordinary, _ = one("llvm")
    for rate in (0.1, 0.01, 0.5):
        lr.fill_(rate)
        ordinary.param_groups[0]["lr"] = lr.item()
        step(torch.ones(9))
        other.grad = torch.ones(9)
        ordinary.step()
    torch.testing.assert_close(param, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("backend", [Recordable(), Simulated()])
def test_a_step_that_is_skipped_does_not_count(backend):
    param, optimizer, step = one(backend)
    step(torch.ones(9))
    before, state = (
        param.detach().clone(),
        {k: v.clone() for k, v in optimizer.state[param].items()},
    )
    optimizer.found_inf, optimizer.grad_scale = torch.ones(1), torch.tensor(4.0)
    step(torch.ones(9))
    assert torch.equal(param, before)
    assert all(torch.equal(v, state[k]) for k, v in optimizer.state[param].items())
    optimizer.found_inf.zero_()
    step(4 * torch.ones(9))
    other, ordinary, _ = one("llvm")
    for _ in range(2):
        other.grad = torch.ones(9)
        ordinary.step()
    torch.testing.assert_close(param, other)


@pytest.mark.parametrize("backend", [Recordable(), Simulated()])
def test_gradients_that_are_not_finite_are_skipped_there(backend):
    param, optimizer, step = one(backend, on_nonfinite="skip", clip_norm=1.0)
    step(torch.ones(9))
    before = param.detach().clone()
    step(torch.full((9,), math.inf))
    assert torch.equal(param, before)
    assert float(optimizer.state[param]["step"]) == 1
    step(5 * torch.ones(9))
    other = Parameter(torch.linspace(-1, 1, 9))
    theirs = torch.optim.Adam([other], lr=0.1)
    for factor in (1, 5):
        other.grad = factor * torch.ones(9)
        torch.nn.utils.clip_grad_norm_([other], 1.0)
        theirs.step()
    torch.testing.assert_close(param, other)


def test_what_needs_an_answer_is_refused_before_anything_is_changed():
    for options, told in (
        ({"on_nonfinite": "raise"}, "use on_nonfinite='skip'"),
        ({"rounding": "stochastic"}, "rounding='stochastic' is not served"),
    ):
        param, optimizer, step = one(Recordable(), **options)
        with pytest.raises(ValueError, match=told):
            step(torch.ones(9))
        assert not optimizer.state[param]
        assert torch.equal(param, torch.linspace(-1, 1, 9))
    param, optimizer, step = one(Recordable())
    with pytest.raises(RuntimeError, match="sparse"):
        step(torch.ones(9).to_sparse())


@pytest.mark.parametrize("library", [Library, HipLibrary])
def test_every_recorded_copy_has_memory_that_nothing_else_writes(library):
    """One graph may hold several steps, and several graphs may follow on the same first steps."""
    backend = Simulated(library=library)
    _, _, step = one(backend)
    backend.library.captured = True
    with pytest.raises(RuntimeError, match="make a few steps with the same parameters first"):
        step(torch.ones(9))
    backend.library.captured = False
    step(torch.ones(9))
    read, copy = [], backend.gpu.driver.copy

    def seen(to: int, source: int, size: int, stream: int) -> None:
        read.append(source)
        copy(to, source, size, stream)

    backend.gpu.driver.copy = seen
    for captured in (True, True, False, True, False):
        backend.library.captured = captured
        step(torch.ones(9))
    once, again, plain, third, other = read
    assert plain == other
    assert len({once, again, third, plain}) == 4


@pytest.mark.parametrize("backend", [Recordable(), Simulated()])
def test_what_every_replay_would_make_anew_is_not_recorded(backend, monkeypatch):
    param, optimizer, step = one(backend)
    one(backend)[2](torch.ones(9))  # the kernel is known, and yet there are no states

    def recorded(now: bool) -> None:
        backend_library = getattr(backend, "library", None)
        if backend_library is not None:
            backend_library.captured = now
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: now)
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: now)

    recorded(True)
    with pytest.raises(RuntimeError, match="make a few steps with the same parameters first"):
        step(torch.ones(9))
    assert not optimizer.state[param]
    recorded(False)
    step(torch.ones(9))
    recorded(True)
    step(torch.ones(9))
    assert float(optimizer.state[param]["step"]) == 2


def test_several_gpus_and_scalars_of_another_one():
    with FakeTensorMode():
        params = [Parameter(torch.empty(4, 3, device=f"cuda:{k}")) for k in (0, 1, 1)]
        optimizer = slalom.optim.Adam(
            params, lr=0.01, capturable=True, clip_norm=1.0, on_nonfinite="skip"
        )
        optimizer.param_groups[0]["lr"] = torch.empty((), device="cuda:1")
        optimizer.found_inf = torch.zeros(1, device="cuda:1")
        optimizer.grad_scale = torch.ones((), device="cuda:1")
        for p in params:
            p.grad = torch.empty_like(p)
        for _ in range(2):
            optimizer.step()
        for p in params:
            assert {v.device for v in optimizer.state[p].values()} == {p.device}


def test_sums_and_scalars_of_several_gpus_meet_on_one():
    """Of plain steps by torch's operations, which pretended tensors cannot make whole."""
    with FakeTensorMode():
        grads = [torch.empty(3, device=f"cuda:{k}") for k in (1, 0)]
        total = square_sum(grads)
        assert isinstance(total, torch.Tensor)
        assert total.device == torch.device("cuda", 1)
        row = SimpleNamespace(values=[2.0, total])
        part: Any = SimpleNamespace(device=grads[1].device, row=row)
        number, scale = Part.values(part)
        assert (number, scale.device) == (2.0, torch.device("cuda", 0))


@pytest.mark.parametrize("backend", [Recordable(), Simulated()])
def test_what_shares_memory_is_updated_one_after_the_other(backend):
    memory = torch.linspace(-1, 1, 9)
    params = [Parameter(memory), Parameter(memory[2:7]), Parameter(torch.ones(9))]
    optimizer = slalom.optim.SGD(params, lr=0.1, capturable=True)
    for p in params[:2]:
        p.grad = torch.ones_like(p)
    params[2].grad = memory  # which the first two write
    expected = memory.clone() - 0.1
    expected[2:7] -= 0.1
    with using(backend, "foreach"):
        optimizer.step()
    torch.testing.assert_close(params[0].detach(), expected)
    torch.testing.assert_close(params[2].detach(), 1 - 0.1 * expected)  # as torch's loop


def test_a_launch_that_fails_says_what_that_means():
    backend = Simulated()
    param, optimizer, step = one(backend)
    step(torch.ones(9))
    backend.library.fails["cuLaunchKernel"] = 1
    told = "some parameters may have been updated and others not: load the last checkpoint"
    with pytest.raises(CudaError, match=told):
        step(torch.ones(9))
    assert float(optimizer.state[param]["step"]) == 1


def test_checkpoints_go_both_ways_and_groups_are_torchs():
    param, optimizer, step = one(Recordable())
    step(torch.ones(9))
    theirs = torch.optim.Adam([param], capturable=True)
    assert optimizer.param_groups[0].keys() == theirs.param_groups[0].keys()
    saved = optimizer.state_dict()
    again = slalom.optim.Adam([param], lr=0.1)
    again.load_state_dict(saved)
    assert again.param_groups[0]["capturable"]
    assert "capturable" not in slalom.optim.SGD([param]).param_groups[0]
    assert slalom.optim.SGD([param], capturable=True).param_groups[0]["capturable"]


def test_a_backend_that_knows_of_no_recorded_steps_hands_them_over():
    class Silent(Recordable):
        run_rows = Backend.run_rows

    with pytest.warns(UserWarning, match="makes no steps whose scalars lie on the device"):
        got, _ = trained(Silent(), "Adam", capturable=True)
    expected, _ = trained(Recordable(), "Adam", capturable=True)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
