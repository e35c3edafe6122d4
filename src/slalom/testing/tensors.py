"""Checks of the results: in every dtype, layout and kind of gradient, they are the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from slalom.testing.subject import (
    Make,
    NotApplicable,
    Subject,
    gradients,
    parameters,
    run,
    starts,
    walk,
    wide,
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
    if subject.reference is None:
        raise NotApplicable("no reference was given")
    values = starts()
    grads = gradients(values, 25)
    got, expected = run(subject.make, values, grads), run(subject.plain, values, grads)
    subject.same(got, expected, "after 25 steps in float64")


def narrow_dtypes(subject: Subject) -> None:
    """In narrow dtypes it ends where it ends in float64, and gets there in large steps too."""
    lr = _rate_of_a_step(subject, 0.5)
    for dtype, tolerance in DTYPES.items():
        values = starts(dtype)
        grads = gradients(values, 5)
        exact = [[g.double() for g in row] for row in grads]
        expected = run(subject.plain, [v.double() for v in values], exact)
        got = run(subject.make, values, grads)
        assert all(p.dtype == dtype for p in got), f"it changes {dtype} parameters' dtype"
        subject.close(got, expected, tolerance, f"5 steps in {dtype}")
        exact_values = [v.double() for v in values]
        ways = (
            run(lambda p: subject.make(p, lr=lr), values, grads),
            run(lambda p: subject.plain(p, lr=lr), exact_values, exact),
        )
        for i, value in enumerate(exact_values):
            a, b = (wide(way[i]).flatten() - value.flatten() for way in ways)
            assert a.any() or not b.any(), f"parameter {i} in {dtype} stands still"
            alike = (a @ b).item() >= 0.7 * (a.norm() * b.norm()).item()
            assert alike, f"parameter {i} in {dtype} goes another way than in float64"


def _rate_of_a_step(subject: Subject, length: float) -> float:
    """The rate whose first step changes one element by ``length``, and none by more."""
    values = starts()
    ends = run(lambda p: subject.make(p, lr=1e-3), values, gradients(values, 1))
    pairs = [(wide(e) - v).abs() for e, v in zip(ends, values, strict=True) if v.numel()]
    return 1e-3 * length / max(p.max().item() for p in pairs)


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
        raise NotApplicable(f"it refuses complex parameters: {error}") from error
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
    """Served as the reference serves them, or refused; never taken for something else.

    The rows of several lookups are summed, the first step is that of the dense gradient, and rows
    without a gradient stay where there is no decay.
    """
    rows = ([1, 1, 4], [0, 6], [4, 4, 4])
    got = _looked_up(subject.make, rows)
    expected = _looked_up(subject.plain, rows)
    if got is None:
        assert expected is None or subject.reference is None, "the reference takes sparse gradients"
        raise NotApplicable("it refuses sparse gradients")
    if expected is not None:
        subject.same([got], [expected], "sparse gradients")
    for some in rows:
        first, dense = (_looked_up(subject.make, [some], sparse=kind) for kind in (True, False))
        assert first is not None
        assert dense is not None
        subject.same([first[some]], [dense[some]], f"the first step on rows {some}")
    group = subject.make(parameters(starts())).param_groups[0]
    if not group.get("weight_decay") and not group.get("lambd"):
        start = _looked_up(subject.make, [])
        assert start is not None
        assert torch.equal(got[[2, 3, 5]], start[[2, 3, 5]]), "it moves rows without a gradient"


def _looked_up(make: Make, rows: Sequence[list[int]], *, sparse: bool = True) -> Tensor | None:
    """A table after a step for each list of rows; None if its gradient was refused, with nothing
    changed."""
    torch.manual_seed(1)
    table = torch.nn.Embedding(7, 3, sparse=sparse, dtype=torch.float64)
    optimizer = make(table.parameters())
    for some in rows:
        optimizer.zero_grad()
        table(torch.tensor(some)).square().sum().backward()
        before = table.weight.detach().clone()
        try:
            optimizer.step()
        except RuntimeError as error:
            if "sparse" not in str(error).lower():
                raise
            whole = torch.equal(before, table.weight)
            assert whole, "it refuses a sparse gradient when the update is half done"
            return None
    return table.weight.detach()


def what_is_not_finite_stays_where_it_is(subject: Subject) -> None:
    """NaN and infinity do not spread to other parameters, and in their own as in the reference.

    NaN and infinity count alike: torch.lerp, which some references use, makes one of the other.
    """
    values = starts(shapes=[(5, 4), (9,)])
    for special in (float("nan"), float("inf"), float("-inf")):
        grads = gradients(values, 4)
        for grad in grads[1]:
            grad.view(-1)[::3] = special
        if subject.reference is not None:
            got, expected = run(subject.make, values, grads), run(subject.plain, values, grads)
            for a, b in zip(got, expected, strict=True):
                assert torch.equal(a.isfinite(), b.isfinite()), f"{special} spreads elsewhere"
        grads[1][1] = torch.zeros_like(grads[1][1])
        got = run(subject.make, values, grads)
        alone = run(subject.plain, values[1:], [row[1:] for row in grads])
        subject.same(got[1:], alone, f"a parameter beside one with {special} in its gradient")


CHECKS = (
    equals_the_reference, narrow_dtypes, mixed_dtypes, complex_parameters, layouts,
    layout_changed_on_resume, shared_and_expanded_gradients, sparse_gradients,
    what_is_not_finite_stays_where_it_is,
)  # fmt: skip
