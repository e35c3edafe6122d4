"""The ledger: whole, versioned, never overwritten."""

from __future__ import annotations

import contextlib
import math
import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slalom.errors import InputError
from slalom.racing.content import TABLES
from slalom.racing.entrants import Entrant, families
from slalom.racing.ledger import Ledger
from slalom.racing.runner import History
from slalom.train import Evaluation
from small import META, changed

ENTRANT = Entrant(0, families(["Adam"])[0], {"lr": 0.01})


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.sqlite", create=META)
    yield made
    made.close()


def history(n: int, **more) -> History:
    nan = float("nan")
    return History(
        tuple(Evaluation(i, 2 * i, i / 10, nan, 0.5, i / n) for i in range(1, n + 1)), **more
    )


def test_what_is_written_is_read(ledger):
    ledger.enter(ENTRANT, 64)
    written = history(5, ended="diverged", reason="the loss was inf in step 6")
    ledger.record(ENTRANT, 3, "heat", "diverged", written, None)
    found = ledger.history(0, 3)
    assert (found.ended, found.reason) == (written.ended, written.reason)
    assert [e.step for e in found.evaluations] == [1, 2, 3, 4, 5]
    assert found.evaluations[0].train_loss != found.evaluations[0].train_loss  # still NaN
    assert found.evaluations[-1].metric == 1.0
    assert ledger.history(0, 4) == History()
    ledger.set(target=0.9, finished=True)
    assert ledger.meta == META | {"target": 0.9, "finished": True}


def test_a_run_grows_and_is_not_doubled(ledger):
    ledger.enter(ENTRANT, 64)
    ledger.enter(ENTRANT, 64)
    for n in (2, 4):
        ledger.record(ENTRANT, 0, "heat", "running", history(n), None)
    assert len(ledger.history(0, 0).evaluations) == 4
    assert len(list(ledger.rows("SELECT * FROM run"))) == 1
    assert len(list(ledger.rows("SELECT * FROM entrant"))) == 1


def test_one_that_exists_is_not_made_again(ledger):
    with pytest.raises(InputError, match="exists already"):
        Ledger(ledger.path, create={})


def test_no_ledger(tmp_path):
    with pytest.raises(InputError, match="there is no ledger"):
        Ledger(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


def test_another_version_is_refused_and_left_alone(ledger):
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    before = ledger.path.read_bytes()
    with pytest.raises(InputError, match="is a ledger of version 99; this Slalom reads version 5"):
        Ledger(ledger.path)
    assert ledger.path.read_bytes() == before


def test_another_database_is_refused(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(InputError, match="is a database, but not a ledger of Slalom"):
        Ledger(path)


@pytest.mark.parametrize("damage", ["text", "zeros", "cut"])
def test_a_damaged_one_is_refused_and_left_alone(damage, tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, create=META)
    ledger.enter(ENTRANT, 64)
    for seed in range(40):
        ledger.record(ENTRANT, seed, "heat", "running", history(50), None)
    ledger.close()
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"this is no database at all, only some text" * 30)
    elif damage == "zeros":
        content[4096 : len(content) - 4096] = bytes(len(content) - 8192)
    else:
        content = content[: len(content) // 2 + 100]
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as a ledger|is damaged|no ledger"):
        Ledger(path)
    assert path.read_bytes() == content


def test_one_that_was_killed_while_it_was_made_is_not_there(tmp_path):
    path = tmp_path / "ledger.sqlite"
    for moment in ("execute", "executescript", "close"):

        class Killed(sqlite3.Connection):
            pass

        def die(*_):
            os._exit(9)

        setattr(Killed, moment, die)
        pid = os.fork()
        if pid == 0:
            connect = sqlite3.connect
            sqlite3.connect = lambda *a, **b: connect(*a, **b, factory=Killed)  # noqa: B023
            try:
                Ledger(path, create=META)
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
        assert not path.exists()
    ledger = Ledger(path, create=META)
    assert ledger.meta == META
    ledger.close()


def test_another_entrant_by_the_same_number_is_refused(ledger):
    ledger.enter(ENTRANT, 64)
    other = Entrant(0, families(["Adam"])[0], {"lr": 0.02})
    with pytest.raises(InputError, match=r"is a race with Adam\(lr=0.01\).*has Adam\(lr=0.02\)"):
        ledger.enter(other, 64)


def test_what_was_trained_is_kept_where_less_of_it_decides(ledger):
    """A race with a target that it found decides on the beginnings of runs that it knows whole."""
    ledger.enter(ENTRANT, 64)
    ledger.record(ENTRANT, 0, "heat", "not reached", history(6), None)
    short = history(6).evaluations[:3]
    ledger.record(ENTRANT, 0, "heat", "reached", History(short), short[1])
    assert len(ledger.history(0, 0).evaluations) == 6
    (run,) = ledger.rows("SELECT * FROM run")
    assert (run["status"], run["steps"], run["steps_to_target"]) == ("reached", 6, 2)


def test_a_finished_race_has_no_run_under_way(ledger):
    ledger.enter(ENTRANT, 64)
    for seed, status in enumerate(("running", "reached", "running")):
        ledger.record(ENTRANT, seed, "heat", status, history(3), None)
    ledger.set(finished=False)
    assert [r["status"] for r in ledger.rows("SELECT status FROM run")].count("running") == 2
    ledger.set(finished=True)
    found = [r["status"] for r in ledger.rows("SELECT status FROM run ORDER BY seed")]
    assert found == ["dropped", "reached", "dropped"]
    ledger.close()
    with changed(ledger.path) as db:
        db.execute("UPDATE run SET status = 'running' WHERE seed = 1")
    with pytest.raises(InputError, match="is damaged: it is finished, and runs of it are not"):
        Ledger(ledger.path)


@pytest.mark.parametrize(("key", "value"), [("finished", 1), ("target", float("inf")), ("id", "x")])
def test_what_would_not_be_read_is_not_written(key, value, ledger):
    before = ledger.meta
    with pytest.raises(ValueError, match=f"no ledger keeps .* as its {key}"):
        ledger.set(elapsed=1.0, **{key: value})
    assert ledger.meta == before
    with pytest.raises(KeyError):
        ledger.set(unheard_of=1)


@pytest.mark.skipif(os.name == "nt", reason="what is open cannot be removed there")
@pytest.mark.parametrize("replaced", [False, True])
def test_one_that_was_removed_ends_the_race_at_once(replaced, ledger):
    """SQLite itself would go on writing to a file that nobody will find."""
    ledger.enter(ENTRANT, 64)
    content = ledger.path.read_bytes()
    ledger.path.unlink()
    if replaced:
        ledger.path.write_bytes(content)
    with pytest.raises(InputError, match="was removed or moved while it was raced; resume it"):
        ledger.record(ENTRANT, 3, "heat", "diverged", history(5), None)
    assert not replaced or ledger.path.read_bytes() == content


def test_text_of_anybodys_is_written_out(ledger):
    ledger.enter(ENTRANT, 64)
    ended = history(2, ended="failed", reason="ValueError: \x1b[31m\ud800 red")
    ledger.record(ENTRANT, 0, "heat", "failed", ended, None)
    ledger.note("it said \x1b]0;title\x07")
    ledger.note("it said \x1b]0;title\x07")
    ledger.close()
    again = Ledger(ledger.path, read_only=True)
    assert again.history(0, 0).reason == "ValueError: \\x1b[31m\\ud800 red"
    notes = [row["text"] for row in again.rows("SELECT text FROM note")]
    assert notes == ["it said \\x1b]0;title\\x07"]
    again.close()


NUMBERS = st.floats() | st.floats(width=16) | st.integers(-9, 9)


@given(numbers=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=4))
@settings(max_examples=30)
def test_every_number_is_read_as_it_was_written(numbers, tmp_path_factory):
    """Or as None, where it is none: so its checksum holds."""
    path = tmp_path_factory.mktemp("numbers") / "ledger.sqlite"
    written = History(tuple(Evaluation(i + 1, i, 0.5, *row) for i, row in enumerate(numbers)))
    with contextlib.closing(Ledger(path, create=META)) as ledger:
        ledger.enter(ENTRANT, 64)
        ledger.record(ENTRANT, 0, "heat", "reached", written, None)
    with contextlib.closing(Ledger(path, read_only=True)) as ledger:
        for e, row in zip(ledger.history(0, 0).evaluations, numbers, strict=True):
            for found, given_ in zip((e.train_loss, e.valid_loss, e.metric), row, strict=True):
                assert found == given_ or (math.isnan(found) and math.isnan(given_))


ROWS = ["note", "timing", "evaluation WHERE step = 2", "run WHERE seed = 1", "meta", "entrant"]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("what", ["DELETE FROM", "twice"])
def test_no_row_goes_missing_or_comes_twice(rows, what, ledger):
    ledger.enter(ENTRANT, 64)
    for seed in range(3):
        ledger.record(ENTRANT, seed, "heat", "dropped", history(3), None)
    ledger.note("one")
    ledger.time([0], [[0.1, 0.2]])
    ledger.time([0], [[0.1, 0.3]])
    ledger.close()
    Ledger(ledger.path).close()
    with contextlib.closing(sqlite3.connect(ledger.path)) as db:
        if what == "twice":
            if not rows.startswith("timing"):
                return  # a key forbids it
            db.execute("INSERT INTO timing SELECT * FROM timing")
        else:
            db.execute(f"{what} {rows}")
        db.commit()
    told = r"is damaged: (rows that it held are missing|it does not|a row of its)"
    with pytest.raises(InputError, match=told):
        Ledger(ledger.path)


def test_whatever_is_damaged_is_refused_or_changes_nothing(tmp_path):
    """Single bits, single bytes, whole sectors, and the end of the file."""
    ledger = Ledger(tmp_path / "ledger.sqlite", create=META)
    ledger.enter(ENTRANT, 64)
    for seed in range(20):
        ledger.record(ENTRANT, seed, "heat", "dropped", history(30), None)
    ledger.note("a sentence")
    ledger.set(finished=True)
    ledger.close()
    content = ledger.path.read_bytes()

    def held(path: Path) -> list[Any]:
        with contextlib.closing(Ledger(path, read_only=True)) as found:
            return [list(found.rows(f"SELECT * FROM {table}")) for table in TABLES]

    whole = held(ledger.path)
    chance = random.Random(0)
    path, refused = tmp_path / "damaged.sqlite", 0
    for i in range(300):
        damaged = bytearray(content)
        if i % 6 == 0:
            del damaged[chance.randrange(len(damaged)) :]
        elif i % 6 == 1:
            at = chance.randrange(len(damaged))
            damaged[at : at + 512] = chance.randbytes(len(damaged[at : at + 512]))
        elif i % 6 == 2:
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        else:
            bit = chance.randrange(8 * (200 if i % 6 == 3 else len(damaged)))
            damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert held(path) == whole
        except InputError:
            refused += 1
        assert path.read_bytes() == damaged
    assert refused > 150
