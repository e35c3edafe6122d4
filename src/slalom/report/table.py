"""Tables for a terminal, plain text where there is none."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slalom.errors import InputError, did_you_mean
from slalom.optim.catalogue import catalogue, facts
from slalom.racing.findings import Standing, count
from slalom.racing.result import Result
from slalom.racing.status import Status
from slalom.report.profiles import Profile
from slalom.report.told import bill
from slalom.rules import RULES


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


def _count(value: float | None) -> str:
    return "" if value is None else count(value)


def _at_end(s: Standing) -> str:
    return _number(s.at_end, ".4g") or (s.status if s.seeds else "")


COLUMNS = (
    Column("reached", _reached),
    Column("steps", lambda s: _count(s.steps_to_target)),
    Column("seconds", lambda s: _number(s.seconds_to_target, ".2f")),
    Column("samples", lambda s: _count(s.samples_to_target)),
    Column("beside the first", lambda s: s.told, words=True),
)
"""What the standings tell of each entrant. A further column is one more line here."""

AT_THE_END = (
    Column("seeds", lambda s: f"{s.seeds:,}" if s.seeds else s.status),
    Column("{metric} at the end", _at_end),
    Column("beside the first", lambda s: s.told, words=True),
)
"""The same of a race with a budget."""


def columns(result: Result) -> tuple[Column, ...]:
    """The columns of the standings of a race."""
    return COLUMNS if result.meta["budget"] is None else AT_THE_END


def _rows(result: Result) -> list[list[str]]:
    """The cells of the standings, places and entrants first."""
    return [
        [str(s.place), s.label, *(column.cell(s) for column in columns(result))]
        for s in result.standings
    ]


BROAD = 18
"""Characters of a column of words that is still read with ease."""


def standings(result: Result, width: int = 100) -> Table | Text:
    """The standings, one row a rule; where the columns do not fit, one paragraph a rule."""
    rows = _rows(result)
    shown = columns(result)
    heads = ["", "entrant", *(column.head(result) for column in shown)]
    least = []
    for i, head in enumerate(heads):
        cells = [row[i] for row in rows]
        if i == 1 or (i > 1 and shown[i - 2].words):
            words = [word for text in cells for word in text.split()]
            least.append(max([len(head), BROAD if any(cells) else 0, *map(cell_len, words)]))
        else:
            least.append(max([len(head), *map(cell_len, cells)]))
    if sum(least) + 2 * (len(least) - 1) > width:
        return _paragraphs(rows, heads, width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, (head, narrowest) in enumerate(zip(heads, least, strict=True)):
        words = i <= 1 or shown[i - 2].words
        table.add_column(
            Text(head), justify="left" if words else "right", min_width=narrowest,
            no_wrap=not (words and i), max_width=None if words else narrowest,
        )  # fmt: skip
    for row in rows:
        table.add_row(*map(Text, row), style="bold" if row is rows[0] else None)
    return table


def _paragraphs(rows: list[list[str]], heads: list[str], width: int) -> Text:
    lines = []
    for place, label, *cells in rows:
        told = [f"{head} {cell}" for head, cell in zip(heads[2:], cells, strict=True) if cell]
        lines += [*wrapped(f"{place}  {label}", width, 3), *wrapped("; ".join(told), width, 3, 3)]
    return Text("\n".join(lines))


def wrapped(text: str, width: int, indent: int = 0, first: int = 0) -> list[str]:
    """A text in lines that break between words, never in one; numbers stay whole."""
    return textwrap.wrap(
        text, max(width, 20), initial_indent=" " * first, subsequent_indent=" " * indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def as_text(result: Result, width: int = 100) -> str:
    """The standings, the verdict and the winner's two lines as plain text."""
    console = Console(
        width=width, file=io.StringIO(), force_terminal=False, force_jupyter=False,
        color_system=None,
    )  # fmt: skip
    with console.capture() as captured:
        console.print(standings(result, width))
        console.print()
        _say(console, result.verdict.text)
        if result.winner is not None:
            _as_it_is(console, f"\n{result.winner.snippet()}")
    return captured.get()


def print_result(result: Result, *, quiet: bool = False) -> None:
    """Print the standings, the verdict and the winner's two lines; ``quiet``, the verdict alone."""
    console = _console()
    if not quiet:
        console.print(standings(result, console.width))
        for note in result.remarks:
            _say(console, f"note: {note}")
        console.print()
    _say(console, result.verdict.text)
    if result.winner is not None and not quiet:
        _as_it_is(console, f"\n{result.winner.snippet()}\n")
        _say(console, bill(result))


def _say(console: Console, text: str) -> None:
    """Print a sentence, in lines that break between words."""
    _as_it_is(console, "\n".join(wrapped(text, console.width)))


def _as_it_is(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_rules(name: str | None = None) -> None:
    """Print every rule: what it is, its formulas, its state and the bytes it moves.

    Of one that is named, as ``adam`` or ``AdamW``, also how its class is called, and its bounds.
    Raises :class:`InputError` if there is no such rule.
    """
    console = _console()
    shown = [facts(RULES[_rule(name)])] if name is not None else catalogue()
    for one in shown:
        console.print(f"[bold]{one.name}[/bold]", highlight=False)
        state = ", ".join(one.state) or "none"
        lines = [one.title, *(f"  {f}" for f in one.formulas)]
        lines.append(f"state: {state}; {one.bytes} bytes a float32 parameter{one.apart}")
        if name is not None:
            lines += [f"slalom.optim.{one.call}", f"bounds: {', '.join(one.bounds) or 'none'}"]
        for line in lines:
            _as_it_is(console, "\n".join(wrapped(line, console.width, 6, 2)))
        if name is None:
            console.print()


RATIOS = (1.0, 1.1, 1.3, 1.5, 2.0, 4.0)
"""At which a printed profile tells its shares."""


def print_profile(found: Profile, said: str) -> None:
    """Print a performance profile: a rule a line, its share at some ratios; ``?`` where unknown."""
    console = _console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("within times the least")
    for ratio in RATIOS:
        table.add_column(f"{ratio:g}", justify="right")
    for rule in found.ratios:
        shares = (found.share(rule, ratio) for ratio in RATIOS)
        table.add_row(Text(rule), *("?" if share is None else f"{share:.0%}" for share in shares))
    console.print(table)
    _as_it_is(console, "\n".join(wrapped(said, console.width)))


def _rule(name: str) -> str:
    """The rule of this name, or whose class has it, in small letters or large."""
    known = {word.lower(): rule for rule, r in RULES.items() for word in (r.class_name, rule)}
    if name.lower() not in known:
        hint = did_you_mean(name, known) or "; slalom rules lists them"
        raise InputError(f"there is no rule {name!r}{hint}")
    return known[name.lower()]


def _console() -> Console:
    return Console(soft_wrap=False)
