"""Changes by the thousand: no wrong result, no crash, no leak."""

from __future__ import annotations

import copy
import gc
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import slalom
from reference import distance
from slalom.engine.plan import Plan

RULES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0.9, "dampening": 0.3}), ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adam", {"amsgrad": True}), ("NAdam", {}),
]  # fmt: skip


def made(seed: int, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, generator=generator, dtype=dtype)


def walk(optimizer, param, steps: range) -> Tensor:
    for i in steps:
        param.grad = made(i, param.numel(), param.dtype)
        optimizer.step()
    return param.detach().clone()


class Twins:
    """A list of parameters under an optimizer of ours, and its copy under torch's; both change."""

    def __init__(self, name: str, options: dict[str, Any], seed: int):
        self.random = random.Random(seed)
        self.makes = [
            lambda p: getattr(slalom.optim, name)(p, **options),
            lambda p: getattr(torch.optim, name)(p, foreach=False, **options),
        ]
        self.time = 0
        self.begin()

    def begin(self) -> None:
        first = [self.values() for _ in range(2)]
        self.params = [[Parameter(v.clone()) for v in first] for _ in range(2)]
        self.frozen: set[int] = set()
        self.pair = [make(p) for make, p in zip(self.makes, self.params, strict=True)]

    def values(self) -> Tensor:
        shape = self.random.choice([(), (1,), (0, 2), (3, 4), (17,), (2, 3, 2, 2)])
        generator = torch.Generator().manual_seed(self.random.randrange(2**31))
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def add_a_group(self) -> None:
        new = [self.values() for _ in range(self.random.randint(1, 3))]
        lr = 10 ** self.random.uniform(-4, -2)
        for params, optimizer in zip(self.params, self.pair, strict=True):
            added = [Parameter(v.clone()) for v in new]
            params += added
            optimizer.add_param_group({"params": added, "lr": lr})

    def freeze(self) -> None:
        self.frozen.add(self.random.randrange(len(self.params[0])))
        self.mark()

    def unfreeze(self) -> None:
        self.frozen = {i for i in self.frozen if self.random.random() < 0.5}
        self.mark()

    def mark(self) -> None:
        for params in self.params:
            for i, param in enumerate(params):
                param.requires_grad_(i not in self.frozen)
                if i in self.frozen:
                    param.grad = None

    def reload(self) -> None:
        for optimizer in self.pair:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))

    def resume(self) -> None:
        """As another process would: new parameters, a new optimizer, the saved state."""
        for side in range(2):
            old = self.pair[side]
            groups, k = [], 0
            new = [Parameter(p.detach().clone()) for p in self.params[side]]
            for group in old.param_groups:
                groups.append({"params": new[k : k + len(group["params"])]})
                k += len(group["params"])
            self.pair[side] = self.makes[side](groups)
            self.pair[side].load_state_dict(copy.deepcopy(old.state_dict()))
            self.params[side] = new
        self.mark()

    def lay_out_anew(self) -> None:
        i = self.random.randrange(len(self.params[0]))
        for params in self.params:
            p = params[i]
            if p.dim() == 4:
                p.data = p.data.contiguous(memory_format=torch.channels_last)
            elif p.dim() == 2:
                p.data = p.data.t().contiguous().t()
            else:
                p.data = p.data.clone()

    def change_the_rate(self) -> None:
        g = self.random.randrange(len(self.pair[0].param_groups))
        lr = 10 ** self.random.uniform(-4, -2)
        for optimizer in self.pair:
            optimizer.param_groups[g]["lr"] = lr

    def forget(self) -> None:
        i = self.random.randrange(len(self.params[0]))
        for params, optimizer in zip(self.params, self.pair, strict=True):
            optimizer.state.pop(params[i], None)

    def step(self) -> None:
        """Give gradients, new tensors or into the old ones, to all or to most; then step both."""
        self.time += 1
        quiet = self.random.random() < 0.8  # as the last step was: a plan serves for several
        generator = torch.Generator().manual_seed(self.time)
        for i, (ours, theirs) in enumerate(zip(*self.params, strict=True)):
            if i in self.frozen:
                continue
            grad = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
            way = self.random.random()
            for p in (ours, theirs):
                if way < 0.05 and not quiet:
                    p.grad = None
                elif way < 0.5 and p.grad is not None:
                    p.grad.copy_(grad)
                elif way > 0.9 and grad.dim() == 2 and not quiet:
                    p.grad = grad.t().contiguous().t()
                else:
                    p.grad = grad.clone()
        for optimizer in self.pair:
            optimizer.step()

    def check(self) -> None:
        """Parameters, states and step counts are alike."""
        for ours, theirs in zip(*self.params, strict=True):
            assert distance(ours, theirs) <= 1e-10
            mine, other = self.pair[0].state.get(ours, {}), self.pair[1].state.get(theirs, {})
            kept = {k for k, v in other.items() if v is not None}
            assert kept <= mine.keys()
            for key in kept:
                if other[key].numel():
                    assert distance(mine[key], other[key], other[key].abs() + 1e-3) <= 1e-6

    def change(self) -> None:
        changes = [
            (self.freeze, 0.02), (self.unfreeze, 0.02), (self.reload, 0.01), (self.resume, 0.005),
            (self.lay_out_anew, 0.01), (self.change_the_rate, 0.02), (self.forget, 0.01),
        ]  # fmt: skip
        for change, chance in changes:
            if self.random.random() < chance:
                change()
        if self.random.random() < 0.01:
            self.add_a_group() if len(self.params[0]) < 12 else self.begin()


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="this system does not tell what memory is held"
)


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize(("name", "options"), RULES[::2], ids=["SGD", "Adam"])
def test_ten_thousand_random_steps(name, options):
    twins = Twins(name, options, seed=7)
    before = 0
    for i in range(10_000):
        twins.change()
        twins.step()
        if i % 50 == 0:
            twins.check()
        if i == 3000:
            before = resident()
    twins.check()
    assert resident() - before < 4 * 2**20
    assert sum(type(o) is Plan for o in gc.get_objects()) < 50


@pytest.mark.parametrize(("name", "options"), RULES, ids=[r[0] for r in RULES])
def test_a_thousand_random_steps(name, options):
    if name == "NAdam":  # torch rounds its product of momenta to this dtype before its use
        torch.set_default_dtype(torch.float64)
    twins = Twins(name, options, seed=3)
    for i in range(1000):
        twins.change()
        twins.step()
        if i % 50 == 0:
            twins.check()
    twins.check()


@needs_proc
def test_optimizers_made_and_dropped_leave_nothing():
    def one(i: int) -> None:
        params = [Parameter(torch.zeros(5000)) for _ in range(4)]
        optimizer = slalom.optim.Adam(params, lr=0.001 * (i % 97 + 1), clip_norm=1.0)
        walk(optimizer, params[0], range(2))
        params[1].grad = torch.ones(5000)
        optimizer.step()

    for i in range(200):
        one(i)
    before = resident()
    for i in range(1000):
        one(i)
    assert resident() - before < 4 * 2**20
    assert sum(type(o) is Plan for o in gc.get_objects()) < 50
