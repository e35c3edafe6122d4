"""What a race found, for other programs: tables of numbers and drawings."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from slalom.errors import InputError
from slalom.racing.result import Result
from slalom.report.chart import Chart
from slalom.report.charts import charts
from slalom.report.drawings import drawing
from slalom.report.style import Key, legend
from slalom.train import atomic

COLUMNS = (
    "rule", "label", "seed", "stage", "status", "step", "samples", "seconds", "train_loss",
    "valid_loss", "metric",
)  # fmt: skip
SERIES = ("step", "samples", "seconds", "train_loss", "valid_loss", "metric")

NO_DATE: dict[str, dict[str, str | None]] = {"svg": {"Date": None}, "png": {}}
"""What makes a drawing the same whenever it is made."""


def csv_of(result: Result) -> str:
    """Every evaluation of every run, a line each; a hyper-parameter is a column of its own.

    What is no number is empty. Text that a spreadsheet would run as a formula has a space before.
    """
    names = list(dict.fromkeys(name for curve in result.curves for name in curve.hypers))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"hyper:{name}" for name in names)])
    for c in result.curves:
        told = [_harmless(c.rule), _harmless(c.label), c.seed, str(c.stage), str(c.status)]
        hypers = [c.hypers.get(name, "") for name in names]
        for row in zip(*(getattr(c, name) for name in SERIES), strict=True):
            writer.writerow([*told, *row, *hypers])
    return out.getvalue()


def _harmless(text: str) -> str:
    return f" {text}" if text[:1] in "=+-@" else text


def drawn(result: Result, folder: Path, form: str) -> list[Path]:
    """Every chart as a file of this form (``svg`` or ``png``) in a folder, which is made.

    Raises :class:`InputError` where matplotlib is not installed, or nothing can be written there.
    """
    keys = legend(result)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; --out names a folder where charts are drawn")
    made = []
    for chart in charts(result):
        made.append((folder / f"{chart.name}.{form}", _picture(chart, keys, form)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be made: {error.strerror}") from error
    return [atomic.write(content, path) for path, content in made]


def drawn_to(chart: Chart, keys: Sequence[Key], path: Path) -> Path:
    """One chart as a file, whose name ends in ``.svg`` or ``.png``.

    Raises :class:`InputError` where matplotlib is not installed, or nothing can be written there.
    """
    atomic.refuse_no_file(path)
    return atomic.write(_picture(chart, keys, path.suffix[1:]), path)


def _picture(chart: Chart, keys: Sequence[Key], form: str) -> bytes:
    content = io.BytesIO()
    drawing(chart, keys).savefig(content, format=form, dpi=200, metadata=NO_DATE[form])
    return content.getvalue()
