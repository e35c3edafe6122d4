"""Which seeds a race uses for what: no two races share one, nor do heats and finals."""

BLOCK = 10_000
"""Seeds of one race."""

FINALS = 1_000
"""The first of a race's seeds that finals use; the heats' come before it."""

MOST = 2**63 // BLOCK - 1
"""The largest seed of a race."""


def heats(race: int, study: int = 0) -> tuple[int, int]:
    """The two seeds of a search: that of its heats, and that which tells how far seeds differ."""
    return race * BLOCK + 2 * study, race * BLOCK + 2 * study + 1


def final(race: int, place: int) -> int:
    """The seed of the finals that comes at this place, from 0 on."""
    return race * BLOCK + FINALS + place


def checking(race: int, place: int) -> int:
    """A seed on which a target is checked before the heats."""
    return race * BLOCK + FINALS - 1 - place


def place(seed: int) -> int:
    """The place of a seed of the finals; negative for a seed of the heats."""
    return seed % BLOCK - FINALS
