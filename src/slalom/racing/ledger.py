"""The ledger: the durable record of a race, from which everything that is shown is read."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slalom.errors import InputError
from slalom.plain import plain
from slalom.racing.content import META, SCHEMA, columns, faults, sealed
from slalom.racing.entrants import Entrant
from slalom.racing.lock import Lock
from slalom.racing.runner import History
from slalom.racing.snapshot import beside, to_read
from slalom.racing.snippet import Recipe
from slalom.racing.status import Stage, Status
from slalom.train import Evaluation

APPLICATION = 0x534C414C  # "SLAL"
VERSION = 5


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
        self._check_files(create is not None, read_only)
        self._lock = None if read_only else Lock(path)
        try:
            self._check_files(create is not None, read_only)  # who had the lock may have made it
            if create is not None:
                self._make(create)
            try:
                self._open(read_only)
            except BaseException:
                if create is not None:
                    _remove(path)
                raise
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def _check_files(self, create: bool, read_only: bool) -> None:
        """Raise InputError for what is there, or is not, or came with it and is not of a race."""
        path = self.path
        if create:
            if path.exists():
                raise InputError(f"{path} exists already; choose another folder, or resume it")
        elif not path.is_file():
            raise InputError(f"there is no ledger {path}")
        if path.is_symlink() and not read_only:
            raise InputError(f"{path} is a link; go on with the race where its ledger lies")
        journal = beside(path, "journal")
        if journal.is_symlink() or _end(journal, len(SUPER)) == SUPER:
            raise InputError(f"{journal} is not of a race; remove it")

    def _make(self, meta: Mapping[str, Any]) -> None:
        """Make it beside its place, in one file that is on the disk before it is renamed."""
        temporary = self.path.with_name(f".{self.path.name}-{secrets.token_hex(4)}")
        try:
            self._db = sqlite3.connect(temporary, isolation_level=None)
            with contextlib.closing(self._db):
                self._db.executescript(
                    f"BEGIN; {SCHEMA} INSERT INTO seal VALUES (0, 0); COMMIT; "
                    f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION};"
                )
                with self._together():
                    self._put_meta(meta)
                self._db.execute("PRAGMA journal_mode=WAL")
            os.replace(temporary, self.path)
        except sqlite3.Error as error:
            _remove(temporary)
            raise InputError(f"{self.path} cannot be made: {error}") from error
        except BaseException:
            _remove(temporary)
            raise

    def _open(self, read_only: bool) -> None:
        path = self.path
        try:
            self._db = to_read(path) if read_only else sqlite3.connect(path, isolation_level=None)
            try:
                self._db.execute("PRAGMA trusted_schema=OFF")
                self._check()
                if not read_only:
                    self._opened = os.stat(path)
                    self._db.execute("PRAGMA synchronous=NORMAL")
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"{path} cannot be {_undone(error)}: {error}") from error

    def _check(self) -> None:
        path = self.path
        try:
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            fault = ""
            if (application, version) == (APPLICATION, VERSION):
                fault = faults(self._db)
        except (sqlite3.Error, ValueError) as error:  # ValueError: text that is none
            raise InputError(f"{path} cannot be {_undone(error)}: {error}") from error
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
        if self._lock is not None:
            self._lock.release()

    def set(self, **values: Any) -> None:
        """Put values, as JSON, into the table ``meta``: those of :data:`~.content.META`.

        Runs that a finished race did not go on with were dropped.
        """
        with self._transaction():
            self._put_meta(values)
            if values.get("finished"):
                self._drop_running()

    def _put_meta(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            if not META[key](value):
                raise ValueError(f"no ledger keeps {value!r} as its {key}")
            self._put("meta", {"key": key}, json.dumps(value))

    def _drop_running(self) -> None:
        names = [column.name for column in columns("run")]
        running = self._db.execute(
            f"SELECT {', '.join(names)} FROM run WHERE status = ?", (str(Status.RUNNING),)
        ).fetchall()
        for row in running:
            run = dict(zip(names, row, strict=True)) | {"status": Status.DROPPED}
            key = {name: run.pop(name) for name in ("entrant", "seed")}
            self._put("run", key, *run.values())

    @property
    def meta(self) -> dict[str, Any]:
        """The table ``meta``."""
        return {k: json.loads(v) for k, v in self._db.execute("SELECT key, value FROM meta")}

    def enter(
        self, entrant: Entrant, batch: int, parameters: str = "model.parameters()", under: str = ""
    ) -> None:
        """Record an entrant, once; ``parameters`` is how what it is given is written in Python, and
        ``under`` what its snippet says of the schedule.

        Raises :class:`InputError` if there is another by its number: of a race that was begun with
        other ranges, or another baseline.
        """
        recipe = entrant.recipe
        row = sealed("entrant", (
            entrant.number, entrant.family.label, entrant.label, json.dumps(dict(entrant.hypers)),
            batch, entrant.snippet(parameters, under), recipe.name, recipe.arguments_as_json(),
        ))  # fmt: skip
        found = self._db.execute("SELECT * FROM entrant WHERE number = ?", row[:1]).fetchone()
        if found is None:
            with self._transaction():
                self._put("entrant", {"number": row[0]}, *row[1:-1])
        elif found != row:
            raise InputError(
                f"{self.path} is a race with {found[2]} ({found[5]!r}) where this one has {row[2]} "
                f"({row[5]!r}); resume it as it was begun"
            )

    def recipe(self, number: int) -> Recipe:
        """How the optimizer of an entrant was made, as far as that is on record."""
        return Recipe.read(
            *self._db.execute(
                "SELECT optimizer, arguments FROM entrant WHERE number = ?", (number,)
            ).fetchone()
        )

    def record(
        self, entrant: Entrant, seed: int, stage: Stage, status: Status, history: History,
        crossing: Evaluation | None,
    ) -> None:  # fmt: skip
        """Record what has become of a run, and all that is known of it, in one transaction.

        Evaluations are only ever added: what was trained is kept where a shorter history decided.
        """
        key = {"entrant": entrant.number, "seed": seed}
        known = self.history(entrant.number, seed)
        new = history.evaluations[len(known.evaluations) :]
        if len(history.evaluations) < len(known.evaluations):
            history = known
        last = history.evaluations[-1] if history.evaluations else None
        counts = (last.step, last.samples, last.seconds) if last else (0, 0, 0.0)
        reached = (
            (crossing.step, crossing.samples, crossing.seconds) if crossing else (None, None, None)
        )
        with self._transaction():
            told = plain(history.reason), history.ended
            self._put("run", key, stage, status, *told, *counts, *reached)
            for e in new:
                losses = e.train_loss, e.valid_loss, e.metric
                self._put("evaluation", key | {"step": e.step}, e.samples, e.seconds, *losses)

    def time(self, numbers: list[int], rounds: list[list[float]]) -> None:
        """Record seconds an update: for each entrant, of each round."""
        with self._transaction():
            self._take("timing", {})
            for number, series in zip(numbers, rounds, strict=True):
                for i, seconds in enumerate(series):
                    self._put("timing", {"entrant": number, "round": i}, seconds)

    def note(self, text: str) -> None:
        """Record a sentence that people should read, once; control characters are written out."""
        text = plain(text)
        if not self._db.execute("SELECT 1 FROM note WHERE text = ?", (text,)).fetchone():
            with self._transaction():
                self._put("note", {"text": text})

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

    def _put(self, table: str, key: Mapping[str, Any], *values: Any) -> None:
        """Write a row, in place of the one with this key: its first columns."""
        row = sealed(table, (*key.values(), *values))
        self._take(table, key)
        self._db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        self._change(1, row[-1])

    def _take(self, table: str, key: Mapping[str, Any]) -> None:
        """Remove the rows that hold these values."""
        where = " AND ".join(f"{name} = ?" for name in key) or "1"
        values = list(key.values())
        found = self._db.execute(f"SELECT checksum FROM {table} WHERE {where}", values).fetchall()
        if found:
            self._db.execute(f"DELETE FROM {table} WHERE {where}", values)
            self._change(-len(found), -sum(checksum for (checksum,) in found))

    def _change(self, rows: int, checksums: int) -> None:
        self._changed = self._changed[0] + rows, self._changed[1] + checksums

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written in the block, or nothing of it; what SQLite cannot, as a sentence."""
        if not self._still_there():
            raise InputError(
                f"{self.path} was removed or moved while it was raced; resume it from where it "
                "is, or begin anew"
            )
        try:
            with self._together():
                yield
        except sqlite3.Error as error:
            raise InputError(
                f"{self.path} cannot be written: {error}; what it holds is whole, and the race can "
                "be resumed once there is room"
            ) from error

    def _still_there(self) -> bool:
        """Whether its path leads to the file that is open: SQLite would go on with one that was
        removed, and all would be lost at the end."""
        try:
            return os.path.samestat(self._opened, os.stat(self.path))
        except OSError:
            return False

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        self._changed = 0, 0
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("UPDATE seal SET rows = rows + ?, sum = sum + ?", self._changed)
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")


NO_FAULT_OF_ITS_OWN = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
}
"""What SQLite says of a disk that is full or fails, and not of a file."""


def _undone(error: Exception) -> str:
    """What could not be done with a file: the fault is its own, or that of where it lies."""
    elsewhere = getattr(error, "sqlite_errorcode", 0) & 0xFF in NO_FAULT_OF_ITS_OWN
    return "opened" if elsewhere or isinstance(error, OSError) else "read as a ledger"


SUPER = bytes.fromhex("d9d505f920a163d7")
"""The end of a journal that names another file, which SQLite would remove; ours name none."""


def _end(path: Path, length: int) -> bytes:
    """The last bytes of a file; none of what is no file."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - length))
        return file.read()


def _remove(path: Path) -> None:
    """A database and all that SQLite puts beside it."""
    for file in (path, *(beside(path, what) for what in ("wal", "shm", "journal"))):
        file.unlink(missing_ok=True)
