"""``slalom.fit``: one run from beginning to end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Literal

from slalom.errors import InputError
from slalom.fitting import events
from slalom.fitting.chosen import Chosen
from slalom.fitting.course import Course
from slalom.fitting.folder import agree, opened, record_of
from slalom.fitting.logging import Log
from slalom.fitting.progress import Progress
from slalom.fitting.result import ENDS, Fit
from slalom.fitting.stopping import Stop, asked
from slalom.fitting.through import COMPILED, torchs
from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.trials import ROUNDS, TURN, Trials
from slalom.fitting.wanted import wanted
from slalom.report.logs import services
from slalom.train import Run, Task
from slalom.train.captured import CapturedRun
from slalom.train.compiled import CompiledGuardedRun
from slalom.train.guarded import GuardedRun
from slalom.train.lanes import alone
from slalom.train.models import compile_model
from slalom.train.ranks import Ranks
from slalom.train.sharded import ShardedRun
from slalom.train.shared import SharedRun
from slalom.train.watching import watchers

TUNING = 60.0
"""Seconds that ``tune=True`` may take."""


def fit(
    task: Task | str,
    optimizer: Any,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    seconds: float | None = None,
    until_target: bool = False,
    batch_size: int | Literal["all"] | None = None,
    seed: int = 0,
    eval_every: int | None = None,
    on_nonfinite: Literal["stop", "skip", "back"] = "stop",
    compile: bool | str = False,
    machine_code: bool = False,
    graph: bool = False,
    tune: bool = False,
    shard: bool = False,
    out: Path | str | None = None,
    save_every: int | None = None,
    keep: int = 2,
    progress: bool = True,
    log: str | Collection[str] = (),
    watch: Any = (),
    **settings: Any,
) -> Fit:
    """Train a task's model with one optimizer, by the loop that races run on.

    All that the task says is done: its batches, schedule, accumulation, clipping, precision,
    average of weights. The same task, optimizer, settings and seed give the same weights to the bit
    (on the same number of threads), and those of the run of that seed in a race that trained by
    torch.

    Args:
        task: a :class:`slalom.Task`, a built-in task's name, or ``FILE.py[:NAME]``.
        optimizer: the result of a race, or the path of its folder or ledger, for its winner; a name
            that a race knows (``"Adam"``, ``"Momentum"``, ``"BGD"``); an optimizer class; a
            function parameters -> optimizer; or ``{name: one of these}``.
        epochs: how long: passes over the training samples. By default the task's ``budget`` or
            ``max_steps``.
        steps: how long, in updates.
        seconds: how long, in seconds of updates. One of the three is given at most.
        until_target: end as soon as the task's target is reached and held over two more
            evaluations.
        batch_size: samples in an update, ``"all"`` for batch gradient descent; by default the
            winner's or the task's.
        seed: of the initial weights, the order of the samples and the model's noise.
        eval_every: updates between evaluations; by default the task's.
        on_nonfinite: what is done where a loss is not finite: ``"stop"`` raises
            :class:`TrainingError`; ``"skip"`` leaves the update out, and that of a gradient which
            is not finite; ``"back"`` goes back to the evaluation with the lowest validation loss
            so far (or the start), and on from there at half the learning rate, eight times at most.
        compile: whether the model is compiled by ``torch.compile``; a string names its backend.
            Its numbers are then the compiler's, which differ from these by rounding.
        machine_code: whether Slalom's own goes through the model where it is a row of linear layers
            (:mod:`slalom.train.row`), the loss and back in one call, on a CPU. The numbers are then
            torch's to rounding, and the same each time. Torch goes through other models, to the
            bit as without it; a line says so and why.
        graph: record forward and backward pass, and the update, as CUDA graphs, and replay these;
            see :class:`slalom.train.captured.CapturedRun` for what this is for. On a GPU alone,
            where nobody has run it yet.
        tune: measure first what makes an update cheaper and changes no number, in processes of
            their own (:func:`slalom.tune`), for a minute at most, and apply that where it does.
        shard: divide parameters, gradients and states among the processes that train together
            (FSDP2), where each else holds all of them.
        out: a folder to write the run to. Where that run is there already, it goes on where it was;
            one that is over is given back. None writes nothing.
        save_every: updates between checkpoints; by default about a minute.
        keep: checkpoints that are kept.
        progress: tell how it goes: a bar on a terminal, a line now and then elsewhere.
        log: ``"tensorboard"``, ``"mlflow"``, ``"wandb"``, or several; TensorBoard's needs ``out``.
        watch: called with each event of :mod:`slalom.fitting.events`: a
            :class:`slalom.fitting.Callback`, or any function; or several.
        **settings: of the optimizer, such as ``lr=0.003``; and ``warmup``, ``clip_norm``,
            ``clip_value``, ``precision`` in place of the task's.

    In a process group of torch.distributed (``torchrun -m slalom train`` makes one) every process
    calls it alike, and sees its part of each batch: the update is that of the whole batch, to
    rounding. The first process writes and tells; a run may go on with another number of them.

    Raises :class:`InputError` for what cannot be trained, before anything is;
    :class:`TrainingError` where training goes wrong; :class:`slalom.fitting.UnwrittenError`, which
    has the result, where the folder could not take it. Ctrl-C and SIGTERM end the run after
    the update that is under way and write a checkpoint, if it has a folder: by KeyboardInterrupt,
    and by SystemExit with the code 143.
    """
    asked_for = wanted(
        task, optimizer, settings, epochs=epochs, steps=steps, seconds=seconds,
        until_target=until_target, batch_size=batch_size, seed=seed, eval_every=eval_every,
        on_nonfinite=on_nonfinite, out=out, save_every=save_every, keep=keep,
    )  # fmt: skip
    task, using, length = asked_for.task, asked_for.using, asked_for.length
    seed = asked_for.seed
    ranks = Ranks.here()
    if tune and (ranks.size > 1 or task.device.type != "cpu"):
        raise InputError("tune=True is for one process that trains on the CPU")
    if shard and ranks.size == 1:
        raise InputError(
            "shard=True divides a model among processes, and this one is alone; start several: "
            "torchrun --nproc-per-node 2 -m slalom train FILE.py --shard"
        )
    if graph and task.device.type != "cuda":
        raise InputError(
            f"graph=True records steps on an NVIDIA GPU, and the task trains on {task.device}; "
            "leave it out, or give device='cuda'"
        )
    if machine_code and (compile or ranks.size > 1):
        beside = "compile=True" if compile else "several processes"
        raise InputError(f"machine_code=True does not go with {beside}; leave one of them out")
    if graph and ranks.size > 1:
        raise InputError("graph=True is for one process; leave it out, or train with one")
    if ranks.rank:  # the first tells and writes for all
        out, progress, log, watch = None, False, (), ()
    logs = _logs(log, out)
    watching = [*watchers(watch), *logs]
    path = None if out is None else Path(out)
    more = {"until the target": until_target, "on_nonfinite": on_nonfinite, "compile": compile}
    record, by_torch = {}, "nobody asked for another way"
    if machine_code:
        by_torch = torchs(task, seed, using.batch_size, path)
    if by_torch is None:
        more["training"] = COMPILED
    if out is not None or ranks.size > 1:
        record = record_of(task, using, length, seed, more)
    if ranks.size > 1:
        parts = task.make_model(seed), *task.make_objective().modules()
        agree(record, [dict(part.state_dict()) for part in parts], ranks)
    with contextlib.ExitStack() as left:
        folder = left.enter_context(opened(path, record, keep))
        watching.append(left.enter_context(Progress(quiet=not progress)))
        s = left.enter_context(asked())
        for one in logs:
            left.enter_context(one)

        def tell(event: events.Event) -> None:
            for one in watching:
                one(event)

        if tune and (folder is None or folder.status == "begun"):
            task = _tuned(task, using, tell, s)
        if machine_code and by_torch is not None:
            tell(events.Told(f"torch goes through the model: {by_torch}"))
        kind: Any = CapturedRun if graph else GuardedRun
        if by_torch is None:
            kind = CompiledGuardedRun
        if ranks.size > 1:
            kind = partial(ShardedRun if shard else SharedRun, ranks=ranks)
        run = kind(task, using.make, seed, batch_size=using.batch_size, updates=length.updates)
        if compile:
            compile_model(run.model, **({"backend": compile} if isinstance(compile, str) else {}))
        course = Course(
            task, run, length, folder, save_every, until_target, on_nonfinite, tell, s, ranks
        )
        if not course.restore():
            task.check()
        course.begin()
        for text in folder.changed if folder is not None else ():
            tell(events.Told(text))
        if course.status != "begun":
            tell(events.Told(f"this run is over: it was {ENDS[course.status]}"))
        tell(events.Started(task, using.label, run, seed, length.told, length.updates, path))
        alone(course.way())
        result = course.end(using.label)
        tell(events.Finished(result))
    return result


def _tuned(task: Task, using: Chosen, tell: Callable[[events.Event], None], stop: Stop) -> Task:
    """The task, and this process, with what was measured to help and changes no number."""
    names = [name for name, lever in LEVERS.items() if lever.neutral]

    def look() -> None:
        if stop.signal is not None:
            stop.end()

    tell(events.Told("measuring what makes an update cheaper, in processes of their own"))
    ends = time.monotonic() + TUNING
    trials = Trials(
        task, using.make, using.batch_size, Run, ends, ROUNDS, TURN, lambda text: None, look
    )
    with trials:
        found = trials.tuned(names).confirmed(exact=True)
    text = "nothing that changes no number makes an update faster here"
    if found is not None:
        for name in found.levers:
            LEVERS[name].begin()
            task = LEVERS[name].vary(task)
        low, high = found.interval
        text = f"{found.name}: {found.gain:.2f} times as fast ({low:.2f} to {high:.2f})"
    tell(events.Told(text))
    return task


def _logs(log: str | Collection[str], out: Any) -> list[Log]:
    names = services(log)
    if "tensorboard" in names and out is None:
        raise InputError("log='tensorboard' writes to the run's folder; give one as out")
    return [Log(name) for name in names]
