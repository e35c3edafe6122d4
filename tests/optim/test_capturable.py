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
from slalom.backends.rounding import noise_of, noises_of
from slalom.engine import keeping
from slalom.ir.program import is_whole
from slalom.rules import highest, total

sys.path.insert(0, str(Path(__file__).parent.parent / "backends" / "cuda"))
from standin import HipLibrary, Library, Simulated  # pyright: ignore[reportMissingImports]

CLASSES = [n for n in slalom.optim.__all__ if hasattr(getattr(slalom.optim, n), "rule")]
SQUARE = [n for n in CLASSES if getattr(slalom.optim, n).rule.squares]
SERVED = [n for n in CLASSES if n not in SQUARE]
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


@pytest.mark.parametrize("name", SQUARE)
def test_what_decomposes_matrices_is_refused(name, torchs_products):
    """But not a plain step that may be skipped, which waits for the answer."""
    with pytest.raises(RuntimeError, match="keeps square matrices, which capturable=True does not"):
        trained(Recordable(), name, capturable=True)
    got, _ = trained(Recordable(), name, on_nonfinite="skip")
    expected, _ = trained("llvm", name)
    torch.testing.assert_close(got, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", SERVED)
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


PLAIN = [("AdamW", False), ("SGD", False)]
"""Whose step may be skipped, so that they too ask nothing."""


@pytest.mark.parametrize(("name", "capturable"), [*((n, True) for n in SERVED), *PLAIN])
def test_nothing_is_asked_of_the_device(name, capturable):
    """On pretended CUDA tensors reading a number raises, and so does meeting one of the CPU."""
    with FakeTensorMode():
        params = [
            Parameter(torch.empty(4, 3, device="cuda")),
            Parameter(torch.empty(3, device="cuda", dtype=torch.bfloat16)),
        ]
        optimizer = getattr(slalom.optim, name)(
            params, lr=0.01, capturable=capturable, clip_norm=1.0, on_nonfinite="skip"
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


def test_what_asks_all_tensors_or_those_of_a_group():
    """Groups of rates of their own, a step that is skipped, and a tensor that misses one."""

    @slalom.rule(shapes={"kept": "one"})
    def shared(param, grad, kept, *, step, first, lr=0.1):
        kept = kept + total(grad, over="group") + highest(kept, "optimizer")
        return param - lr * kept / (1 + step) * (2 if first else 1) * grad, kept

    found = []
    for backend in ("llvm", Recordable()):
        params = [Parameter(torch.linspace(-1, k + 1, 5)) for k in range(4)]
        groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.2}]
        with using(backend, "foreach"):
            optimizer = slalom.optimizer(shared)(groups, capturable=True, on_nonfinite="skip")
            for step in range(5):
                for k, p in enumerate(params):
                    p.grad = torch.linspace(k, step, 5)
                params[1].grad = None if step == 3 else params[1].grad
                if step == 2:
                    params[0].grad[1] = math.nan
                optimizer.step()
        found.append([*params, *(optimizer.state[p]["kept"] for p in params)])
    torch.testing.assert_close(*found)


def test_groups_that_ask_other_things_are_refused_before_anything_is_changed():
    params = [Parameter(torch.ones(3)) for _ in range(2)]
    for p in params:
        p.grad = torch.ones(3)
    groups = [{"params": params[:1]}, {"params": params[1:], "several": True}]

    @slalom.rule
    def by_choice(param, grad, *, lr=0.1, several=False):
        length = total(grad, over="optimizer")
        return param - lr * (length + (highest(length * 2, "group") if several else 0)) * grad

    optimizer = slalom.optimizer(by_choice)(groups, capturable=True)
    with using(Recordable(), "foreach"), pytest.raises(RuntimeError, match="asks different things"):
        optimizer.step()
    assert torch.equal(params[0], torch.ones(3))


@pytest.mark.parametrize("backend", [Recordable(), Simulated()])
def test_rounding_by_chance_draws_what_it_draws_of_counts_of_the_host(backend):
    options: dict[str, Any] = {"rounding": "stochastic", "rounding_seed": 7}
    got, own = trained(backend, "Adam", dtype=torch.bfloat16, capturable=True, **options)
    expected, _ = trained("llvm", "Adam", dtype=torch.bfloat16, **options)
    same = [torch.equal(a, b) for a, b in zip(got, expected, strict=True)]
    if isinstance(backend, Simulated):
        assert all(same)
    for a, b in zip(got, expected, strict=True):  # another rounding before it moves few of them
        assert a.numel() == 0 or (a == b).float().mean() > 0.9
    assert [float(s["step"]) for s in own] == [7, 6, 7, 7, 7]


def test_random_bits_of_a_device_are_those_of_the_host():
    for seed, step, place in ((0, 0, 0), (7, 3, 1), (2**40 + 1, 123456, 999)):
        there = noises_of(seed, torch.tensor([step] * 2).double(), torch.tensor([place, 0]))
        assert there.tolist() == [noise_of(seed, step, place), noise_of(seed, step, 0)]


KEPT: list[dict[str, Any]] = [
    {"state_dtype": "bfloat16"},
    {"state_dtype": "8bit"},
    {"state_dtype": "8bit", "rounding": "stochastic"},
    {"remainder": "exact", "dtype": torch.bfloat16},
    {"remainder": "kahan", "dtype": torch.float16, "state_dtype": {"exp_avg": "bfloat16"}},
]


@pytest.mark.parametrize("options", KEPT, ids=str)
def test_what_is_kept_in_fewer_bits(options, monkeypatch):
    """As by torch's operations in a plain step, and a skipped one leaves every bit as it was."""
    monkeypatch.setattr(keeping, "LEAST", 1)
    got, own = trained(Recordable(), "Adam", capturable=True, **options)
    expected, plain = trained("foreach", "Adam", **options)
    assert [s.keys() for s in own] == [s.keys() for s in plain]
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype
        if a.dtype == torch.int16 or not a.numel():
            continue
        # a code may be the one beside it, and what rounding lost be lost of the other neighbour
        near = 2e-5 if a.dtype == torch.float32 else 2 * torch.finfo(torch.bfloat16).eps
        off = (a.double() - b.double()).abs() / (near + near * b.double().abs())
        off = (a.int() - b.int()).abs() if a.dtype in (torch.int8, torch.uint8) else off
        assert (off <= 1).float().mean() > 0.97, off.max()

    options = {k: v for k, v in options.items() if k != "dtype"}
    param, optimizer, step = one(Recordable(), **options)
    param.data = param.data.to(torch.bfloat16 if "remainder" in options else torch.float32)
    step(torch.linspace(-1, 2, 9).to(param.dtype))
    kept = {"param": param, **optimizer.state[param]}
    before = {n: t.detach().clone() for n, t in kept.items()}
    optimizer.found_inf = torch.ones(1)
    step(torch.ones(9).to(param.dtype))
    assert all(torch.equal(t, before[n]) for n, t in kept.items())


def test_states_change_their_form_when_a_checkpoint_is_of_another(monkeypatch):
    monkeypatch.setattr(keeping, "LEAST", 1)
    _, eight, step = one(Recordable(), state_dtype="8bit")
    step(torch.ones(9))
    param, wide, step = one(Recordable())
    wide.load_state_dict(eight.state_dict())
    assert wide.state[param]["exp_avg"].dtype == torch.int8
    step(torch.ones(9))
    assert wide.state[param]["exp_avg"].dtype == torch.float32
    assert "exp_avg_scale" not in wide.state[param]
    torch.testing.assert_close(wide.state[param]["exp_avg"], torch.full((9,), 0.19))


def test_a_decay_that_follows_a_rate_of_the_device(monkeypatch):
    rates, found = (0.1, 0.05, 0.2, 0.0), []
    there = torch.tensor(0.1)
    for backend in ("llvm", Recordable()):
        param = Parameter(torch.ones(3))
        optimizer = slalom.optim.SGD([param], 0.1, capturable=True, independent_weight_decay=0.5)
        if backend != "llvm":  # of tensors of the CPU, which stands for a device, it asks as ever
            optimizer.param_groups[0]["lr"] = there
            monkeypatch.setattr("slalom.engine.treatment.on_host", lambda _: False)
        for rate in rates:
            there.fill_(rate)
            if backend == "llvm":
                optimizer.param_groups[0]["lr"] = rate
            param.grad = torch.ones(3)
            with using(backend, "foreach"):
                optimizer.step()
        found.append(param.detach())
    torch.testing.assert_close(*found)


def one(backend, **options):
    param = Parameter(torch.linspace(-1, 1, 9))
    optimizer = slalom.optim.Adam([param], lr=0.1, **{"capturable": True, **options})

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


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("backend", [Recordable(), Simulated()])
def test_gradients_that_are_not_finite_are_skipped_there(backend, capturable):
    how: Any = {"on_nonfinite": "skip", "clip_norm": 1.0, "capturable": capturable}
    param, optimizer, step = one(backend, **how)
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


def test_plain_steps_ask_nothing_where_they_need_an_answer(monkeypatch):
    """Of a scaler, of gradients, of a rate; and go on where an earlier one counted on the host."""
    refused = "a step asked the device"

    def item(self):
        raise AssertionError(refused)

    backend = Recordable()
    for ask in ("found_inf", "on_nonfinite", "lr"):
        how = {"on_nonfinite": "skip"} if ask == "on_nonfinite" else {}
        param, optimizer, step = one(backend, capturable=False, **how)
        if ask == "found_inf":
            step(torch.ones(9))
            optimizer.found_inf, optimizer.grad_scale = torch.zeros(1), torch.ones(())
        if ask == "lr":
            optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
        with monkeypatch.context() as patch:
            for name in ("item", "__float__", "__bool__", "__int__", "tolist"):
                patch.setattr(torch.Tensor, name, item)
            step(torch.ones(9))
        step(torch.ones(9))
        other, ordinary, _ = one("llvm", capturable=False)
        for _ in range(3 if ask == "found_inf" else 2):
            other.grad = torch.ones(9)
            ordinary.step()
        torch.testing.assert_close(param, other)
        assert optimizer.state[param]["step"] == ordinary.state[other]["step"]


def test_what_needs_an_answer_is_refused_before_anything_is_changed():
    param, optimizer, step = one(Recordable(), on_nonfinite="raise")
    with pytest.raises(ValueError, match="use on_nonfinite='skip'"):
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
    for _ in range(2):
        step(torch.ones(9))
    read, copy = [], backend.gpu.driver.copy

    def seen(to: int, source: int, size: int, stream: int) -> None:
        read.append(source)
        copy(to, source, size, stream)

    backend.gpu.driver.copy = seen
    grads = [torch.ones(9), torch.ones(9)]
    for captured, k in ((True, 0), (True, 1), (False, 0), (True, 0), (False, 1)):
        backend.library.captured = captured
        step(grads[k])
    once, again, plain, third, other = read
    assert plain == other
    assert len({once, again, plain, third}) == 4


def test_memory_of_graphs_that_are_gone_is_taken_again():
    """Of 10,000 graphs that end, and of 20 that are all kept."""
    for kept, many in ((False, 10_000), (True, 20)):
        backend = Simulated()
        memory = torch.zeros(5000, dtype=torch.uint8)
        backend.library.captured = True
        backend.gpu.capturing = lambda: True
        with backend.gpu.driver.current():
            for k in range(many):
                content = k.to_bytes(4, "little") * (1000 + k % 2)
                backend.gpu.upload_recorded(memory.data_ptr(), content, 0)
                if not kept:
                    if not k % 100:
                        backend.library.replay()
                        assert bytes(memory[: len(content)].tolist()) == content
                    backend.library.drop()
                backend.library.calls.clear()
        assert len(backend.gpu._recorded) == (many if kept else 1)


def test_another_thread_may_copy_while_a_graph_is_recorded():
    """Of a capture in the global mode, as that of ``torch.cuda.graph``."""
    backend = Simulated()
    memory = torch.zeros(64, dtype=torch.uint8)
    backend.library.captured = True
    with backend.gpu.driver.current():
        for content in (b"1" * 64, b"2" * 64):
            backend.gpu.upload(memory.data_ptr(), content, 0)
            assert bytes(memory.tolist()) == content
    with pytest.raises(CudaError), backend.gpu.driver.current():
        backend.gpu.driver.pinned(64)  # what is not relaxed would end it


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
    if isinstance(backend, Simulated):  # where nothing is done meanwhile
        backend.library.replay()
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
