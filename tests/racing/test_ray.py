"""A race on a Ray cluster of two nodes, of which one is lost: the same standings."""

from __future__ import annotations

import threading
import time
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

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 4})
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


def test_a_node_lost_in_mid_race(cluster: Any, tmp_path: Path, raced: Result) -> None:
    second = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    lost = threading.Event()

    def lose() -> None:
        cluster.remove_node(second, allow_graceful=False)
        lost.set()

    loser = threading.Thread(target=lose)
    moved = 0

    def watch(event: events.Event) -> None:
        nonlocal moved
        moved += isinstance(event, events.Moved)
        if moved == 20 and not loser.is_alive() and not lost.is_set():
            loser.start()
            time.sleep(0.2)

    result = slalom.race(
        small_task(), entrants=ENTRANTS, points_each=4, seeds=3, out=tmp_path / "it", workers=4,
        engine="ray", address=cluster.address, watch=watch,
    )  # fmt: skip
    loser.join()
    assert lost.is_set()
    assert found(result) == found(raced)


def test_a_cluster_of_its_own(tmp_path: Path, raced: Result) -> None:
    """Started for the race, and stopped after it; entrants may be lambdas."""
    entrants = {**{name: name for name in ENTRANTS}}
    result = slalom.race(
        small_task(), entrants=entrants, points_each=4, seeds=3, out=tmp_path / "it", workers=2,
        engine="ray",
    )  # fmt: skip
    assert found(result) == found(raced)
    assert not ray.is_initialized()
    mine = {"mine": lambda params: slalom.optim.Adam(params, lr=0.02), "SGD": slalom.optim.SGD}
    result = slalom.race(
        small_task(), entrants=mine, points_each=2, seeds=3, out=tmp_path / "other", workers=2,
        engine="ray",
    )  # fmt: skip
    assert result.winner is not None


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Ray cluster at"):
        slalom.race(small_task(), out=tmp_path / "it", engine="ray", address="127.0.0.1:1")
    assert not (tmp_path / "it").exists()
