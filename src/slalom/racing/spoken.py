"""Search spaces as a command line has them: ``lr=1e-4:1e-1``, ``adam.lr=1e-3``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from slalom.errors import InputError
from slalom.racing.space import Choice, Linear

ENTRANT = re.compile(r"(?P<name>[^()]+)\((?P<settings>[^()]*)\)")
"""A name with settings of its own: ``Adam(precision=bfloat16)``."""

WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}


def names_of(text: str) -> list[str]:
    """The entrants that a text names, by commas outside of brackets."""
    return [name.strip() for name in re.split(r",(?![^()]*\))", text)]


def entrant_of(text: str) -> tuple[str, dict[str, Any]]:
    """(name, settings) of ``NAME(SETTING=VALUE,...)``; without brackets there are no settings.

    Raises :class:`InputError` for brackets that hold anything else.
    """
    found = ENTRANT.fullmatch(text.strip())
    if found is None:
        return text, {}
    parts = [part for part in found["settings"].split(",") if part.strip()]
    if not parts or not all(re.match(r"\s*\w+(\[\d\])?\s*=", part) for part in parts):
        raise InputError(
            f"{text!r} names no entrant; write NAME(SETTING=VALUE), as in Adam(precision=bfloat16)"
        )
    return found["name"].strip(), space_of(parts)


def space_of(texts: Iterable[str]) -> dict[str, Any]:
    """The space that such texts name: ``NAME=VALUE`` for all entrants that take it, or
    ``ENTRANT.NAME=VALUE``.

    A value is a range, ``1e-4:1e-1`` or ``linear:0.8:0.99``; several to choose from, ``a,b,c``; or
    one, which is fixed. Raises :class:`InputError` for what is none of these.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        entrant, dot, hyper = name.strip().rpartition(".")
        if not equals or not hyper or not value.strip() or (dot and not entrant):
            raise InputError(
                f"--set {text!r} says nothing; write NAME=LOW:HIGH, NAME=VALUE or NAME=A,B,C, with "
                "an entrant before a dot where it is for one alone: adam.lr=1e-4:1e-1"
            )
        space = found.setdefault(entrant, {}) if entrant else found
        space[hyper] = _value(text, value.strip())
    return found


def _value(text: str, value: str) -> Any:
    parts = value.split(":")
    if len(parts) > 1:
        linear = parts[0].lower() == "linear"
        ends = [_one(p) for p in (parts[1:] if linear else parts)]
        if len(ends) != 2 or not all(type(e) in (int, float) for e in ends):
            raise InputError(f"--set {text!r} is no range; write LOW:HIGH or linear:LOW:HIGH")
        return ("linear", *ends) if linear else (ends[0], ends[1])
    parts = [_one(p) for p in value.split(",")]
    return parts[0] if len(parts) == 1 else Choice(tuple(parts))


def _one(word: str) -> Any:
    """A number, a word, or what a word means to Python."""
    word = word.strip()
    if word.lower() in WORDS:
        return WORDS[word.lower()]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def words_of(space: Mapping[str, Any], entrant: str = "") -> list[str]:
    """The texts that name a space."""
    found: list[str] = []
    for name, value in space.items():
        if isinstance(value, Mapping):
            found += words_of(value, f"{name}.")
            continue
        if isinstance(value, Linear):
            value = ("linear", value.low, value.high)
        if isinstance(value, Choice):
            told = ",".join(map(_written, value.values))
        elif isinstance(value, tuple | list):
            numbers = len(value) == 2 and all(type(v) in (int, float) for v in value)
            joint = ":" if numbers or value[:1] in (("linear",), ["linear"]) else ","
            told = joint.join(map(_written, value))
        else:
            told = _written(value)
        found.append(f"{entrant}{name}={told}")
    return found


def _written(value: Any) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
