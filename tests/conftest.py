"""What the tests share: a cache of code, one thread unless more are asked for, no clock."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Two threads of torch's beside another process on as many cores wait for each other most of the
time: a test of threads asks for them."""

settings.register_profile(
    "slalom", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True,
    derandomize="CI" in os.environ,  # a change is judged by the same examples every time
)  # fmt: skip
settings.load_profile("slalom")


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:  # workers share the cache of those they work for
        os.environ["SLALOM_CACHE"] = cache = tempfile.mkdtemp(prefix="slalom-test-")
        config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))


@pytest.fixture(autouse=True)
def _same_start(monkeypatch):
    import torch

    from slalom.backends.llvm.threads import ALL, Threads

    monkeypatch.setattr(Threads, "choose", lambda _: ALL)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


@pytest.fixture
def torchs_products(monkeypatch):
    """Squares are multiplied by torch's products alone, whoever does the rest of a step.

    Eigenvectors of eigenvalues that are 0 are made of rounding: two ways of a step can be compared
    there only where both multiply alike.
    """
    from slalom.backends.llvm import multiplied

    monkeypatch.setattr(multiplied, "_is_quicker", lambda: False)


@pytest.fixture(scope="session")
def raced(tmp_path_factory):
    """One finished race that many tests look at."""
    import slalom
    from small import ENTRANTS, small_task

    folder = tmp_path_factory.mktemp("race") / "it"
    return slalom.race(small_task(), entrants=ENTRANTS, points_each=4, seeds=3, out=folder)
