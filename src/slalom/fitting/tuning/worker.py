"""A process that trains a task with some levers, and is asked for turns of it.

``python -m slalom.fitting.tuning.worker``: questions come on its standard input and answers go to
its standard output, each pickled behind its length in 8 bytes. The first one is what to train.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from typing import IO, Any

import cloudpickle
import torch

from slalom.fitting.tuning.levers import LEVERS
from slalom.plain import plain
from slalom.train.loop import begun

SHOWN = 10
"""Updates after which weights are compared."""

MOST = 10_000
"""Numbers of the first gradient that are compared, about."""


def put(message: Any, file: IO[bytes]) -> None:
    """Write a message."""
    content = cloudpickle.dumps(message)
    file.write(len(content).to_bytes(8, "little") + content)
    file.flush()


def got(file: IO[bytes]) -> Any:
    """Read one. Raises EOFError where there is none."""
    head = file.read(8)
    if len(head) < 8:
        raise EOFError
    return pickle.loads(file.read(int.from_bytes(head, "little")))


class Worker:
    """The run of a task with levers.

    Args:
        sent: (task, what makes the optimizer, batch size, threads), pickled.
        names: of the levers.
        size: samples in an update, in place of the batch size.
    """

    def __init__(self, sent: bytes, names: list[str], size: int | None = None):
        levers = [LEVERS[name] for name in names]
        for lever in levers:
            lever.begin()  # before the task's memory is asked for
        task, make, own, threads = pickle.loads(sent)
        if not any(lever.group == "threads" for lever in levers):
            torch.set_num_threads(threads)
        for lever in levers:
            task, make = lever.vary(task), lever.exchange(make)
        self.run = begun(task, make, 0, own if size is None else size)
        for lever in levers:
            lever.dress(self.run)
        # in a file: as copies at the end of the heap it would keep memory, as a lever is to
        self._fresh = tempfile.TemporaryFile()  # noqa: SIM115
        torch.save(self.run.state_dict(), self._fresh)
        self._steps = 1

    def first(self) -> dict[str, Any]:
        """The first updates: the loss and the gradient of the very first, and its seconds, in
        which things are compiled; and all weights after the last, by a digest."""
        start = time.perf_counter()
        loss = self.run.advance(1)
        once = time.perf_counter() - start
        grads = [p.grad for p in self.run.model.parameters() if p.grad is not None]
        gradient = some(g for g in grads if type(g) is torch.Tensor)  # none that was spent
        self.run.advance(SHOWN - 1)
        if self.run.diverged is not None:
            return {"diverged": self.run.diverged}
        digest = hashlib.sha256()
        for tensor in self.run.model.state_dict().values():
            digest.update(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        found = {"loss": loss, "gradient": gradient, "digest": digest.hexdigest()}
        return {**found, "once": once}

    def turn(self, seconds: float) -> float:
        """Seconds of an update, over as many as take about so long."""
        for _ in range(5):
            start = time.perf_counter()
            before = self.run.step
            self.run.advance(self._steps)
            each = (time.perf_counter() - start) / (self.run.step - before)
            if self.run.diverged is None:
                done, self._steps = self._steps, max(1, round(seconds / each))
                if 2 * done >= self._steps:  # else it was too short to tell
                    return each
                continue
            self._fresh.seek(0)
            self.run.load_state_dict(torch.load(self._fresh, weights_only=False))
        return each

    def peak(self) -> int:
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


def main() -> None:
    """Answer until the questions end."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the task's own code prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks, and ends this one
    questions = sys.stdin.buffer
    try:
        worker = Worker(*got(questions))
    except Exception as error:
        put(error_of(error), answers)
        return
    put("ready", answers)
    while True:
        try:
            name, *arguments = got(questions)
        except EOFError:
            return
        try:
            put(getattr(worker, name)(*arguments), answers)
        except Exception as error:
            put(error_of(error), answers)
            return


def error_of(error: Exception) -> dict[str, str]:
    """An answer that says what went wrong, in a line."""
    first = (str(error).splitlines() or [""])[0]
    return {"error": plain(f"{type(error).__name__}: {first[:200]}")}


if __name__ == "__main__":
    main()
