"""Updates inside the backward pass: gradients are used and freed a bucket at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import is_
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from slalom.engine.naming import params_of
from slalom.engine.plan import Outcome
from slalom.engine.treatment import square_sum
from slalom.ir.program import crosses
from slalom.optim.buckets import Bucket, Part
from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.optim.spent import Spent

BUCKET = 1 << 20
"""Bytes of gradients that are used at once: enough to pay for a call, few enough to be in cache."""


BEFORE, TWO_PASSES = "before", "two passes"
"""What gradients are clipped by: the norm of the step before, or their own, measured first."""


class Released:
    """What :func:`release` made of an optimizer; :meth:`remove` takes it back.

    At first the engine tells of every gradient, by a hook of each parameter. When all came in one
    order in two rounds, it tells of the last one of each bucket alone, since calls into Python are
    what costs most here. A gradient that comes behind that one all the same, or in whose bucket
    that one does not come, is there in the step, which uses it as any other; and then every
    gradient is told of again.
    """

    def __init__(self, optimizer: RuleOptimizer, names: dict[int, str], norm: str | None):
        self._optimizer, self._names = optimizer, names
        self._clips, self._measuring = norm, False
        self._squares = 0.0  # of the gradients of this backward
        self._norm: float | None = None  # what the next ones are clipped by
        self._clipped = False  # whether some of this round were
        self._buckets: list[Bucket] = []
        self._bucket_of: dict[int, Bucket] = {}
        self._tasks: set[int] = set()  # backwards that call back at their end
        self._round = 0  # from step to step
        self._order: list[int] = []  # ids of the parameters whose gradients came in this round
        self._order_before: list[int] = []
        self._alike, self._wanted = 0, 1  # how many rounds in a row had it, and are to have it
        self._relies = False  # on that order
        self._marked: list[list[tuple[Tensor, Spent]]] = []  # what stands somewhere now
        self._rest = Bucket()  # what no hook told of in the last step where there was such
        params = params_of(optimizer.param_groups)
        self._params = {id(p): p for p in params if p.requires_grad}
        self._handles: dict[int, Any] = {}
        self._watch()

    def remove(self) -> None:
        """Let the optimizer step as it did before."""
        self.clear()
        self._tell_of({})
        self._optimizer._released = None

    def clear(self) -> None:
        """Forget the gradients that were spent; those that a broken backward left are as any."""
        self._unmark()
        if self._clipped:
            self._norm = self._squares**0.5 if self._clips == BEFORE else None
            self._squares, self._clipped = 0.0, False
        self._round += 1
        if self._order:
            self._end_round()

    def _unmark(self) -> None:
        for marks in self._marked:
            for param, mark in marks:
                if param.grad is mark:
                    param.grad = None
        self._marked.clear()

    def _end_round(self) -> None:
        """Rely on the order of what arrived, if it was the same often enough."""
        self._alike = self._alike + 1 if self._order == self._order_before else 0
        if self._alike == self._wanted:
            self._rely()
        self._order, self._order_before = [], self._order
        self._tasks.clear()
        for bucket in self._buckets:
            bucket.waiting.clear()

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Backwards within it change nothing: they measure the norm that the next one clips by.

        For ``norm="two passes"``; the gradients are freed a bucket at a time. Raises RuntimeError
        where that was not asked for.
        """
        if self._clips != TWO_PASSES:
            raise RuntimeError('measuring is for release(..., norm="two passes")')
        self._measuring, self._squares = True, 0.0
        try:
            yield
            self._measure(params_of(self._optimizer.param_groups))  # what no hook told of
        finally:
            self._measuring = False
        self._norm, self._squares = self._squares**0.5, 0.0

    def _measure(self, params: Sequence[Tensor]) -> None:
        self._squares += float(square_sum([p.grad for p in params if p.grad is not None]))
        for param in params:
            param.grad = None

    def left(self) -> bool:
        """Forget as :meth:`clear` does; whether a parameter has a gradient that was not spent.

        What is clipped is used here, by the norm of this round: a step would take that of the rest.
        """
        self._unmark()
        groups = self._optimizer.param_groups
        rest = [param for group in groups for param in group["params"] if param.grad is not None]
        for param in rest[:1]:
            if self._relies or id(param) not in self._handles:
                self._doubt(param)
        if clipped := bool(rest) and self._clips is not None:
            if len(rest) != len(self._rest.params) or not all(map(is_, rest, self._rest.params)):
                self._rest = Bucket()
                self._rest.params = rest
            self._update(self._rest)
        self.clear()
        return bool(rest) and not clipped

    def _tell_of(self, hooks: Mapping[int, Callable[[Tensor], None]]) -> None:
        """Have these hooks on parameters, by id, and no others."""
        for handle in self._handles.values():
            handle.remove()
        # Torch refuses one on a parameter that is frozen, of which there is nothing to tell.
        self._handles = {
            key: param.register_post_accumulate_grad_hook(hook)
            for key, hook in hooks.items()
            if (param := self._params[key]).requires_grad
        }

    def _watch(self) -> None:
        """Be told of every gradient."""
        self._relies, self._order_before = False, []
        self._tell_of(dict.fromkeys(self._params, self._arrived))

    def _rely(self) -> None:
        """Be told of the last gradient of each bucket alone, in the order that was seen."""
        last = {id(bucket := self._bucket_of[key]): (key, bucket) for key in self._order}
        self._relies = True
        self._tell_of({key: partial(self._use, bucket) for key, bucket in last.values()})

    def _doubt(self, param: Tensor) -> None:
        """Watch again, since the gradient of this one came otherwise; longer than the last time."""
        if id(param) in self._params and param.requires_grad:
            self._wanted *= 1 + self._relies
            self._watch()

    def _arrived(self, param: Tensor) -> None:
        """Take note of a gradient; use it when those of its bucket are all there."""
        key = id(param)
        task = torch._C._current_graph_task_id()
        if task not in self._tasks:
            self._tasks.add(task)
            engine: Any = torch.autograd.Variable._execution_engine
            engine.queue_callback(lambda: self._finish(task))
        bucket = self._bucket_of.get(key) or self._joined(param)
        self._order.append(key)
        bucket.waiting.add(key)
        if len(bucket.waiting) == len(bucket.params) and bucket.size >= BUCKET:
            self._use(bucket)

    def _joined(self, param: Tensor) -> Bucket:
        """The bucket of a parameter that had no gradient before: the last one, if it has room."""
        if not self._buckets or self._buckets[-1].size >= BUCKET:
            self._buckets.append(Bucket())
        bucket = self._bucket_of[id(param)] = self._buckets[-1]
        bucket.add(param)
        return bucket

    def _finish(self, task: int) -> None:
        """At the end of a backward: use what arrived of buckets that did not become full."""
        self._tasks.discard(task)
        for bucket in self._buckets:
            if bucket.waiting:
                self._use(bucket)

    def _use(self, bucket: Bucket, _: Tensor | None = None) -> None:
        """Update those of a bucket whose gradient is there, and free these gradients."""
        with self._optimizer.alone:
            bucket.waiting.clear()
            if self._measuring:
                self._measure(bucket.params)
                return
            if bucket.used == self._round:
                self._use_again(bucket)
            else:
                self._update(bucket)
            bucket.used = self._round
            for param, mark in bucket.marks:
                if param.grad is not None:
                    param.grad = mark
            self._marked.append(bucket.marks)

    def _use_again(self, bucket: Bucket) -> None:
        """Update those whose gradient was not in an earlier backward since the step."""
        spent = [(p, p.grad) for p in bucket.params if type(p.grad) is Spent]
        for param, _ in spent:
            param.grad = None
        try:
            self._update(bucket)
        finally:
            for param, mark in spent:
                param.grad = mark

    def _update(self, bucket: Bucket) -> None:
        optimizer, plan = self._optimizer, bucket.plan
        optimizer.refuse_step()
        scale, norm = (None, None) if self._clips is None else (1.0, self._norm or 0.0)
        if self._clips == TWO_PASSES and self._norm is None:
            raise RuntimeError(
                "the norm of these gradients was not measured; call backward(retain_graph=True) "
                "within measuring() first, of what release() returned"
            )
        if (
            plan is None
            or (groups := bucket.groups(optimizer.param_groups)) is None
            or not plan.holds(groups, optimizer.state)
            or (optimizer.several_rules and plan.origin != [optimizer.rule_of(g) for g in groups])
            or plan.run(groups, scale, norm=norm) is Outcome.STALE
        ):
            _refuse_processes()
            if not (groups := self._sorted(bucket)):
                return
            plan = bucket.plan = optimizer.step_by_new_plan(groups, scale, norm=norm)
            plan.watch(groups, optimizer.state)
        if self._clips is not None:
            self._squares, self._clipped = self._squares + float(plan.squares), True

    def _sorted(self, bucket: Bucket) -> list[dict[str, Any]] | None:
        """The members anew by group; not those that were taken out of all since: these keep their
        gradients, as in a step."""
        all_of_them = self._optimizer.param_groups
        places = {
            id(p): (i, j) for i, g in enumerate(all_of_them) for j, p in enumerate(g["params"])
        }
        members = [p for p in bucket.params if id(p) in places]
        bucket.marks = [(p, Spent(p, self._names.get(id(p), "one added later"))) for p in members]
        of_group: dict[int, list[Tensor]] = {}
        for param in members:
            of_group.setdefault(places[id(param)][0], []).append(param)
        bucket.parts = [
            Part(number, [places[id(p)][1] for p in of_group[number]], of_group[number])
            for number in sorted(of_group)
        ]
        if len(members) == len(params_of(all_of_them)):
            bucket.parts = []
        return bucket.groups(all_of_them) if members else []


def release(
    model: torch.nn.Module, optimizer: RuleOptimizer, *, norm: str | None = None
) -> Released:
    """Update parameters inside backward, as their gradients arrive, and free the gradients.

    The training loop stays as it is: ``loss.backward()`` now updates, ``optimizer.step()`` and
    ``optimizer.zero_grad()`` have nothing left to do but must still be called after every
    backward. The result is that of ordinary steps to the bit. Gradients are used a bucket at a
    time: as many as take :data:`BUCKET` bytes, in the order in which they arrive first, so that
    they are still in a cache, and no more of their memory is needed at once than a bucket and the
    largest gradient, but in a step whose gradients come in another order than before. Learning-rate
    schedules act as ever.

    An optimizer with ``clip_norm`` needs a norm before the first gradient is used, and ``norm``
    says which. ``"before"``: that of the step before; the first step is not clipped. ``"two
    passes"``: their own, up to the order of its sum, measured by a backward of its own:

        released = slalom.release(model, optimizer, norm="two passes")
        with released.measuring():
            loss.backward(retain_graph=True)
        loss.backward()

    What needs all gradients at once is refused by name: ``clip_norm`` without ``norm`` and
    ``on_nonfinite`` here, with ValueError; accumulation over several backwards,
    ``clip_grad_norm_``, ``clip_grad_value_`` and GradScaler when they reach for a gradient, with
    RuntimeError. So are several processes, which average gradients after backward. ``clip_value``
    and weight decay act as ever. Parameters that are added or unfrozen later are updated in
    ``step()``.

    Raises TypeError if the optimizer is not Slalom's, and ValueError if it has a parameter that
    the model has not.
    """
    if not isinstance(optimizer, RuleOptimizer):
        raise TypeError(
            f"release() takes an optimizer of slalom.optim, not {type(optimizer).__name__}"
        )
    if optimizer._released is not None:
        raise ValueError("this optimizer is released already")
    treatment = optimizer._treatment
    if norm not in (None, BEFORE, TWO_PASSES):
        raise ValueError(f"norm is {norm!r}; it must be {BEFORE!r}, {TWO_PASSES!r} or None")
    if norm is not None and treatment.clip_norm is None:
        raise ValueError("norm is for an optimizer with clip_norm, which this one has not")
    if treatment.on_nonfinite != "propagate" or (treatment.clip_norm is not None and norm is None):
        clips = treatment.on_nonfinite == "propagate"
        asked = "clip_norm" if clips else "on_nonfinite"
        instead = f', or give norm="{BEFORE}" or norm="{TWO_PASSES}"' if clips else ""
        raise ValueError(
            f"{asked} looks at all gradients before any update, and released gradients are never "
            f"there at once; make the optimizer without {asked}, or do not release it{instead}"
        )
    for group in optimizer.param_groups:
        if crosses(rule := optimizer.rule_of(group)):
            raise ValueError(
                f"{rule.class_name} asks all tensors together before it updates any, and released "
                "gradients are never there at once; do not release it"
            )
    if any(isinstance(m, DistributedDataParallel) for m in model.modules()):
        raise ValueError(_PROCESSES)
    _refuse_processes()
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for param in group["params"]:
            if id(param) not in names:
                raise ValueError("the optimizer has a parameter that the model has not")
    optimizer._released = Released(optimizer, names, norm)
    return optimizer._released


_PROCESSES = (
    "several processes average their gradients after backward, and released gradients are gone "
    "by then; do not release an optimizer there"
)


def _refuse_processes() -> None:
    distributed = torch.distributed
    started = distributed.is_available() and distributed.is_initialized()
    if started and distributed.get_world_size() > 1:
        raise ValueError(_PROCESSES)
