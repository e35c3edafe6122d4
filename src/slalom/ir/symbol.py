"""Symbols: what a rule computes with while it is traced.

A symbol is a node of an expression graph. Equal expressions are one node (the graph is interned),
so common subexpressions are found by construction. A symbol is an *element* (it varies along the
tensor), a *scalar* (it depends on hyper-parameters and the step alone) or, between these, a
*summary*: one number of the whole tensor, or one a row or a column of it, such as its norm, which
is known when the tensor was read. Scalars carry their present value, so that a rule may branch on
them. Each such branch is recorded as a guard.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, NoReturn

from slalom.ir.operations import (
    COMPARISONS,
    DECOMPOSITIONS,
    ELEMENTS,
    KEPT,
    MASKS,
    PRODUCTS,
    SQUARE,
    SQUARES,
    SUMS,
    evaluate,
)
from slalom.ir.whole import Whole
from slalom.rules.definition import RuleError


class NotRealError(ValueError):
    """A scalar of a rule is no real number under the present hyper-parameters.

    Attributes:
        symbol: the operation whose result it is.
        values: input -> its value, of the inputs below that operation.
    """

    def __init__(self, symbol: Symbol, values: Mapping[str, float]):
        super().__init__(f"{symbol.op} gives no real number")
        self.symbol, self.values = symbol, values


def _places_of_the_rule() -> Iterator[tuple[str, int, int]]:
    """Where code that is traced stands now: its functions, the innermost first, and the places."""
    frame = sys._getframe(2)
    while frame.f_back is not None and _is_ours(frame):
        frame = frame.f_back
    while frame is not None and not _is_ours(frame):
        code = frame.f_code
        yield code.co_filename, code.co_firstlineno, frame.f_lasti
        frame = frame.f_back


def _is_ours(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").startswith("slalom.ir.")


class Graph:
    """The nodes of one trace, interned, and the guards under which the trace holds.

    Attributes:
        open: whether the rule is being called, and its symbols stand for numbers.
    """

    def __init__(self) -> None:
        self._nodes: dict[tuple[Any, ...], Symbol] = {}
        self._asked: Counter[tuple[Any, ...]] = Counter()  # how often at a place
        self.guards: list[tuple[Symbol, bool]] = []
        self.open = False

    def leaf(self, op: str, name: str, value: float | None = None) -> Symbol:
        """An input: ``tensor`` (an element), ``number`` (a scalar of the present value).

        And ``tensor0``, ``tensor1``, ``tensor2``: a state of one number, one a row, one a column;
        ``square1``, ``square2``: one of rows by rows, of columns by columns.

        ``name`` tells it from every other input: an argument of the rule, or ``betas[0]``, the
        first of several.
        """
        return self._intern(op, (name,), value)

    def constant(self, value: float) -> Symbol:
        """A number written in the rule."""
        value = float(value)
        key = ("constant", repr(value))  # unlike ==, repr tells 0.0 from -0.0
        return self._nodes.setdefault(key, Symbol(self, "constant", (value,), value))

    def make(self, op: str, *operands: Any) -> Symbol:
        """The symbol for ``op(*operands)``; numbers among the operands become constants."""
        args = tuple(a if isinstance(a, Symbol) else self.constant(a) for a in operands)
        start = 1 if op == "where" else 0
        if op not in ("and", "or", "not"):  # a comparison counts as 0 or 1 in arithmetic
            args = args[:start] + tuple(a.counted() for a in args[start:])
        if any(a.along & SQUARE for a in args):
            raise RuleError(f"it computes with {_SQUARE} as with elements")
        if op == "mul":
            one = self.constant(1.0)
            for factor, other in (args, args[::-1]):
                if factor is one:
                    return other
        if not all(a.is_known for a in args):
            if not any(a.is_element for a in args) and _along(op, args) == ELEMENTS:
                args = (*args[:-1], self.spread(args[-1]))
            return self._intern(op, args, None)
        value = self.evaluate(op, args)
        if all(a.op == "constant" for a in args) and op not in COMPARISONS:
            return self.constant(value)
        return self._intern(op, args, value)

    def sum(self, op: str, operand: Symbol, left: int) -> Symbol:
        """One of :data:`SUMS` over an operand, which varies along the bits of ``left`` afterwards.

        An operand that is the same all along what goes away is counted as often.
        """
        if operand.is_known or operand.along & SQUARE:
            what = "a number" if operand.is_known else _SQUARE
            raise RuleError(f"it sums up {what}; total, mean and norm are of a tensor")
        operand = operand.counted()
        left &= operand.along
        if op == "total" and operand.op == "mul" and operand.args[0] is operand.args[1]:
            op, operand = "squares", operand.args[0]
        if operand.along == left:
            return operand * operand if op == "squares" else operand
        return self._intern(op, (operand, left), None)

    def across(
        self, operand: Symbol, kind: str, over: str, where: tuple[Any, ...] | None = None
    ) -> Symbol:
        """One of :data:`CROSSINGS` of one number of each tensor of the group or the optimizer.

        ``where`` is the place in the rule's code at which it is asked for, the present one without:
        by it tensors of other options and shapes are asked the same, whatever became of that there.
        """
        if operand.is_known or operand.along:
            raise RuleError(f"it asks for {kind} over the {over} of what is not one for a tensor")
        if where is None:
            place = tuple(_places_of_the_rule())
            where = (place, self._asked[place])
            self._asked[place] += 1
        return self._intern("across", (operand.counted(), kind, over, where), None)

    def product(
        self, op: str, operand: Symbol, dtype: str | None, length: Any, *numbers: Any
    ) -> Symbol:
        """One of :data:`PRODUCTS` of operand / length in a dtype, with these scalars or squares."""
        if operand.is_known or operand.along & SQUARE:
            what = "a number" if operand.is_known else _SQUARE
            raise RuleError(f"it asks {op} of {what}, which is of a tensor")
        operand = operand.counted()
        operand = operand if operand.is_element else self.spread(operand)
        args = (n if isinstance(n, Symbol) else self.constant(n) for n in (length, *numbers))
        return self._intern(op, (operand, dtype, *args), None)

    def decomposed(self, op: str, *operands: Any) -> Symbol:
        """One of :data:`DECOMPOSITIONS` of these squares and scalars."""
        args = tuple(a if isinstance(a, Symbol) else self.constant(a) for a in operands)
        return self._intern(op, args, None)

    def spread(self, summary: Symbol) -> Symbol:
        """A summary as elements: each row or column full of its number."""
        return self._intern("spread", (summary,), None)

    def size(self, along: int, least: int = 1) -> Symbol:
        """How many elements, rows or columns there are (along 0: 1), ``least`` at the least."""
        return self._intern("size", (along, least), None)

    def evaluate(self, op: str, args: tuple[Symbol, ...]) -> Any:
        """The present value of an operation on scalars; :class:`NotRealError` if it has none."""
        try:
            return evaluate(op, *(a.value for a in args))
        except ValueError as error:
            unreal = Symbol(self, op, args, 0.0)
            raise NotRealError(unreal, dict(unreal.inputs())) from error

    def decide(self, condition: Symbol) -> bool:
        """How a scalar condition comes out that the rule branches on; recorded as a guard."""
        outcome = bool(condition.value)
        self.guards.append((condition, outcome))
        return outcome

    def _intern(self, op: str, args: tuple[Any, ...], value: float | None) -> Symbol:
        key = (op, *(id(a) if isinstance(a, Symbol) else a for a in args))
        return self._nodes.setdefault(key, Symbol(self, op, args, value))


def _is_open(value: Any) -> bool:
    return isinstance(value, Symbol) and not value.is_known


def _along(op: str, args: tuple[Any, ...]) -> int:
    """Along what the result of an operation varies, whose value no trace knows."""
    if op == "gram" or op in DECOMPOSITIONS:
        return args[4 if op == "gram" else 0].along
    if op in SQUARES:
        return SQUARES[op]
    if op in ("tensor", "spread") or op in PRODUCTS:
        return ELEMENTS
    if op in SUMS:
        return args[1]
    if op in KEPT or op in ("size", "across"):
        return KEPT.get(op, 0)
    found = 0
    for a in args:
        found |= a.along
    return found


_SQUARE = "a square matrix, which operations on matrices alone take,"


class Symbol(Whole):
    """One node: an operation and its operands; see the module's text.

    Attributes:
        along: what it varies along: :data:`ROWS`, :data:`COLUMNS`, both of them, or 0.
    """

    __slots__ = ("along", "args", "graph", "op", "value")

    def __init__(self, graph: Graph, op: str, args: tuple[Any, ...], value: float | None):
        self.graph, self.op, self.args, self.value = graph, op, args, value
        self.along = _along(op, args) if value is None else 0

    @property
    def is_known(self) -> bool:
        """Whether it is a scalar: the trace knows its value."""
        return self.value is not None

    @property
    def is_element(self) -> bool:
        return self.along == ELEMENTS

    @property
    def is_summary(self) -> bool:
        return self.value is None and self.along < ELEMENTS

    @property
    def is_square(self) -> bool:
        return bool(self.along & SQUARE)

    @property
    def is_mask(self) -> bool:
        return self.value is None and self.op in MASKS

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Name and value of every number below."""
        if self.op == "number":
            yield self.args[0], self.value
        elif self.op not in ("tensor", "constant"):
            for a in self.args:
                if isinstance(a, Symbol):
                    yield from a.inputs()

    def __bool__(self) -> bool:
        if self.value is None:
            raise RuleError("it branches on the value of a tensor; use where(condition, a, b)")
        return self.graph.decide(self)

    def __pow__(self, exponent: Any) -> Symbol:
        if self.value is not None:
            return self.graph.make("pow", self, exponent)
        if exponent == 0.5:
            return self.sqrt()
        if not isinstance(exponent, int) or isinstance(exponent, bool) or not 1 <= exponent <= 8:
            raise RuleError(
                f"it raises a tensor to the power {exponent}; the exponents allowed are 0.5 and "
                "the whole numbers from 1 to 8"
            )
        result = self
        for _ in range(exponent - 1):
            result = result * self
        return result

    def __rpow__(self, base: Any) -> Symbol:
        if self.value is None:
            raise RuleError("it raises a number to the power of a tensor")
        return self.graph.make("pow", base, self)

    def _binary(op: str, swapped: bool = False) -> Callable[..., Any]:  # type: ignore[misc]  # noqa: N805
        def method(self: Symbol, other: Any) -> Any:
            if not isinstance(other, Symbol | int | float):
                return NotImplemented
            return self.graph.make(op, *((other, self) if swapped else (self, other)))

        return method

    def __mod__(self, other: Any) -> Symbol:
        """Of numbers; no backend takes it of elements."""
        if not self.is_known or _is_open(other):
            raise RuleError("it takes a remainder of a tensor; % is for hyper-parameters and step")
        return self.graph.make("mod", self, other)

    __add__, __radd__ = _binary("add"), _binary("add", swapped=True)
    __sub__, __rsub__ = _binary("sub"), _binary("sub", swapped=True)
    __mul__, __rmul__ = _binary("mul"), _binary("mul", swapped=True)
    __truediv__, __rtruediv__ = _binary("div"), _binary("div", swapped=True)
    __gt__, __ge__, __lt__, __le__ = map(_binary, ("gt", "ge", "lt", "le"))
    __eq__, __ne__ = _binary("eq"), _binary("ne")

    def _logical(op: str) -> Callable[..., Any]:  # type: ignore[misc]  # noqa: N805
        def method(self: Symbol, other: Any) -> Any:
            if not isinstance(other, Symbol | bool):
                return NotImplemented
            masks: list[Any] = [s for s in (self, other) if _is_open(s)]
            if not all(s.is_mask for s in masks):
                raise RuleError("it joins by & or | what is not a comparison")
            # A condition of numbers is decided in the trace, as one that the rule branches on.
            known = [bool(s) for s in (self, other) if not _is_open(s)]
            if (op == "or") in known or not masks:
                return (any if op == "or" else all)(known)
            return masks[0] if known else self.graph.make(op, *masks)

        return method

    __and__ = __rand__ = _logical("and")
    __or__ = __ror__ = _logical("or")
    maximum, minimum = _binary("maximum"), _binary("minimum")
    atan2, ratan2 = _binary("atan2"), _binary("atan2", swapped=True)

    def __hash__(self) -> int:
        if self.graph.open:  # a set or dict would look for this object, not for its number
            raise RuleError(
                "it looks a value up in a set or a dict; compare it with ==, or ask whether it is "
                "`in` a tuple"
            )
        return id(self)

    def _unary(op: str) -> Callable[..., Any]:  # type: ignore[misc]  # noqa: N805
        return lambda self: self.graph.make(op, self)

    def __invert__(self) -> Any:
        if not self.is_known and not self.is_mask:
            raise RuleError("it turns by ~ what is not a comparison")
        return not self if self.is_known else self.graph.make("not", self)

    __neg__, __abs__ = map(_unary, ("neg", "abs"))
    sqrt, sign, abs = map(_unary, ("sqrt", "sign", "abs"))

    def log(self) -> Symbol:
        """Of a number; no backend takes it of elements."""
        if not self.is_known:
            raise RuleError("it takes the log of a tensor; log is for hyper-parameters and step")
        return self.graph.make("log", self)

    def where(self, a: Any, b: Any) -> Any:
        """``a`` where this comparison holds, ``b`` elsewhere."""
        if not self.is_known and not self.is_mask:
            raise RuleError("the condition of its where(condition, a, b) is not a comparison")
        if self.is_known:
            return a if self else b
        return self.graph.make("where", self, a, b)

    def counted(self) -> Symbol:
        """A comparison as the number 1 where it holds and 0 elsewhere; anything else as it is."""
        return self.graph.make("where", self, 1.0, 0.0) if self.is_mask else self

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        name = getattr(function, "__name__", str(function))
        known = {
            "mul", "add", "sub", "div", "sqrt", "sign", "abs", "maximum", "minimum", "where",
            "atan2",
        }  # fmt: skip
        if name in known and not kwargs:
            graph = next(a for a in args if isinstance(a, Symbol)).graph
            return graph.make(name, *args)
        raise RuleError(f"it calls torch.{name}")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuleError(f"it uses .{name}, which is unknown here")

    def _refused(what: str) -> Callable[..., NoReturn]:  # type: ignore[misc]  # noqa: N805
        def method(self: Symbol, *args: Any) -> NoReturn:
            raise RuleError(f"it {what}")

        return method

    __float__ = __int__ = __index__ = _refused("turns a value of the trace into a plain number")
    __len__ = __iter__ = __getitem__ = _refused("takes a tensor apart; a rule sees one element")
    __array__ = _refused("hands a tensor to NumPy")

    def __repr__(self) -> str:
        return f"{self.op}({', '.join(map(str, self.args))})"
