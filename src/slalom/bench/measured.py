"""The claims of the field, measured one after the other, and the page that tells of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from slalom.bench.claims import CLAIMS
from slalom.bench.claims._claim import LEVEL, Call, Figure, Finding
from slalom.errors import InputError, did_you_mean
from slalom.racing.machine import cores, processor
from slalom.train import atomic

PLACE = "benchmarks/claims.py"
"""The command, from the root of the repository."""


@dataclass(frozen=True)
class Measured:
    """What one claim's experiment found, when and where.

    Attributes:
        finding: what it found.
        seconds: of a processor that it took.
        load: processes that wanted a core when it began, on average over a minute.
        machine: processor, cores and torch's version.
    """

    finding: Finding
    seconds: float
    load: float
    machine: str

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Measured:
        """One as it was written down."""
        finding = kept["finding"]
        figures = [Figure(**f) for f in finding["figures"]]
        return cls(
            Finding(Call(finding["call"]), finding["says"], figures),
            kept["seconds"], kept["load"], kept["machine"],
        )  # fmt: skip


def measure(name: str, *, quick: bool = False) -> Measured:
    """Do one claim's experiment."""
    load, begun = os.getloadavg()[0], time.process_time()
    finding = CLAIMS[name].measure(quick)
    machine = f"{processor()}, {cores()} cores, torch {torch.__version__}"
    return Measured(finding, time.process_time() - begun, load, machine)


def known(path: Path) -> dict[str, Measured]:
    """What was measured before, of claims that there are."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    return {name: Measured.read(kept[name]) for name in CLAIMS if name in kept}


def main(
    record: Path, page: Path, names: Sequence[str] = (), *, quick: bool = False
) -> dict[str, Measured]:
    """Measure the claims that are missing in ``record``, or those named; then write the page.

    Each is written down as soon as it is known, so that what was interrupted goes on.
    Raises :class:`InputError` for a name that is no claim's.
    """
    for name in names:
        if name not in CLAIMS:
            hint = did_you_mean(name, CLAIMS)
            raise InputError(f"there is no claim {name!r}; there are {', '.join(CLAIMS)}{hint}")
    found = known(record)
    for name in names or [name for name in CLAIMS if name not in found]:
        try:
            one = measure(name, quick=quick)
        except InputError as error:  # not now
            print(f"{name}: {error}", flush=True)
            continue
        found = known(record) | {name: one}  # another process may have measured others
        kept = {n: asdict(found[n]) for n in CLAIMS if n in found}
        atomic.write((json.dumps(kept, indent=1, allow_nan=False) + "\n").encode(), record)
        finding = found[name].finding
        print(f"{name}: {finding.call}, {found[name].seconds:.0f} s", flush=True)
        for figure in finding.figures:
            print(f"    {figure.what}: {figure}", flush=True)
    found = known(record)
    atomic.write(written(found).encode(), page)
    return found


def written(found: dict[str, Measured]) -> str:
    """The page of the documentation, in Markdown."""
    counts = {call: sum(m.finding.call is call for m in found.values()) for call in Call}
    minutes = sum(m.seconds for m in found.values()) / 60
    lines = [
        "# What is said of the methods, measured",
        "",
        f"<!-- written by {PLACE} -->",
        "",
        f"{len(CLAIMS)} sentences of textbooks and papers, each with an experiment that could have "
        f"gone the other way: {counts[Call.HOLDS]} hold, {counts[Call.ONLY_WHEN]} hold only under "
        f"a condition, {counts[Call.FAILS]} do not hold here. `python {PLACE}` does what is "
        f"missing of the experiments ({minutes:.0f} minutes of a processor for all) and writes "
        "this page; with names behind it, these again. "
        f"Intervals are of {LEVEL:.0%}, over seeds, tasks or rounds; comparisons are paired. Who "
        "did not arrive counts as having needed the cap, so that such figures are at least what "
        "they say.",
        "",
        "They are small models on data that comes with scikit-learn and Python. What a sentence "
        "says of large ones is not tested here; on yours, [a race](races.md) is.",
        "",
        "| claim | |",
        "| --- | --- |",
        *(f"| [{CLAIMS[n].text}](#{n}) | {m.finding.call} |" for n, m in found.items()),
        *(f"| {c.text} | not measured yet |" for n, c in CLAIMS.items() if n not in found),
        "",
    ]
    for name, one in found.items():
        claim, finding = CLAIMS[name], one.finding
        lines += [
            f"## {name}",
            "",
            f"**{claim.text}** {_called(finding)}",
            "",
            claim.experiment,
            "",
            "| figure | |",
            "| --- | ---: |",
            *(f"| {figure.what} | {figure} |" for figure in finding.figures),
            "",
            f"`python {PLACE} {name}`; {one.seconds:.0f} s of {one.machine}, with a load of "
            f"{one.load:.1f}.",
            "",
        ]
    return "\n".join(lines)


def _called(finding: Finding) -> str:
    if finding.call is Call.ONLY_WHEN:
        return f"*Holds, but not always.* {finding.says}"
    return f"*{finding.call.capitalize()}.* {finding.says}"
