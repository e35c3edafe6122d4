"""Rules that look at whole tensors: every way of stepping serves them, or says why not."""

from __future__ import annotations

import copy

import pytest
import torch

import slalom
from reference import distance, trajectory
from slalom.backends import using
from slalom.ir.program import trace
from slalom.ir.sums import summed
from slalom.rules import RULES, absolute, maximum, mean, norm, rule, sqrt, total, where


@rule(shapes={"row": "row", "column": "column", "largest": "one"})
def odd(
    param, grad, row, column, largest, momentum_buffer, *, step, lr=0.1, beta=0.9, maximize=False
):
    """Everything at once: three sweeps, sums along both axes, of sums, and states of all shapes."""
    grad = -grad if maximize else grad
    row = beta * row + (1 - beta) * mean(grad * grad, axis=1)
    column = beta * column + (1 - beta) * mean(grad * grad, axis=0)
    change = grad / (sqrt(row * column / mean(row)) + 1e-3)
    change = change / maximum(1, norm(change) / 2)
    momentum_buffer = beta * momentum_buffer + change
    largest = maximum(largest, norm(momentum_buffer))
    turned = momentum_buffer - mean(momentum_buffer, axis=1)
    turned = turned / (norm(turned, axis=0) + total(row) + largest)
    return param - lr / sqrt(step) * turned, row, column, largest, momentum_buffer


@rule(shapes={"largest": "one", "slope": "one"})
def chained(
    param, grad, largest, slope, momentum_buffer, *, step, lr=0.1, beta=0.9, maximize=False
):
    """Four sweeps, each of which hangs on what the one before it summed up, by comparisons too."""
    grad = -grad if maximize else grad
    length = norm(grad)
    steep = length > slope
    grad = where(steep, grad / maximum(length, 1e-3), 0.5 * grad)
    away = grad - mean(grad)
    momentum_buffer = beta * momentum_buffer + away / (1 + total(absolute(away)))
    turned = where((total(away * param) > 0) & (param > 0), momentum_buffer, -2 * grad)
    turned = turned + steep * param / 64
    largest = maximum(largest, norm(turned))
    return param - lr / sqrt(step) * turned, largest, (slope + length) / 2, momentum_buffer


EVERY = {
    "odd": odd,
    "chained": chained,
    **{n: RULES[n] for n in ("lars", "lamb", "stable_adamw", "adagrad_norm", "mars")},
}
CLASSES = {name: slalom.optimizer(r) for name, r in EVERY.items()}
SHAPES = [(30, 50), (7,), (), (3, 4, 2, 5), (0, 3), (4, 0), (1, 90), (90, 1)]
over_rules = pytest.mark.parametrize("name", EVERY)


WAYS = {"machine code": ("llvm", "foreach"), "operations": ("foreach",)}


@pytest.fixture(autouse=True, params=WAYS)
def way(request):
    """By what is updated; the backend that serves."""
    with using(*WAYS[request.param]):
        yield WAYS[request.param][0]


def drawn(shapes, n=3, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    make = [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]
    grads = [[torch.randn(s, generator=generator, dtype=dtype) for s in shapes] for _ in range(n)]
    return make, grads


def stepped(name, starts, grads, lay=lambda t: t.clone(), **options):
    params = [torch.nn.Parameter(lay(s)) for s in starts]
    optimizer = CLASSES[name](params, **{"lr": 0.05} | options)
    for row in grads:
        for param, grad in zip(params, row, strict=True):
            param.grad = grad.clone()
        optimizer.step()
    return optimizer, params


@over_rules
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_it_is_the_rule_itself_in_float64(name, dtype, way):
    starts, grads = drawn(SHAPES, dtype=dtype)
    optimizer, params = stepped(name, starts, grads)
    assert {row[3] for row in slalom.explain(optimizer).rows} == {way}
    for i, (param, start) in enumerate(zip(params, starts, strict=True)):
        path = trajectory(EVERY[name], start, [row[i] for row in grads], lr=0.05)
        assert distance(param, path[-1], path) <= (2e-6 if dtype == torch.float32 else 1e-13)


@over_rules
def test_in_pieces_it_is_the_same(name, monkeypatch):
    starts, grads = drawn(SHAPES, dtype=torch.float64)
    _, whole = stepped(name, starts, grads)
    monkeypatch.setattr("slalom.backends.foreach.part.CHUNK", {"cpu": 100})
    _, pieces = stepped(name, starts, grads)
    assert all(distance(a, b) <= 1e-13 for a, b in zip(pieces, whole, strict=True))


@over_rules
def test_threads_change_no_bit(name):
    starts, grads = drawn([(300, 700), (200_003,), (1, 70_000), (70_000, 1)])
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(stepped(name, starts, grads)[1])
    torch.set_num_threads(1)
    assert all(map(torch.equal, *found))


@over_rules
def test_a_layout_of_memory_is_no_matter(name):
    starts, grads = drawn([(4, 6, 3, 5), (6, 8, 2, 2)], dtype=torch.float64)
    _, plain = stepped(name, starts, grads)
    last = lambda t: t.clone().to(memory_format=torch.channels_last)  # noqa: E731
    _, others = stepped(name, starts, grads, last)
    spaced = lambda t: torch.stack([t, t], -1)[..., 0]  # noqa: E731
    _, gaps = stepped(name, starts, grads, spaced)
    for a, b, c in zip(plain, others, gaps, strict=True):
        assert distance(b, a) <= 1e-13
        assert distance(c, a) <= 1e-13


@over_rules
def test_a_checkpoint_goes_on_to_the_bit(name, tmp_path):
    starts, grads = drawn(SHAPES, n=6)
    _, through = stepped(name, starts, grads)
    optimizer, params = stepped(name, starts, grads[:3])
    torch.save(optimizer.state_dict(), tmp_path / "state")
    again = [torch.nn.Parameter(p.detach().clone()) for p in params]
    other = CLASSES[name](again, lr=0.05)
    other.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    twin = copy.deepcopy(other)
    for row in grads[3:]:
        for param, grad in zip(again, row, strict=True):
            param.grad = grad.clone()
        other.step()
    assert all(map(torch.equal, again, through))
    state = twin.state[twin.param_groups[0]["params"][0]]
    for kept, shape in ((n, EVERY[name].shape(n, (30, 50), {})) for n in EVERY[name].shapes):
        assert state[kept].shape == shape


@over_rules
def test_released_in_backward_it_is_the_same(name):
    def train(released):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))
        optimizer = CLASSES[name](model.parameters(), lr=0.05)
        if released:
            slalom.release(model, optimizer)
        for _ in range(4):
            model(torch.randn(6, 5)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return list(model.parameters())

    assert all(map(torch.equal, train(True), train(False)))


@over_rules
def test_clipped_and_grouped_it_is_the_rule_on_clipped_gradients(name):
    starts, grads = drawn([(6, 5), (8,)], dtype=torch.float64)
    params = [torch.nn.Parameter(s.clone()) for s in starts]
    optimizer = CLASSES[name](
        [{"params": [params[0]], "lr": 0.02}, {"params": [params[1]], "lr": 0.3}], clip_norm=1.0
    )
    scaled = [[], []]
    for row in grads:
        length = torch.cat([g.flatten() for g in row]).norm()
        for i, (param, grad) in enumerate(zip(params, row, strict=True)):
            param.grad = grad.clone()
            scaled[i].append(grad * min(1.0, 1.0 / (length.item() + 1e-6)))
        optimizer.step()
    for i, lr in enumerate((0.02, 0.3)):
        path = trajectory(EVERY[name], starts[i], scaled[i], lr=lr)
        assert distance(params[i], path[-1], path) <= 1e-13


@over_rules
def test_differentiable_it_is_the_same(name):
    starts, grads = drawn([(6, 5), (8,)], dtype=torch.float64)
    _, plain = stepped(name, starts, grads)
    leaves = [s.clone().requires_grad_() for s in starts]
    params = [leaf.clone() for leaf in leaves]
    optimizer = CLASSES[name](params, lr=0.05, differentiable=True)
    for row in grads:
        for param, grad in zip(params, row, strict=True):
            param.grad = grad.clone()
        optimizer.step()
    assert all(distance(a, b) <= 1e-13 for a, b in zip(params, plain, strict=True))
    sum(p.sum() for p in params).backward()
    assert all(bool(leaf.grad.isfinite().all()) for leaf in leaves)


@over_rules
def test_a_sparse_gradient_is_the_dense_one_or_refused(name):
    starts, grads = drawn([(9, 4)], n=2, dtype=torch.float64)
    for row in grads:
        row[0][::2] = 0
    params = [torch.nn.Parameter(starts[0].clone())]
    optimizer = CLASSES[name](params, lr=0.05)
    if EVERY[name].sparse is None:
        params[0].grad = grads[0][0].to_sparse(1)
        with pytest.raises(RuntimeError, match="does not support sparse gradients"):
            optimizer.step()
        return
    for row in grads:
        params[0].grad = row[0].to_sparse(1)
        optimizer.step()
    _, dense = stepped(name, starts, grads)
    assert distance(params[0], dense[0]) <= 1e-13


@over_rules
def test_complex_numbers_are_pairs_of_reals_or_refused(name):
    starts, grads = drawn([(6, 5)], dtype=torch.complex128)
    if name == "odd":
        with pytest.raises(RuntimeError, match="of rows or columns, which it does not of torch"):
            stepped(name, starts, grads)
        return
    _, params = stepped(name, starts, grads)
    path = trajectory(EVERY[name], starts[0], [row[0] for row in grads], lr=0.05)
    assert distance(params[0], path[-1]) <= 1e-13


@over_rules
def test_bfloat16_rounded_by_chance_is_right_on_average(name):
    starts, grads = drawn([(16, 256)], n=1)
    rounded = [[g.bfloat16() for g in row] for row in grads]
    lr = {"lars": 30.0}.get(name, 0.05)
    wide = [[g.float() for g in row] for row in rounded]
    wide = stepped(name, [starts[0].bfloat16().float()], wide, lr=lr)[1][0].detach()
    total = torch.zeros(16, 256)
    for seed in range(64):
        options = {"rounding": "stochastic", "rounding_seed": seed, "lr": lr}
        total += stepped(name, [starts[0].bfloat16()], rounded, **options)[1][0].detach().float()
    nearest = wide.bfloat16().float()
    # what is left out by rounding to nearest is there on average
    assert (total / 64 - wide).abs().mean() < 0.5 * (nearest - wide).abs().mean()


def test_what_cannot_be_known_is_refused_with_a_sentence():
    def traced(function, **options):
        made = rule(**options)(function)
        trace(made, made.hypers)

    def refused(function, match, **options):
        with pytest.raises(slalom.rules.RuleError, match=match):
            traced(function, **options)

    def branching(param, grad, *, lr=0.1):
        return param - lr * grad if norm(grad) > 1 else param

    def sums_a_number(param, grad, *, lr=0.1):
        return param - lr * grad * total(lr)

    def third(param, grad, *, lr=0.1):
        return param - lr * grad * mean(grad, axis=2)

    def counted(param, grad, length, *, lr=0.1):
        return param - lr * grad, norm(grad)

    def too_much(param, grad, length, *, lr=0.1):
        return param - lr * grad, length + grad

    refused(branching, "branches on the value of a tensor")
    refused(sums_a_number, "it sums up a number")
    refused(third, "over the axis 2; there are 0")
    refused(counted, 'declare shapes={"length": "one"}', numbers=("length",))
    refused(too_much, "gives length more than it holds, one a row", shapes={"length": "row"})
    refused(counted, 'declares sparse="rows"', shapes={"length": "one"}, sparse="rows")
    refused(counted, "it must be one, row, column, rows x rows or", shapes={"length": "matrix"})


def test_as_few_readings_as_the_algebra_allows():
    """Of LARS and LAMB by hand: arrays read and written, four bytes each."""

    def moved(name, **hypers):
        program = trace(RULES[name], {**RULES[name].hypers, **hypers}, step=9, first=False)
        return [(set(s.reads), set(s.writes)) for s in program.sweeps], program.bytes

    sweeps, found = moved("lars")
    assert sweeps == [
        ({"param", "grad"}, set()),
        ({"param", "grad", "momentum_buffer"}, {"param", "momentum_buffer"}),
    ]
    assert found == 28
    moments = {"exp_avg", "exp_avg_sq"}
    sweeps, found = moved("lamb")  # the moments are written in the first sweep, and read again
    assert sweeps == [({"param", "grad", *moments}, moments), ({"param", *moments}, {"param"})]
    assert found == 40
    assert moved("stable_adamw")[1] == 36
    assert moved("adagrad_norm")[1] == 16


@pytest.mark.parametrize("n", [0, 5, (1 << 15) + 3])
def test_squares_are_summed_up_and_followed_twice(n):
    x = torch.randn(n, generator=torch.Generator().manual_seed(0))
    assert summed(x, True, 0).item() == pytest.approx(x.double().square().sum().item(), rel=1e-13)
    at_zero = torch.zeros(n, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(summed(at_zero, True, 0), at_zero, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), at_zero)
    assert torch.equal(curvature, torch.full((n,), 2.0, dtype=torch.float64))
