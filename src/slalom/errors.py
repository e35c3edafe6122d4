"""What is raised where the user's input cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from slalom.plain import plain


class InputError(ValueError):
    """What the user gave cannot be used; the message says what was wrong and what would be right.

    The command line prints it as one sentence and exits with code 2. What it quotes may come from
    anywhere, so control characters in it are written out.
    """

    def __init__(self, message: str):
        super().__init__(plain(message))


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """``; did you mean NAME?`` of the known name nearest to the given one, "" if none is near."""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower(), names, 1)
    return f"; did you mean {names[near[0]]}?" if near else ""
