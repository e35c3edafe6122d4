"""What a rule is: a pure function, its state, its hyper-parameters, and all it says of itself."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, overload

from slalom.rules.bounds import Bound
from slalom.rules.declared import Declarations, Written, within
from slalom.rules.example import Example
from slalom.rules.signature import REQUIRED, RuleError, checked, read

__all__ = ["REQUIRED", "Rule", "RuleError", "rule"]

Holds = Callable[[Mapping[str, Any]], bool]


class Rule:
    """An update rule: one pure function from (param, grad, *state) to (param, *state).

    Calling the rule calls the function, on tensors of any dtype and device: this is the
    reference. Everything else (compiled code, optimizer classes, the table of rules, the entrants
    of a race, its tests) is derived from the function's signature, its trace and the options
    below. A slip in any of them raises :class:`RuleError`.

    Attributes:
        function: the function as written.
        name: its name.
        arguments: names of all states, in the order in which the function takes and returns them.
        state: those that are tensors, each with the shape of its parameter but for ``shapes``.
        numbers: those that are one number for a whole parameter and hang on the step and the
            hyper-parameters alone (a product over the steps, say).
        shapes: those tensors that are of another shape than the parameter, declared as ``"one"``
            (number), one a ``"row"`` or one a ``"column"``, as
            :func:`slalom.rules.functions.total` sees them, or as square matrices, ``"rows x rows"``
            or ``"columns x columns"``; here the name of the kind of input that they are. A square
            may be limited, ``"rows x rows up to max_precond_dim"``: it is empty where the
            parameter is longer on that side than the hyper-parameter says, and always where that
            has a single row or column.
        limits: the squares that are limited, and the hyper-parameter by which.
        squares: the names of the states that are square matrices.
        hypers: keyword-only hyper-parameters and their defaults (``REQUIRED`` where none). A
            default is a number, a tuple of numbers, a bool or a word (a choice), or None.
        takes_step: whether the function asks for ``step``, the count of this parameter's
            updates, 1 in the first one.
        takes_first: whether it asks for ``first``, true in the update that creates the state.
        init: state name -> what the state holds before the first update: a number or the name
            of a hyper-parameter. Zero where not named.
        search: hyper-parameter name -> (low, high), the range in which a race looks for it;
            ``"betas[1]"`` names one of several.
        bounds: hyper-parameter name -> where it may lie, written ``">= 0"`` or ``"[0, 1)"``, or as
            the words of a choice. Of :data:`slalom.rules.bounds.COMMON` where not named; None
            lifts those.
        requires: a sentence -> whether it holds of (all hyper-parameters by name): what bounds of
            single ones cannot say. It is the error where it does not hold.
        sparse: what a sparse gradient means: None that it is refused; ``"rows"`` that what it does
            not touch stays as it is, state and all, as in torch's SparseAdam and Adagrad;
            ``"dense"`` that it counts as the dense gradient it stands for, as in torch's SGD.
        averaged: whether the state ``z`` takes the steps and the result is its average, so that
            the class has ``train()`` and ``eval()``; see :mod:`slalom.rules.schedule_free`.
        class_name: of its optimizer class; its name in CamelCase where not given.
        field: label -> hyper-parameters that are fixed: how it stands in a race where nobody is
            named; ``batch_size="all"`` gives it the gradient over all samples.
        examples: a few updates worked out apart from the function, which the tests compare.
    """

    late: tuple[str, ...] = ()
    """Hyper-parameters known only when the gradients are: see :mod:`slalom.rules.treated`."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        numbers: Collection[str] = (),
        shapes: Mapping[str, str] | None = None,
        init: Mapping[str, float | str] | None = None,
        search: Mapping[str, tuple[float, float]] | None = None,
        bounds: Mapping[str, Written] | None = None,
        requires: Mapping[str, Holds] | None = None,
        sparse: Literal["rows", "dense"] | None = None,
        averaged: bool = False,
        class_name: str | None = None,
        field: Mapping[str, Mapping[str, Any]] | None = None,
        examples: Collection[Example] = (),
    ):
        if isinstance(function, Rule):
            raise RuleError(f"{function.name} is a rule already")
        signature = read(function)
        self.function = function
        self.name: str = function.__name__
        self.__name__ = self.name
        self.__doc__ = function.__doc__
        self.arguments, self.hypers = signature.states, signature.hypers
        self.takes_step, self.takes_first = (n in signature.counts for n in ("step", "first"))

        declared = Declarations(self.name, signature)
        scalars = declared.numbers(numbers)
        self.numbers = tuple(n for n in self.arguments if n in scalars)
        self.state = tuple(n for n in self.arguments if n not in scalars)
        self.shapes, self.limits = declared.shapes(shapes or {}, self.state)
        self.squares = tuple(n for n, kind in self.shapes.items() if kind.startswith("square"))
        self.init = declared.init(init or {})
        self.bounds: dict[str, Bound] = declared.bounds(bounds or {})
        self.search = declared.search(search or {}, self.bounds)
        self.requires = declared.requires(requires or {})
        self.sparse: Literal["rows", "dense"] | None = declared.sparse(sparse)
        self.averaged = declared.averaged(averaged, self.bounds)
        self.class_name = declared.class_name(class_name)
        self.field = declared.field(field or {})
        self.examples = declared.examples(examples)
        self._own = {
            "numbers": numbers, "shapes": shapes, "init": init, "search": search, "bounds": bounds,
            "requires": requires, "sparse": sparse, "averaged": averaged,
        }  # fmt: skip

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def results(self, returned: Any) -> tuple[Any, ...]:
        """What a call returned, as the tuple (param, *state); :class:`RuleError` if it is not."""
        return checked(self.name, self.arguments, returned)

    def derive(self, function: Callable[..., Any], **options: Any) -> Rule:
        """The rule of another function that declares what this one does, but for ``options``.

        Its class's name, its place in a race and its examples are its own. A table among the
        options adds to the table of this rule.
        """
        for option, given in options.items():
            if isinstance(given, Mapping) and self._own.get(option):
                options[option] = {**self._own[option], **given}
        return Rule(function, **self._own | options)

    def __repr__(self) -> str:
        return f"<rule {self.name}>"

    def start(self, name: str, hypers: Mapping[str, Any]) -> float:
        """What the state ``name`` holds before the first update, under these hyper-parameters."""
        start = self.init.get(name, 0.0)
        return float(hypers.get(start, self.hypers.get(start)) if isinstance(start, str) else start)

    def shape(self, name: str, of: Sequence[int], hypers: Mapping[str, Any]) -> tuple[int, ...]:
        """The shape of the state ``name`` of a parameter of the shape ``of``."""
        own, rest = tuple(of), tuple(of[1:])
        kind = self.shapes.get(name)
        if name in self.squares:
            sides = math.prod(own[:1]), math.prod(rest)
            side = sides[kind == "square2"]
            limit = self.limits.get(name, "")
            most = hypers.get(limit, self.hypers.get(limit, math.inf))
            return (side, side) if min(sides) > 1 and side <= most else (0, 0)
        if kind == "tensor0":
            return ()
        if kind == "tensor1":
            return own[:1] + (1,) * len(rest)
        return own if kind is None else (1, *rest)[: len(own)]

    def bound(self, name: str, i: int | None = None) -> Bound | None:
        """Where the hyper-parameter ``name``, or its number ``i``, may lie; None if anywhere."""
        return within(self.bounds, name, i)

    @property
    def title(self) -> str:
        """The first line of the docstring: what the rule is and who wrote it down first."""
        lines = (inspect.getdoc(self.function) or self.name).splitlines()
        return lines[0].rstrip(".")

    @property
    def year(self) -> int | None:
        """When it was published, by its title."""
        found = re.search(r"\b(1[89]|20)\d\d\b", self.title)
        return int(found[0]) if found else None


@overload
def rule(function: Callable[..., Any], /) -> Rule: ...
@overload
def rule(
    *,
    numbers: Collection[str] = (),
    shapes: Mapping[str, str] | None = None,
    init: Mapping[str, float | str] | None = None,
    search: Mapping[str, tuple[float, float]] | None = None,
    bounds: Mapping[str, Written] | None = None,
    requires: Mapping[str, Holds] | None = None,
    sparse: Literal["rows", "dense"] | None = None,
    averaged: bool = False,
    class_name: str | None = None,
    field: Mapping[str, Mapping[str, Any]] | None = None,
    examples: Collection[Example] = (),
) -> Callable[[Callable[..., Any]], Rule]: ...
def rule(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a :class:`Rule` of a function ``(param, grad, *state, *, hyper-parameters)``.

    The function returns the new parameter and the new states, in the order of its arguments
    (the bare parameter where there is no state). It may use ``+ - * / **``, comparisons and the
    functions of :mod:`slalom.rules.functions`, and may branch on hyper-parameters and on
    ``step``, never on the value of a tensor. Raises :class:`RuleError` on a signature that is
    not of this form, and on options that do not fit it. The options are the attributes of
    :class:`Rule`.

        @slalom.rule(search={"lr": (1e-4, 1e-1)})
        def sign_momentum(param, grad, exp_avg, *, lr=1e-3, beta=0.9):
            exp_avg = beta * exp_avg + (1 - beta) * grad
            return param - lr * sign(exp_avg), exp_avg

        SignMomentum = slalom.optimizer(sign_momentum)
    """
    if function is not None:
        return Rule(function, **options)
    return lambda f: Rule(f, **options)
