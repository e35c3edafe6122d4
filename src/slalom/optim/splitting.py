"""One optimizer for a whole model: hidden matrices by one rule, all other parameters by another."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from slalom.errors import InputError
from slalom.optim.routed import Routed
from slalom.optim.rule_optimizer import RuleOptimizer

Part = str | type[RuleOptimizer] | Mapping[str, Any]
"""A rule, or the options of a group with its ``rule`` among them."""

HEADS = ("head", "heads", "lm_head", "cls_head", "classifier", "score", "logits", "embed_out")
"""What output layers are called."""

_EMBEDDING = re.compile(r"(^|_)(embed|embeds|embedding|embeddings|emb|wte|wpe|pos|token)(_|$)")


def split(
    model: nn.Module, matrix: Part = "Muon", rest: Part = "AdamW", **arguments: Any
) -> Routed:
    """An optimizer that updates the hidden matrices of a model by one rule, the rest by another.

        optimizer = slalom.optim.split(
            model, {"rule": "Muon", "lr": 0.02}, {"rule": "AdamW", "lr": 3e-4}, weight_decay=0.01
        )

    To the rest go vectors and numbers (biases, the scales of norms, matrices of one row or column),
    all that belongs to an embedding, to a norm or to the output layer, what is called an embedding
    or shared with one, and convolutions in groups, which are several matrices. The output layer is
    what has a name of :data:`HEADS`, at the top of the model or at the end of its own, and else the
    last module with a matrix, in the order in which they were defined.
    :func:`slalom.explain` says of each parameter where it went, and why.

    Args:
        model: whose parameters these are.
        matrix, rest: each a rule, as :class:`slalom.optim.Routed` takes them, or the options of its
            group with ``rule`` among them, which may lack where it is the usual one.
        arguments: hyper-parameters for both where their rules have them, and what every class
            takes. One ``lr`` suits Muon and AdamW where ``matrix`` has
            ``"adjust_lr_fn": "match_rms_adamw"``. A scheduler scales both; OneCycleLR, which sets
            rates itself, takes a list of two and ``cycle_momentum=False``, since one rule has a
            momentum and the other betas.

    Raises :class:`slalom.InputError` for what is no model, has parameters without a shape, or no
    hidden matrix.
    """
    if not isinstance(model, nn.Module):
        raise InputError(
            f"split is given a {type(model).__name__}; give it the model, since it asks which "
            "modules its parameters belong to"
        )
    if lazy := [name for name, p in model.named_parameters() if is_lazy(p)]:
        raise InputError(f"{lazy[0]} has no shape yet; let a batch through the model before split")
    why = reasons(model)
    hidden = [(n, p) for n, p in model.named_parameters() if why[n] == HIDDEN]
    others = [(n, p) for n, p in model.named_parameters() if why[n] != HIDDEN]
    if not hidden:
        raise InputError(
            f"{type(model).__name__} has no hidden matrix to split off: all its parameters are "
            "vectors, or of embeddings, norms or the output layer; give one rule to all of them"
        )
    parts = [(hidden, _options(matrix, "Muon")), (others, _options(rest, "AdamW"))]
    groups = [{"params": named, **options} for named, options in parts if named]
    made = Routed(groups, **arguments)
    made.told = why
    return made


HIDDEN = "a hidden matrix"


def reasons(model: nn.Module) -> dict[str, str]:
    """Of each parameter by name :data:`HIDDEN`, or why it is none."""
    tied = {
        id(p): name
        for name, module in model.named_modules() if isinstance(module, _EMBEDDINGS)
        for p in module.parameters(recurse=False)
    }  # fmt: skip
    modules = dict(model.named_modules())
    found: dict[str, str] = {}
    last = ""
    for name, param in model.named_parameters():
        owner = name.rpartition(".")[0]
        found[name] = _reason(name, param, owner, modules[owner], tied)
        if found[name] in (HIDDEN, _HEAD):
            last = owner
    if _HEAD not in found.values():
        for name, reason in found.items():
            if reason == HIDDEN and name.rpartition(".")[0] == last:
                found[name] = f"{_HEAD}, the last one"
    return found


_EMBEDDINGS = nn.Embedding | nn.EmbeddingBag
_HEAD = "of the output layer"


def _reason(name: str, param: Tensor, owner: str, module: nn.Module, tied: dict[int, str]) -> str:
    path = [part for part in owner.split(".") if part]
    rows, columns = math.prod(param.shape[:1]), math.prod(param.shape[1:])
    if isinstance(module, _EMBEDDINGS):
        return "an embedding"
    if id(param) in tied:
        return f"shared with the embedding {tied[id(param)]}"
    if min(rows, columns) <= 1:
        return "a vector" if param.dim() else "a number"
    if param.is_complex():
        return "complex"
    if "norm" in type(module).__name__.lower():
        return "of a norm"
    if any(_EMBEDDING.search(part.lower()) for part in name.split(".")):
        return "called an embedding"
    if getattr(module, "groups", 1) != 1:
        return "of a convolution in groups"
    if path and (path[0] in HEADS or path[-1] in HEADS):
        return _HEAD
    return HIDDEN


def _options(part: Part, usual: str) -> dict[str, Any]:
    return {"rule": usual, **part} if isinstance(part, Mapping) else {"rule": part}
