"""Ledgers from elsewhere, and disks that are full or may not be written."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import slalom
from slalom.api import RaceResult
from slalom.cli import main
from slalom.errors import InputError
from slalom.racing import ledger as ledgers
from slalom.racing.content import LATER, META
from slalom.racing.ledger import Ledger
from slalom.racing.recorded import checkpoints
from slalom.racing.result import Result
from slalom.report.page import page
from small import ENTRANTS, changed, small_task
from small import META as SMALL


def race(out: Path, **more: Any) -> RaceResult:
    return slalom.race(
        small_task(), entrants=ENTRANTS, points_each=4, seeds=3, out=out, **more
    )  # fmt: skip


def shown(folder: Path) -> None:
    """All that is shown of a race."""
    result = Result(folder)
    json.dumps(result.to_json(), allow_nan=False)
    page(result)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.just(2**63), st.floats(), st.text(max_size=3),
    st.lists(st.integers(0, 2), max_size=2), st.dictionaries(st.text(max_size=2), st.none()),
)  # fmt: skip


@given(key=st.sampled_from(sorted(META)), value=VALUES)
@settings(max_examples=25)
def test_a_value_of_another_type_is_one_sentence_or_shown(raced, tmp_path_factory, key, value):
    folder = tmp_path_factory.mktemp("meta")
    shutil.copy(raced.path / "ledger.sqlite", folder)
    with changed(folder / "ledger.sqlite") as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, 0)", (key, json.dumps(value)))
    if META[key](value):
        shown(folder)
    else:
        with pytest.raises(InputError, match=f"is damaged: its {key} is "):
            Result(folder)


@pytest.mark.parametrize("key", sorted(META.keys() - set(LATER)))
def test_a_key_that_is_missing_is_named(raced, tmp_path, key):
    shutil.copy(raced.path / "ledger.sqlite", tmp_path)
    with changed(tmp_path / "ledger.sqlite") as db:
        db.execute("DELETE FROM meta WHERE key = ?", [key])
    with pytest.raises(InputError, match=f"is damaged: it does not say its {key}"):
        Result(tmp_path)


CELLS = [
    (table, column)
    for table, columns in {
        "entrant": "family label hypers batch snippet optimizer arguments",
        "run": "entrant stage status reason ended steps samples seconds steps_to_target "
        "samples_to_target seconds_to_target",
        "evaluation": "samples seconds train_loss valid_loss metric",
        "timing": "entrant round seconds", "note": "text",
    }.items()
    for column in columns.split()
]  # fmt: skip


@given(
    cell=st.sampled_from(CELLS), rows=st.sampled_from(["1", "rowid", "abs(random()) % 3 = 0"]),
    value=st.one_of(
        st.none(), st.integers(-2, 3), st.floats(), st.text(max_size=3), st.binary(max_size=3),
        st.sampled_from(["[]", '{"lr": "x"}', '{"lr": null}', "{}", "final", "reached", 0.0]),
    ),
)  # fmt: skip
@settings(max_examples=40)
def test_a_cell_of_anything_is_one_sentence_or_shown(raced, tmp_path_factory, cell, rows, value):
    folder = tmp_path_factory.mktemp("cell")
    shutil.copy(raced.path / "ledger.sqlite", folder)
    table, column = cell
    rows = "1" if rows == "rowid" else rows
    with changed(folder / "ledger.sqlite") as db:
        try:
            db.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {rows}", [value])
        except sqlite3.IntegrityError:  # NULL where there is none
            return
    with contextlib.suppress(InputError):
        shown(folder)


def test_one_bad_ledger_does_not_end_the_list(raced, tmp_path, capsys, monkeypatch):
    for name in "abc":
        (tmp_path / name).mkdir()
        shutil.copy(raced.path / "ledger.sqlite", tmp_path / name)
    with changed(tmp_path / "a" / "ledger.sqlite") as db:
        db.execute("DELETE FROM meta WHERE key = 'metric'")
    (tmp_path / "b" / "ledger.sqlite").write_text("no ledger")
    monkeypatch.setattr(sys, "argv", ["slalom", "races", str(tmp_path)])
    with pytest.raises(SystemExit, match="0"):
        main()
    lines = capsys.readouterr().out.splitlines()
    assert "it does not say its metric" in lines[0]
    assert "cannot be read as a ledger" in lines[1]
    assert raced.verdict.text in lines[2]


@pytest.mark.parametrize("name", ["x/../../precious", "../precious", "/", "", "0" * 15, "A" * 16])
def test_no_folder_is_named_by_a_foreign_ledger(name, raced, tmp_path):
    folder = tmp_path / "race"
    shutil.copytree(raced.path, folder)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "0-0.pt").touch()
    (folder / "checkpoints-x").mkdir()
    with changed(folder / "ledger.sqlite") as db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'id'", [json.dumps(name)])
    with pytest.raises(InputError, match="is damaged: its id is"):
        race(folder, resume=True)
    assert (tmp_path / "precious" / "0-0.pt").exists()


def test_only_checkpoints_are_removed_and_through_no_link(tmp_path):
    with contextlib.closing(Ledger(tmp_path / "ledger.sqlite", create=SMALL)) as ledger:
        folder = tmp_path / f"checkpoints-{SMALL['id']}"
        folder.mkdir()
        for name in ("thesis.txt", "3-1000.pt", ".3-1000.pt-0123abcd"):
            (folder / name).touch()
        with checkpoints(ledger) as found:
            assert found == folder
        assert [f.name for f in folder.iterdir()] == ["thesis.txt"]
        shutil.move(folder, tmp_path / "precious")
        folder.symlink_to(tmp_path / "precious")
        with pytest.raises(InputError, match="is a link"), checkpoints(ledger):
            pass


def killed(folder: Path, note: str = "in the log") -> None:
    """Leave a ledger as a race does that is killed: half of it in its log, and the lock free."""
    pid = os.fork()
    if pid == 0:
        try:
            Ledger(folder / "ledger.sqlite").note(note)
        finally:
            os._exit(9)
    os.waitpid(pid, 0)
    assert (folder / "ledger.sqlite-wal").stat().st_size
    assert (folder / "ledger.sqlite-lock").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("state", ["finished", "killed"])
def test_a_race_is_read_and_nothing_is_written(state, raced, tmp_path, monkeypatch):
    """Wherever it lies, as on a disk that is mounted to be read."""
    shutil.copy(raced.path / "ledger.sqlite", tmp_path)
    if state == "killed":
        killed(tmp_path)
    before = contents(tmp_path)
    connect = sqlite3.connect

    def guarded(path: Any, **more: Any) -> sqlite3.Connection:
        assert "immutable=1" in str(path) or str(tmp_path) not in str(path), path
        return connect(path, **more)

    monkeypatch.setattr(ledgers.sqlite3, "connect", guarded)
    result = Result(tmp_path)
    assert result.verdict == raced.verdict
    assert ("in the log" in result.notes) == (state == "killed")
    assert contents(tmp_path) == before


def in_a_child(limit: int, out: Path, resume: bool = False) -> str:
    """What comes of a race where no file may grow beyond so many bytes."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = "finished"
        try:
            torch.set_num_threads(1)  # of OpenMP's threads only the parent has more
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            slalom.race(
                small_task(), entrants=["sgd"], points_each=2, seeds=3, out=out, resume=resume,
                baseline=None,
            )  # fmt: skip
        except InputError as error:
            told = f"sentence: {error}"
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, told.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as file:
        return file.read()


@pytest.mark.parametrize("limit", [0, 4096, 40_000, 80_000])
def test_a_full_disk_is_one_sentence_and_what_is_left_goes_on(limit, tmp_path):
    out = tmp_path / "new" / "race"
    told = in_a_child(limit, out)
    if told != "finished":
        assert told.startswith(f"sentence: {out}/ledger.sqlite cannot be "), told
    if (out / "ledger.sqlite").exists():
        assert in_a_child(resource.RLIM_INFINITY, out, resume=True) == "finished"
    else:
        assert not list(tmp_path.iterdir())
        assert in_a_child(resource.RLIM_INFINITY, out) == "finished"
    assert Result(out).meta["finished"]
    assert [f.name for f in out.iterdir()] == ["ledger.sqlite"]


def test_a_page_that_cannot_be_written_is_one_sentence(raced, tmp_path):
    with pytest.raises(InputError, match=r"the page .* cannot be written: Is a directory"):
        raced.report(tmp_path)
    with pytest.raises(InputError, match=r"the page .* cannot be written: No such file"):
        raced.report(tmp_path / "none" / "page.html")
