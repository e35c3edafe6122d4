"""What is looked at: past races, their pages, the rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def races(
    folder: Annotated[Path, typer.Argument(help="Where races were written to.")] = Path("races"),
) -> None:
    """List past races: when, which task, what came out."""
    from slalom.errors import InputError
    from slalom.plain import plain
    from slalom.racing.result import Result

    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; races are written to races/ unless --out")
    for ledger in sorted(folder.glob("*/ledger.sqlite")):
        try:
            result = Result(ledger.parent)
            told = f"{result.meta['created']}  {result.verdict.text}"
        except InputError as error:
            told = str(error)
        except Exception as error:  # whatever is wrong with one, the others are listed
            told = f"cannot be read: {type(error).__name__}: {error}"
        print(plain(f"{ledger.parent}  {told}"))


def report(
    ledger: Annotated[Path, typer.Argument(help="A race's folder, or the ledger in it.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Draw a race's page again from its ledger."""
    from slalom.api import RaceResult

    result = RaceResult(ledger)
    print(json.dumps(result.to_json(), allow_nan=False) if as_json else result.report(out))


def rules() -> None:
    """List every rule: its formula, its state, the bytes it moves, its paper."""
    from slalom.report.table import print_rules

    print_rules()
