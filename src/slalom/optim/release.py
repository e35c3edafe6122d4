"""Updates inside the backward pass: gradients are used and freed a bucket at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import is_, itemgetter
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from slalom.engine.plan import Outcome, Plan
from slalom.engine.treatment import square_sum
from slalom.ir.program import crosses
from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.optim.spent import Spent

BUCKET = 1 << 20
"""Bytes of gradients that are used at once: enough to pay for a call, few enough to be in cache."""


BEFORE, TWO_PASSES = "before", "two passes"
"""What gradients are clipped by: the norm of the step before, or their own, measured first."""


class _Part:
    """Those members of a bucket that belong to one group of the optimizer.

    Attributes:
        number: the group's place.
        options: the group with these parameters alone.
    """

    def __init__(self, number: int, places: Sequence[int], params: list[Tensor]):
        self.number, self.options = number, {"params": params}
        self._take: Callable[[Any], Sequence[Any]] = itemgetter(*places, places[0])

    def found(self, groups: Sequence[dict[str, Any]]) -> bool:
        """Whether its parameters are where they were; takes over the options as they are now."""
        if self.number >= len(groups):
            return False
        group, params = groups[self.number], self.options["params"]
        try:
            there = self._take(group["params"])
        except IndexError:
            return False
        if not all(map(is_, there, params)):
            return False
        self.options.clear()
        self.options.update(group, params=params)
        return True


class _Bucket:
    """Parameters whose gradients arrived one after the other, and are used in one call.

    Attributes:
        params: its members.
        size: bytes of their gradients.
        arrived: those whose gradient waits to be used, by id.
        parts: the members by group; none where that has to be found out.
        plan: of their last update.
    """

    def __init__(self) -> None:
        self.params: list[Tensor] = []
        self.size = 0
        self.arrived: dict[int, Tensor] = {}
        self.parts: list[_Part] = []
        self.plan: Plan | None = None

    def add(self, param: Tensor) -> None:
        """Take one more member."""
        self.params.append(param)
        self.size += param.nbytes
        self.parts = []


class Released:
    """What :func:`release` made of an optimizer; :meth:`remove` takes it back."""

    def __init__(self, optimizer: RuleOptimizer, names: dict[int, str], norm: str | None):
        self._optimizer, self._names = optimizer, names
        self._clips, self._measuring = norm, False
        self._squares = 0.0  # of the gradients of this backward
        self._norm: float | None = None  # what the next ones are clipped by
        self._buckets: list[_Bucket] = []
        self._bucket_of: dict[int, _Bucket] = {}
        self._places: dict[int, tuple[int, int]] = {}  # of each parameter: group, place in it
        self._tasks: set[int] = set()  # backwards that call back at their end
        self._spent: dict[int, Spent] = {}
        self._marked: list[Tensor] = []  # parameters whose gradient is spent
        self._handles = [
            param.register_post_accumulate_grad_hook(self._arrived)
            for group in optimizer.param_groups
            for param in group["params"]
            if param.requires_grad
        ]

    def remove(self) -> None:
        """Let the optimizer step as it did before."""
        self.clear()
        for handle in self._handles:
            handle.remove()
        self._optimizer._released = None

    def clear(self) -> None:
        """Forget the gradients that were spent; those that a broken backward left are as any."""
        if self._marked and self._clips is not None:
            self._norm = self._squares**0.5 if self._clips == BEFORE else None
            self._squares = 0.0
        for param in self._marked:
            if type(param.grad) is Spent:
                param.grad = None
        self._marked.clear()
        for bucket in self._buckets:
            bucket.arrived.clear()

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Backwards within it change nothing: they measure the norm that the next one clips by.

        For ``norm="two passes"``; the gradients are freed one by one. Raises RuntimeError where
        that was not asked for.
        """
        if self._clips != TWO_PASSES:
            raise RuntimeError('measuring is for release(..., norm="two passes")')
        self._measuring, self._squares = True, 0.0
        try:
            yield
        finally:
            self._measuring = False
        self._norm, self._squares = self._squares**0.5, 0.0

    def left(self) -> bool:
        """Whether a parameter of the optimizer has a gradient that was not spent."""
        groups = self._optimizer.param_groups
        return any(p.grad is not None for group in groups for p in group["params"])

    def _arrived(self, param: Tensor) -> None:
        """Take note of a gradient; use it when those of its bucket are all there."""
        if self._measuring:
            assert param.grad is not None
            self._squares += square_sum([param.grad])
            param.grad = None
            return
        task = torch._C._current_graph_task_id()
        if task not in self._tasks:
            self._tasks.add(task)
            engine: Any = torch.autograd.Variable._execution_engine
            engine.queue_callback(lambda: self._finish(task))
        key = id(param)
        bucket = self._bucket_of.get(key) or self._joined(param)
        bucket.arrived[key] = param
        if len(bucket.arrived) == len(bucket.params) and bucket.size >= BUCKET:
            self._use(bucket)

    def _joined(self, param: Tensor) -> _Bucket:
        """The bucket of a parameter that had no gradient before: the last one, if it has room."""
        if not self._buckets or self._buckets[-1].size >= BUCKET:
            self._buckets.append(_Bucket())
        bucket = self._bucket_of[id(param)] = self._buckets[-1]
        bucket.add(param)
        return bucket

    def _finish(self, task: int) -> None:
        """At the end of a backward: use what arrived of buckets that did not become full."""
        self._tasks.discard(task)
        for bucket in self._buckets:
            if bucket.arrived:
                self._use(bucket)

    @torch.no_grad()
    def _use(self, bucket: _Bucket) -> None:
        """Update those of a bucket whose gradient arrived, and free these gradients."""
        with self._optimizer.alone:
            self._use_alone(bucket)

    def _use_alone(self, bucket: _Bucket) -> None:
        self._optimizer.refuse_step()
        if self._clips == TWO_PASSES and self._norm is None:
            raise RuntimeError(
                "the norm of these gradients was not measured; call backward(retain_graph=True) "
                "within measuring() first, of what release() returned"
            )
        arrived, others = bucket.arrived, []
        if len(arrived) < len(bucket.params):  # the others have none in this update
            others = [(p, p.grad) for p in bucket.params if id(p) not in arrived]
        for param, _ in others:
            param.grad = None
        try:
            bucket.parts = self._parts(bucket)
            if bucket.parts:
                self._update(bucket)
        finally:
            for param, grad in others:
                param.grad = grad
        for part in bucket.parts:
            for param in part.options["params"]:
                if id(param) in arrived:
                    param.grad = self._mark(param)
                    self._marked.append(param)
        arrived.clear()

    def _update(self, bucket: _Bucket) -> None:
        optimizer, plan = self._optimizer, bucket.plan
        groups = [part.options for part in bucket.parts]
        scale, norm = (None, None) if self._clips is None else (1.0, self._norm or 0.0)
        if (
            plan is None
            or plan.origin != [optimizer.rule_of(g) for g in groups]
            or not plan.holds(groups, optimizer.state)
            or plan.run(groups, scale, norm=norm) is Outcome.STALE
        ):
            _refuse_processes()
            plan = bucket.plan = optimizer.step_by_new_plan(groups, scale, norm=norm)
            plan.watch(groups, optimizer.state)
        if self._clips == BEFORE:
            self._squares += float(plan.squares)

    def _parts(self, bucket: _Bucket) -> list[_Part]:
        """The members by group; not those that were taken out of all since: these keep their
        gradients, as in a step."""
        groups = self._optimizer.param_groups
        if bucket.parts and all(part.found(groups) for part in bucket.parts):
            return bucket.parts
        if not all(self._is_where(p, groups) for p in bucket.params):
            self._places = {
                id(p): (i, j) for i, g in enumerate(groups) for j, p in enumerate(g["params"])
            }
        members: dict[int, list[Tensor]] = {}
        for param in bucket.params:
            if id(param) in self._places:
                members.setdefault(self._places[id(param)][0], []).append(param)
        bucket.plan = None
        parts = [
            _Part(number, [self._places[id(p)][1] for p in members[number]], members[number])
            for number in sorted(members)
        ]
        assert all(part.found(groups) for part in parts)
        return parts

    def _is_where(self, param: Tensor, groups: Sequence[dict[str, Any]]) -> bool:
        """Whether a parameter stands where it was found last."""
        number, place = self._places.get(id(param), (len(groups), 0))
        params = groups[number]["params"] if number < len(groups) else []
        return place < len(params) and params[place] is param

    def _mark(self, param: Tensor) -> Spent:
        """What stands where the gradient of a parameter was, made once."""
        known = self._spent.get(id(param))
        if (
            known is None
            or known.shape != param.shape
            or (known.dtype, known.device) != (param.dtype, param.device)
        ):
            known = self._spent[id(param)] = Spent(param, self._names[id(param)])
        return known


def release(
    model: torch.nn.Module, optimizer: RuleOptimizer, *, norm: str | None = None
) -> Released:
    """Update parameters inside backward, as their gradients arrive, and free the gradients.

    The training loop stays as it is: ``loss.backward()`` now updates, ``optimizer.step()`` and
    ``optimizer.zero_grad()`` have nothing left to do but must still be called after every
    backward. The result is that of ordinary steps to the bit. Gradients are used a bucket at a
    time: as many as take :data:`BUCKET` bytes, in the order in which they arrive first, so that
    they are still in a cache, and no more of their memory is needed at once than a bucket and the
    largest gradient. Learning-rate schedules act as ever.

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
