"""What a rule is: a pure function, its state, its hyper-parameters, and how it may be searched."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, overload

REQUIRED: Any = inspect.Parameter.empty
"""The default of a hyper-parameter that has none: the user must give it."""


class RuleError(TypeError):
    """A rule that cannot be used as written; the message says where and what would be right."""


class Rule:
    """An update rule: one pure function from (param, grad, *state) to (param, *state).

    Calling the rule calls the function, on tensors of any dtype and device: this is the
    reference. Everything else (compiled code, optimizer classes, the table of rules) is derived
    from the function's signature and its trace.

    Attributes:
        function: the function as written.
        name: its name.
        arguments: names of all states, in the order in which the function takes and returns them.
        state: those that are tensors, each with the shape of its parameter.
        numbers: those that are one number for a whole parameter (a product over the steps, say).
        hypers: keyword-only hyper-parameters and their defaults (``REQUIRED`` where none).
        takes_step: whether the function asks for ``step``, the count of this parameter's
            updates, 1 in the first one.
        takes_first: whether it asks for ``first``, true in the update that creates the state.
        init: state name -> what the state holds before the first update: a number or the name
            of a hyper-parameter. Zero where not named.
        search: hyper-parameter name -> (low, high), the range in which a race looks for it;
            ``"betas[1]"`` names one of several.
        sparse: what a sparse gradient means: None that it is refused; ``"rows"`` that what it does
            not touch stays as it is, state and all, as in torch's SparseAdam and Adagrad;
            ``"dense"`` that it counts as the dense gradient it stands for, as in torch's SGD.
    """

    late: tuple[str, ...] = ()
    """Hyper-parameters known only when the gradients are: see :mod:`slalom.rules.treated`."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        numbers: Collection[str] = (),
        init: Mapping[str, float | str] | None = None,
        search: Mapping[str, tuple[float, float]] | None = None,
        sparse: Literal["rows", "dense"] | None = None,
    ):
        self.function = function
        self.name: str = getattr(function, "__name__", "rule")
        self.__name__ = self.name
        self.__doc__ = function.__doc__
        self.init = dict(init or {})
        self.search = dict(search or {})
        self.sparse: Literal["rows", "dense"] | None = sparse

        parameters = list(inspect.signature(function).parameters.values())
        tensors = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        if len(tensors) + len(keywords) != len(parameters) or len(tensors) < 2:
            raise RuleError(
                f"rule {self.name}{inspect.signature(function)}: a rule takes (param, grad, "
                "*its state by name*, *, keyword-only hyper-parameters)"
            )
        self.arguments = tuple(p.name for p in tensors[2:])
        self.numbers = tuple(n for n in self.arguments if n in numbers)
        self.state = tuple(n for n in self.arguments if n not in numbers)
        self.hypers = {p.name: p.default for p in keywords if p.name not in ("step", "first")}
        names = {p.name for p in keywords}
        self.takes_step = "step" in names
        self.takes_first = "first" in names
        for name in numbers:
            if name not in self.arguments:
                raise RuleError(
                    f"rule {self.name}: numbers names {name!r}, which is none of its states "
                    f"({', '.join(self.arguments) or 'this rule has none'})"
                )
        for name, value in self.init.items():
            if name not in self.arguments or (isinstance(value, str) and value not in self.hypers):
                raise RuleError(
                    f"rule {self.name}: init names {name}={value!r}; it maps a state "
                    f"({', '.join(self.arguments) or 'this rule has none'}) to a number or to one "
                    f"of the hyper-parameters ({', '.join(self.hypers)})"
                )
        for name in self.search:
            if name.partition("[")[0] not in self.hypers:
                raise RuleError(
                    f"rule {self.name}: search names {name!r}, which is none of its "
                    f"hyper-parameters ({', '.join(self.hypers)})"
                )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<rule {self.name}>"

    def start(self, name: str, hypers: Mapping[str, Any]) -> float:
        """What the state ``name`` holds before the first update, under these hyper-parameters."""
        start = self.init.get(name, 0.0)
        return float(hypers[start] if isinstance(start, str) else start)

    @property
    def title(self) -> str:
        """The first line of the docstring: what the rule is and who wrote it down first."""
        lines = (inspect.getdoc(self.function) or self.name).splitlines()
        return lines[0].rstrip(".")


@overload
def rule(function: Callable[..., Any], /) -> Rule: ...
@overload
def rule(
    *,
    numbers: Collection[str] = (),
    init: Mapping[str, float | str] | None = None,
    search: Mapping[str, tuple[float, float]] | None = None,
    sparse: Literal["rows", "dense"] | None = None,
) -> Callable[[Callable[..., Any]], Rule]: ...
def rule(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a :class:`Rule` of a function ``(param, grad, *state, *, hyper-parameters)``.

    The function returns the new parameter and the new states, in the order of its arguments
    (the bare parameter where there is no state). It may use ``+ - * / **``, comparisons and the
    functions of :mod:`slalom.rules.functions`, and may branch on hyper-parameters and on
    ``step``, never on the value of a tensor. Raises :class:`RuleError` on a signature that is
    not of this form. The options are the attributes of :class:`Rule`.

        @slalom.rule(search={"lr": (1e-4, 1e-1)})
        def sign_momentum(param, grad, exp_avg, *, lr=1e-3, beta=0.9):
            exp_avg = beta * exp_avg + (1 - beta) * grad
            return param - lr * sign(exp_avg), exp_avg

        SignMomentum = slalom.optimizer(sign_momentum)
    """
    if function is not None:
        return Rule(function)
    return lambda f: Rule(f, **options)
