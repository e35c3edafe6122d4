"""Memory for the operands of operations on matrices: those of one shape lie side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from slalom.backends.base import Slot
from slalom.backends.kinds import by_kind


class Operands:
    """A launch's operands, in which machine code writes and reads what torch multiplies.

    They take as much memory as the matrices do, and at least four bytes an element, as long as the
    launch is there.
    """

    def __init__(self, slots: Sequence[Slot]):
        alike: dict[tuple[torch.Size, torch.dtype], list[int]] = {}
        for i, slot in enumerate(slots):
            if slot.operands:
                alike.setdefault((slot.param.shape, computed(slot)), []).append(i)
        self._blocks: list[dict[str, Tensor]] = []
        self._places: dict[int, tuple[int, int]] = {}  # of each slot its block, and where there
        for (shape, dtype), members in alike.items():
            names = {n for i in members for n in slots[i].operands}
            made = {
                n: torch.zeros((len(members), *shape), dtype=dtype, device="cpu")
                for n in sorted(names)
            }
            self._places |= {i: (len(self._blocks), k) for k, i in enumerate(members)}
            self._blocks.append(made)

    def each(self, name: str, members: Sequence[int]) -> list[Tensor]:
        """The operands of some slots, one tensor for each."""
        return [self._operand(name, m) for m in members]

    def arrays(self, slots: Sequence[Slot]) -> tuple[np.ndarray, np.ndarray]:
        """Of each slot the place of its first array, and the addresses of all arrays.

        Its parameter, gradient and states, which are looked up in every step, and its operands.
        """
        widths = np.array(by_kind(slots, lambda s: 2 + len(s.state) + len(s.operands)), np.intp)
        ends = np.cumsum(widths)
        addresses = np.zeros(int(widths.sum()) + 1, np.uint64)
        for i in self._places:
            own = [self._operand(n, i).data_ptr() for n in slots[i].operands]
            addresses[ends[i] - len(own) : ends[i]] = own
        return ends - widths, addresses

    def _operand(self, name: str, i: int) -> Tensor:
        block, place = self._places[i]
        return self._blocks[block][name][place]

    def block_of(self, member: int) -> int:
        """With which others a slot lies together."""
        return self._places[member][0]

    @contextmanager
    def batch(self, name: str, members: Sequence[int]) -> Iterator[Tensor]:
        """The operands of some slots of one block, as one tensor that may be written."""
        block = self._blocks[self.block_of(members[0])][name]
        places = [self._places[m][1] for m in members]
        if places == list(range(len(block))):
            yield block
            return
        some = block[places]
        yield some
        block[places] = some


def computed(slot: Slot) -> torch.dtype:
    """What the elements of a slot are computed in."""
    large = [t for n, t in slot.state.items() if n not in slot.small]
    found = torch.promote_types(slot.param.dtype, torch.float32)
    for tensor in large:
        found = torch.promote_types(found, tensor.dtype)
    return found
