"""The face of every rule: a ``torch.optim.Optimizer`` whose step is a plan."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from itertools import chain
from operator import methodcaller
from typing import Any, ClassVar

import torch
from torch import Tensor, _disable_dynamo  # pyright: ignore[reportPrivateImportUsage]
from torch._C._autograd import _profiler_enabled
from torch.compiler import is_dynamo_compiling
from torch.nn.parameter import is_lazy
from torch.optim.optimizer import (
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
)

from slalom.engine.capturable import step_there
from slalom.engine.naming import params_of, turns
from slalom.engine.plan import Outcome, Plan
from slalom.engine.there import is_recorded
from slalom.engine.treatment import FULL_RATE, Treatment
from slalom.optim import checkpoint, checks
from slalom.optim.clearing import drop, watched, zeroed
from slalom.optim.collecting import collected_later
from slalom.optim.differentiable import update_differentiably
from slalom.optim.exclusive import Exclusive
from slalom.optim.spent import Spent
from slalom.optim.states import Slots, make_slots
from slalom.rules.definition import REQUIRED, Rule
from slalom.rules.treated import treated

CHOICES: dict[str, Any] = {
    "foreach": None, "fused": None, "capturable": False, "differentiable": False,
}  # fmt: skip
"""Arguments of torch's classes that choose an implementation, and their defaults."""

OFFERED = ("capturable", "differentiable")
"""Those that every class takes, whether torch's class of its name has them or not."""

_is_differentiable = methodcaller("get", "differentiable")

TREATMENT = {field.name: field.default for field in fields(Treatment)}
"""Arguments that every class takes beyond torch's, and their defaults."""


class RuleOptimizer(Exclusive, torch.optim.Optimizer):
    """Base of the optimizer classes that :func:`slalom.optimizer` makes of rules.

    The interface is torch.optim's. ``foreach`` and ``fused``, which choose among torch's
    implementations of the same formula, change nothing but what torch.amp.GradScaler makes of
    ``fused=True``: it leaves unscaling to the step. ``differentiable=True`` runs the rule under
    autograd, so that gradients flow through the step to parameters, gradients, states and
    hyper-parameters given as tensors. ``capturable=True`` keeps step counts on the device of the
    parameters and asks it for nothing, so that a CUDA graph can record the step; where there are no
    graphs, as on the CPU, it changes nothing. The arguments of
    :class:`slalom.engine.treatment.Treatment` (``clip_norm``, ``clip_value``, ``on_nonfinite``)
    are taken by every class.
    """

    rule: ClassVar[Rule]
    """The rule that this class runs."""

    choices: ClassVar[tuple[str, ...]] = ()
    """Which of :data:`CHOICES` this class takes."""

    beyond: ClassVar[tuple[str, ...]] = ()
    """Hyper-parameters that torch's class of the same name lacks. Groups, and with them checkpoints
    and ``repr``, have them only where they are not the default, so as to be torch's otherwise."""

    offered: ClassVar[tuple[str, ...]] = ()
    """Those of :data:`OFFERED` that torch's class lacks: its groups have them only where set."""

    several_rules: ClassVar[bool] = False
    """Whether the rule of a group may change from step to step."""

    _released: Any = None  # what slalom.release() made of it
    _plan: Plan | None = None
    _stay: Any = None  # what a step was made of that asks a device for nothing
    _warned = False

    @_disable_dynamo
    def __init__(self, params: Any, **arguments: Any):
        hypers = {name: arguments.pop(name, default) for name, default in self.rule.hypers.items()}
        self._take_treatment(arguments)
        self._treatment.check([self.rule])
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
        if choices.get("fused") and choices.get("differentiable"):
            raise RuntimeError("`fused` does not support `differentiable`")
        checks.check_hypers(self.rule, hypers | choices)
        hypers |= {n: checks.as_tuple(hypers[n]) for n in checks.sequences(self.rule)}
        default = self.rule.hypers
        shown = {n: v for n, v in hypers.items() if n not in self.beyond or v != default[n]}
        choices = {n: v for n, v in choices.items() if n not in self.offered or v}
        super().__init__(params, shown | choices)
        if choices.get("fused"):  # torch.amp.GradScaler then leaves unscaling to the step
            self._step_supports_amp_scaling = True

    def _take_treatment(self, arguments: dict[str, Any]) -> None:
        """Take the treatment's arguments out of these, and be ready for parameters."""
        self._treatment = Treatment(
            **{name: arguments.pop(name) for name in TREATMENT if name in arguments}
        )
        self._excluded: dict[str, str] = {}

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        """The rule that a parameter group follows."""
        return self.rule

    def remark(self, group: Mapping[str, Any], name: str) -> str:
        """What is to be said of a parameter beside which backend serves it."""
        return ""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, default in self.rule_of(group).hypers.items():
                if name not in self.beyond and checks.may_lack(default):
                    group.setdefault(name, default)
            for name in self.choices:
                if name not in self.offered:
                    group.setdefault(name, CHOICES[name])
        self._plan = None
        self._treatment = getattr(self, "_treatment", Treatment())
        self._excluded = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_treatment": self._treatment}

    def state_dict(self, *, snapshot: bool = False, full: bool = False) -> dict[str, Any]:
        """As in torch; with ``snapshot`` a copy, which later steps leave as it is.

        Without, its tensors are the optimizer's own, as torch's are: to be saved at once. ``full``
        has as float32, for torch's class too, what is kept in fewer bits, and no remainders.
        """
        saved = checkpoint.widened(super().state_dict()) if full else super().state_dict()
        return checkpoint.copied(saved) if snapshot else saved

    @_disable_dynamo
    def load_state_dict(self, state_dict: dict[str, Any], *, strict: bool = True) -> None:
        """Go on from a checkpoint of this class or of torch's class of the same name.

        Where the parameters have names here and there, each takes the state of its own name,
        whatever the order; else they are matched by their order, as in torch. States are copied,
        and keep their dtype, which need not be the parameter's.

        Raises ValueError, and changes nothing, if the groups differ in number or size (matched by
        order), if a name is missing or unexpected (matched by name), or if it is of another class,
        by its options. ``strict=False`` passes over such names: parameters that the checkpoint does
        not know keep what they have.
        """
        with self.alone:
            checkpoint.load(self, state_dict, self.rule_of, self.beyond, strict)

    @_disable_dynamo
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in torch; the group's hyper-parameters are checked as the class's own are.

        Raises ValueError for a group's own opinion of what is of all, such as ``clip_norm``.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"a group is a dict, not {type(param_group).__name__}")
        checks.check_treatment(param_group, self._treatment)
        rule = self.rule_of(param_group)
        names = {**rule.hypers, **{n: CHOICES[n] for n in self.choices}}
        given = {n: param_group.get(n, self.defaults.get(n, d)) for n, d in names.items()}
        checks.check_hypers(rule, given)
        for name in checks.sequences(rule):
            if name in param_group:
                param_group[name] = checks.as_tuple(param_group[name])
        if self._treatment.independent_weight_decay is not None and "lr" in given:
            param_group.setdefault(FULL_RATE, float(given["lr"]))
        super().add_param_group(param_group)
        self._plan = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As in torch."""
        with self.alone:
            if self._released is not None:
                self._released.clear()
            if set_to_none and not watched():
                drop(self.param_groups)
            elif set_to_none or watched() or not zeroed(self.param_groups):
                super().zero_grad(set_to_none)

    def clip(self, norm: float | None = None, value: float | None = None) -> bool:
        """Clip gradients in the pass of every step to come, as by the arguments ``clip_norm`` and
        ``clip_value``; False, and nothing changes, where it has a bound already or two are given.
        """
        now = self._treatment
        bounds = (now.clip_norm, now.clip_value, norm, value)
        if sum(bound is not None for bound in bounds) != 1 or self._released is not None:
            return False
        self._treatment = replace(now, clip_norm=norm, clip_value=value)
        self._plan = None
        return True

    def share_memory(self) -> None:
        """Make the states of all parameters now, and put them into shared memory.

        For processes that train one model together (Hogwild). As ``torch.optim.Adagrad`` has it.
        Raises ValueError for a rule whose first update differs from the others.
        """
        rules = {self.rule_of(g) for g in self.param_groups}
        for rule in rules:
            if rule.takes_first and not rule.takes_step:
                raise ValueError(
                    f"{rule.class_name} makes its state of the first gradient, so that there is "
                    "nothing to share before the first step"
                )
        self._slots(self.param_groups, all_of_them=True).commit(self.state)
        for state in self.state.values():
            for value in state.values():
                if isinstance(value, Tensor):
                    value.share_memory_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every parameter that has a gradient; returns what ``closure`` returns, if given.

        Raises RuntimeError, before anything is changed, for a gradient or a parameter that cannot
        be served; the message says why.
        """
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or _profiler_enabled()
        ):
            return _observed_step(self) if closure is None else _observed_step(self, closure)
        return self._step(closure)

    # torch wraps a step that has no such mark, at 7 microseconds a call; hooks and the profiler
    # are served by _observed_step, which is torch's own wrapper.
    step.hooked = True  # type: ignore[attr-defined]

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        if is_dynamo_compiling():
            return _uncompiled_step(self, closure)
        self.refuse_step()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with self.alone:
            self._update()
        return loss

    def _update(self) -> None:
        if self._released is not None and not self._released.left():
            return
        scale, found = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        plan, groups = self._plan, self.param_groups
        if plan is None or not plan.here or is_recorded():
            last, self._stay = self._stay, None  # whatever exception comes before the end
            given = groups, self.state, self.rule_of, self._treatment, scale, found
            if (made := step_there(last, self._complete, *given)) is not None:
                self._plan, (self._stay,) = None, made
                return
        if found is not None and float(found) > 0:
            return
        if scale is not None:
            scale = 1.0 / (scale if scale.device.type != "cpu" else float(scale))
        elif self._treatment.clip_norm is not None:
            scale = 1.0
        if any(map(_is_differentiable, groups)):
            self._plan = None
            self._complete(groups)
            update_differentiably(groups, self.state, self.rule_of, self._treatment, scale)
            return
        if (
            plan is not None
            and not (self.several_rules and plan.origin != self._rules(groups))
            and plan.scaled == (scale is not None)
            and plan.holds(groups, self.state)
            and plan.run(groups, scale) is not Outcome.STALE
        ):
            return
        self._step_anew(scale)

    def _complete(self, groups: Iterable[dict[str, Any]]) -> None:
        """Raise RuntimeError if a group lacks an option of its rule."""
        for number, group in enumerate(groups):
            checks.check_options(self.rule_of(group), group, number, self.beyond)

    def refuse_step(self) -> None:
        """Raise RuntimeError if no step can be made now."""

    def _step_anew(self, scale: Any) -> None:
        """Make a step by a new plan, and keep that."""
        first: dict[int, int] = {}  # parameter -> the group in which it was updated first
        for groups in turns(self.param_groups):
            apart = [] if groups is self.param_groups else groups
            place = {id(p): i for i, g in enumerate(apart) for p in g["params"]}
            fresh = {p for p, i in place.items() if first.get(p) == i}
            with torch.inference_mode(False), collected_later():  # what is made outlives that mode
                plan = self.step_by_new_plan(groups, scale, fresh)
            if groups is self.param_groups:
                plan.watch(groups, self.state)
            else:
                self._plan = None
                if plan.last is Outcome.SKIPPED:
                    break
                first |= {p: place[p] for p in plan.first_updated}

    def step_by_new_plan(
        self, groups: Sequence[dict[str, Any]], scale: Any = None, fresh: set[int] | None = None,
        norm: float | None = None,
    ) -> Plan:  # fmt: skip
        """Make a plan for ``groups`` and a step by it; the plan.

        ``groups`` are the optimizer's, or others with a part of its parameters. ``fresh`` are ids
        of parameters for which this counts as the first update though they had one. ``scale`` and
        ``norm`` are as in :meth:`slalom.engine.plan.Plan.run`.
        """
        while True:
            slots = self._slots(groups, fresh)
            plan = self._plan = self._plan_of(slots, groups, scale is not None)
            outcome = plan.run(groups, scale, lambda s=slots: s.commit(self.state), norm)
            if outcome is not Outcome.STALE:
                self._warn(plan)
                return plan
            if plan.excluded.keys() == self._excluded.keys():
                raise RuntimeError("the parameters changed while they were being updated")
            self._excluded = plan.excluded  # a backend that cannot go on: without it

    def plan(self) -> Plan:
        """A plan for the parameters and gradients as they are now, which changes nothing."""
        scaled = self._treatment.clip_norm is not None
        groups = [
            {**g, "params": [p for p in g["params"] if not (is_lazy(p) or type(p.grad) is Spent)]}
            for g in self.param_groups
        ]
        with torch.inference_mode(False):
            slots = self._slots(groups)
            plan = self._plan_of(slots, groups, scaled)
            plan.bytes = slots.bytes
            return plan

    def _slots(
        self, groups: Sequence[dict[str, Any]], fresh: set[int] | None = None,
        *, all_of_them: bool = False,
    ) -> Slots:  # fmt: skip
        checks.check_fused(groups)
        self._complete(groups)
        indices = {id(p): i for i, p in enumerate(params_of(self.param_groups))}
        last = self._plan

        def unmoved(param: Tensor) -> bool:
            return id(param) in fresh if fresh else last is not None and last.unmoved(param)

        return make_slots(
            groups, self.state, indices, self.rule_of, self._treatment, unmoved,
            all_of_them=all_of_them,
        )  # fmt: skip

    def _plan_of(self, slots: Slots, groups: Sequence[Mapping[str, Any]], scaled: bool) -> Plan:
        acts = self._treatment.acts(scaled)
        rules = [treated(self.rule_of(g), acts) for g in groups]
        plan = Plan(
            rules, slots.slots, slots.absent, slots.indices, self._treatment, self._excluded
        )
        plan.scaled, plan.origin = scaled, self._rules(groups)
        return plan

    def _rules(self, groups: Sequence[Mapping[str, Any]]) -> list[Rule]:
        return [self.rule_of(group) for group in groups]

    def _warn(self, plan: Plan) -> None:
        if plan.lost is not None and not self._warned:
            self._warned = True
            message = f"{type(self).__name__} runs without machine code, and slower: {plan.lost}"
            warnings.warn(message, stacklevel=7)  # where step() was called

    def states_of(self, groups: Iterable[Mapping[str, Any]]) -> dict[Tensor, dict[str, Any]]:
        """The states of the parameters of ``groups``, as far as they have been made."""
        params = chain.from_iterable(g["params"] for g in groups)
        return {p: self.state[p] for p in params if p in self.state}


_observed_step = torch.optim.Optimizer.profile_hook_step(RuleOptimizer._step)


@_disable_dynamo
def _uncompiled_step(optimizer: RuleOptimizer, closure: Callable[[], Any] | None) -> Any:
    """The step as it is outside of a compiled function: there is nothing in it to compile."""
    return RuleOptimizer._step(optimizer, closure)
