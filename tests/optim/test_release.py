"""Updates inside backward: the same result, no gradients left, and no silent wrong use."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

import slalom
from slalom import optim
from slalom.optim import release
from slalom.optim.spent import Spent

Make = Callable[[Any], optim.RuleOptimizer]


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    shared = nn.Linear(6, 6)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), shared, nn.Tanh(), shared, nn.Linear(6, 2))


def batches(n: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(8, 4, generator=generator) for _ in range(n)]


def train(net: nn.Module, optimizer: optim.RuleOptimizer, inputs: list[torch.Tensor]) -> None:
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for x in inputs:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        schedule.step()


MAKES: list[Make] = [
    lambda p: optim.SGD(p, lr=0.1),
    lambda p: optim.Momentum(p, lr=0.1),
    lambda p: optim.AdamW(p, lr=0.01, clip_value=0.01),
    lambda p: optim.NAdam(p, lr=0.01),
    lambda p: optim.Adam(p, lr=0.01, independent_weight_decay=1e-3),
    lambda p: optim.Routed(
        [{"params": list(p)[:2], "rule": "Lion"}, {"params": list(p)[2:]}], rule="Adagrad", lr=0.01
    ),
]


@pytest.mark.parametrize("bucket", [1, 150, 1 << 20])
@pytest.mark.parametrize("make", MAKES)
def test_the_result_is_that_of_steps(
    make: Make, bucket: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "BUCKET", bucket)
    plain, released = model(), model()
    one = make(list(plain.parameters()))
    two = make(list(released.parameters()))
    slalom.release(released, two)
    train(plain, one, batches(6))
    train(released, two, batches(6))
    assert all(map(torch.equal, plain.parameters(), released.parameters()))
    assert all(p.grad is None for p in released.parameters())
    states = [sorted(o.state_dict()["state"].items()) for o in (one, two)]  # made in other orders
    assert str(states[0]) == str(states[1])


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_gradients_are_freed_a_bucket_at_a_time(
    layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = layers * 4 * (25 + 5)
    monkeypatch.setattr(release, "BUCKET", bucket)
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Linear(5, 5) for _ in range(10)))
    optimizer = optim.Adam(net.parameters())
    slalom.release(net, optimizer)
    alive: list[int] = []

    def count(*_: Any) -> None:
        grads = [p.grad for p in net.parameters()]
        alive.append(sum(type(g) is torch.Tensor for g in grads))

    for layer in net:
        layer.register_full_backward_hook(count)
    for x in torch.randn(3, 8, 5, requires_grad=True):
        optimizer.zero_grad()
        net(x).sum().backward()
        count()
        optimizer.step()
    assert max(alive) <= 2 * layers + 2, alive  # of 20
    assert alive[-1] == 0


def test_plans_are_kept() -> None:
    net = model()
    optimizer = optim.Adam(net.parameters())
    released = slalom.release(net, optimizer)
    train(net, optimizer, batches(2))
    plans = [bucket.plan for bucket in released._buckets]
    train(net, optimizer, batches(2))
    assert [bucket.plan for bucket in released._buckets] == plans


def test_checkpoints_and_frozen_parameters() -> None:
    plain, released = model(), model()
    one, two = optim.Adam(plain.parameters()), optim.Adam(released.parameters())
    slalom.release(released, two)
    for net, optimizer in ((plain, one), (released, two)):
        train(net, optimizer, batches(3))
        net[0].requires_grad_(False)  # type: ignore[index]
        train(net, optimizer, batches(2))
        net[0].requires_grad_(True)  # type: ignore[index]
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        train(net, optimizer, batches(3))
    assert all(map(torch.equal, plain.parameters(), released.parameters()))


def test_parameters_added_or_unfrozen_later_are_updated_by_step() -> None:
    plain, released = model(), model()
    for net in (plain, released):
        net[5].bias.requires_grad_(False)  # type: ignore[union-attr, index]
    ends = []
    for net in (plain, released):
        optimizer = optim.Adam([*net[0].parameters(), *net[5].parameters()])  # type: ignore[index]
        if net is released:
            slalom.release(net, optimizer)
        train(net, optimizer, batches(2))
        net[5].bias.requires_grad_(True)  # type: ignore[union-attr, index]
        optimizer.add_param_group({"params": net[2].parameters()})  # type: ignore[index]
        train(net, optimizer, batches(2))
        ends.append(net)
    assert all(map(torch.equal, ends[0].parameters(), ends[1].parameters()))


def used(what: Callable[[nn.Module, Any], Any], rounds: int = 0) -> None:
    net = model()
    optimizer = optim.Adam(net.parameters())
    slalom.release(net, optimizer)
    train(net, optimizer, batches(rounds))
    net(batches(1)[0]).sum().backward()
    before = [p.detach().clone() for p in net.parameters()]
    with pytest.raises(RuntimeError, match=r"the gradient of \d\.(weight|bias) was used and freed"):
        what(net, optimizer)
    assert all(map(torch.equal, before, net.parameters()))


def test_what_needs_the_gradients_is_refused_by_name() -> None:
    used(lambda net, _: net(batches(1)[0]).sum().backward())  # accumulation
    used(lambda net, _: torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0))
    used(lambda net, _: torch.nn.utils.clip_grad_value_(net.parameters(), 1.0))
    used(lambda net, _: [p.grad.norm() for p in net.parameters()])

    def scaled(net: nn.Module, optimizer: Any) -> None:
        scaler = torch.amp.GradScaler("cpu")
        scaler.scale(torch.zeros(()))
        scaler.step(optimizer)

    used(scaled)


def test_it_can_be_taken_back() -> None:
    net = model()
    optimizer = optim.Adam(net.parameters())
    released = slalom.release(net, optimizer)
    net(batches(1)[0]).sum().backward()
    released.remove()
    assert all(p.grad is None for p in net.parameters())
    net(batches(1)[0]).sum().backward()
    assert all(type(p.grad) is torch.Tensor for p in net.parameters())
    slalom.release(net, optimizer)


def test_what_release_refuses() -> None:
    net = model()
    for arguments, name in (
        ({"clip_norm": 1.0}, "clip_norm"),
        ({"on_nonfinite": "skip"}, "on_non"),
    ):
        with pytest.raises(ValueError, match=name):
            slalom.release(net, optim.Adam(net.parameters(), **arguments))
    with pytest.raises(TypeError, match=r"slalom\.optim, not Adam"):
        slalom.release(net, torch.optim.Adam(net.parameters()))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a parameter that the model has not"):
        slalom.release(net, optim.Adam(model().parameters()))
    optimizer = optim.Adam(net.parameters())
    slalom.release(net, optimizer)
    with pytest.raises(ValueError, match="released already"):
        slalom.release(net, optimizer)


@pytest.mark.parametrize("unfrozen", [0, 2])
@pytest.mark.parametrize("bucket", [1, 1 << 20])
def test_clipping_by_their_own_norm_in_two_passes(
    bucket: int, unfrozen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all gradients, also those of parameters that ``step()`` updates."""
    monkeypatch.setattr(release, "BUCKET", bucket)
    plain, net = model(), model()
    one = optim.Adam(plain.parameters(), lr=0.01, clip_norm=0.05)
    two = optim.Adam(net.parameters(), lr=0.01, clip_norm=0.05)
    for p in list(net.parameters())[:unfrozen]:
        p.requires_grad_(False)
    released = slalom.release(net, two, norm="two passes")
    net.requires_grad_(True)
    train(plain, one, batches(5))
    schedule = torch.optim.lr_scheduler.ExponentialLR(two, 0.9)
    for x in batches(5):
        two.zero_grad()
        loss = net(x).square().mean()
        before = [p.detach().clone() for p in net.parameters()]
        with released.measuring():
            loss.backward(retain_graph=True)
        assert all(map(torch.equal, before, net.parameters()))
        loss.backward()
        two.step()
        schedule.step()
    for p, q in zip(plain.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)
    two.zero_grad()
    with pytest.raises(RuntimeError, match="was not measured"):
        net(batches(1)[0]).sum().backward()


@pytest.mark.parametrize("unfrozen", [0, 2])
@pytest.mark.parametrize("bucket", [1, 1 << 20])
def test_clipping_by_the_norm_of_the_step_before(
    bucket: int, unfrozen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all gradients, also those of parameters that ``step()`` updates."""
    monkeypatch.setattr(release, "BUCKET", bucket)
    plain, net, most = model(), model(), 0.05
    one = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    two = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, clip_norm=most)
    for p in list(net.parameters())[:unfrozen]:
        p.requires_grad_(False)
    slalom.release(net, two, norm="before")
    net.requires_grad_(True)
    train(net, two, batches(5))
    schedule, norm = torch.optim.lr_scheduler.ExponentialLR(one, 0.9), 0.0
    for x in batches(5):
        one.zero_grad()
        plain(x).square().mean().backward()
        factor, total = min(1.0, most / (norm + 1e-6)), 0.0
        for p in plain.parameters():
            assert p.grad is not None
            total += p.grad.double().square().sum().item()
            p.grad *= factor
        norm = total**0.5
        assert norm > most
        one.step()
        schedule.step()
    for p, q in zip(plain.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_norms_that_cannot_be_meant() -> None:
    net = model()
    for arguments, norm, says in (
        ({}, "before", "which this one has not"),
        ({"clip_norm": 1.0}, "own", "it must be 'before', 'two passes' or None"),
        ({"clip_norm": 1.0}, None, 'or give norm="before"'),
        ({"clip_norm": 1.0, "on_nonfinite": "skip"}, "before", "on_nonfinite looks at all"),
    ):
        with pytest.raises(ValueError, match=says):
            slalom.release(net, optim.Adam(net.parameters(), **arguments), norm=norm)
    released = slalom.release(net, optim.Adam(net.parameters()))
    with pytest.raises(RuntimeError, match="two passes"), released.measuring():
        pass


class Paths(nn.Module):
    """Layers that are gone through in any order, some not at all."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))

    def forward(self, x: torch.Tensor, path: Sequence[int]) -> torch.Tensor:
        for i in path:
            x = self.layers[i](x).tanh()
        return x


def walk(net: Paths, optimizer: optim.RuleOptimizer, paths: Sequence[Sequence[int]]) -> None:
    for x, path in zip(batches(len(paths)), paths, strict=True):
        optimizer.zero_grad()
        for part in (path[:2], path[2:]) if path[0] else (path,):  # disjoint, or all at once
            if part:
                net(x, part).square().mean().backward()
        optimizer.step()
        assert not any(type(p.grad) is Spent for p in net.parameters())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("bucket", [1, 100, 200, 1 << 20])
def test_gradients_may_come_in_another_order_or_not(
    bucket: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "BUCKET", bucket)
    draw = random.Random(seed)
    paths = []
    for _ in range(5):
        paths += [draw.sample(range(5), draw.randint(1, 5))] * draw.randint(1, 4)
    plain, net = Paths(), Paths()
    one, two = (optim.Adam(n.parameters(), lr=0.01, weight_decay=0.1) for n in (plain, net))
    slalom.release(net, two)
    walk(plain, one, paths)
    walk(net, two, paths)
    assert all(map(torch.equal, plain.parameters(), net.parameters()))


def hooked(net: nn.Module) -> int:
    return sum(bool(p._post_accumulate_grad_hooks) for p in net.parameters())


def test_the_engine_tells_of_one_gradient_a_bucket_while_the_order_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(release, "BUCKET", 150)
    net = Paths()
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    released = slalom.release(net, optimizer)
    walk(net, optimizer, [[0, 1, 2, 3, 4]])
    assert hooked(net) == 10
    walk(net, optimizer, [[0, 1, 2, 3, 4]] * 2)
    assert hooked(net) == len(released._buckets) == 3
    walk(net, optimizer, [[0, 1, 2, 4, 3]])
    assert hooked(net) == 10
    walk(net, optimizer, [[0, 1, 2, 4, 3]] * 2)
    assert hooked(net) == 10  # what was mistaken once is sure after one round more
    walk(net, optimizer, [[0, 1, 2, 4, 3]] * 2)
    assert hooked(net) == 3
    used(lambda net, _: net(batches(1)[0]).sum().backward(), rounds=3)
    released.remove()
    assert hooked(net) == 0


def test_two_passes_leave_nothing_of_what_was_unfrozen_later() -> None:
    net = model()
    bias = net[5].bias.requires_grad_(False)  # type: ignore[union-attr, index]
    optimizer = optim.SGD(net.parameters(), lr=0.1, clip_norm=1e-3)
    released = slalom.release(net, optimizer, norm="two passes")
    bias.requires_grad_(True)
    loss = net(batches(1)[0]).square().mean()
    (grad,) = torch.autograd.grad(loss, bias, retain_graph=True)
    with released.measuring():
        loss.backward(retain_graph=True)
    loss.backward()
    assert bias.grad is not None
    assert torch.equal(bias.grad, grad)
