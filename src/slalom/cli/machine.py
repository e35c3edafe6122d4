"""What is measured on this machine."""

from __future__ import annotations

from typing import Annotated

import typer


def bench(
    what: Annotated[
        str | None,
        typer.Argument(
            help="loop: whole training steps; steps: every rule against torch's, warm; sparse: "
            "embeddings; clip: clipping by norm; load: beside busy processes; memory: kept between "
            "steps; tune: what slalom tune chooses, measured anew.",
            show_default=False,
        ),
    ] = None,
    rule: Annotated[str | None, typer.Option(help="steps: one class of slalom.optim.")] = None,
    model: Annotated[str | None, typer.Option(help="loop, steps, tune: one of the models.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="steps: llvm, cuda or foreach; the first that can otherwise.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each contender.")] = 15,
) -> None:
    """Measure what the README claims about speed, side by side on this machine.

    Example: slalom bench steps --rule Adam --model mlp.
    """
    from slalom import optim
    from slalom.backends import BACKENDS
    from slalom.bench import clip, load, loop, loop_data, loop_models, memory, sparse, steps, tune
    from slalom.errors import InputError

    others = {"sparse": sparse.main, "clip": clip.main, "load": load.main, "memory": memory.main}
    models = {
        "loop": (*loop_models.MODELS, *loop_data.PROBLEMS, loop.MATRICES),
        "steps": steps.MODELS,
        "tune": tune.EVERY,
    }
    if rounds < 1:
        raise InputError(f"--rounds is {rounds}; it must be a whole number from 1 on")
    if what not in (*models, *others):
        known = ", ".join((*models, *others))
        asked = "name a benchmark" if what is None else f"there is no benchmark {what!r}"
        raise InputError(f"{asked}; there are {known}")
    given = {"rule": rule, "model": model, "backend": backend}
    taken = {"steps": given.keys(), "loop": {"model"}, "tune": {"model"}}.get(what, ())
    for name, value in given.items():
        if value is not None and name not in taken:
            raise InputError(f"--{name} is of the benchmark steps, and does nothing for {what}")
    if what in others:
        others[what](rounds)
        return
    if model is not None and model not in models[what]:
        raise InputError(f"there is no model {model!r}; there are {', '.join(models[what])}")
    if what in ("loop", "tune"):
        (loop if what == "loop" else tune).main(rounds, model)
        return
    if rule is not None and rule not in optim.__all__:
        raise InputError(f"slalom.optim has no {rule!r}; it has {', '.join(optim.__all__)}")
    names = [one.name for one in BACKENDS]
    if backend is not None and backend not in names:
        raise InputError(f"there is no backend {backend!r}; there are {', '.join(names)}")
    steps.main(rule, model, rounds, backend)


def doctor() -> None:
    """Say what this machine is for training: bandwidth, threads, SIMD, GPU, and what limits it."""
    from slalom.bench import doctor as measured

    measured.main()
