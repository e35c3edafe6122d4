"""Making very many objects that stay, without looking through all of them again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected_later() -> Iterator[None]:
    """Within it Python does not look for circles of objects that nobody holds any more.

    It would whenever a quarter more objects have come to stay, and a first step makes many times
    more than there were: half of the time of that of 20,000 parameters.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
