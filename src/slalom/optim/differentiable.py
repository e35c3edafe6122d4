"""Steps under autograd: a rule is a pure function of tensors, so gradients flow through it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from slalom.backends.counters import is_counter, read, write
from slalom.backends.crossings import check_crossings
from slalom.backends.refusals import refuse_no_matrix, refuse_squares
from slalom.engine.memory import check
from slalom.engine.naming import names_in
from slalom.engine.starting import begun, check_state, check_whole
from slalom.engine.treatment import Treatment
from slalom.ir.known import program_for
from slalom.ir.symbol import Symbol
from slalom.ir.tensors import Values, across, elements_asked
from slalom.optim.checks import check_sparse
from slalom.optim.spent import Spent
from slalom.optim.states import first_is_lost
from slalom.rules.definition import Rule
from slalom.rules.treated import treated

Group = Mapping[str, Any]
States = MutableMapping[Tensor, dict[str, Any]]


def update_differentiably(
    groups: Sequence[Group],
    states: States,
    rule_of: Callable[[Group], Rule],
    treatment: Treatment,
    scale: Any,
) -> None:
    """Update every parameter that has a gradient, in place, and recorded by autograd.

    That is in the groups that are differentiable; the others are updated by the same operations,
    unrecorded. States are replaced by new tensors, so that what the graph has saved of the old
    ones stays valid. Hyper-parameters that are tensors are used as they are, so that the result
    can be differentiated by them; a rule branches on their values.

    As in torch the parameter itself is written to. What a loss saves of it for its own derivative
    is lost then: compute the loss from ``param.clone()``.

    Raises, before anything is changed, ValueError if the treatment rounds by chance or looks for
    gradients that are not finite, which has no derivative, and where a scalar is no real number;
    RuntimeError for a parameter that cannot be updated, a leaf of the graph among them, as in
    torch.
    """
    for asked, usual in (("on_nonfinite", "propagate"), ("rounding", "nearest")):
        if getattr(treatment, asked) != usual:
            raise ValueError(f"{asked} has no derivative; leave it out where differentiable=True")
    treatment.refuse_narrow("differentiable=True")
    with torch.enable_grad():
        if treatment.clip_norm is not None:
            norms = [
                torch.linalg.vector_norm(_dense(p.grad), dtype=_wide(p.grad.dtype, torch.float64))
                for group in groups for p in group["params"] if p.grad is not None
            ]  # fmt: skip
            if norms:
                norm = torch.linalg.vector_norm(torch.stack(norms)) * abs(scale)
                scale = scale * treatment.factor(norm)
    updates = [
        _Update(rule_of(group), group, param, name, states.get(param, {}), treatment, scale)
        for group, param, name in _present(groups)
    ]
    check_crossings((update.rule, update.program) for update in updates)
    together: dict[Any, list[_Update]] = {}
    for update in updates:
        key = update.rule if update.program.crossings else update
        together.setdefault(key, []).append(update)
    for own in together.values():
        _make(own, states)


def _present(groups: Sequence[Group]) -> Iterator[tuple[Group, Tensor, str]]:
    """Every parameter with a gradient, its group and how messages call it."""
    for number, group in enumerate(groups):
        for name, param in zip(names_in(group, number), group["params"], strict=True):
            if param.grad is not None:
                yield group, param, name


def _make(updates: Sequence[_Update], states: States) -> None:
    """Make updates side by side; what they ask of each other's tensors is brought together."""
    works = [update.make(states[update.param]) for update in updates]
    told: Sequence[Any] = [None] * len(updates)
    for crossing in (*updates[0].program.crossings, None):
        asked = []
        for update, work, own in zip(updates, works, told, strict=True):
            with torch.set_grad_enabled(bool(update.group.get("differentiable"))):
                asked.append(work.send(own))
        if crossing is not None:
            each = zip(*asked, strict=True)
            found = [_answers(updates, n, a) for n, a in zip(crossing.nodes, each, strict=True)]
            told = list(zip(*found, strict=True))
    for work in works:
        work.close()


def _answers(updates: Sequence[_Update], node: Symbol, asked: Sequence[Tensor]) -> list[Tensor]:
    """What each update is told of what all were asked for, one number each."""
    _, kind, over, _ = node.args
    keys = [id(update.group) if over == "group" else None for update in updates]
    own: dict[Any, list[Tensor]] = {}
    for key, value in zip(keys, asked, strict=True):
        own.setdefault(key, []).append(value)
    made = {key: across(kind, values) for key, values in own.items()}
    return [made[key].to(value) for key, value in zip(keys, asked, strict=True)]


class _Update:
    """One parameter, ready to be updated; whatever can be refused is refused here."""

    def __init__(
        self, rule: Rule, group: Group, param: Tensor, name: str, state: Mapping[str, Any],
        treatment: Treatment, scale: Any,
    ):  # fmt: skip
        self.group, self.param = group, param
        grad = param.grad
        assert grad is not None
        if isinstance(grad, Spent):
            raise grad.error("this optimizer's step")
        check(param, grad, name)
        if grad.layout != torch.strided:
            check_sparse(rule, group, treatment)
        if group.get("differentiable") and param.requires_grad and param.is_leaf:
            raise RuntimeError(
                f"a leaf Variable that requires grad is being used in an in-place operation: "
                f"{name}. With differentiable=True give the optimizer tensors that were computed, "
                "such as param.clone()"
            )
        self.by_rows = grad.layout != torch.strided and rule.sparse == "rows"
        self.rule = treated(rule, treatment.acts(scale is not None))
        own = {n: v for n, v in state.items() if v is not None}
        for n in self.rule.state:
            if n in own:
                check_state(self.rule, n, own[n], param, group)
        self.count = _number(own.get("step", 0.0))
        self.first = self.count == 0 and (rule.takes_step or not any(n in own for n in rule.state))
        late = treatment.late(scale, group)
        self.hypers = {n: {**group, **late}.get(n, d) for n, d in self.rule.hypers.items()}
        values = {n: _scalar(v, detached=True) for n, v in self.hypers.items()}
        numbers = [_number(own.get(n, rule.start(n, values))) for n in rule.numbers]
        # says which rule and option it is where a scalar is no real number
        self.program = program = program_for(
            self.rule, values, self.count + 1, self.first, *numbers
        )
        refuse_no_matrix(program, param)
        refuse_squares(rule, "differentiable")
        self.live = program.live_state
        check_whole(rule, self.live, own, name, self.count)
        self.counted = rule.takes_step or first_is_lost(self.rule, values, *numbers)

    def make(self, state: dict[str, Any]) -> Generator[list[Tensor] | None, Any, None]:
        """Update the parameter and its ``state``; gives None when all is done.

        Before, at each crossing, it gives what is asked for there, and is sent what that became.
        """
        rule, param = self.rule, self.param
        dtype = _wide(param.dtype, torch.float32)
        hypers = {n: _scalar(v) for n, v in self.hypers.items()}
        if rule.takes_step:
            hypers["step"] = self.count + 1
        if rule.takes_first:
            hypers["first"] = self.first
        own = {
            n: state[n] if state.get(n) is not None else self._start(n, hypers)
            for n in rule.arguments
        }
        given = [
            value.double().reshape(())
            if n in rule.numbers
            else _real(value.to(dtype.to_real() if n in rule.shapes else dtype))
            for n, value in own.items()
        ]
        # clones, since the graph keeps them and both are likely to be overwritten
        old, grad = (_real(t.to(dtype, copy=True)) for t in (param, _dense(param.grad)))
        if self.program.crossings:
            moved, *results = yield from self._asked(old, grad, given, hypers)
        else:
            moved, *results = rule.results(rule.function(old, grad, *given, **hypers))
        touched = _touched(param) if self.by_rows else None
        for (name, before), now, after in zip(own.items(), given, results, strict=True):
            if name in rule.numbers:
                state[name] = torch.as_tensor(after, dtype=before.dtype, device=before.device)
            elif after is not now or (name in self.live and state.get(name) is None):
                state[name] = _like(after, before, touched)
        param.copy_(_like(moved, param, touched))
        if self.counted:
            _count(state, self.count + 1)
        yield None

    def _asked(
        self, old: Tensor, grad: Tensor, given: Sequence[Any], hypers: Mapping[str, Any]
    ) -> Generator[list[Tensor], Any, list[Any]]:
        """What the rule returns, by its program, which stops where other tensors are asked."""
        names = ("param", "grad", *self.rule.arguments)
        tensors = dict(zip(names, (old, grad, *given), strict=True))
        inputs: dict[str, Any] = {"step": self.count + 1}
        for name, value in (*hypers.items(), *tensors.items()):
            several = isinstance(value, tuple)
            for i, one in enumerate(value if several else [value]):
                inputs[f"{name}[{i}]" if several else name] = one
        known = Values(inputs)
        scalars = [known(symbol) for symbol in self.program.scalars]
        found = yield from elements_asked(self.program, tensors, scalars)
        found |= zip(self.rule.numbers, map(known, self.program.numbers), strict=True)
        return [found.get(n, tensors[n]) for n in ("param", *self.rule.arguments)]

    def _start(self, name: str, hypers: Mapping[str, Any]) -> Tensor:
        """A state before the first update, which may depend on a hyper-parameter."""
        start = self.rule.init.get(name, 0.0)
        start = hypers[start] if isinstance(start, str) else start
        if name in self.rule.numbers:
            return torch.as_tensor(start, dtype=_counter_dtype())
        if name in self.rule.shapes:
            return begun(self.rule, name, self.param.detach(), 0.0, self.group) + start
        started = torch.zeros_like(self.param.detach())
        return (
            torch.view_as_complex(_real(started) + start)
            if started.is_complex()
            else started + start
        )


def _count(state: dict[str, Any], count: float) -> None:
    """Put the count into the state: into the tensor that holds it, which may be the user's own."""
    step = state.get("step")
    if not isinstance(step, Tensor):
        state["step"] = torch.tensor(count, dtype=_counter_dtype())
    elif is_counter(step):
        write(step, count)
    else:
        state["step"] = torch.full_like(step, count, requires_grad=False)


def _counter_dtype() -> torch.dtype:
    double = torch.get_default_dtype() == torch.float64
    return torch.float64 if double else torch.float32


def _number(value: Any) -> float:
    return read(value) if is_counter(value) else float(value)


def _wide(dtype: torch.dtype, least: torch.dtype) -> torch.dtype:
    """The dtype to compute in: at least ``least``, as in every other way of updating."""
    return torch.promote_types(dtype, least)


def _scalar(value: Any, detached: bool = False) -> Any:
    """A hyper-parameter as it is; of a tensor, its one number as a tensor without axes."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return (value.detach() if detached else value).reshape(())
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if hasattr(value, "__len__"):
        return tuple(_scalar(v, detached) for v in value)
    return float(value)


def _dense(grad: Any) -> Tensor:
    return grad if grad.layout == torch.strided else grad.to_dense()


def _touched(param: Any) -> Tensor:
    """Which elements a sparse gradient has values for."""
    grad = param.grad.detach().coalesce()
    ones = torch.ones_like(grad.values(), dtype=torch.float32)
    made = torch.sparse_coo_tensor(grad.indices(), ones, grad.shape, is_coalesced=True)
    return made.to_dense() > 0


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _like(value: Any, before: Tensor, touched: Tensor | None) -> Tensor:
    """What a rule returned as a tensor of its own, of the shape and dtype of ``before``."""
    if not isinstance(value, Tensor):
        value = torch.full_like(before.detach(), value)
    elif before.is_complex():
        value = torch.view_as_complex(value.contiguous())
    made = value.to(before.dtype).expand_as(before)
    if touched is not None:
        made = torch.where(touched, made, before)
    return made.clone()
