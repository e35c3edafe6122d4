"""The ledger: the durable record of a race, from which everything that is shown is read."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from slalom.errors import InputError
from slalom.racing.entrants import Entrant
from slalom.racing.runner import Trace
from slalom.train import Evaluation

APPLICATION = 0x534C414C  # "SLAL"
VERSION = 1

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entrant (
    number INTEGER PRIMARY KEY, family TEXT NOT NULL, label TEXT NOT NULL, hypers TEXT NOT NULL,
    batch INTEGER NOT NULL, snippet TEXT NOT NULL
);
CREATE TABLE run (
    entrant INTEGER NOT NULL REFERENCES entrant, seed INTEGER NOT NULL, stage TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL, ended TEXT, steps INTEGER NOT NULL,
    samples INTEGER NOT NULL, seconds REAL NOT NULL,
    steps_to_target INTEGER, samples_to_target INTEGER, seconds_to_target REAL,
    PRIMARY KEY (entrant, seed)
) WITHOUT ROWID;
CREATE TABLE evaluation (
    entrant INTEGER NOT NULL, seed INTEGER NOT NULL, step INTEGER NOT NULL,
    samples INTEGER NOT NULL, seconds REAL NOT NULL,
    train_loss REAL, valid_loss REAL, metric REAL,
    PRIMARY KEY (entrant, seed, step)
) WITHOUT ROWID;
CREATE TABLE timing (entrant INTEGER NOT NULL, round INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE TABLE note (text TEXT NOT NULL UNIQUE);
"""
"""Not-a-number is kept as NULL. ``timing.seconds`` are those of one update."""


class Ledger:
    """A ledger, open for the one writer there is, or only to be read.

    Args:
        path: of the SQLite file. It must be a ledger of this version, whole, and
            :class:`InputError` says so if it is not. It is never overwritten.
        create: make it, whole or not at all whatever happens meanwhile, with these values in the
            table ``meta``.
    """

    def __init__(self, path: Path, *, create: Mapping[str, Any] | None = None):
        self.path = path
        if create is not None:
            if path.exists():
                raise InputError(f"{path} exists already; choose another folder, or resume it")
            try:
                self._make(create)
            except sqlite3.OperationalError as error:
                raise InputError(f"{path} cannot be written: {error}") from error
        if not path.is_file():
            raise InputError(f"there is no ledger {path}")
        self._db = sqlite3.connect(path, isolation_level=None)
        try:
            self._check()
        except BaseException:
            self._db.close()
            raise

    def _make(self, meta: Mapping[str, Any]) -> None:
        temporary = self.path.with_name(f".{self.path.name}-{secrets.token_hex(4)}")
        self._db = sqlite3.connect(temporary, isolation_level=None)
        with closing(self._db):
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(
                f"BEGIN; {SCHEMA} PRAGMA application_id={APPLICATION}; "
                f"PRAGMA user_version={VERSION}; COMMIT;"
            )
            self.set(**meta)
        os.replace(temporary, self.path)

    def _check(self) -> None:
        path = self.path
        try:
            self._db.execute("PRAGMA synchronous=NORMAL")
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            (sound,) = self._db.execute("PRAGMA quick_check").fetchone()
            if (application, version, sound) == (APPLICATION, VERSION, "ok"):
                sound = self._read_all()
        except (sqlite3.DatabaseError, ValueError) as error:  # ValueError: text that is none
            raise InputError(f"{path} cannot be read as a ledger: {error}") from error
        if application != APPLICATION:
            raise InputError(f"{path} is a database, but not a ledger of Slalom")
        if version != VERSION:
            raise InputError(
                f"{path} is a ledger of version {version}; this Slalom reads version {VERSION}"
            )
        if sound != "ok":
            raise InputError(f"{path} is damaged: {sound}")

    def _read_all(self) -> str:
        """``ok``, or what is wrong that SQLite does not see: other tables, or text that is none."""
        tables = {sql for (sql,) in self._db.execute("SELECT sql FROM sqlite_master") if sql}
        if tables != {statement.strip() for statement in SCHEMA.split(";")} - {""}:
            return "its tables are not those of a ledger"
        for table in ("entrant", "run", "evaluation", "timing", "note"):
            for _ in self._db.execute(f"SELECT * FROM {table}"):
                pass
        for (hypers,) in self._db.execute("SELECT hypers FROM entrant"):
            json.loads(hypers)
        if not self.meta:
            return "it does not say of which race"
        if self._db.execute("PRAGMA foreign_key_check").fetchone():
            return "it has runs of nobody"
        return "ok"

    def close(self) -> None:
        """Write all to the one file and let go of it."""
        self._db.close()

    def set(self, **values: Any) -> None:
        """Put values, as JSON, into the table ``meta``."""
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    @property
    def meta(self) -> dict[str, Any]:
        """The table ``meta``."""
        return {k: json.loads(v) for k, v in self._db.execute("SELECT key, value FROM meta")}

    def enter(self, entrant: Entrant, batch: int) -> None:
        """Record an entrant, once.

        Raises :class:`InputError` if there is another by its number: of a race that was begun with
        other ranges, or another baseline.
        """
        row = (
            entrant.number, entrant.family.label, entrant.label, json.dumps(dict(entrant.hypers)),
            batch, entrant.snippet(),
        )  # fmt: skip
        self._db.execute("INSERT OR IGNORE INTO entrant VALUES (?, ?, ?, ?, ?, ?)", row)
        found = self._db.execute("SELECT * FROM entrant WHERE number = ?", row[:1]).fetchone()
        if found != row:
            raise InputError(
                f"{self.path} is a race with {found[2]} ({found[5]!r}) where this one has {row[2]} "
                f"({row[5]!r}); resume it as it was begun"
            )

    def record(
        self, entrant: Entrant, seed: int, stage: str, status: str, trace: Trace,
        crossing: Evaluation | None,
    ) -> None:  # fmt: skip
        """Record all that is known of a run, in one transaction."""
        last = trace.evaluations[-1] if trace.evaluations else None
        counts = (last.step, last.samples, last.seconds) if last else (0, 0, 0.0)
        reached = (
            (crossing.step, crossing.samples, crossing.seconds) if crossing else (None, None, None)
        )
        key = entrant.number, seed
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, stage, status, trace.reason, trace.ended, *counts, *reached),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO evaluation VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (*key, e.step, e.samples, e.seconds, e.train_loss, e.valid_loss, e.metric)
                    for e in trace.evaluations
                ],
            )

    def time(self, numbers: list[int], rounds: list[list[float]]) -> None:
        """Record seconds an update: for each entrant, of each round."""
        with self._transaction():
            self._db.execute("DELETE FROM timing")
            self._db.executemany(
                "INSERT INTO timing VALUES (?, ?, ?)",
                [
                    (n, i, s)
                    for n, series in zip(numbers, rounds, strict=True)
                    for i, s in enumerate(series)
                ],
            )

    def note(self, text: str) -> None:
        """Record a sentence that people should read, once."""
        self._db.execute("INSERT OR IGNORE INTO note VALUES (?)", (text,))

    def trace(self, number: int, seed: int) -> Trace:
        """What is known of a run; an empty trace if nothing."""
        found = self._db.execute(
            "SELECT ended, reason FROM run WHERE entrant = ? AND seed = ?", (number, seed)
        ).fetchone()
        if found is None:
            return Trace()
        rows = self._db.execute(
            "SELECT step, samples, seconds, train_loss, valid_loss, metric FROM evaluation "
            "WHERE entrant = ? AND seed = ? ORDER BY step", (number, seed),
        )  # fmt: skip
        nan = float("nan")
        evaluations = (Evaluation(*r[:3], *(nan if x is None else x for x in r[3:])) for r in rows)
        return Trace(tuple(evaluations), *found)

    def rows(self, query: str, *values: Any) -> Iterator[dict[str, Any]]:
        """The rows of a query, as dicts."""
        with closing(self._db.execute(query, values)) as cursor:
            names = [c[0] for c in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    def __init__(self, db: sqlite3.Connection):
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN")

    def __exit__(self, kind: Any, *rest: Any) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
