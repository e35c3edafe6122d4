"""Memory that is kept is not asked of the system again, and where it cannot be that is said."""

from __future__ import annotations

import platform

import pytest
import torch

import served
import slalom
from slalom.train import kept_memory

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is of glibc")


def faults(keep: bool) -> None:
    """Print how often the kernel had to find memory in 20 rounds of making and freeing 48 MiB."""
    import resource  # which Windows has not

    if keep:
        assert slalom.keep_memory().startswith("memory that is freed stays with the process")
    for _ in range(8):
        torch.ones(12 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(12 << 20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


@needs_glibc
def test_the_kernel_is_not_asked_again():
    usual, kept = (int(served.Started(faults, keep).ended().stdout) for keep in (False, True))
    assert usual > 20 * 20  # pages of 2 MiB at the most
    assert kept < usual / 3  # where other things lie in the heap it takes some rounds to settle


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"libc": ("", "")}, "nothing was done: there is no glibc here"),
        ({"preload": "/usr/lib/libjemalloc.so.2"}, "nothing was done: memory is of jemalloc"),
        ({"library": object()}, "nothing was done: there is no mallopt here"),
        ({"returned": 0}, "glibc's mallopt refused"),
    ],
    ids=["musl", "jemalloc", "no mallopt", "refused"],
)
def test_where_it_does_nothing_it_says_so(change, said, monkeypatch):
    asked = []

    class Library:
        @staticmethod
        def mallopt(name, value):
            asked.append((name, value))
            return change.get("returned", 1)

    monkeypatch.setattr(platform, "libc_ver", lambda: change.get("libc", ("glibc", "2.36")))
    monkeypatch.setenv("LD_PRELOAD", change.get("preload", ""))
    monkeypatch.setattr(kept_memory.ctypes, "CDLL", lambda _: change.get("library", Library))
    assert slalom.keep_memory().startswith(said)
    assert bool(asked) == ("returned" in change)
