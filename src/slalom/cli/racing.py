"""``slalom race``: a race from the command line."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slalom.train import Task


def tasks() -> list[str]:
    """The names of the built-in tasks."""
    from slalom.tasks import TASKS

    return list(TASKS)


TaskName = Annotated[
    str,
    typer.Argument(
        help=f"A built-in task ({', '.join(tasks())}) or FILE.py[:NAME].", autocompletion=tasks
    ),
]
"""What every command trains that trains."""


def race(
    task: TaskName,
    entrants: Annotated[
        str | None,
        typer.Option(
            help="Who races, separated by commas: adam,lion,momentum; or modern. With settings of "
            "its own: adam,adam(precision=bfloat16)."
        ),
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(help="Settings tried of each at first.", show_default="4 a hyper-parameter"),
    ] = None,
    search: Annotated[
        str, typer.Option(help="What is searched: lr, or lr,momentum,betas, or all.")
    ] = "lr",
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A range, value or choices, for all or one: lr=1e-4:1e-1, momentum=0.9, "
            "adam.weight_decay=0:0.1, nesterov=true,false. May be given several times.",
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="Who says what is tried next: tpe (needs Optuna).")
    ] = None,
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
    budget: Annotated[
        str | None,
        typer.Option(
            help="Ask who is best at its end, not who is at the target soonest: 10 epochs, 2000 "
            "steps, 1e6 samples, 90 seconds."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="Where to train: cuda, cuda:1, cpu; the task's otherwise.")
    ] = None,
    lanes: Annotated[
        int | None,
        typer.Option(
            help="1: by torch, one by one; 16, 32: side by side in a stacked model.",
            show_default="the race decides",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that train.")] = 1,
    engine: Annotated[str, typer.Option(help="Where they are: processes, or ray.")] = "processes",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster, or auto.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the ledger and the page.", show_default="races/")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the race in --out.")] = False,
    within: Annotated[
        str | None,
        typer.Option(help="End after this time with what is known then: 90s, 10m, 1.5h."),
    ] = None,
    keep_weights: Annotated[
        bool, typer.Option(help="Write the winner's weights beside the ledger (safetensors).")
    ] = False,
    log: Annotated[
        str | None, typer.Option(help="Also write to tensorboard, mlflow or wandb, by commas.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option(help="Print the verdict alone.")] = False,
) -> None:
    """Race optimizers on a task: which reaches its target soonest?

    Examples: slalom race digits; slalom race my_task.py --entrants adam,lion,momentum --workers 4;
    slalom race digits --search lr,momentum,betas --batch-sizes 16,256.
    """
    from slalom import api
    from slalom.errors import InputError
    from slalom.racing.spoken import names_of, space_of
    from slalom.report.live import Live
    from slalom.report.table import print_result
    from slalom.train.kept_memory import keep_memory

    keep_memory()  # it changes no number, and this process ends with the race
    chosen = task if device is None else _task_on(task, device)
    if as_json and quiet:
        raise InputError("--quiet does nothing beside --json, which prints the result alone")
    with Live(quiet=quiet or as_json) as live:
        try:
            result = api.race(
                chosen, points_each=points,
                entrants=None if entrants is None else names_of(entrants),
                search="all" if search == "all" else tuple(search.split(",")),
                batch_sizes=_sizes(batch_sizes), space=space_of(space) if space else None,
                sampler=sampler,  # type: ignore[arg-type]
                seeds=seeds, seed=seed, about=about, full=full, workers=workers, lanes=lanes,  # type: ignore[arg-type]
                engine=engine, address=address, out=out, resume=resume,
                within=within, budget=budget, watch=live, progress=False, keep_weights=keep_weights,
                log=() if log is None else log.split(","),
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
    if not result.meta["finished"]:
        print(f"the time is up; go on with: {_again(result.path)}", file=sys.stderr)
    if result.failed:
        raise typer.Exit(1)


def _again(folder: Path) -> str:
    """The command that goes on with the race in ``folder``: as it was begun, options and all."""
    words = ["slalom", *sys.argv[1:]]
    if not any(w == "--out" or w.startswith("--out=") for w in words):
        words += ["--out", str(folder)]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])


def _task_on(task: str, device: str) -> Task:
    from slalom.tasks import load

    return load(task).on(device)


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
