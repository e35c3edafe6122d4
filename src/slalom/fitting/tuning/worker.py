"""A process that trains a task with some levers, and is asked for turns of it.

``python -m slalom.fitting.tuning.worker``: questions come on its standard input and answers go to
its standard output (:mod:`slalom.fitting.tuning.packing`). First comes what to train. Each turn
has a process of its own, since where in memory things come to lie, which decides what the kernel is
asked for in every update, is another chance in each; forked from one that has imported torch and
done nothing else, since that takes longer than a turn.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any

import torch

from slalom.errors import InputError
from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.packing import Packed, got, put
from slalom.plain import plain
from slalom.train import Run
from slalom.train.loop import begun

BEFORE = 3
"""Updates before those that are counted."""

SHOWN = 10
"""Updates that a run must be able to make."""

MOST = 10_000
"""Numbers of the first gradient that are compared, about."""


@dataclass(frozen=True)
class Turn:
    """What a process saw of so many updates.

    Attributes:
        seconds, worked, pages: of an update, in the mean over those that count: by the clock, by
            the processor's time of this process, and pages that the kernel cleared.
        steps: updates made, those before the clock among them.
        losses, gradient: of the first updates; of the very first some numbers.
        digest: of all weights after the last; empty where it is no first turn.
        peak: bytes that the process has held at most.
        once: seconds of the very first update.
    """

    seconds: float
    worked: float = 0.0
    pages: float = 0.0
    steps: int = 0
    losses: tuple[float, ...] = ()
    gradient: Sequence[float] = ()
    digest: str = ""
    peak: int = 0
    once: float = 0.0


@dataclass(frozen=True)
class Sent:
    """What a process is sent first: the task, pickled, and how it is trained.

    Attributes:
        task: (task, what makes the optimizer, batch size).
        threads: of torch's.
        kind: of the run.
    """

    task: Packed
    threads: int
    kind: type[Run]


class Worker:
    """The run of a task with levers.

    Args:
        names: of the levers.
        size: samples in an update, in place of the batch size.
    """

    def __init__(self, sent: Sent, names: Sequence[str], size: int | None = None):
        levers = [LEVERS[name] for name in names]
        for lever in levers:
            lever.begin()  # before the task's memory is asked for
        if not any(lever.group == "threads" for lever in levers):
            torch.set_num_threads(sent.threads)
        task, make, own = sent.task.unpacked()
        for lever in levers:
            task, make = lever.vary(task), lever.exchange(make)
        kind: Any = begun if task.compiled else sent.kind
        self.run = kind(task, make, 0, batch_size=own if size is None else size)
        for lever in levers:
            lever.dress(self.run)
        self._first: dict[str, Any] = {}
        self._held = len(sent.task.content)  # which a process of the user's would not hold

    def turn(self, steps: int | None, seconds: float) -> Turn:
        """So many updates, or those of about so many seconds, after :data:`BEFORE` that are not
        counted. Raises :class:`InputError` where the first ones diverge."""
        run, new = self.run, not self._first
        if new:
            self._begin()
        usage = _faults()
        start, worked, before = time.perf_counter(), time.process_time(), run.step
        if steps is None:
            while run.diverged is None and time.perf_counter() < start + seconds:
                run.advance(1)
        else:
            run.advance(steps)
        made = run.step - before
        if not made or (run.diverged is not None and run.step < SHOWN):
            raise InputError(f"the first updates diverge: {run.diverged}")
        clock, work = time.perf_counter() - start, time.process_time() - worked
        pages = _faults() - usage
        return Turn(
            clock / made, work / made, pages / made, run.step, peak=_peak() - self._held,
            digest=self._digest() if new else "", **self._first,
        )  # fmt: skip

    def _begin(self) -> None:
        """The updates before those that count: the loss and gradient of the very first, and its
        seconds, in which things are compiled."""
        run = self.run
        start = time.perf_counter()
        losses = [run.advance(1)]
        once = time.perf_counter() - start
        grads = [p.grad for p in run.model.parameters() if p.grad is not None]
        gradient = some(g for g in grads if type(g) is torch.Tensor)  # none that was spent
        del grads
        losses += [run.advance(1) for _ in range(BEFORE - 1)]
        self._first = {"losses": tuple(losses), "gradient": gradient, "once": once}

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for tensor in self.run.model.state_dict().values():
            digest.update(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def _faults() -> int:
    with contextlib.suppress(ImportError):  # which Windows lacks
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    return 0


def _peak() -> int:
    """Bytes that the process has held at most; 0 where Linux does not tell."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def some(gradients: Iterable[torch.Tensor]) -> list[float]:
    """Numbers of gradients, evenly out of each, :data:`MOST` of all at most."""
    flat = [(g.coalesce().values() if g.is_sparse else g).detach().reshape(-1) for g in gradients]
    step = max(1, -(-sum(map(len, flat)) // MOST))
    parts = [torch.view_as_real(f).reshape(-1) if f.is_complex() else f for f in flat]
    return [value for part in parts for value in part[::step].double().tolist()]


class Serving:
    """Answers questions: (names of levers, size, updates, seconds) -> :class:`Turn`.

    Args:
        apart: whether each is answered by a process that is forked for it. Else this one answers,
            as long as the levers are the same, and its updates go on from turn to turn.
    """

    def __init__(self, sent: Sent, apart: bool):
        self._sent, self._apart = sent, apart
        self._here: Worker | None = None

    def __call__(self, names: Sequence[str], size: int | None, *asked: Any) -> Any:
        if self._apart:
            return self._forked(names, size, *asked)
        return self._answer(names, size, *asked)

    def _answer(self, names: Sequence[str], size: int | None, *asked: Any) -> Any:
        try:
            if self._here is None:
                self._here = Worker(self._sent, names, size)
            return self._here.turn(*asked)
        except Exception as error:  # it is anybody's code
            return error_of(error)

    def _forked(self, *asked: Any) -> Any:
        context = get_context("fork")
        there, here = context.Pipe(duplex=False)
        process = context.Process(target=lambda: here.send(self._answer(*asked)))
        process.start()
        here.close()
        if there not in wait([there, sys.stdin.fileno()]):  # nobody asks any more
            os.killpg(0, signal.SIGKILL)
        try:
            found = there.recv()
        except EOFError:
            found = None
        process.join()
        return found or {"error": f"its process ended with {process.exitcode}"}


def main() -> None:
    """Answer until the questions end."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the task's own code prints is no answer
    questions = sys.stdin.buffer
    importlib.import_module("torch._dynamo")  # as optimizers do, which takes a second
    answer = Serving(*got(questions))
    while True:
        try:
            asked = got(questions)
        except EOFError:
            return
        put(answer(*asked), answers)


def error_of(error: Exception) -> dict[str, str]:
    """An answer that says what went wrong, in a line."""
    first = (str(error).splitlines() or [""])[0]
    name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return {"error": plain(f"{name}{first[:200]}")}


if __name__ == "__main__":
    from slalom.fitting.tuning import worker  # what is pickled is of that name

    worker.main()
