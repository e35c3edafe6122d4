"""Who races: families of optimizers, and the points of their search spaces."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from slalom import optim
from slalom.errors import InputError, did_you_mean
from slalom.plain import unprintable
from slalom.racing.snippet import Recipe, recipe, snippet, written
from slalom.racing.space import COMMON, OF_THE_RUN, Space, options_of, sorted_out
from slalom.racing.spoken import entrant_of
from slalom.rules import RULES
from slalom.train import Task
from slalom.train.groups import scaled
from slalom.train.varied import varied

Params = Iterable[Tensor]


@dataclass(frozen=True)
class Family:
    """An optimizer with a space of hyper-parameters to be searched.

    Attributes:
        label: what it is called in the race.
        make: (parameters, **hypers) -> optimizer.
        space: hyper-parameter -> (low, high), as ``Rule.search`` writes it, or another form that
            :func:`slalom.racing.space.sorted_out` takes; ``batch_size`` may be among them.
        fixed: further hyper-parameters, the same for every entrant.
        batch_size: ``"all"`` for the gradient over all samples; None for the task's batches.
        updates: of a whole run, where a budget in time makes them its own; None for the task's.
        said: those of ``fixed`` that were set for the whole race, and that a label tells.
    """

    label: str
    make: Callable[..., torch.optim.Optimizer]
    space: Space
    fixed: Mapping[str, Any] = field(default_factory=dict)
    batch_size: Literal["all"] | int | None = None
    updates: int | None = None
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entrant:
    """A family with its hyper-parameters: what races. ``number`` is its place in the race."""

    number: int
    family: Family
    hypers: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The family's label and the hyper-parameters that were searched, or set for the race."""
        own = {n: self.family.fixed[n] for n in self.family.said} | {**self.hypers}
        values = ", ".join(f"{n}={_shown(v)}" for n, v in own.items())
        return f"{self.family.label}({values})" if values else self.family.label

    @property
    def batch_size(self) -> Literal["all"] | int | None:
        """Samples in an update; None for the task's batches."""
        searched = self._settings.get("batch_size")
        return self.family.batch_size if searched is None else int(searched)

    @property
    def horizon(self) -> int | None:
        """Updates of a whole run, which a schedule ends with; None for those of the task."""
        searched = self.hypers.get("horizon")
        return self.family.updates if searched is None else int(searched)

    @property
    def trunk(self) -> tuple[Any, ...]:
        """What it has in common with those that differ in their horizon alone."""
        setting = (pair for pair in self.hypers.items() if pair[0] != "horizon")
        return (self.family.label, *setting)

    @property
    def _settings(self) -> dict[str, Any]:
        return {**self.family.fixed, **self.hypers}

    @property
    def _of_the_run(self) -> set[str]:
        """What of its settings is no option of its optimizer."""
        takes = options_of(self.family.make) or {}
        return {n for n in OF_THE_RUN if n not in takes or n == "batch_size"}

    @property
    def training(self) -> dict[str, Any]:
        """What its runs have of their own in place of the task's: warm-up, bounds of gradients."""
        own = self._of_the_run - {"batch_size", "horizon"}
        return {n: v for n, v in self._settings.items() if n in own}

    def of(self, task: Task) -> Task:
        """The task as it trains it."""
        return varied(task, **self.training) if self.training else task

    @property
    def arguments(self) -> dict[str, Any]:
        """What its optimizer is made with, beside the parameters."""
        found: dict[str, Any] = {}
        of_the_run = self._of_the_run
        for name, value in self._settings.items():
            if name in of_the_run:
                continue
            whole, _, place = name.partition("[")
            if place:
                default = inspect.signature(self.family.make).parameters[whole].default
                values = list(found.get(whole, default))
                values[int(place[:-1])] = value
                found[whole] = tuple(values)
            else:
                found[name] = value
        return found

    def optimizer(self, params: Params) -> torch.optim.Optimizer:
        """The entrant's optimizer for these parameters; of :func:`slalom.optim.split` those of a
        task, which know their model, or the model itself."""
        arguments = self.arguments
        if self.splits:
            return optim.split(_model_of(self.family.label, params), **arguments)
        return self.family.make(scaled(params, arguments), **arguments)

    @property
    def splits(self) -> bool:
        """Whether its optimizer is made of the model, and not of parameters."""
        return self.family.make is optim.split

    @property
    def recipe(self) -> Recipe:
        """How it is kept in a record."""
        return recipe(self.family.make, self.arguments)

    def snippet(self, parameters: str = "model.parameters()", under: str = "") -> str:
        """Two lines of Python that make this optimizer for the parameters; ``under`` is said of
        the schedule that it races under."""
        size = self.batch_size
        said = "one update for all samples" if size == "all" else f"in batches of {size}"
        notes = [*([] if size is None else [said]), *([under] if under else [])]
        notes += [f"with {name}={written(value)}" for name, value in self.training.items()]
        note = f"  # {', '.join(notes)}" if notes else ""
        parameters = "model" if self.splits else parameters
        return snippet(self.label, self.family.make, self.arguments, parameters, note)


def _model_of(label: str, params: Any) -> nn.Module:
    model = params if isinstance(params, nn.Module) else getattr(params, "model", None)
    if model is None:
        raise InputError(
            f"{label} is made of a model, whose parameters it sorts by itself; it cannot be had "
            "where a task has parameter_groups, or a loss with parameters of its own"
        )
    return model


def _shown(value: Any) -> str:
    return str(value) if not isinstance(value, float) else f"{value:.4g}"


def _ours(label: str, name: str, batch_size: Literal["all"] | None = None, **fixed: Any) -> Family:
    made = getattr(optim, name)
    space = {n: bounds for n, bounds in made.rule.search.items() if n not in fixed}
    return Family(label, made, space, fixed, batch_size)


FIELD: dict[str, Family] = {
    label: _ours(label, rule.class_name, **fixed)
    for rule in RULES.values()
    for label, fixed in rule.field.items()
}
"""The classic methods, which race where nobody else is named."""


def _split(name: str) -> Family:
    """A rule for the hidden matrices of a model, AdamW for the rest, under one learning rate."""
    matrix = {"rule": name, "adjust_lr_fn": "match_rms_adamw"}
    return Family(name, optim.split, {"lr": (3e-4, 1e-1)}, {"matrix": matrix})


MODERN: dict[str, Family] = {
    **{name: _ours(name, name) for name in (
        "AdamW", "CautiousAdamW", "ScheduleFreeAdamW", "AdEMAMix", "MARS", "AdamMini",
        "Prodigy", "SOAP", "Shampoo", "PSGD",
    )},
    **{name: _split(name) for name in ("Muon", "NorMuon")},
}  # fmt: skip
"""What is raced as ``"modern"``: AdamW and what has been proposed in its place since 2023."""


def families(
    entrants: Any = None,
    search: Collection[str] = ("lr",),
    batch_sizes: tuple[int, int] | None = None,
    space: Mapping[str, Any] | None = None,
) -> list[Family]:
    """The families named by ``entrants``.

    None for :data:`FIELD`; else a list of names (of FIELD, of :data:`MODERN`, of a class of
    ``slalom.optim``, or ``"modern"`` for all of MODERN; with settings of its own,
    ``"Adam(precision=bfloat16)"``) and families, or a mapping of labels to any
    of: a family, a ``torch.optim`` or ``slalom.optim`` class, a callable ``params -> optimizer``,
    or a pair of a class and its search space. Of what a rule declares, ``search`` is searched
    (``"all"`` for all of it); of a pair, all that it names.
    ``batch_sizes`` are the smallest and the largest that may be tried. ``space`` names ranges and
    values in place of these: for all that take them, and under an entrant's label its own. Raises
    :class:`InputError` for anything else, and where two have one label.
    """
    entrants = _told_apart(entrants)
    found = _named(FIELD.values() if entrants is None else entrants)
    if isinstance(search, str) and search != "all":
        search = (search,)
    declared = {n.partition("[")[0] for f in found for n in f.space} | {"lr", *COMMON}
    for name in search if search != "all" else ():
        if name not in declared:
            raise InputError(
                f"no entrant declares a range of {name!r}; there are {', '.join(sorted(declared))}"
            )
    given = entrants.values() if isinstance(entrants, Mapping) else entrants or ()
    spaced = [isinstance(g, Family | tuple) for g in given] or [False] * len(found)
    kept = [
        _searched(family, "all" if own else search, batch_sizes)
        for family, own in zip(found, spaced, strict=True)
    ]
    return kept if space is None else _spaced(kept, space)


def _spaced(found: list[Family], space: Any) -> list[Family]:
    """The families with the ranges and values of a space in place of their own."""
    if not isinstance(space, Mapping):
        raise InputError(
            f'space is {space!r}; it must be a mapping, as in {{"lr": (1e-4, 1e-1)}}, or in '
            '{"Adam": {"lr": (1e-4, 1e-1)}}'
        )
    common = {n: v for n, v in space.items() if not isinstance(v, Mapping)}
    own = {n.lower(): v for n, v in space.items() if isinstance(v, Mapping)}
    labels = [f.label for f in found]
    for label in own.keys() - {n.lower() for n in labels}:
        hint = did_you_mean(label, labels) or f"; there are {', '.join(labels)}"
        raise InputError(f"space names {label!r}, which does not race{hint}")
    taken: set[str] = set()
    made = []
    for family in found:
        takes = options_of(family.make)
        known = {*(takes or common), *OF_THE_RUN} - {"horizon"}
        if family.batch_size is not None:
            known -= {"batch_size"}
        here = {n: v for n, v in common.items() if n.partition("[")[0] in known}
        taken |= here.keys()
        here |= own.get(family.label.lower(), {})
        searched, fixed = sorted_out(family.label, family.make, here)
        made.append(replace(
            family,
            space={n: d for n, d in family.space.items() if n not in fixed} | searched,
            fixed={n: v for n, v in family.fixed.items() if n not in searched} | fixed,
            said=tuple(
                n for n in dict.fromkeys((*family.said, *_told(fixed))) if n not in searched
            ),
        ))  # fmt: skip
    if missing := sorted(common.keys() - taken):
        every = sorted({n for f in found for n in options_of(f.make) or ()} | set(OF_THE_RUN))
        hint = did_you_mean(missing[0], every)
        raise InputError(f"space names {missing[0]!r}, which no entrant takes{hint}")
    return made


def _searched(
    family: Family, search: Collection[str], batch_sizes: tuple[int, int] | None
) -> Family:
    kept = {
        name: bounds
        for name, bounds in family.space.items()
        if search == "all" or name.partition("[")[0] in search
    }
    if search != "all":
        takes = options_of(family.make)
        for name, bounds in COMMON.items():
            if name in search and name not in family.space and (
                name in OF_THE_RUN or takes is None or name in takes
            ):  # fmt: skip
                kept[name] = bounds
    if batch_sizes is not None and family.batch_size is None:
        kept["batch_size"] = batch_sizes
    return replace(family, space=kept)


def _told_apart(entrants: Any) -> Any:
    """Entrants as they were given, with all of :data:`MODERN` in place of ``"modern"``."""
    if entrants is None or isinstance(entrants, Mapping):
        return entrants
    return [
        one
        for given in entrants
        for one in (MODERN if isinstance(given, str) and given.lower() == "modern" else [given])
    ]


def _named(entrants: Any) -> list[Family]:
    named = entrants.items() if isinstance(entrants, Mapping) else ((None, e) for e in entrants)
    found = [_checked(_family(label, given)) for label, given in named]
    labels = [f.label for f in found]
    if not found:
        raise InputError("entrants is empty; name at least one")
    if len(set(labels)) != len(labels):
        twice = next(x for x in labels if labels.count(x) > 1)
        raise InputError(f"two entrants are called {twice}; give them different names")
    return found


def _family(label: str | None, given: Any) -> Family:
    if isinstance(given, str):
        given, own = entrant_of(given)
        if own:
            return _set(_family(None, given), own, label)
        for name, family in {**FIELD, **MODERN}.items():
            if name.lower() == given.lower():
                return family if label is None else replace(family, label=label)
        classes = {n.lower(): n for n in optim.__all__ if hasattr(getattr(optim, n), "rule")}
        if given.lower() in classes:
            name = classes[given.lower()]
            return _ours(label or name, name)
        hint = did_you_mean(given, (*classes.values(), *FIELD, "modern"))
        raise InputError(
            f"there is no entrant {given!r}; there are {', '.join(FIELD)}, modern (for "
            f"{', '.join(MODERN)}) and the classes of slalom.optim{hint}"
        )
    if isinstance(given, Family):
        return given if label is None else replace(given, label=label)
    space: Any = None
    if isinstance(given, tuple) and len(given) == 2:
        given, space = given
    if not callable(given):
        raise InputError(
            f"the entrant {label or repr(given)} is a {type(given).__name__}; it must be a name, "
            "an optimizer class or a function from parameters to an optimizer, or a pair of one "
            'and its search space, as in {"lr": (1e-4, 1e-1)}'
        )
    name = getattr(given, "__qualname__", "optimizer")
    if space is None and isinstance(given, type):
        rule = getattr(given, "rule", None) or getattr(getattr(optim, name, None), "rule", None)
        space = dict(rule.search) if rule is not None else {"lr": (1e-4, 1.0)}
    make: Any = given
    return Family(label or name, make, space or {})


def _set(family: Family, own: Mapping[str, Any], label: str | None) -> Family:
    """The family with settings of its own, which it is called by as well."""
    space, fixed = sorted_out(family.label, family.make, own)
    return replace(
        family, label=label or " ".join([family.label, *map(str, own.values())]),
        space={n: d for n, d in family.space.items() if n not in fixed} | space,
        fixed={**{n: v for n, v in family.fixed.items() if n not in space}, **fixed},
    )  # fmt: skip


def _checked(family: Family) -> Family:
    """The family, if all that the record of a race says of it can be shown as it is."""
    if not isinstance(family.label, str) or not family.label or unprintable(family.label):
        raise InputError(f"an entrant is called {family.label!r}; a name must be text that shows")
    space, fixed = sorted_out(family.label, family.make, family.space)
    return replace(family, space=space, fixed={**family.fixed, **fixed})


def _told(fixed: Mapping[str, Any]) -> list[str]:
    """Those that a label can tell: numbers and words, and not any object that is passed on."""
    return [
        n for n, value in fixed.items()
        if all(isinstance(v, bool | int | float | str | None) and not unprintable(str(v))
               for v in (value if isinstance(value, tuple) else (value,)))
    ]  # fmt: skip
