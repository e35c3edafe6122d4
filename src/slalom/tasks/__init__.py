"""Built-in tasks on real data, one file each, and tasks in a user's own file.

A built-in task is a module here with a function ``task``; it is called like its file, with dashes.
Modules whose names begin with an underscore are no tasks.
"""

from __future__ import annotations

import contextlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import cloudpickle

from slalom.errors import InputError, did_you_mean
from slalom.train import Task


def _builtin(module: str) -> Task:
    return import_module(f"{__name__}.{module}").task()


TASKS: dict[str, Callable[[], Task]] = {
    module.name.replace("_", "-"): partial(_builtin, module.name)
    for module in pkgutil.iter_modules(__path__)
    if not module.name.startswith("_")
}
"""Name of a built-in task -> what makes it; its module is imported when it is made."""


@dataclass(frozen=True)
class Loaded:
    """A task, and the entrants that its file names beside it; None of none."""

    task: Task
    entrants: Any = None

    def named(self, entrants: Any) -> Any:
        """Entrants that were asked for, those of the file by their names there; all of the file's
        where none were."""
        if entrants is None:
            return self.entrants
        if not isinstance(self.entrants, Mapping) or isinstance(entrants, Mapping):
            return entrants
        own = {str(name).lower(): name for name in self.entrants}
        asked = list(entrants)
        if not any(isinstance(e, str) and e.lower() in own for e in asked):
            return asked
        found: dict[str, Any] = {}
        for one in asked:
            name = own.get(one.lower()) if isinstance(one, str) else None
            found[str(one) if name is None else name] = one if name is None else self.entrants[name]
        return found


def load(spec: str | Task) -> Task:
    """The task named by ``spec``: a built-in name, ``FILE.py``, or ``FILE.py:NAME``; or itself.

    In a file, NAME is a :class:`slalom.Task` or a function without arguments that returns one;
    without NAME the file must hold exactly one task, or a function called ``task``. Raises
    :class:`InputError` where there is no such task.
    """
    return loaded(spec).task


def loaded(spec: str | Task) -> Loaded:
    """The task named by ``spec``, as :func:`load` has it, with what its file calls ``entrants``."""
    if isinstance(spec, Task):
        return Loaded(spec)
    if not isinstance(spec, str):
        raise InputError(
            f"the task is a {type(spec).__name__}; it must be a slalom.Task, the name of a "
            "built-in one, or FILE.py[:NAME]"
        )
    if spec in TASKS:
        return Loaded(TASKS[spec]())
    file, _, name = spec.rpartition(":") if ".py:" in spec else (spec, "", "")
    if not file.endswith(".py"):
        hint = did_you_mean(spec, TASKS)
        raise InputError(
            f"there is no task {spec!r}: it is one of {', '.join(TASKS)}, or FILE.py[:NAME]{hint}"
        )
    path = Path(file)
    if not path.is_file():
        raise InputError(f"there is no file {file}")
    with _told(path):
        found = _run(path)
        return Loaded(_made(_pick(found, file, name)), found.get("entrants"))


def _run(path: Path) -> dict[str, Any]:
    """What a file defines."""
    name = f"slalom_task_{path.stem}"  # of its own, as a file may be called like a library
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pickle and dataclasses look for what it defines
    cloudpickle.register_pickle_by_value(module)  # workers elsewhere do not have the file
    folder = str(path.parent.resolve())
    before = list(sys.path)
    sys.path.insert(0, folder)  # the file's own imports
    try:
        spec.loader.exec_module(module)
    finally:  # those that it makes later must not come before other libraries' own
        sys.path[:] = [*before, folder] if folder not in before else before
    return vars(module)


def _pick(found: dict[str, Any], file: str, name: str) -> tuple[Any, str]:
    """(a task or what makes it, what it is called)."""
    tasks = {n: v for n, v in found.items() if isinstance(v, Task)}
    if name:
        if name not in found:
            has = ", ".join(tasks) or "no task at all"
            raise InputError(f"{file} has no {name}; it has {has}")
        return found[name], f"{file}:{name}"
    if not tasks and callable(found.get("task")):
        return found["task"], f"{file}:task"
    if not tasks:
        raise InputError(f"{file} holds no slalom.Task; write task = slalom.Task(...) in it")
    first, *more = tasks
    if more:
        raise InputError(
            f"{file} holds {len(tasks)} tasks ({', '.join(tasks)}); name one, as in {file}:{first}"
        )
    return tasks[first], f"{file}:{first}"


def _made(picked: tuple[Any, str]) -> Task:
    value, what = picked
    made = value() if callable(value) else value
    if not isinstance(made, Task):
        raise InputError(f"{what} is a {type(made).__name__}; it must be or return a slalom.Task")
    return made


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong in a user's file, with its line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        called = traceback.extract_tb(error.__traceback__)
        frames = [f for f in called if f.filename == str(path.absolute())]
        where = f" in line {frames[-1].lineno}" if frames else ""
        if isinstance(error, InputError):
            if not frames:
                raise
            raise InputError(f"{error} ({path}{where})") from error
        what = (str(error).strip().splitlines() or [""])[0]
        raise InputError(f"{path} fails{where}: {type(error).__name__}: {what}") from error
