"""A small task that races in a second."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slalom.racing.content import TABLES, checksum
from slalom.train import Task

INTERRUPTIBLE: dict[str, Any] = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
"""For subprocess: Ctrl-C ends what is started, though it is ignored here, as in the background."""

ENTRANTS = ["SGD", "Momentum", "Adam"]


def small_task(**options) -> Task:
    """Tell the two sides of a plane apart, from 192 samples of 6 numbers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 6, generator=generator)
    y = (x @ torch.randn(6, generator=generator) > 0).long()
    given = {"target": 0.95, "batch_size": 16, "max_steps": 400, "eval_every": 5, "name": "small"}
    given |= options
    return Task(
        lambda: nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 2)),
        nn.CrossEntropyLoss(), (x[:192], y[:192]), (x[192:], y[192:]), **given,
    )  # fmt: skip


META = {
    "id": "0123456789abcdef", "task": "small", "spec": None, "seed": 3, "seeds": 3,
    "points_each": 4, "metric": "accuracy", "higher_is_better": True, "batch_size": 16,
    "n_train": 192, "n_valid": 64, "max_steps": 400, "entrants": ["Adam"], "search": ["lr"],
    "batch_sizes": None, "baseline": None, "parameters": 110, "first_losses": ["0.7", "0.7"],
    "goal": 0.95, "eval_every": 5, "replacement": False, "device": "cpu",
    "runtime": {"torch": "2"}, "fingerprints": {"loss": "00"},
    "target": 0.95, "finished": False, "elapsed": None, "versions": {"slalom": "0"},
    "created": "2026-01-01T00:00:00+00:00", "again": "slalom race small",
    "validates_on_train": False, "about": "settings", "full": False, "budget": None,
    "schedule": None, "sampler": None,
}  # fmt: skip
"""What the ledger of a race on the small task says of it."""


@contextlib.contextmanager
def changed(path: Path) -> Iterator[sqlite3.Connection]:
    """The database of a ledger, to be changed by any means, and sealed again: by one who knows."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        yield db
        checksums: list[int] = []
        for table in TABLES:
            rows = db.execute(f"SELECT * FROM {table}").fetchall()
            db.execute(f"DELETE FROM {table}")
            for *row, _ in rows:
                checksums.append(checksum(table, row))
                places = ", ".join("?" * (len(row) + 1))
                db.execute(f"INSERT INTO {table} VALUES ({places})", (*row, checksums[-1]))
        db.execute("UPDATE seal SET rows = ?, sum = ?", (len(checksums), sum(checksums)))
        db.commit()
