"""The commands as a user calls them: what they print, what they leave, how they end."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

import served
from slalom.racing.result import Result
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
        [sys.executable, "-m", "slalom", *arguments], capture_output=True, text=True,
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


def test_where_there_are_no_races_it_is_said(tmp_path):
    assert slalom("races", str(tmp_path)).stdout == f"there are no races in {tmp_path}\n"


def test_a_report_goes_where_it_is_sent_or_says_why_not(done, tmp_path):
    folder, _ = done
    (race,) = (folder / "races").iterdir()
    for out, message in (
        (tmp_path / "none" / "x.html", f"there is no folder {tmp_path / 'none'}"),
        (tmp_path, f"{tmp_path} is a folder; name a file in it"),
    ):
        result = slalom("report", str(race), "--out", str(out))
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"slalom: {message}")
    assert not list(tmp_path.iterdir())


def test_a_report_for_other_programs(done, tmp_path):
    folder, _ = done
    (race,) = (folder / "races").iterdir()
    rows = list(csv.DictReader(slalom("report", str(race), "--csv").stdout.splitlines()))
    known = Result(race)
    assert len(rows) == sum(len(c.step) for c in known.curves)
    c = known.curves[0]
    told = [float(r["metric"]) for r in rows if (r["label"], r["seed"]) == (c.label, str(c.seed))]
    assert told == c.metric
    assert float(rows[0]["hyper:lr"]) == c.hypers["lr"]
    before = {f.name for f in race.iterdir()}
    result = slalom("report", str(race), "--svg", "--out", str(tmp_path / "figures"))
    assert result.returncode == 0, result.stderr
    drawn = [Path(line) for line in result.stdout.splitlines()]
    assert [f.name for f in drawn][:3] == ["metric.svg", "finals.svg", "learning_rates.svg"]
    for file in drawn:
        assert ElementTree.parse(file).getroot().tag.endswith("svg")
    assert {f.name for f in race.iterdir()} == before


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
    *verdict, _, page = result.stdout.strip().split("\n")
    assert "accuracy 0.9" in " ".join(verdict)
    assert all(len(line) <= 80 for line in verdict)
    assert page.endswith("report.html")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["race", "digit"], "there is no task 'digit'"),
        (["race", "none.py"], "there is no file none.py"),
        (["race", "digits", "--entrants", "adamm"], "there is no entrant 'adamm'"),
        (["race", "digits", "--seeds", "1"], "seeds is 1; it must be a whole number from 3 on"),
        (["race", "digits", "--out", "/dev/null/x"], "the folder /dev/null/x cannot be made"),
        (
            ["race", "digits", "--within", "ten"],
            "within is 'ten'; it must be a time above zero, as",
        ),
        (["race", "digits", "--resume", "--out", "none"], "there is no ledger none/ledger.sqlite"),
        (["report", "none"], "there is no ledger none"),
        (["races", "none"], "there is no folder none"),
        (["bench", "speed"], "there is no benchmark 'speed'; there are loop, steps,"),
        (["bench", "loop", "--model", "huge"], "there is no model 'huge'; there are net 10-16-2,"),
        (["bench", "loop", "--rule", "Adam"], "--rule is of the benchmark steps, and does nothing"),
        (["bench", "steps", "--model", "huge"], "there is no model 'huge'"),
        (["bench", "steps", "--rule", "Atom"], "slalom.optim has no 'Atom'"),
        (["bench", "steps", "--rounds", "0"], "--rounds is 0; it must be a whole number from 1"),
        (["bench", "clip", "--rule", "Adam"], "--rule is of the benchmark steps, and does nothing"),
        (["bench", "--rounds", "0"], "--rounds is 0; it must be a whole number from 1"),
        (["race"], "missing argument 'task'; see slalom race --help"),
        (["report", "none", "--nope"], "no such option: --nope; see slalom report --help"),
        (["race", "digits", "--seeds", "two"], "invalid value for '--seeds'"),
        (["nope"], "no such command 'nope'; see slalom --help"),
        (["race", "digits", "--entrants", ""], "there is no entrant ''"),
        (["paths", "--rules", ""], "there is no rule ''"),
        (["paths", "--start", ""], "the start is ''; it must be two numbers, as in -1,2"),
        (["race", "digits", "--log", ""], "log is ''; it is one of tensorboard"),
        (["bench"], "name a benchmark; there are loop, steps,"),
        (
            ["report", "none", "--svg", "--out", "metric.svg"],
            "--out is metric.svg, and --svg writes a file for each chart: name a folder for them",
        ),
        (
            ["report", "none", "--out", "metric.PNG"],
            "--out is metric.PNG, and what is written is html: end the name in .html, or ask for",
        ),
        (
            ["report", "none", "--csv", "--out", "all.html"],
            "--out is all.html, and what is written is csv: end the name in .csv, or ask for html",
        ),
        (["report", "none", "--csv", "--png"], "--csv and --png are given; a report is written in"),
        (["race", "digits", "--json", "--quiet"], "--quiet does nothing beside --json"),
        (["rules", "adamm"], "there is no rule 'adamm'; did you mean adam?"),
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
        [sys.executable, "-m", "slalom", "race", str(file), *QUICK, "--out", str(out)],
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


def test_a_limit_on_the_time_is_no_failure_and_can_be_gone_on_with(file):
    words = ["race", "mine.py", *QUICK, "--quiet", "--out", "r"]
    first = slalom(*words, "--within", "0.001s", cwd=file.parent)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("The race was interrupted before its finals.")
    again = f"slalom {' '.join(words)} --within 0.001s --resume"
    assert first.stderr == f"the time is up; go on with: {again}\n"
    last = slalom(*words, "--within", "1h", "--resume", cwd=file.parent)
    assert (last.returncode, last.stderr) == (0, "")
    assert Result(file.parent / "r").meta["finished"]


@pytest.mark.parametrize("words", [["--help"], []])
def test_help_names_every_command(words):
    result = slalom(*words)
    assert result.returncode == 0
    for command in ("race", "races", "report", "rules", "bench", "doctor"):
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


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_rules_print_in_any_encoding(encoding):
    done = subprocess.run(
        [sys.executable, "-m", "slalom", "rules", "AdamW"], capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding}, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    root, dot = ("√", "·") if encoding == "utf-8" else ("sqrt", "*" if encoding == "ascii" else "·")
    assert f"({root}(exp_avg_sq' / (1 - beta2^step)) + eps)" in text
    assert f"beta1{dot}exp_avg + (1 - beta1){dot}grad" in text
    assert text.startswith("adamw\n")
    assert "adamax" not in text


def test_help_tells_the_tasks_and_examples():
    from slalom.tasks import TASKS

    text = slalom("race", "--help").stdout
    for task in TASKS:
        assert task in text
    assert "slalom race digits" in text
    assert "slalom doctor" in slalom("--help").stdout


def test_a_line_a_race(done):
    folder, _ = done
    result = slalom("races", cwd=folder)
    (line,) = result.stdout.splitlines()
    assert line.startswith("races/mine-")
    assert len(line) < 120


def test_completion_can_be_had_and_knows_tasks_and_rules():
    from slalom.cli import racing, reading

    assert "--install-completion" in slalom("--help").stdout
    assert "digits" in racing.tasks()
    assert "adam" in reading._rule_names()


def test_importing_slalom_loads_nothing_heavy():
    code = (
        "import sys, torch; before = set(sys.modules); import slalom; "
        "new = {m.partition('.')[0] for m in set(sys.modules) - before}; "
        "heavy = new & {'plotly', 'ray', 'sklearn', 'scipy', 'rich', 'typer', 'pandas'}; "
        "print(heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
