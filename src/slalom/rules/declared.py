"""What a rule declares beside its function, and what each slip in it is called."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from slalom.rules.bounds import COMMON, Bound, Choice, bound, place
from slalom.rules.example import Example
from slalom.rules.signature import REQUIRED, RuleError, Signature, is_number

Written = str | Collection[str] | None
"""A bound as a rule declares it; None lifts a common one."""


_KINDS = {
    "one": "tensor0", "row": "tensor1", "column": "tensor2",
    "rows x rows": "square1", "columns x columns": "square2",
}  # fmt: skip


class Declarations:
    """Reads the options of one rule; every method raises :class:`RuleError`, naming the option."""

    def __init__(self, name: str, signature: Signature):
        self.name, self.states, self.hypers = name, signature.states, signature.hypers

    def wrong(self, what: str) -> RuleError:
        return RuleError(f"rule {self.name}: {what}")

    def unknown(self, option: str, name: str, known: Collection[str], kind: str) -> RuleError:
        there = ", ".join(known) or "this rule has none"
        return self.wrong(f"{option} names {name!r}, which is none of its {kind} ({there})")

    def table(self, option: str, given: Any) -> dict[str, Any]:
        """An option that maps names to something."""
        if not (isinstance(given, Mapping) and all(isinstance(name, str) for name in given)):
            raise self.wrong(f"{option} is {given!r}; it must be a dict from names")
        return dict(given)

    def numbers(self, numbers: Collection[str]) -> frozenset[str]:
        """The states that are one number for a whole parameter."""
        if isinstance(numbers, str):
            raise self.wrong(f'numbers is the word {numbers!r}; write ("{numbers}",)')
        for name in numbers:
            if name not in self.states:
                raise self.unknown("numbers", name, self.states, "states")
        return frozenset(numbers)

    def shapes(
        self, shapes: Mapping[str, str], states: Collection[str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The states of another shape than their parameter, as kinds of input; limits of squares.

        A limit is the hyper-parameter that says how long the side of a square may be.
        """
        kinds, limits = {}, {}
        for name, written in self.table("shapes", shapes).items():
            if name not in states:
                raise self.unknown("shapes", name, states, "states that are tensors")
            kind, _, limit = str(written).partition(" up to ")
            if kind not in _KINDS or (limit and not kind.endswith("s")):
                raise self.wrong(
                    f"shapes of {name} is {written!r}; it must be one, row, column, rows x rows or "
                    "columns x columns, these two perhaps with a limit, as rows x rows up to "
                    "max_precond_dim"
                )
            if limit and not is_number(self.hypers.get(limit)):
                raise self.unknown(
                    f"shapes of {name}", limit, self.hypers, "hyper-parameters that are numbers"
                )
            kinds[name] = _KINDS[kind]
            limits |= {name: limit} if limit else {}
        return kinds, limits

    def init(self, init: Mapping[str, float | str]) -> dict[str, float | str]:
        """What the states hold before the first update."""
        init = self.table("init", init)
        numeric = [n for n, d in self.hypers.items() if d is REQUIRED or is_number(d)]
        for name, value in init.items():
            known = value in numeric if isinstance(value, str) else is_number(value)
            if name in self.states and known:
                continue
            raise self.wrong(
                f"init names {name}={value!r}; it maps a state "
                f"({', '.join(self.states) or 'this rule has none'}) to a number or to one "
                f"of the hyper-parameters that are numbers ({', '.join(numeric)})"
            )
        return init

    def bounds(self, bounds: Mapping[str, Written]) -> dict[str, Bound]:
        """The bound of every hyper-parameter that has one, its default within."""
        bounds = self.table("bounds", bounds)
        found: dict[str, Bound] = {n: b for n, b in COMMON.items() if n in self.hypers}
        for name, written in bounds.items():
            self._one("bounds", name)
            default = self.hypers[place(name)[0]]
            if isinstance(default, bool):
                raise self.wrong(f"bounds names {name!r}, which is True or False")
            found.pop(name, None)
            if written is None:
                continue
            try:
                found[name] = bound(written)
            except (ValueError, TypeError) as error:
                raise self.wrong(f"bounds of {name}: {error}") from None
            if isinstance(default, str) != isinstance(found[name], Choice) and default is not None:
                raise self.wrong(
                    f"bounds of {name}: an interval bounds a number, and a tuple of words a word"
                )
        for name, default in self.hypers.items():
            many = isinstance(default, tuple)
            values = dict(enumerate(default)) if many else {None: default}
            for i, value in values.items():
                limit = within(found, name, i)
                if value in (None, REQUIRED) or isinstance(value, bool) or limit is None:
                    continue
                if isinstance(value, str) != isinstance(limit, Choice) or value not in limit:
                    shown = name if i is None else f"{name}[{i}]"
                    raise self.wrong(
                        f"the default of {shown} is {value!r}; it must be {limit}, or bounds must "
                        "say otherwise"
                    )
        return found

    def search(
        self, search: Mapping[str, tuple[float, float]], bounds: Mapping[str, Bound]
    ) -> dict[str, tuple[float, float]]:
        """The ranges that a race searches, inside the bounds."""
        search = self.table("search", search)
        for name, ends in search.items():
            hyper, i = self._one("search", name)
            default = self.hypers[hyper]
            if isinstance(default, bool | str):
                raise self.wrong(f"search names {name!r}, which is no number")
            if isinstance(default, tuple) and i is None:
                raise self.wrong(f'search names {name!r}, which is several; name "{name}[0]"')
            pair = isinstance(ends, tuple | list) and len(ends) == 2 and all(map(is_number, ends))
            if not (pair and 0 < ends[0] < ends[1] < math.inf):
                raise self.wrong(
                    f"search of {name} is {ends!r}; it must be (low, high), with 0 < low < high"
                )
            limit = within(bounds, hyper, i)
            if limit is not None and not (ends[0] in limit and ends[1] in limit):
                raise self.wrong(f"search of {name} is {ends!r}; {name} must be {limit}")
        return {name: (ends[0], ends[1]) for name, ends in search.items()}

    def requires(
        self, requires: Mapping[str, Callable[[Mapping[str, Any]], bool]]
    ) -> dict[str, Callable[[Mapping[str, Any]], bool]]:
        """Conditions on several hyper-parameters, which the defaults meet."""
        requires = self.table("requires", requires)
        defaults = {n: 1.0 if d is REQUIRED else d for n, d in self.hypers.items()}
        for sentence, holds in requires.items():
            try:
                met = holds(defaults)
            except KeyError as error:
                name = error.args[0]
                raise self.unknown("requires", name, self.hypers, "hyper-parameters") from None
            if not met:
                raise self.wrong(f"its defaults do not meet what it requires: {sentence}")
        return requires

    def field(self, field: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """The entrants that stand for the rule in a race where nobody is named."""
        field = self.table("field", field)
        for label, fixed in field.items():
            for name in self.table(f"field {label!r}", fixed):
                if name not in self.hypers and name != "batch_size":
                    raise self.unknown(f"field {label!r}", name, self.hypers, "hyper-parameters")
        return {label: dict(fixed) for label, fixed in field.items()}

    def examples(self, examples: Collection[Example]) -> tuple[Example, ...]:
        """Updates with their results."""
        for example in examples:
            if not isinstance(example, Example):
                raise self.wrong(f"examples has {example!r}; it holds slalom.rules.Example")
            for name in example.hypers:
                if name not in self.hypers:
                    raise self.unknown("an example", name, self.hypers, "hyper-parameters")
        return tuple(examples)

    def sparse(self, sparse: Any) -> Any:
        """What a sparse gradient means."""
        if sparse not in (None, "rows", "dense"):
            raise self.wrong(f'sparse is {sparse!r}; it must be "rows", "dense" or None')
        return sparse

    def averaged(self, averaged: bool, bounds: Mapping[str, Bound]) -> bool:
        """Whether it keeps an average beside its parameter, as the Schedule-Free rules do."""
        if not averaged:
            return False
        knows = {"momentum", "betas"} & self.hypers.keys()
        if not ("z" in self.states and knows):
            raise self.wrong(
                "an averaged rule keeps the state z, and momentum or betas[0] says where between "
                "z and the average it trains"
            )
        share = ("betas", 0) if "betas" in knows else ("momentum", None)
        limit = within(bounds, *share)
        if limit is None or 0 in limit or 1 in limit:
            shown = "betas[0]" if "betas" in knows else "momentum"
            raise self.wrong(
                f"an averaged rule divides by {shown}, which may be neither 0 nor 1; declare "
                f'bounds={{"{shown}": "(0, 1)"}}'
            )
        return True

    def class_name(self, name: str | None) -> str:
        """The name of its optimizer class."""
        if name is None:
            camel = "".join(part[:1].upper() + part[1:] for part in self.name.split("_"))
            return camel if camel.isidentifier() else self.name
        if not (isinstance(name, str) and name.isidentifier()):
            raise self.wrong(f"class_name is {name!r}, which cannot be the name of a class")
        return name

    def _one(self, option: str, name: str) -> tuple[str, int | None]:
        """The hyper-parameter that ``name`` or ``name[i]`` says, and which of it."""
        hyper, i = place(name)
        if hyper not in self.hypers:
            raise self.unknown(option, name, self.hypers, "hyper-parameters")
        default = self.hypers[hyper]
        if i is not None and not (isinstance(default, tuple) and i < len(default)):
            count = len(default) if isinstance(default, tuple) else "one"
            raise self.wrong(f"{option} names {name!r}; of {hyper} there is {count}")
        return hyper, i


def within(bounds: Mapping[str, Bound], name: str, i: int | None = None) -> Bound | None:
    """The bound of a hyper-parameter, or of its number ``i``; None if any value will do."""
    return bounds.get(f"{name}[{i}]", bounds.get(name))
