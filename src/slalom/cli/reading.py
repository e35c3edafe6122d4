"""What is looked at: past races, their pages and charts, the rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def races(
    folder: Annotated[Path, typer.Argument(help="Where races were written to.")] = Path("races"),
) -> None:
    """List past races, a line each: when, which task, what came out."""
    from slalom.errors import InputError
    from slalom.plain import plain
    from slalom.racing.result import Result
    from slalom.report.told import title

    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; races are written to races/ unless --out")
    ledgers = sorted(folder.glob("*/ledger.sqlite"))
    if not ledgers:
        print(plain(f"there are no races in {folder}"))
    for ledger in ledgers:
        try:
            result = Result(ledger.parent)
            meta = result.meta
            goal = "" if meta["target"] is None else f" {meta['target']:.4g}"
            goal = goal if meta["budget"] is None else f" after {meta['budget']}"
            raced = meta["created"][:16].replace("T", " ")
            told = f"{raced}  {title(result)}, {meta['metric']}{goal}"
        except InputError as error:
            told = str(error)
        except Exception as error:  # whatever is wrong with one, the others are listed
            told = f"cannot be read: {type(error).__name__}: {error}"
        print(plain(f"{ledger.parent}  {told}"))


def report(
    ledger: Annotated[Path, typer.Argument(help="A race's folder, or the ledger in it.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write; with --svg and --png, the folder.",
            show_default="beside the ledger; --json and --csv are printed",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Every evaluation of every run, a line each.")
    ] = False,
    as_svg: Annotated[bool, typer.Option("--svg", help="Every chart as a drawing.")] = False,
    as_png: Annotated[bool, typer.Option("--png", help="Every chart as a picture.")] = False,
) -> None:
    """Draw a race's page again from its ledger, or write what is on it for other programs.

    Examples: slalom report races/digits-20260101-120000; the same with --svg --out figures for a
    paper, or with --csv > curves.csv for a spreadsheet.
    """
    from slalom.api import RaceResult
    from slalom.errors import InputError
    from slalom.report import export
    from slalom.train import atomic

    forms = {"--json": as_json, "--csv": as_csv, "--svg": as_svg, "--png": as_png}
    asked = [name for name, on in forms.items() if on]
    if len(asked) > 1:
        raise InputError(f"{' and '.join(asked)} are given; a report is written in one form")
    form = asked[0][2:] if asked else "html"
    if out is not None:
        _refuse_another_ending(out, form, folder=as_svg or as_png)
    result = RaceResult(ledger)
    if as_svg or as_png:
        for path in export.drawn(result, out or result.path, form):
            print(path)
    elif as_json or as_csv:
        text = (
            export.csv_of(result)
            if as_csv
            else f"{json.dumps(result.to_json(), allow_nan=False)}\n"
        )
        if out is None:
            print(text, end="")
        else:
            print(atomic.write(text.encode(), out))
    else:
        print(result.report(out))


def _refuse_another_ending(out: Path, form: str, *, folder: bool) -> None:
    """Raise :class:`InputError` where the name of ``out`` says another form than is written."""
    from slalom.errors import InputError

    ending = out.suffix.lower()
    if ending not in (".html", ".svg", ".png", ".csv", ".json"):
        return
    if folder:
        raise InputError(
            f"--out is {out}, and --{form} writes a file for each chart: name a folder for them"
        )
    if ending != f".{form}":
        raise InputError(
            f"--out is {out}, and what is written is {form}: end the name in .{form}, or ask for "
            f"{ending[1:]}"
        )


def profile(
    ledgers: Annotated[list[Path], typer.Argument(help="Folders of two races or more.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Draw it into this file, .svg or .png.", show_default="the table alone"),
    ] = None,
) -> None:
    """Compare rules over several tasks, each raced by itself (a performance profile).

    Printed is how often each is there within so many times what the least took. Races with --full
    show the whole of it; others end where a rule was stopped. Example: slalom profile
    races/digits-* races/cancer-* --out profile.svg
    """
    from slalom.api import RaceResult
    from slalom.errors import InputError
    from slalom.report.export import drawn_to
    from slalom.report.profiles import profile_of_tasks
    from slalom.report.table import print_profile

    if out is not None and out.suffix not in (".svg", ".png"):
        raise InputError(f"--out is {out}; a profile is drawn as .svg or .png")
    found, chart, keys = profile_of_tasks([RaceResult(ledger) for ledger in ledgers])
    print_profile(found, chart.said)
    if out is not None:
        print(drawn_to(chart, keys, out))


def _rule_names() -> list[str]:
    from slalom.rules import RULES

    return list(RULES)


def rules(
    name: Annotated[
        str | None,
        typer.Argument(
            help="One of them, as adam or AdamW.", show_default="all", autocompletion=_rule_names
        ),
    ] = None,
) -> None:
    """List every rule, or show one: its formula, its state, the bytes it moves, its paper."""
    from slalom.report.table import print_rules

    print_rules(name)
