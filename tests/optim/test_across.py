"""Rules that ask all tensors of a group or an optimizer together, on every way of stepping."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import Parameter

import slalom
from reference import distance
from slalom.backends import using
from slalom.backends.llvm import meetings
from slalom.ir.formula import formulas
from slalom.ir.program import crosses, trace
from slalom.optim import DAdaptAdam, Prodigy
from slalom.rules import RULES, RuleError, highest, maximum, mean, norm, rule, sqrt, total

SHAPES = [(30, 50), (7,), (), (3, 4, 2, 5), (0, 3), (90, 1), (5000,)]
BOTH = pytest.mark.parametrize("backend", ["llvm", "foreach"])


@rule(shapes={"longest": "one"})
def asking(param, grad, longest, momentum_buffer, *, lr=0.1, beta=0.9, maximize=False):
    """Everything at once: crossings before, between and behind sweeps, and one behind another."""
    grad = -grad if maximize else grad
    before = highest(longest, "optimizer")
    grad = grad / maximum(norm(grad, over="group"), 1e-6)
    momentum_buffer = beta * momentum_buffer + grad
    largest = highest(norm(momentum_buffer), "optimizer")
    share = total(norm(momentum_buffer) / largest, over="group")
    change = momentum_buffer * share / (1 + before) + mean(param, over="optimizer")
    return param - lr * change, maximum(before, total(change * change)), momentum_buffer


def asked(groups, gradients, lr=0.1, beta=0.9):
    """The same in NumPy, of all groups at once."""
    params = [[p.copy() for p in group] for group in groups]
    momenta = [[np.zeros_like(p) for p in group] for group in groups]
    longest = [[0.0 for _ in group] for group in groups]
    for step in gradients:
        before = max(x for own in longest for x in own)
        elements = max(1, sum(p.size for own in params for p in own))
        average = sum(p.sum() for own in params for p in own) / elements
        for g, grads in enumerate(step):
            length = max(math.sqrt(sum((x**2).sum() for x in grads)), 1e-6)
            momenta[g] = [beta * m + x / length for m, x in zip(momenta[g], grads, strict=True)]
        norms = [[np.sqrt((m**2).sum()) for m in own] for own in momenta]
        largest = max(n for own in norms for n in own)
        for g, own in enumerate(params):
            share = sum(n / largest for n in norms[g])
            for i, p in enumerate(own):
                change = momenta[g][i] * share / (1 + before) + average
                p -= lr * change
                longest[g][i] = max(before, (change**2).sum())
    return [p for own in params for p in own]


def randoms(shapes, steps, seed=0):
    chance = np.random.default_rng(seed)
    start = [np.asarray(chance.standard_normal(s)) for s in shapes]
    return start, [[np.asarray(chance.standard_normal(s)) for s in shapes] for _ in range(steps)]


def stepped(optimizer, params, gradients):
    for step in gradients:
        for param, grad in zip(params, step, strict=True):
            param.grad = None if grad is None else torch.tensor(grad, dtype=param.dtype)
        optimizer.step()
    return params


@BOTH
@settings(max_examples=8, deadline=None)
@given(shapes=st.lists(st.sampled_from(SHAPES), min_size=2, max_size=4), cut=st.integers(1, 3))
def test_all_tensors_of_a_group_or_an_optimizer(backend, shapes, cut):
    start, gradients = randoms(shapes, 5)
    cut = min(cut, len(shapes) - 1)
    params = [Parameter(torch.tensor(p)) for p in start]
    with using(backend):
        groups = [{"params": params[:cut]}, {"params": params[cut:]}]
        stepped(slalom.optimizer(asking)(groups), params, gradients)
    expected = asked([start[:cut], start[cut:]], [[g[:cut], g[cut:]] for g in gradients])
    for ours, theirs in zip(params, expected, strict=True):
        assert distance(ours, torch.tensor(theirs)) <= 1e-11


def prodigy(params, gradients, *, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, d0=1e-6,
            d_coef=1.0, growth_rate=math.inf):  # fmt: skip
    """Algorithm 4 of its paper with the authors' choices, one d of all, in NumPy."""
    (beta1, beta2), beta3 = betas, math.sqrt(betas[1])
    x, d, most, numerator = [p.copy() for p in params], d0, d0, 0.0
    m, v, s = ([np.zeros_like(p) for p in params] for _ in range(3))
    for step in gradients:
        numerator *= beta3
        for i, g in enumerate(step):
            numerator += d / d0 * d * float((g * (params[i] - x[i])).sum())
            m[i] = beta1 * m[i] + d * (1 - beta1) * g
            v[i] = beta2 * v[i] + d * d * (1 - beta2) * g * g
            s[i] = beta3 * s[i] + d / d0 * d * g
        found = d_coef * numerator / sum(np.abs(a).sum() for a in s)
        rate, d, most = d, max(d, found) if d == d0 else d, max(most, found)
        d = min(most, d * growth_rate)
        for i, p in enumerate(x):
            p *= 1 - rate * weight_decay
            p -= rate * m[i] / (np.sqrt(v[i]) + d * eps)
    return x


def d_adapt_adam(params, gradients, *, betas=(0.9, 0.999), eps=1e-8, d0=1e-6):
    """Algorithm 5 of its paper as the authors have it, one d of all, in NumPy."""
    (beta1, beta2), root = betas, math.sqrt(betas[1])
    x, d, weighted = [p.copy() for p in params], d0, 0.0
    m, v, s = ([np.zeros_like(p) for p in params] for _ in range(3))
    for step in gradients:
        ahead = 0.0
        for i, g in enumerate(step):
            ahead += d * float((g * s[i] / (np.sqrt(v[i]) + eps)).sum())
            m[i] = beta1 * m[i] + d * (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g * g
            s[i] = root * s[i] + d * (1 - root) * g
        weighted = root * weighted + (1 - root) * ahead
        d = max(d, weighted / ((1 - root) * sum(np.abs(a).sum() for a in s)))
        for i, p in enumerate(x):
            p -= m[i] / (np.sqrt(v[i]) + eps)
    return x


KNOWN = [
    (Prodigy, prodigy, {}),
    (Prodigy, prodigy, {"d0": 0.01, "weight_decay": 0.1, "d_coef": 2.0, "growth_rate": 1.02}),
    (DAdaptAdam, d_adapt_adam, {}),
    (DAdaptAdam, d_adapt_adam, {"d0": 0.01, "betas": (0.8, 0.95)}),
]


@BOTH
@pytest.mark.parametrize(("made", "reference", "options"), KNOWN)
def test_the_rules_of_their_papers(made, reference, options, backend):
    """Whatever groups and backends, one d; the gradients lean one way, so that it grows."""
    start, gradients = randoms(SHAPES, 60)
    gradients = [[g + 0.3 for g in step] for step in gradients]
    params = [Parameter(torch.tensor(p)) for p in start]
    with using(backend):
        stepped(
            optimizer := made([{"params": params[:3]}, {"params": params[3:]}], **options),
            params, gradients,
        )  # fmt: skip
    for ours, theirs in zip(params, reference(start, gradients, **options), strict=True):
        assert distance(ours, torch.tensor(theirs)) <= 1e-10
    kept = {optimizer.state[p]["d"].item() for p in params}
    assert len(kept) == 1
    assert kept.pop() > 2 * options.get("d0", 1e-6)


@BOTH
@pytest.mark.parametrize("made", [Prodigy, DAdaptAdam])
def test_a_parameter_without_a_gradient_has_no_part_in_a_step(made, backend):
    """It comes back to the estimate of the others."""
    start, gradients = randoms([(4, 3), (5,), (2,)], 12)
    params = [Parameter(torch.tensor(p)) for p in start]
    gradients = [[g + 0.3 for g in step] for step in gradients]
    with using(backend):
        optimizer = made(params, d0=0.01)
        stepped(optimizer, params, gradients[:2])
        kept = {k: v.clone() for k, v in optimizer.state[params[1]].items()}
        before = params[1].detach().clone()
        stepped(optimizer, params, [[a, None, c] for a, _, c in gradients[2:10]])
        assert torch.equal(params[1], before)
        assert all(torch.equal(v, optimizer.state[params[1]][k]) for k, v in kept.items())
        stepped(optimizer, params, gradients[10:])
    assert len({optimizer.state[p]["d"].item() for p in params}) == 1


@BOTH
@pytest.mark.parametrize("made", [Prodigy, DAdaptAdam])
def test_resumed_to_the_bit(made, backend):
    start, gradients = randoms(SHAPES, 12)

    def begun():
        params = [Parameter(torch.tensor(p, dtype=torch.float32)) for p in start]
        return made(params, d0=0.01), params

    with using(backend):
        whole, params = begun()
        stepped(whole, params, gradients[:5])
        saved = whole.state_dict(snapshot=True)
        again, others = begun()
        with torch.no_grad():
            for mine, theirs in zip(others, params, strict=True):
                mine.copy_(theirs)
        again.load_state_dict(copy.deepcopy(saved))
        stepped(whole, params, gradients[5:])
        stepped(again, others, gradients[5:])
    assert all(map(torch.equal, params, others))


@BOTH
def test_threads_change_no_bit(backend):
    start, gradients = randoms([(300, 500), (70_000,), (9,)], 3)
    ends, threads = [], torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            params = [Parameter(torch.tensor(p, dtype=torch.float32)) for p in start]
            with using(backend):
                ends.append(stepped(Prodigy(params, d0=0.01), params, gradients))
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, *ends))


def test_what_machine_code_refuses_takes_all_with_it():
    """They are asked together, so that one way of updating serves all of them, or none."""
    start, gradients = randoms([(4, 6), (5,)], 5)
    params = [Parameter(torch.tensor(p)) for p in start]
    params[0].data = params[0].data.repeat(1, 2)[:, ::2]
    start[0] = params[0].detach().numpy().copy()
    optimizer = Prodigy(params, d0=0.01)
    for p in params:
        p.grad = torch.zeros_like(p)
    served = slalom.explain(optimizer).rows
    assert [row[3] for row in served] == ["foreach", "foreach"]
    assert "looks at all tensors together" in served[1][4]
    with pytest.warns(UserWarning, match="without machine code"):
        stepped(optimizer, params, gradients)
    for ours, theirs in zip(params, prodigy(start, gradients, d0=0.01), strict=True):
        assert distance(ours, torch.tensor(theirs)) <= 1e-10


def test_stopped_at_a_crossing_nothing_is_changed(monkeypatch):
    """Ctrl-C may come between two calls into machine code."""
    start, gradients = randoms([(40,), (5,)], 3)
    params = [Parameter(torch.tensor(p)) for p in start]
    optimizer = Prodigy(params, d0=0.01)
    stepped(optimizer, params, gradients[:2])
    then = copy.deepcopy((optimizer.state_dict(), params))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(meetings, "_bring_together", stop)
        with pytest.raises(KeyboardInterrupt):
            stepped(optimizer, params, gradients[2:])
    now = optimizer.state_dict()["state"]
    assert all(map(torch.equal, then[1], params))
    assert all(torch.equal(v, now[i][k]) for i, s in then[0]["state"].items() for k, v in s.items())
    stepped(optimizer, params, gradients[2:])
    for ours, theirs in zip(params, prodigy(start, gradients, d0=0.01), strict=True):
        assert distance(ours, torch.tensor(theirs)) <= 1e-10


def length_of_all(tensors) -> torch.Tensor:
    return torch.stack([(t.detach() ** 2).sum() for t in tensors]).sum().sqrt()


@rule(shapes={"size": "one", "square": "row"})
def by_rows_too(param, grad, size, square, *, lr=0.1):
    """Of vectors the row is an element, so that what is asked first is another thing there."""
    length = norm(grad, over="optimizer")
    size = norm(param, over="optimizer")
    square = mean((grad / length) ** 2, axis=1)
    return param - lr * grad, size, square


@rule(shapes={"rows": "one", "size": "one"})
def rows_in_all(param, grad, rows, size, *, lr=0.1):
    """What needs a look at rows before, and of vectors none, beside what needs none anywhere."""
    rows = total(norm(grad, axis=1) * grad * grad, over="optimizer")
    size = total(param * param, over="optimizer")
    return param - lr * grad, rows, size


@BOTH
@pytest.mark.parametrize("shapes", [[(3, 4), (5,)], [(5,), (3, 4)], [(), (6, 1), (1, 6), (7, 3)]])
def test_tensors_of_every_shape_are_asked_the_same(shapes, backend):
    params = [Parameter(torch.randn(s, dtype=torch.float64)) for s in shapes]
    size = length_of_all(params)
    for p in params:
        p.grad = 10 * torch.randn_like(p)
    length = length_of_all([p.grad for p in params])
    grads = [p.grad.reshape(p.shape[0] if p.dim() else 1, -1) for p in params]
    rows = torch.stack([(g.norm(dim=1, keepdim=True) * g * g).sum() for g in grads]).sum()
    with using(backend):
        first = slalom.optimizer(by_rows_too)(params, lr=0.0)
        first.step()
        second = slalom.optimizer(rows_in_all)(params, lr=0.0)
        second.step()
    for p, g in zip(params, grads, strict=True):
        assert distance(first.state[p]["size"], size) <= 1e-13
        mean_square = ((g / length) ** 2).mean(1)
        assert distance(first.state[p]["square"].reshape(-1), mean_square) <= 1e-13
        assert distance(second.state[p]["rows"], rows) <= 1e-13
        assert distance(second.state[p]["size"], size**2) <= 1e-13


@rule
def decaying(param, grad, *, lr=0.1, weight_decay=0.0):
    length = total(grad * grad, over="optimizer")
    size = total(param * param, over="optimizer")
    if weight_decay:
        param = param * (1 - lr * weight_decay * size)
    return param - lr * (length / (size + 1)) * grad


@pytest.mark.parametrize("backend", ["llvm", "foreach", "capturable", "differentiable"])
def test_groups_with_other_options_are_asked_the_same(backend):
    """Whichever of two things a group uses first."""
    params = [torch.randn(4, 3, dtype=torch.float64) for _ in range(2)]
    before = [p.detach().clone() for p in params]
    for p in params:
        p.grad = torch.randn_like(p)
    length, size = (length_of_all(t) ** 2 for t in ([p.grad for p in params], before))
    groups = [{"params": params[:1]}, {"params": params[1:], "weight_decay": 0.5}]
    flag = {} if backend in ("llvm", "foreach") else {backend: True}
    with using(backend if backend == "foreach" else "llvm"):
        slalom.optimizer(decaying)(groups, **flag).step()
    for p, then, decay in zip(params, before, (0, 0.5), strict=True):
        right = then * (1 - 0.1 * decay * size) - 0.1 * length / (size + 1) * p.grad
        assert distance(p, right) <= 1e-13


def test_what_is_asked_at_another_place_is_another_thing():
    """Two groups whose options choose between questions, each as many."""

    @rule
    def choosing(param, grad, *, lr=0.1, weights=False):
        if weights:
            return param - lr * grad * norm(param, over="optimizer")
        return param - lr * grad * norm(grad, over="optimizer")

    params = [Parameter(torch.ones(3)) for _ in range(2)]
    groups = [{"params": [p], "weights": bool(i)} for i, p in enumerate(params)]
    optimizer = slalom.optimizer(choosing)(groups)
    for p in params:
        p.grad = torch.ones_like(p)
    for backend in ("llvm", "foreach"):
        with using(backend), pytest.raises(RuntimeError, match="asks different things of all"):
            optimizer.step()


def test_what_is_refused_and_why():
    model = torch.nn.Linear(3, 2)
    with pytest.raises(ValueError, match="Prodigy asks all tensors together before it updates any"):
        slalom.release(model, Prodigy(model.parameters()))

    @rule
    def by_choice(param, grad, *, lr=0.1, far=True):
        return param - lr * grad / (1 + (norm(grad, over="optimizer") if far else norm(grad)))

    groups = [{"params": [model.weight], "far": True}, {"params": [model.bias], "far": False}]
    optimizer = slalom.optimizer(by_choice)(groups)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    for backend in ("llvm", "foreach"):
        with using(backend), pytest.raises(RuntimeError, match="asks different things of all"):
            optimizer.step()

    def refused(match, what):
        def function(param, grad, *, lr=0.1):
            return param - lr * what(grad)

        with pytest.raises(RuleError, match=match):
            trace(rule(function), {})

    refused("over is 'all' and axis None", lambda grad: norm(grad, over="all"))
    refused("stands without an axis", lambda grad: mean(grad, 0, "group"))
    refused("not one for a tensor", lambda grad: highest(grad, "group"))
    with pytest.raises(ValueError, match="over is 'all'"):
        total(torch.ones(3), over="all")
    with pytest.raises(ValueError, match="one number of a tensor"):
        highest(torch.ones(3), "group")


def test_formulas_and_passes():
    assert crosses(RULES["prodigy"])
    assert not crosses(RULES["lamb"])
    program = trace(asking, {}, first=False)
    text = "\n".join(formulas(program.source))
    assert "highest(longest, over the optimizer)" in text
    assert "norm(grad, over the group)" in text
    assert [c.before for c in program.crossings] == [0, 1, 2, 2]
    program = trace(RULES["prodigy"], RULES["prodigy"].hypers, step=9, first=False)
    first, last = program.sweeps
    assert set(first.reads) == {"param", "grad", "s", "p0"}
    assert not first.writes  # or what is stopped at the crossing would be half done
    assert set(last.writes) == {"param", "exp_avg", "exp_avg_sq", "s"}
    assert program.bytes == 52


def test_a_tensor_by_itself_is_all_of_them():
    x = torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert norm(x, over="optimizer") == 5
    assert total(x, over="group") == 7
    assert mean(x, over="group") == 3.5
    assert highest(sqrt(x[:1]), "group") == math.sqrt(3)
