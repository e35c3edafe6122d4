"""Trace a rule into a program: what runs once a step on the host, and once per element."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from slalom.kernel.symbol import ALLOWED, SCALAR_OPS, Graph, Symbol
from slalom.rules.rule import REQUIRED, Rule, RuleError

Row = tuple[float, ...]
"""The hoisted scalars of one step, in the order of :attr:`Program.scalars`."""


def is_flag(rule: Rule, name: str, value: Any) -> bool:
    """Whether a hyper-parameter is a choice, fixed in a trace, and not a number that may vary."""
    default = rule.hypers.get(name)
    return isinstance(default, bool) or (default in (None, REQUIRED) and not _is_number(value))


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and (hasattr(value, "__float__") or isinstance(value, tuple))


@dataclass(frozen=True, eq=False)
class Program:
    """One trace of a rule, valid where its flags and guards hold.

    Attributes:
        rule: the rule traced.
        source: output name (``param`` or a state) -> its expression as written, for reading.
        outputs: output name -> its expression made cheap, for the outputs that change.
        numbers: the new value of each of the rule's numbers.
        flags: the hyper-parameters that are choices, and what they were.
        guards: the scalar conditions the rule branched on, and how they came out.
        shapes: hyper-parameter name -> its length if it is a tuple, for the numbers.
    """

    rule: Rule
    source: dict[str, Symbol]
    outputs: dict[str, Symbol]
    numbers: tuple[Symbol, ...]
    flags: dict[str, Any]
    guards: tuple[tuple[Symbol, bool], ...]
    shapes: dict[str, int | None]

    @cached_property
    def nodes(self) -> list[Symbol]:
        """Every element expression, operands before their users."""
        return [n for n in ordered(self.outputs.values()) if n.is_element]

    @cached_property
    def scalars(self) -> list[Symbol]:
        """The scalars that the element expressions use, constants apart."""
        used = dict.fromkeys(
            a
            for n in self.nodes
            for a in (*n.args, *self.outputs.values())
            if isinstance(a, Symbol) and not a.is_element and a.op != "constant"
        )
        return list(used)

    @cached_property
    def reads(self) -> list[str]:
        """The tensors read, of ``param``, ``grad`` and the rule's states."""
        return [n.args[0] for n in self.nodes if n.op == "tensor"]

    @cached_property
    def writes(self) -> list[str]:
        """The tensors written."""
        return list(self.outputs)

    @cached_property
    def live_state(self) -> tuple[str, ...]:
        """The state tensors that the program reads or writes; the others need no memory."""
        return tuple(s for s in self.rule.state if s in self.reads or s in self.writes)

    @cached_property
    def row(self) -> Any:
        """The host's part: ``row(step, first, *hypers, *numbers)``, in double precision.

        ``hypers`` are the values of ``rule.hypers`` and ``numbers`` of ``rule.numbers``, in order.
        Returns the scalars and after them the new numbers; None where a flag or a guard does not
        hold, so that another program has to serve.
        """
        return _compile_row(self)


def trace(
    rule: Rule,
    hypers: Mapping[str, Any],
    *,
    step: float = 1,
    first: bool = True,
    numbers: Sequence[float] | None = None,
) -> Program:
    """Run the rule once on symbols; ``numbers`` are by default what they are at the start.

    Raises :class:`RuleError`, with the rule's name and line, where the rule does what cannot be
    traced, and where it returns the wrong number of results.
    """
    graph = Graph()
    flags: dict[str, Any] = {}
    shapes: dict[str, int | None] = {}
    keywords: dict[str, Any] = {}
    for name in rule.hypers:
        value = hypers[name]
        if is_flag(rule, name, value):
            flags[name] = keywords[name] = value
        elif isinstance(value, tuple | list):
            shapes[name] = len(value)
            stem = name.removesuffix("s")
            keywords[name] = tuple(
                graph.leaf("number", f"{stem}{i}", float(v)) for i, v in enumerate(value, 1)
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
        else graph.leaf("tensor", name)
        for name in ("param", "grad", *rule.arguments)
    }
    try:
        results = rule.function(*given.values(), **keywords)
    except Exception as error:
        raise _explained(rule, error) from error
    results = rule.results(results)
    expected = ("param", *rule.arguments)
    symbols = {
        name: r if isinstance(r, Symbol) else graph.constant(r)
        for name, r in zip(expected, results, strict=True)
    }
    for name in rule.numbers:
        if symbols[name].is_element:
            raise RuleError(f"rule {rule.name} makes a tensor of {name}, which is a number")
    source = {name: symbol for name, symbol in symbols.items() if symbol is not given[name]}
    outputs = {n: _cheap(symbol) for n, symbol in source.items() if n not in rule.numbers}
    after = tuple(symbols[n] for n in rule.numbers)
    return Program(rule, source, outputs, after, flags, tuple(graph.guards), shapes)


@cache
def programs(rule: Rule) -> list[Program]:
    """The programs traced of this rule so far, shared by all that use it."""
    return []


def program_for(
    rule: Rule, hypers: Mapping[str, Any], step: float, first: bool, *numbers: float
) -> Program:
    """The program that serves these hyper-parameters, traced now if there is none yet.

    ``numbers`` are the present values of ``rule.numbers``.
    """
    values = [hypers[name] for name in rule.hypers]
    known = programs(rule)
    for program in known:
        if _fits(program, hypers) and program.row(step, first, *values, *numbers) is not None:
            return program
    program = trace(rule, hypers, step=step, first=first, numbers=numbers)
    known.append(program)
    return program


def _fits(program: Program, hypers: Mapping[str, Any]) -> bool:
    def length(value: Any) -> int | None:
        return len(value) if isinstance(value, tuple | list) else None

    return all(
        length(hypers[name]) == n and not is_flag(program.rule, name, hypers[name])
        for name, n in program.shapes.items()
    ) and all(
        is_flag(program.rule, name, hypers[name]) for name in program.flags if name != "first"
    )


def _explained(rule: Rule, error: Exception) -> RuleError:
    """The error with the rule's name and line, and what a rule may do."""
    here = inspect.unwrap(rule.function).__code__.co_filename
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f for f in frames if f.filename == here] or frames[-1:]
    what = str(error) if isinstance(error, RuleError) else f"{type(error).__name__}: {error}"
    where = f"line {lines[-1].lineno} of {lines[-1].filename} ({lines[-1].line})"
    return RuleError(f"rule {rule.name} cannot be traced at {where}: {what}. {ALLOWED}.")


def ordered(roots: Any) -> Iterator[Symbol]:
    """Every node below the roots once, operands first."""
    seen: set[int] = set()
    stack: list[tuple[Symbol, bool]] = [(r, False) for r in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((a, False) for a in reversed(node.args) if isinstance(a, Symbol))


def _cheap(root: Symbol) -> Symbol:
    """The same value with less work per element: scalar factors are gathered and hoisted.

    ``x / s`` becomes ``x * (1 / s)`` and ``s * (t * x)`` becomes ``(s * t) * x``; s and t are
    scalars in double precision, so each rewrite costs at most one rounding of the result.
    """
    done: dict[Symbol, Symbol] = {}
    for node in ordered([root]):
        if not node.is_element or node.op == "tensor":
            done[node] = node
            continue
        op, args = node.op, [done[a] for a in node.args]
        make = node.graph.make
        if op == "div" and not args[1].is_element:
            op, args = "mul", [args[0], make("div", 1.0, args[1])]
        if op == "neg":
            op, args = "mul", [make("neg", 1.0), args[0]]
        if op == "mul":
            factor = [a for a in args if not a.is_element]
            rest = [a for a in args if a.is_element]
            if factor and rest[0].op == "mul" and not rest[0].args[0].is_element:
                inner = rest[0]
                factor, rest = [make("mul", factor[0], inner.args[0])], [inner.args[1]]
            args = factor + rest  # a scalar factor always stands first
        done[node] = make(op, *args)
    return done[root]


TEMPLATES = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "pow": "{} ** {}",
    "neg": "-{}", "gt": "{} > {}", "ge": "{} >= {}", "lt": "{} < {}", "le": "{} <= {}",
    "eq": "{} == {}", "ne": "{} != {}",
}  # fmt: skip
"""How an operation is written in Python; the others are calls."""


def _compile_row(program: Program) -> Any:
    rule = program.rule
    safe = {name: value for name, value in SCALAR_OPS.items() if name not in TEMPLATES}
    arguments = [*(f"{n}_" for n in rule.hypers), *rule.numbers]
    lines = [f"def row(step, first, {', '.join(arguments)}):"]
    for name, value in program.flags.items():
        argument = "first" if name == "first" else f"{name}_"
        if isinstance(value, bool):
            lines.append(f"    if {'not ' if value else ''}{argument}: return None")
        else:
            safe[f"flag_{name}"] = value
            lines.append(f"    if {argument} != flag_{name}: return None")
    written: dict[Symbol, str] = {}
    for name, length in program.shapes.items():
        if length is None:
            lines.append(f"    {name} = float({name}_)")
        else:
            names = ", ".join(f"{name.removesuffix('s')}{i}" for i in range(1, length + 1))
            lines.append(f"    {names}, = map(float, {name}_)")

    def write(roots: list[Symbol]) -> list[str]:
        for node in ordered(roots):
            if node in written:
                continue
            if node.op == "number":
                written[node] = node.args[0]
            elif node.op == "constant":
                written[node] = f"({node.value!r})"
            else:
                args = [written[a] for a in node.args]
                template = TEMPLATES.get(node.op, f"{node.op}({', '.join(['{}'] * len(args))})")
                written[node] = f"t{len(written)}"
                lines.append(f"    {written[node]} = {template.format(*args)}")
        return [written[r] for r in roots]

    for condition, outcome in program.guards:
        (value,) = write([condition])
        lines.append(f"    if {'not ' if outcome else ''}{value}: return None")
    values = write([*program.scalars, *program.numbers])
    lines.append(f"    return ({''.join(v + ', ' for v in values)})")
    code = compile("\n".join(lines), f"<the row of {rule.name}>", "exec")
    infinities = {"inf": float("inf"), "nan": float("nan")}

    def run(**namespace: Any) -> Any:
        namespace |= safe | infinities
        exec(code, namespace)
        return namespace["row"]

    fast = run()

    def row(step: float, first: bool, *values: Any) -> Row | None:
        try:
            return fast(step, first, *values)
        except TypeError:  # a number has become None, or None a number
            return None
        except (ZeroDivisionError, OverflowError):  # Python raises where IEEE has infinities
            import numpy as np

            with np.errstate(all="ignore"):
                # np.float64 is a float, and divides as IEEE says
                values = tuple(np.float64(v) if type(v) is float else v for v in values)
                return run(float=np.float64)(np.float64(step), first, *values)

    return row
