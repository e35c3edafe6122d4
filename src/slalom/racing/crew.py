"""Training spread over processes, which may die: of the memory they want, or by somebody's hand."""

from __future__ import annotations

import contextlib
import multiprocessing
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cloudpickle

from slalom.errors import InputError
from slalom.racing.entrants import Entrant
from slalom.racing.runner import Request, Runner, Runs, Trace, train
from slalom.train import Task

TRIES = 3
"""Processes that one run may take with it before it counts as failed."""


class Crew(Runner):
    """Workers that each keep their own runs in memory, and are replaced when they die.

    A run goes to the same worker every time. What a worker had in memory when it died is trained
    again by its successor, from the start, which gives the same to the bit.
    """

    died: type[BaseException]
    """What :meth:`_result` raises when a worker has died."""

    def __init__(self, task: Task, workers: int):
        super().__init__(task)
        self._crew: list[Any] = [None] * workers

    @abstractmethod
    def _hire(self) -> Any:
        """A new worker."""

    @abstractmethod
    def _submit(self, worker: Any, request: Request) -> Any:
        """Have a worker bring a run on; raises :attr:`died` if it is dead already."""

    @abstractmethod
    def _result(self, pending: Any) -> Trace:
        """Wait for what was submitted."""

    @abstractmethod
    def _dismiss(self, worker: Any) -> None:
        """Let a worker go, dead or alive, without waiting."""

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Trace]]:
        """See :class:`slalom.racing.runner.Runner`."""
        pending = [self._send(r) for r in requests]
        for i, request in enumerate(requests):  # in order, so that a record is always the same
            for _ in range(TRIES):
                try:
                    trace = self._result(pending[i])
                    break
                except self.died:  # it was at this one: those before it are through
                    place = self._place(request)
                    self._dismiss(self._crew[place])
                    self._crew[place] = None
                    for j, other in enumerate(requests[i:], i):
                        if self._place(other) == place:
                            pending[j] = self._send(other)
            else:
                reason = f"its process died {TRIES} times; it may want more memory than there is"
                trace = Trace(request.known.evaluations, "failed", reason)
            yield request, trace

    def close(self) -> None:
        """Let all workers go."""
        for worker in self._crew:
            if worker is not None:
                self._dismiss(worker)
        self._crew = [None] * len(self._crew)

    def _place(self, request: Request) -> int:
        return (request.entrant.number + request.seed) % len(self._crew)

    def _send(self, request: Request) -> Any:
        place = self._place(request)
        for _ in range(TRIES):
            worker = self._crew[place] = self._crew[place] or self._hire()
            try:
                return self._submit(worker, request)
            except self.died:
                self._dismiss(worker)
                self._crew[place] = None
        raise InputError("the processes that train die as soon as they are started")


class Processes(Crew):
    """Forked processes of this machine, with one torch thread each."""

    died = BrokenProcessPool
    real = True

    def __init__(self, task: Task, workers: int):
        super().__init__(task, workers)
        if "fork" not in multiprocessing.get_all_start_methods():
            raise InputError("several workers need fork, which this system does not have")
        if task.device.type != "cpu":
            raise InputError(
                f"several workers cannot share {task.device} by fork; use one, or engine='ray'"
            )

    def forget(self, entrant: Entrant, seed: int) -> None:
        """See :class:`slalom.racing.runner.Runner`."""
        worker = self._crew[(entrant.number + seed) % len(self._crew)]
        if worker is not None:
            with contextlib.suppress(BrokenProcessPool):  # it has forgotten all
                worker.submit(_forget, entrant.number, seed)

    def _hire(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("fork")  # it inherits the task, lambdas and all
        return ProcessPoolExecutor(1, context, _begin, (self.task,))

    def _submit(self, worker: ProcessPoolExecutor, request: Request) -> Any:
        return worker.submit(_train, self.task.target, cloudpickle.dumps(request))

    def _result(self, pending: Any) -> Trace:
        return pending.result()

    def _dismiss(self, worker: ProcessPoolExecutor) -> None:
        worker.shutdown(wait=False, cancel_futures=True)


_own: list[Any] = []
"""In a worker: its task and its runs."""


def _begin(task: Task) -> None:
    _own[:] = task, {}


def _train(target: float | None, request: bytes) -> Trace:
    task, runs = _own
    task.target = target  # it may have been found since this process began
    return train(runs, task, cloudpickle.loads(request))  # entrants may be lambdas


def _forget(number: int, seed: int) -> None:
    runs: Runs = _own[1]
    runs.pop((number, seed), None)
