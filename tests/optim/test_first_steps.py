"""The first update is the first that is made, and what is counted is what was made."""

from __future__ import annotations

import copy
import signal
import time

import pytest
import torch
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.optim.registered import CLASSES
from slalom.rules import mean, sqrt

NAN = float("nan")

OF_EARLIER_RATES = {"ASGD", "DAdaptAdam", "LARS", "Momentum", "Rprop"}
"""Rules that by definition move on with what they kept of earlier rates."""


def sgd(**options):
    param = Parameter(torch.ones(3, dtype=torch.float64))
    param.grad = torch.ones_like(param)
    made = slalom.optim.SGD([param], lr=0.1, momentum=0.9, dampening=0.5, **options)
    return param, made


def explained(param, optimizer):
    slalom.explain(optimizer)
    str(slalom.explain(optimizer))


def step_that_raises(param, optimizer):
    param.grad.fill_(NAN)
    with pytest.raises(RuntimeError, match="not finite"):
        optimizer.step()


def step_that_is_skipped(param, optimizer):
    param.grad.fill_(NAN)
    optimizer.step()


def step_that_is_refused(param, optimizer):
    memory = torch.ones(4, dtype=torch.float64)
    param.data, param.grad = memory[:3], memory[1:]
    with pytest.raises(RuntimeError, match="shifted view"):
        optimizer.step()


def step_with_found_inf(param, optimizer):
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(2.0), torch.tensor(1.0)
    optimizer.step()
    del optimizer.grad_scale, optimizer.found_inf


def states_made_and_saved(param, optimizer):
    copy.deepcopy(optimizer.state_dict())
    optimizer.load_state_dict(optimizer.state_dict())


def group_added(param, optimizer):
    optimizer.add_param_group({"params": [Parameter(torch.ones(2, dtype=torch.float64))]})


BEFORE = {
    step_that_raises: {"on_nonfinite": "raise"}, step_that_is_skipped: {"on_nonfinite": "skip"},
    explained: {}, step_that_is_refused: {}, step_with_found_inf: {}, states_made_and_saved: {},
    group_added: {},
}  # fmt: skip


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize("before", BEFORE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("after", BEFORE, ids=lambda f: f.__name__)
def test_dampening_begins_with_the_second_update(before, after, backend):
    """Two things come before the first update; the second may undo what served after the first."""
    with using(backend):
        param, optimizer = sgd(**BEFORE[before] | BEFORE[after])
        if step_that_raises in (before, after) and step_that_is_skipped in (before, after):
            pytest.skip("a step is either skipped or raises")
        for happens in (before, after):
            happens(param, optimizer)
            assert not optimizer.state.get(param)
            param.data, param.grad = torch.ones(3).double(), torch.ones(3).double()
        optimizer.step()
        assert param.tolist() == pytest.approx([0.9] * 3)
        assert optimizer.state[param]["momentum_buffer"].tolist() == [1.0] * 3
        optimizer.step()
        assert optimizer.state[param]["momentum_buffer"].tolist() == pytest.approx([1.4] * 3)


TORCHS = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, "Adam": {"amsgrad": True},
    "AdamW": {}, "NAdam": {}, "RAdam": {}, "RMSprop": {"momentum": 0.9, "centered": True},
    "Adagrad": {"lr_decay": 0.1}, "Adadelta": {}, "Adamax": {}, "ASGD": {}, "Rprop": {},
}  # fmt: skip


@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.parametrize("mentions", [(0, 0), (0, 1, 0), (0, 0, 0, 1), (1, 0, 1, 0)])
@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
def test_a_parameter_mentioned_again_is_updated_again(name, mentions):
    torch.set_default_dtype(torch.float64)
    seen = []
    for library in (torch.optim, slalom.optim):
        params = [Parameter(torch.ones(3)), Parameter(torch.full((2,), 0.5))]
        options = TORCHS[name] | ({"foreach": False} if library is torch.optim else {})
        optimizer = getattr(library, name)([params[i] for i in mentions], **options)
        for step in range(4):
            for i, param in enumerate(params):
                late = i == 1 and step == 0
                param.grad = None if late else torch.full_like(param, 0.3 + step)
            optimizer.step()
            seen.append([p.detach().clone() for p in params])
    for expected, got in zip(seen[:4], seen[4:], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_a_skipped_step_skips_every_mention():
    a, b = Parameter(torch.ones(2)), Parameter(torch.ones(2))
    with pytest.warns(UserWarning, match="duplicate"):
        optimizer = slalom.optim.SGD([a, b, a], lr=0.1, on_nonfinite="skip")
    a.grad, b.grad = torch.ones(2), torch.full((2,), NAN)
    optimizer.step()
    assert a.tolist() == b.tolist() == [1.0, 1.0]


ROUNDED = {"SGD": {"momentum": 0.9}, "Lion": {}, "Adam": {}, "RMSprop": {}, "SignSGD": {}}


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize("name", ROUNDED)
def test_random_rounding_goes_on_where_it_was(name, backend):
    """After a resume other chances are drawn than before, and the same as without one."""
    grads = [torch.randn(400).bfloat16() for _ in range(8)]

    def run(resumed):
        params = [Parameter(torch.ones(400, dtype=torch.bfloat16)) for _ in range(2)]

        def new():
            made = getattr(slalom.optim, name)
            return made(params, lr=1e-3, rounding="stochastic", **ROUNDED[name])

        optimizer = new()
        for number, grad in enumerate(grads):
            if number in resumed:
                saved = copy.deepcopy(optimizer.state_dict())
                optimizer = new()
                optimizer.load_state_dict(saved)
            params[0].grad = grad
            params[1].grad = grad if number > 2 else None
            optimizer.step()
        return torch.cat([p.detach() for p in params])

    with using(backend):
        whole = run(())
        assert torch.equal(whole, run((4,)))
        assert torch.equal(whole, run(range(1, 8)))
        assert whole[:400].unique().numel() > 3


@slalom.rule(shapes={"seen": "one"})
def evenly(param, grad, seen, *, step, lr=1e-3):
    """Two sweeps, and a state of one number after them."""
    return param - lr * grad / sqrt(mean(grad * grad)), seen + 1 + 0 * step


@pytest.mark.parametrize("elements", [70_000, 1])
@pytest.mark.parametrize("made", [slalom.optim.Adam, slalom.optimizer(evenly)])
def test_whatever_interrupts_a_step_updates_and_counts_agree(made, elements):
    """A constant gradient moves these by lr in each step, so updates can be told from parameters.

    The larger tensors are more than one thread takes through all sweeps.
    """
    params = [Parameter(torch.zeros(elements)) for _ in range(20)]
    optimizer = made(params, lr=1e-3)
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer.step()

    class Interrupted(Exception):  # noqa: N818 - as KeyboardInterrupt
        pass

    def interrupt(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    cut = 0
    end = time.monotonic() + 2
    try:
        for i in range(4000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + 1e-5 * (i % 150))
                optimizer.step()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Interrupted:
                cut += 1
            if time.monotonic() > end:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert cut > 0
    counted = {optimizer.state[p]["step"].item() for p in params}
    moved = {round(-p[0].item() / 1e-3) for p in params}
    assert len(counted) == 1
    assert moved == counted
    assert all(s.get("seen", s["step"]) == s["step"] for s in optimizer.state.values())


@pytest.mark.parametrize("name", ["ScheduleFreeSGD", "ScheduleFreeAdamW"])
def test_a_backward_in_evaluation_mode_moves_nothing_that_is_released(name):
    model = torch.nn.Linear(3, 1)
    optimizer = getattr(slalom.optim, name)(model.parameters(), lr=0.1)
    slalom.release(model, optimizer)
    for _ in range(2):
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    optimizer.eval()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match=r"train\(\) before training"):
        model(torch.ones(2, 3)).sum().backward()
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    optimizer.zero_grad()
    optimizer.train()
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    assert not torch.equal(before["weight"], model.weight)


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_a_parameter_of_inference_mode_is_refused_before_anything_is_changed(backend):
    first = Parameter(torch.ones(3))
    with torch.inference_mode():
        second = Parameter(torch.ones(3))
        second.grad = torch.ones(3)
    first.grad = torch.ones(3)
    optimizer = slalom.optim.SGD([first, second], lr=0.1)
    with using(backend), pytest.raises(RuntimeError, match="made in inference mode"):
        optimizer.step()
    assert first.tolist() == [1.0] * 3


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", sorted(CLASSES.keys() - OF_EARLIER_RATES))
def test_at_a_rate_of_zero_nothing_moves(name, decay, backend):
    """torch.distributed.checkpoint makes such a step when it saves."""
    made = CLASSES[name]
    options = {"weight_decay": decay} if "weight_decay" in made.rule.hypers else {}
    param = Parameter(torch.linspace(-1, 1, 7))
    with using(backend):
        optimizer = made([param], lr=0.01, **options)
        for number in range(3):
            param.grad = torch.linspace(-1, 2, 7) * (number + 1)
            optimizer.step()
        before = param.detach().clone()
        optimizer.param_groups[0]["lr"] = 0.0
        optimizer.step()
    assert torch.equal(param, before)


def differences(param, grad, previous, change, *, first, lr=0.1, beta=0.5):
    """A state of it comes to life in the second update."""
    if not first:
        change = beta * change + grad - previous
        return param - lr * (grad + change), grad, change
    return param - lr * grad, grad, change


def started_warm(param, grad, start, slow, *, first, lr=0.1):
    """Its first update has another state than the later ones."""
    if first:
        return param - lr * grad, start + grad, slow
    return param - lr * (grad + slow), start, 0.5 * slow + grad


def late_state(param, grad, slow, *, first, lr=0.1):
    """Its first update has no state at all."""
    if first:
        return param - 0.5 * lr * grad, slow
    return param - lr * (grad + slow), 0.5 * slow + grad


def careful(param, grad, *, first, lr=0.1):
    """It never has one."""
    return param - (0.1 * lr if first else lr) * grad


@pytest.mark.parametrize("way", ["llvm", "foreach", "differentiable"])
@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("function", [differences, started_warm, late_state, careful])
def test_the_first_update_is_the_first_alone(function, edited, way):
    own = slalom.optimizer(slalom.rule(function))
    arguments = own.rule.arguments
    plain, states = torch.zeros(3, dtype=torch.float64), [torch.zeros(3).double()] * len(arguments)
    param = Parameter(torch.zeros(3, dtype=torch.float64))
    param.requires_grad_(way != "differentiable")
    with using("llvm" if way == "differentiable" else way, "foreach"):
        optimizer = own([param], differentiable=way == "differentiable")
        for number in range(4):
            grad = torch.arange(1.0, 4.0, dtype=torch.float64) * 2**number
            param.grad = grad.clone()
            if edited:
                optimizer.param_groups[0]["params"] = [param]
            optimizer.step()
            result = function(plain, grad, *states, first=number == 0)
            plain, *states = result if arguments else [result]
    torch.testing.assert_close(param.detach(), plain, rtol=1e-12, atol=0)


def test_sgd_keeps_no_count():
    """Its first update is told by the buffer, as torch's."""
    for options in ({}, {"momentum": 0.9}):
        param = Parameter(torch.ones(3))
        param.grad = torch.ones(3)
        optimizer = slalom.optim.SGD([param], lr=0.1, **options)
        optimizer.step()
        assert "step" not in optimizer.state[param]


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("lr", "0.1", "lr is '0.1'; it must be a number"),
        ("lr", None, "lr is None; it must be a number"),
        ("betas", (0.5,), r"Adam takes 2 betas, not \(0.5,\)"),
        ("betas", 0.5, "Adam takes 2 betas, not 0.5"),
    ],
)
def test_an_option_that_is_none_is_named_and_nothing_changes(name, value, error, backend):
    param = Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    with using(backend):
        optimizer = slalom.optim.Adam([param], lr=0.1)
        optimizer.step()
        before, optimizer.param_groups[0][name] = param.tolist(), value
        with pytest.raises((TypeError, ValueError), match=error):
            optimizer.step()
    assert param.tolist() == before
    assert optimizer.state[param]["step"] == 1


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_a_rate_is_one_number_in_whatever_tensor(backend):
    param = Parameter(torch.ones(3))
    with using(backend):
        optimizer = slalom.optim.SGD([param], lr=torch.tensor([0.25]))
        for rate in (torch.tensor([0.5]), torch.tensor(0.125)):
            param.grad = torch.ones(3)
            optimizer.step()
            optimizer.param_groups[0]["lr"] = rate
    assert param.tolist() == [0.25] * 3


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_memory_freed_for_a_while_is_left_alone(backend):
    """As sharded training does with parameters that have no gradient."""
    params = [Parameter(torch.ones(4)) for _ in range(2)]
    with using(backend):
        optimizer = slalom.optim.Adam(params, lr=0.1)
        for number in range(4):
            for param in params:
                param.grad = torch.ones(4)
            if number in (1, 2):
                params[0].untyped_storage().resize_(0)
                params[0].grad = None
            elif number == 3:
                params[0].untyped_storage().resize_(16)
                params[0].data.fill_(1.0)
            optimizer.step()
    assert [optimizer.state[p]["step"].item() for p in params] == [2, 4]
    torch.testing.assert_close(params[0].detach(), torch.full((4,), 0.9), rtol=0.02, atol=0)
