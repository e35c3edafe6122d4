"""Row-sparse gradients: torch's results where torch has them, and not a bit of any other row."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Embedding, Parameter

import slalom
from reference import distance
from slalom.rules import RULES

ROWS, WIDTH = 9, 4

BY_ROWS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"maximize": True}),
    ("Momentum", {}),
    ("Momentum", {"nesterov": True, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True, "momentum": 0.9}),
    ("RMSprop", {"eps_inside_sqrt": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "eps": 1e-2, "betas": (0.5, 0.7)}),
]
"""Rules that read and write the touched rows alone."""

IDS = [f"{name} {' '.join(options)}".strip() for name, options in BY_ROWS]

TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-6, torch.bfloat16: 2**-7}

TORCHS: list[tuple[str, str, dict[str, Any]]] = [
    ("SGD", "SGD", {}),
    ("SGD", "SGD", {"momentum": 0.9}),
    ("SGD", "SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", "SGD", {"momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("Adagrad", "Adagrad", {}),
    ("Adagrad", "Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adam", "SparseAdam", {"eps": 1e-30}),  # an eps that is seen is added elsewhere
    ("Adam", "SparseAdam", {"eps": 1e-30, "betas": (0.5, 0.7), "maximize": True}),
]
"""Ours, torch's that takes sparse gradients, and the options of both."""


def random(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)


def sparse(rows: list[int], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """A gradient as an Embedding makes it: uncoalesced, a row as often as it was looked up."""
    indices = torch.tensor([rows], dtype=torch.int64)
    values = random((len(rows), WIDTH), seed, dtype)
    return torch.sparse_coo_tensor(indices, values, (ROWS, WIDTH), check_invariants=True)


LOOKUPS = [[1, 1, 4], [0, 8], [], [4, 4, 4, 4], [2], [8, 1, 8], [], [0, 1, 2, 3, 4, 6, 7, 8]]
"""The rows that the steps touch; nobody ever touches row 5."""

TABLE = random((ROWS, WIDTH), 0)


def states(optimizer, param) -> dict[str, Tensor]:
    return {n: t for n, t in optimizer.state[param].items() if t.shape == param.shape}


def bits(tensor: Tensor) -> Tensor:
    kinds = {8: torch.int64, 4: torch.int32, 2: torch.int16}
    return tensor.detach().view(kinds[tensor.element_size()])


def masked_step(optimizer, param, grad: Tensor) -> None:
    """The dense step, after which all that the gradient does not touch is put back."""
    before = param.detach().clone(), {n: t.clone() for n, t in states(optimizer, param).items()}
    param.grad = grad.to_dense()
    optimizer.step()
    rest = torch.ones(ROWS, dtype=torch.bool)
    rest[(grad.coalesce().indices()[0] if grad.is_sparse else torch.arange(ROWS))] = False
    begin = optimizer.param_groups[0].get("initial_accumulator_value", 0)
    with torch.no_grad():
        param[rest] = before[0][rest]
        for name, tensor in states(optimizer, param).items():
            tensor[rest] = before[1].get(name, torch.full_like(param, begin))[rest]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("name", "options"), BY_ROWS, ids=IDS)
def test_the_touched_rows_go_as_in_a_dense_step_and_no_other_changes_a_bit(name, options, dtype):
    param = Parameter(TABLE.to(dtype).clone())
    twin = Parameter(param.detach().clone())
    optimizer, masked = (
        getattr(slalom.optim, name)([p], **{"lr": 0.05, **options}) for p in (param, twin)
    )
    for i, rows in enumerate(LOOKUPS):
        before = {
            n: t.clone() for n, t in (("", param.detach()), *states(optimizer, param).items())
        }
        param.grad = sparse(rows, i, dtype)
        given = param.grad.clone()
        optimizer.step()
        masked_step(masked, twin, given)
        assert not param.grad.is_coalesced() or given.is_coalesced(), "it changes the gradient"
        assert distance(param, twin) <= TOLERANCE[dtype]
        now = states(optimizer, param)
        assert now.keys() == states(masked, twin).keys()
        for state, tensor in now.items():
            assert tensor.dtype == dtype
            assert distance(tensor, states(masked, twin)[state]) <= TOLERANCE[dtype]
        rest = [r for r in range(ROWS) if r not in rows]
        for state, tensor in (("", param), *now.items()):
            if state in before:
                assert torch.equal(bits(tensor)[rest], bits(before[state])[rest])


def test_what_is_not_touched_may_be_anything():
    """NaN, infinity and the sign of zero in other rows stay, and do not spread."""
    for name in ("SGD", "Momentum", "Adagrad", "RMSprop", "Adam"):
        param = Parameter(torch.zeros(ROWS, WIDTH))
        optimizer = getattr(slalom.optim, name)([param], lr=0.1)
        param.grad = sparse([1, 4], 0, torch.float32)
        optimizer.step()
        odd = torch.tensor([float("nan"), float("inf"), float("-inf"), -0.0])
        for tensor in (param, *states(optimizer, param).values()):
            tensor.data[5] = odd
        param.grad = sparse([1, 4, 6], 1, torch.float32)
        optimizer.step()
        for tensor in (param, *states(optimizer, param).values()):
            assert torch.equal(bits(tensor)[5], bits(odd))
            assert bool(tensor[[0, 1, 2, 3, 4, 6, 7, 8]].isfinite().all())


@pytest.mark.parametrize(("name", "torchs", "options"), TORCHS)
def test_as_torchs(name, torchs, options):
    ours = Embedding(ROWS, WIDTH, sparse=True, dtype=torch.float64)
    theirs = copy.deepcopy(ours)
    mine = getattr(slalom.optim, name)(ours.parameters(), lr=0.1, **options)
    other = getattr(torch.optim, torchs)(theirs.parameters(), lr=0.1, **options)
    for rows in LOOKUPS:
        for model, optimizer in ((ours, mine), (theirs, other)):
            optimizer.zero_grad()
            model(torch.tensor(rows, dtype=torch.int64)).square().sum().backward()
            assert model.weight.grad.is_sparse
            optimizer.step()
        assert distance(ours.weight, theirs.weight) <= 1e-13
    for state, tensor in other.state[theirs.weight].items():
        if state != "step":
            assert distance(mine.state[ours.weight][state], tensor.to_dense()) <= 1e-13
        else:
            assert float(mine.state[ours.weight][state]) == float(tensor) == len(LOOKUPS)


def test_where_the_epsilon_of_sparse_adam_stands():
    """Its eps is ours over sqrt(1 - beta2^t): one step with each shows it."""
    eps, beta2 = 0.3, 0.9
    ends = []
    for make, own in (
        (slalom.optim.Adam, eps),
        (torch.optim.SparseAdam, eps * (1 - beta2) ** 0.5),
        (torch.optim.SparseAdam, eps),
    ):
        param = Parameter(TABLE.clone())
        param.grad = sparse([1, 1, 4], 3)
        make([param], lr=0.1, betas=(0.8, beta2), eps=own).step()
        ends.append(param)
    assert distance(ends[0], ends[1]) <= 1e-14
    assert distance(ends[0], ends[2]) > 1e-3


@pytest.mark.parametrize(("name", "torchs", "options"), TORCHS)
@pytest.mark.parametrize("direction", ["ours to ours", "torch to ours", "ours to torch"])
def test_resumed(name, torchs, options, direction):
    source, target = direction.split(" to ")
    if target == "torch" and options.get("nesterov"):
        pytest.skip("torch's SGD adds no sparse gradient to a dense momentum_buffer under nesterov")
    makes = {
        "ours": lambda p: getattr(slalom.optim, name)(p, lr=0.1, **options),
        "torch": lambda p: getattr(torch.optim, torchs)(p, lr=0.1, **options),
    }

    def walk(optimizer, param, rows, at):
        for i, row in enumerate(rows):
            param.grad = sparse(row, at + i)
            optimizer.step()

    whole, param = Parameter(TABLE.clone()), Parameter(TABLE.clone())
    walk(makes["ours"]([whole]), whole, LOOKUPS, 0)
    optimizer = makes[source]([param])
    walk(optimizer, param, LOOKUPS[:4], 0)
    stream = io.BytesIO()
    torch.save([optimizer.state_dict(), param.detach()], stream)
    stream.seek(0)
    saved, value = torch.load(stream, weights_only=True)
    later = Parameter(value)
    resumed = makes[target]([later])
    resumed.load_state_dict(saved)
    walk(resumed, later, LOOKUPS[4:], 4)
    # SparseAdam computes its bias corrections in the dtype of a step that is a tensor, as ours is
    narrow = target == "torch" and torchs == "SparseAdam"
    assert (
        distance(later, whole)
        <= {"ours": 0.0, "torch": 1e-6 if narrow else 1e-13}[
            target if source == "ours" else "torch"
        ]
    )


@pytest.mark.parametrize(("name", "options"), BY_ROWS, ids=IDS)
@pytest.mark.parametrize("lay", ["plain", "gaps"])
def test_dense_and_sparse_in_turns(name, options, lay):
    """Whatever the gradient was before, and however it and the parameter lay in memory."""
    kinds = "dsstsdztzsd"
    param = Parameter(TABLE.clone())
    if lay == "gaps":
        param.data = torch.stack([TABLE, TABLE], -1)[..., 0]
    twin = Parameter(TABLE.clone())
    optimizer, masked = (
        getattr(slalom.optim, name)([p], **{"lr": 0.05, **options}) for p in (param, twin)
    )
    for i, kind in enumerate(kinds):
        if kind in "sz":
            grad = sparse([i % ROWS, 7, 7] if kind == "s" else [], i)
        else:
            grad = random((ROWS, WIDTH), i)
        param.grad = grad.t().contiguous().t() if kind == "t" else grad
        optimizer.step()
        masked_step(masked, twin, grad)
        assert distance(param, twin) <= 1e-13


@pytest.mark.parametrize("name", ["SGD", "Momentum", "Adagrad", "RMSprop", "Adam"])
def test_dense_and_sparse_parameters_in_one_optimizer(name):
    """Each goes as it would in an optimizer of its own, and only the sparse one is not compiled."""
    torch.manual_seed(0)
    together = torch.nn.Sequential(
        Embedding(ROWS, WIDTH, sparse=True), torch.nn.Linear(WIDTH, 3), torch.nn.Linear(3, 2)
    ).double()
    apart = copy.deepcopy(together)
    make = getattr(slalom.optim, name)
    one = [make([(n, p) for n, p in together.named_parameters()], lr=0.05)]
    many = [make(layer.parameters(), lr=0.05) for layer in apart]
    for rows in LOOKUPS:
        for model, optimizers in ((together, one), (apart, many)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            model(torch.tensor(rows, dtype=torch.int64)).square().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
    assert all(map(torch.equal, together.parameters(), apart.parameters()))
    served = {row[0]: row[3] for row in slalom.explain(one[0]).rows}
    assert {n for n, backend in served.items() if backend == "foreach"} == {"0.weight"}


@given(lookups=st.lists(st.lists(st.integers(0, ROWS - 1), max_size=12), min_size=1, max_size=6))
def test_any_rows_any_number_of_times(lookups):
    """What an Embedding finds more than once counts once, with the sum of its gradients."""
    for name in ("SGD", "Momentum", "Adagrad", "RMSprop", "Adam"):
        params = [Parameter(TABLE.clone()) for _ in range(2)]
        optimizers = [getattr(slalom.optim, name)([p], lr=0.1) for p in params]
        for i, rows in enumerate(lookups):
            params[0].grad = sparse(rows, i)
            params[1].grad = sparse(rows, i).coalesce()
            for optimizer in optimizers:
                optimizer.step()
        assert torch.equal(*params)


def test_gradients_that_are_sparse_in_every_axis():
    """Single elements are touched then, and nothing else of their rows."""
    for name, torchs, options in TORCHS:
        if "momentum" in options:
            continue
        ends = []
        for make in (getattr(slalom.optim, name), getattr(torch.optim, torchs)):
            param = Parameter(TABLE.clone())
            optimizer = make([param], lr=0.1, **options)
            for i in range(3):
                grad = random((ROWS, WIDTH), i)
                param.grad = (grad * (grad > 0.8)).to_sparse()
                optimizer.step()
            ends.append(param)
        assert distance(*ends) <= 1e-13


def test_an_empty_gradient_is_a_step_in_which_nothing_is_touched():
    """As in torch.optim.SparseAdam: the step counts, and that is all."""
    for name in ("SGD", "Momentum", "Adagrad", "RMSprop", "Adam"):
        param = Parameter(TABLE.clone())
        optimizer = getattr(slalom.optim, name)([param], lr=0.1)
        param.grad = sparse([2, 3], 0)
        optimizer.step()
        before = [t.clone() for t in (param.detach(), *states(optimizer, param).values())]
        optimizer.zero_grad(set_to_none=False)  # leaves a gradient of no rows
        assert param.grad._nnz() == 0
        optimizer.step()
        assert all(map(torch.equal, before, (param, *states(optimizer, param).values())))
        assert float(optimizer.state[param].get("step", 2)) == 2


def test_clipped_by_the_norm_of_dense_and_sparse_together():
    ends = []
    for densely in (False, True):
        params = [Parameter(TABLE.clone()), Parameter(random((5,), 1))]
        optimizer = slalom.optim.SGD(params, lr=0.1, clip_norm=0.5)
        for i, rows in enumerate(LOOKUPS):
            grad = sparse(rows, i)
            params[0].grad = grad.to_dense() if densely else grad
            params[1].grad = random((5,), 30 + i)
            optimizer.step()
        ends.append(params)
    assert max(map(distance, *ends)) <= 1e-13


@pytest.mark.parametrize("unscale", [False, True])
def test_under_a_gradient_scaler(unscale):
    ends = []
    for scale in (1.0, 1024.0):
        param = Parameter(TABLE.float().clone())
        optimizer = slalom.optim.Adam([param], lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        for i, rows in enumerate(LOOKUPS):
            scaler.scale(torch.zeros(()))
            param.grad = sparse(rows, i, torch.float32) * scale
            if i == 3:
                param.grad = sparse([0], i, torch.float32) * float("inf")
            if unscale:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update(scale)
        assert bool(param.isfinite().all())
        ends.append(param)
    assert distance(*ends) <= 1e-6


REFUSING = sorted(n for n, r in RULES.items() if r.sparse is None)


def frozen(optimizer, params) -> list[Any]:
    """All that a step may change, as values."""
    saved = copy.deepcopy(optimizer.state_dict()["state"])
    return [[p.detach().clone() for p in params], saved]


def assert_same(a, b) -> None:
    leaves = torch.utils._pytree.tree_flatten
    (xs, x), (ys, y) = leaves(a), leaves(b)
    assert x == y
    assert all(map(torch.equal, xs, ys))


@pytest.mark.parametrize("name", REFUSING)
@pytest.mark.parametrize("before", ["nothing", "dense", "transposed", "gaps", "clipped"])
def test_a_rule_without_a_sparse_form_refuses_and_changes_nothing(name, before):
    """In the first step or later, whatever stood before it in the list of parameters."""
    params = [Parameter(random((6,), 1)), Parameter(TABLE.clone())]
    if before == "gaps":
        params[1].data = torch.stack([TABLE, TABLE], -1)[..., 0]
    clip = {"clip_norm": 1.0} if before == "clipped" else {}
    optimizer = slalom.optimizer(RULES[name])(params, lr=0.1, **clip)
    for i in range(0 if before == "nothing" else 3):
        params[0].grad = random((6,), i)
        params[1].grad = random((ROWS, WIDTH), i)
        if before == "transposed":
            params[1].grad = params[1].grad.t().contiguous().t()
        optimizer.step()
    was = frozen(optimizer, params)
    params[0].grad, params[1].grad = random((6,), 8), sparse([1, 1], 9)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^\w+ does not support sparse gradients"):
            optimizer.step()
        assert_same(frozen(optimizer, params), was)
    params[1].grad = random((ROWS, WIDTH), 9)
    for _ in range(2):  # SOAP moves nothing in the first
        optimizer.step()
    assert not torch.equal(params[1], was[0][1])


@pytest.mark.parametrize("name", ["SGD", "Momentum", "Adagrad", "RMSprop", "Adam"])
@pytest.mark.parametrize("begun", [False, True])
def test_decay_of_what_is_sparse_is_refused_when_it_begins(name, begun):
    params = [Parameter(random((6,), 1)), Parameter(TABLE.clone())]
    optimizer = getattr(slalom.optim, name)(params, lr=0.1)
    params[0].grad, params[1].grad = random((6,), 8), sparse([1, 1], 9)
    if begun:
        optimizer.step()
    was = frozen(optimizer, params)
    optimizer.param_groups[0]["weight_decay"] = 0.1
    with pytest.raises(RuntimeError, match="weight_decay option is not compatible with sparse"):
        optimizer.step()
    assert_same(frozen(optimizer, params), was)
    optimizer.param_groups[0]["weight_decay"] = 0
    optimizer.step()
    assert not torch.equal(params[1], was[0][1])
