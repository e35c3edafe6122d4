"""The classes that torch has too, against torch's own, and what only Slalom has, by hand."""

from __future__ import annotations

import copy
import inspect
import math
import pickle

import pytest
import torch

import slalom
from reference import distance

CONFIGURATIONS = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"eps": 1e-3, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "momentum": 0.9, "centered": True}),
    ("RMSprop", {"weight_decay": 0.1, "maximize": True, "eps": 1e-4}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1, "betas": (0.8, 0.95)}),
    ("Adam", {"maximize": True, "eps": 1e-3, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"momentum_decay": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"betas": (0.8, 0.95), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("ASGD", {}),
    ("ASGD", {"lambd": 0.1, "alpha": 0.5, "t0": 3, "weight_decay": 0.1, "maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.01, 0.3), "maximize": True}),
]
TOLERANCE = {torch.float32: 5e-6, torch.float64: 1e-12}
SHAPES = [(64, 128), (128,), (3, 4, 5), (), (0, 3), (10,)]


def named(configuration):
    name, options = configuration
    return "-".join([name, *options])


@pytest.fixture
def counted_in_double():
    """Torch keeps step counts and the like in the default dtype, and computes with them so."""
    torch.set_default_dtype(torch.float64)


@pytest.fixture(params=CONFIGURATIONS, ids=named)
def configuration(request):
    return request.param


def pair(dtype=torch.float64):
    """Two lists of equal parameters."""
    ours = [torch.nn.Parameter(torch.randn(s, dtype=dtype)) for s in SHAPES]
    return ours, [torch.nn.Parameter(p.detach().clone()) for p in ours]


def walk(ours, theirs, mine, other, n=25):
    for _ in range(n):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        mine.step()
        other.step()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_25_steps(configuration, dtype, counted_in_double):
    name, options = configuration
    ours, theirs = pair(dtype)
    mine = getattr(slalom.optim, name)(ours, **options)
    other = getattr(torch.optim, name)(theirs, **options)
    walk(ours, theirs, mine, other)
    assert all(distance(p, q) <= TOLERANCE[dtype] for p, q in zip(ours, theirs, strict=True))


def test_arguments_and_defaults_are_torchs(configuration):
    name, _ = configuration
    ours = inspect.signature(getattr(slalom.optim, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    positional = [n for n, p in theirs.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    shared = [n for n in positional if n in ours and ours[n].kind is ours[n].POSITIONAL_OR_KEYWORD]
    assert list(ours)[: len(shared)] == shared
    assert {n: p.default for n, p in ours.items() if n in theirs} == {
        n: p.default for n, p in theirs.items()
    }


@pytest.mark.parametrize("special", [math.nan, math.inf, -math.inf, 1e38, 1e-45, -0.0])
def test_special_gradients_come_out_as_in_torch(configuration, special):
    name, options = configuration
    ours, theirs = pair(torch.float32)
    mine = getattr(slalom.optim, name)(ours, **options)
    other = getattr(torch.optim, name)(theirs, **options, foreach=False)
    for step in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            if step == 1 and p.numel():
                p.grad.view(-1)[::5] = special
            q.grad = p.grad.clone()
        mine.step()
        other.step()
    for p, q in zip(ours, theirs, strict=True):
        finite = q.isfinite()
        assert torch.equal(p.isfinite(), finite)
        if name != "RAdam":  # where torch's lerp makes NaN of an average that is infinite
            assert torch.equal(p.isnan(), q.isnan())
        torch.testing.assert_close(p[finite], q[finite], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("direction", ["from torch", "to torch"])
def test_checkpoints_are_exchanged(configuration, direction, counted_in_double):
    name, options = configuration
    ours, theirs = pair()
    mine = getattr(slalom.optim, name)(ours, **options)
    other = getattr(torch.optim, name)(theirs, **options)
    walk(ours, theirs, mine, other, 5)
    a, b = mine.state_dict(), other.state_dict()
    assert set(a["param_groups"][0]) - {"eps_inside_sqrt"} == set(b["param_groups"][0])
    assert a["state"].keys() == b["state"].keys()
    for key, state in b["state"].items():
        assert list(a["state"][key]) == list(state)
        for entry, value in state.items():
            assert (value.shape, value.dtype) == (
                a["state"][key][entry].shape, a["state"][key][entry].dtype
            )  # fmt: skip
    source, target = (b, slalom.optim) if direction == "from torch" else (a, torch.optim)
    stream = pickle.loads(pickle.dumps(source))
    resumed_params = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    resumed = getattr(target, name)(resumed_params, **options)
    resumed.load_state_dict(stream)
    for _ in range(5):
        for p, q, r in zip(ours, theirs, resumed_params, strict=True):
            p.grad = torch.randn_like(p)
            q.grad, r.grad = p.grad.clone(), p.grad.clone()
        mine.step(), other.step(), resumed.step()
    assert all(distance(r, q) <= 1e-12 for r, q in zip(resumed_params, theirs, strict=True))


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_go_on_alike(configuration, copier):
    name, options = configuration
    ours, _ = pair()
    mine = getattr(slalom.optim, name)(ours, **options)
    walk(ours, ours, mine, mine, 1)
    twin = copier(mine)
    twins = twin.param_groups[0]["params"]
    for _ in range(3):
        for p, q in zip(ours, twins, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        mine.step()
        twin.step()
    assert all(torch.equal(p, q) for p, q in zip(ours, twins, strict=True))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Adam", {"lr": -1.0}, "Invalid learning rate: -1.0"),
        ("Adam", {"eps": -1e-8}, "Invalid epsilon value: -1e-08"),
        ("Adam", {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        ("Adam", {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        ("Adam", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("SGD", {"momentum": -0.5}, "Invalid momentum value: -0.5"),
        ("SGD", {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        ("RMSprop", {"alpha": -0.1}, "Invalid alpha value: -0.1"),
        ("Adagrad", {"lr_decay": -0.1}, "Invalid lr_decay value: -0.1"),
        ("Adadelta", {"rho": 1.1}, "Invalid rho value: 1.1"),
        ("Adadelta", {"rho": -0.1}, "Invalid rho value: -0.1"),
        ("NAdam", {"momentum_decay": -0.2}, "Invalid momentum_decay value: -0.2"),
        ("Rprop", {"etas": (1.0, 0.5)}, "Invalid eta values: 1.0, 0.5"),
        ("RAdam", {"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
    ],
)
def test_wrong_arguments_are_refused_in_torchs_words(name, options, message):
    params = [torch.nn.Parameter(torch.ones(2))]
    for library in (torch.optim, slalom.optim):
        with pytest.raises(ValueError, match="^" + message.replace("(", r"\(") + "$"):
            getattr(library, name)(params, **options)


def test_what_cannot_be_is_refused():
    params = [torch.nn.Parameter(torch.ones(2))]
    with pytest.raises(RuntimeError, match="cannot be `True` together"):
        slalom.optim.Adam(params, foreach=True, fused=True)
    with pytest.raises(TypeError, match="'lr'"):
        slalom.optim.Momentum(params)
    with pytest.raises(TypeError, match="unexpected keyword argument 'learning_rate'"):
        slalom.optim.Adam(params, learning_rate=1)
    with pytest.raises(ValueError, match="Invalid learning rate: -2"):
        slalom.optim.Adam([{"params": params, "lr": -2}])
    embedding = torch.nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="NAdam does not support sparse gradients"):
        slalom.optim.NAdam(embedding.parameters()).step()


def test_sparse_gradients_where_torch_takes_them():
    for name, torchs in (("SGD", "SGD"), ("Adagrad", "Adagrad"), ("Adam", "SparseAdam")):
        torch.manual_seed(1)
        ours = torch.nn.Embedding(7, 3, sparse=True)
        theirs = copy.deepcopy(ours)
        mine = getattr(slalom.optim, name)(ours.parameters(), lr=0.1)
        other = getattr(torch.optim, torchs)(theirs.parameters(), lr=0.1)
        for rows in ([1, 1, 4], [0, 6], [4, 4, 4]):
            for model, optimizer in ((ours, mine), (theirs, other)):
                optimizer.zero_grad()
                model(torch.tensor(rows)).square().sum().backward()
                optimizer.step()
        assert distance(ours.weight, theirs.weight) <= 1e-6


def test_classic_momentum_is_its_formula():
    """v = beta*v - lr*g; x = x + v, and Nesterov's step ahead, by hand."""
    for nesterov in (False, True):
        x, v = torch.randn(9, dtype=torch.float64), torch.zeros(9, dtype=torch.float64)
        param = torch.nn.Parameter(x.clone())
        optimizer = slalom.optim.Momentum([param], 0.1, momentum=0.8, nesterov=nesterov)
        for _ in range(25):
            g = torch.randn(9, dtype=torch.float64)
            param.grad = g
            optimizer.step()
            v = 0.8 * v - 0.1 * g
            x = x + 0.8 * v - 0.1 * g if nesterov else x + v
        assert distance(param, x) <= 1e-12


def test_rmsprop_with_eps_inside_the_root_is_its_formula():
    x, r = torch.randn(9, dtype=torch.float64), torch.zeros(9, dtype=torch.float64)
    param = torch.nn.Parameter(x.clone())
    optimizer = slalom.optim.RMSprop([param], 0.1, alpha=0.9, eps=1e-2, eps_inside_sqrt=True)
    for _ in range(25):
        g = torch.randn(9, dtype=torch.float64)
        param.grad = g
        optimizer.step()
        r = 0.9 * r + 0.1 * g * g
        x = x - 0.1 * g / (1e-2 + r).sqrt()
    assert distance(param, x) <= 1e-12


def test_the_two_momentums_agree_until_the_rate_changes():
    """Torch's form multiplies past gradients by the new rate, the classic form does not."""
    start = torch.randn(5, dtype=torch.float64)
    grads = [torch.randn(5, dtype=torch.float64) for _ in range(6)]

    def run(make, rates):
        param = torch.nn.Parameter(start.clone())
        optimizer = make([param])
        for grad, rate in zip(grads, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate
            param.grad = grad
            optimizer.step()
        return param.detach()

    def classic(params):
        return slalom.optim.Momentum(params, lr=0.1, momentum=0.9)

    def torchs(params):
        return slalom.optim.SGD(params, lr=0.1, momentum=0.9)

    constant, drop = [0.1] * 6, [0.1] * 3 + [0.0] * 3
    assert distance(run(classic, constant), run(torchs, constant)) <= 1e-12
    frozen = run(torchs, drop)
    assert torch.equal(frozen, run(torchs, [0.1] * 3 + [0.0] * 3))
    assert distance(run(classic, drop), frozen) > 0.01  # its velocity carries on at rate 0


def test_nadam_differs_from_torchs_by_what_torch_rounds_away():
    """Torch rounds the product of momenta to float32 before its use, ours after it."""
    ours, theirs = pair()
    mine, other = slalom.optim.NAdam(ours), torch.optim.NAdam(theirs)
    walk(ours, theirs, mine, other)
    furthest = max(distance(p, q) for p, q in zip(ours, theirs, strict=True))
    assert 1e-12 < furthest < 1e-7


def test_asgds_average_is_the_mean_since_t0():
    """After t0 = 3 steps: the mean of the points, each counted once (torch's mu lags a step)."""
    param = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = slalom.optim.ASGD([param], lr=0.1, lambd=0.0, t0=3)
    points = []
    for _ in range(9):
        param.grad = torch.ones(1, dtype=torch.float64)
        optimizer.step()
        points.append(param.item())
    average = optimizer.state[param]["ax"].item()
    assert average == pytest.approx(sum(points[4:]) / 5, rel=1e-6)
