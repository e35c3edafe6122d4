"""Models as a run needs them: untrained, in the modes their user put them in, and put back so."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from slalom.errors import InputError


def made_anew(module: nn.Module) -> nn.Module:
    """A copy of a module whose trainable parameters start anew from the global random numbers.

    Frozen parameters keep their values, and so does what has no trainable ones. Raises
    :class:`InputError` naming the parameters that no ``reset_parameters`` of their module sets, and
    those that it would not set to the one number that all of theirs are: so they were begun.
    """
    refuse_lazy(module)
    made = copy.deepcopy(module)
    trained = {n: p for n, p in made.named_parameters() if p.requires_grad}
    kept = {n: p.detach().clone() for n, p in made.named_parameters() if not p.requires_grad}
    with torch.no_grad():
        alike = {n: p.flatten()[0].clone() for n, p in trained.items() if _alike(p)}
        for parameter in trained.values():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.fill_(torch.nan)
        # A module after those in it, as when it is made: it may set what they have set.
        for part in reversed(list(made.modules())):
            own = list(part.parameters())
            if own and not any(p.requires_grad for p in own):
                continue
            for name in ("reset_parameters", "_reset_parameters"):
                if callable(reset := getattr(part, name, None)):
                    reset()
                    break
        for name, parameter in made.named_parameters():
            if name in kept:
                parameter.copy_(kept[name])
    left = [n for n, p in trained.items() if bool(p.isnan().any())]
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise InputError(
            f"model is a module, and its parameters {', '.join(left[:3])}{more} cannot be started "
            "anew, since no reset_parameters sets them; give a function that makes the model"
        )
    for name, value in alike.items():
        if not bool((trained[name] == value).all()):
            raise InputError(
                f"model is a module whose {name} is {value.item():g} throughout, and its "
                "reset_parameters would begin it otherwise; give a function that makes the model"
            )
    return made


@contextlib.contextmanager
def at_their_best(optimizer: Any, parameters: Sequence[Tensor]) -> Iterator[None]:
    """Within it parameters are the weights that are to be used: of Schedule-Free their average.

    Afterwards all is, to the bit, as it was.
    """
    to_eval, to_train = (getattr(optimizer, n, None) for n in ("eval", "train"))
    if not (callable(to_eval) and callable(to_train)):
        yield
        return
    trained = [p.detach().clone() for p in parameters]  # the way back would round
    to_eval()
    yield
    to_train()
    with torch.no_grad():
        for parameter, value in zip(parameters, trained, strict=True):
            parameter.copy_(value)


def begun_otherwise(given: nn.Module, fresh: nn.Module) -> str | None:
    """The name of a parameter that is spread otherwise in a module than in one that was made of it
    anew: it was trained, or begun by the user's own function. None if there is none."""
    there = dict(given.named_parameters())
    for name, parameter in fresh.named_parameters():
        if not parameter.requires_grad or parameter.numel() < MANY:
            continue
        one, other = (float(p.detach().float().std()) for p in (there[name], parameter))
        if max(one, other) > SPREAD * min(one, other):
            return name
    return None


MANY, SPREAD = 64, 1.6
"""Numbers of which a standard deviation is known to some percent, and a ratio of two of these that
chance does not make."""


def refuse_lazy(model: nn.Module) -> None:
    """Raise :class:`InputError` for a model with parameters that have no shape yet."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise InputError(
                f"the model's {name} has no shape before its first batch; let model() call the "
                "model on one before it returns it"
            )


def _alike(parameter: Tensor) -> bool:
    """Whether it is one number throughout, and of several elements."""
    return parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all())


def to_train(model: nn.Module) -> nn.Module:
    """The model as it is trained: parts that its user put into eval mode stay there.

    Unless the whole is in eval mode, as what is loaded from a file often is: then all of it is put
    into train mode.
    """
    return model if model.training else model.train()


@contextlib.contextmanager
def judging(models: Iterable[nn.Module]) -> Iterator[None]:
    """Models in eval mode; afterwards every part is in the mode it was in."""
    models = list(models)
    parts = [part for model in models for part in model.modules()]
    if all(map(_plainly_switched, parts)):
        before = [part.training for part in parts]
        try:
            for part in parts:
                vars(part)["training"] = False
            yield
        finally:
            for part, mode in zip(parts, before, strict=True):
                vars(part)["training"] = mode
        return
    modes = [(part, part.training) for part in parts]
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for model, *_ in zip(models, strict=True):
            if modes and model.training is False:
                model.train()  # which a model may have to say something about
        for part, mode in modes:
            part.training = mode


def _plainly_switched(part: nn.Module) -> bool:
    """Whether its mode is one word of it, as torch has it, and nobody is told: to be set as such,
    which takes a tenth of the time."""
    kind: Any = type(part)
    return (
        kind.train is nn.Module.train and kind.eval is nn.Module.eval
        and kind.__setattr__ is nn.Module.__setattr__ and {"train", "eval"}.isdisjoint(vars(part))
        and "training" in vars(part)
    )  # fmt: skip


def compile_model(model: nn.Module, **options: Any) -> None:
    """Let calls of a model go through ``torch.compile``, in place and whatever its class.

    ``model.compile()`` does nothing for the classes of torch's own (``nn.Sequential`` and others):
    the compiler passes over functions of torch's modules where a call begins with them.
    """
    inner = model._call_impl

    def call(*args: Any, **more: Any) -> Any:
        return inner(*args, **more)

    model._compiled_call_impl = torch.compile(call, **options)  # as compile() has it


def shared_part(one: nn.Module, other: nn.Module) -> str | None:
    """The name of a part that keeps something and is the same object in two models; or None.

    torch's own layers without tensors (activations, dropout) keep nothing.
    """
    theirs = {id(part) for part in other.modules()}
    for name, part in one.named_modules():
        keeps = any(True for _ in (*part.parameters(), *part.buffers()))
        if id(part) in theirs and (keeps or not type(part).__module__.startswith("torch.nn.")):
            return name or "model"
    return None
