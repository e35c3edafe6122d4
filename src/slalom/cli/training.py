"""``slalom train``: one run from the command line, and the runs there have been."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from slalom.cli.racing import TaskName

OptimizerName = Annotated[
    str,
    typer.Option(help="By its name, as Adam or Momentum; or a race's folder, for its winner."),
]
Rate = Annotated[float | None, typer.Option(help="The learning rate.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Another setting: momentum=0.9, betas=0.9,0.99, warmup=0.1."),
]
BatchSize = Annotated[
    str | None, typer.Option(help="Samples in an update, or all; the task's otherwise.")
]

WRONG = 3
"""The exit code where training itself goes wrong."""


def train(
    task: TaskName,
    optimizer: OptimizerName,
    lr: Rate = None,
    settings: Settings = None,
    epochs: Annotated[
        float | None, typer.Option(help="How long.", show_default="as the task says")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="How long, in updates.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long, in seconds of updates.")] = None,
    until_target: Annotated[
        bool, typer.Option(help="End as soon as the task's target is reached and held.")
    ] = False,
    batch_size: BatchSize = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = 0,
    seeds: Annotated[
        int, typer.Option(help="Train from so many seeds, side by side where that can be.")
    ] = 1,
    device: Annotated[
        str | None, typer.Option(help="Where to train: cuda, cuda:1, cpu; the task's otherwise.")
    ] = None,
    eval_every: Annotated[
        int | None, typer.Option(help="Updates between evaluations; the task's otherwise.")
    ] = None,
    on_nonfinite: Annotated[
        str,
        typer.Option(help="Where a loss is not finite: stop, skip the update, or go back."),
    ] = "stop",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the model by torch.compile.")
    ] = False,
    machine_code: Annotated[
        bool,
        typer.Option(
            "--machine-code", help="Go through rows of linear layers by machine code of our own."
        ),
    ] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Record steps as CUDA graphs, on a GPU.")
    ] = False,
    tune: Annotated[
        bool,
        typer.Option("--tune", help="Measure and apply what makes updates cheaper, bit for bit."),
    ] = False,
    shard: Annotated[
        bool,
        typer.Option("--shard", help="Divide the model among the processes of torchrun (FSDP2)."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The run's folder.", show_default="runs/, one for each command"),
    ] = None,
    save_every: Annotated[
        int | None,
        typer.Option(help="Updates between checkpoints.", show_default="about a minute"),
    ] = None,
    keep: Annotated[int, typer.Option(help="Checkpoints that are kept.")] = 2,
    log: Annotated[
        str | None, typer.Option(help="Also write to tensorboard, mlflow or wandb, by commas.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option(help="Print the result alone.")] = False,
) -> None:
    """Train a task with one optimizer. The same command again goes on where it was.

    Exit codes: 0 trained, 1 the task's own code failed or another process ended, 2 bad input, 3
    training went wrong, 130 Ctrl-C and 143 SIGTERM, after a checkpoint.

    Examples: slalom train digits --optimizer Adam --lr 0.003 --epochs 60 --seed 5 --out digits-5;
    slalom train my_task.py --optimizer races/my-task-20260101-120000.
    """
    from slalom.errors import InputError
    from slalom.fitting import TrainingError, ensemble, fit
    from slalom.plain import plain
    from slalom.tasks import loaded
    from slalom.train import faults, ranks

    if ranks.started_together() and device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    read = loaded(task)
    found = read.task if device is None else read.task.on(device)
    named = read.named([optimizer])  # the file may have one by this name
    chosen = named if isinstance(named, dict) else optimizer
    given: dict[str, Any] = {
        "epochs": epochs, "steps": steps, "seconds": seconds, "until_target": until_target,
        "batch_size": batch_size_of(batch_size), "seed": seed, "eval_every": eval_every,
        "on_nonfinite": on_nonfinite, "compile": compiled, **settings_of(lr, settings or []),
    }  # fmt: skip
    of_one = {
        "seconds": seconds, "compile": compiled, "machine-code": machine_code, "graph": graph,
        "tune": tune, "shard": shard, "log": log,
    }  # fmt: skip
    one = [name for name, value in of_one.items() if value]
    if seeds != 1 and one:
        raise InputError(f"--{one[0]} is of one run; leave it out, or --seeds")
    folder = out or _folder(
        task,
        found.name,
        optimizer,
        found.device.type,
        given,
        *(["seeds"] if seeds != 1 else []),
        *(["machine code"] if machine_code else []),
    )
    written = {"out": folder, "save_every": save_every, "keep": keep}
    shown = not (quiet or as_json)
    try:
        with ranks.joined(found.device):
            if seeds != 1:
                own = {n: v for n, v in given.items() if n not in of_one}
                result = ensemble(found, chosen, seeds=seeds, progress=shown, **own, **written)
            else:
                result = fit(
                    found, chosen, **given, **written, machine_code=machine_code, graph=graph,
                    tune=tune, shard=shard, progress=shown,
                    log=() if log is None else log.split(","),
                )  # fmt: skip
    except TrainingError as error:
        print(plain(f"slalom: {error}"), file=sys.stderr)
        raise typer.Exit(WRONG) from None
    except ranks.LostError as error:
        print(plain(f"slalom: {error}"), file=sys.stderr)
        raise typer.Exit(1) from None
    except InputError:
        raise
    except (KeyboardInterrupt, SystemExit) as end:
        print(f"ended; go on with: {shlex.join(['slalom', *sys.argv[1:]])}", file=sys.stderr)
        raise typer.Exit(130 if isinstance(end, KeyboardInterrupt) else end.code) from None  # type: ignore[arg-type]
    except Exception as error:
        if not faults.where(error, libraries=False):
            raise
        print(plain(f"slalom: the task's own code failed: {faults.told(error)}"), file=sys.stderr)
        raise typer.Exit(1) from None
    if os.environ.get("RANK", "0") == "0":  # of processes that train together
        print(json.dumps(result.to_json(), allow_nan=False) if as_json else result)


def settings_of(lr: float | None, texts: list[str]) -> dict[str, Any]:
    from slalom.racing.space import Choice
    from slalom.racing.spoken import space_of

    found: dict[str, Any] = {} if lr is None else {"lr": lr}
    for name, value in space_of(texts).items():
        found[name] = value.values if isinstance(value, Choice) else value
    return found


def batch_size_of(text: str | None) -> Any:
    from slalom.errors import InputError

    if text is None or text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise InputError(f"--batch-size is {text!r}; it must be a whole number, or all") from None


def _folder(task: str, name: str, *more: Any) -> Path:
    """The folder of a run that is given none: one for each command, the same every time."""
    digest = hashlib.sha256(repr((task, *more)).encode()).hexdigest()[:8]
    return Path("runs") / f"{name}-{digest}"


def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Where runs were written to.", show_default="runs/, and races/"),
    ] = None,
) -> None:
    """List past runs of slalom train, a line each: when, what, how far; and races beside them.

    With a folder, the runs in it alone, or of an ensemble; the command slalom races lists races
    alone.
    """
    from slalom.cli.reading import races
    from slalom.errors import InputError
    from slalom.fitting.folder import told
    from slalom.plain import plain

    raced = folder is None and Path("races").is_dir()
    folder = Path("runs") if folder is None else folder
    if not folder.is_dir() and not raced:
        raise InputError(f"there is no folder {folder}; runs are written to runs/ unless --out")
    here = folder / "run.json"
    found = [*([here] if here.is_file() else []), *sorted(folder.glob("*/run.json"))]
    if not found:
        print(plain(f"there are no runs in {folder}"))
    for file in found:
        try:
            known = told(file.parent)
            run, last = known["run"], known.get("last") or {}
            metric = f", {run['metric']} {last['metric']:.4g}" if last else ""
            seed = f"seed {run['seed']}"
            if "seeds" in known:
                seed = f"{known['seeds']} seeds from {run['seed']}"
            text = (
                f"{known['created'][:16].replace('T', ' ')}  {run['task']} with "
                f"{run['optimizer']}, {seed}, {run['length']}: {known['status']}, step "
                f"{known['step']:,}{metric}"
            )
        except InputError as error:
            text = str(error)
        except (KeyError, TypeError, ValueError) as error:
            text = f"cannot be read: {type(error).__name__}: {error}"
        print(plain(f"{file.parent}  {text}"))
    if raced:
        races(Path("races"))
