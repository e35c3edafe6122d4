"""Training spread over processes, which may die: of the memory they want, or by somebody's hand."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle

from slalom.errors import InputError
from slalom.racing.entrants import Entrant
from slalom.racing.limit import OutOfTimeError
from slalom.racing.runner import History, Request, Runner
from slalom.racing.status import Status
from slalom.racing.trainer import Runs
from slalom.train import Task
from slalom.train.kept_memory import keep_memory

TRIES = 3
"""Processes that one run may take with it before it counts as failed."""


class Crew(Runner):
    """Workers that each keep their own runs in memory, and are replaced when they die.

    A run goes to the same worker every time. What a worker had in memory when it died its successor
    takes from checkpoints, or trains again; both give the same to the bit.
    """

    died: type[BaseException] | tuple[type[BaseException], ...]
    """What :meth:`_result` raises when a worker has died."""

    def __init__(self, task: Task, workers: int):
        super().__init__(task)
        self._crew: list[Any] = [None] * workers

    @abstractmethod
    def _hire(self) -> Any:
        """A new worker; may raise :attr:`died`."""

    @abstractmethod
    def _submit(self, worker: Any, request: bytes) -> Any:
        """Have a worker bring a run on; raises :attr:`died` if it is dead already."""

    @abstractmethod
    def _result(self, pending: Any) -> History:
        """Wait for what was submitted; raises OutOfTimeError if the limit is over before."""

    @abstractmethod
    def _dismiss(self, worker: Any) -> None:
        """Let a worker go, dead or alive, without waiting."""

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        pending = [self._send(r) for r in requests]
        for i, request in enumerate(requests):  # in order, so that a record is always the same
            for left in reversed(range(TRIES)):
                try:
                    history = self._result(pending[i])
                    break
                except self.died:  # it was at this one: those before it are through
                    place = self._place(request)
                    self._lose(place)
                    for j in range(i if left else i + 1, len(requests)):
                        if self._place(requests[j]) == place:
                            pending[j] = self._send(requests[j])
            else:
                reason = f"its process died {TRIES} times; it may want more memory than there is"
                history = History(request.known.evaluations, Status.FAILED, reason)
            yield request, history

    def close(self) -> None:
        """Let all workers go."""
        for place in range(len(self._crew)):
            self._lose(place)

    def _lose(self, place: int) -> None:
        worker, self._crew[place] = self._crew[place], None
        if worker is not None:
            self._dismiss(worker)

    def _place(self, request: Request) -> int:
        return (request.entrant.number + request.seed) % len(self._crew)

    def _send(self, request: Request) -> Any:
        place, why = self._place(request), None
        content = cloudpickle.dumps(request)  # entrants may be lambdas
        for _ in range(TRIES):
            try:
                worker = self._crew[place] = self._crew[place] or self._hire()
                return self._submit(worker, content)
            except self.died as error:
                self._lose(place)
                why = error
        raise InputError(f"the processes that train die as soon as they are started: {why}")


class Processes(Crew):
    """Forked processes of this machine, with one torch thread each."""

    died = EOFError, OSError
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
        super().forget(entrant, seed)
        worker = self._crew[(entrant.number + seed) % len(self._crew)]
        if worker is not None:
            worker.ask("forget", entrant.number, seed)

    def _hire(self) -> _Worker:
        return _Worker(self.task, self.folder)

    def _submit(self, worker: _Worker, request: bytes) -> Future[History]:
        return worker.ask("train", self.task.target, request)

    def _result(self, pending: Future[History]) -> History:
        if wait([pending], self.limit.left).not_done:
            raise OutOfTimeError
        return pending.result()

    def _dismiss(self, worker: _Worker) -> None:
        worker.end()


class _Worker:
    """A process, and the thread that hands it one question at a time and waits for the answer.

    Not a pool of concurrent.futures: one whose process dies while it answers may wait for the rest
    of the answer for ever. Here nobody else holds the process's end of the pipe.
    """

    def __init__(self, task: Task, folder: Path | None):
        context = multiprocessing.get_context("fork")  # it inherits the task, lambdas and all
        self._pipe, its = context.Pipe()
        self._process = context.Process(target=_work, args=(its, task, folder), daemon=True)
        self._process.start()
        its.close()
        self._thread = ThreadPoolExecutor(1)
        self.pid: int = self.ask("pid").result()

    def ask(self, *question: Any) -> Future[Any]:
        """Its answer, in time; EOFError or OSError if it dies before."""
        return self._thread.submit(self._ask, question)

    def _ask(self, question: tuple[Any, ...]) -> Any:
        self._pipe.send(question)
        return self._pipe.recv()

    def end(self) -> None:
        """Kill it, whatever it is at."""
        self._process.kill()
        self._process.join()
        self._thread.shutdown(cancel_futures=True)
        self._pipe.close()


def _work(pipe: Connection, task: Task, folder: Path | None) -> None:
    """What a worker does with its life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the race, which ends its workers
    threading.Thread(target=_end_with_the_race, daemon=True).start()
    keep_memory()  # which changes no number
    runs = Runs(task, folder)
    while True:
        match pipe.recv():
            case "train", target, request:
                task.target = target  # it may have been found since this process began
                pipe.send(runs.train(cloudpickle.loads(request)))
            case "forget", number, seed:
                pipe.send(runs.forget(number, seed))
            case ("pid",):
                pipe.send(os.getpid())


def _end_with_the_race() -> None:
    """A race that was killed has told nobody to end."""
    race = multiprocessing.parent_process()
    assert race is not None
    race.join()
    os._exit(1)
