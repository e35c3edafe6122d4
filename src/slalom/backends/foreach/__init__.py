"""The backend that serves every device: torch's ``_foreach_*`` operations."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from slalom.backends.base import Backend, Counts, Launch, Slot, Work
from slalom.backends.foreach.launch import ForeachLaunch
from slalom.backends.foreach.rows import update_by_rows


class Foreach(Backend):
    """Torch's own operations over lists of tensors; refuses nothing that torch can update."""

    name = "foreach"
    sums = True

    def refuses(self, slot: Slot) -> str | None:
        return None

    def prepare(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts) -> Launch:
        return ForeachLaunch(slots, absent, counts)

    def run_rows(self, works: Sequence[Work]) -> None:
        update_by_rows(works)
