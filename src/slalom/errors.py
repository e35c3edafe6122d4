"""What is raised where the user's input cannot be used."""

from __future__ import annotations

from slalom.plain import plain


class InputError(ValueError):
    """What the user gave cannot be used; the message says what was wrong and what would be right.

    The command line prints it as one sentence and exits with code 2. What it quotes may come from
    anywhere, so control characters in it are written out.
    """

    def __init__(self, message: str):
        super().__init__(plain(message))
