"""A program as it is of tensors of one column: each of their rows is an element.

So what is one number a row is no summary there, and its state is a tensor as any other. Summaries
come between sweeps, one after another in double precision, which of a long vector took longer than
all else.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

from slalom.ir.operations import COLUMNS, ELEMENTS, ROWS, SUMS
from slalom.ir.passes import ordered
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol


@cache
def of_vectors(program: Program) -> Program:
    """The program of the same scalars, for tensors of one column. It multiplies no matrices."""
    done: dict[Symbol, Symbol] = {}
    results = {**program.outputs, **program.small}
    for node in ordered(results.values()):
        args = [done.get(a, a) if isinstance(a, Symbol) else a for a in node.args]
        done[node] = node if node.is_known else _of_vectors(node, args)
    rule = copy.copy(program.rule)
    rule.shapes = {n: "tensor0" for n, kind in rule.shapes.items() if kind != "tensor1"}
    made = replace(
        program,
        rule=rule,
        outputs={n: done[s] for n, s in results.items() if n not in rule.shapes},
        small={n: done[s] for n, s in results.items() if n in rule.shapes},
    )
    vars(made)["scalars"] = program.scalars  # the rows of both are the same
    return made


def _of_vectors(node: Symbol, args: list[Any]) -> Symbol:
    op, graph = node.op, node.graph
    if op == "tensor1":
        return graph.leaf("tensor", args[0])
    if op == "tensor2":
        return graph.leaf("tensor0", args[0])
    if op == "size":
        many: dict[int, int] = {0: 0, ROWS: ELEMENTS, COLUMNS: 0, ELEMENTS: ELEMENTS}
        return graph.size(many[args[0]], args[1])
    if op in SUMS:
        operand, left = args
        return graph.sum(op, operand, ELEMENTS if left == ROWS else 0)
    if op == "across":
        return graph.across(*args)
    if op == "spread":
        return args[0] if args[0].is_element else graph.spread(args[0])
    return node if op in ("tensor", "tensor0", "constant") else graph.make(op, *args)
