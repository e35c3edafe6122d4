"""Plain stacks of layers whose tensors are those of many models: batched products of matrices.

``torch.vmap`` serves any model, and costs more where the layers are few: it dispatches every
operation twice, and its gradients of matrices come transposed, so that each is copied once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional

Layer = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""(stacked tensors by name, (models, samples, ...)) -> (models, samples, ...)."""

ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh,
    nn.Sigmoid, nn.Softplus, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softsign, nn.LogSigmoid,
    nn.Identity,
)  # fmt: skip
"""Layers that treat every number alike, and keep nothing."""


def layers_of(model: nn.Module) -> list[Layer] | None:
    """The layers of a model that is a row of plain ones; None for any other."""
    found = list(_layers(model, "", {name for name, _ in model.named_parameters()}))
    return None if None in found else found  # type: ignore[return-value]


def losses_of(loss: Callable[[Any, Any], Tensor], outputs: Any, targets: Any) -> Tensor:
    """The loss of each model (models,), of outputs (models, ...) and targets (models, ...)."""
    plain = type(loss) is nn.CrossEntropyLoss and not hooked(loss) and loss.weight is None
    if not plain or outputs.dim() != 3 or targets.dim() != 2 or loss.label_smoothing:
        return vmap(loss)(outputs, targets)
    each = functional.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), ignore_index=loss.ignore_index, reduction="none"
    )
    summed = each.unflatten(0, targets.shape).sum(1)
    if loss.reduction == "sum":
        return summed
    return summed / (targets != loss.ignore_index).sum(1)


def _layers(module: nn.Module, prefix: str, known: Set[str]) -> Iterator[Layer | None]:
    kind: Any = type(module)
    if "forward" in vars(module) or hooked(module):
        yield None
    elif kind is nn.Sequential:
        for name, part in module._modules.items():  # a layer that is there twice, too
            assert part is not None
            yield from _layers(part, f"{prefix}{name}.", known)
    elif kind is nn.Linear:
        names = [f"{prefix}weight", *([] if module.bias is None else [f"{prefix}bias"])]
        yield _linear(prefix) if known >= set(names) else None  # what is shared has one name
    elif kind in ELEMENTWISE:
        yield lambda tensors, inputs: module(inputs)
    elif kind is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        yield lambda tensors, inputs: inputs.flatten(2)
    else:
        yield None


def hooked(module: Any) -> bool:
    """Whether somebody is told of what goes through a module."""
    return any(getattr(module, name, None) for name in HOOKS)


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _linear(prefix: str) -> Layer:
    weight, bias = f"{prefix}weight", f"{prefix}bias"

    def layer(tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        rows = inputs.flatten(1, -2) if inputs.dim() > 3 else inputs
        found: Any = _Linear.apply(rows, tensors[weight], tensors.get(bias))
        return found if rows is inputs else found.unflatten(1, inputs.shape[1:-1])

    return layer


class _Linear(torch.autograd.Function):
    """Many linear layers at once, whose gradients lie as the weights do.

    Of a single output products are written as sums: torch's products of matrices with vectors hang
    on where these begin in memory, in their last bit, and so on who else is in the stack.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        if weight.shape[1] == 1:
            found = (inputs * weight).sum(2, keepdim=True)
            return found if bias is None else found + bias.unsqueeze(1)
        if bias is None:
            return torch.bmm(inputs, weight.mT)
        return torch.baddbmm(bias.unsqueeze(1), inputs, weight.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (inputs, weight) = gradients, ctx.saved_tensors
        of_inputs, of_weight, of_bias = ctx.needs_input_grad
        single = weight.shape[1] == 1
        found: list[Tensor | None] = [None, None, None]
        if of_inputs:
            found[0] = gradient * weight if single else torch.bmm(gradient, weight)
        if of_weight and single:
            found[1] = (gradient * inputs).sum(1, keepdim=True)
        elif of_weight:
            found[1] = torch.bmm(gradient.mT, inputs)
        if of_bias:
            found[2] = gradient.sum(1)
        return tuple(found)
