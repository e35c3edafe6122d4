"""What is raised where the user's input cannot be used."""

from __future__ import annotations


class InputError(ValueError):
    """What the user gave cannot be used; the message says what was wrong and what would be right.

    The command line prints it as one sentence and exits with code 2.
    """
