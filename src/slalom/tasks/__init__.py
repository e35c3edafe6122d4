"""Built-in tasks on real data, one file each, and tasks in a user's own file."""

from __future__ import annotations

import difflib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from slalom.errors import InputError
from slalom.train import Task

TASKS = {
    "digits": "digits", "digits-cnn": "digits_cnn", "digits-rnn": "digits_rnn",
    "cancer": "cancer", "diabetes": "diabetes", "stdlib-chars": "stdlib_chars",
    "sparse-words": "sparse_words", "quadratic": "quadratic",
}  # fmt: skip
"""Name of a built-in task -> its module here, whose function ``task`` makes it."""


def load(spec: str) -> Task:
    """The task named by ``spec``: a built-in name, ``FILE.py``, or ``FILE.py:NAME``.

    In a file, NAME is a :class:`slalom.Task` or a function without arguments that returns one;
    without NAME the file must hold exactly one task, or a function called ``task``. Raises
    :class:`InputError` where there is no such task.
    """
    if spec in TASKS:
        return import_module(f"slalom.tasks.{TASKS[spec]}").task()
    file, _, name = spec.partition(":") if ".py:" in spec else (spec, "", "")
    if not file.endswith(".py"):
        near = difflib.get_close_matches(spec, TASKS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(
            f"there is no task {spec!r}: it is one of {', '.join(TASKS)}, or FILE.py[:NAME]{hint}"
        )
    path = Path(file)
    if not path.is_file():
        raise InputError(f"there is no file {file}")
    return _pick(_run(path), file, name)


def _run(path: Path) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # the file's own imports
    sys.modules[path.stem] = module  # where pickle and dataclasses look for what it defines
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        where = f" in line {frames[-1].lineno}" if frames else ""
        raise InputError(f"{path} fails{where}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return vars(module)


def _pick(found: dict[str, Any], file: str, name: str) -> Task:
    tasks = {n: v for n, v in found.items() if isinstance(v, Task)}
    if not name:
        if not tasks and callable(found.get("task")):
            return _made(found["task"], f"{file}:task")
        if len(tasks) == 1:
            return next(iter(tasks.values()))
        names = ", ".join(tasks)
        raise InputError(
            f"{file} holds {len(tasks)} tasks ({names}); name one, as in {file}:{next(iter(tasks))}"
            if tasks
            else f"{file} holds no slalom.Task; write task = slalom.Task(...) in it"
        )
    if name not in found:
        raise InputError(f"{file} has no {name}; it has {', '.join(tasks) or 'no task at all'}")
    return tasks[name] if name in tasks else _made(found[name], f"{file}:{name}")


def _made(maker: Callable[[], Any] | Any, what: str) -> Task:
    made = maker() if callable(maker) else maker
    if not isinstance(made, Task):
        raise InputError(f"{what} is a {type(made).__name__}; it must be or return a slalom.Task")
    return made
