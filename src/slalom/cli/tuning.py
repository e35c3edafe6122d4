"""``slalom tune``: what makes the updates of a task cheaper, measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from slalom.cli.racing import TaskName
from slalom.cli.training import (
    BatchSize,
    OptimizerName,
    Rate,
    Settings,
    batch_size_of,
    settings_of,
)


def tune(
    task: TaskName,
    optimizer: OptimizerName = "Adam",
    lr: Rate = None,
    settings: Settings = None,
    batch_size: BatchSize = None,
    lever: Annotated[
        list[str] | None, typer.Option(help="One to try, and others not; may be given often.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="How long it may take.", show_default="180")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="The same in minutes.")] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each at most.")] = 12,
    out: Annotated[
        Path | None,
        typer.Option(help="Draw it into this file: a page (.html), or .svg or .png."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure what makes each update cheaper: memory kept, threads, torch.compile and the like.

    Beside each turn of a lever there is one of the loop that people write, both in processes of
    their own; those that help are measured once more, together and alone. Of each: ms a step, how
    many times as fast with interval, memory, and whether numbers are the same; and samples a second
    by the size of the batch. What there was no time for is named. Nothing else should run
    meanwhile. Example: slalom tune my_task.py --lr 0.003 --minutes 5 --out tuned.html.
    """
    from slalom.errors import InputError
    from slalom.fitting.tuning import picture
    from slalom.fitting.tuning import tune as tuned
    from slalom.plain import plain
    from slalom.tasks import loaded

    if out is not None:
        picture.refuse(out)
    if seconds is not None and minutes is not None:
        raise InputError("--seconds and --minutes say the same; give one of them")
    if minutes is not None:
        seconds = 60 * minutes
    timed = {} if seconds is None else {"seconds": seconds}
    read = loaded(task)
    own = read.named([optimizer])  # the file may have one by this name
    found = tuned(
        read.task, own if isinstance(own, dict) else optimizer,
        batch_size=batch_size_of(batch_size), rounds=rounds, levers=lever,
        told=lambda text: None if as_json else print(plain(text), file=sys.stderr, flush=True),
        **timed, **settings_of(lr, settings or []),
    )  # fmt: skip
    if out is not None:
        print(plain(f"drawn to {picture.write(found, out)}"), file=sys.stderr)
    print(json.dumps(found.to_json(), allow_nan=False) if as_json else found)
