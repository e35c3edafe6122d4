"""The built-in tasks: they load, check out, differ by seed, and can be learnt; files of users."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch

import served
import slalom
from slalom import tasks
from slalom.errors import InputError
from slalom.train import Run


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads cost such small models more than they bring."""
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_few_steps_lower_the_loss(name):
    task = tasks.load(name)
    task.check()
    assert task.name == name
    assert task.target is not None
    run = Run(task, lambda p: slalom.optim.Adagrad(p, lr=0.03), 0)
    run.advance(2)
    before = run.evaluate()
    assert not task.reached(before.metric)
    run.advance(40)
    assert run.diverged is None
    assert run.evaluate().valid_loss < before.valid_loss


def test_the_quadratic_has_the_optimum_it_claims():
    from slalom.tasks.quadratic import CONDITION, problem

    rows, values, least = problem()
    hessian = 2 * rows.T @ rows / len(rows)
    spectrum = np.linalg.eigvalsh(hessian)
    assert spectrum[-1] / spectrum[0] == pytest.approx(CONDITION)
    best = np.linalg.solve(rows.T @ rows, rows.T @ values)
    assert np.mean((rows @ best - values) ** 2) == pytest.approx(least)
    gradient = 2 * rows.T @ (rows @ best - values) / len(rows)
    assert np.abs(gradient).max() < 1e-12


def test_tasks_say_what_they_are_judged_on():
    for name in ("quadratic", "diabetes"):
        assert tasks.load(name).judged_on == "the training data"
    for name in ("digits", "cancer", "stdlib-chars"):
        assert tasks.load(name).judged_on == "held-out data"


def test_sparse_words_has_sparse_gradients():
    task = tasks.load("sparse-words")
    model = task.make_model(0)
    inputs, targets = task.train.span(0, 8)
    task.loss(model(inputs), targets).backward()
    assert model.words.weight.grad.layout == torch.sparse_coo


FILE = """
import slalom, torch
x = torch.randn(40, 3)
y = (x.sum(1) > 0).long()
{body}
"""
TASK = "slalom.Task(torch.nn.Linear(3, 2), torch.nn.CrossEntropyLoss(), (x, y), (x, y), target=0.9)"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (f"mine = {TASK}", ""),
        (f"def task():\n    return {TASK}", ""),
        (f"a = {TASK}\nb = {TASK}", ":b"),
        (f"def make():\n    return {TASK}", ":make"),
    ],
)
def test_a_task_in_a_file(body, name, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE.format(body=body))
    tasks.load(f"{path}{name}").check()


@pytest.mark.parametrize(
    ("body", "name", "message"),
    [
        ("", "", "holds no slalom.Task; write task = slalom.Task"),
        (f"a = {TASK}\nb = {TASK}", "", "holds 2 tasks (a, b); name one, as in"),
        (f"a = {TASK}", ":c", "has no c; it has a"),
        ("a = 5", ":a", "is a int; it must be or return a slalom.Task"),
        ("import nothing_of_that_name", "", "fails in line 5: ModuleNotFoundError"),
        ("1 / 0", "", "fails in line 5: ZeroDivisionError"),
        ("def :", "", "fails: SyntaxError"),
        ("def task():\n    return 1 / 0", "", "fails in line 6: ZeroDivisionError"),
        ("def task(n):\n    return n", "", "TypeError: task() missing 1 required positional"),
        ("task = slalom.Task(3, None, (x, y), (x, y))", "", "model is a int; it must be an"),
        ("import sys\nsys.exit('no data here')", "", "fails in line 6: SystemExit: no data here"),
    ],
)
def test_a_file_without_a_task(body, name, message, tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text(FILE.format(body=body))
    with pytest.raises(InputError) as caught:
        tasks.load(f"{path}{name}")
    assert message in str(caught.value)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(message)):
        tasks.load(f"mine.py{name}")


def test_a_file_may_import_its_neighbours_and_be_called_like_a_library(tmp_path, monkeypatch):
    import json

    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "neighbour.py").write_text("WIDTH = 3")
    path = tmp_path / "json.py"
    body = f"import neighbour\ndef model():\n    import later\n    return later.model()\nb = {TASK}"
    path.write_text(FILE.format(body=body.replace("torch.nn.Linear(3, 2)", "model")))
    (tmp_path / "later.py").write_text("import torch\nmodel = lambda: torch.nn.Linear(3, 2)")
    tasks.load(str(path)).check()
    assert sys.modules["json"] is json


def test_only_the_task_that_is_made_is_imported():
    code = "import sys, slalom.tasks; print([m for m in sys.modules if 'slalom.tasks.' in m])"
    code += "; print('sklearn' in sys.modules)"
    assert served.printed(code).split("\n")[:2] == ["[]", "False"]


SHUTTLE = """
import torch
from torch import nn
from slalom.train import Task

def task():
    x = torch.arange(40.0)[:, None] / 40
    return Task(nn.Linear(1, 1), nn.MSELoss(), (x, x), (x + 1, x + 1), "median_error", 0.1, 8)
"""
MEDIAN = """

@metric(higher_is_better=False, of="values")
def median_error(predicted: Tensor, true: Tensor) -> float:
    return (predicted - true).abs().median().item()
"""
USE = """
import slalom, slalom.tasks
print(slalom.__file__)
task = slalom.tasks.load("space-shuttle")
task.check()
print("space-shuttle" in slalom.tasks.TASKS, task.metric.name)
"""


def test_one_file_adds_a_task_and_one_function_a_metric(tmp_path):
    house = shutil.copytree(Path(slalom.__file__).parent, tmp_path / "slalom")
    (house / "tasks" / "space_shuttle.py").write_text(SHUTTLE)
    with open(house / "train" / "metrics.py", "a") as file:
        file.write(MEDIAN)
    found = subprocess.run(
        [sys.executable, "-c", USE], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert found.stdout.split() == [str(house / "__init__.py"), "True", "median_error"]


def test_nothing_else_names_the_tasks():
    """Their files alone; what lists them asks slalom.tasks.TASKS."""
    source = Path(slalom.__file__).parent
    modules = {path.stem for path in (source / "tasks").glob("[!_]*.py")}
    assert {name.replace("-", "_") for name in tasks.TASKS} == modules


def test_a_python_without_its_sources(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(InputError, match="holds no source text; run this task with a Python"):
        tasks.load("stdlib-chars")


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_task_is_the_same_each_time(name):
    one, two = (tasks.load(name) for _ in range(2))
    for a, b in ((one.train, two.train), (one.valid, two.valid)):
        for x, y in zip(a.span(0, len(a)), b.span(0, len(b)), strict=True):
            assert torch.equal(x, y)
    first, again, other = (
        torch.cat([p.flatten() for p in one.make_model(seed).parameters()]) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "there is no task ''"),
        ("digit", "there is no task 'digit': it is one of cancer, .*; did you mean digits"),
        ("none.py", "there is no file none.py"),
        ("none.py:task", "there is no file none.py"),
    ],
)
def test_no_such_task(spec, message):
    with pytest.raises(InputError, match=message):
        tasks.load(spec)
