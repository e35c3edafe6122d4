"""What a program alone tells of a state's numbers: their sign, and what they are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from slalom.ir.passes import ordered
from slalom.ir.program import Program, trace
from slalom.ir.symbol import SUMS, Symbol
from slalom.rules.definition import REQUIRED, Rule


def never_negative(programs: Iterable[Program], starts: Mapping[str, float]) -> set[str]:
    """The states that begin at 0 or above and stay there under all these programs.

    ``starts`` are the states that are tensors and what they begin as. What is not seen to stay is
    left out: a difference may be.
    """
    found = {name for name, start in starts.items() if start >= 0}
    sources = [p.source for p in programs]
    while True:
        left = {
            name for name in found
            if all(name not in s or _stays(s[name], found) for s in sources)
        }  # fmt: skip
        if left == found:
            return found
        found = left


def _stays(symbol: Symbol, states: Collection[str]) -> bool:
    """Whether an expression is never negative where these states are not."""
    known: dict[int, bool] = {}
    for node in ordered([symbol]):
        known[id(node)] = _is_positive(node, known, states)
    return known[id(symbol)]


def _is_positive(node: Symbol, known: Mapping[int, bool], states: Collection[str]) -> bool:
    if node.is_known:
        return bool(node.value is not None and node.value >= 0)
    args = [known[id(a)] for a in node.args if isinstance(a, Symbol)]
    if node.op in ("tensor", "tensor0", "tensor1", "tensor2"):
        return node.args[0] in states
    if node.op in ("mul", "div"):
        return not _odd(node, known)
    if node.op in ("squares", "size", "abs", "sqrt"):
        return True
    if node.op == "maximum":
        return any(args)
    if node.op == "where":
        return all(args[1:])
    return node.op in ("add", "minimum", "spread", "total") and all(args)


def _odd(node: Symbol, known: Mapping[int, bool]) -> set[int]:
    """The factors that may be negative and of which there is an odd number; 0 for a minus."""
    if node.op == "neg":
        return _odd(node.args[0], known) ^ {0}
    if node.op in ("mul", "div"):
        return _odd(node.args[0], known) ^ _odd(node.args[1], known)
    return set() if known[id(node)] else {id(node)}


def holds_weights(rule: Rule, name: str) -> bool:
    """Whether a state is made of the parameter itself, element by element, but for its decay.

    As an average of the parameter is, or the point that the steps are taken from.
    """
    hypers = {n: 1e-3 if d is REQUIRED else d for n, d in rule.hypers.items()}
    hypers |= {n: 0 for n in ("weight_decay",) if n in hypers}
    ways = [trace(rule, hypers, step=s, first=s == 1) for s in (1, 2)]
    return any(_hangs_on_param(p.source[name]) for p in ways if name in p.source)


def _hangs_on_param(symbol: Symbol) -> bool:
    waiting, seen = [symbol], set[int]()
    while waiting:
        node = waiting.pop()
        if node.op == "tensor" and node.args[0] == "param":
            return True
        if id(node) in seen or node.op in SUMS:
            continue
        seen.add(id(node))
        waiting += [a for a in node.args if isinstance(a, Symbol)]
    return False
