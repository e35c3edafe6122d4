"""The commands of ``slalom``, by group: each a function of a module here."""

from __future__ import annotations

import inspect
import signal
import sys
from typing import Annotated, Any

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
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    app.command(help="\n\n".join(" ".join(each.split()) for each in paragraphs))(command)


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
    from slalom.interrupts import interrupted_once
    from slalom.plain import plain, say_in_any_encoding

    say_in_any_encoding()
    code = None
    with interrupted_once():
        try:
            code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        except (KeyboardInterrupt, SystemExit) as end:
            code = 130 if isinstance(end, KeyboardInterrupt) else end.code
        except Exception as error:
            if not isinstance(error, InputError) and not hasattr(error, "format_message"):
                raise
            told = str(error) if isinstance(error, InputError) else _misused(error)
            print(plain(f"slalom: {told}"), file=sys.stderr)
            code = 2
        if code == 130:  # all is told, and what is left is Python's own end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise SystemExit(code or 0)


def _misused(error: Any) -> str:
    """What the parser of the command line says of words and options, in a sentence."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    command = "slalom" if context is None else context.command_path
    return f"{message[:1].lower()}{message[1:]}; see {command} --help"
