"""Steps on a GPU that is simulated: what they compute, what they ask of the driver, what fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, example, given, settings
from standin import Library, Simulated
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.backends.cuda.devices import gpu as gpu_of
from slalom.backends.cuda.driver import FUNCTIONS, CudaDriver, CudaError, cuda
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.kernel import kernel
from slalom.backends.cuda.target import NVIDIA
from slalom.backends.refusals import Unavailable
from slalom.engine import keeping
from slalom.ir import scalars
from slalom.ir.program import is_whole, trace
from slalom.optim import states

sys.path.insert(0, str(Path(__file__).parent.parent))
from test_agreement import SHAPES, by_a_backend, rules, written

CLASSES = [
    n
    for n in slalom.optim.__all__
    if (rule := getattr(getattr(slalom.optim, n), "rule", None)) is not None
    and n != "RuleOptimizer"
    and not is_whole(rule)
]
"""Those of rules that a kernel serves."""
FEW = ("ASGD", "Adam", "Adan", "RAdam", "SGD")
LENGTHS = ((5000,), (33, 5), (), (3,), (0,))


def params(dtype: torch.dtype = torch.float32) -> list[Parameter]:
    draws = torch.Generator("cpu").manual_seed(3)
    made = (torch.randn(s, generator=draws, device="cpu") for s in LENGTHS)
    return [Parameter(t.to(dtype)) for t in made]


def grads(step: int) -> list[torch.Tensor]:
    draws = torch.Generator("cpu").manual_seed(step)
    return [torch.randn(s, generator=draws, device="cpu") for s in LENGTHS]


def trained(backend, name: str, dtype=torch.float32, steps: int = 4, **options):
    own = params(dtype)
    with using(backend):
        optimizer = getattr(slalom.optim, name)(own, lr=0.01, **options)
        for step in range(steps):
            for p, g in zip(own, grads(step), strict=True):
                p.grad = g.to(dtype)
            optimizer.step()
        assert {r[3] for r in slalom.explain(optimizer).rows} == {getattr(backend, "name", backend)}
    return [*(p.detach() for p in own), *(v for p in own for v in optimizer.state[p].values())]


def equal(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# What is computed.


@pytest.mark.parametrize("name", FEW)
def test_a_step_is_the_cpus_to_the_bit(name):
    options: dict[str, Any] = {"momentum": 0.9} if name == "SGD" else {}
    assert equal(trained("llvm", name, **options), trained(Simulated(), name, **options))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", CLASSES)
def test_every_rule_is_the_cpus_to_the_bit(name, dtype):
    assert equal(trained("llvm", name, dtype), trained(Simulated(), name, dtype))


def test_random_rounding_groups_and_mixtures_are_the_cpus_to_the_bit():
    found = []
    for backend in ("llvm", Simulated()):
        own = [*params(torch.bfloat16), *params(), *params(torch.complex64)]
        groups = [{"params": own[::2], "lr": 0.1}, {"params": own[1::2], "weight_decay": 0.1}]
        with using(backend):
            optimizer = slalom.optim.AdamW(groups, rounding="stochastic", clip_value=0.5)
            for step in range(3):
                for p, g in zip(own, 3 * grads(step), strict=True):
                    p.grad = None if step == 1 and p.dim() == 2 else g.to(p.dtype)
                optimizer.step()
        found.append([*own, *(v for p in own for v in optimizer.state[p].values())])
    assert equal(*found)


def test_gradients_of_another_layout_and_views_into_buckets():
    found = []
    for backend in ("llvm", Simulated()):
        bucket = torch.linspace(-1, 1, 7001)
        own = [Parameter(bucket[1:4097].clone().view(64, 64)), Parameter(torch.ones(4, 3, 2, 2))]
        own[1].data = own[1].data.contiguous(memory_format=torch.channels_last)
        with using(backend):
            optimizer = slalom.optim.Adam(own, lr=0.1)
            for turned in (True, False, True):
                view = bucket[3:4099].view(64, 64)
                own[0].grad = view.t() if turned else view
                own[1].grad = torch.arange(48.0).view(4, 3, 2, 2)
                optimizer.step()
        found.append(own)
    assert equal(*found)


def drawn_alike(drawn) -> bool:
    """Fails where a drawn rule differs from the CPU in a bit; False for numbers beyond measure."""
    torch.set_default_dtype(torch.float64)
    made = drawn.rule()
    assume(not is_whole(made))  # of which there are no kernels
    draws = torch.Generator().manual_seed(1)
    own = [[torch.randn(shape, generator=draws) for shape in SHAPES] for _ in range(3)]
    found = []
    for backend in ("llvm", Simulated()):
        with using(backend):
            found.append(by_a_backend(made, own, False))
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a.nan_to_num(), b.nan_to_num()), drawn.text
    return all(x is None or x.isfinite().all() for x in found[0])


@example(written(["g1", "g2"], "param - lr * (grad + g1 + g2), g2, g1", init={"g1": 1.0}))
@example(written(["m"], "param - lr * m, m + grad * (step == 2)"))
@settings(max_examples=3)
@given(rules())
def test_drawn_rules_are_the_cpus_to_the_bit(drawn):
    assume(drawn_alike(drawn))


@pytest.mark.slow
@settings(max_examples=60)
@given(rules())
def test_many_drawn_rules_are_the_cpus_to_the_bit(drawn):
    assume(drawn_alike(drawn))


SUITE = [
    "test_against_torch.py", "test_dtypes.py", "test_plan_changes.py", "test_treatment.py",
    "test_states_edited.py", "test_checkpoints.py",
]  # fmt: skip
NOT_OF_THE_CPU = (
    "not foreach and not machine_code and not second_way and not reasons and not fork "
    "and not special and not explanation and not whatever_interrupts"
)


@pytest.mark.slow
@pytest.mark.parametrize("file", SUITE)
def test_the_suite_passes_through_it(file):
    here = Path(__file__).parent
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "first", "-p", "no:cacheprovider", "-k",
        NOT_OF_THE_CPU, str(here.parent.parent / "optim" / file),
    ]  # fmt: skip
    path = os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore::UserWarning"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("capturable", [False, True])
def test_another_default_device_changes_nothing(capturable):
    """Torch's, where what is given none is made; kernels are tried there too."""
    with torch.device("meta"):
        found = trained(Simulated(), "RAdam", capturable=capturable)
    assert equal(found, trained(Simulated(), "RAdam", capturable=capturable))


# What is asked of the driver.


def stepped(backend: Simulated, optimizer, gradients=None) -> list[tuple]:
    """What one step asked of the driver, contexts and events apart."""
    before = len(backend.library.calls)
    if gradients is not None:
        for p, g in zip(optimizer.param_groups[0]["params"], gradients, strict=True):
            p.grad = g
    with using(backend):
        optimizer.step()
    work = ("cuMemcpyHtoDAsync_v2", "cuLaunchKernel")
    return [call for call in backend.library.calls[before:] if call[0] in work]


def ready(name: str, eager: bool = True, **options):
    """A backend, an optimizer that made its first step there, and gradients that stay."""
    backend, fixed = Simulated(eager), grads(0)
    optimizer = getattr(slalom.optim, name)(params(), lr=0.1, **options)
    stepped(backend, optimizer, fixed)
    return backend, optimizer, fixed


def test_a_step_is_one_launch_and_copies_only_what_changed():
    backend, sgd, fixed = ready("SGD")
    # One for tensors of every length, and one before it that tried the kernel.
    assert backend.library.names().count("cuLaunchKernel") == 2
    stepped(backend, sgd)  # its second step is another program than its first
    (launch,) = stepped(backend, sgd)
    assert launch == ("cuLaunchKernel", 2 + 1 + 1 + 1, 0)  # a block for each 4096 elements
    fresh = [g.clone() for g in fixed]
    copy, launch = stepped(backend, sgd, fresh)
    assert copy[:2] == ("cuMemcpyHtoDAsync_v2", 8 * 4 * len(fixed))  # the addresses
    sgd.param_groups[0]["lr"] = 0.05
    copy, launch = stepped(backend, sgd)
    assert copy[:2] == ("cuMemcpyHtoDAsync_v2", 8 * (2 + 1))  # the one scalar


def test_counts_change_the_row_alone():
    backend, adam, _ = ready("Adam")
    for _ in range(3):
        copy, launch = stepped(backend, adam)
        assert copy[1] < 100
        assert launch[0] == "cuLaunchKernel"


def test_copies_come_before_the_launch_and_all_on_the_current_stream():
    backend, adam, fixed = ready("Adam")
    assert backend.gpu.told == []
    backend.gpu.current = 5
    calls = stepped(backend, adam, [g.clone() for g in fixed])
    assert [c[0] for c in calls] == ["cuMemcpyHtoDAsync_v2"] * 2 + ["cuLaunchKernel"]
    assert {c[-1] for c in calls} == {5}
    assert ("cuEventRecord", 5) in backend.library.calls
    assert [stream for _, stream in backend.gpu.told] == [5, 5, 5]  # the three tables
    stepped(backend, adam)
    assert len(backend.gpu.told) == 3


def test_nobody_waits_and_nothing_is_overwritten_before_it_was_copied():
    """Ten steps that the GPU does later are what they are one by one."""
    found = []
    for eager in (True, False):
        backend, adam, _ = ready("Adam", eager)
        for k in range(10):
            adam.param_groups[0]["lr"] = 0.1 / (k + 1)
            stepped(backend, adam)
        if not eager:
            before = [p.detach().clone() for p in adam.param_groups[0]["params"]]
            assert equal(before, params())  # nothing was done yet
            taken = backend.library.names().count("cuMemHostAlloc")
            assert taken >= 11
            backend.library.finish()
            stepped(backend, adam)
            assert backend.library.names().count("cuMemHostAlloc") == taken  # used again
            backend.library.finish()
        else:
            stepped(backend, adam)
            assert backend.library.names().count("cuMemHostAlloc") == 1
        found.append(adam.param_groups[0]["params"])
    assert equal(*found)


def test_each_program_and_mixture_of_dtypes_is_a_launch():
    backend, own = Simulated(), [*params(), *params(torch.bfloat16)]
    optimizer = slalom.optim.Adam(own, lr=0.1)
    calls = stepped(backend, optimizer, [*grads(0), *(g.bfloat16() for g in grads(0))])
    assert [c[0] for c in calls].count("cuLaunchKernel") == 2 + 2  # each tried before
    assert [c[0] for c in stepped(backend, optimizer)].count("cuLaunchKernel") == 2


def test_numbers_of_the_gpus_own_stay_there(monkeypatch):
    """A late scalar that is a tensor is put into the row there, and nobody asks for its value."""
    monkeypatch.setattr(scalars, "number", lambda value: torch.tensor(float(value)))
    made = slalom.optimizer(written([], "param - lr * grad").rule())
    kept = Simulated()
    own = made(params(), clip_norm=1.0)
    stepped(kept, own, grads(0))
    monkeypatch.undo()
    plain = made(params(), clip_norm=1.0)
    with using("llvm"):
        for p, g in zip(plain.param_groups[0]["params"], grads(0), strict=True):
            p.grad = g
        plain.step()
    for a, b in zip(own.param_groups[0]["params"], plain.param_groups[0]["params"], strict=True):
        torch.testing.assert_close(a, b)


def test_a_number_after_one_of_the_gpus_is_sent_again(monkeypatch):
    """Steps whose gradients are scaled by 1, by 4 on the GPU, and by 1 again."""
    moved, there = [], [False]
    monkeypatch.setattr(scalars, "number", lambda v: torch.as_tensor(v) if there[0] else float(v))
    for late in (False, True):
        made = slalom.optimizer(written([], "param - lr * grad").rule())
        own, backend = made(params(), clip_norm=1e9), Simulated()
        for step in range(3):
            there[0] = late and step == 1
            own.grad_scale = torch.tensor(0.25) if there[0] else None
            before = own.param_groups[0]["params"][0].detach().clone()
            stepped(backend, own, grads(0))
        moved.append(own.param_groups[0]["params"][0].detach() - before)
    torch.testing.assert_close(*moved)


def test_a_table_that_stays_is_not_looked_at_again():
    backend, sgd, _ = ready("SGD")
    stepped(backend, sgd)
    for company in sgd._plan._launches[0][1]._companies:
        for work in company.works:
            work._fixed.host[:] = 0
    assert [c[0] for c in stepped(backend, sgd)] == ["cuLaunchKernel"]


def test_memory_of_a_copy_whose_event_failed_is_not_written_again():
    found, backend = torch.zeros(64, dtype=torch.uint8), Simulated(eager=False)
    with backend.gpu.driver.current():
        backend.gpu.upload(found.data_ptr(), b"0" * 64, 0)
        backend.library.finish()
        backend.library.fails["cuEventRecord"] = 1
        with pytest.raises(CudaError):
            backend.gpu.upload(found.data_ptr(), b"1" * 64, 0)
        backend.library.fails.clear()
        other = torch.zeros(64, dtype=torch.uint8)
        backend.gpu.upload(other.data_ptr(), b"2" * 64, 0)
        backend.library.finish()
    assert bytes(found.tolist()) == b"1" * 64


def test_a_graph_is_refused_before_anything_is_changed(monkeypatch):
    backend, adam, _ = ready("Adam")
    before = [p.detach().clone() for p in adam.param_groups[0]["params"]]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="made without capturable=True"):
        stepped(backend, adam)
    assert equal(before, adam.param_groups[0]["params"])
    monkeypatch.undo()
    assert stepped(backend, adam)


# What fails.

IN_A_STEP = (
    "cuMemcpyHtoDAsync_v2",
    "cuEventRecord",
    "cuEventQuery",
    "cuLaunchKernel",
    "cuMemHostAlloc",
)


@pytest.mark.parametrize("function", IN_A_STEP)
def test_a_call_that_fails_is_told_and_the_next_step_is_right(function):
    backend, adam, _ = ready("Adam", eager=function != "cuMemHostAlloc")
    before = [p.detach().clone() for p in adam.param_groups[0]["params"]]
    backend.library.fails[function] = 2
    told = rf"{function} failed with CUDA_ERROR_2 \(2\): what error 2 means; nothing was updated"
    with pytest.raises(CudaError, match=told):
        stepped(backend, adam)
    assert equal(before, adam.param_groups[0]["params"])
    assert {float(s["step"]) for s in adam.state.values()} == {1.0}
    backend.library.fails.clear()
    stepped(backend, adam)
    backend.library.finish()
    other = ready("Adam")
    stepped(other[0], other[1])
    assert equal(adam.param_groups[0]["params"], other[1].param_groups[0]["params"])


@pytest.mark.parametrize("code", [700, 719, 214, 220])
@pytest.mark.parametrize("function", ["cuLaunchKernel", "cuEventQuery", "cuCtxPushCurrent_v2"])
def test_failed_work_on_the_gpu_is_told_as_what_it_is(function, code):
    backend, adam, _ = ready("Adam")
    backend.library.fails[function] = code
    told = r"earlier work on the GPU failed: .*not to be trusted.*load the last checkpoint"
    with pytest.raises(CudaError, match=told):
        stepped(backend, adam)


def test_a_launch_that_fails_half_way_is_told():
    backend, own = Simulated(), [*params(), *params(torch.bfloat16)]
    optimizer = slalom.optim.SGD(own, lr=0.1)
    every = [*grads(0), *(g.bfloat16() for g in grads(0))]
    stepped(backend, optimizer, every)
    launches = []
    library: Any = backend.library
    real = library.cuLaunchKernel

    def second_fails(*given):
        launches.append(given)
        return 1 if len(launches) == 2 else real(*given)

    library.cuLaunchKernel = second_fails
    with pytest.raises(
        CudaError, match="some parameters were updated and others not: load the last"
    ):
        stepped(backend, optimizer)


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("what", ["a state", "a table"])
def test_memory_that_runs_out_leaves_all_as_it_was(monkeypatch, what, capturable):
    backend = Simulated()
    trained(backend, "Adam", steps=1, capturable=capturable)  # the kernel is known
    expected = trained(backend, "Adam", capturable=capturable)
    own = params()
    optimizer = slalom.optim.Adam(own, lr=0.01, capturable=capturable)
    left = [3]

    def scarce(*given, real):
        left[0] -= 1
        if left[0] < 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*given)

    with monkeypatch.context() as patch:
        if what == "a table":
            left[0] = 0
            patch.setattr(backend.gpu, "empty", partial(scarce, real=backend.gpu.empty))
        if what == "a state":
            made = [(keeping, "begun"), (states, "begun")]
            for module, name in [*made, *([] if capturable else [(torch, "zeros_like")])]:
                patch.setattr(module, name, partial(scarce, real=getattr(module, name)))
        with pytest.raises(torch.OutOfMemoryError):
            stepped(backend, optimizer, grads(0))
    assert equal(own, params())
    assert {float(s["step"]) for s in optimizer.state.values()} <= {0.0}
    assert not optimizer.state or (capturable and what == "a table")
    for step in range(4):
        stepped(backend, optimizer, grads(step))
    assert equal(expected[: len(own)], own)


def test_an_error_that_the_driver_has_no_words_for():
    backend, adam, _ = ready("Adam")
    backend.library.fails["cuLaunchKernel"] = 12345
    backend.library.unknown.add(12345)
    with pytest.raises(CudaError, match=r"failed with error 12345 \(12345\): error 12345"):
        stepped(backend, adam)


@pytest.mark.parametrize(
    "function", ["cuModuleLoadDataEx", "cuModuleGetFunction", "cuCtxPushCurrent_v2"]
)
def test_where_a_kernel_cannot_be_loaded_the_next_backend_serves(function):
    backend = Simulated()
    backend.library.fails[function] = 222
    adam = slalom.optim.Adam(params(), lr=0.1)
    for p, g in zip(adam.param_groups[0]["params"], grads(0), strict=True):
        p.grad = g
    with using(backend, "foreach"), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        adam.step()
        assert slalom.explain(adam).rows[0][3] == "foreach"
    said = str(told[0].message)
    assert "cannot be loaded" in said
    assert ("its compiler says: ptxas says no" in said) == (function == "cuModuleLoadDataEx")


def test_every_function_of_the_driver_is_asked_for_with_its_types():
    library = Simulated().library
    assert {n for n in dir(library) if n.startswith("cu")} == set(FUNCTIONS)


# What a real GPU would be given.


def test_code_is_made_for_the_gpu_and_kept_on_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("SLALOM_CACHE", str(tmp_path))
    rule = slalom.rules.RULES["adam"]
    program = trace(rule, rule.hypers)
    arrays = tuple((n, "float") for n in ("param", "grad", *program.live_state))
    text = kernel([program], arrays, NVIDIA)

    def gpu(architecture: str) -> Gpu:
        return Gpu(CudaDriver(Simulated().library, 0), torch.device("cpu"), architecture)

    made = gpu("sm_90").image(text)
    assert b".target sm_90" in made
    assert b".visible .entry update(" in made
    assert len(list(tmp_path.glob("*.o"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr("slalom.backends.cuda.gpu.assembly_for", None)
        assert gpu("sm_90").image(text) == made
    assert gpu("sm_80").image(text) != made
    assert len(list(tmp_path.glob("*.o"))) == 2


@pytest.mark.parametrize(
    ("capability", "architecture"), [((8, 6), "sm_80"), ((9, 0), "sm_90"), ((12, 0), "sm_100")]
)
def test_the_architecture_is_the_latest_that_the_gpu_runs(monkeypatch, capability, architecture):
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr("slalom.backends.cuda.devices.cuda", Library)
    assert gpu_of.__wrapped__(1).architecture == architecture


def test_a_gpu_that_is_too_old(monkeypatch):
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.raises(Unavailable, match=r"capability is 7\.5, and kernels are made from 8\.0"):
        gpu_of.__wrapped__(0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_there_is_no_driver_here():
    with pytest.raises(Unavailable, match="the driver of CUDA cannot be loaded"):
        cuda()


def test_several_threads_copy_each_its_own():
    """Steps of several threads on one GPU, which copies late, do not meet in pinned memory."""
    found = []
    for many in (False, True):
        backend = Simulated(eager=False)
        memory = [torch.zeros(512, dtype=torch.uint8) for _ in range(8)]
        library: Any = backend.library
        at_once = library.cuMemcpyHtoDAsync_v2

        def slowly(*given, at_once=at_once):
            time.sleep(0.001)  # another thread's turn
            return at_once(*given)

        library.cuMemcpyHtoDAsync_v2 = slowly

        def upload(k, backend=backend, memory=memory):
            for turn in range(20):
                with backend.gpu.driver.current():
                    content = bytes([k * 20 + turn]) * 512
                    backend.gpu.upload(memory[k].data_ptr(), content, stream=k)

        if many:
            threads = [threading.Thread(target=upload, args=(k,)) for k in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        else:
            for k in range(8):
                upload(k)
        backend.library.finish()
        found.append([m.clone() for m in memory])
    assert equal(*found)
