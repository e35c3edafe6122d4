"""The ledger: the durable record of a race, from which everything that is shown is read."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slalom.errors import InputError
from slalom.racing.content import SCHEMA, faults
from slalom.racing.entrants import Entrant
from slalom.racing.runner import History
from slalom.racing.snippet import Recipe
from slalom.racing.status import Stage, Status
from slalom.train import Evaluation

APPLICATION = 0x534C414C  # "SLAL"
VERSION = 2


class Ledger:
    """A ledger, open for the one writer there is, or only to be read.

    Args:
        path: of the SQLite file. It must be a ledger of this version, whole, and
            :class:`InputError` says so if it is not. It is never overwritten.
        create: make it, whole or not at all whatever happens meanwhile, with these values in the
            table ``meta``; :data:`slalom.racing.content.META` says which.
        read_only: nothing is written, so that a ledger can be read where nothing may be, or where
            a race is still being written to it.

    What cannot be written (the disk is full) raises :class:`InputError`; what was recorded before
    stays.
    """

    def __init__(
        self, path: Path, *, create: Mapping[str, Any] | None = None, read_only: bool = False
    ):
        self.path = path
        if create is not None:
            if path.exists():
                raise InputError(f"{path} exists already; choose another folder, or resume it")
            self._make(create)
        if not path.is_file():
            raise InputError(f"there is no ledger {path}")
        try:
            self._db = _to_read(path) if read_only else sqlite3.connect(path, isolation_level=None)
            try:
                self._check()
                if not read_only:
                    with self._written():
                        self._db.execute("PRAGMA journal_mode=WAL")
                        self._db.execute("PRAGMA synchronous=NORMAL")
            except BaseException:
                self._db.close()
                raise
        except BaseException as error:
            if create is not None:
                _remove(path)
            if isinstance(error, sqlite3.Error):
                raise InputError(f"{path} cannot be opened: {error}") from error
            raise

    def _make(self, meta: Mapping[str, Any]) -> None:
        """Make it beside its place, in one file that is on the disk before it is renamed."""
        temporary = self.path.with_name(f".{self.path.name}-{secrets.token_hex(4)}")
        try:
            self._db = sqlite3.connect(temporary, isolation_level=None)
            with contextlib.closing(self._db):
                self._db.executescript(
                    f"BEGIN; {SCHEMA} PRAGMA application_id={APPLICATION}; "
                    f"PRAGMA user_version={VERSION};"
                )
                self._put(meta)
                self._db.execute("COMMIT")
            os.replace(temporary, self.path)
        except sqlite3.Error as error:
            _remove(temporary)
            raise InputError(f"{self.path} cannot be made: {error}") from error
        except BaseException:
            _remove(temporary)
            raise

    def _check(self) -> None:
        path = self.path
        try:
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            fault = ""
            if (application, version) == (APPLICATION, VERSION):
                fault = faults(self._db)
        except (sqlite3.Error, ValueError) as error:  # ValueError: text that is none
            raise InputError(f"{path} cannot be read as a ledger: {error}") from error
        if application != APPLICATION:
            raise InputError(f"{path} is a database, but not a ledger of Slalom")
        if version != VERSION:
            raise InputError(
                f"{path} is a ledger of version {version}; this Slalom reads version {VERSION}"
            )
        if fault:
            raise InputError(f"{path} is damaged: {fault}")

    def close(self) -> None:
        """Write all to the one file and let go of it."""
        self._db.close()

    def set(self, **values: Any) -> None:
        """Put values, as JSON, into the table ``meta``."""
        with self._transaction():
            self._put(values)

    def _put(self, values: Mapping[str, Any]) -> None:
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    @property
    def meta(self) -> dict[str, Any]:
        """The table ``meta``."""
        return {k: json.loads(v) for k, v in self._db.execute("SELECT key, value FROM meta")}

    def enter(self, entrant: Entrant, batch: int, parameters: str = "model.parameters()") -> None:
        """Record an entrant, once; ``parameters`` is how what it is given is written in Python.

        Raises :class:`InputError` if there is another by its number: of a race that was begun with
        other ranges, or another baseline.
        """
        recipe = entrant.recipe
        row = (
            entrant.number, entrant.family.label, entrant.label, json.dumps(dict(entrant.hypers)),
            batch, entrant.snippet(parameters), recipe.name, json.dumps(recipe.arguments),
        )  # fmt: skip
        with self._written():
            self._db.execute("INSERT OR IGNORE INTO entrant VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        found = self._db.execute("SELECT * FROM entrant WHERE number = ?", row[:1]).fetchone()
        if found != row:
            raise InputError(
                f"{self.path} is a race with {found[2]} ({found[5]!r}) where this one has {row[2]} "
                f"({row[5]!r}); resume it as it was begun"
            )

    def recipe(self, number: int) -> Recipe:
        """How the optimizer of an entrant was made, as far as that is on record."""
        name, arguments = self._db.execute(
            "SELECT optimizer, arguments FROM entrant WHERE number = ?", (number,)
        ).fetchone()
        known = json.loads(arguments).items()
        return Recipe(name, {n: tuple(v) if isinstance(v, list) else v for n, v in known})

    def record(
        self, entrant: Entrant, seed: int, stage: Stage, status: Status, history: History,
        crossing: Evaluation | None,
    ) -> None:  # fmt: skip
        """Record all that is known of a run, in one transaction."""
        last = history.evaluations[-1] if history.evaluations else None
        counts = (last.step, last.samples, last.seconds) if last else (0, 0, 0.0)
        reached = (
            (crossing.step, crossing.samples, crossing.seconds) if crossing else (None, None, None)
        )
        key = entrant.number, seed
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, stage, status, history.reason, history.ended, *counts, *reached),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO evaluation VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (*key, e.step, e.samples, e.seconds, e.train_loss, e.valid_loss, e.metric)
                    for e in history.evaluations
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
        with self._written():
            self._db.execute("INSERT OR IGNORE INTO note VALUES (?)", (text,))

    def history(self, number: int, seed: int) -> History:
        """What is known of a run; an empty history if nothing."""
        found = self._db.execute(
            "SELECT ended, reason FROM run WHERE entrant = ? AND seed = ?", (number, seed)
        ).fetchone()
        if found is None:
            return History()
        rows = self._db.execute(
            "SELECT step, samples, seconds, train_loss, valid_loss, metric FROM evaluation "
            "WHERE entrant = ? AND seed = ? ORDER BY step", (number, seed),
        )  # fmt: skip
        nan = float("nan")
        evaluations = (Evaluation(*r[:3], *(nan if x is None else x for x in r[3:])) for r in rows)
        ended, reason = found
        return History(tuple(evaluations), ended and Status(ended), reason)

    def rows(self, query: str, *values: Any) -> Iterator[dict[str, Any]]:
        """The rows of a query, as dicts."""
        with contextlib.closing(self._db.execute(query, values)) as cursor:
            names = [c[0] for c in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        """What SQLite cannot write, as a sentence."""
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(
                f"{self.path} cannot be written: {error}; what it holds is whole, and the race can "
                "be resumed once there is room"
            ) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written in the block, or nothing of it."""
        with self._written():
            self._db.execute("BEGIN")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")


def _to_read(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, wherever the file lies.

    SQLite writes beside the file to read one whose log was not merged into it yet, as that of a
    race which is under way or was killed; where it may not, a copy is read. Any other is whole.
    """
    log = path.with_name(f"{path.name}-wal")
    if not (log.is_file() and log.stat().st_size):
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        return sqlite3.connect(uri, isolation_level=None, uri=True)
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return sqlite3.connect(path, isolation_level=None)
    with tempfile.TemporaryDirectory(prefix="slalom-") as folder:
        for file in (path, log):
            shutil.copyfile(file, Path(folder, file.name))
        copied = sqlite3.connect(Path(folder, path.name), isolation_level=None)
        with contextlib.closing(copied):
            in_memory = sqlite3.connect(":memory:", isolation_level=None)
            copied.backup(in_memory)
            return in_memory


def _remove(path: Path) -> None:
    """A database and all that SQLite puts beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
