"""What a ledger holds: its tables, and how one that holds something else is told from it.

A ledger may come from elsewhere. What is read from one is looked at here first: nothing after this
needs to ask whether a value is there, of its kind, as it was written, and fit to be shown.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Any, NamedTuple

from slalom.plain import unprintable
from slalom.racing.snippet import Recipe
from slalom.racing.space import HYPER
from slalom.racing.status import Stage, Status


def _one_of(words: type[Stage] | type[Status]) -> str:
    return f"({', '.join(repr(str(word)) for word in words)})"


SCHEMA = f"""
CREATE TABLE meta (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE entrant (
    number INTEGER PRIMARY KEY, family TEXT NOT NULL, label TEXT NOT NULL, hypers TEXT NOT NULL,
    batch INTEGER NOT NULL CHECK (batch > 0), snippet TEXT NOT NULL,
    optimizer TEXT, arguments TEXT NOT NULL, checksum INTEGER NOT NULL
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
    checksum INTEGER NOT NULL,
    CHECK ((steps_to_target IS NULL) = (samples_to_target IS NULL)),
    CHECK ((steps_to_target IS NULL) = (seconds_to_target IS NULL)),
    PRIMARY KEY (entrant, seed)
) WITHOUT ROWID;
CREATE TABLE evaluation (
    entrant INTEGER NOT NULL, seed INTEGER NOT NULL, step INTEGER NOT NULL CHECK (step >= 0),
    samples INTEGER NOT NULL CHECK (samples >= 0),
    seconds REAL NOT NULL CHECK (seconds BETWEEN 0 AND 1e300),
    train_loss REAL, valid_loss REAL, metric REAL, checksum INTEGER NOT NULL,
    PRIMARY KEY (entrant, seed, step),
    FOREIGN KEY (entrant, seed) REFERENCES run
) WITHOUT ROWID;
CREATE TABLE timing (
    entrant INTEGER NOT NULL REFERENCES entrant, round INTEGER NOT NULL,
    seconds REAL NOT NULL CHECK (seconds BETWEEN 0 AND 1e300), checksum INTEGER NOT NULL
);
CREATE TABLE note (text TEXT NOT NULL UNIQUE, checksum INTEGER NOT NULL);
CREATE TABLE seal (rows INTEGER NOT NULL, sum INTEGER NOT NULL);
"""
"""Not-a-number is kept as NULL. ``timing.seconds`` are those of one update.

``entrant.optimizer`` and ``arguments`` are a :class:`slalom.racing.snippet.Recipe`. The last column
of a row is its :func:`checksum`; the only row of ``seal`` tells how many rows there are in all, and
the sum of their checksums, so that none can go missing.
"""

STATEMENTS = [s.strip() for s in re.split(r";\n(?=CREATE|$)", SCHEMA) if s.strip()]
TABLES = ("meta", "entrant", "run", "evaluation", "timing", "note")
"""Those whose rows are sealed; each before those that refer to it."""

KINDS = {"INTEGER": int, "REAL": float, "TEXT": str}


class Column(NamedTuple):
    """A column: its name, the type of what is read from it, and whether there may be nothing."""

    name: str
    kind: type
    empty: bool


@cache
def columns(table: str) -> tuple[Column, ...]:
    """The columns of a table, but for the checksum."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        found = db.execute(f"PRAGMA table_info({table})").fetchall()
    return tuple(
        Column(name, KINDS[kind], not (needed or key))
        for _, name, kind, needed, _, key in found
        if name != "checksum"
    )


def sealed(table: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """A row as it is kept and will be read, its checksum at its end."""
    row = tuple(
        _kept(column.kind, value) for column, value in zip(columns(table), values, strict=True)
    )
    return (*row, checksum(table, row))


def _kept(kind: type, value: Any) -> Any:
    if value is None or value != value:
        return None
    return kind(value) + 0.0 if kind is float else kind(value)  # SQLite knows no -0.0


def checksum(table: str, row: Sequence[Any]) -> int:
    """The checksum of a row, which tells a row that was damaged: a number below 2^32."""
    return zlib.crc32(repr((table, *row)).encode())


Test = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and not unprintable(value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _hyper(value: Any) -> bool:
    """Whether it is a value that an option may have been given."""
    return value is None or isinstance(value, bool) or _number(value) or _text(value)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _whole(least: int) -> Test:
    return lambda value: type(value) is int and least <= value < 2**63


def _or_none(test: Test) -> Test:
    return lambda value: value is None or test(value)


def _list(test: Test) -> Test:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _dict(test: Test) -> Test:
    return lambda v: isinstance(v, dict) and all(map(_text, v)) and all(map(test, v.values()))


def _id(value: Any) -> bool:
    """What ``secrets.token_hex(8)`` makes; a folder is named by it."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value) is not None


META: Mapping[str, Test] = {
    "id": _id, "task": _text, "spec": _or_none(_text), "seed": _whole(0), "seeds": _whole(1),
    "points_each": _or_none(_whole(1)), "about": lambda v: v in ("settings", "rules"),
    "full": _flag, "finals_every": _whole(1), "finalists": _list(_text),
    "metric": _text, "higher_is_better": _flag,
    "goal": _or_none(_number), "batch_size": _whole(1), "n_train": _whole(1),
    "n_valid": _whole(1), "max_steps": _whole(1), "eval_every": _whole(1), "replacement": _flag,
    "device": _text, "entrants": _list(_text), "search": lambda v: v == "all" or _list(_text)(v),
    "batch_sizes": _or_none(_list(_whole(1))), "baseline": _or_none(_text),
    "parameters": _whole(0), "runtime": _dict(_text), "fingerprints": _dict(_text),
    "first_losses": _list(_text), "target": _or_none(_number),
    "finished": _flag, "elapsed": _or_none(_number), "versions": _dict(_text), "created": _text,
    "budget": _or_none(_text), "sampler": _or_none(_text), "schedule": _or_none(_text),
    "lanes": _whole(1), "compiled": _flag, "paces": _dict(_number),
    "again": _text, "validates_on_train": _flag, "interrupted": _flag, "timed": _flag,
}  # fmt: skip
"""The keys of the table ``meta``, and whether a value can be theirs."""

LATER = ("interrupted", "timed", "finals_every", "finalists", "paces", "lanes", "compiled")
"""Keys that a ledger need not have: what comes later in a race, or came later into Slalom."""


def faults(db: sqlite3.Connection) -> str:
    """What is wrong with a database that should be a ledger, in a few words; empty if nothing.

    Raises ``sqlite3.Error`` or ValueError for what cannot be read at all.
    """
    made = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master") if sql}
    if made != set(STATEMENTS):
        return "its tables are not those of a ledger"
    (sound,) = db.execute("PRAGMA quick_check").fetchone()
    if sound != "ok":  # a headline, and a line for each finding
        return sound.partition("***\n")[2].partition("\n")[0] or sound
    sums: list[int] = []
    fault = _faults_of_rows(db, sums) or _faults_of_entrants(db) or _faults_of_meta(db)
    if not fault and db.execute("SELECT * FROM seal").fetchall() != [(len(sums), sum(sums))]:
        return "rows that it held are missing"
    return fault


def _faults_of_rows(db: sqlite3.Connection, sums: list[int]) -> str:
    with closing(sqlite3.connect(":memory:")) as lawful:  # quick_check passes over constraints
        lawful.executescript(f"PRAGMA foreign_keys = ON; {SCHEMA}")
        for table in TABLES:
            places = ", ".join("?" * (len(columns(table)) + 1))
            rows = db.execute(f"SELECT * FROM {table}")
            try:
                lawful.executemany(
                    f"INSERT INTO {table} VALUES ({places})", _read(table, rows, sums)
                )
            except sqlite3.IntegrityError as error:
                return f"a row of its table {table} is none: {error}"
            except _FaultError as fault:
                return str(fault)
        later = "samples_to_target > samples OR steps_to_target > steps"
        if lawful.execute(f"SELECT 1 FROM run WHERE {later}").fetchone():
            return "a run of it reached the target after it had ended"
    return ""


class _FaultError(Exception):
    """What is wrong with a row."""


def _read(
    table: str, rows: Iterator[tuple[Any, ...]], sums: list[int]
) -> Iterator[tuple[Any, ...]]:
    """The rows of a table, if they are as they were written; adds their checksums to ``sums``."""
    kept = columns(table)
    for row in rows:
        *values, found = row
        for column, value in zip(kept, values, strict=True):
            if type(value) is not column.kind and not (column.empty and value is None):
                raise _FaultError(
                    f"{column.name} in its table {table} holds something else than "
                    f"{column.kind.__name__}"
                )
            shown = value or ""
            if column.name == "snippet":
                shown = shown.replace("\n", "")
            if column.kind is str and unprintable(shown):
                raise _FaultError(f"{column.name} in its table {table} holds control characters")
        if found != checksum(table, values):
            raise _FaultError(f"a row of its table {table} is not as it was written")
        sums.append(found)
        yield row


def _faults_of_entrants(db: sqlite3.Connection) -> str:
    entrants = db.execute("SELECT number, hypers, optimizer, arguments FROM entrant")
    for number, hypers, optimizer, arguments in entrants:
        found = _json(hypers)
        if not _dict(_hyper)(found) or not all(map(HYPER.fullmatch, found)):
            return f"the hyper-parameters of entrant {number} are {_short(hypers)}"
        try:
            Recipe.read(optimizer, arguments)
        except (ValueError, TypeError, RecursionError):
            return f"the arguments of entrant {number} are {_short(arguments)}"
    return ""


def _faults_of_meta(db: sqlite3.Connection) -> str:
    found = {key: _json(value) for key, value in db.execute("SELECT key, value FROM meta")}
    for key, test in META.items():
        if key not in found and key not in LATER:
            return f"it does not say its {key}"
        if key in found and not test(found[key]):
            return f"its {key} is {_short(json.dumps(found[key]))}"
    for key in found.keys() - META.keys():
        return f"it says its {key}, which no race has"
    running = db.execute("SELECT 1 FROM run WHERE status = ?", (str(Status.RUNNING),))
    if found["finished"] and running.fetchone():
        return "it is finished, and runs of it are not"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
