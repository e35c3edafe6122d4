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
from types import ModuleType
from typing import TYPE_CHECKING, Any

from slalom.errors import InputError
from slalom.racing import seeds
from slalom.racing.contender import Lane
from slalom.racing.design import Design, judged_by
from slalom.racing.ending import at_the_end
from slalom.racing.entrants import Entrant
from slalom.racing.estimate import Difference, Estimate, estimates
from slalom.racing.findings import Cost, Curve, Standing, Verdict, Winner
from slalom.racing.ledger import Ledger
from slalom.racing.needs import Run, chance_to_arrive, typical, with_restarts
from slalom.racing.scores import Score
from slalom.racing.sequential import Judgement, judge
from slalom.racing.snippet import Recipe
from slalom.racing.status import Stage, Status
from slalom.racing.verdict import Facts, rank, remarks, told, verdict

if TYPE_CHECKING:
    import pandas as pd

JSON_VERSION = 2
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
    def design(self) -> Design:
        """How the finals were judged."""
        return judged_by(self.meta["seeds"], self.meta["budget"], self.meta["full"])

    @cached_property
    def _finals(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Rule -> place of a seed -> the run of it there; in the order in which they were begun."""
        found: dict[str, dict[int, dict[str, Any]]] = {
            label: {} for label in self.meta.get("finalists") or ()
        }
        for run in self._runs:
            if run["stage"] == Stage.FINAL:
                label = self._entrants[run["entrant"]]["family"]
                found.setdefault(label, {})[seeds.place(run["seed"])] = run
        return {label: dict(sorted(own.items())) for label, own in found.items()}

    @cached_property
    def finals(self) -> dict[str, dict[int, Any]]:
        """Rule -> place of a seed -> what the run there needed, in batches of the task's size; with
        a budget, what it came to at its end."""
        return {
            label: {place: self._run(run) for place, run in own.items()}
            for label, own in self._finals.items()
        }

    def _run(self, run: dict[str, Any]) -> Run | Score:
        if self.meta["budget"] is not None:
            metric = self._at_end(run)
            return Score(math.nan if metric is None else self._sign * metric, run["samples"])
        every = self.meta.get("finals_every") or self.meta["eval_every"]
        lane = Lane(self._entrants[run["entrant"]]["batch"], self.meta["batch_size"], every)
        arrived = run["samples_to_target"] is not None
        samples = run["samples_to_target"] if arrived else run["samples"]
        work = samples / lane.usual or lane.stride
        horizon = self._entrants[run["entrant"]]["hypers"].get("horizon", math.inf)
        over = run["ended"] is not None or run["steps"] >= horizon
        return Run(work, arrived, lane.stride, not arrived and over)

    @cached_property
    def judgement(self) -> Judgement:
        """What is known of the finals, by the judge that led them."""
        return judge(self.finals, self.design)

    @cached_property
    def standings(self) -> list[Standing]:
        """One row a rule: the one that leads, who tie with it, who are out."""
        leader = self.judgement.leader
        rows = [self._standing(label) for label in self._labels]
        rows.sort(key=lambda s: (s.rule != leader, *rank(s, self._sign)))
        return [replace(s, place=place) for place, s in enumerate(rows, 1)]

    @property
    def _labels(self) -> list[str]:
        """The finalists; before there are any, whoever has been trained."""
        ran = {
            self._entrants[r["entrant"]]["family"]: None
            for r in self._runs
            if r["stage"] != Stage.BASELINE
        }
        return [label for label in self._finals if label in ran] or list(ran)

    @cached_property
    def _estimates(self) -> dict[str, Estimate]:
        return estimates(self.finals, self.judgement, self.design)

    def _standing(self, label: str) -> Standing:
        """That of a rule, its place still open."""
        runs = list(self._finals.get(label, {}).values())
        ended = self.meta["budget"] is not None
        needs = {} if ended else self.finals.get(label, {})
        shown = runs or [
            r for r in self._runs
            if self._entrants[r["entrant"]]["family"] == label and r["stage"] == Stage.HEAT
        ]  # fmt: skip
        entrant = self._entrants[shown[0]["entrant"]]
        statuses = [Status(r["status"]) for r in shown]
        missed = [s for s in statuses if s != Status.REACHED] or statuses
        status = max(missed, key=missed.count)
        there = [r for r in runs if r["samples_to_target"] is not None]
        stopped = any(s in (Status.STOPPED, Status.RUNNING, Status.DROPPED) for s in statuses)
        metrics = [m for r in shown if (m := self._best_metric(r)) is not None]
        finding = self.judgement.findings.get(label)
        beside = self._estimates.get(label)
        told_of_it = ""
        if beside is not None:
            told_of_it = told(label, beside, self.finals, self.judgement, self.design)
        lost = status == Status.FAILED or set(statuses) == {Status.DIVERGED}
        if lost and runs and not there:
            told_of_it = f"{status} on {statuses.count(status)} of {len(runs)} seeds"
            if status == Status.FAILED:  # which tells nothing of how it compares
                finding = beside = None
        difference = beside if isinstance(beside, Difference) else None
        restarts = with_restarts(needs) * self.meta["batch_size"] / entrant["batch"]
        rules = self.meta["about"] == "rules"
        settings = tuple(self._entrants[r["entrant"]]["label"] for r in runs) if rules else ()
        return Standing(
            0, label if rules else entrant["label"], label, entrant["hypers"], entrant["batch"],
            Status.REACHED if 2 * len(there) > len(shown) else status,
            len(there), len(runs), _median(runs, "steps_to_target"), self._seconds(runs),
            _median(runs, "samples_to_target"),
            None if stopped or ended else chance_to_arrive(needs),
            restarts if math.isfinite(restarts) and not stopped else None,
            max((r["steps"] for r in shown if r not in there), default=0),
            statistics.median(metrics) if metrics and not stopped else None,
            finding and finding.call, None if difference else beside, told_of_it, settings,
            entrant["snippet"], next((r["reason"] for r in shown if r["reason"]), ""),
            _middle([self._at_end(r) for r in runs]) if ended else None, difference,
            finding and finding.against,
        )  # fmt: skip

    @cached_property
    def _facts(self) -> Facts:
        return Facts(
            self.meta, self.standings, self.finals, self.judgement, self.design,
            {label: self._seconds_of_work(label) for label in self.finals},
            [] if any(self._finals.values()) else [c for c in self.curves if c.stage == Stage.HEAT],
        )  # fmt: skip

    @cached_property
    def verdict(self) -> Verdict:
        """Who won, and how sure that is."""
        return (verdict if self.meta["budget"] is None else at_the_end)(self._facts)

    @property
    def remarks(self) -> list[str]:
        """Sentences worth reading: what was noted while it raced, and what it cannot tell."""
        told_late = remarks(self._facts) if self.meta["budget"] is None else []
        return [*self.notes, *told_late]

    @property
    def failed(self) -> list[Standing]:
        """Finalists of which a run raised an exception."""
        failed = {
            label for label, own in self._finals.items()
            if any(r["status"] == Status.FAILED for r in own.values())
        }  # fmt: skip
        return [s for s in self.standings if s.rule in failed]

    @property
    def _won(self) -> int | None:
        """The number of the entrant that won or leads a tie."""
        if (leader := self.judgement.leader) is None:
            return None
        return next(iter(self._finals[leader].values()))["entrant"]

    @property
    def entrant(self) -> Entrant | None:
        """The winner as it raced; None where nobody won, or the ledger alone is at hand."""
        won = self._won
        return None if won is None or won >= len(self._raced) else self._raced[won]

    def recipe(self, label: str) -> Recipe:
        """How the optimizer of the entrant of this label is made."""
        return next(r for n, r in self._recipes.items() if self._entrants[n]["label"] == label)

    @cached_property
    def winner(self) -> Winner | None:
        """The entrant that won or leads a tie; None where nobody reached the target."""
        if (won := self._won) is None:
            return None
        own = (self._entrants[won][n] for n in ("label", "family", "hypers", "batch", "snippet"))
        return Winner(*own, make=(self.entrant or self._recipes[won]).optimizer)

    @cached_property
    def curves(self) -> list[Curve]:
        """Every run."""
        chosen = {run["entrant"] for own in self._finals.values() for run in own.values()}
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
                    steps_to_target=run["steps_to_target"],
                    seconds_to_target=self._run_seconds(run),
                    samples_to_target=run["samples_to_target"],
                    update_seconds=self._update_seconds(run["entrant"]), reason=run["reason"],
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
        arrived = sum(r["samples_to_target"] is not None for r in base)
        leader = self.judgement.leader
        if leader is None:
            return Cost(samples, seconds, None, None, baseline, arrived, len(base), None)
        if self.meta["budget"] is not None:
            one = statistics.median(r["samples"] for r in self._finals[leader].values())
            return Cost(
                samples, seconds, search / one, samples / one, baseline, arrived, len(base), None,
                _middle([self._at_end(r) for r in base]),
            )  # fmt: skip
        runs = self.finals[leader]
        one = min(typical(runs), with_restarts(runs)) * self.meta["batch_size"]
        pays = None
        if base:  # a run that never arrives costs at least what it had when it was stopped
            usual = statistics.median(r["samples_to_target"] or r["samples"] for r in base)
            pays = math.ceil(samples / (usual - one)) if usual > one else None
        return Cost(
            samples, seconds, search / one, samples / one, baseline, arrived, len(base), pays
        )  # fmt: skip

    def table(self) -> pd.DataFrame:
        """The standings, one row a rule. Raises :class:`InputError` where pandas is missing."""
        pd = _pandas()

        rows = [asdict(s) for s in self.standings]
        return pd.DataFrame(rows).set_index("place") if rows else pd.DataFrame()

    def to_dataframe(self) -> pd.DataFrame:
        """One row an evaluation of every run. Raises :class:`InputError` without pandas."""
        pd = _pandas()

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
            "notes": self.remarks,
        }  # fmt: skip
        return _plain(known)

    @property
    def _sign(self) -> int:
        """By which less of the metric is better."""
        return -1 if self.meta["higher_is_better"] else 1

    def _at_end(self, run: dict[str, Any]) -> float | None:
        """The metric of a run at the end of its budget; None if it did not come to that."""
        known = self._evaluations.get((run["entrant"], run["seed"]), [])
        return known[-1]["metric"] if known and run["status"] == Status.FINISHED else None

    def _best_metric(self, run: dict[str, Any]) -> float | None:
        values = [
            e["metric"]
            for e in self._evaluations.get((run["entrant"], run["seed"]), [])
            if e["metric"] is not None
        ]
        pick = max if self.meta["higher_is_better"] else min
        return pick(values) if values else None

    def _run_seconds(self, run: dict[str, Any]) -> float | None:
        if run["steps_to_target"] is None:
            return None
        update = self._update_seconds(run["entrant"])
        return run["seconds_to_target"] if update is None else run["steps_to_target"] * update

    def _update_seconds(self, number: int) -> float | None:
        """Seconds of one update of an entrant, measured alone; None where that was not done."""
        return statistics.median(self._timing[number]) if number in self._timing else None

    def _seconds(self, runs: list[dict[str, Any]]) -> float | None:
        return _middle([self._run_seconds(r) for r in runs])

    def _seconds_of_work(self, label: str) -> list[float]:
        """Seconds for a batch of the task's size, as the rule's updates were timed, by rounds."""
        number = next((r["entrant"] for r in self._finals[label].values()), None)
        if number is None or number not in self._timing:
            return []
        batches = self._entrants[number]["batch"] / self.meta["batch_size"]
        return [seconds / batches for seconds in self._timing[number]]


def _pandas() -> ModuleType:
    try:
        import pandas
    except ImportError as error:
        raise InputError(
            "tables of a result need pandas: pip install pandas, or slalom[data]"
        ) from error
    return pandas


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
