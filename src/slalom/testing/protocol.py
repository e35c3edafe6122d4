"""Checks of the interface: groups, states, hooks, copies, closures, parameters that come and go."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from slalom.testing.subject import (
    NotApplicable,
    Subject,
    gradients,
    parameters,
    run,
    starts,
    walk,
)  # fmt: skip


def is_an_optimizer(subject: Subject) -> None:
    params = parameters(starts())
    optimizer = subject.make([(f"p{i}", p) for i, p in enumerate(params)])
    assert isinstance(optimizer, Optimizer), "it is no torch.optim.Optimizer"
    assert "lr" in optimizer.param_groups[0], "its groups have no lr"
    assert "lr" in repr(optimizer), "its repr does not show its groups"
    names = optimizer.param_groups[0].get("param_names")
    assert names == [f"p{i}" for i in range(len(params))], "it loses the names of its parameters"
    walk(optimizer, params, gradients(params, 1))
    optimizer.zero_grad()
    assert all(p.grad is None for p in params), "zero_grad() leaves gradients"


def wrong_parameters_are_refused(subject: Subject) -> None:
    param = Parameter(torch.ones(2))
    for wrong, error in (
        (param, TypeError), ([], ValueError), ([torch.ones(2) * param], ValueError),
        ([{"params": [param]}, {"params": [param]}], ValueError), (["weight"], TypeError),
    ):  # fmt: skip
        try:
            subject.make(wrong)
        except error:
            continue
        except Exception as other:
            raise AssertionError(
                f"for params={wrong!r} it raises {type(other).__name__}, not {error.__name__}"
            ) from other
        raise AssertionError(f"it takes params={wrong!r}, which torch refuses")


def groups_have_their_own_options(subject: Subject) -> None:
    values = starts()
    grads = gradients(values, 10)
    params = parameters(values)
    optimizer = subject.make([{"params": params[:2], "lr": 0.03}, {"params": params[2:]}], lr=0.01)
    got = walk(optimizer, params, grads)
    for part, lr in ((slice(0, 2), 0.03), (slice(2, None), 0.01)):
        alone = run(
            lambda p, lr=lr: subject.plain(p, lr=lr), values[part], [row[part] for row in grads]
        )
        subject.same(got[part], alone, f"the group with lr={lr}")


def changed_learning_rate_counts_at_once(subject: Subject) -> None:
    values = starts()
    ends = []
    for make in (subject.make, subject.plain):
        params = parameters(values)
        optimizer = make(params, lr=0.01)
        walk(optimizer, params, gradients(values, 3))
        optimizer.param_groups[0]["lr"] = 0.04
        ends.append(walk(optimizer, params, gradients(values, 3, seed=2)))
    subject.same(ends[0], ends[1], "after the lr has changed")
    zero = parameters(values)
    frozen = walk(subject.make(zero, lr=0.01), zero, gradients(values, 3))
    assert any(not torch.equal(a, b) for a, b in zip(ends[0], frozen, strict=True))


def tensor_learning_rate(subject: Subject) -> None:
    values = starts()
    rate = torch.tensor(0.02, dtype=torch.float64)
    try:
        got = run(lambda p: subject.make(p, lr=rate), values, gradients(values, 5))
    except (TypeError, ValueError, RuntimeError) as error:
        raise NotApplicable from error
    same = run(lambda p: subject.plain(p, lr=0.02), values, gradients(values, 5))
    subject.same(got, same, "with a tensor as lr")
    assert rate.item() == 0.02, "it changes the tensor given as lr"


def parameters_without_gradient_stand_still(subject: Subject) -> None:
    """Each parameter goes as it would alone, in the steps in which it has a gradient."""
    values = starts()
    grads: list[list[Any]] = [list(row) for row in gradients(values, 12)]
    for i, row in enumerate(grads):
        for j in range(len(row)):
            if (i + j) % 3 == 0 or (j == 1 and i < 6):
                row[j] = None
    got = run(subject.make, values, grads)
    for j, value in enumerate(values):
        own = [[row[j]] for row in grads if row[j] is not None]
        subject.same(got[j : j + 1], run(subject.plain, [value], own), f"parameter {j}")


def parameters_added_and_frozen(subject: Subject) -> None:
    values = starts()
    ends = []
    for make in (subject.make, subject.plain):
        params = parameters(values)
        optimizer = make(params[:3])
        walk(optimizer, params[:3], gradients(values[:3], 3))
        optimizer.add_param_group({"params": params[3:], "lr": 0.05})
        walk(optimizer, params, gradients(values, 3, seed=2))
        params[0].requires_grad_(False)
        params[0].grad = None
        rest: list[list[Any]] = [[None, *row[1:]] for row in gradients(values, 3, seed=3)]
        walk(optimizer, params, rest)
        params[0].requires_grad_(True)
        ends.append(walk(optimizer, params, gradients(values, 3, seed=4)))
    subject.same(ends[0], ends[1], "after a group was added and a parameter frozen")


def closures(subject: Subject) -> None:
    values = starts()
    ends = []
    for make, closed in ((subject.make, True), (subject.plain, False)):
        params = parameters(values)
        optimizer = make(params)
        calls = 0

        def closure(optimizer: Optimizer = optimizer, params: Any = params) -> Tensor:
            nonlocal calls
            calls += 1
            optimizer.zero_grad()
            loss = sum((p * p).sum() for p in params)
            assert isinstance(loss, Tensor)
            loss.backward()
            return loss

        for _ in range(4):
            if closed:
                with torch.no_grad():  # the closure needs gradients all the same
                    loss = optimizer.step(closure)  # type: ignore[arg-type]
                assert isinstance(loss, Tensor), "step(closure) does not return the loss"
            else:
                closure()
                optimizer.step()
        assert calls == 4, f"4 steps called the closure {calls} times"
        ends.append(params)
    subject.same(ends[0], ends[1], "with a closure")


def resumes_from_a_checkpoint(subject: Subject) -> None:
    """Interrupted by torch.save and torch.load, it goes on as if it had not been."""
    values = starts()
    grads = gradients(values, 8)
    whole = run(subject.make, values, grads)
    params = parameters(values)
    optimizer = subject.make(params)
    walk(optimizer, params, grads[:4])
    stream = io.BytesIO()
    torch.save(optimizer.state_dict(), stream)
    stream.seek(0)
    later = parameters(params)
    resumed = subject.make(later)
    resumed.load_state_dict(torch.load(stream, weights_only=True))
    subject.close(walk(resumed, later, grads[4:]), whole, 0.0, "resumed from a checkpoint")


def checkpoints_are_the_references(subject: Subject) -> None:
    """Each loads the other's checkpoint, whose states have the same names, shapes and dtypes."""
    if subject.reference is None:
        raise NotApplicable
    values = starts()
    grads = gradients(values, 8)
    saved = {}
    for kind, make in (("own", subject.make), ("reference", subject.plain)):
        params = parameters(values)
        optimizer = make(params)
        walk(optimizer, params, grads[:4])
        saved[kind] = (copy.deepcopy(optimizer.state_dict()), params)
    own, other = (saved[kind][0]["state"] for kind in ("own", "reference"))
    assert _described(own) == _described(other), (
        f"its states are {_described(own)}, the reference's {_described(other)}"
    )
    whole = run(subject.plain, values, grads)
    for source, make in (("own", subject.plain), ("reference", subject.make)):
        checkpoint, at = saved[source]
        params = parameters(at)
        optimizer = make(params)
        optimizer.load_state_dict(checkpoint)
        end = walk(optimizer, params, grads[4:])
        subject.same(end, whole, f"resumed by the other from its {source} checkpoint")


def _described(states: dict[Any, dict[str, Any]]) -> Any:
    return {
        key: [(name, tuple(t.shape), t.dtype) for name, t in state.items() if t is not None]
        for key, state in states.items()
    }


def copies_go_on_alike(subject: Subject) -> None:
    values = starts()
    for copier in (copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))):
        params = parameters(values)
        optimizer = subject.make(params)
        walk(optimizer, params, gradients(values, 3))
        twin = copier(optimizer)
        twins = twin.param_groups[0]["params"]
        assert all(a is not b for a, b in zip(params, twins, strict=True)), "a copy shares tensors"
        later = gradients(values, 3, seed=2)
        ends = walk(twin, twins, later), walk(optimizer, params, later)
        subject.close(ends[0], ends[1], 0.0, "a copy")


def hooks_are_called(subject: Subject) -> None:
    params = parameters(starts())
    optimizer = subject.make(params)
    seen: list[str] = []

    def note(name: str) -> Any:
        return lambda *_: seen.append(name)

    handles = [
        optimizer.register_step_pre_hook(note("step pre")),
        optimizer.register_step_post_hook(note("step post")),
        optimizer.register_state_dict_pre_hook(note("save pre")),
        optimizer.register_state_dict_post_hook(note("save post")),
        optimizer.register_load_state_dict_pre_hook(note("load pre")),
        optimizer.register_load_state_dict_post_hook(note("load post")),
    ]
    expected = ["step pre", "step post", "save pre", "save post", "load pre", "load post"]
    walk(optimizer, params, gradients(params, 1))
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == expected, f"its hooks were called in the order {seen}"
    for handle in handles:
        handle.remove()
    walk(optimizer, params, gradients(params, 1))
    assert seen == expected, "a hook is called after it was removed"


def gradient_scaler_skips_overflow(subject: Subject) -> None:
    values = starts(torch.float32)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    params = parameters(values)
    optimizer = subject.make(params)
    grads = gradients(values, 4)
    for i, row in enumerate(grads):
        scaler.scale(torch.zeros(()))  # makes the scale, as a training loop does
        for param, grad in zip(params, row, strict=True):
            param.grad = grad * scaler.get_scale()
        if i == 2:
            assert params[0].grad is not None
            params[0].grad[0, 0] = float("inf")
        scaler.step(optimizer)
        scaler.update()
    same = run(subject.plain, values, [grads[0], grads[1], grads[3]])
    subject.close(params, same, 1e-5, "under a GradScaler that skips one step")


CHECKS = (
    is_an_optimizer, wrong_parameters_are_refused, groups_have_their_own_options,
    changed_learning_rate_counts_at_once, tensor_learning_rate,
    parameters_without_gradient_stand_still, parameters_added_and_frozen, closures,
    resumes_from_a_checkpoint, checkpoints_are_the_references, copies_go_on_alike,
    hooks_are_called, gradient_scaler_skips_overflow,
)  # fmt: skip
