"""Room in memory for what the segments of a launch sum up."""

from __future__ import annotations

import numpy as np

from slalom.backends.llvm.code import Code
from slalom.backends.llvm.driver import BLOCK, LINE
from slalom.backends.llvm.summaries import Place
from slalom.ir.operations import COLUMNS, ROWS

MANY, TALL = 16 * BLOCK * LINE, 32
"""Elements and rows that a block of rows has at least: each keeps a sum of every column."""


def give(
    segments: np.ndarray, members: np.ndarray, code: Code, heights: np.ndarray, widths: np.ndarray
) -> list[np.ndarray]:
    """Point segments to memory of their own; that memory, to be kept as long as they are run.

    ``members`` are the places in ``segments`` of those that ``code`` updates, ``heights`` and
    ``widths`` how many rows and columns each of them has.
    """
    layout = code.layout
    assert layout is not None
    numel, count = segments["numel"][members], len(members)
    block = np.full(count, BLOCK * LINE)
    if code.by_rows:
        block = np.maximum(-(-MANY // np.maximum(widths, 1)), TALL) * np.maximum(widths, 1)
    sums = -(-numel // block) * (code.sums + code.columns * widths)
    slots = layout.slots[ROWS] * heights, layout.slots[COLUMNS] * widths
    partial, rows, columns = (np.zeros(int(n.sum()) + 1) for n in (sums, *slots))
    own = np.zeros((count, layout.numbers))
    row_slots, column_slots = _places(rows, slots[0]), _places(columns, slots[1])
    behind, words = layout.base, own.view(np.int64)
    for place, value in ((Place.ELEMENTS, numel), (Place.ROWS, heights), (Place.COLUMNS, widths)):
        own[:, behind + place] = np.maximum(value, 1)  # as means divide by it
    words[:, behind + Place.HEIGHT], words[:, behind + Place.WIDTH] = heights, widths
    words[:, behind + Place.ROW_SLOTS] = row_slots
    words[:, behind + Place.COLUMN_SLOTS] = column_slots
    segments["block"][members], segments["width"][members] = block, widths
    segments["slots"][members] = column_slots
    segments["own"][members] = own.ctypes.data + own.strides[0] * np.arange(count)
    segments["partial"][members] = _places(partial, sums)
    return [own, partial, rows, columns]


def _places(memory: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Addresses of parts of these sizes, one behind the other."""
    return memory.ctypes.data + 8 * (np.cumsum(sizes) - sizes)
