"""The commands as a user calls them: what they print, what they leave, how they end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

import served
from small import INTERRUPTIBLE

FILE = """
import slalom, torch
x = torch.randn(128, 4, generator=torch.Generator().manual_seed(0))
y = (x.sum(1) > 0).long()
mine = slalom.Task(
    lambda: torch.nn.Linear(4, 2), torch.nn.CrossEntropyLoss(), (x[:96], y[:96]), (x[96:], y[96:]),
    target={target}, batch_size=8, max_steps={steps}, name="mine",
)
"""
QUICK = ["--entrants", "sgd,adam", "--points", "3", "--seeds", "3"]


def slalom(*arguments: str, cwd=None) -> subprocess.CompletedProcess[str]:
    return served.Started(served.slalom, *arguments, cwd=cwd).ended()


def in_a_new_python(*arguments: str, cwd=None) -> subprocess.CompletedProcess[str]:
    """As :func:`slalom`, where nothing was imported before."""
    return subprocess.run(
        [sys.executable, "-m", "slalom.cli", *arguments], capture_output=True, text=True,
        cwd=cwd, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE.format(target=0.9, steps=300))
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "mine.py").write_text(FILE.format(target=0.9, steps=300))
    result = in_a_new_python("race", "mine.py", *QUICK, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder, result


def test_a_race_of_ones_own_file(done):
    folder, result = done
    (race,) = (folder / "races").iterdir()
    assert race.name.startswith("mine-")
    assert {f.name for f in race.iterdir()} == {"ledger.sqlite", "report.html"}
    assert "import slalom\noptimizer = slalom.optim." in result.stdout
    assert f"races/{race.name}/report.html" in result.stdout
    assert "\x1b" not in result.stdout  # no terminal, no colours
    assert "mine: SGD, Adam; accuracy 0.9" in result.stdout


def test_its_page_is_drawn_again(done, tmp_path):
    folder, _ = done
    (race,) = (folder / "races").iterdir()
    before = (race / "report.html").read_text()
    (race / "report.html").unlink()
    result = in_a_new_python("report", str(race))
    assert result.returncode == 0
    assert (race / "report.html").read_text() == before
    again = slalom("report", str(race / "ledger.sqlite"), "--out", str(tmp_path / "page.html"))
    assert again.returncode == 0
    assert (tmp_path / "page.html").read_text() == before


def test_past_races_are_listed(done):
    folder, _ = done
    result = in_a_new_python("races", cwd=folder)
    assert result.returncode == 0
    assert "accuracy 0.9" in result.stdout


def test_json_is_all_there_is_on_stdout(file):
    result = slalom("race", str(file), *QUICK, "--json", "--out", str(file.parent / "r"))
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["version"] == 2
    assert {s["rule"] for s in found["standings"]} == {"SGD", "Adam"}
    assert found["winner"]["code"].startswith("import slalom")


def test_quiet_prints_the_verdict_and_the_page(file):
    result = slalom("race", str(file), *QUICK, "--quiet", "--out", str(file.parent / "r"))
    assert result.returncode == 0
    verdict, _, page = result.stdout.strip().split("\n")
    assert "accuracy 0.9" in verdict
    assert page.endswith("report.html")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["race", "digit"], "there is no task 'digit'"),
        (["race", "none.py"], "there is no file none.py"),
        (["race", "digits", "--entrants", "adamm"], "there is no entrant 'adamm'"),
        (["race", "digits", "--seeds", "1"], "seeds is 1; it must be a whole number from 3 on"),
        (["race", "digits", "--out", "/dev/null/x"], "the folder /dev/null/x cannot be made"),
        (["race", "digits", "--resume", "--out", "none"], "there is no ledger none/ledger.sqlite"),
        (["report", "none"], "there is no ledger none"),
        (["races", "none"], "there is no folder none"),
        (["bench", "speed"], "there is no benchmark 'speed'; there are steps, sparse, clip, load"),
        (["bench", "steps", "--model", "huge"], "there is no model 'huge'"),
        (["bench", "steps", "--rule", "Atom"], "slalom.optim has no 'Atom'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(arguments, message, tmp_path):
    result = slalom(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"slalom: {message}")
    assert len(result.stderr.strip().split("\n")) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Linear(4, 2)", "Linear(5, 2)"), "the model fails on inputs of shape (8, 4)"),
        (
            ("CrossEntropyLoss()", "CrossEntropyLoss(reduction='none')"),
            "the loss must be one number",
        ),
        (("y[:96])", "y[:95])"), "train has 96 inputs and 95 targets"),
        (("(x[:96], y[:96])", "(x[:0], y[:0])"), "train is empty"),
        (
            ("y = ", "x[3, 1] = float('nan'); y = "),
            "train holds NaN or infinity, first in sample 3",
        ),
    ],
)
def test_bad_tasks_are_one_sentence_and_exit_2(change, message, file):
    file.write_text(file.read_text().replace(*change))
    result = slalom("race", str(file), cwd=file.parent)
    assert result.returncode == 2
    assert result.stderr.startswith(f"slalom: {message}")
    assert "Traceback" not in result.stderr
    assert not (file.parent / "races").exists()


def _evaluations(ledger):
    if not ledger.exists():
        return 0
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        try:
            return connection.execute("SELECT count(*) FROM evaluation").fetchone()[0]
        except sqlite3.OperationalError:  # its tables are being made
            return 0


def test_ctrl_c_keeps_what_is_known_and_can_be_gone_on_with(file):
    file.write_text(FILE.format(target=0.999, steps=200_000))
    out = file.parent / "r"
    process = subprocess.Popen(
        [sys.executable, "-m", "slalom.cli", "race", str(file), *QUICK, "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **INTERRUPTIBLE,
    )  # fmt: skip
    while not _evaluations(out / "ledger.sqlite"):
        time.sleep(0.1)
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "--resume" in stderr
    assert "SGD" in stdout
    assert slalom("report", str(out)).returncode == 0


def test_help_names_every_command():
    result = slalom("--help")
    assert result.returncode == 0
    for command in ("race", "races", "report", "rules", "bench"):
        assert command in result.stdout


def test_the_version_is_told():
    result = slalom("--version")
    assert result.returncode == 0
    assert result.stdout.startswith("slalom 0.")


def test_rules_lists_all():
    from slalom.rules import RULES

    result = in_a_new_python("rules")
    assert result.returncode == 0
    for name in RULES:
        assert f"\n{name}\n" in f"\n{result.stdout}"
    assert "velocity' = momentum·velocity - lr·grad" in result.stdout
    assert "Kingma & Ba 2015, algorithm 1" in result.stdout
    assert "28 bytes a float32 parameter" in result.stdout


def test_importing_slalom_loads_nothing_heavy():
    code = (
        "import sys, torch; before = set(sys.modules); import slalom; "
        "new = {m.partition('.')[0] for m in set(sys.modules) - before}; "
        "heavy = new & {'plotly', 'ray', 'sklearn', 'scipy', 'rich', 'typer', 'pandas'}; "
        "print(heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
