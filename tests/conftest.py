"""What every test shares: a cache of its own, threads as they were, hypothesis without a clock."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, settings

os.environ["SLALOM_CACHE"] = tempfile.mkdtemp(prefix="slalom-test-")

settings.register_profile(
    "slalom", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True,
    derandomize="CI" in os.environ,  # a change is judged by the same examples every time
)  # fmt: skip
settings.load_profile("slalom")


@pytest.fixture(autouse=True)
def _same_start():
    import torch

    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


@pytest.fixture(scope="session")
def raced(tmp_path_factory):
    """One finished race that many tests look at."""
    import slalom
    from small import ENTRANTS, small_task

    folder = tmp_path_factory.mktemp("race") / "it"
    return slalom.race(small_task(), entrants=ENTRANTS, points_each=4, seeds=3, out=folder)
