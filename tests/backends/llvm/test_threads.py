"""On how many threads a step goes: chosen by what steps took, told here, with no clock."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Parameter

import slalom
from slalom.backends.llvm.threads import ALL, LEAST, ONE, Threads

choose = Threads.choose  # what the tests beside these do without


@pytest.fixture(autouse=True)
def _chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Threads, "choose", choose)


def gone(threads: Threads, steps: int, one: float, all_: float) -> tuple[list[bool], float]:
    """The ways of so many steps that take this long, and how long they took."""
    ways, spent = [], 0.0
    for _ in range(steps):
        ways.append(way := threads.choose())
        seconds = all_ if way is ALL else one
        threads.tell(way, seconds)
        spent += seconds
    return ways, spent


seconds = st.floats(1e-6, 1e-1)


@given(seconds, seconds)
def test_it_takes_little_more_than_the_better_way(one: float, all_: float) -> None:
    ways, spent = gone(Threads(), 2000, one, all_)
    assert set(ways) == {ONE, ALL}
    # Each way is tried twice before it is known, and then costs a twentieth.
    assert spent <= 2000 * min(one, all_) * (1 + 1 / 20 + 1e-9) + 2 * max(one, all_)


def test_the_first_step_of_a_plan_wakes_nobody() -> None:
    assert Threads().choose() is ONE


def test_it_leaves_the_others_alone_as_soon_as_they_let_it_wait() -> None:
    threads = Threads()
    ways, _ = gone(threads, 200, 100e-6, 60e-6)
    assert ways.count(ALL) > 150
    ways, _ = gone(threads, 100, 100e-6, 50e-3)
    assert ways.count(ALL) < 4


def test_it_comes_back_when_they_are_free_again() -> None:
    threads = Threads()
    gone(threads, 200, 100e-6, 5e-3)
    ways, _ = gone(threads, 20_000, 100e-6, 60e-6)
    assert ways.count(ALL) > 15_000


def test_what_it_took_to_start_them_is_forgotten() -> None:
    threads = Threads()
    for seconds_, way in ((1e-4, ONE), (1e-3, ALL), (1e-4, ONE), (6e-5, ALL)):
        threads.tell(way, seconds_)
    assert threads.choose() is ALL


@pytest.mark.parametrize("name", ["Adam", "LAMB"])
def test_no_bit_hangs_on_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    ends = []
    for ways in ([ONE], [ALL], [ONE, ALL, ALL, ONE, ONE]):
        torch.manual_seed(1)
        params = [Parameter(torch.randn(n)) for n in (LEAST + 5, 70_000, 3, 0, 4096)]
        optimizer = getattr(slalom.optim, name)(params, lr=0.1, clip_norm=1.0)
        for step in range(5):
            way = ways[step % len(ways)]
            monkeypatch.setattr(Threads, "choose", lambda _, way=way: way)
            for p in params:
                p.grad = torch.randn(p.shape)
            optimizer.step()
        ends.append(params)
    assert all(torch.equal(a, b) for other in ends[1:] for a, b in zip(ends[0], other, strict=True))


def test_of_few_elements_or_one_thread_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(Threads, "choose", lambda _: asked.append(True) or ALL)
    for threads, elements, expected in ((2, LEAST, 1), (1, LEAST, 0), (2, LEAST - 1000, 0)):
        torch.set_num_threads(threads)
        param = Parameter(torch.zeros(elements))
        param.grad = torch.ones(elements)
        asked.clear()
        slalom.optim.SGD([param]).step()
        assert len(asked) == expected
