"""What a race has found, read back from its ledger."""

from __future__ import annotations

import contextlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slalom.racing.entrants import Entrant
from slalom.racing.findings import Cost, Curve, Rival, Standing, Verdict, Winner
from slalom.racing.ledger import Ledger
from slalom.racing.status import Stage, Status
from slalom.racing.verdict import ratio, typical

if TYPE_CHECKING:
    import pandas as pd

JSON_VERSION = 1
"""Of the form that :meth:`Result.to_json` writes."""


class Result:
    """A race that has finished or was interrupted; see :func:`slalom.race`.

    Args:
        folder: where the race wrote its ledger, or the ledger itself.
        entrants: those that raced, by their numbers, where they are at hand: the winner's
            optimizer is made by the very entrant then, of whatever kind it is.

    Attributes:
        path: the race's folder.
        meta: what is known of the race as a whole; :data:`slalom.racing.content.META` names it.
        notes: sentences worth reading.

    Raises :class:`InputError` if there is no ledger, or it holds what no race writes.
    """

    def __init__(self, folder: Path | str, entrants: Sequence[Entrant] = ()):
        folder = Path(folder)
        self.path = folder.parent if folder.is_file() else folder
        self._raced = entrants
        file = folder if folder.is_file() else folder / "ledger.sqlite"
        with contextlib.closing(Ledger(file, read_only=True)) as ledger:
            self.meta: dict[str, Any] = ledger.meta
            self.notes = [r["text"] for r in ledger.rows("SELECT text FROM note ORDER BY rowid")]
            self._entrants = {r["number"]: r for r in ledger.rows("SELECT * FROM entrant")}
            self._recipes = {number: ledger.recipe(number) for number in self._entrants}
            self._runs = list(ledger.rows("SELECT * FROM run ORDER BY entrant, seed"))
            self._evaluations: dict[tuple[int, int], list[dict[str, Any]]] = {}
            for e in ledger.rows("SELECT * FROM evaluation ORDER BY entrant, seed, step"):
                self._evaluations.setdefault((e["entrant"], e["seed"]), []).append(e)
            self._timing: dict[int, list[float]] = {}
            for t in ledger.rows("SELECT * FROM timing ORDER BY round"):
                self._timing.setdefault(t["entrant"], []).append(t["seconds"])
        for entrant in self._entrants.values():
            entrant["hypers"] = json.loads(entrant["hypers"])

    @cached_property
    def finals(self) -> dict[int, list[dict[str, Any]]]:
        """Number of each finalist -> its runs on the finals' seeds, in order."""
        found: dict[int, list[dict[str, Any]]] = {}
        for run in self._runs:
            if run["stage"] == Stage.FINAL:
                found.setdefault(run["entrant"], []).append(run)
        return found

    @cached_property
    def _chosen(self) -> dict[str, int]:
        """Family -> the number of the entrant that stands for it."""
        best: dict[str, tuple[tuple[float, ...], int]] = {}
        for run in self._runs:
            if run["stage"] == Stage.BASELINE:
                continue
            family = self._entrants[run["entrant"]]["family"]
            needed = run["samples_to_target"]
            key = (
                run["entrant"] not in self.finals,
                math.inf if needed is None else needed,
                -run["steps"] if needed is None else 0,
                self._signed(self._best_metric(run)),
            )
            if family not in best or key < best[family][0]:
                best[family] = key, run["entrant"]
        return {family: number for family, (_, number) in best.items()}

    @cached_property
    def standings(self) -> list[Standing]:
        """One row a family, the soonest at its target first."""
        rows = [(number, self._standing(number)) for number in self._chosen.values()]
        rows.sort(
            key=lambda row: (
                row[0] != self._leader,  # by all its seeds together, not by the median alone
                row[1].samples_to_target is None,
                row[1].samples_to_target or 0,
                self._signed(row[1].best_metric),
            )
        )
        return [replace(s, place=place) for place, (_, s) in enumerate(rows, 1)]

    def _standing(self, number: int) -> Standing:
        """That of an entrant, its place still open."""
        entrant = self._entrants[number]
        runs = self.finals.get(number) or [r for r in self._runs if r["entrant"] == number]
        there = [r for r in runs if r["samples_to_target"] is not None]
        statuses = [Status(r["status"]) for r in runs]
        status = max(statuses, key=statuses.count)
        metrics = [m for r in runs if (m := self._best_metric(r)) is not None]
        return Standing(
            0, entrant["label"], entrant["family"], entrant["hypers"], entrant["batch"],
            Status.REACHED if 2 * len(there) >= len(runs) else status,
            len(there), len(runs), _median(runs, "steps_to_target"),
            self._seconds(number, runs), _median(runs, "samples_to_target"),
            statistics.median(metrics) if metrics else None, entrant["snippet"],
            next((r["reason"] for r in runs if r["reason"]), ""),
        )  # fmt: skip

    @cached_property
    def _leader(self) -> int | None:
        needs = {n: [r["samples_to_target"] for r in runs] for n, runs in self.finals.items()}
        ranked = [(typical(values), n) for n, values in needs.items()]
        ranked = [(v, n) for v, n in ranked if v < math.inf]
        return min(ranked)[1] if ranked else None

    @cached_property
    def verdict(self) -> Verdict:
        """Who won, and how sure that is."""
        metric, target = self.meta["metric"], self.meta["target"]
        goal = f"{metric} {target:.4g}" if target is not None else metric
        if (won := self._leader) is None:
            if not self.meta.get("finished"):
                return Verdict("The race was interrupted before anyone had won it.", None, False)
            some = [s for s in self.standings if s.reached]
            if not some:
                return Verdict(f"Nobody reached {goal} within the cap of the task.", None, False)
            best = max(some, key=lambda s: s.reached / s.seeds)
            text = (
                f"Nobody reached {goal} in most of its runs: {best.label} did in {best.reached} of "
                f"{best.seeds}. Raise the task's max_steps, or lower its target."
            )
            return Verdict(text, None, False)
        label = self._entrants[won]["label"]
        mine = self.finals[won]
        rivals: list[tuple[int, Rival]] = []
        for number, runs in self.finals.items():
            if number == won:
                continue
            k = min(len(runs), len(mine))
            work = ratio(*([r["samples_to_target"] for r in x[:k]] for x in (runs, mine)))
            seconds = ratio(
                *(
                    [self._run_seconds(n, r) for r in x[:k]]
                    for n, x in ((number, runs), (won, mine))
                )
            )
            rivals.append((number, Rival(self._entrants[number]["label"], work, seconds)))
        rivals.sort(key=lambda r: r[1].work.value)
        standing = self._standing(won)
        took = f"{standing.steps_to_target:.0f} steps"
        if standing.seconds_to_target is not None:
            took += f" ({standing.seconds_to_target:.2g} s)"
        open_ones = [r for r in rivals if not r[1].work.decided]
        if not rivals:
            text = f"{label} is the only one that reached {goal}: in {took}."
            return Verdict(text, label, False)
        evidence = self._evidence(won, *(open_ones[0] if open_ones else rivals[0]))
        if open_ones:
            names = " and ".join([label, *(r.label for _, r in open_ones)])
            text = f"A tie of {names} at {goal}: {label} takes {took}, {evidence}."
        else:
            text = f"{label} reaches {goal} soonest, in {took}: {evidence}."
        return Verdict(text, label, bool(open_ones), tuple(r for _, r in rivals))

    def _evidence(self, won: int, number: int, rival: Rival) -> str:
        work, seconds = rival.work, rival.seconds
        if math.isinf(work.value):
            its = self._standing(number)
            return f"{rival.label} does so in {its.reached} of {its.seeds} runs"
        same_batch = self._entrants[number]["batch"] == self._entrants[won]["batch"]
        return (
            f"{rival.label} needs {work.value:.2f} times its "
            f"{'steps' if same_batch else 'samples'} "
            f"(95% interval {work.low:.2f} to {work.high:.2f}; {work.method}) and "
            f"{seconds.value:.2f} times its seconds ({seconds.low:.2f} to {seconds.high:.2f})"
        )

    @cached_property
    def winner(self) -> Winner | None:
        """The entrant that won or leads a tie; None where nobody reached the target."""
        if (won := self._leader) is None:
            return None
        e = self._entrants[won]
        made_by = self._raced[won] if won < len(self._raced) else self._recipes[won]
        return Winner(
            e["label"], e["family"], e["hypers"], e["batch"], e["snippet"], made_by.optimizer
        )

    @cached_property
    def curves(self) -> list[Curve]:
        """Every run."""
        chosen = set(self._chosen.values())
        found = []
        for run in self._runs:
            entrant = self._entrants[run["entrant"]]
            series = self._evaluations.get((run["entrant"], run["seed"]), [])
            columns = (
                [e[name] for e in series]
                for name in ("step", "samples", "seconds", "train_loss", "valid_loss", "metric")
            )
            found.append(
                Curve(
                    entrant["label"], entrant["family"], entrant["hypers"], run["seed"],
                    Stage(run["stage"]), Status(run["status"]), run["entrant"] in chosen, *columns,
                )
            )  # fmt: skip
        return found

    @cached_property
    def cost(self) -> Cost:
        """What the race cost, and when it has paid for itself."""
        samples = sum(r["samples"] for r in self._runs)
        search = sum(r["samples"] for r in self._runs if r["stage"] == Stage.HEAT)
        seconds = sum(r["seconds"] for r in self._runs)
        base = [r for r in self._runs if r["stage"] == Stage.BASELINE]
        base = [r for r in base if r["status"] != Status.FAILED]
        baseline = self._entrants[base[0]["entrant"]]["label"] if base else None
        one = next((s.samples_to_target for s in self.standings if s.place == 1), None)
        if not one or self._leader is None:
            return Cost(samples, seconds, None, None, baseline, None)
        pays = None
        needed = _median(base, "samples_to_target") if base else None
        if base:  # a baseline that never arrives costs at least what it had when it was stopped
            usual = needed or statistics.median(r["samples"] for r in base)
            if usual > one:
                pays = math.ceil(samples / (usual - one))
        return Cost(samples, seconds, search / one, samples / one, baseline, pays)

    def to_dataframe(self) -> pd.DataFrame:
        """One row an evaluation of every run; needs pandas."""
        import pandas as pd

        columns = ("step", "samples", "seconds", "train_loss", "valid_loss", "metric")
        names = (*columns, "label", "rule", "seed", "stage", "status")
        known = [{name: getattr(c, name) for name in names} for c in self.curves]
        frames = [pd.DataFrame(k | c.hypers | k) for k, c in zip(known, self.curves, strict=True)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)

    def to_json(self) -> dict[str, Any]:
        """All but the curves, in values that JSON has; ``version`` tells the form."""
        known = {
            "version": JSON_VERSION, "path": str(self.path), "meta": self.meta,
            "standings": [asdict(s) for s in self.standings], "verdict": asdict(self.verdict),
            "winner": _winner(self.winner), "cost": asdict(self.cost),
            "notes": self.notes,
        }  # fmt: skip
        return _plain(known)

    def _signed(self, metric: float | None) -> float:
        if metric is None:
            return math.inf
        return -metric if self.meta["higher_is_better"] else metric

    def _best_metric(self, run: dict[str, Any]) -> float | None:
        values = [
            e["metric"]
            for e in self._evaluations.get((run["entrant"], run["seed"]), [])
            if e["metric"] is not None
        ]
        pick = max if self.meta["higher_is_better"] else min
        return pick(values) if values else None

    def _run_seconds(self, number: int, run: dict[str, Any]) -> float | None:
        if run["steps_to_target"] is None:
            return None
        if number in self._timing:
            return run["steps_to_target"] * statistics.median(self._timing[number])
        return run["seconds_to_target"]

    def _seconds(self, number: int, runs: list[dict[str, Any]]) -> float | None:
        values = [self._run_seconds(number, r) for r in runs]
        return _middle(values)


def _winner(winner: Winner | None) -> dict[str, Any] | None:
    """What can be told of it, which is all but how to make it."""
    if winner is None:
        return None
    names = ("label", "rule", "hypers", "batch", "code")
    return {name: getattr(winner, name) for name in names}


def _plain(value: Any) -> Any:
    """``value`` with None for each number that is not finite, which JSON cannot tell."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _median(runs: list[dict[str, Any]], name: str) -> float | None:
    return _middle([r[name] for r in runs])


def _middle(values: list[float | None]) -> float | None:
    """The median, with None as infinite; None where that is."""
    middle = statistics.median(math.inf if v is None else v for v in values) if values else math.inf
    return None if middle == math.inf else middle
