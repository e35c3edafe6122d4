"""What a ledger holds: its tables, and how one that holds something else is told from it.

A ledger may come from elsewhere. What is read from one is looked at here first: nothing after this
needs to ask whether a value is there and of its kind.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from slalom.racing.status import Stage, Status


def _one_of(words: type[Stage] | type[Status]) -> str:
    return f"({', '.join(repr(str(word)) for word in words)})"


SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entrant (
    number INTEGER PRIMARY KEY, family TEXT NOT NULL, label TEXT NOT NULL, hypers TEXT NOT NULL,
    batch INTEGER NOT NULL CHECK (batch > 0), snippet TEXT NOT NULL,
    optimizer TEXT, arguments TEXT NOT NULL
);
CREATE TABLE run (
    entrant INTEGER NOT NULL REFERENCES entrant, seed INTEGER NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN {_one_of(Stage)}),
    status TEXT NOT NULL CHECK (status IN {_one_of(Status)}), reason TEXT NOT NULL,
    ended TEXT CHECK (ended IS NULL OR ended IN {_one_of(Status)}),
    steps INTEGER NOT NULL CHECK (steps >= 0), samples INTEGER NOT NULL CHECK (samples >= 0),
    seconds REAL NOT NULL CHECK (seconds BETWEEN 0 AND 1e300),
    steps_to_target INTEGER CHECK (steps_to_target > 0),
    samples_to_target INTEGER CHECK (samples_to_target > 0),
    seconds_to_target REAL CHECK (seconds_to_target BETWEEN 0 AND 1e300),
    CHECK ((steps_to_target IS NULL) = (samples_to_target IS NULL)),
    CHECK ((steps_to_target IS NULL) = (seconds_to_target IS NULL)),
    PRIMARY KEY (entrant, seed)
) WITHOUT ROWID;
CREATE TABLE evaluation (
    entrant INTEGER NOT NULL, seed INTEGER NOT NULL, step INTEGER NOT NULL CHECK (step >= 0),
    samples INTEGER NOT NULL CHECK (samples >= 0),
    seconds REAL NOT NULL CHECK (seconds BETWEEN 0 AND 1e300),
    train_loss REAL, valid_loss REAL, metric REAL,
    PRIMARY KEY (entrant, seed, step)
) WITHOUT ROWID;
CREATE TABLE timing (
    entrant INTEGER NOT NULL REFERENCES entrant, round INTEGER NOT NULL,
    seconds REAL NOT NULL CHECK (seconds BETWEEN 0 AND 1e300)
);
CREATE TABLE note (text TEXT NOT NULL UNIQUE);
"""
"""Not-a-number is kept as NULL. ``timing.seconds`` are those of one update.

``entrant.optimizer`` and ``arguments`` are a :class:`slalom.racing.snippet.Recipe`.
"""

TABLES = [s.strip() for s in re.split(r";\n(?=CREATE|$)", SCHEMA) if s.strip()]

Test = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _whole(least: int) -> Test:
    return lambda value: type(value) is int and least <= value < 2**63


def _or_none(test: Test) -> Test:
    return lambda value: value is None or test(value)


def _list(test: Test) -> Test:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _dict(test: Test) -> Test:
    return lambda value: isinstance(value, dict) and all(map(test, value.values()))


def _id(value: Any) -> bool:
    """What ``secrets.token_hex(8)`` makes; a folder is named by it."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value) is not None


META: Mapping[str, Test] = {
    "id": _id, "task": _text, "spec": _or_none(_text), "seed": _whole(0), "seeds": _whole(1),
    "points_each": _whole(1), "metric": _text, "higher_is_better": _flag,
    "batch_size": _whole(1), "n_train": _whole(1), "n_valid": _whole(1), "max_steps": _whole(1),
    "entrants": _list(_text), "search": lambda v: v == "all" or _list(_text)(v),
    "batch_sizes": _or_none(_list(_whole(1))), "baseline": _or_none(_text),
    "parameters": _whole(0), "first_losses": _list(_text), "target": _or_none(_number),
    "finished": _flag, "elapsed": _or_none(_number), "versions": _dict(_text), "created": _text,
    "again": _text, "validates_on_train": _flag, "interrupted": _flag, "timed": _flag,
}  # fmt: skip
"""The keys of the table ``meta``, and whether a value can be theirs."""

LATER = ("interrupted", "timed")
"""Keys that a ledger need not have."""


def faults(db: sqlite3.Connection) -> str:
    """What is wrong with a database that should be a ledger, in a few words; empty if nothing.

    Raises ``sqlite3.Error`` or ValueError for what cannot be read at all.
    """
    tables = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master") if sql}
    if tables != set(TABLES):
        return "its tables are not those of a ledger"
    (sound,) = db.execute("PRAGMA quick_check").fetchone()
    if sound != "ok":
        return sound
    return _faults_of_rows(db) or _faults_of_meta(db)


def _faults_of_rows(db: sqlite3.Connection) -> str:
    lawful = sqlite3.connect(":memory:")  # quick_check passes over constraints in some files
    lawful.executescript(SCHEMA)
    for table in ("meta", "entrant", "run", "evaluation", "timing", "note"):
        rows = db.execute(f"SELECT * FROM {table}")
        places = ", ".join("?" * len(rows.description))
        try:
            lawful.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
        except sqlite3.IntegrityError as error:
            return f"a row of its table {table} is none: {error}"
        for _, column, declared, needed, _, key in db.execute(f"PRAGMA table_info({table})"):
            kinds = f"'{declared.lower()}'" if needed or key else f"'{declared.lower()}', 'null'"
            wrong = f"SELECT 1 FROM {table} WHERE typeof({column}) NOT IN ({kinds})"
            if db.execute(wrong).fetchone():
                return f"{column} in its table {table} holds something else than {declared.lower()}"
    if db.execute("PRAGMA foreign_key_check").fetchone():
        return "it has runs of nobody"
    for number, hypers, arguments in db.execute("SELECT number, hypers, arguments FROM entrant"):
        if not _dict(_number)(_json(hypers)):
            return f"the hyper-parameters of entrant {number} are {hypers}"
        if not _dict(lambda value: True)(_json(arguments)):
            return f"the arguments of entrant {number} are {arguments}"
    return ""


def _faults_of_meta(db: sqlite3.Connection) -> str:
    found = {key: _json(value) for key, value in db.execute("SELECT key, value FROM meta")}
    for key, test in META.items():
        if key not in found and key not in LATER:
            return f"it does not say its {key}"
        if key in found and not test(found[key]):
            return f"its {key} is {json.dumps(found[key])}"
    return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
