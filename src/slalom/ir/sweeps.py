"""What a program goes over its tensors for, and how often: sweeps, each reading and writing once.

A sum over a tensor is known when all of it was read. So a program with sums is split: a sweep
takes the sums that need no other, the next one may use them, and so on. An operation on a whole
matrix comes between two sweeps: one before it writes its operand, those behind it read what it
gave as a tensor. A state whose new value hangs on no sum of a later sweep may be written in an
earlier one, and is then read from there; of all choices that is taken which moves the fewest bytes.

What is summed up over several tensors is asked for between sweeps: a crossing, at which all tensors
meet. Nothing is written before the last one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, combinations

from slalom.ir.operations import PRODUCTS, SUMS
from slalom.ir.passes import Body, fuse, ordered
from slalom.ir.symbol import Symbol
from slalom.rules.definition import Rule


@dataclass(frozen=True, eq=False)
class Sweep:
    """One going over all elements.

    Attributes:
        rule: whose program it is a part of.
        outputs: the tensors written, and their new values.
        sums: the sums over elements that it takes, as summaries know them, and what is summed up.
        operands: name -> what an operation on whole matrices is done to, now or later on.
        products: name -> the operations on what was written under that name, after this sweep.
            Later sweeps read what the last of them gives as the tensor of that name, unless it is a
            square matrix; those before it give such.
    """

    rule: Rule
    outputs: dict[str, Symbol]
    sums: dict[Symbol, Symbol] = field(default_factory=dict)
    operands: dict[str, Symbol] = field(default_factory=dict)
    products: dict[str, tuple[Symbol, ...]] = field(default_factory=dict)

    @cached_property
    def body(self) -> Body:
        """What runs once per element; what is summed up is an output too, named by its place."""
        summed = {f"{SUMMED}{i}": s for i, s in enumerate(self.sums.values())}
        return Body({**self.outputs, **summed, **self.operands})

    @cached_property
    def fused(self) -> Body:
        """The same with multiply-adds, for what has such an operation."""
        return fuse(self.body)

    @cached_property
    def scalars(self) -> list[Symbol]:
        """The scalars and summaries that elements and outputs are made of, constants apart."""
        return self.body.operands

    @cached_property
    def reads(self) -> list[str]:
        """The tensors read, of ``param``, ``grad`` and the rule's states."""
        return [n.args[0] for n in self.body.nodes if n.op == "tensor"]

    @cached_property
    def writes(self) -> list[str]:
        """The tensors written."""
        return list(self.outputs)


@dataclass(frozen=True, eq=False)
class Crossing:
    """What all tensors of a group or an optimizer are asked for at once, one number each.

    Attributes:
        before: the place of the sweep that may use it; that behind the last where none does.
        nodes: what is made of these numbers.
    """

    before: int
    nodes: tuple[Symbol, ...]


SUMMED = "@"
"""Begins the name of an output that is summed up and not written; no tensor's begins so."""

MULTIPLIED = "%"
"""Begins the name of an operand, and then of the result, of an operation on whole matrices."""


def split(
    rule: Rule, outputs: Mapping[str, Symbol], small: Mapping[str, Symbol], *, apart: bool = False
) -> list[Sweep]:
    """The sweeps of a program.

    ``outputs`` are its new values of tensors of the parameter's shape, ``small`` those of all
    other states. ``apart``: nothing that is written is read again, as where it is rounded when
    it is written.
    """
    order = list(ordered([*outputs.values(), *small.values()]))
    sums = [n for n in order if _ends_a_sweep(n)]
    if not sums:
        return [Sweep(rule, dict(outputs))]
    level = _levels(order)
    met = max((level[id(n)] for n in order if n.op == "across"), default=0)
    last = max([level[id(s)] - 1 for s in sums] + [level[id(s)] for s in outputs.values()])
    last = max(last, met)
    early = [
        n for n, s in outputs.items()
        if s.is_element and met <= level[id(s)] < last and not apart
    ]  # fmt: skip
    subsets = chain.from_iterable(combinations(early, n) for n in range(len(early) + 1))
    ways = (_laid_out(rule, outputs, sums, level, last, chosen) for chosen in subsets)
    return min((way for way in ways if way is not None), key=moved)


def crossings(outputs: Mapping[str, Symbol], small: Mapping[str, Symbol]) -> list[Crossing]:
    """Where tensors meet in a program, in order; what hangs on no other one is one crossing.

    What is asked there is in the order of the places in the rule's code, whichever is used first.
    """
    order = list(ordered([*outputs.values(), *small.values()]))
    level, met = _levels(order), {}
    deep: dict[int, int] = {}  # of each node, how many crossings it hangs on
    for node in order:
        own = max((deep[id(a)] for a in node.args if isinstance(a, Symbol)), default=0)
        if node.op == "across":
            met.setdefault((level[id(node)], own), []).append(node)
        deep[id(node)] = own + (node.op == "across")
    return [
        Crossing(before, tuple(sorted(nodes, key=lambda n: n.args[3])))
        for (before, _), nodes in sorted(met.items())
    ]


def _levels(order: Iterable[Symbol]) -> dict[int, int]:
    """Of each node, operands first, how many sweeps come before it is known."""
    level: dict[int, int] = {}
    for node in order:
        own = max((level[id(a)] for a in node.args if isinstance(a, Symbol)), default=0)
        if node.op in PRODUCTS:  # whose lengths and numbers need not be known to a sweep before
            level[id(node)] = max(own, level[id(node.args[0])] + 1)
        else:
            level[id(node)] = own + _ends_a_sweep(node)
    return level


def _ends_a_sweep(node: Symbol) -> bool:
    return node.op in PRODUCTS or (node.op in SUMS and node.args[0].is_element)


def moved(sweeps: Iterable[Sweep]) -> int:
    """How many arrays are read or written, beside what operations on matrices do."""
    return sum(len(s.reads) + len(s.writes) + len(s.operands) for s in sweeps)


def _laid_out(
    rule: Rule, outputs: Mapping[str, Symbol], sums: list[Symbol], level: Mapping[int, int],
    last: int, early: Collection[str],
) -> list[Sweep] | None:  # fmt: skip
    """The sweeps where these outputs are written as early as they are known; None if that fails."""
    cut = _Cut()
    found = []
    alike = _sharing([s for s in sums if s.op in PRODUCTS], level)
    names = {f"{MULTIPLIED}{i}": own for i, own in enumerate(alike)}
    for number in range(last + 1):
        own = {
            n: s
            for n, s in outputs.items()
            if (level[id(s)] == number if n in early else number == last)
        }
        products = {n: own for n, own in names.items() if level[id(own[-1])] == number + 1}
        try:
            found.append(Sweep(
                rule, {n: cut(s) for n, s in own.items()},
                {s: cut(s.args[0]) for s in sums
                 if level[id(s)] == number + 1 and s.op not in PRODUCTS},
                {n: cut(own[0].args[0]) for n, own in names.items()
                 if level[id(own[0].args[0])] == number},
                products,
            ))  # fmt: skip
        except _OverwrittenError:
            return None
        cut.write(own | {n: last for n, (*_, last) in products.items()})
    return found


def _sharing(products: Iterable[Symbol], level: Mapping[int, int]) -> list[tuple[Symbol, ...]]:
    """Operations by the memory that they work in: squares first, of one operand at one time.

    What gives elements works in the memory of its operand, and so comes last.
    """
    found: dict[tuple[int, int], list[list[Symbol]]] = {}
    for one in products:
        places = found.setdefault((id(one.args[0]), level[id(one)]), [])
        open_ones = [p for p in places if one.is_square or all(s.is_square for s in p)]
        if not open_ones:
            places.append(open_one := [])
            open_ones = [open_one]
        open_ones[0].append(one)
    return [
        tuple(sorted(p, key=lambda s: not s.is_square)) for places in found.values() for p in places
    ]


class _OverwrittenError(Exception):
    """A tensor is asked for as it was before an earlier sweep wrote it."""


class _Cut:
    """Expressions with what earlier sweeps have written as tensors that are read."""

    def __init__(self) -> None:
        self._written: dict[str, Symbol] = {}
        self._done: dict[int, Symbol] = {}

    def write(self, outputs: Mapping[str, Symbol]) -> None:
        self._written |= outputs
        self._done = {
            id(s): s.graph.leaf("tensor", name)
            for name, s in self._written.items()
            if s.is_element and s.op != "tensor"
        }

    def __call__(self, node: Symbol) -> Symbol:
        if not node.is_element:
            return node
        if id(node) not in self._done:
            self._done[id(node)] = self._made(node)
        return self._done[id(node)]

    def _made(self, node: Symbol) -> Symbol:
        if node.op == "tensor":
            if node.args[0] in self._written:
                raise _OverwrittenError
            return node
        args = tuple(self(a) for a in node.args)
        same = all(a is b for a, b in zip(args, node.args, strict=True))
        return node if same else Symbol(node.graph, node.op, args, None)
