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
from slalom.report.told import title
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


def test_no_run_is_read_that_reached_the_target_after_its_end(raced, tmp_path):
    shutil.copy(raced.path / "ledger.sqlite", tmp_path)
    with changed(tmp_path / "ledger.sqlite") as db:
        db.execute("UPDATE run SET samples = 0")
    with pytest.raises(InputError, match="damaged: a run of it reached the target after it had"):
        shown(tmp_path)


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
    assert title(raced) in lines[2]


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


SHOWN = [
    ("entrant", "family"), ("entrant", "label"), ("entrant", "hypers"), ("entrant", "snippet"),
    ("entrant", "optimizer"), ("run", "reason"), ("note", "text"),
]  # fmt: skip
HIDING = ["\x1b[2J", "\u202e", "\r", "\x9b1m", "\u2066"]


@pytest.mark.parametrize(("table", "column"), SHOWN)
def test_no_control_character_is_read_from_a_row(table, column, raced, tmp_path):
    for hides in HIDING:
        shutil.copy(raced.path / "ledger.sqlite", tmp_path)
        value = json.dumps({f"lr{hides}": 0.1}) if column == "hypers" else f"x{hides}y"
        with changed(tmp_path / "ledger.sqlite") as db:
            if table == "note":
                db.execute("INSERT INTO note VALUES (?, 0)", [value])
            else:
                db.execute(f"UPDATE {table} SET {column} = ?", [value])
        with pytest.raises(InputError, match="is damaged: ") as caught:
            Result(tmp_path)
        assert str(caught.value).isprintable()


TEXTS = [
    ("task", "x{}"), ("metric", "x{}"), ("created", "x{}"), ("again", "x{}"), ("spec", "x{}"),
    ("entrants", ["x{}"]), ("versions", {"x{}": "1"}), ("versions", {"torch": "x{}"}),
    ("baseline", "x{}"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "text"), TEXTS)
def test_no_control_character_is_read_of_a_race(key, text, raced, tmp_path):
    for hides in HIDING:
        shutil.copy(raced.path / "ledger.sqlite", tmp_path)
        value = json.dumps(text).replace("{}", json.dumps(hides)[1:-1])
        with changed(tmp_path / "ledger.sqlite") as db:
            db.execute("UPDATE meta SET value = ? WHERE key = ?", [value, key])
        with pytest.raises(InputError, match=f"is damaged: its {key} is") as caught:
            Result(tmp_path)
        assert str(caught.value).isprintable()


def test_a_key_that_no_race_has(raced, tmp_path):
    shutil.copy(raced.path / "ledger.sqlite", tmp_path)
    with changed(tmp_path / "ledger.sqlite") as db:
        db.execute("INSERT INTO meta VALUES ('__class__', '1', 0)")
    with pytest.raises(InputError, match="it says its __class__, which no race has"):
        Result(tmp_path)


def test_names_of_folders_are_listed_as_text(raced, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "a\x1b[31m\u202e\nb"
    folder.mkdir()
    shutil.copy(raced.path / "ledger.sqlite", folder)
    (tmp_path / "c\x1b").mkdir()
    (tmp_path / "c\x1b" / "ledger.sqlite").write_text("no ledger")
    monkeypatch.setattr(sys, "argv", ["slalom", "races", str(tmp_path)])
    with pytest.raises(SystemExit, match="0"):
        main()
    one, two = capsys.readouterr().out.splitlines()
    assert "a\\x1b[31m\\u202e\\nb" in one
    assert title(raced) in one
    assert one.isprintable()
    assert two.isprintable()


@pytest.mark.parametrize("name", ["label", "step", "self", "lr[0]", "__class__"])
def test_hyper_parameters_of_any_name_are_shown(name, raced, tmp_path):
    pytest.importorskip("pandas", reason="pandas is needed for data frames")
    shutil.copy(raced.path / "ledger.sqlite", tmp_path)
    with changed(tmp_path / "ledger.sqlite") as db:
        db.execute("UPDATE entrant SET hypers = ?", [json.dumps({name: 0.5})])
    shown(tmp_path)
    assert set(Result(tmp_path).to_dataframe()["label"]) == {c.label for c in raced.curves}


@pytest.mark.parametrize(
    "arguments", [{"lr": "x"}, {"lr": -1.0}, {"params": 1}, {"unheard": 1}, {"lr": {"dict": []}}]
)
def test_arguments_that_a_class_does_not_take_are_a_sentence(arguments, raced, tmp_path):
    shutil.copy(raced.path / "ledger.sqlite", tmp_path)
    with changed(tmp_path / "ledger.sqlite") as db:
        db.execute("UPDATE entrant SET arguments = ?", [json.dumps(arguments)])
    winner = Result(tmp_path).winner
    assert winner is not None
    with pytest.raises(InputError, match=r"slalom.optim.\w+ takes no \{"):
        winner.optimizer([torch.nn.Parameter(torch.zeros(2))])


@pytest.mark.parametrize("way", ["read", "resumed", "raced anew"])
def test_a_journal_that_names_other_files_is_not_played(way, raced, tmp_path):
    """SQLite removes the file that it names, once it has played it back."""
    thesis = tmp_path / "thesis.txt"
    (tmp_path / "race").mkdir()
    path = tmp_path / "race" / "ledger.sqlite"
    shutil.copy(raced.path / "ledger.sqlite", path)
    thesis.write_text("years of work")
    crafted_journal(path, thesis)
    with contextlib.closing(sqlite3.connect(path)) as db:  # it is one that does
        db.execute("SELECT * FROM meta").fetchall()
    assert not thesis.exists()
    thesis.write_text("years of work")
    crafted_journal(path, thesis)
    if way == "raced anew":
        path.unlink()
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"ledger\.sqlite-journal is not of a race; remove it"):
        race(path.parent, resume=way == "resumed") if way != "read" else Result(path.parent)
    assert contents(tmp_path) == before


def crafted_journal(database: Path, victim: Path) -> None:
    """Put a journal beside a database that SQLite plays back, to remove the victim at its end."""
    content, nonce = database.read_bytes(), 7
    size = int.from_bytes(content[16:18], "big")
    page, name = content[:size], str(victim).encode()

    def numbers(*values: int) -> bytes:
        return b"".join((value % 2**32).to_bytes(4, "big") for value in values)

    head = ledgers.SUPER + numbers(1, nonce, len(content) // size, 512, size)
    check = nonce + sum(page[i] for i in range(size - 200, 0, -200))
    record = numbers(1) + page + numbers(check)
    end = numbers(2**30 // size + 1) + name + numbers(len(name), sum(name)) + ledgers.SUPER
    journal = database.with_name(f"{database.name}-journal")
    journal.write_bytes(head.ljust(512, b"\0") + record + end)


def test_a_link_to_another_ledger_is_not_gone_on_with(raced, tmp_path):
    shutil.copytree(raced.path, tmp_path / "theirs")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "ledger.sqlite").symlink_to(tmp_path / "theirs" / "ledger.sqlite")
    with pytest.raises(InputError, match=r"is a link; go on with the race where its ledger lies"):
        race(tmp_path / "mine", resume=True)
    assert Result(tmp_path / "mine").verdict == raced.verdict


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
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        raced.report(tmp_path)
    with pytest.raises(InputError, match=r"there is no folder .*none to write page.html to"):
        raced.report(tmp_path / "none" / "page.html")
