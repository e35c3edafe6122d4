"""``slalom train`` and ``slalom runs`` as a user calls them."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

import served
import slalom
from slalom.cli.training import runs
from slalom.errors import InputError
from slalom.tasks import load

FILE = """
import slalom, time, torch
x = torch.randn(128, 4, generator=torch.Generator().manual_seed(0))
y = (x.sum(1) > 0).long()

def loss(outputs, targets):
    {what}
    return torch.nn.functional.cross_entropy(outputs, targets)

mine = slalom.Task(
    lambda: torch.nn.Linear(4, 2), loss, (x[:96], y[:96]), (x[96:], y[96:]),
    batch_size=8, name="mine",
)
"""


def command(*arguments: str, cwd):
    return served.Started(served.slalom, *arguments, cwd=cwd)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(FILE.format(what="pass"))
    return tmp_path


ADAM = ["train", "mine.py", "--optimizer", "Adam", "--lr", "0.01", "--seed", "5"]


def test_the_same_command_again_says_that_it_is_over(folder):
    first = command(*ADAM, "--epochs", "3", cwd=folder).ended()
    assert first.returncode == 0, first.stderr
    assert "mine with Adam(lr=0.01), seed 5, 3 epochs" in first.stdout
    assert "after 36 steps (288 samples" in first.stdout
    (run,) = (folder / "runs").iterdir()
    again = command(*ADAM, "--epochs", "3", cwd=folder).ended()
    assert again.returncode == 0, again.stderr
    assert "this run is over: it was trained to its end" in again.stdout
    assert [run] == list((folder / "runs").iterdir())
    listed = command("runs", cwd=folder).ended()
    assert listed.stdout.startswith(f"runs/{run.name}  ")
    assert "mine with Adam(lr=0.01), seed 5, 3 epochs: finished, step 36, acc" in listed.stdout
    known = json.loads((run / "run.json").read_text())
    assert known["versions"]["torch"] == torch.__version__
    task = load(str(folder / "mine.py"))
    found = slalom.fit(task, "Adam", lr=0.01, epochs=3, seed=5, progress=False)
    written = load_file(run / "weights.safetensors")
    assert all(torch.equal(written[n], t) for n, t in found.model.state_dict().items())


def test_json_is_all_that_is_printed(folder):
    done = command(*ADAM, "--steps", "6", "--json", cwd=folder).ended()
    found = json.loads(done.stdout)
    assert (found["status"], found["history"][-1]["step"]) == ("finished", 6)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
def test_one_that_is_ended_goes_on_by_the_same_command(number, code, tmp_path):
    (tmp_path / "mine.py").write_text(FILE.format(what="time.sleep(0.01)"))
    words = [*ADAM, "--steps", "150", "--out", "it"]
    begun = command(*words, cwd=tmp_path)
    late = time.monotonic() + 60
    while not list((tmp_path / "it").glob("checkpoints/step*")) and time.monotonic() < late:
        time.sleep(0.01)
    served.os.kill(begun.process.pid, number)
    ended = begun.ended()
    assert ended.returncode == code, ended.stderr
    assert "ended; go on with: slalom train mine.py" in ended.stderr
    assert json.loads((tmp_path / "it" / "run.json").read_text())["step"] < 150
    done = command(*words, cwd=tmp_path).ended()
    assert "on from step" in done.stdout
    assert "after 150 steps" in done.stdout


NAN = "if outputs.requires_grad and targets.sum() % 7 == 3: outputs = outputs * float('nan')"
WRONG = {
    "raise OSError('lost')": (1, "the task's own code failed: OSError: lost at "),
    NAN: (3, "the loss was nan in step "),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG, ids=["its own code", "not finite"])
def test_what_goes_wrong_later_has_its_code_and_one_line(what, tmp_path):
    code, text = WRONG[what]
    later = f"loss.calls = getattr(loss, 'calls', 0) + 1\n    if loss.calls > 40: {what}"
    (tmp_path / "mine.py").write_text(FILE.format(what=later if code == 1 else what))
    done = command(*ADAM, "--steps", "150", cwd=tmp_path).ended()
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stderr.count("\n") == 1
    assert text in done.stderr


def test_an_optimizer_of_the_files_own_goes_by_its_name_there(folder):
    with open(folder / "mine.py", "a") as file:
        file.write("entrants = {'Heavy': (torch.optim.SGD, {'lr': (1e-3, 1.0)}), 'Adam': 'Lion'}\n")
    words = ["train", "mine.py", "--lr", "0.1", "--steps", "2", "--optimizer"]
    done = command(*words, "heavy", cwd=folder).ended()
    assert "mine with Heavy(lr=0.1), seed 0" in done.stdout, done.stderr


def test_bad_input_is_one_sentence(folder):
    for words, text in (
        (["--batch-size", "some"], "--batch-size is 'some'"),
        (["--set", "betas"], "--set 'betas' says nothing"),
        (["--steps", "4", "--epochs", "2"], "epochs and steps are given"),
    ):
        done = command(*ADAM, *words, cwd=folder).ended()
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert text in done.stderr
    assert not (folder / "runs").exists()
    done = command(*ADAM, "--set", "betas=0.8,0.9", "--steps", "2", cwd=folder).ended()
    assert "Adam(lr=0.01, betas=(0.8, 0.9))" in done.stdout


def test_runs_that_cannot_be_read_are_listed_as_that(folder):
    for name, text in (("a", "{"), ("b", '{"form": 1}'), ("c", '{"form": 7}')):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "run.json").write_text(text)
    lines = command("runs", cwd=folder).ended().stdout.splitlines()
    assert "cannot be read" in lines[0]
    assert "says nothing of run" in lines[1]
    assert "this version of Slalom knows" in lines[2]
    assert command("runs", "nowhere", cwd=folder).ended().returncode == 2


@pytest.mark.skipif(os.name != "posix", reason="no named pipes there")
def test_a_run_of_its_own_and_none_are_listed_as_that(tmp_path, capsys):
    runs(tmp_path)
    assert capsys.readouterr().out == f"there are no runs in {tmp_path}\n"
    (tmp_path / "run.json").write_text("{")
    runs(tmp_path)
    assert "cannot be read" in capsys.readouterr().out
    (tmp_path / "run.json").unlink()
    os.mkfifo(tmp_path / "run.json")  # from which reading would wait for ever
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "run.json")
    runs(tmp_path)
    assert "there is no file" in capsys.readouterr().out


def test_races_are_listed_beside_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is no folder runs"):
        runs()
    (tmp_path / "races").mkdir()
    runs()
    assert capsys.readouterr().out == "there are no runs in runs\nthere are no races in races\n"
