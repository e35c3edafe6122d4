"""The face of every rule: a ``torch.optim.Optimizer`` whose step is a plan."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, _disable_dynamo  # pyright: ignore[reportPrivateImportUsage]
from torch._C._autograd import _profiler_enabled
from torch.compiler import is_dynamo_compiling
from torch.optim.optimizer import (
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
)

from slalom.kernel.layout import like, same_layout
from slalom.kernel.plan import Plan
from slalom.kernel.program import program_for
from slalom.kernel.rows import Group
from slalom.kernel.table import Entry
from slalom.kernel.treatment import Treatment
from slalom.optim import checkpoint
from slalom.optim.checks import check_hypers, check_state, check_treatment
from slalom.rules.rule import REQUIRED, Rule
from slalom.rules.treated import BOUND, SCALE, SHRINK, treated

CHOICES: dict[str, Any] = {
    "foreach": None, "fused": None, "capturable": False, "differentiable": False,
}  # fmt: skip
"""Arguments of torch's classes that choose an implementation, and their defaults."""


TREATMENT = {field.name: field.default for field in fields(Treatment)}
"""Arguments that every class takes beyond torch's, and their defaults."""


class RuleOptimizer(torch.optim.Optimizer):
    """Base of the optimizer classes that :func:`optimizer` makes of rules.

    The interface is torch.optim's. ``foreach`` and ``fused``, which choose among torch's
    implementations of the same formula, are accepted and change nothing; ``capturable=True`` and
    ``differentiable=True``, which ask for what is not here, raise ValueError. The arguments of
    :class:`slalom.kernel.treatment.Treatment` (``clip_norm``, ``clip_value``, ``on_nonfinite``)
    are taken by every class.
    """

    rule: ClassVar[Rule]
    """The rule that this class runs."""

    choices: ClassVar[tuple[str, ...]] = ()
    """Which of :data:`CHOICES` this class takes."""

    _released: Any = None  # what slalom.release() made of it

    def __init__(self, params: Any, **arguments: Any):
        hypers = {name: arguments.pop(name, default) for name, default in self.rule.hypers.items()}
        self._take_treatment(arguments)
        choices = {name: arguments.pop(name, CHOICES[name]) for name in self.choices}
        name = type(self).__name__
        if arguments:
            known = ", ".join([*hypers, *choices, *TREATMENT])
            raise TypeError(f"{name} has no argument {next(iter(arguments))!r}; it has {known}")
        missing = [n for n, value in hypers.items() if value is REQUIRED]
        if missing:
            raise TypeError(f"{name} needs a value for {missing[0]}: it has no default")
        if choices.get("foreach") and choices.get("fused"):
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        for choice in ("capturable", "differentiable"):
            if choices.get(choice):
                raise ValueError(
                    f"{name} cannot be {choice}; use torch.optim.{name} where you need that"
                )
        check_hypers(self.rule, hypers | choices)
        super().__init__(params, hypers | choices)

    def _take_treatment(self, arguments: dict[str, Any]) -> None:
        """Take the treatment's arguments out of these, and be ready for parameters."""
        self._treatment = Treatment(
            **{name: arguments.pop(name) for name in TREATMENT if name in arguments}
        )
        self._scaled = self._treatment.clip_norm is not None
        self._plan: Plan | None = None
        self._warned = False

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        """The rule that a parameter group follows."""
        return self.rule

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, default in self.rule_of(group).hypers.items():
                group.setdefault(name, default)
            for name in self.choices:
                group.setdefault(name, CHOICES[name])
        self._plan = None
        self._warned = getattr(self, "_warned", False)
        self._treatment = getattr(self, "_treatment", Treatment())
        self._scaled = self._treatment.clip_norm is not None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_treatment": self._treatment}

    def state_dict(self, *, snapshot: bool = False) -> dict[str, Any]:
        """As in torch; with ``snapshot`` a copy, which later steps leave as it is.

        Without, its tensors are the optimizer's own, as torch's are: to be saved at once.
        """
        saved = super().state_dict()
        return checkpoint.copied(saved) if snapshot else saved

    @_disable_dynamo
    def load_state_dict(self, state_dict: dict[str, Any], *, strict: bool = True) -> None:
        """Go on from a checkpoint of this class or of torch's class of the same name.

        Where the parameters have names here and there, each takes the state of its own name,
        whatever the order; else they are matched by their order, as in torch. States are copied,
        and keep their dtype, which need not be the parameter's.

        Raises ValueError, and changes nothing, if the groups differ in number or size (matched by
        order), or if a name is missing or unexpected (matched by name). ``strict=False`` passes
        over such names: parameters that the checkpoint does not know keep what they have.
        """
        checkpoint.load(self, state_dict, strict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in torch; the group's hyper-parameters are checked as the class's own are.

        Raises ValueError if the group says otherwise than the optimizer what is of all of it, such
        as ``clip_norm``.
        """
        check_treatment(param_group, self._treatment)
        rule = self.rule_of(param_group)
        names = {**rule.hypers, **{n: CHOICES[n] for n in self.choices}}
        given = {n: param_group.get(n, self.defaults.get(n, d)) for n, d in names.items()}
        check_hypers(rule, given)
        super().add_param_group(param_group)
        self._plan = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every parameter that has a gradient; returns what ``closure`` returns, if given.

        Raises RuntimeError, before anything is changed, if a gradient is sparse and the rule has
        no sparse form.
        """
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or _profiler_enabled()
        ):
            return _observed_step(self, closure)
        return self._step(closure)

    # torch wraps a step that has no such mark, at 7 microseconds a call; hooks and the profiler
    # are served by _observed_step, which is torch's own wrapper.
    step.hooked = True  # type: ignore[attr-defined]

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        if is_dynamo_compiling():
            return _uncompiled_step(self, closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        scale = 1.0 if self._scaled else None
        if self._released is not None:
            self._released.clear()
        if (given := getattr(self, "grad_scale", None)) is not None:
            if not self._scaled:
                self._scaled, self._plan = True, None
            scale = 1.0 / float(given)
        if (found := getattr(self, "found_inf", None)) is not None and float(found) > 0:
            return loss
        plan = self._plan
        if plan is None or not plan.matches(self.state) or not plan.run(scale):
            for groups in _turns(self.param_groups):
                with torch.inference_mode(False):  # what is made here outlives that mode
                    plan = self.plan_for(groups)
                if not plan.run(scale):
                    raise RuntimeError("the parameters changed while they were being updated")
                self._plan = plan if groups is self.param_groups else None
        return loss

    # torch.amp.GradScaler: set grad_scale and found_inf on the optimizer, and leave it to step()
    _step_supports_amp_scaling = True

    def plan(self) -> Plan:
        """Make a new plan for the parameters and gradients as they are now, with their states."""
        return self.plan_for(self.param_groups)

    def plan_for(self, groups: Sequence[Mapping[str, Any]]) -> Plan:
        """A plan for ``groups``: those of the optimizer, or others with a part of the parameters.

        It holds while the states of these parameters stay the same objects.
        """
        name = type(self).__name__
        for group in groups:  # all of them before the first state is made
            if any(p.grad is not None and p.grad.layout != torch.strided for p in group["params"]):
                decay = group.get("weight_decay") or self._treatment.independent_weight_decay
                _check_sparse(name, self.rule_of(group), decay)
        entries = []
        params = list(chain.from_iterable(g["params"] for g in self.param_groups))
        counters = self._adopt_counters(params)
        index = {id(p): i for i, p in enumerate(params)}
        for number, group in enumerate(groups):
            rule = self.rule_of(group)
            for param in group["params"]:
                if param.grad is None:
                    continue
                sparse = param.grad.layout != torch.strided
                i = index[id(param)]
                state = self._ready_state(param, group, i, counters)
                tensors = {s: state[s] for s in rule.state if s in state}
                # without a state, and without decay, what a gradient does not touch stays anyway
                still = not tensors and not group.get("weight_decay", 0)
                rows = sparse and (rule.sparse == "rows" or still)
                entries.append(Entry(param, tensors, number, i, rows))
        bound, shrink = self._treatment.clip_value, self._treatment.independent_weight_decay
        neutral = {SCALE: 1.0 if self._scaled else None, BOUND: bound, SHRINK: shrink}
        extra = {name: value for name, value in neutral.items() if value is not None}
        ruled = [
            Group(
                treated(self.rule_of(g), self._scaled, bound is not None, shrink is not None),
                g,
                extra,
            )
            for g in groups
        ]
        states = self.state if groups is self.param_groups else self.states_of(groups)
        plan = Plan(ruled, entries, states, counters, self._treatment)
        if plan.lost is not None and not self._warned:
            self._warned = True
            message = f"{name} runs without machine code, and slower: {plan.lost}"
            warnings.warn(message, stacklevel=4)
        return plan

    def states_of(self, groups: Sequence[Mapping[str, Any]]) -> dict[Tensor, dict[str, Any]]:
        """The states of the parameters of ``groups``, as far as they have been made."""
        params = chain.from_iterable(g["params"] for g in groups)
        return {p: self.state[p] for p in params if p in self.state}

    def _adopt_counters(self, params: list[Tensor]) -> np.ndarray:
        """One array of all step counts and numbers, of which the states' tensors become views."""
        known = getattr(self, "_counters", None)
        views = getattr(self, "_counter_views", [])
        ids = [id(p) for p in params]
        if known is None or self._counted != ids:
            dtype = torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
            names = [
                ("step", *self.rule_of(group).numbers)
                for group in self.param_groups
                for _ in group["params"]
            ]
            known = torch.zeros(max(map(len, names), default=1), len(params), dtype=dtype)
            columns = known.unbind(1)
            views = [
                dict(zip(n, c.unbind(), strict=False)) for n, c in zip(names, columns, strict=True)
            ]
            self._counters, self._counter_views, self._counted = known, views, ids
        for param, view in zip(params, views, strict=True):
            state = self.state.get(param, {})
            for name in view:
                if name in state and state[name] is not view[name]:
                    view[name].fill_(float(state[name]))
                    state[name] = view[name]
        return known.numpy()

    def _ready_state(
        self, param: Tensor, group: Mapping[str, Any], i: int, counters: np.ndarray
    ) -> dict[str, Any]:
        """The parameter's state with all that its rule needs, made or laid out anew if need be."""
        rule, views = self.rule_of(group), self._counter_views[i]
        column = counters[: len(views), i]
        state = self.state.get(param, {})
        missing = [n for n in views if n not in state]
        for name in missing if rule.takes_step or rule.numbers else ():
            if name in rule.numbers:
                views[name].fill_(rule.start(name, group))
            elif rule.takes_step:
                views[name].zero_()
        count, *numbers = column.tolist()
        program = program_for(rule, group, count + 1, count == 0, *numbers)
        if not program.live_state and not rule.takes_step and not rule.numbers:
            return {}
        state = self.state[param]
        state |= {n: views[n] for n in missing if n != "step" or rule.takes_step}
        fresh = False
        for name in program.live_state:
            if name not in state:
                start = rule.start(name, group)
                filled = complex(start, start) if param.is_complex() else start
                state[name] = torch.full_like(param, filled, requires_grad=False)
                fresh = True
                continue
            check_state(name, state[name], param)
            if (
                type(param) in (Tensor, torch.nn.Parameter)
                and param.layout == torch.strided
                and not same_layout(param, state[name])
            ):
                state[name] = like(param.detach(), state[name])
        if not rule.takes_step:  # not kept in checkpoints: only the first update differs
            column[0] = 0 if fresh else max(count, 1)
        return state


def _check_sparse(name: str, rule: Rule, decay: Any) -> None:
    """Raise RuntimeError if this rule, with this decay, has no meaning for sparse gradients."""
    if rule.sparse is None:
        raise RuntimeError(f"{name} does not support sparse gradients")
    if decay:
        raise RuntimeError(
            f"weight_decay option is not compatible with sparse gradients: {name} would have to "
            "decay the rows that a gradient does not touch; set weight_decay=0 for this parameter"
        )


def _turns(groups: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """What to update one after another: the groups, as long as none mentions a parameter twice.

    If one does, groups of the first mentions, then of the second ...: torch updates at each.
    """
    if all(len(set(map(id, g["params"]))) == len(g["params"]) for g in groups):
        return [groups]
    turns: list[list[dict[str, Any]]] = []
    for i, group in enumerate(groups):
        mentions = Counter()
        for param in group["params"]:
            if mentions[id(param)] == len(turns):
                turns.append([{**g, "params": []} for g in groups])
            turns[mentions[id(param)]][i]["params"].append(param)
            mentions[id(param)] += 1
    return turns


_observed_step = torch.optim.Optimizer.profile_hook_step(RuleOptimizer._step)


@_disable_dynamo
def _uncompiled_step(optimizer: RuleOptimizer, closure: Callable[[], Any] | None) -> Any:
    """The step as it is outside of a compiled function: there is nothing in it to compile."""
    return RuleOptimizer._step(optimizer, closure)


def optimizer(rule: Rule, name: str | None = None, like: type | None = None) -> Any:
    """The ``torch.optim.Optimizer`` class of a rule.

    Its arguments are ``params`` and the rule's hyper-parameters in their order, from ``maximize``
    on by keyword only, then those of :data:`CHOICES` that ``like`` has, torch's class of the
    same name. ``name`` is the class's name, by default ``rule.class_name``. The class speaks
    torch.optim's interface in full and steps at the speed of the compiled rule.
    """
    name = name or rule.class_name
    choices = tuple(n for n in CHOICES if like and n in inspect.signature(like).parameters)
    positional, keyword = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
    names = list(rule.hypers)
    first_keyword = names.index("maximize") if "maximize" in names else len(names)
    hypers = [
        inspect.Parameter(n, positional if i < first_keyword else keyword, default=rule.hypers[n])
        for i, n in enumerate(names)
    ]
    signature = inspect.Signature(
        [
            inspect.Parameter("self", positional),
            inspect.Parameter("params", positional),
            *sorted(hypers, key=lambda p: (p.kind, p.default is not REQUIRED)),
            *(inspect.Parameter(n, keyword, default=CHOICES[n]) for n in choices),
            *(inspect.Parameter(n, keyword, default=d) for n, d in TREATMENT.items()),
        ]
    )

    def initialise(self: RuleOptimizer, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs).arguments
        bound.pop("self")
        RuleOptimizer.__init__(self, bound.pop("params"), **bound)

    initialise.__signature__ = signature  # type: ignore[attr-defined]
    body = {
        "rule": rule, "choices": choices, "__init__": initialise, "__doc__": rule.__doc__,
        "__module__": sys._getframe(1).f_globals["__name__"],  # where pickle looks for the class
    }  # fmt: skip
    return type(name, (RuleOptimizer,), body)
