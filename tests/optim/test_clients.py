"""What clients of torch.optim rely on, our classes beside torch's."""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from collections import UserList
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_optimizer_state_dict,
)
from torch.nn import Parameter
from torch.optim import lr_scheduler as schedulers

import slalom
from reference import distance
from slalom import rules

NAMES = [
    "ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop",
    "SGD",
]  # fmt: skip
LIBRARIES = (torch.optim, slalom.optim)
over_names = pytest.mark.parametrize("name", NAMES)


def parameter(*shape: int) -> Parameter:
    param = Parameter(torch.ones(shape or (3,)))
    param.grad = torch.ones_like(param)
    return param


def options_of(name: str) -> list[dict[str, Any]]:
    """Arguments of torch's class, one or a few at a time."""
    some: list[dict[str, Any]] = [
        {}, {"lr": 0.5}, {"lr": torch.tensor(0.25)}, {"weight_decay": 0.1}, {"maximize": True},
        {"betas": (0.8, 0.9)}, {"foreach": False}, {"foreach": True}, {"fused": True},
        {"fused": False}, {"differentiable": True}, {"amsgrad": True}, {"centered": True},
        {"momentum": 0.9, "nesterov": True}, {"decoupled_weight_decay": True},
    ]  # fmt: skip
    known = inspect.signature(getattr(torch.optim, name)).parameters
    return [o for o in some if o.keys() <= known.keys()]


# How a class looks


@over_names
def test_groups_defaults_and_repr_are_torchs(name):
    for options in options_of(name):
        theirs, ours = (getattr(lib, name)([parameter()], **options) for lib in LIBRARIES)
        assert repr(ours) == repr(theirs)
        assert ours.defaults == theirs.defaults
        for a, b in ((theirs, ours), (theirs.state_dict(), ours.state_dict())):
            a, b = (x["param_groups"] if isinstance(x, dict) else x.param_groups for x in (a, b))
            assert a[0].keys() == b[0].keys()


@over_names
def test_arguments_are_torchs_in_order_and_kind(name):
    def shown(cls: type) -> list[tuple[Any, ...]]:
        parameters = inspect.signature(cls).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters]

    theirs, ours = (shown(getattr(lib, name)) for lib in LIBRARIES)
    assert [p for p in ours if p[0] in {q[0] for q in theirs}] == theirs
    assert {kind for n, kind, _ in ours if n not in {q[0] for q in theirs}} <= {
        inspect.Parameter.KEYWORD_ONLY
    }


@over_names
def test_the_mark_of_a_step_that_unscales_is_where_torch_sets_it(name):
    mark = "_step_supports_amp_scaling"
    for options in options_of(name):
        marks = [
            getattr(getattr(lib, name)([parameter()], **options), mark, None) for lib in LIBRARIES
        ]
        assert marks[0] == marks[1], options
    assert not hasattr(slalom.optim.Momentum([parameter()], lr=0.1), mark)


def test_all_of_torch_optim_is_there():
    names = {n for n in dir(torch.optim) if not n.startswith("_")}
    assert names <= set(dir(slalom.optim))
    assert set(torch.optim.__all__) <= set(slalom.optim.__all__)
    assert slalom.optim.lr_scheduler is torch.optim.lr_scheduler
    assert slalom.optim.Optimizer is torch.optim.Optimizer
    from slalom.optim.lr_scheduler import StepLR
    from slalom.optim.swa_utils import AveragedModel

    assert StepLR is schedulers.StepLR
    assert AveragedModel is torch.optim.swa_utils.AveragedModel


# Scaled gradients


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"fused": False}], ids=str)
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_a_scaler_skips_what_torch_skips(name, options):
    """Weights, scale, and whether hooks (and with them schedulers) saw a step."""
    ends = []
    for lib in LIBRARIES:
        param = parameter()
        optimizer = getattr(lib, name)([param], lr=0.1, **options)
        seen: list[int] = []
        optimizer.register_step_post_hook(lambda *_, seen=seen: seen.append(1))
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        for factor in (1.0, float("inf"), 2.0, float("nan"), 1.0):
            optimizer.zero_grad()
            scaler.scale((param * factor).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
        ends.append((param.detach(), len(seen), scaler.get_scale()))
    (a, *seen), (b, *other) = ends
    assert distance(a, b) <= 1e-6
    assert seen == other


# Construction and steps inside of other things


@pytest.mark.parametrize("name", ["SGD", "Adam", "ASGD"])  # of each, dynamo takes its time
def test_made_and_stepped_in_a_compiled_function(name):
    torch.set_default_dtype(torch.float64)
    ends = []
    for lib in LIBRARIES:
        torch._dynamo.reset()
        param, made = parameter(), getattr(lib, name)

        def epoch(param=param, made=made):
            optimizer = made([param], lr=0.01)
            for _ in range(2):
                optimizer.zero_grad()
                param.square().sum().backward()
                optimizer.step()
            return optimizer

        optimizer = torch.compile(epoch, backend="eager")()
        optimizer.step()
        ends.append(param.detach())
    torch._dynamo.reset()
    assert distance(*ends) <= 1e-9  # torch rounds some scalars of NAdam to float32 here


@pytest.mark.parametrize("name", sorted(rule.class_name for rule in rules.RULES.values()))
def test_a_default_device_is_for_what_has_none(name):
    """Made and stepped under another one, parameters of the CPU are updated all the same."""
    ends = []
    for device in ("cpu", "meta"):
        param = parameter()
        with torch.device(device):
            optimizer = getattr(slalom.optim, name)([param], lr=0.1)
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
            optimizer.step()
        ends.append(param.detach())
    assert torch.equal(*ends)


@pytest.mark.parametrize("name", sorted(rule.class_name for rule in rules.RULES.values()))
def test_fake_tensors(name):
    """As memory is estimated: they are stepped, and have states of their own kind."""
    with FakeTensorMode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*without machine code")
        param = parameter(4, 2)
        optimizer = getattr(slalom.optim, name)([param], lr=0.1)
        optimizer.step()
        optimizer.step()
    assert {type(t) for t in optimizer.state[param].values() if t.dim()} <= {FakeTensor}


@pytest.mark.parametrize("options", [{}, {"fused": True}], ids=str)
def test_parameters_on_meta(options):
    """Without a gradient nothing is asked of them; with one fused=True is refused, as in torch."""
    for lib in LIBRARIES:
        param = Parameter(torch.ones(3, device="meta"))
        optimizer = lib.AdamW([param, parameter()], **options)
        optimizer.step()
        param.grad = torch.ones_like(param)
        refusal = pytest.raises(RuntimeError, match="`fused=True` requires all the params")
        with refusal if options else contextlib.nullcontext(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer.step()


@over_names
def test_integers_are_refused(name):
    param = torch.full((3,), 10)
    optimizer = getattr(slalom.optim, name)([param], lr=0.5)
    param.grad = torch.ones_like(param)
    with pytest.raises(RuntimeError, match=r"holds torch\.int64"):
        optimizer.step()
    assert param.tolist() == [10, 10, 10]
    assert not optimizer.state.get(param)


# Distributed checkpoints


def trained(lib: Any, name: str, **options: Any) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = getattr(lib, name)(model.parameters(), lr=1e-3, **options)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).sum().backward()
        optimizer.step()
    return model, optimizer


@over_names
@pytest.mark.parametrize("flat", [False, True], ids=["nested", "flat"])
@pytest.mark.parametrize("ways", [(0, 1), (1, 0), (1, 1)], ids=["from torch", "to torch", "ours"])
def test_distributed_checkpoints_are_exchanged(name, flat, ways, tmp_path):
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    more = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    (model, optimizer), (other, resumed) = (trained(LIBRARIES[w], name, **more) for w in ways)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no other processes
        saved = get_optimizer_state_dict(model, optimizer, options=options)
        dcp.save({"o": saved}, checkpoint_id=tmp_path, no_dist=True)
        own = get_optimizer_state_dict(other, resumed, options=options)
        assert own.keys() == saved.keys()
        for state in resumed.state.values():
            for value in state.values():
                value.zero_()
        dcp.load({"o": own}, checkpoint_id=tmp_path, no_dist=True)
        set_optimizer_state_dict(other, resumed, own, options=options)
    other.load_state_dict(model.state_dict())
    for net, o in ((model, optimizer), (other, resumed)):
        o.zero_grad()
        net(torch.ones(4, 3)).square().sum().backward()
        o.step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert distance(p.detach(), q.detach()) <= 2e-6


@pytest.mark.parametrize("name", sorted(rule.class_name for rule in rules.RULES.values()))
def test_saving_moves_nothing(name):
    """To make the states, torch steps with a learning rate of zero and gradients of zero."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    before = [p.detach().clone() for p in model.parameters()]
    made = getattr(slalom.optim, name)
    optimizer = made(model.parameters(), lr=0.1, independent_weight_decay=0.1)
    for _ in range(3):
        get_state_dict(model, optimizer)
    assert all(map(torch.equal, model.parameters(), before))


# What a group may hold


@pytest.mark.parametrize("kind", [list, UserList, np.array, torch.tensor], ids=lambda k: k.__name__)
@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Lion", "Adan"])
def test_betas_are_any_sequence(name, kind):
    """Given to the class, to a group, or put into a group between two steps."""
    made = getattr(slalom.optim, name)
    betas, later = ((0.5, 0.75, 0.875)[: 3 if name == "Adan" else 2] for _ in range(2))
    later = tuple(b / 2 for b in later)
    ends = []
    for convert in (tuple, kind):
        given = [parameter() for _ in range(2)]
        if convert is torch.tensor:  # of a class torch takes tensors of one element alone
            optimizer = made([given[0]], betas=tuple(betas))
        else:
            optimizer = made([given[0]], betas=convert(betas))
        optimizer.add_param_group({"params": [given[1]], "betas": tuple(betas)})
        optimizer.step()
        for group in optimizer.param_groups:
            group["betas"] = convert(later)
        optimizer.step()
        stream = io.BytesIO()
        torch.save(optimizer.state_dict()["state"], stream)
        ends.append(torch.cat([p.detach() for p in given]))
    assert torch.equal(*ends)


def test_a_checkpoint_may_hold_no_momentum_buffer():
    """As those of torch up to 2.0 do for a parameter without a gradient so far."""
    ends = []
    for lib in LIBRARIES:
        param, other = parameter(), parameter()
        optimizer = lib.SGD([param, other], lr=0.1, momentum=0.9, dampening=0.5)
        optimizer.step()
        saved = optimizer.state_dict()
        saved["state"][0]["momentum_buffer"] = None
        optimizer.load_state_dict(saved)
        optimizer.step()
        ends.append(torch.cat([param.detach(), other.detach()]))
    assert distance(*ends) <= 1e-6


@pytest.mark.parametrize("kind", ["power", "root"])
def test_a_number_outside_the_reals_names_rule_and_options(kind):
    made = {"power": lambda x: x**0.9, "root": rules.sqrt}[kind]

    @slalom.rule
    def shrinking(param, grad, *, step, lr=0.1, total=2.0):
        return param - lr * made(1 - step / total) * grad

    param = parameter()
    optimizer = slalom.optimizer(shrinking)([param])
    optimizer.step()
    optimizer.step()
    before = param.detach().clone()
    with pytest.raises(ValueError, match=r"rule shrinking: .* is not a real number.*total=2"):
        optimizer.step()
    assert torch.equal(param.detach(), before)
    optimizer.param_groups[0]["total"] = 100.0
    optimizer.step()
    assert not torch.equal(param.detach(), before)


# Schedules


def schedules(optimizer: Any) -> list[Any]:
    """One of every kind of scheduler that torch has, ready for ``optimizer``."""
    return [
        lambda: schedulers.StepLR(optimizer, 2, 0.5),
        lambda: schedulers.MultiStepLR(optimizer, [1, 3], 0.5),
        lambda: schedulers.ConstantLR(optimizer, 0.5, 2),
        lambda: schedulers.LinearLR(optimizer, 0.25, total_iters=3),
        lambda: schedulers.ExponentialLR(optimizer, 0.9),
        lambda: schedulers.CosineAnnealingLR(optimizer, 4),
        lambda: schedulers.CosineAnnealingWarmRestarts(optimizer, 2),
        lambda: schedulers.PolynomialLR(optimizer, 4),
        lambda: schedulers.CyclicLR(optimizer, 0.01, 0.1, 2),
        lambda: schedulers.OneCycleLR(
            optimizer, 0.1, total_steps=8,
            cycle_momentum=bool({"momentum", "betas"} & optimizer.defaults.keys()),
        ),
        lambda: schedulers.LambdaLR(optimizer, lambda epoch: 0.5**epoch),
        lambda: schedulers.MultiplicativeLR(optimizer, lambda epoch: 0.5),
        lambda: schedulers.SequentialLR(
            optimizer,
            [schedulers.ConstantLR(optimizer), schedulers.ExponentialLR(optimizer, 0.5)], [2],
        ),
        lambda: schedulers.ChainedScheduler(
            [schedulers.ConstantLR(optimizer), schedulers.ExponentialLR(optimizer, 0.5)]
        ),
        lambda: torch.optim.swa_utils.SWALR(optimizer, 0.05, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("which", range(15))
@pytest.mark.parametrize("name", ["AdamW", "SGD", "RMSprop"])
def test_schedules_on_routed_are_those_on_its_rule(name, which):
    more = {} if name == "AdamW" else {"momentum": 0.9}
    ends = []
    for routed in (False, True):
        param = parameter()
        if routed:
            optimizer = slalom.optim.Routed([param], rule=name, lr=0.1, **more)
        else:
            optimizer = getattr(torch.optim, name)([param], lr=0.1, **more)
        schedule = schedules(optimizer)[which]()
        for _ in range(5):
            param.grad = param.detach().clone()
            optimizer.step()
            schedule.step()
        kept = ("lr", "momentum", "betas", "initial_lr")
        group = optimizer.param_groups[0]
        ends.append((param.detach(), {n: group[n] for n in kept if n in group}))
    (a, group), (b, other) = ends
    assert distance(a, b) <= 1e-6
    assert group == other


def test_schedules_of_momentum_need_one_in_every_group():
    groups = [{"params": [parameter()], "rule": "Adam"}, {"params": [parameter()], "rule": "SGD"}]
    mixed = slalom.optim.Routed(groups, lr=0.1)
    for make in (
        lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=9),
        lambda o: schedulers.CyclicLR(o, 0.01, 0.1),
    ):
        with pytest.raises(ValueError, match="momentum"):
            make(mixed)
        with pytest.raises(ValueError, match="momentum"):
            make(torch.optim.Adagrad([parameter()]))
    schedule = schedulers.OneCycleLR(mixed, 0.1, total_steps=9, cycle_momentum=False)
    for _ in range(3):
        mixed.step()
        schedule.step()
    assert mixed.param_groups[0]["lr"] == mixed.param_groups[1]["lr"]


@pytest.mark.parametrize("which", [0, 3, 9], ids=["StepLR", "LinearLR", "OneCycleLR"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "SignSGD"])
def test_an_independent_decay_follows_the_schedule(name, which):
    """At its highest rate the whole share, in every other step as much of it as of the rate."""
    param = parameter()
    param.grad = torch.zeros_like(param)
    made = getattr(slalom.optim, name)
    optimizer = made([param], lr=0.1, independent_weight_decay=0.5)
    schedule = schedules(optimizer)[which]()
    expected, shares = 1.0, []
    for _ in range(6):
        shares.append(optimizer.param_groups[0]["lr"] / 0.1)
        expected *= 1 - 0.5 * shares[-1]
        optimizer.step()
        schedule.step()
    assert max(shares) == pytest.approx(1, abs=0.05)
    assert len(set(shares)) > 1
    torch.testing.assert_close(param.detach(), torch.full((3,), expected))
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.step()
    torch.testing.assert_close(param.detach(), torch.full((3,), expected))


@pytest.mark.parametrize("which", [8, 14], ids=["CyclicLR", "SWALR"])
def test_an_independent_decay_never_exceeds_its_share(which):
    """These two raise the rate above the one they started from."""
    param = parameter()
    param.grad = torch.zeros_like(param)
    optimizer = slalom.optim.SGD([param], lr=0.01, momentum=0.5, independent_weight_decay=0.5)
    schedule = schedules(optimizer)[which]()
    for _ in range(5):
        before = param.detach().clone()
        optimizer.step()
        schedule.step()
        torch.testing.assert_close(param.detach(), before / 2)


# Routed: other rules than at first


def two(*names: str, lr: float = 0.1) -> tuple[list[Parameter], Any]:
    params = [parameter() for _ in names]
    groups = [{"params": [p], "rule": n} for p, n in zip(params, names, strict=True)]
    return params, slalom.optim.Routed(groups, lr=lr)


@pytest.mark.parametrize("stepped", [0, 2])
@pytest.mark.parametrize("other", ["NAdam", "SGD", "SignSGD", "RMSprop", "Rprop", "ASGD", "Lion"])
def test_routed_takes_a_checkpoint_of_other_rules(other, stepped):
    params, source = two(other, "Adam")
    source.step()
    resumed, optimizer = two("Adam", "SGD")
    for _ in range(stepped):
        optimizer.step()
    for p, q in zip(resumed, params, strict=True):
        p.data.copy_(q.detach())
    optimizer.load_state_dict(source.state_dict())
    for o in (source, optimizer):
        o.step()
        o.step()
    assert all(map(torch.equal, params, resumed))


@pytest.mark.parametrize("other", ["NAdam", "SignSGD", "RMSprop", "Rprop", "ASGD", "Lion"])
def test_routed_follows_a_rule_changed_by_hand(other):
    (param,), optimizer = two("SGD")
    optimizer.step()
    optimizer.param_groups[0]["rule"] = other
    fresh = Parameter(param.detach().clone())
    plain = getattr(slalom.optim, other)([fresh], lr=0.1)
    for value in (5.0, -3.0):
        param.grad = torch.full_like(param, value)
        fresh.grad = param.grad
        optimizer.step()
        plain.step()
    assert torch.equal(param, fresh)


def test_routed_with_fewer_groups():
    params, optimizer = two("SGD", "Adam", "SGD")
    optimizer.step()
    before = [p.detach().clone() for p in params]
    del optimizer.param_groups[1]
    optimizer.step()
    assert [torch.equal(p, b) for p, b in zip(params, before, strict=True)] == [False, True, False]
    _, other = two("SGD", "Adam")
    with pytest.raises(ValueError, match="different number of parameter groups"):
        other.load_state_dict(two("SGD")[1].state_dict())


# A user's averaged rule


@slalom.rule(averaged=True, bounds={"momentum": "(0, 1)"})
def averaged_sgd(param, grad, z, *, step, first, lr=0.1, momentum=0.5):
    z = (param if first else z) - lr * grad
    x = ((step - 1) * (z + (param - z) / momentum) + z) / step if not first else z
    return z + (x - z) * momentum, z


AveragedSGD = slalom.optimizer(averaged_sgd, "AveragedSGD")


def test_a_users_averaged_rule_can_be_switched():
    param = parameter()
    optimizer = AveragedSGD([param])
    optimizer.step()
    optimizer.step()
    trained_at = param.detach().clone()
    optimizer.eval()
    assert not torch.equal(param.detach(), trained_at)
    with pytest.raises(RuntimeError, match=r"call the optimizer's train\(\)"):
        optimizer.step()
    optimizer.train()
    torch.testing.assert_close(param.detach(), trained_at)
    with pytest.raises(ValueError, match=r"momentum must be in \(0, 1\)"):
        AveragedSGD([param], momentum=0)


def test_an_averaged_rule_bounds_what_it_divides_by():
    with pytest.raises(slalom.rules.RuleError, match=r'declare bounds=\{"momentum": "\(0, 1\)"\}'):
        slalom.rule(averaged=True)(averaged_sgd.function)


# Explanations


def test_an_explanation_prints_and_is_shown(capsys):
    optimizer = slalom.optim.Adam([("weight", parameter(2, 3)), ("bias", parameter())])
    shown = slalom.explain(optimizer)
    print(shown)
    assert capsys.readouterr().out == f"{shown!r}\n"
    assert repr(shown).splitlines()[0].split()[:2] == ["weight", "2x3"]
    assert [row[0] for row in shown.rows] == ["weight", "bias"]


def test_an_explanation_says_what_runs_under_autograd_and_what_is_empty():
    recorded, plain = torch.ones(3), parameter()
    recorded.grad = torch.ones(3)
    groups = [{"params": [recorded], "differentiable": True}, {"params": [plain]}]
    rows = slalom.explain(slalom.optim.SGD(groups)).rows
    assert [row[3:] for row in rows] == [
        ("autograd", "its group is differentiable"),
        ("autograd", "another group is differentiable"),
    ]  # fmt: skip
    assert repr(slalom.explain(slalom.optim.SGD([{"params": []}]))) == "no parameters"


def test_an_explanation_of_parameters_of_several_backends():
    """And the step of such an optimizer, whose parts run apart."""
    gapped, dense = Parameter(torch.ones(6)[::2]), parameter()
    gapped.grad = torch.ones(3)
    optimizer = slalom.optim.Adam([gapped, dense])
    assert {row[3] for row in slalom.explain(optimizer).rows} == {"llvm", "foreach"}
    for _ in range(3):
        optimizer.step()
    assert torch.equal(gapped.detach(), dense.detach())


def test_an_explanation_of_a_parameter_listed_twice():
    twice = parameter()
    optimizer = slalom.optim.SGD([twice])
    optimizer.param_groups[0]["params"].append(twice)
    assert [row[3] for row in slalom.explain(optimizer).rows] == ["foreach"] * 2


def test_an_explanation_after_gradients_were_spent():
    model = nn.Linear(2, 3)
    optimizer = slalom.optim.SGD(model.parameters())
    slalom.release(model, optimizer)
    model(torch.ones(1, 2)).sum().backward()
    rows = slalom.explain(optimizer).rows
    assert {row[3:] for row in rows} == {("none", "its gradient was used inside backward")}


def test_an_explanation_of_a_lazy_module():
    lazy = nn.LazyLinear(2)
    optimizer = slalom.optim.Adam(lazy.parameters())
    assert {row[3] for row in slalom.explain(optimizer).rows} == {"none"}
    assert "lazy" in str(slalom.explain(optimizer))
    lazy(torch.ones(1, 3)).sum().backward()
    assert "lazy" not in str(slalom.explain(optimizer))
    optimizer.step()


# Hooks


def test_hooks_are_given_what_torch_gives_them():
    calls = []
    for lib in LIBRARIES:
        optimizer = lib.SGD([parameter()], lr=0.1)
        seen: list[Any] = []
        optimizer.register_step_pre_hook(lambda _, a, k, seen=seen: seen.append((len(a), dict(k))))
        optimizer.step()
        optimizer.step(lambda: 1)
        calls.append(seen)
    assert calls[0] == calls[1]
