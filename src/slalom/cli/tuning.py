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
    rounds: Annotated[int, typer.Option(help="Turns of each.")] = 9,
    out: Annotated[
        Path | None,
        typer.Option(help="Draw it into this file: a page (.html), or .svg or .png."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure what makes each update cheaper: memory kept, threads, torch.compile and the like.

    Each is tried in a process of its own, the processes taking turns; those that help once more,
    together and alone. Of each: ms a step, how many times as fast with interval, memory, and
    whether numbers are the same; and samples a second by the size of the batch. Nothing else should
    run meanwhile. Example: slalom tune my_task.py --lr 0.003 --out tuned.html.
    """
    from slalom.fitting.tuning import picture
    from slalom.fitting.tuning import tune as tuned
    from slalom.plain import plain
    from slalom.tasks import loaded

    if out is not None:
        picture.refuse(out)
    read = loaded(task)
    own = read.named([optimizer])  # the file may have one by this name
    found = tuned(
        read.task, own if isinstance(own, dict) else optimizer,
        batch_size=batch_size_of(batch_size), rounds=rounds, levers=lever,
        told=lambda text: None if as_json else print(plain(text), file=sys.stderr, flush=True),
        **settings_of(lr, settings or []),
    )  # fmt: skip
    if out is not None:
        print(plain(f"drawn to {picture.write(found, out)}"), file=sys.stderr)
    print(json.dumps(found.to_json(), allow_nan=False) if as_json else found)
