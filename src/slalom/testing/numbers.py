"""Checks of the results: in every dtype, layout and kind of gradient, they are the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from slalom.testing.subject import (
    NotApplicable,
    Subject,
    gradients,
    run,
    starts,
    walk,
)  # fmt: skip

DTYPES = {torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Narrower dtypes and the error allowed in them after 5 steps, as a share of the largest value."""

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.transpose(0, 1).contiguous().transpose(0, 1),
    "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "with gaps": lambda t: torch.stack([t, t], dim=-1)[..., 0],
    "permuted": lambda t: t.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1),
}
"""The same values of a tensor with four axes in another layout."""


def equals_the_reference(subject: Subject) -> None:
    values = starts()
    grads = gradients(values, 25)
    got, expected = run(subject.make, values, grads), run(subject.plain, values, grads)
    subject.same(got, expected, "after 25 steps in float64")


def narrow_dtypes(subject: Subject) -> None:
    for dtype, tolerance in DTYPES.items():
        values = starts(dtype)
        grads = gradients(values, 5)
        exact = [[g.double() for g in row] for row in grads]
        expected = run(subject.plain, [v.double() for v in values], exact)
        got = run(subject.make, values, grads)
        assert all(p.dtype == dtype for p in got), f"it changes {dtype} parameters' dtype"
        subject.close(got, expected, tolerance, f"5 steps in {dtype}")


def mixed_dtypes(subject: Subject) -> None:
    kinds = [torch.float64, torch.float32, torch.bfloat16, torch.float64]
    values = [v.to(k) for v, k in zip(starts(), kinds, strict=False)]
    grads = gradients(values, 5)
    got = run(subject.make, values, grads)
    for i, value in enumerate(values):
        alone = run(subject.make, [value], [[row[i]] for row in grads])
        subject.close(got[i : i + 1], alone, 0.0, f"{value.dtype} among other dtypes")


def complex_parameters(subject: Subject) -> None:
    """A complex parameter goes as its real and imaginary parts do."""
    values = starts(torch.complex128, [(4, 3), (5,), ()])
    grads = gradients(values, 10)
    values = [v + 0.5j for v in values]
    try:
        got = run(subject.make, values, grads)
    except (TypeError, RuntimeError) as error:
        raise NotApplicable from error
    pairs = [[torch.view_as_real(g) for g in row] for row in grads]
    expected = run(subject.plain, [torch.view_as_real(v) for v in values], pairs)
    subject.same(got, [torch.view_as_complex(p.detach()) for p in expected], "complex parameters")


def layouts(subject: Subject) -> None:
    """Parameters, gradients and states in any combination of strides: the same values."""
    (value,) = starts(shapes=[(4, 3, 5, 2)])
    grads = gradients([value], 8)
    (expected,) = run(subject.plain, [value], grads)
    for of_param, lay in {"contiguous": torch.Tensor.contiguous, **LAYOUTS}.items():
        for of_grad, lay_grad in {"contiguous": torch.Tensor.contiguous, **LAYOUTS}.items():
            param = Parameter(value.clone())
            param.data = lay(value.clone())
            optimizer = subject.make([param])
            for (grad,) in grads:
                param.grad = lay_grad(grad)
                optimizer.step()
            what = f"a parameter {of_param} with its gradient {of_grad}"
            subject.same([param], [expected], what)


def layout_changed_on_resume(subject: Subject) -> None:
    """A contiguous checkpoint resumed in another layout, and the layout changed on the way."""
    (value,) = starts(shapes=[(4, 3, 5, 2)])
    grads = gradients([value], 8)
    (expected,) = run(subject.plain, [value], grads)
    for name, lay in LAYOUTS.items():
        param = Parameter(value.clone())
        optimizer = subject.make([param])
        walk(optimizer, [param], grads[:4])
        later = Parameter(param.detach().clone())
        later.data = lay(param.detach().clone())
        resumed = subject.make([later])
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        param.data = lay(param.detach())
        subject.same(walk(optimizer, [param], grads[4:]), [expected], f"laid out {name} on the way")
        subject.same(walk(resumed, [later], grads[4:]), [expected], f"resumed {name}")


def shared_and_expanded_gradients(subject: Subject) -> None:
    (value,) = starts(shapes=[(4, 3)])
    rows = [g[:1].expand(4, 3) for (g,) in gradients([value], 5)]
    ends = []
    for make, dense in ((subject.make, False), (subject.plain, True)):
        param = Parameter(value.clone())
        optimizer = make([param])
        for row in rows:
            param.grad = row.contiguous() if dense else row
            before = row.clone()
            optimizer.step()
            assert torch.equal(row, before), "it changes the gradient"
        ends.append([param])
    subject.same(ends[0], ends[1], "gradients that share memory")


def sparse_gradients(subject: Subject) -> None:
    """Served as the reference serves them, or refused; never taken for something else."""
    ends: list[Any] = []
    for make in (subject.make, subject.plain):
        torch.manual_seed(1)
        table = torch.nn.Embedding(7, 3, sparse=True, dtype=torch.float64)
        optimizer = make(table.parameters())
        try:
            for rows in ([1, 1, 4], [0, 6], [4, 4, 4]):
                optimizer.zero_grad()
                table(torch.tensor(rows)).square().sum().backward()
                before = table.weight.detach().clone()
                optimizer.step()
            ends.append([table.weight])
        except RuntimeError as error:
            if "sparse" not in str(error):
                raise
            whole = torch.equal(before, table.weight)
            assert whole, "it refuses a sparse gradient when the update is half done"
            ends.append(None)
    if None in ends:
        assert ends == [None, None] or ends[0] is not None, "the reference takes sparse gradients"
        return
    subject.same(ends[0], ends[1], "sparse gradients")


def maximizes(subject: Subject) -> None:
    if not subject.accepts("maximize"):
        raise NotApplicable
    values = starts()
    grads = gradients(values, 6)
    got = run(lambda p: subject.make(p, maximize=True), values, [[-g for g in r] for r in grads])
    given = {**subject.options, "maximize": False}
    expected = run(lambda p: subject.plain(p, **given), values, grads)
    subject.same(got, expected, "maximizing the negative")


def what_is_not_finite_spreads_alike(subject: Subject) -> None:
    """What is not finite spreads where it does in the reference, and nowhere else.

    NaN and infinity count alike: torch.lerp, which some references use, makes one of the other.
    """
    if subject.reference is None:
        raise NotApplicable
    values = starts(shapes=[(5, 4), (9,)])
    grads = gradients(values, 4)
    for special in (float("nan"), float("inf"), float("-inf")):
        for row in grads[1:2]:
            for grad in row:
                grad.view(-1)[::3] = special
        got, expected = run(subject.make, values, grads), run(subject.plain, values, grads)
        for a, b in zip(got, expected, strict=True):
            assert torch.equal(a.isfinite(), b.isfinite()), f"{special} spreads elsewhere"


CHECKS = (
    equals_the_reference, narrow_dtypes, mixed_dtypes, complex_parameters, layouts,
    layout_changed_on_resume, shared_and_expanded_gradients, sparse_gradients, maximizes,
    what_is_not_finite_spreads_alike,
)  # fmt: skip
