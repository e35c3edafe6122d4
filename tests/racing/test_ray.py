"""A race on a Ray cluster of two nodes, of which a worker is killed: the same standings."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import slalom
from slalom.errors import InputError
from slalom.racing import events
from slalom.racing.result import Result
from small import ENTRANTS, small_task

ray = pytest.importorskip("ray", reason="Ray is not installed")

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Any:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield made
    ray.shutdown()
    made.shutdown()


def found(result: Result) -> object:
    rows = [
        (s.place, s.label, s.status, s.reached, s.seeds, s.steps_to_target, s.best_metric)
        for s in result.standings
    ]
    runs = sorted((c.label, c.seed, c.stage, c.status, c.step, *c.metric) for c in result.curves)
    return rows, runs, result.winner


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = status.read_text().rpartition(")")
            if int(rest.split()[1]) == pid and "ray::_Actor" in name:
                found.append(int(status.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds a node's workers in /proc")
def test_a_worker_killed_in_mid_race(cluster: Any, tmp_path: Path, raced: Result) -> None:
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    nodes = second, cluster.head_node  # Ray spreads the workers as it sees fit
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    killed: list[int] = []
    moved = 0

    def watch(event: events.Event) -> None:
        nonlocal moved
        moved += isinstance(event, events.Moved)
        if moved > 5 and not killed:  # as soon as there is one, which takes its time
            for pid in [pid for raylet in raylets for pid in children(raylet)][:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    result = slalom.race(
        small_task(), entrants=ENTRANTS, points_each=4, seeds=3, out=tmp_path / "it", workers=2,
        engine="ray", address=cluster.address, watch=watch,
    )  # fmt: skip
    assert killed, "no worker was found"
    assert found(result) == found(raced)


def test_a_node_lost_in_mid_race(cluster: Any, tmp_path: Path, raced: Result) -> None:
    """Those that are left are enough, though they have fewer CPUs than there are workers."""
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    moved = 0

    def watch(event: events.Event) -> None:
        nonlocal moved
        moved += isinstance(event, events.Moved)
        if moved == 20 and isinstance(event, events.Moved):
            cluster.remove_node(second, allow_graceful=False)

    result = slalom.race(
        small_task(), entrants=ENTRANTS, points_each=4, seeds=3, out=tmp_path / "it", workers=2,
        engine="ray", address=cluster.address, watch=watch,
    )  # fmt: skip
    assert moved > 20
    assert second not in cluster.list_all_nodes()
    assert found(result) == found(raced)


FILE = """
import torch
from torch import nn
from small import small_task

class Mine(nn.Linear):
    def __init__(self):
        super().__init__(6, 2)

task = small_task()
task.model = Mine
"""


def test_a_cluster_of_its_own(tmp_path: Path, raced: Result) -> None:
    """Started for the race, and stopped after it; entrants may be lambdas."""
    entrants = {**{name: name for name in ENTRANTS}}
    result = slalom.race(
        small_task(), entrants=entrants, points_each=4, seeds=3, out=tmp_path / "it", workers=2,
        engine="ray",
    )  # fmt: skip
    assert found(result) == found(raced)
    assert not ray.is_initialized()
    file = tmp_path / "mine.py"  # not to be imported where the actors are
    file.write_text(FILE)
    mine = {"mine": lambda params: slalom.optim.Adam(params, lr=0.02), "SGD": slalom.optim.SGD}
    result = slalom.race(
        str(file), entrants=mine, points_each=2, seeds=3, out=tmp_path / "other", workers=2,
        engine="ray",
    )  # fmt: skip
    assert result.winner is not None


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Ray cluster at"):
        slalom.race(small_task(), out=tmp_path / "it", engine="ray", address="127.0.0.1:1")
    assert not (tmp_path / "it").exists()
