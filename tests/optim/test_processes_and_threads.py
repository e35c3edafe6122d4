"""Steps after forks, beside other processes and threads, and as torch's threads come and go."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import Parameter

import served
import slalom
import slalom.backends
from reference import distance
from slalom.backends.llvm.launch import HELD

RULES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0.9, "dampening": 0.3}), ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adam", {"amsgrad": True}), ("NAdam", {}),
]  # fmt: skip

LARGE = 300_000
"""Elements of a step that runs on all threads."""


def made(seed: int, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, generator=generator, dtype=dtype)


def walk(optimizer, param, steps: range) -> Tensor:
    for i in steps:
        param.grad = made(i, param.numel(), param.dtype)
        optimizer.step()
    return param.detach().clone()


def in_a_fork(work) -> None:
    """Run ``work`` in a forked child; fails if it fails there or does not return."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the step does not return in a forked process")
    assert os.waitstatus_to_exitcode(ended[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_forked_process_steps_on_and_so_does_its_parent(clip):
    """Although the parent has used torch's threads, of which the child has none.

    Each tensor is small enough for torch's own operations to stay on one thread; all together
    are large enough for the step not to.
    """
    torch.set_num_threads(2)

    def trained(make) -> tuple[Any, list[Parameter]]:
        params = [Parameter(made(i, 20_000, torch.float32)) for i in range(10)]
        return make(params, lr=0.01, clip_norm=clip), params

    def steps(optimizer, params, at: range) -> list[list[float]]:
        for i in at:
            for k, p in enumerate(params):
                p.grad = made(100 * i + k, p.numel(), p.dtype)
            optimizer.step()
        return [p.tolist() for p in params]

    running, alone = trained(slalom.optim.Adam), trained(slalom.optim.Adam)
    steps(*running, range(3))
    expected = steps(*alone, range(5))
    fresh = steps(*trained(slalom.optim.RMSprop), range(2))

    def work() -> None:
        assert steps(*running, range(3, 5)) == expected
        assert steps(*trained(slalom.optim.RMSprop), range(2)) == fresh
        in_a_fork(lambda: steps(*running, range(2)))

    in_a_fork(work)
    assert steps(*running, range(3, 5)) == expected


def worker(seed: int, results) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = nn.Linear(5, 3)
    optimizer = slalom.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(10):
        optimizer.zero_grad()
        net(torch.randn(4, 5)).square().sum().backward()
        optimizer.step()
    results.put((seed, [p.tolist() for p in net.parameters()]))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_that_train_beside_each_other(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    context = multiprocessing.get_context(method)
    results = context.Queue()
    children = [context.Process(target=worker, args=(seed, results)) for seed in range(3)]
    for child in children:
        child.start()
    got = dict(results.get(timeout=60) for _ in children)
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    for seed in range(3):
        alone = multiprocessing.get_context().SimpleQueue()
        worker(seed, alone)
        assert alone.get() == (seed, got[seed])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_with_workers_of_a_data_loader_alive():
    torch.set_num_threads(2)
    data = torch.utils.data.TensorDataset(made(0, 96, torch.float32).view(24, 4))
    ends = []
    for workers in (0, 2):
        torch.manual_seed(1)
        loader = torch.utils.data.DataLoader(
            data, batch_size=4, num_workers=workers, persistent_workers=workers > 0
        )
        net = nn.Sequential(nn.Linear(4, 512), nn.Linear(512, 512))
        optimizer = slalom.optim.AdamW(net.parameters(), lr=0.01)
        for _ in range(2):
            for (batch,) in loader:
                optimizer.zero_grad()
                net(batch).square().mean().backward()
                optimizer.step()
        ends.append(list(net.parameters()))
        del loader
    assert all(map(torch.equal, *ends))


@pytest.mark.parametrize(("name", "options"), RULES, ids=[r[0] for r in RULES])
def test_threads_come_and_go(name, options):
    """The number of torch's threads changes between steps, and no bit of the result."""
    ends = []
    for numbers in ((1,), (2, 1, 3, 2, 4, 1)):
        param = Parameter(made(0, LARGE, torch.float32))
        optimizer = getattr(slalom.optim, name)([param], lr=0.01, clip_norm=1.0, **options)
        for i in range(12):
            torch.set_num_threads(numbers[i % len(numbers)])
            walk(optimizer, param, range(i, i + 1))
        ends.append(param)
    assert torch.equal(*ends)


def test_python_threads_with_a_model_each():
    """Also when all of them need the same new machine code at the same moment.

    Every other model is so large that its step lets the other threads run meanwhile.
    """

    @slalom.rule
    def unheard_of(param, grad, mean, *, lr=0.01):
        mean = 0.75 * mean + 0.25 * grad
        return param - lr * mean / 1.0625, mean

    makes = [slalom.optimizer(unheard_of), slalom.optim.Adam, slalom.optim.SGD] * 2
    assert HELD < 1_100_000
    torch.set_num_threads(2)
    start = threading.Barrier(len(makes))

    def train(i: int, out: dict[int, list[Tensor]], together: bool) -> None:
        generator = torch.Generator().manual_seed(i)
        net = nn.Sequential(nn.Linear(7, 40), nn.Tanh(), nn.Linear(40, 40)).double()
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
        if i % 2:
            net.register_parameter("table", Parameter(torch.ones(1_100_000, dtype=torch.float64)))
        optimizer = makes[i](net.parameters(), lr=0.01)
        if together:
            start.wait(60)
        for _ in range(6):
            optimizer.zero_grad()
            x = torch.randn(5, 7, generator=generator, dtype=torch.float64)
            loss = net(x).square().sum()
            (loss + net.table.square().mean() if i % 2 else loss).backward()
            optimizer.step()
        out[i] = [p.detach() for p in net.parameters()]

    beside: dict[int, list[Tensor]] = {}
    threads = [threading.Thread(target=train, args=(i, beside, True)) for i in range(len(makes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    alone: dict[int, list[Tensor]] = {}
    for i in range(len(makes)):
        train(i, alone, False)
        assert max(map(distance, beside[i], alone[i])) <= 1e-12  # backward's sums may differ


FIRST = """
import gc, threading, torch, slalom
start, steps = threading.Barrier(6), []
def train():
    p = torch.nn.Parameter(torch.zeros(5000))
    optimizer = slalom.optim.SGD([p], lr=0.5, momentum=0.5, clip_norm=1.0)
    p.grad = torch.full((5000,), 2.0)
    start.wait(60)
    optimizer.step()
    steps.append((optimizer, p))
threads = [threading.Thread(target=train) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
gc.collect()
for _ in range(20):
    for optimizer, p in steps:
        optimizer.step()
assert len(steps) == 6
assert all(torch.equal(p, steps[0][1]) for _, p in steps)
"""


def test_the_first_step_of_a_process_made_by_many_threads_at_once():
    """They share one compiler; the code of a second would be gone with it."""
    served.printed(FIRST)


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_several_threads_step_one_optimizer(backend):
    """Each step is made and counted, the first ones too."""
    steps, threads = 100, 4
    alone, together = ([Parameter(torch.zeros(50).double()) for _ in range(5)] for _ in range(2))
    for param in (*alone, *together):
        param.grad = torch.ones_like(param)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with slalom.backends.using(backend):
            optimizers = [slalom.optim.Adagrad(ps, lr=0.1) for ps in (alone, together)]
            for _ in range(threads * steps):
                optimizers[0].step()
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda _: optimizers[1].step(), range(threads * steps)))
    finally:
        sys.setswitchinterval(interval)
    counted = {state["step"].item() for state in optimizers[1].state.values()}
    assert counted == {threads * steps}
    assert all(map(torch.equal, together, alone))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_steps():
    """The child steps, although the thread that was at it is not there to end its step."""
    param = Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = slalom.optim.SGD([param], lr=0.5)
    param.grad = torch.ones_like(param)
    optimizer.step()
    stepping, forked = threading.Event(), threading.Event()

    def step() -> None:
        with optimizer.alone:
            stepping.set()
            forked.wait(60)

    def work() -> None:
        optimizer.step()
        assert param.tolist() == [0.0] * 3

    thread = threading.Thread(target=step)
    thread.start()
    stepping.wait(60)
    try:
        in_a_fork(work)
    finally:
        forked.set()
        thread.join()
