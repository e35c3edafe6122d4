"""Tables for a terminal, plain text where there is none."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from rich.console import Console
from rich.table import Table
from rich.text import Text

from slalom.racing.findings import Standing
from slalom.racing.result import Result
from slalom.racing.status import Status
from slalom.report.told import bill


@dataclass(frozen=True)
class Column:
    """A column of the standings, on a terminal as on the page.

    Attributes:
        title: its head; ``{metric}`` becomes the task's.
        cell: what stands in the row of a standing.
        words: whether that is words, which may be broken into lines, and not a number.
    """

    title: str
    cell: Callable[[Standing], str]
    words: bool = False

    def head(self, result: Result) -> str:
        """Its head in the table of a race."""
        return self.title.format(metric=result.meta["metric"])


def _reached(s: Standing) -> str:
    if not s.seeds:
        return s.status
    told = {Status.DIVERGED: ", diverged", Status.FAILED: ", failed"}.get(s.status, "")
    return f"{s.reached} of {s.seeds}{told}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


COLUMNS = (
    Column("reached", _reached),
    Column("steps", lambda s: _number(s.steps_to_target, ",.0f")),
    Column("seconds", lambda s: _number(s.seconds_to_target, ".2f")),
    Column("samples", lambda s: _number(s.samples_to_target, ",.0f")),
    Column("beside the first", lambda s: s.told, words=True),
)
"""What the standings tell of each entrant. A further column is one more line here."""


def standings(result: Result) -> Table:
    """The standings, one row a rule."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("entrant", no_wrap=True)
    for column in COLUMNS:
        table.add_column(Text(column.head(result)), justify="left" if column.words else "right")
    for s in result.standings:
        cells = [s.label, *(column.cell(s) for column in COLUMNS)]
        row = [Text(str(s.place)), *map(Text, cells)]  # no text of the user's is markup
        table.add_row(*row, style="bold" if s.place == 1 else None)
    return table


def as_text(result: Result, width: int = 100) -> str:
    """The standings, the verdict and the winner's two lines as plain text."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(standings(result))
        console.print()
        console.print(result.verdict.text, markup=False, highlight=False)
        if result.winner is not None:
            console.print(
                f"\n{result.winner.snippet()}", markup=False, highlight=False, soft_wrap=True
            )
    return captured.get()


def as_html(result: Result) -> str:
    """The verdict and the standings for a notebook; no text of the user's is markup."""
    heads = ["", "entrant", *(column.head(result) for column in COLUMNS)]
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in (
            str(s.place), s.label, *(column.cell(s) for column in COLUMNS)
        )) + "</tr>"
        for s in result.standings
    )  # fmt: skip
    code = f"<pre>{escape(result.winner.snippet())}</pre>" if result.winner is not None else ""
    return (
        f"<p>{escape(result.verdict.text)}</p><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table>{code}"
    )


def print_result(result: Result, *, quiet: bool = False) -> None:
    """Print the standings, the verdict and the winner's two lines; ``quiet``, the verdict alone."""
    console = _console()
    if not quiet:
        console.print(standings(result))
        for note in result.remarks:
            console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
        console.print()
    console.print(result.verdict.text, markup=False, highlight=False, soft_wrap=True)
    if result.winner is not None and not quiet:
        console.print(f"\n{result.winner.snippet()}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"\n{bill(result)}", markup=False, highlight=False, soft_wrap=True)


def print_rules() -> None:
    """Print every rule: what it is, its formulas, its state and the bytes it moves."""
    from slalom.optim.catalogue import catalogue

    console = _console()
    for facts in catalogue():
        console.print(f"[bold]{facts.name}[/bold]", highlight=False)
        state = ", ".join(facts.state) or "none"
        lines = (facts.title, *(f"  {f}" for f in facts.formulas))
        for line in (*lines, f"state: {state}; {facts.bytes} bytes a float32 parameter"):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        console.print()


def _console() -> Console:
    return Console(soft_wrap=False)
