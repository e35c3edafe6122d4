"""Text that shows what it is: nothing in it moves a cursor, hides, or turns the line around."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

JOINERS = "\u200c\u200d"
"""Formatting characters that words of some scripts, and emoji, are written with."""


def unprintable(text: str) -> str:
    """The first control or formatting character of a text, lone surrogates and line separators
    among them; empty if there is none."""
    if text.isascii() and text.isprintable():
        return ""
    return next((c for c in text if _hides(c)), "")


def plain(text: str) -> str:
    """The text with each such character as Python writes it, as in ``\\x1b``."""
    if not unprintable(text):
        return text
    return "".join(ascii(c)[1:-1] if _hides(c) else c for c in text)


def _hides(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in JOINERS


SIGNS = {"·": "*", "√": "sqrt", "²": "^2", "³": "^3", "…": "...", "–": "-", "×": "x", "≥": ">="}
"""Signs of formulas and tables, as ASCII has them."""


def say_in_any_encoding() -> None:
    """Let stdout and stderr write every text, whatever their encoding: signs that it lacks as ASCII
    writes them, other characters as Python does."""
    codecs.register_error("slalom", _written)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="slalom")


def _written(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(SIGNS.get(c) or ascii(c)[1:-1] for c in lacking), error.end
