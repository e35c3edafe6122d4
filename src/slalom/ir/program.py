"""Trace a rule into a program: what runs once a step on the host, and once per element."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

from slalom.ir.columns import Columns
from slalom.ir.formula import formula, input_name
from slalom.ir.operations import ALLOWED, KEPT, SQUARES
from slalom.ir.passes import Body, fuse, hoist, ordered
from slalom.ir.scalars import HostPart, Scalars, compile_scalars
from slalom.ir.sweeps import Crossing, Sweep, crossings, moved, split
from slalom.ir.symbol import Graph, NotRealError, Symbol
from slalom.rules.definition import REQUIRED, Rule, RuleError


def is_flag(rule: Rule, name: str, value: Any) -> bool:
    """Whether a hyper-parameter is a choice, fixed in a trace, and not a number that may vary."""
    default = rule.hypers.get(name)
    if isinstance(default, bool | str):
        return True
    return default in (None, REQUIRED) and not (_is_number(value) or length(value) is not None)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str) and hasattr(value, "__float__")


def length(value: Any) -> int | None:
    """How many numbers a hyper-parameter is: of any sequence its length, None of one number."""
    if isinstance(value, tuple | list):
        return len(value)
    if getattr(value, "ndim", None) == 1 and hasattr(value, "numel") and value.numel() == 1:
        return None  # a tensor of one number, with or without an axis
    if isinstance(value, str) or not hasattr(value, "__len__") or getattr(value, "ndim", 1) == 0:
        return None
    return len(value)


@dataclass(frozen=True, eq=False)
class Program:
    """One trace of a rule, valid where its flags and guards hold.

    Attributes:
        rule: the rule traced.
        source: output name (``param`` or a state) -> its expression as written, for reading.
        outputs: output name -> its expression made cheap, for the outputs that change.
        small: the same of the states that are summaries, which are no outputs.
        squares: the same of the states that are square matrices.
        numbers: the new value of each of the rule's numbers.
        flags: the hyper-parameters that are choices, and what they were.
        guards: the scalar conditions the rule branched on, and how they came out.
        shapes: hyper-parameter name -> its length if it is a tuple, for the numbers.
    """

    rule: Rule
    source: dict[str, Symbol]
    outputs: dict[str, Symbol]
    small: dict[str, Symbol]
    squares: dict[str, Symbol]
    numbers: tuple[Symbol, ...]
    flags: dict[str, Any]
    guards: tuple[tuple[Symbol, bool], ...]
    shapes: dict[str, int | None]

    @cached_property
    def sweeps(self) -> list[Sweep]:
        """What is done to all elements, once after another; one sweep where nothing is summed."""
        return split(self.rule, self.outputs, self.between)

    @cached_property
    def sweeps_apart(self) -> list[Sweep]:
        """The same for what is kept narrower than it is computed: nothing written is read again."""
        return split(self.rule, self.outputs, self.between, apart=True)

    @property
    def between(self) -> dict[str, Symbol]:
        """The new values of the states that are made between sweeps, of whatever kind."""
        return {**self.small, **self.squares}

    @cached_property
    def sums(self) -> bool:
        """Whether it looks further than one element: then :attr:`body` is not all of it."""
        return (
            len(self.sweeps) > 1
            or bool(self.sweeps[0].sums or self.small or self.multiplies)
            or any(s.is_summary for s in self.body.operands)
        )

    @cached_property
    def matrix(self) -> bool:
        """Whether it looks at a tensor as a matrix: by rows or columns, or multiplying it."""
        return self.by_rows or self.multiplies

    @cached_property
    def by_rows(self) -> bool:
        """Whether something in it is one number a row or a column."""
        nodes = ordered([*self.outputs.values(), *self.between.values()])
        return any(n.is_summary and n.along for n in nodes)

    @cached_property
    def multiplies(self) -> bool:
        """Whether there are operations on whole matrices in it."""
        return bool(self.squares) or any(sweep.products for sweep in self.sweeps)

    @cached_property
    def crossings(self) -> list[Crossing]:
        """Where all tensors of a group or the optimizer are asked for one number each."""
        return crossings(self.outputs, self.between)

    @cached_property
    def operands(self) -> tuple[str, ...]:
        """The names of what its operations on matrices are done to, one after another.

        None where it has crossings too, or divides by one number a row: only torch's operations
        do that.
        """
        products = {n: p for s in self.sweeps for n, p in s.products.items()}
        lengths = (p.args[2] for own in products.values() for p in own)
        return () if self.crossings or any(length.along for length in lengths) else tuple(products)

    @property
    def further(self) -> tuple[bool, bool, bool, bool]:
        """In which ways it looks beyond one element: see :class:`slalom.backends.base.Slot`."""
        return self.sums, self.by_rows, self.multiplies, bool(self.crossings)

    @cached_property
    def body(self) -> Body:
        """What runs once per element, given the summaries."""
        return Body(self.outputs)

    @cached_property
    def fused(self) -> Body:
        """The same with multiply-adds, for what has such an operation."""
        return fuse(self.body)

    @cached_property
    def scalars(self) -> list[Symbol]:
        """The scalars that elements, summaries and outputs use, constants apart."""
        if not self.sums:
            return self.body.operands
        roots = [*self.outputs.values(), *self.between.values()]
        nodes = [n for n in ordered(roots) if not n.is_known]
        below = (a for n in nodes for a in n.args if isinstance(a, Symbol))
        used = dict.fromkeys((*below, *roots))
        return [a for a in used if a.is_known and a.op != "constant"]

    @cached_property
    def reads(self) -> list[str]:
        """The tensors read, of ``param``, ``grad`` and the rule's states."""
        own = ("param", "grad", *self.rule.state)
        return list(dict.fromkeys(n for s in self.sweeps for n in s.reads if n in own))

    @cached_property
    def writes(self) -> list[str]:
        """The tensors written."""
        return list(self.outputs)

    @cached_property
    def live_state(self) -> tuple[str, ...]:
        """The state tensors that the program reads or writes; the others need no memory."""
        roots = [*self.outputs.values(), *self.between.values()]
        kinds = {*KEPT, *SQUARES} if self.rule.shapes else ()
        kept = {n.args[0] for n in ordered(roots) if n.op in kinds}
        used = {*self.reads, *self.writes, *self.between, *kept}
        return tuple(s for s in self.rule.state if s in used)

    @cached_property
    def bytes(self) -> int:
        """Bytes read and written for each float32 element by one update."""
        return 4 * moved(self.sweeps)

    @cached_property
    def row(self) -> Callable[..., Scalars | None]:
        """The host's part: ``row(step, first, *hypers, *numbers)``, in double precision.

        ``hypers`` are the values of ``rule.hypers`` and ``numbers`` of ``rule.numbers``, in order.
        Returns the scalars and after them the new numbers; None where a flag or a guard does not
        hold, so that another program has to serve. Raises :class:`RuleValueError` where one of
        them is no real number.
        """
        return compile_scalars(self._host_part, partial(RuleValueError, self.rule))

    @cached_property
    def rows(self) -> Columns:
        """The same of many rows at once."""
        return Columns(self._host_part)

    @property
    def _host_part(self) -> HostPart:
        rule, results = self.rule, [*self.scalars, *self.numbers]
        given = list(rule.hypers), rule.late, rule.numbers
        return HostPart(*given, self.flags, self.shapes, self.guards, results)


class RuleValueError(ValueError):
    """A rule's scalar is no real number; names the rule, the expression and what it is made of."""

    def __init__(self, rule: Rule, error: NotRealError):
        values = ", ".join(f"{input_name(n)}={v:g}" for n, v in error.values.items())
        super().__init__(
            f"rule {rule.name}: {formula(error.symbol)} is not a real number with {values}; "
            "nothing was updated"
        )


def trace(
    rule: Rule,
    hypers: Mapping[str, Any],
    *,
    step: float = 1,
    first: bool = True,
    numbers: Sequence[float] | None = None,
    graph: Graph | None = None,
) -> Program:
    """Run the rule once on symbols; ``numbers`` are by default what they are at the start.

    Hyper-parameters that ``hypers`` lacks have their defaults. ``graph`` decides how the rule's
    conditions come out; by default as they do with these values.

    Raises :class:`RuleError`, with the rule's name and line, where the rule does what cannot be
    traced, and where it returns the wrong number of results.
    """
    graph = graph or Graph()
    flags: dict[str, Any] = {}
    shapes: dict[str, int | None] = {}
    keywords: dict[str, Any] = {}
    for name, default in rule.hypers.items():
        value = hypers.get(name, default)
        if is_flag(rule, name, value):
            flags[name] = keywords[name] = value
            continue
        _check_kind(rule, name, value)
        if length(value) is not None:
            shapes[name] = length(value)
            keywords[name] = tuple(
                graph.leaf("number", f"{name}[{i}]", float(v)) for i, v in enumerate(value)
            )
        else:
            shapes[name] = None
            keywords[name] = graph.leaf("number", name, float(value))
    if rule.takes_step:
        keywords["step"] = graph.leaf("number", "step", float(step))
    if rule.takes_first:
        flags["first"] = keywords["first"] = first
    if numbers is None:
        numbers = [rule.start(n, hypers) for n in rule.numbers]
    present = dict(zip(rule.numbers, numbers, strict=True))
    given = {
        name: graph.leaf("number", name, float(present[name]))
        if name in present
        else graph.leaf(rule.shapes.get(name, "tensor"), name)
        for name in ("param", "grad", *rule.arguments)
    }
    graph.open = True
    try:
        results = rule.function(*given.values(), **keywords)
    except NotRealError as error:
        raise RuleValueError(rule, error) from error
    except Exception as error:
        raise _explained(rule, error) from error
    finally:
        graph.open = False
    results = rule.results(results)
    expected = ("param", *rule.arguments)
    symbols = {
        name: (r if isinstance(r, Symbol) else graph.constant(r)).counted()
        for name, r in zip(expected, results, strict=True)
    }
    _check_extents(rule, symbols)
    source = {name: symbol for name, symbol in symbols.items() if symbol is not given[name]}
    made = hoist({n: symbol for n, symbol in source.items() if n not in rule.numbers})
    outputs = {n: symbol for n, symbol in made.items() if n not in rule.shapes}
    between = {n: symbol for n, symbol in made.items() if n in rule.shapes}
    squares = {n: symbol for n, symbol in between.items() if n in rule.squares}
    small = {n: symbol for n, symbol in between.items() if n not in squares}
    after = tuple(symbols[n] for n in rule.numbers)
    program = Program(
        rule, source, outputs, small, squares, after, flags, tuple(graph.guards), shapes
    )
    if rule.sparse == "rows" and program.sums:
        raise RuleError(
            f'rule {rule.name} looks at whole tensors and declares sparse="rows", which would show '
            'it those rows alone; declare "dense" or None'
        )
    return program


def is_whole(rule: Rule) -> bool:
    """Whether a rule looks at whole tensors, at its default hyper-parameters."""
    return _usual(rule).sums


def crosses(rule: Rule) -> bool:
    """Whether a rule looks beyond one tensor, at its default hyper-parameters."""
    return bool(_usual(rule).crossings)


def looks_along(rule: Rule) -> bool:
    """Whether a rule looks at rows or columns, at its default hyper-parameters."""
    return _usual(rule).by_rows


def multiplies(rule: Rule) -> bool:
    """Whether a rule has operations on whole matrices, at its default hyper-parameters."""
    return _usual(rule).multiplies


@cache
def _usual(rule: Rule) -> Program:
    hypers = {n: 1.0 if d is REQUIRED else d for n, d in rule.hypers.items()}
    return trace(rule, hypers, step=2, first=False)


def _check_extents(rule: Rule, symbols: Mapping[str, Symbol]) -> None:
    """Raise :class:`RuleError` where a state is given more than it can hold."""
    for name in rule.numbers:
        if not symbols[name].is_known:
            raise RuleError(
                f"rule {rule.name} makes a tensor of {name}, which is a number"
                if symbols[name].is_element
                else f"rule {rule.name} makes {name} of a tensor, and numbers hang on the step "
                f'alone; declare shapes={{"{name}": "one"}} instead'
            )
    for name in symbols.keys() - rule.shapes.keys():
        if symbols[name].is_square:
            raise RuleError(f"rule {rule.name} gives {name} a square matrix, which holds elements")
    for name, kind in rule.shapes.items():
        if kind in SQUARES:
            if symbols[name].along != SQUARES[kind]:
                raise RuleError(
                    f"rule {rule.name} gives {name} what is no matrix of "
                    f"{_HOLDS[kind]}, which it holds"
                )
        elif symbols[name].along & ~KEPT[kind]:
            raise RuleError(f"rule {rule.name} gives {name} more than it holds, {_HOLDS[kind]}")


_HOLDS = {
    "tensor0": "one number", "tensor1": "one a row", "tensor2": "one a column",
    "square1": "rows by rows", "square2": "columns by columns",
}  # fmt: skip


def _check_kind(rule: Rule, name: str, value: Any) -> None:
    """Raise TypeError or ValueError for what is no number where one is due, or too few of them."""
    default, n = rule.hypers[name], length(value)
    if isinstance(default, tuple) and n != len(default):
        raise ValueError(f"{rule.class_name} takes {len(default)} {name}, not {value!r}")
    for number in [value] if n is None else value:
        if not _is_number(number):
            raise TypeError(
                f"{name} is {value!r}; it must be {'a number' if n is None else 'numbers'}"
            )


def _explained(rule: Rule, error: Exception) -> RuleError:
    """The error with the rule's name and line, and what a rule may do."""
    here = inspect.unwrap(rule.function).__code__.co_filename
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f for f in frames if f.filename == here] or frames[-1:]
    what = str(error) if isinstance(error, RuleError) else f"{type(error).__name__}: {error}"
    where = f"line {lines[-1].lineno} of {lines[-1].filename} ({lines[-1].line})"
    return RuleError(f"rule {rule.name} cannot be traced at {where}: {what}. {ALLOWED}.")
