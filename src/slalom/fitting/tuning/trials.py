"""Levers tried on a task, in processes of their own that take turns."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cloudpickle
import torch

from slalom.errors import InputError
from slalom.fitting.chosen import Chosen
from slalom.fitting.chosen import chosen as chosen_optimizer
from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.tuned import Tuned
from slalom.fitting.tuning.verdict import Measured, Verdict, tried_again, verdict
from slalom.fitting.tuning.worker import got, put
from slalom.tasks import load
from slalom.train import Task
from slalom.train.given import above_zero, whole_number

ROUNDS, TURN = 9, 0.25
"""Turns of each, and seconds of one."""

LEAST = 6
"""Rounds from which on there is an interval."""

SIZES = "batch size"
"""What is named as a lever is, and changes what an update is: samples a second by their number."""

SHARES = (1 / 4, 1 / 2, 1, 2, 4)
"""Sizes of the batch that are tried, as multiples of the task's own: small enough that none takes
much more memory."""


def tune(
    task: Task | str,
    optimizer: Any = "Adam",
    *,
    batch_size: int | Literal["all"] | None = None,
    rounds: int = ROUNDS,
    turn: float = TURN,
    levers: Collection[str] | None = None,
    told: Callable[[str], object] = lambda text: None,
    **settings: Any,
) -> Tuned:
    """Measure what makes an update of a task cheaper, on the task itself.

    Each lever is tried in a process of its own, which holds the task's data once more; the
    processes take turns, beside two that train the task as it is. Those that help are then measured
    again, together and the fastest alone. Last come samples a second by the size of the batch.

    Args:
        task, optimizer, batch_size, settings: as for :func:`slalom.fit`.
        rounds: turns of each, at least 6, so that there is an interval.
        turn: seconds of one.
        levers: names of :data:`slalom.fitting.tuning.levers.LEVERS`, and ``"batch size"``; all
            that fit otherwise.
        told: called with a line now and then.

    Raises :class:`InputError` for what cannot be trained, or diverges in the first few updates, and
    for a task on another device than the CPU.
    """
    task = load(task) if isinstance(task, str) else task
    if not isinstance(task, Task):
        raise InputError(f"task is a {type(task).__name__}; it must be a slalom.Task, or a name")
    if task.device.type != "cpu":
        raise InputError(f"the task trains on {task.device}; what is measured here is for the CPU")
    whole_number("rounds", rounds)
    above_zero("turn", turn)
    if rounds < LEAST:
        raise InputError(f"rounds is {rounds}; from {LEAST} on there is an interval")
    for name in levers or ():
        if name not in (known := [*LEVERS, SIZES]):
            raise InputError(f"there is no lever {name!r}; there are {', '.join(known)}")
    using = chosen_optimizer(optimizer, settings, batch_size, task)
    task = using.of(task)
    using.check(task)
    task.check()
    return tuned(task, using, [*LEVERS, SIZES] if levers is None else levers, rounds, turn, told)


def tuned(
    task: Task, using: Chosen, levers: Collection[str], rounds: int, turn: float,
    told: Callable[[str], object],
) -> Tuned:  # fmt: skip
    """What :func:`tune` says, of what has been looked through."""
    names = [n for n in levers if n != SIZES and LEVERS[n].fits(task, using.make)]
    failed: dict[str, str] = {}
    asked = rounds, turn, told, failed
    told(f"{len(names) + 2} processes: as it is twice, {', '.join(names)}")
    usual, again, found = compared(task, using, [(name,) for name in names], *asked)
    repeated: Sequence[Verdict] = ()
    if sets := tried_again(found):
        told(f"again: {'; '.join(' + '.join(s) for s in sets)}")
        repeated = compared(task, using, sets, *asked)[2]
    sizes: list[Measured] = []
    if SIZES in levers and (several := _sizes(task, using)):
        told(f"samples in an update: {', '.join(map(str, several))}")
        sizes = _measured(task, using, [_Set(size=size) for size in several], *asked)
    return Tuned(usual, again, found, repeated, failed, sizes)


def compared(
    task: Task, using: Chosen, sets: Sequence[tuple[str, ...]], rounds: int, turn: float,
    told: Callable[[str], object], failed: dict[str, str],
) -> tuple[Measured, Measured, list[Verdict]]:  # fmt: skip
    """(the task as it is, the same once more, what each set of levers is beside it), taking turns;
    sets that could not be measured are left out, and said in ``failed``."""
    both = [_Set(), _Set(), *map(_Set, sets)]
    usual, again, *others = _measured(task, using, both, rounds, turn, told, failed)
    return usual, again, [verdict(usual, again, one) for one in others]


def _sizes(task: Task, using: Chosen) -> list[int]:
    """Sizes of the batch to try; none where batches are not of any size."""
    if task.train.cut or task.train.stream is not None or using.batch_size == "all":
        return []
    own = using.batch_size or task.batch_size
    found = {round(own * share) for share in SHARES}
    return sorted(size for size in found if task.accumulate <= size <= task.n_train)


@dataclass(frozen=True)
class _Set:
    """What a process is to train: levers by their names, or a batch of another size."""

    names: tuple[str, ...] = ()
    size: int | None = None

    def __str__(self) -> str:
        return " + ".join(self.names) if self.size is None else f"batches of {self.size}"


def _measured(
    task: Task, using: Chosen, sets: Sequence[_Set], rounds: int, turn: float,
    told: Callable[[str], object], failed: dict[str, str],
) -> list[Measured]:  # fmt: skip
    """Of each set what was seen; those that fail are left out, and said."""
    try:
        sent = cloudpickle.dumps((task, using.make, using.batch_size, torch.get_num_threads()))
    except Exception as error:
        raise InputError(f"the task cannot be sent to other processes: {error}") from error

    def fail(one: _Set, error: _FailedError) -> None:
        if one == _Set():
            raise InputError(f"the task cannot be measured: {error}") from None
        failed[str(one)] = str(error)

    with contextlib.ExitStack() as stack:
        begun = [(one, stack.enter_context(_process())) for one in sets]
        there = []
        for one, process in begun:  # one by one, so that none is disturbed
            try:
                process.put(sent, one.names, one.size)
                first = process.ask("first")
                if "diverged" in first:
                    raise _FailedError(f"the first updates diverge: {first['diverged']}")
                process.ask("turn", turn)  # which finds out how many updates that is
            except _FailedError as error:
                fail(one, error)
                continue
            there.append((one, process, first, []))
        for i in range(rounds):
            first_one = i % max(1, len(there))
            for one, process, _, seconds in there[first_one:] + there[:first_one]:
                try:
                    seconds.append(process.ask("turn", turn))
                except _FailedError as error:
                    fail(one, error)
            there = [one for one in there if len(one[3]) == i + 1]
            told(f"turn {i + 1} of {rounds}")
        return [
            Measured(one.names, seconds, peak=process.ask("peak"), size=one.size, **first)
            for one, process, first, seconds in there
        ]


class _FailedError(Exception):
    """A process that could not do what it was asked for."""


class _Process:
    """A process of :mod:`slalom.fitting.tuning.worker`."""

    def __init__(self) -> None:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "slalom.fitting.tuning.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout

    def put(self, sent: bytes, names: tuple[str, ...], size: int | None) -> None:
        """Say what is to be trained."""
        self._ask((sent, list(names), size))

    def ask(self, *question: Any) -> Any:
        """The answer to a question. Raises :class:`_FailedError`."""
        return self._ask(question)

    def _ask(self, message: Any) -> Any:
        try:
            put(message, self._questions)
            answer = got(self._answers)
        except (EOFError, OSError):
            code = self._process.wait()
            raise _FailedError(f"its process ended with {code}") from None
        if isinstance(answer, dict) and "error" in answer:
            raise _FailedError(answer["error"])
        return answer

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._questions.close()
        self._answers.close()
        self._process.wait()


@contextlib.contextmanager
def _process() -> Iterator[_Process]:
    process = _Process()
    try:
        yield process
    finally:
        process.end()
