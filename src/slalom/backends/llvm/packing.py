"""How the scalars of rows get to where machine code reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from slalom.backends.row import Row, Together


def packing(rows: Sequence[Row], block: Any, n: int) -> list[Callable[[], None]]:
    """What puts the values of rows into a block, the random bits behind the ``n`` scalars."""
    alike: dict[Together | None, list[int]] = {}
    for i, row in enumerate(rows):
        alike.setdefault(row.together, []).append(i)
    apart = [(i, rows[i]) for i in alike.pop(None, ())]
    form = Struct(f"{block.shape[1]}d")

    def one_by_one() -> None:
        for i, row in apart:
            values = row.values
            form.pack_into(block, i * form.size, *values[:n], row.noise or 0, *values[n:])

    def columns_of(together: Together, places: Any) -> Callable[[], None]:
        own = [rows[i] for i in places]
        draws = any(row.noise is not None for row in own)
        among: Any = [row.place for row in own]
        if places == among == list(range(len(rows))):
            places = among = slice(None)

        def pack() -> None:
            values = together.values[among]
            block[places, :n], block[places, n + 1 :] = values[:, :n], values[:, n:]
            if draws:
                block[places, n] = [row.noise or 0 for row in own]

        return pack

    return [*([one_by_one] if apart else []), *(columns_of(t, p) for t, p in alike.items() if t)]
