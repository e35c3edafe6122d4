"""A run on a GPU whose steps are recorded once, as CUDA graphs, and then replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from slalom.errors import InputError
from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.train.guarded import GuardedRun
from slalom.train.tree import leaves, mapped

WARM = 3
"""Updates that are made as ever before a graph is recorded: states, plans and buffers are there."""


class Recorder:
    """Records what a function asks of a GPU."""

    def __init__(self, device: torch.device):
        self._device, self._pool = device, torch.cuda.graph_pool_handle()
        self._side = torch.cuda.Stream(device)

    def warm(self, function: Callable[[], Any]) -> Any:
        """Call it on another stream than the default one, which cannot be recorded."""
        current = torch.cuda.current_stream(self._device)
        self._side.wait_stream(current)
        with torch.cuda.stream(self._side):
            found = function()
        current.wait_stream(self._side)
        return found

    def record(self, function: Callable[[], Any]) -> tuple[Callable[[], object], Any]:
        """(what does it again, what the function returned, whose memory that is written to)."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            found = function()
        return graph.replay, found


class CapturedRun(GuardedRun):
    """A :class:`GuardedRun` that replays forward and backward pass as one CUDA graph, and the
    update as another; the loss is read between the two, as ever.

    What Python does in a model or loss is done while these are recorded, and not again: branches on
    values, counters, random numbers of NumPy's. A batch of another shape (the last of an epoch), is
    gone through as ever. Learning rates lie on the device; where another option of the optimizer
    changes, the update is recorded anew. The optimizer is made ``capturable``.

    Raises :class:`InputError` for what cannot be recorded.
    """

    def __init__(self, *args: Any, recorder: Any = None, **options: Any):
        super().__init__(*args, **options)
        task, optimizer = self.task, self.optimizer
        for what, there in (
            ("accumulates batches", task.accumulate > 1),
            ("takes all samples in an update", self._whole),
            ("is scaled for float16", self._scaler is not None),
            ("trains a model in parts", len(self.objective.turns) > 1),
            ("has an optimizer that asks for the loss by itself", self._closed),
        ):
            if there:
                raise InputError(f"the run {what}, which graph=True cannot record; leave it out")
        for group in optimizer.param_groups:
            if not (isinstance(optimizer, RuleOptimizer) or "capturable" in group):
                raise InputError(
                    f"a {type(optimizer).__name__} has no option capturable, without which its "
                    "steps cannot be recorded; take one of slalom.optim, or leave graph out"
                )
            group["capturable"] = task.device.type == "cuda"
        self._recorder = recorder or Recorder(task.device)
        self._rates = [torch.zeros((), device=task.device) for _ in optimizer.param_groups]
        self._forget()

    def _forget(self) -> None:
        """Begin anew: the memory that graphs write to is no longer that of the run."""
        self._made = 0  # updates since
        self._static: Any = None  # the batch that the graph reads
        self._grads: list[Tensor | None] = []
        self._replayed = False
        self._pass: Any = None
        self._step: Any = None
        self._step_options: list[Any] = []

    def _gradient(self, batches: Any) -> float:
        ((batch, _),) = batches
        self._replayed = False
        if self._made < WARM:
            return self._recorder.warm(lambda: super(CapturedRun, self)._gradient(batches))
        if self._static is None:
            self._static = mapped(lambda v: v.clone() if isinstance(v, Tensor) else v, batch)
            self._shape = _shape(batch)
            self.clear()
            self._pass, self._loss_there = self._recorder.record(self._passes)
            self._grads = [p.grad for p in self._parameters]
        if _shape(batch) != self._shape:
            return super()._gradient(batches)
        mapped(_copied, self._static, batch)
        for parameter, grad in zip(self._parameters, self._grads, strict=True):
            parameter.grad = grad
        self._pass()
        self._replayed = True
        loss = self._loss_there.item()
        return loss / batches[0][1] if self._reduction.kind == "sum" else loss

    def _passes(self) -> Tensor:
        loss = self._loss(self._static)
        self._backward(loss)
        return loss.detach()

    def _apply(self) -> None:
        self._made += 1
        groups = self.optimizer.param_groups
        given = [group["lr"] for group in groups]
        for group, rate, value in zip(groups, self._rates, given, strict=True):
            rate.fill_(float(value))
            group["lr"] = rate
        try:
            if not self._replayed:
                self._recorder.warm(super()._apply)
                return
            options = [{n: v for n, v in g.items() if n not in ("params", "lr")} for g in groups]
            if self._step is None or options != self._step_options:
                self._step, _ = self._recorder.record(super()._apply)
                self._step_options = options
            self._step()
        finally:
            for group, value in zip(groups, given, strict=True):
                group["lr"] = value

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of a :class:`GuardedRun`; what was recorded is forgotten."""
        super().load_state_dict(state)
        for group in self.optimizer.param_groups:
            group["capturable"] = self.task.device.type == "cuda"
        self._forget()


def _shape(batch: Any) -> list[Any]:
    """What a batch must have in common with that which a graph was recorded for: shapes and dtypes
    of its tensors, and all else."""
    return [(v.shape, v.dtype) if isinstance(v, Tensor) else v for v in leaves(batch)]


def _copied(into: Any, value: Any) -> Any:
    return into.copy_(value, non_blocking=True) if isinstance(into, Tensor) else into
