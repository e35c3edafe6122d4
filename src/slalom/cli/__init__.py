"""The commands of ``slalom``, by group: each a function of a module here."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from slalom.cli import machine, moving, racing, reading, training, tuning

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False,
    epilog="For example: slalom race digits; slalom race my_task.py --seeds 10; slalom report "
    "races/digits-20260101-120000 --svg; slalom train digits --optimizer Adam --lr 0.003; slalom "
    "rules adam; slalom doctor.",
)  # fmt: skip
COMMANDS = (
    racing.race, reading.races, reading.report, reading.profile, training.train, training.runs,
    tuning.tune,    reading.rules, moving.paths, machine.bench, machine.doctor,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        from slalom.version import __version__

        print(f"slalom {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Update rules at the speed of memory, and a race that finds the right one."""


def main() -> None:
    """Run a command; bad input is one sentence on stderr and exit code 2."""
    from slalom.errors import InputError
    from slalom.plain import plain, say_in_any_encoding

    say_in_any_encoding()
    try:
        app()
    except InputError as error:
        print(plain(f"slalom: {error}"), file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, SystemExit) as end:
        code = 130 if isinstance(end, KeyboardInterrupt) else end.code
        if code == 130:  # all is told, and what is left is Python's own end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise SystemExit(code) from None
