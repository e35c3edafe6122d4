"""Checks of the interface: parameters that come and go, gradients, closures, hooks, scalers."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from slalom.testing.subject import (
    Subject,
    apart,
    gradients,
    parameters,
    run,
    starts,
    walk,
)


def is_an_optimizer(subject: Subject) -> None:
    params = parameters(starts())
    optimizer = subject.make([(f"p{i}", p) for i, p in enumerate(params)])
    assert isinstance(optimizer, Optimizer), "it is no torch.optim.Optimizer"
    assert "lr" in optimizer.param_groups[0], "its groups have no lr"
    assert "lr" in repr(optimizer), "its repr does not show its groups"
    names = optimizer.param_groups[0].get("param_names")
    assert names == [f"p{i}" for i in range(len(params))], "it loses the names of its parameters"
    walk(optimizer, params, gradients(params, 1))
    optimizer.zero_grad(set_to_none=False)
    zero = all(p.grad is not None and not p.grad.any() for p in params)
    assert zero, "zero_grad(set_to_none=False) does not leave zeros"
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


def parameters_without_gradient_stand_still(subject: Subject) -> None:
    """Each parameter goes as it would alone, in the steps in which it has a gradient."""
    values = starts()
    grads: list[list[Any]] = [list(row) for row in gradients(values, 12)]
    for i, row in enumerate(grads):
        for j in range(len(row)):
            if (i + j) % 3 == 0 or (j == 1 and i < 6):
                row[j] = None
    for decay in (0.1, None):
        params = parameters(values)
        optimizer = subject.make(params)
        for group in optimizer.param_groups:
            if decay and "weight_decay" in group:
                group["weight_decay"] = decay
        for row in grads:
            before = parameters(params)
            walk(optimizer, params, [row])
            for j, (a, b) in enumerate(zip(before, params, strict=True)):
                still = row[j] is not None or torch.equal(a, b)
                assert still, f"parameter {j} moves without gradient"
    for j, value in enumerate(values):
        own = [[row[j]] for row in grads if row[j] is not None]
        subject.same(params[j : j + 1], run(subject.plain, [value], own), f"parameter {j}")


def parameters_added_and_frozen(subject: Subject) -> None:
    """What comes later, or pauses, goes as it would alone."""
    values = starts()
    early, middle, late, last = (gradients(values, 3, seed=seed) for seed in range(4))
    params = parameters(values)
    optimizer = subject.make(params[:3], lr=0.01)
    walk(optimizer, params[:3], [row[:3] for row in early])
    optimizer.add_param_group({"params": params[3:], "lr": 0.05})
    walk(optimizer, params, middle)
    frozen = params[0].requires_grad_(False)
    frozen.grad = None
    before = frozen.clone()
    walk(optimizer, params, [[None, *row[1:]] for row in late])
    assert torch.equal(frozen, before), "it moves a frozen parameter"
    frozen.requires_grad_(True)
    walk(optimizer, params, last)
    for i, value in enumerate(values):
        rows = [*(early if i < 3 else ()), *middle, *(late if i > 0 else ()), *last]
        lr = 0.01 if i < 3 else 0.05
        alone = run(lambda p, lr=lr: subject.plain(p, lr=lr), [value], [[r[i]] for r in rows])
        how = "frozen on the way" if i == 0 else "there from the start" if i < 3 else "added"
        subject.same(params[i : i + 1], alone, f"parameter {i}, {how}")


def every_gradient_counts(subject: Subject) -> None:
    """Another gradient in any one step makes another run, and in the same tensor the same run."""
    values = starts()
    grads = gradients(values, 5)
    for step in range(5):
        others = [[-10 * g for g in row] if i == step else row for i, row in enumerate(grads)]
        ends = [run(subject.make, values, rows[: step + 2]) for rows in (grads, others)]
        for i, (a, b) in enumerate(zip(*ends, strict=True)):
            seen = a.numel() < 5 or apart(a, b)
            assert seen, f"parameter {i} goes the same way with another gradient in step {step + 1}"
    params = parameters(values)
    optimizer = subject.make(params)
    for param in params:
        param.grad = torch.zeros_like(param)
    for row in grads:
        for param, grad in zip(params, row, strict=True):
            assert param.grad is not None, "it takes the gradients away"
            param.grad.copy_(grad)
        optimizer.step()
    subject.close(params, run(subject.make, values, grads), 0.0, "gradients filled in place")


def gradients_are_left_alone(subject: Subject) -> None:
    """A step changes no gradient, with any of the options that torch's classes apply to them."""
    values = starts()
    options = [{}, *({name: v} for name, v in (("maximize", True), ("weight_decay", 0.5)))]
    for extra in options:
        if not all(map(subject.accepts, extra)):
            continue
        params = parameters(values)
        optimizer = subject.make(params, **extra)
        for row in gradients(values, 3):
            given = [g.clone() for g in row]
            for param, grad in zip(params, given, strict=True):
                param.grad = grad
            optimizer.step()
            for param, grad, before in zip(params, given, row, strict=True):
                assert param.grad is grad, "it takes the gradients away"
                assert torch.equal(grad, before), f"it changes the gradients, with {extra}"


def storage_may_move(subject: Subject) -> None:
    """Parameters and states may get another memory between steps, as ``module.to`` gives it."""

    def move(optimizer: Optimizer, params: list[Parameter]) -> None:
        for param in params:
            param.data = param.detach().clone()
            for state in optimizer.state.get(param, {}).values():
                if isinstance(state, Tensor):
                    state.data = state.detach().clone()

    values = starts()
    grads = gradients(values, 6)
    moved = run(subject.make, values, grads, before=move)
    subject.close(moved, run(subject.make, values, grads), 0.0, "moved to other memory")


def parameter_groups_may_be_edited(subject: Subject) -> None:
    """Parameters that are put into the groups by hand, exchanged or taken out."""
    values = starts()
    grads = gradients(values, 6)
    params = parameters(values)
    optimizer = subject.make([{"params": params[:2]}, {"params": params[2:4]}])
    walk(optimizer, params, grads[:2])
    left = parameters(params)
    optimizer.param_groups.pop()
    optimizer.param_groups[0]["params"][1] = params[4]
    optimizer.param_groups[0]["params"].append(params[5])
    walk(optimizer, params, grads[2:])
    for i in (1, 2, 3):
        assert torch.equal(params[i], left[i]), f"parameter {i} moves, which was taken out"
    for i, of_it in ((0, grads), (4, grads[2:]), (5, grads[2:])):
        alone = run(subject.plain, [values[i]], [[row[i]] for row in of_it])
        subject.same(
            params[i : i + 1], alone, f"parameter {i}, {'put in' if i else 'kept'} by hand"
        )


def closures(subject: Subject) -> None:
    values = starts()
    ends = []
    for make, closed in ((subject.make, True), (subject.plain, False)):
        params = parameters(values)
        optimizer = make(params)
        losses: list[Tensor] = []

        def closure(
            optimizer: Optimizer = optimizer, params: Any = params, losses: Any = losses
        ) -> Tensor:
            optimizer.zero_grad()
            loss = sum((p * p).sum() for p in params)
            assert isinstance(loss, Tensor)
            loss.backward()
            losses.append(loss.detach())
            return loss

        for _ in range(4):
            if closed:
                with torch.no_grad():  # the closure needs gradients all the same
                    loss = optimizer.step(closure)  # type: ignore[arg-type]
                assert isinstance(loss, Tensor), "step(closure) does not return the loss"
                assert loss == losses[-1], "step(closure) returns another loss than the closure"
            else:
                closure()
                optimizer.step()
        assert len(losses) == 4, f"4 steps called the closure {len(losses)} times"
        ends.append(params)
    subject.same(ends[0], ends[1], "with a closure")

    def fails() -> float:
        raise ZeroDivisionError

    with contextlib.suppress(ZeroDivisionError):
        subject.make(parameters(values)).step(fails)
        raise AssertionError("step(closure) does not let an exception of the closure through")


def hooks_are_called(subject: Subject) -> None:
    """Those of the optimizer and of all optimizers, before and after the update, until removed."""
    params = parameters(starts())
    optimizer = subject.make(params)
    seen: list[str] = []
    start = params[0].detach().clone()

    def note(name: str) -> Any:
        def hook(*_: Any) -> None:
            seen.append(name)
            if name.startswith("step"):
                moved = not torch.equal(params[0], start)
                assert moved == ("post" in name), f"its {name} hook is called at another time"

        return hook

    handles = [
        optimizer.register_step_pre_hook(note("step pre")),
        optimizer.register_step_post_hook(note("step post")),
        register_optimizer_step_pre_hook(note("step pre of all")),
        register_optimizer_step_post_hook(note("step post of all")),
        optimizer.register_state_dict_pre_hook(note("save pre")),
        optimizer.register_state_dict_post_hook(note("save post")),
        optimizer.register_load_state_dict_pre_hook(note("load pre")),
        optimizer.register_load_state_dict_post_hook(note("load post")),
    ]
    expected = [
        "step pre", "step pre of all", "step post", "step post of all",
        "save pre", "save post", "load pre", "load post",
    ]  # fmt: skip
    try:
        walk(optimizer, params, gradients(params, 1))
        optimizer.load_state_dict(optimizer.state_dict())
    finally:
        for handle in handles:
            handle.remove()
    halves = sorted(seen[:2]), sorted(seen[2:4]), seen[4:]
    wanted = expected[:2], expected[2:4], expected[4:]
    assert halves == wanted, f"its hooks were called in the order {seen}"
    walk(optimizer, params, gradients(params, 1))
    optimizer.load_state_dict(optimizer.state_dict())
    assert len(seen) == len(expected), "a hook is called after it was removed"


def gradient_scaler_skips_overflow(subject: Subject) -> None:
    """Under a scale that changes in each step, unscaled by the scaler or by hand before."""
    values = starts(torch.float32)
    grads = gradients(values, 4)
    same = run(subject.plain, values, [grads[0], grads[1], grads[3]])
    for by_hand in (False, True):
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_factor=4.0, growth_interval=1)
        params = parameters(values)
        optimizer = subject.make(params)
        for i, row in enumerate(grads):
            scaler.scale(torch.zeros(()))  # makes the scale, as a training loop does
            for param, grad in zip(params, row, strict=True):
                param.grad = grad * scaler.get_scale()
            if i == 2:
                assert params[0].grad is not None
                params[0].grad[0, 0] = float("inf")
            if by_hand:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        how = "unscaled by hand, " if by_hand else ""
        subject.close(params, same, 1e-5, f"under a GradScaler, {how}that skips one step")


CHECKS = (
    is_an_optimizer, wrong_parameters_are_refused, parameters_without_gradient_stand_still,
    parameters_added_and_frozen, every_gradient_counts, gradients_are_left_alone,
    storage_may_move, parameter_groups_may_be_edited, closures, hooks_are_called,
    gradient_scaler_skips_overflow,
)  # fmt: skip
