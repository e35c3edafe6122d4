"""The optimizer under test, what it is held against, and a short training run for both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

SHAPES = [(6, 5), (7,), (2, 3, 4), (), (0, 3), (1,)]
"""The parameters of a run: a matrix, vectors, more axes, none, no element, one element."""

Make = Callable[..., Optimizer]


class NotApplicable(Exception):  # noqa: N818  (it is no error)
    """Raised by a check that asks for what this optimizer does not offer; its message says what."""


@dataclass(frozen=True)
class Subject:
    """An optimizer class with its options, and the reference with its own.

    Without a reference the class is held against itself in the plainest circumstances.
    """

    optimizer_class: Callable[..., Optimizer]
    reference: Callable[..., Optimizer] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    reference_options: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-12

    def make(self, params: Any, **extra: Any) -> Optimizer:
        return self.optimizer_class(params, **{**self.options, **extra})

    def plain(self, params: Any, **extra: Any) -> Optimizer:
        """The reference, or the class itself where there is none."""
        if self.reference is None:
            return self.make(params, **extra)
        return self.reference(params, **{**self.reference_options, **extra})

    @property
    def kept_rate(self) -> tuple[str, bool] | None:
        """(the state in which it keeps the rate, whether each element's goes its own way), if any.

        In Rprop's ``step_size`` each goes its own way, and what becomes of lr after the first step
        is not meant to count; in ASGD's ``eta`` a changed lr counts one step later.
        """
        values = starts(shapes=[(6, 5)])
        kept: set[str] | None = None
        own = False
        for lr in (0.01, 0.03):
            params = parameters(values)
            optimizer = self.make(params, lr=lr)
            first, *rest = gradients(values, 6)
            state = optimizer.state
            walk(optimizer, params, [first])
            found = {n for n, v in state[params[0]].items() if n != "step" and _near(v, lr)}
            kept = found if kept is None else kept & found
            walk(optimizer, params, rest)
            own = any(len(state[params[0]][n].unique()) > 1 for n in kept)
        return (min(kept), own) if kept else None

    def accepts(self, name: str) -> bool:
        """Whether the class, and the reference if there is one, has an argument of this name."""
        classes = [c for c in (self.optimizer_class, self.reference) if c is not None]
        return all(name in inspect.signature(c).parameters for c in classes)

    def same(self, got: Iterable[Tensor], expected: Iterable[Tensor], what: str) -> None:
        """Raise AssertionError unless the tensors are equal within the tolerance."""
        self.close(got, expected, self.tolerance, what)

    def close(
        self, got: Iterable[Tensor], expected: Iterable[Tensor], tolerance: float, what: str
    ) -> None:
        """As :meth:`same`, for a tolerance as a share of the largest value."""
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            a, b = wide(a), wide(b)
            assert a.shape == b.shape, f"{what}: tensor {i} has shape {tuple(a.shape)}"
            if a.numel() == 0 or torch.equal(a, b):
                continue
            error = ((a - b).abs().max() / b.abs().max().clamp(min=1e-30)).item()
            assert error <= tolerance, (
                f"{what}: tensor {i} of shape {tuple(a.shape)} is off by {error:.1e} of its "
                f"largest value, where {tolerance:.0e} is allowed"
            )


def _near(value: Any, lr: float) -> bool:
    """Whether a state holds the rate and nothing else."""
    return isinstance(value, Tensor) and bool(((value - lr).abs() < 1e-3 * lr).all())


def apart(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors differ by more than rounding would explain, in float64."""
    a, b = wide(a), wide(b)
    return a.numel() > 0 and bool(((a - b).abs() > 1e-9 * b.abs().max()).any())


def wide(tensor: Tensor) -> Tensor:
    """The values in float64, complex ones as pairs."""
    tensor = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
    tensor = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return tensor.double()


def starts(
    dtype: torch.dtype = torch.float64, shapes: Sequence[tuple[int, ...]] = SHAPES, seed: int = 0
) -> list[Tensor]:
    """Values to start from, the same in each call."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, dtype=torch.float64, generator=generator).to(dtype) for s in shapes]


def gradients(values: Sequence[Tensor], steps: int, seed: int = 1) -> list[list[Tensor]]:
    """For each of the steps a gradient for each of the values, the same in each call."""
    generator = torch.Generator().manual_seed(seed)
    kinds = {torch.complex64: torch.complex128}
    return [
        [
            torch.randn(
                v.shape,
                dtype=torch.complex128 if v.is_complex() else torch.float64,
                generator=generator,
            ).to(kinds.get(v.dtype, v.dtype))
            for v in values
        ]
        for _ in range(steps)
    ]


def parameters(values: Iterable[Tensor]) -> list[Parameter]:
    """Fresh parameters that hold copies, in the layout of what is copied."""
    return [Parameter(v.detach().clone()) for v in values]


def walk(
    optimizer: Optimizer, params: Sequence[Parameter], grads: Iterable[Sequence[Tensor | None]]
) -> list[Parameter]:
    """One step for each row of gradients (None: the parameter has none); the parameters."""
    for row in grads:
        for param, grad in zip(params, row, strict=True):
            param.grad = None if grad is None else grad.detach().clone().to(param.dtype)
        optimizer.step()
    return list(params)


def in_two_groups(make: Make, values: Sequence[Tensor]) -> tuple[Optimizer, list[Parameter]]:
    """An optimizer whose first group has the first two of these values, the second the others."""
    params = parameters(values)
    return make([{"params": params[:2]}, {"params": params[2:]}]), params


GROUPS = (slice(0, 2), slice(2, None))
"""The parameters of the groups of :func:`in_two_groups`."""


def run(
    make: Make,
    values: Sequence[Tensor],
    grads: Iterable[Sequence[Tensor | None]],
    before: Callable[[Optimizer, list[Parameter]], Any] = lambda optimizer, params: None,
) -> list[Parameter]:
    """The parameters after training from ``values`` on these gradients.

    ``before`` is called before each step.
    """
    params = parameters(values)
    optimizer = make(params)
    for row in grads:
        before(optimizer, params)
        walk(optimizer, params, [row])
    return params
