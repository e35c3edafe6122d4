"""The commands of ``slalom``: race, races, report, rules and bench."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
)  # fmt: skip


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


@app.command()
def race(
    task: Annotated[
        str, typer.Argument(help="A built-in task (digits, cancer, ...) or FILE.py[:NAME].")
    ],
    entrants: Annotated[
        str | None, typer.Option(help="Who races, separated by commas: adam,lion,momentum.")
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(help="Settings tried of each at first.", show_default="4 a hyper-parameter"),
    ] = None,
    search: Annotated[
        str, typer.Option(help="What is searched: lr, or lr,momentum,betas, or all.")
    ] = "lr",
    batch_sizes: Annotated[
        str | None, typer.Option(help="Batch sizes to try, from the first to the last: 16,256.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="Fresh seeds of the finals, at most.", show_default="50; 10 if --full"),
    ] = None,
    about: Annotated[
        str,
        typer.Option(
            help="settings: judge the best that one search finds of each rule. rules: search anew "
            "for every seed, and judge rules with their tuning."
        ),
    ] = "settings",
    full: Annotated[
        bool, typer.Option(help="Run every rule on all seeds, to the target or to max_steps.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that train.")] = 1,
    engine: Annotated[str, typer.Option(help="Where they are: processes, or ray.")] = "processes",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster, or auto.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the ledger and the page.", show_default="races/")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the race in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option(help="Print the verdict alone.")] = False,
) -> None:
    """Race optimizers on a task: which reaches its target soonest?"""
    from slalom import api
    from slalom.racing.interrupts import interrupted_once
    from slalom.report.live import Live
    from slalom.report.table import print_result

    with interrupted_once(), Live(quiet=quiet or as_json) as live:
        try:
            result = api.race(
                task, entrants=entrants.split(",") if entrants else None, points_each=points,
                search="all" if search == "all" else tuple(search.split(",")),
                batch_sizes=_sizes(batch_sizes),
                seeds=seeds, seed=seed, about=about, full=full, workers=workers,  # type: ignore[arg-type]
                engine=engine, address=address, out=out, resume=resume, watch=live,
            )  # fmt: skip
        except KeyboardInterrupt:
            live.stop()
            if live.folder is not None:
                print_result(api.RaceResult(live.folder), quiet=quiet)
                print(f"interrupted; go on with: {_again(live.folder)}", file=sys.stderr)
            raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(result.to_json(), allow_nan=False))
        result.report()
    else:
        print_result(result, quiet=quiet)
        print(f"\n{result.report()}")
    if result.failed:
        raise typer.Exit(1)


def _again(folder: Path) -> str:
    """The command that goes on with the race in ``folder``: as it was begun, options and all."""
    words = ["slalom", *sys.argv[1:]]
    if not any(w == "--out" or w.startswith("--out=") for w in words):
        words += ["--out", str(folder)]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])


def _sizes(text: str | None) -> tuple[int, int] | None:
    from slalom.errors import InputError

    if text is None:
        return None
    try:
        low, high = map(int, text.split(","))
    except ValueError:
        raise InputError(
            f"--batch-sizes is {text!r}; it must be two numbers, as in 16,256"
        ) from None
    return low, high


@app.command()
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


@app.command()
def report(
    ledger: Annotated[Path, typer.Argument(help="A race's folder, or the ledger in it.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Draw a race's page again from its ledger."""
    from slalom.api import RaceResult

    result = RaceResult(ledger)
    print(json.dumps(result.to_json(), allow_nan=False) if as_json else result.report(out))


@app.command()
def rules() -> None:
    """List every rule: its formula, its state, the bytes it moves, its paper."""
    from slalom.report.table import print_rules

    print_rules()


@app.command()
def bench(
    what: Annotated[
        str,
        typer.Argument(
            help="steps: every rule against torch's; sparse: embeddings; clip: clipping by norm; "
            "load: beside busy processes."
        ),
    ],
    rule: Annotated[str | None, typer.Option(help="steps: one class of slalom.optim.")] = None,
    model: Annotated[str | None, typer.Option(help="steps: one of the models.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="steps: llvm or foreach; the first that can otherwise.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each contender.")] = 15,
) -> None:
    """Measure what the README claims about speed, side by side on this machine."""
    from slalom import optim
    from slalom.backends import BACKENDS
    from slalom.bench import clip, load, sparse, steps
    from slalom.errors import InputError

    others = {"sparse": sparse.main, "clip": clip.main, "load": load.main}
    if what not in ("steps", *others):
        raise InputError(f"there is no benchmark {what!r}; there are steps, {', '.join(others)}")
    if what in others:
        others[what](rounds)
        return
    if model is not None and model not in steps.MODELS:
        raise InputError(f"there is no model {model!r}; there are {', '.join(steps.MODELS)}")
    if rule is not None and rule not in optim.__all__:
        raise InputError(f"slalom.optim has no {rule!r}; it has {', '.join(optim.__all__)}")
    names = [known.name for known in BACKENDS]
    if backend is not None and backend not in names:
        raise InputError(f"there is no backend {backend!r}; there are {', '.join(names)}")
    steps.main(rule, model, rounds, backend)


def main() -> None:
    """Run a command; bad input is one sentence on stderr and exit code 2."""
    from slalom.errors import InputError
    from slalom.plain import plain

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


if __name__ == "__main__":
    main()
