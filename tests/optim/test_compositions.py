"""Transforms of rules and forms of numbers, two deep, over every rule, against float64 references.

A reference is the base rule called with float64 tensors, inside transforms that are written here
once more; forms of fewer bits are put around it by rounding its states after each step. Of all
compositions each run takes a few; SLALOM_COMPOSITIONS=all takes every one.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.backends.narrow import CODES, REMAINDER, decode, encode, joined
from slalom.engine import keeping
from slalom.ir.program import crosses
from slalom.rules import REQUIRED, RULES, Rule, RuleError, cautious, ema, grokfast, lookahead

TRANSFORMS: dict[str, Callable[[Rule], Rule]] = {
    "cautious": cautious, "lookahead": lookahead, "ema": ema, "grokfast": grokfast,
}  # fmt: skip

BFLOAT = {"dtype": torch.bfloat16, "state_dtype": "float32"}
FORMS: dict[str, dict[str, Any]] = {
    "clip_norm": {"clip_norm": 0.7}, "clip_value": {"clip_value": 0.4},
    "independent": {"independent_weight_decay": 0.01}, "exact": {"remainder": "exact", **BFLOAT},
    "kahan": {"remainder": "kahan", **BFLOAT}, "8bit": {"state_dtype": "8bit"},
    "bfloat16": {"state_dtype": "bfloat16"},
}  # fmt: skip
"""What is done to numbers, as arguments of a class; ``dtype`` is that of parameters."""

BASES = {n: r for n, r in RULES.items() if not n.startswith((*(f"{t}_" for t in TRANSFORMS),))}

COUPLED = {
    "sgd", "momentum", "asgd", "rprop", "adagrad", "adadelta", "rmsprop", "adamax", "adabound",
    "adagrad_norm", "dadapt_adam",
}  # fmt: skip
"""Rules whose decay is in the gradient, of those that have no option for it."""

WITHIN = {"lars", "lamb", "adan", "prodigy", "stable_adamw", "soap"}
"""Rules whose decay is a part of their step."""

BY_ROWS = {"psgd", "factored_adafactor", "adam_mini", "normuon"}
"""Rules that look at rows, which machine code serves where rows hold whole blocks."""

HYPERS: dict[str, Any] = {
    "lr": 0.02, "weight_decay": 0.05, "lookahead_steps": 2, "ema_decay": 0.8, "momentum": 0.6,
    "grokfast_alpha": 0.7, "precondition_frequency": 2, "ns_dtype": "float32",
}  # fmt: skip

STEPS = 5


def pairs() -> list[tuple[str, str, str]]:
    """(outer, inner, rule): two transforms, a form and a transform, or two forms."""
    layers = [*itertools.permutations(TRANSFORMS, 2), *itertools.product(FORMS, TRANSFORMS)]
    layers += [
        (a, b) for a, b in itertools.combinations(FORMS, 2)
        if (not set(FORMS[a]) & set(FORMS[b]) and {a, b} != {"clip_norm", "clip_value"})
        or {a, b} in ({"exact", "8bit"}, {"kahan", "8bit"})
    ]  # fmt: skip
    found = [(*both, name) for both in layers for name in BASES]
    return [
        one for one in found
        if not (RULES[one[2]].averaged and {"cautious", "lookahead", "exact", "kahan"} & {*one[:2]})
    ]  # fmt: skip


class Base:
    """A rule called with float64 tensors, of one parameter."""

    def __init__(self, rule: Rule, hypers: dict[str, Any], param: Tensor):
        self.rule, self.hypers, self.steps = rule, hypers, 0
        self.states = {
            n: torch.tensor(rule.start(n, hypers)).item() if n in rule.numbers
            else param.new_full(rule.shape(n, param.shape, hypers), rule.start(n, hypers))
            for n in rule.arguments
        }  # fmt: skip

    def __call__(self, param: Tensor, grad: Tensor, **other: Any) -> Tensor:
        self.steps += 1
        clock = {"step": self.steps} if self.rule.takes_step else {}
        clock |= {"first": self.steps == 1} if self.rule.takes_first else {}
        found = self.rule(param, grad, *self.states.values(), **{**self.hypers, **other}, **clock)
        moved, *states = found if isinstance(found, tuple) else (found,)
        numbers = self.rule.numbers  # kept in torch's default dtype
        self.states = {
            n: torch.tensor(float(s)).item() if n in numbers else s
            for n, s in zip(self.states, states, strict=True)
        }
        return moved


class Lookahead(Base):
    def __init__(self, inner: Any, hypers: dict[str, Any], param: Tensor):
        self.inner, self.states, self.every = inner, {"slow": param}, hypers["lookahead_steps"]
        self.steps = 0

    def __call__(self, param, grad, **other):
        self.steps += 1
        if self.steps == 1:
            self.states["slow"] = param
        moved = self.inner(param, grad, **other)
        if self.steps % self.every == 0:
            slow = self.states["slow"]
            moved = self.states["slow"] = slow + 0.5 * (moved - slow)
        return moved


class Ema(Base):
    def __init__(self, inner: Any, hypers: dict[str, Any], param: Tensor):
        self.inner, self.states, self.keep = inner, {}, hypers["ema_decay"]

    def __call__(self, param, grad, **other):
        before = self.states.get("ema", param)
        moved = self.inner(param, grad, **other)
        self.states["ema"] = self.keep * before + (1 - self.keep) * moved
        return moved


class Grokfast(Base):
    def __init__(self, inner: Any, hypers: dict[str, Any], param: Tensor):
        self.inner, self.states, self.alpha = inner, {}, hypers["grokfast_alpha"]

    def __call__(self, param, grad, **other):
        before = self.states.get("slow_grad", grad)
        self.states["slow_grad"] = slow = self.alpha * before + (1 - self.alpha) * grad
        return self.inner(param, grad + 2 * slow, **other)


class Cautious(Base):
    def __init__(self, inner: Any, hypers: dict[str, Any], param: Tensor):
        self.inner, self.states = inner, {}
        self.lr, self.decay = hypers.get("lr", 0), hypers.get("weight_decay", 0)

    def __call__(self, param, grad, **other):
        kind = decay_of(self.inner)
        if kind == "coupled":
            grad = grad + self.decay * param
        if kind == "decoupled":
            param = param - self.lr * self.decay * param
        if kind != "within" and self.decay:
            other = {"weight_decay": 0}
        moved = self.inner(param, grad, **other)
        return torch.where((param - moved) * grad > 0, moved, param)


def decay_of(stepper: Any) -> str:
    """Whether decay acts in the gradient, before the step or within it."""
    if type(stepper) is Base:
        name = stepper.rule.name
        if "decoupled_weight_decay" in stepper.hypers:
            return "decoupled" if stepper.hypers["decoupled_weight_decay"] else "coupled"
        return "coupled" if name in COUPLED else "within" if name in WITHIN else "decoupled"
    below = decay_of(stepper.inner)
    if isinstance(stepper, Lookahead | Ema):
        return "within" if below == "decoupled" else below
    return "within" if below == "coupled" and "weight_decay" in hypers_of(stepper) else below


def hypers_of(stepper: Any) -> dict[str, Any]:
    while type(stepper) is not Base:
        stepper = stepper.inner
    return stepper.hypers


STEPPERS = {"cautious": Cautious, "lookahead": Lookahead, "ema": Ema, "grokfast": Grokfast}


def states_of(stepper: Any) -> dict[str, Any]:
    """All states, by name, with who has them."""
    found = dict.fromkeys(stepper.states, stepper)
    return found if type(stepper) is Base else {**states_of(stepper.inner), **found}


def rounded(value: Tensor, kept: Tensor) -> Tensor:
    """A state as it comes back from where it is kept."""
    if kept.dtype in CODES:
        codes, scales = torch.empty(kept.shape, dtype=kept.dtype), torch.zeros(
            -(-kept.numel() // 64)
        )  # fmt: skip
        encode(value.float(), codes, scales)
        return decode(codes, scales).double()
    return value.to(kept.dtype).double() if kept.dtype == torch.bfloat16 else value


def check(outer: str, inner: str, name: str, backend: str, seed: int = 0) -> None:
    rule, layers = RULES[name], [n for n in (inner, outer) if n in TRANSFORMS]
    for layer in layers:
        rule = TRANSFORMS[layer](rule)
    forms: dict[str, Any] = {}
    for form in {inner, outer} & set(FORMS):
        forms |= FORMS[form]
    if {inner, outer} >= {"8bit"} and forms.get("dtype"):
        forms["state_dtype"] = "8bit"
    kept_in = forms.get("state_dtype")
    narrow = kept_in in ("8bit", "bfloat16")
    dtype = forms.pop("dtype", torch.float32 if narrow else torch.float64)
    hypers = {n: HYPERS.get(n, d) for n, d in rule.hypers.items() if d is not REQUIRED or n == "lr"}
    generator = torch.Generator().manual_seed(seed)

    def drawn(shape: Sequence[int]) -> Tensor:
        return torch.randn(shape, generator=generator).to(torch.bfloat16).double()

    shapes = [(8, 8), (67,), (8, 8), ()]
    if kept_in == "8bit" and name in BY_ROWS:
        shapes = [(8, 64), (3, 64)]
    if crosses(rule):
        del shapes[1:]
    exact = [drawn(s) for s in shapes]
    params = [Parameter(x.to(dtype, copy=True)) for x in exact]
    given = {n: v for n, v in hypers.items() if n in RULES[name].hypers or n in HYPERS}
    steppers: list[Any] = []
    for x in exact:
        stepper: Any = Base(RULES[name], {n: hypers[n] for n in RULES[name].hypers}, x)
        for layer in layers:
            stepper = STEPPERS[layer](stepper, hypers, x)
        steppers.append(stepper)
    begun = [x.clone() for x in exact]
    with using(backend):
        optimizer = slalom.optimizer(rule)(params, **given, **forms)
        for step in range(STEPS):
            grads = [drawn(x.shape) for x in exact]
            for p, grad in zip(params, grads, strict=True):
                p.grad = grad.to(dtype, copy=True)
            optimizer.step()
            for p, stepper in zip(params, steppers, strict=True) if not step else ():
                for state, whose in states_of(stepper).items():  # as they begin where they are kept
                    kept = optimizer.state[p].get(state)
                    if isinstance(kept, Tensor) and kept.dtype == torch.bfloat16 != dtype:
                        whose.states[state] = rounded(torch.as_tensor(whose.states[state]), kept)
            if bound := forms.get("clip_norm"):
                norm = sum(g.square().sum() for g in grads) ** 0.5
                grads = [g * min(1.0, bound / (norm + 1e-6)) for g in grads]
            if bound := forms.get("clip_value"):
                grads = [g.clamp(-bound, bound) for g in grads]
            share = forms.get("independent_weight_decay", 0)
            for i, (p, grad) in enumerate(zip(params, grads, strict=True)):
                exact[i] = steppers[i](exact[i] * (1 - share), grad)
                kept = optimizer.state[p]
                for state, whose in states_of(steppers[i]).items():
                    if narrow and isinstance(whose.states[state], Tensor) and state in kept:
                        assert not (state in WEIGHTS and kept[state].dtype in CODES)
                        whose.states[state] = rounded(whose.states[state], kept[state])
        served = {row[3] for row in slalom.explain(optimizer).rows}
    assert backend in served
    travelled = max((a - b).abs().max() for a, b in zip(exact, begun, strict=True))
    assert travelled > 0
    for p, x, stepper in zip(params, exact, steppers, strict=True):
        found = p.detach().double()
        if REMAINDER in optimizer.state[p]:
            found = joined(p.detach(), optimizer.state[p][REMAINDER]).double()
        if "param_lost" in optimizer.state[p]:
            found = found + optimizer.state[p]["param_lost"].double()
        off = ((found - x).abs() / max(travelled, x.abs().max())).flatten().sort().values
        if narrow:  # a number midway between two codes may go either way
            assert off[len(off) // 2] < 1e-5
            assert off[-1] < 0.02
        else:
            assert off[-1] < (1e-10 if dtype == torch.float64 else 2e-4), off[-1]
        if dtype == torch.float64:
            for state, whose in states_of(stepper).items():
                if state in optimizer.state[p]:
                    own, there = whose.states[state], optimizer.state[p][state]
                    assert torch.allclose(there, torch.as_tensor(own).to(there), 1e-8, 1e-10), state


WEIGHTS = {"slow", "ema", "p0", "z", "ax"}
"""States that hold weights, which have no codes."""

ALL = pairs()
CHOSEN = ALL if os.environ.get("SLALOM_COMPOSITIONS") == "all" else random.Random(0).sample(ALL, 40)


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize(("outer", "inner", "name"), CHOSEN)
def test_two_deep_it_is_its_reference(outer, inner, name, backend, monkeypatch):
    monkeypatch.setattr(keeping, "LEAST", 1)
    check(outer, inner, name, backend)


@pytest.mark.parametrize("transform", [cautious, lookahead])
def test_what_steps_by_another_state_is_refused(transform):
    with pytest.raises(RuleError, match="rule schedule_free_sgd steps by its state z"):
        transform(RULES["schedule_free_sgd"])
