"""Watching a run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress

from slalom.fitting import events
from slalom.train import Evaluation, Task

SPACING = 10.0
"""Seconds between two lines where there is no terminal, at least."""

SMOOTH = 0.2
"""The weight of what is new in the loss and the speed that are shown."""


class Progress(events.Callback):
    """A watcher for :func:`slalom.fit`, as a context manager; silent if ``quiet``."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None):
        self._console, self._quiet = console or Console(), quiet
        self._start = self._clock = time.monotonic()
        self._line = -SPACING
        self._metric, self._samples, self._loss, self._speed = "", 0, 0.0, 0.0
        self._last, self._step = "", 0
        self._updates: int | None = None
        self._bar: Any = None
        self._row: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def started(self, event: events.Started) -> None:
        """Say what is trained, and show the bar."""
        self._metric, self._updates = event.task.metric.name, event.updates
        self._samples, self._step = event.run.samples, event.run.step
        self._clock = time.monotonic()
        on = f", on from step {event.run.step:,}" if event.run.step else ""
        self._say(
            f"{event.task.name} with {event.optimizer}, seed {event.seed}, {event.length}{on}"
        )
        if not self._quiet and self._console.is_terminal:
            self._show(event.updates)
            self._bar.update(self._row, completed=event.run.step)

    def _show(self, updates: int | None) -> None:
        """The bar."""
        self._bar = RichProgress(
            TextColumn("{task.percentage:>3.0f}%"), BarColumn(), TextColumn("{task.fields[now]}"),
            console=self._console, transient=True, refresh_per_second=4,
        )  # fmt: skip
        self._bar.start()
        self._row = self._bar.add_task("", total=updates, now="")

    def moved(self, event: events.Moved) -> None:
        """Move the bar."""
        now = time.monotonic()
        speed = (event.samples - self._samples) / max(1e-9, now - self._clock)
        share = SMOOTH if self._speed else 1.0
        self._speed += share * (speed - self._speed)
        self._loss += share * (event.loss - self._loss)
        each = (event.samples - self._samples) / max(1, event.step - self._step)
        self._samples, self._clock, self._step = event.samples, now, event.step
        if self._bar is not None:
            text = f"loss {self._loss:.4g}{self._last}  {self._speed:,.0f} samples/s"
            if self._updates is not None and self._speed:
                left = (self._updates - event.step) * each / self._speed
                text += f"  {_time(left)} left"
            self._bar.update(self._row, completed=event.step, now=text)

    def evaluated(self, event: events.Evaluated) -> None:
        """A line, if the last one is old enough."""
        found = event.evaluation
        self._last = f"  {self._metric} {found.metric:.4g}"
        elapsed = time.monotonic() - self._start
        if self._bar is None and elapsed - self._line >= SPACING:
            self._line = elapsed
            of = f" of {self._updates:,}" if self._updates is not None else ""
            self._say(
                f"step {found.step:,}{of}: loss {found.train_loss:.4g}, on validation "
                f"{found.valid_loss:.4g}; {self._metric} {found.metric:.4g}; "
                f"{self._speed:,.0f} samples/s"
            )

    def told(self, event: events.Told) -> None:
        """A line."""
        self._say(event.text)

    def finished(self, event: events.Finished) -> None:
        """Take the bar off the screen."""
        self._end()

    def _say(self, text: str) -> None:
        if not self._quiet:
            elapsed = time.monotonic() - self._start
            self._console.print(
                f"{elapsed:5.1f} s  {text}", markup=False, highlight=False, soft_wrap=True
            )


class Seeds(Progress):
    """The same of several runs of one task, of so many updates each."""

    def __init__(self, task: Task, seeds: int, updates: int | None, **options: Any):
        super().__init__(**options)
        self._metric, self._seeds, self._each = task.metric.name, seeds, updates or 0
        self._found: dict[int, Evaluation] = {}
        self._over = 0

    def say(self, text: str) -> None:
        """A line."""
        self._say(text)

    def tell(self, seed: int, event: events.Event) -> None:
        """What the run of a seed has told."""
        if isinstance(event, events.Evaluated):
            self._found[seed] = event.evaluation
            self._look()
        elif isinstance(event, events.Told):
            self._say(f"seed {seed}: {event.text}")
        elif isinstance(event, events.Finished):
            self._over += 1
            self._look()

    def _look(self) -> None:
        if self._bar is None and self._console.is_terminal and not self._quiet:
            self._show(self._seeds * self._each)
        elapsed = time.monotonic() - self._start
        done = sum(e.step for e in self._found.values())
        mean = sum(e.metric for e in self._found.values()) / max(1, len(self._found))
        text = f"{self._over} of {self._seeds} seeds are through; {self._metric} {mean:.4g} so far"
        if self._bar is not None:
            self._bar.update(self._row, completed=done, now=text)
        elif elapsed - self._line >= SPACING:
            self._line = elapsed
            self._say(f"{text}, after {done:,} of {self._seeds * self._each:,} steps")


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
