"""Beside the rest of torch: compiled functions, averages, scalers, inference, shared memory."""

from __future__ import annotations

import copy
import shutil
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import Parameter
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

import slalom
from reference import distance

RULES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05, "momentum": 0.9}), ("RMSprop", {"lr": 0.01}), ("Adam", {"lr": 0.01}),
]  # fmt: skip

over_rules = pytest.mark.parametrize(("name", "options"), RULES, ids=[r[0] for r in RULES])


@pytest.fixture(autouse=True)
def _one_thread():
    """These nets are too small for more, which would only wait on a busy machine."""
    torch.set_num_threads(1)


def both(name: str, options: dict[str, Any]) -> list[Any]:
    """Ours and torch's, as functions of parameters."""
    return [
        lambda p: getattr(slalom.optim, name)(p, **options),
        lambda p: getattr(torch.optim, name)(p, **options, foreach=False),
    ]


def model(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(
        nn.Linear(6, 11, bias=False), nn.BatchNorm1d(11), nn.Tanh(), nn.Linear(11, 2)
    ).to(dtype)  # fmt: skip


def data(i: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(i)
    return (
        torch.randn(16, 6, generator=generator, dtype=torch.float64).to(dtype),
        torch.randn(16, 2, generator=generator, dtype=torch.float64).to(dtype),
    )


def values(net: nn.Module) -> list[torch.Tensor]:
    return [t.detach().clone() for t in net.state_dict().values()]


def assert_alike(ends: list[list[torch.Tensor]], tolerance: float = 1e-12) -> None:
    assert len(ends[0]) == len(ends[1])
    assert max(map(distance, *ends)) <= tolerance


# torch.compile

COMPILER = pytest.param(
    "inductor",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs a C++ compiler"),
    ],
)


@pytest.fixture
def dynamo():
    torch._dynamo.reset()
    yield torch._dynamo
    torch._dynamo.reset()


@pytest.mark.parametrize(("name", "options"), RULES[::2], ids=["SGD", "Adam"])
@pytest.mark.parametrize("backend", ["aot_eager", COMPILER])
def test_a_step_in_a_compiled_function(name, options, backend, dynamo):
    """It breaks the graph and runs as ever; after the first steps nothing is compiled again."""
    ends = []
    for make in both(name, options):
        net = model()
        optimizer = make(net.parameters())

        def train(x, y, net=net, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (net(x) - y).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        if not ends:
            eager, train = train, torch.compile(train, backend=backend)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
        for i in range(15):
            with dynamo.config.patch(error_on_recompile=i >= 3 and not ends):
                loss = train(*data(i))
            scheduler.step()
        assert loss.shape == ()
        if not ends:
            eager(*data(15))
        else:
            train(*data(15))
        ends.append(values(net))
    assert_alike(ends)


@pytest.mark.parametrize(("name", "options"), RULES[::2], ids=["SGD", "Adam"])
@pytest.mark.parametrize("backend", ["aot_eager", COMPILER])
def test_a_compiled_model_with_the_step_outside(name, options, backend, dynamo):
    ends = []
    for make in both(name, options):
        net = model()
        forward = net if ends else torch.compile(net, backend=backend)
        optimizer = make(net.parameters())
        for i in range(20):
            optimizer.zero_grad()
            with dynamo.config.patch(error_on_recompile=i >= 3):
                (forward(data(i)[0]) - data(i)[1]).square().mean().backward()
            optimizer.step()
        ends.append(values(net))
    assert_alike(ends, 1e-10 if backend == "inductor" else 1e-12)


def test_every_rule_steps_in_a_compiled_function(dynamo):
    for name in slalom.optim.__all__:
        made = getattr(slalom.optim, name)
        if not hasattr(made, "rule"):
            continue
        dynamo.reset()
        ends = []
        for compiled in (False, True):
            param = Parameter(torch.ones(7, dtype=torch.float64))
            optimizer = made([param], lr=0.01)

            def step(grad, param=param, optimizer=optimizer):
                param.grad = grad * 2
                optimizer.step()

            run = torch.compile(step, backend="eager") if compiled else step
            for i in range(12):
                with dynamo.config.patch(error_on_recompile=i >= 3):
                    run(torch.full((7,), 0.5 + i, dtype=torch.float64))
            ends.append([param.detach()])
        assert_alike(ends, 1e-14)


# Averages


@over_rules
@pytest.mark.parametrize("average", ["swa", "ema"])
def test_averaged_models(name, options, average):
    """Stochastic weight averaging with its schedule, and an exponential average."""
    ends = []
    for make in both(name, options):
        net = model()
        optimizer = make(net.parameters())
        if average == "swa":
            averaged = AveragedModel(net)
        else:
            averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
        flat = SWALR(optimizer, swa_lr=0.02, anneal_epochs=4)
        for i in range(30):
            optimizer.zero_grad()
            (net(data(i)[0]) - data(i)[1]).square().mean().backward()
            optimizer.step()
            if average == "ema" or i >= 15:
                averaged.update_parameters(net)
            (flat if average == "swa" and i >= 15 else schedule).step()
        if average == "swa":
            update_bn([data(i)[0] for i in range(4)], averaged)
        ends.append([*values(net), *values(averaged)])
    assert_alike(ends)


# Clipping, scaling, narrow arithmetic


@over_rules
def test_clip_grad_norm_and_value(name, options):
    ends = []
    for make in both(name, options):
        net = model()
        optimizer = make(net.parameters())
        for i in range(20):
            optimizer.zero_grad(set_to_none=i % 3 == 0)
            (net(data(i)[0]) - data(i)[1]).square().sum().backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5, foreach=False)
            if i % 2:
                torch.nn.utils.clip_grad_value_(net.parameters(), 0.05)
            optimizer.step()
        ends.append(values(net))
    assert_alike(ends)


@over_rules
@pytest.mark.parametrize("unscale", [False, True])
def test_autocast_and_a_scaler_that_meets_infinity(name, options, unscale):
    """A step whose gradients overflow changes nothing, not even the step count."""
    ends = []
    for make in both(name, options):
        net = model(torch.float32)
        optimizer = make(net.parameters())
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=5)
        skipped = 0
        for i in range(20):
            optimizer.zero_grad()
            x, y = data(i, torch.float32)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = net(x)
            loss = (out.float() - y).square().mean() * (float("inf") if i in (0, 7) else 1.0)
            scaler.scale(loss).backward()
            if unscale:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            weights = [p.detach().clone() for p in net.parameters()]
            state = copy.deepcopy(optimizer.state_dict()["state"])
            scaler.step(optimizer)
            if i in (0, 7):
                skipped += 1
                assert all(map(torch.equal, weights, net.parameters()))
                flat = torch.utils._pytree.tree_leaves
                now = optimizer.state_dict()["state"]
                assert all(torch.equal(a, b) for a, b in zip(flat(now), flat(state), strict=True))
            scaler.update()
        assert skipped == 2
        assert scaler.get_scale() == 2.0**10 / 4 * 2**3
        ends.append([p.detach() for p in net.parameters()])
    assert_alike(ends, 1e-4)  # a rounding to bfloat16 in the forward pass may fall the other way


# Inference mode and shared memory


@over_rules
@pytest.mark.parametrize("when", ["first", "always", "then never"])
def test_steps_in_inference_mode(name, options, when):
    """The state may be made there and used outside, saved, copied and resumed."""
    ends = []
    for inference in (False, True):
        net = model()
        optimizer = getattr(slalom.optim, name)(net.parameters(), **options)
        for i in range(10):
            optimizer.zero_grad()
            (net(data(i)[0]) - data(i)[1]).square().mean().backward()
            inside = {"first": i == 0, "always": True, "then never": i < 5}[when]
            with torch.inference_mode(inference and inside):
                optimizer.step()
            if i == 7:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        ends.append(values(net))
    assert_alike(ends, 0.0)


@over_rules
def test_parameters_and_gradients_that_are_views_of_one_memory(name, options):
    """As in flattened models: each parameter a part of one buffer, each gradient of another."""
    ends = []
    for make in both(name, options):
        net = model()
        params = list(net.parameters())
        sizes = [p.numel() for p in params]
        flat, grads = (torch.zeros(sum(sizes), dtype=torch.float64) for _ in range(2))
        for p, part, grad in zip(params, flat.split(sizes), grads.split(sizes), strict=True):
            p.data = part.view_as(p).copy_(p.data)
            p.grad = grad.view_as(p)
        optimizer = make(params)
        for i in range(10):
            grads.zero_()
            (net(data(i)[0]) - data(i)[1]).square().mean().backward()
            assert params[0].grad.untyped_storage().data_ptr() == grads.data_ptr()
            optimizer.step()
        ends.append([flat])
        if len(ends) == 1:
            assert {row[4] for row in slalom.explain(optimizer).rows} == {"compiled"}
    assert_alike(ends)


@over_rules
def test_tied_parameters(name, options):
    """One tensor as the weight of two layers is one parameter, whose gradient is the sum."""
    ends = []
    for make in both(name, options):
        torch.manual_seed(2)
        net = nn.Sequential(nn.Embedding(6, 4), nn.Tanh(), nn.Linear(4, 6, bias=False)).double()
        net[2].weight = net[0].weight
        optimizer = make(net.parameters())
        for i in range(10):
            optimizer.zero_grad()
            target = torch.tensor([i % 6, 2])
            nn.functional.cross_entropy(net(target), target.flip(0)).backward()
            optimizer.step()
        assert net[0].weight is net[2].weight
        ends.append(values(net))
    assert_alike(ends)


@over_rules
def test_several_optimizers_over_one_model(name, options):
    """One for each half, and a third that holds all of it and steps now and then."""
    ends = []
    for library in range(2):
        net = model()
        halves = list(net[0].parameters()), [*net[1].parameters(), *net[3].parameters()]
        make = both(name, options)[library]
        sgd = both("SGD", {"lr": 0.1, "weight_decay": 0.01})[library]
        optimizers = [make(halves[0]), make(halves[1]), sgd(net.parameters())]
        for i in range(12):
            net.zero_grad()
            (net(data(i)[0]) - data(i)[1]).square().mean().backward()
            optimizers[i % 2].step()
            if i % 4 == 3:
                optimizers[2].step()
            if i == 6:
                optimizers[0].zero_grad()
                optimizers[0].step()  # nothing to do
        ends.append(values(net))
    assert_alike(ends)


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "NAdam"])
def test_a_parameter_listed_twice_moves_twice(name):
    """As in torch, which warns of it: each mention is an update, and counts as one.

    (With momentum torch's SGD drops in the first step what the first mention put into the buffer.)
    """
    ends, counts = [], []
    for make in both(name, {"lr": 0.01}):
        param = Parameter(torch.ones(5, dtype=torch.float64))
        other = Parameter(torch.ones(3, dtype=torch.float64))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = make([param, other, param])
        for i in range(6):
            param.grad = torch.full_like(param, 0.5 + i)
            other.grad = torch.full_like(other, 1.5 + i)
            optimizer.step()
        ends.append([param.detach(), other.detach()])
        counts.append([float(optimizer.state[p].get("step", 0)) for p in (param, other)])
    assert_alike(ends, 1e-12 if name != "NAdam" else 1e-7)  # whose mu_product torch keeps narrow
    assert counts[0] == counts[1]
