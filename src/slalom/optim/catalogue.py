"""What there is to know of every rule, from its trace, its declarations and its docstring."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from slalom.ir.formula import formulas
from slalom.ir.program import trace
from slalom.rules import RULES
from slalom.rules.definition import REQUIRED, Rule


@dataclass(frozen=True)
class Facts:
    """One rule.

    Attributes:
        name: as in ``slalom.rules.RULES``.
        class_name: as in ``slalom.optim``.
        call: how the class is called, with every hyper-parameter and its default.
        bounds: where the hyper-parameters may lie, as ``"lr >= 0"``.
        title: what it is, and the paper and equation it comes from.
        formulas: a line for each state that changes and one for the parameter, at the default
            hyper-parameters; a prime marks the value after the update.
        state: the tensors and numbers kept for each parameter tensor.
        bytes: read and written for each float32 element in one update, beside ``products``.
        products: whether there are operations on whole matrices.
    """

    name: str
    class_name: str
    call: str
    bounds: tuple[str, ...]
    title: str
    formulas: list[str]
    state: tuple[str, ...]
    bytes: int
    products: bool

    @property
    def apart(self) -> str:
        """What the bytes are not of, in words."""
        return ", products of matrices apart" if self.products else ""


def facts(rule: Rule) -> Facts:
    """What the trace of a rule says, at its default hyper-parameters and far from the start."""
    hypers = {n: 1e-3 if v is REQUIRED else v for n, v in rule.hypers.items()}
    program = trace(rule, hypers, step=1000, first=False)
    given = (n if default is REQUIRED else f"{n}={default!r}" for n, default in rule.hypers.items())
    return Facts(
        name=rule.name,
        class_name=rule.class_name,
        call=f"{rule.class_name}({', '.join(('params', *given))})",
        bounds=tuple(f"{name} {bound}" for name, bound in rule.bounds.items()),
        title=rule.title,
        formulas=formulas(program.source),
        state=(*program.live_state, *rule.numbers),
        bytes=program.bytes,
        products=program.multiplies,
    )


def catalogue() -> list[Facts]:
    """The facts of every rule that comes with Slalom."""
    return [facts(rule) for rule in RULES.values()]


def markdown() -> str:
    """The catalogue as a part of a page, a heading for each rule."""
    return "\n\n".join(
        f"### {one.class_name}\n\n{one.title}.\n\n```python\n{one.call}\n```\n\n"
        + "".join(f"    {line}\n" for line in one.formulas)
        + f"\nState: {', '.join(one.state) or 'none'}; {one.bytes} bytes{one.apart}. "
        + f"Bounds: {', '.join(one.bounds) or 'none'}. [Its page](rules/{one.name}.md)."
        for one in catalogue()
    )


def page(rule: Rule) -> str:
    """All there is to say of one rule, as a page of its own."""
    one = facts(rule)
    code = inspect.getsource(rule.function)
    searched = ", ".join(f"{n} from {low:g} to {high:g}" for n, (low, high) in rule.search.items())
    begun = [f"`{n}` at {v}" for n, v in rule.init.items()]
    lines = [
        f"# {one.class_name}", "", f"{one.title}.", "", "```python", f"slalom.optim.{one.call}",
        "```", "", "## Formula", "", "At the default hyper-parameters; a prime marks the value "
        "after the update.", "", *(f"    {line}" for line in one.formulas), "", "## Code", "",
        "The whole of it: the reference, and what machine code is made of.", "", "```python",
        code.rstrip(), "```", "", "## Figures", "", "| | |", "| --- | --- |",
        f"| state | {', '.join(f'`{n}`' for n in one.state) or 'none'} |",
        f"| which begins | {', '.join([*begun, 'the rest at 0'])} |",
        f"| bytes read and written for a float32 element | {one.bytes} |",
        *(["| products of matrices | apart from these |"] if one.products else []),
        f"| bounds | {', '.join(one.bounds) or 'none'} |",
        f"| a race searches | {searched or 'nothing, unless told where'} |",
        f"| sparse gradients | {SPARSE[rule.sparse]} |", "",
    ]  # fmt: skip
    for example in rule.examples:
        given = ", ".join(f"{n}={v!r}" for n, v in example.hypers.items())
        lines += [
            f"Worked out from the paper, with {given}, from 1:", "", "| gradient | parameter |",
            "| ---: | ---: |",
            *(f"| {g:g} | {p:.10g} |"
              for g, p in zip(example.gradients, example.params, strict=True)),
            "",
        ]  # fmt: skip
    return "\n".join(lines)


SPARSE = {
    None: "refused", "rows": "the rows they touch alone are read and written",
    "dense": "count as the dense ones that they stand for",
}  # fmt: skip
"""What :attr:`Rule.sparse` means, in words."""
