"""The ledger: whole, versioned, never overwritten."""

from __future__ import annotations

import json
import os
import random
import sqlite3

import pytest

from slalom.errors import InputError
from slalom.racing.entrants import Entrant, families
from slalom.racing.ledger import Ledger
from slalom.racing.runner import History
from slalom.train import Evaluation
from small import META

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
    with pytest.raises(InputError, match="is a ledger of version 99; this Slalom reads version 3"):
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


def test_whatever_bytes_are_damaged_it_is_one_clear_error(tmp_path):
    """Or none, where a number became another, which nobody sees; but never a crash or a write."""
    ledger = Ledger(tmp_path / "ledger.sqlite", create=META)
    ledger.enter(ENTRANT, 64)
    for seed in range(20):
        ledger.record(ENTRANT, seed, "heat", "running", history(30), None)
    ledger.note("a sentence")
    ledger.close()
    content = ledger.path.read_bytes()
    chance = random.Random(0)
    refused = 0
    for i in range(200):
        damaged = bytearray(content)
        if i % 4 == 0:
            del damaged[chance.randrange(len(damaged)) :]
        elif i % 4 == 1:
            at = chance.randrange(len(damaged))
            damaged[at : at + 512] = chance.randbytes(len(damaged[at : at + 512]))
        else:
            for _ in range((1, 30)[i % 4 - 2]):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path = tmp_path / f"{i}.sqlite"
        path.write_bytes(damaged)
        try:
            found = Ledger(path)
        except InputError:
            refused += 1
            assert path.read_bytes() == damaged
            continue
        for table in ("meta", "entrant", "run", "evaluation", "note"):
            for row in found.rows(f"SELECT * FROM {table}"):
                json.dumps(row)
        for seed in range(20):
            found.history(0, seed)
        found.close()
    assert refused > 100
