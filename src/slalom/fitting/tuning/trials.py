"""Levers tried on a task within a time, in processes of their own that take turns."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal

from slalom.errors import InputError
from slalom.fitting.chosen import chosen as chosen_optimizer
from slalom.fitting.tuning.levers import LEVERS, plain
from slalom.fitting.tuning.loops import PlainRun
from slalom.fitting.tuning.tuned import Tuned
from slalom.fitting.tuning.turns import FailedError, LateError, Tried, Turns
from slalom.fitting.tuning.verdict import LEAST, Verdict, hopeless, tried_again
from slalom.fitting.tuning.worker import Turn
from slalom.tasks import load
from slalom.train import Run, Task
from slalom.train.given import above_zero, whole_number

ROUNDS, TURN, SECONDS = 12, 0.25, 180.0
"""Turns of each at most, seconds of one, and seconds of all."""

SIZES = "batch size"
"""What is named as a lever is, and changes what an update is: samples a second by their number."""

SHARES = (1 / 4, 1 / 2, 1, 2, 4)
"""Sizes of the batch that are tried, as multiples of the task's own: small enough that none takes
much more memory."""

AGAIN = 0.5
"""Of the time is left at most for what has helped, measured once more."""

USUAL = Tried()
"""The task as it is."""


def tune(
    task: Task | str,
    optimizer: Any = "Adam",
    *,
    batch_size: int | Literal["all"] | None = None,
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
    turn: float = TURN,
    levers: Collection[str] | None = None,
    told: Callable[[str], object] = lambda text: None,
    **settings: Any,
) -> Tuned:
    """Measure what makes an update of a task cheaper, on the task itself.

    What each lever is compared with is the loop that people write: the DataLoader that the task was
    given, if any, torch's optimizer, its ``zero_grad`` and ``loss.backward()``. Of both there are
    turns one after the other, each in a process of its own. Levers are tried in the order of what
    they usually bring, as many as there is time for, each until it is plain that it helps, or that
    it will not be; those that help are then measured again, together and the fastest alone. Last
    come samples a second by the size of the batch.

    Args:
        task, optimizer, batch_size, settings: as for :func:`slalom.fit`. By a name that torch has
            too, the loop that is compared with has torch's.
        seconds: how long it may take. What there was no time for is told.
        rounds: turns of each at most, at least 6, so that there is an interval.
        turn: seconds of one.
        levers: names of :data:`slalom.fitting.tuning.levers.LEVERS`, and ``"batch size"``; all
            that fit otherwise.
        told: called with a line now and then.

    Raises :class:`InputError` for what cannot be trained, or diverges in the first few updates, for
    a task on another device than the CPU, and where there is no time for a first turn.
    """
    task = load(task) if isinstance(task, str) else task
    if not isinstance(task, Task):
        raise InputError(f"task is a {type(task).__name__}; it must be a slalom.Task, or a name")
    if task.device.type != "cpu":
        raise InputError(f"the task trains on {task.device}; what is measured here is for the CPU")
    whole_number("rounds", rounds)
    above_zero("turn", turn)
    above_zero("seconds", seconds)
    if rounds < LEAST:
        raise InputError(f"rounds is {rounds}; from {LEAST} on there is an interval")
    for name in levers or ():
        if name not in (known := [*LEVERS, SIZES]):
            raise InputError(f"there is no lever {name!r}; there are {', '.join(known)}")
    ends = time.monotonic() + seconds
    using = chosen_optimizer(optimizer, settings, batch_size, task)
    task = using.of(task)
    using.check(task)
    task.check()
    make = plain(using.make) if isinstance(optimizer, str) else using.make
    names = [*LEVERS, SIZES] if levers is None else list(levers)
    with Trials(task, make, using.batch_size, PlainRun, ends, rounds, turn, told) as trials:
        return trials.tuned(names)


class Trials:
    """Measurements of a task, until a time.

    Args:
        make, batch_size, kind: of the run as it is.
        ends: by :func:`time.monotonic`.
        rounds, turn, told: as for :func:`tune`.
        look: called before each turn.
    """

    def __init__(
        self, task: Task, make: Any, batch_size: Any, kind: type[Run], ends: float, rounds: int,
        turn: float, told: Callable[[str], object], look: Callable[[], object] = lambda: None,
    ):  # fmt: skip
        self._task, self._make, self._size = task, make, batch_size
        self._ends, self._rounds, self._turn = ends, rounds, turn
        self._told, self._look = told, look
        self._turns = Turns(task, make, batch_size, kind)
        self._took: list[float] = []
        self._steps = 0
        self.usual: list[Turn] = []
        self.failed: dict[str, str] = {}

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *error: object) -> None:
        self._turns.close()

    def tuned(self, levers: Collection[str]) -> Tuned:
        """What :func:`tune` says."""
        left = [n for n in levers if n != SIZES and LEVERS[n].fits(self._task, self._make)]
        begun = time.monotonic()
        self.begin()
        kept = max(AGAIN * (self._ends - begun), 0.0)
        until = self._ends - min(kept, 3 * self._rounds * self._each)
        found: dict[str, Verdict] = {}
        while left and (room := int((until - time.monotonic()) / (LEAST * self._each)) - 1) >= 1:
            now, left = left[:room], left[room:]
            self._told(f"as it is, {', '.join(now)}")
            found |= {v.name: v for v in self.compared([(n,) for n in now], until, told=True)}
            left = [n for n in now if n not in found and n not in self.failed] + left
        repeated: Sequence[Verdict] = ()
        if sets := tried_again(list(found.values())):
            self._told(f"again: {'; '.join(' + '.join(s) for s in sets)}")
            repeated = self.compared(sets, self._ends)
        sizes: dict[int, list[Turn]] = {}
        several = self._sizes() if SIZES in levers else []
        if several and self._ends - time.monotonic() >= LEAST * len(several) * self._each:
            self._told(f"samples in an update: {', '.join(map(str, several))}")
            sizes = self._by_size(several)
        elif several:
            left.append(SIZES)
        return Tuned(self.usual, list(found.values()), repeated, self.failed, sizes, left)

    def begin(self) -> None:
        """Find out how many updates are a turn, and what one takes. Raises :class:`InputError`."""
        try:
            found = self._one(USUAL, steps=None)
            self._steps = max(1, round(self._turn / found.seconds))
            self._took.clear()  # which holds what starts but once
            self.usual.append(self._one(USUAL))
        except FailedError as error:
            raise InputError(f"the task cannot be measured: {error}") from None
        except LateError:
            raise InputError(
                "the first turns of the task as it is were not over in the time that there is; "
                "give more seconds"
            ) from None

    @property
    def _each(self) -> float:
        """Seconds that a turn takes, with all that is around it."""
        return statistics.fmean(self._took)

    def _one(self, tried: Tried, steps: int | None = 0, until: float | None = None) -> Turn:
        self._look()
        start = time.monotonic()
        steps = self._steps if steps == 0 else steps
        found = self._turns.turn(tried, steps, self._turn, self._ends if until is None else until)
        if not any(LEVERS[name].stays for name in tried.names):
            self._took.append(time.monotonic() - start)
        return found

    def compared(
        self, sets: Sequence[tuple[str, ...]], until: float, *, told: bool = False,
        whole: bool = False,
    ) -> list[Verdict]:  # fmt: skip
        """Of each set of levers what it is beside the task as it is, taking turns; those that could
        not be measured are left out, and said in ``failed``.

        One leaves as soon as it cannot be told any more that it helps, but where all turns are
        wanted (``whole``); with ``told``, as soon as it is plain that it does. Where there is less
        time than was thought, the last ones make room for those before them.
        """
        pairs: dict[Tried, list[tuple[Turn, Turn]]] = {Tried(names): [] for names in sets}
        alive = list(pairs)
        for i in range(self._rounds):
            rounds, room = max(1, LEAST - i), (until - time.monotonic()) / self._each
            while alive and rounds * (1 + len(alive)) > room:
                if whole or len(alive) == 1:
                    rounds -= 1
                else:
                    self._turns.done(alive.pop())
            if not alive or rounds < 1:
                break
            first = i % (1 + len(alive))
            order = [USUAL, *alive]
            try:
                round_ = dict(self._round(order[first:] + order[:first], pairs, until))
            except LateError:
                break
            self.usual.append(round_[USUAL])
            for one in list(alive):
                if one in round_:
                    pairs[one].append((round_[USUAL], round_[one]))
                verdict = Verdict(one.names, pairs[one])
                if (
                    one not in round_ or (told and verdict.helps)
                    or (not whole and hopeless(verdict.ratios, self._rounds))
                ):  # fmt: skip
                    alive.remove(one)
                    self._turns.done(one)
            self._told(f"turn {i + 1}")
        for one in pairs:
            self._turns.done(one)
        return [Verdict(one.names, seen) for one, seen in pairs.items() if seen]

    def _round(
        self, order: Sequence[Tried], pairs: dict[Tried, list[Any]], until: float
    ) -> Iterator[tuple[Tried, Turn]]:
        for one in order:
            if time.monotonic() >= until:
                raise LateError
            try:
                yield one, self._one(one, until=until)
            except FailedError as error:
                if one == USUAL:
                    raise InputError(f"the task cannot be measured: {error}") from None
                self.failed[str(one)] = str(error)
                pairs[one].clear()
            except LateError:
                if one == USUAL or pairs[one]:
                    raise
                self.failed[str(one)] = "its first turn was not over in the time that there was"

    def _sizes(self) -> list[int]:
        """Sizes of the batch to try; none where batches are not of any size."""
        task = self._task
        if task.train.cut or task.train.stream is not None or self._size == "all":
            return []
        own = self._size or task.batch_size
        found = {round(own * share) for share in SHARES}
        return sorted(size for size in found if task.accumulate <= size <= task.n_train)

    def _by_size(self, several: Sequence[int]) -> dict[int, list[Turn]]:
        found: dict[int, list[Turn]] = {size: [] for size in several}
        with contextlib.suppress(LateError):
            for i in range(self._rounds):
                if time.monotonic() + len(found) * self._each > self._ends:
                    break
                for size in [*found]:
                    try:
                        found[size].append(self._one(Tried(size=size), steps=None))
                    except FailedError as error:
                        self.failed[str(Tried(size=size))] = str(error)
                        del found[size]
                self._told(f"turn {i + 1}")
        return {size: turns for size, turns in found.items() if turns}
