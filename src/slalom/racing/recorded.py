"""Races that remember: what the ledger knows is not trained again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from slalom.racing.ledger import Ledger
from slalom.racing.runner import Request, Runner, Trace


class Recorded(Runner):
    """A runner that remembers: what the ledger knows is not trained again.

    So a race that is resumed makes the decisions it made before, from the evaluations it made
    them from, and trains only from where it was.
    """

    def __init__(self, runner: Runner, ledger: Ledger):
        super().__init__(runner.task)
        self._runner, self._ledger = runner, ledger

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Trace]]:
        """See :class:`slalom.racing.runner.Runner`."""
        missing = []
        for request in requests:
            known = self._ledger.trace(request.entrant.number, request.seed)
            if known.ended or known.step >= request.until or self._through(known):
                yield request, _until(known, request.until)
            else:
                missing.append(replace(request, known=known))
        yield from self._runner.advance(missing)

    def _through(self, trace: Trace) -> bool:
        return trace.crossing(self._runner.task) is not None


def _until(trace: Trace, step: int) -> Trace:
    """What was known of a run when it stood at this step."""
    known = tuple(e for e in trace.evaluations if e.step <= step)
    if trace.step < step:
        return trace
    return Trace(known)
