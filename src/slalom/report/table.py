"""Tables for a terminal, plain text where there is none."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from slalom.racing.findings import Standing
from slalom.racing.result import Result


def standings(result: Result) -> Table:
    """The standings, one row a rule."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("entrant", no_wrap=True)
    table.add_column("reached", justify="right")
    for name in ("steps", "seconds", "samples", f"best {result.meta['metric']}"):
        table.add_column(name, justify="right")
    for s in result.standings:
        table.add_row(str(s.place), s.label, *cells(s), style="bold" if s.place == 1 else None)
    return table


def cells(s: Standing) -> tuple[str, str, str, str, str]:
    """What a standing says of its runs: reached, steps, seconds, samples, best metric."""
    reached = f"{s.reached} of {s.seeds}"
    if s.steps_to_target is None:
        told = {"dropped": "fell behind", "not reached": "no"}.get(s.status, s.status)
        reached = told if s.seeds == 1 else f"{reached}, {told}"
    return (
        reached,
        _count(s.steps_to_target),
        "" if s.seconds_to_target is None else f"{s.seconds_to_target:.2f}",
        _count(s.samples_to_target),
        "" if s.best_metric is None else f"{s.best_metric:.4g}",
    )


def print_result(result: Result, *, quiet: bool = False) -> None:
    """Print the standings, the verdict and the winner's two lines; ``quiet``, the verdict alone."""
    console = _console()
    if not quiet:
        console.print(standings(result))
        for note in result.notes:
            console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
        console.print()
    console.print(result.verdict.text, markup=False, highlight=False, soft_wrap=True)
    if result.winner is not None and not quiet:
        console.print(f"\n{result.winner.snippet()}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"\n{bill(result)}", markup=False, highlight=False, soft_wrap=True)


def bill(result: Result) -> str:
    """What the race cost, in a sentence or two."""
    cost = result.cost
    if cost.runs is None or cost.search_runs is None:
        return f"The race took {cost.seconds:.0f} s of training."
    text = (
        f"The search took {cost.search_runs:.1f} winning runs of samples, all of the race "
        f"{cost.runs:.0f} ({cost.seconds:.0f} s of training)."
    )
    if cost.baseline is None:
        return text
    if cost.pays_after is None:
        return f"{text} Against {cost.baseline} it never pays: that is there as soon."
    return f"{text} Against {cost.baseline} it has paid after {cost.pays_after} retrainings."


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


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _console() -> Console:
    return Console(soft_wrap=False)
