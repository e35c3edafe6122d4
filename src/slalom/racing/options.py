"""What the user chose of a race that decides how it comes out, and how it is had again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn

from slalom.errors import InputError
from slalom.plain import unprintable
from slalom.racing.design import STANDARD
from slalom.racing.entrants import Entrant, Family, families
from slalom.racing.fingerprint import fingerprint, fingerprint_of
from slalom.racing.runner import HOLD
from slalom.racing.seeds import FINALS, MOST
from slalom.racing.snippet import called, module_of, recipe, stand_in, written
from slalom.racing.space import points
from slalom.racing.spoken import words_of
from slalom.racing.tpe import check_sampler
from slalom.train import Task
from slalom.train.given import integer, whole_number
from slalom.train.groups import SCALED, own_options
from slalom.train.metrics import range_of
from slalom.train.rng import RandomStream
from slalom.train.sanity import refuse_short_schedule
from slalom.version import __version__

FULL_SEEDS = 10
"""Seeds of a full race, where the user says nothing: all of them are run."""

USUAL = "Adam(lr=1e-3)"
"""What a race is compared with where the user says nothing."""

MOMENTUM = ("momentum", "betas", "betas[0]")
"""What of an entrant's settings a schedule may set."""


@dataclass(frozen=True)
class Options:
    """What decides a race, beside its task; see :func:`slalom.race` for each.

    ``asked`` is what was said of entrants, where the task's file says more of them.

    Raises :class:`InputError` for what cannot be raced, when it is made.
    """

    entrants: Any = None
    points_each: int | None = None
    search: Collection[str] = ("lr",)
    batch_sizes: tuple[int, int] | None = None
    seeds: int | None = None
    seed: int = 0
    baseline: Any = USUAL
    about: Literal["settings", "rules"] = "settings"
    full: bool = False
    budget: str | None = None
    space: Mapping[str, Any] | None = None
    sampler: str | None = None
    lanes: int | None = None
    compiled: bool = False
    asked: Any = ...

    def __post_init__(self) -> None:
        for name, least in (
            ("points_each", 1), ("seeds", STANDARD.evidence), ("seed", 0), ("lanes", 1)
        ):  # fmt: skip
            value = getattr(self, name)
            if value is None and name != "seed":
                continue
            object.__setattr__(self, name, value := whole_number(name, value, least))
            most = FINALS if name == "seeds" else MOST
            if value > most:
                raise InputError(f"{name} is {value}; the largest there is is {most}")
        _check_kinds(self)
        if self.about not in ("settings", "rules"):
            raise InputError(f"about is {self.about!r}; a race is about settings or about rules")
        if self.entrants is not None and not isinstance(self.entrants, Mapping):
            object.__setattr__(self, "entrants", list(self.entrants))  # it may be read once only
        if self.asked is ...:
            object.__setattr__(self, "asked", self.entrants)
        check_sampler(self.sampler)
        object.__setattr__(self, "batch_sizes", _batch_sizes(self.batch_sizes))
        _ = self.field, self.usual

    @cached_property
    def field(self) -> list[Family]:
        """Who races."""
        return families(self.entrants, self.search, self.batch_sizes, self.space)

    @cached_property
    def usual(self) -> Family | None:
        """What the bill is made against; None for nothing."""
        if isinstance(self.baseline, str) and self.baseline == USUAL:
            return Family("Adam(lr=0.001)", torch.optim.Adam, {}, {"lr": 1e-3})
        if self.baseline is None:
            return None
        if isinstance(self.baseline, str):
            raise InputError(
                f"baseline is {self.baseline!r}; it must be an optimizer class or a function from "
                "parameters to an optimizer, as in lambda p: torch.optim.SGD(p, lr=0.1)"
            )
        return families({"baseline": (self.baseline, {})})[0]

    @property
    def most_seeds(self) -> int:
        """Of the finals, at most."""
        usual = FULL_SEEDS if self.full else STANDARD.seeds
        return usual if self.seeds is None else self.seeds

    def check(self, task: Task) -> None:
        """Raise :class:`InputError` for what does not go with the task."""
        for what, name in (("name", task.name), ("metric's name", task.metric.name)):
            if not isinstance(name, str) or unprintable(name):
                raise InputError(f"the task's {what} is {name!r}; it must be text that shows")
        low, high = range_of(task.metric, task.loss)
        if task.target is not None and not low <= task.target <= high:
            hint = ""
            if high == 1 and 1 < task.target <= 100:
                hint = f"; {task.target:g}% is {task.target / 100:g}"
            raise InputError(
                f"the target is {task.metric.name} {task.target:g}, which can be {low:g} to "
                f"{high:g}{hint}"
            )
        self._check_field(task)
        refuse_short_schedule(task)
        if task.target is not None and (fits := task.max_steps // task.eval_every) <= HOLD:
            raise InputError(
                f"max_steps {task.max_steps} with eval_every {task.eval_every} is {fits} "
                f"evaluations, and a target is held over {HOLD + 1}; evaluate more often"
            )
        if self.batch_sizes is None:
            return
        if task.budget is not None and task.budget.unit == "seconds":
            raise InputError(
                "a budget in seconds goes with one batch size, as updates of each are timed; leave "
                "batch_sizes out, or give the budget in samples"
            )
        if self.batch_sizes[1] > task.n_train:
            raise InputError(
                f"batch_sizes is {self.batch_sizes!r}, and the task has {task.n_train} training "
                "samples"
            )

    def _check_field(self, task: Task) -> None:
        """That what entrants make of the task's parameters are optimizers."""
        model = task.make_model(self.seed)
        own = own_options(task.parameters(model))
        for family in (*self.field, *((self.usual,) if self.usual else ())):
            if bad := sorted((own & set(family.space)) - set(SCALED)):
                raise InputError(
                    f"the task's parameter groups bring their own {bad[0]}, which is searched of "
                    f"{family.label}; leave it out of one of the two"
                )
            if task.train.cut and "batch_size" in {**family.space, **family.fixed}:
                raise InputError(
                    f"batch_size is searched or set for {family.label}, and train makes its own "
                    "batches; leave it out"
                )
            settings = points(family.space, None, self.seed)
            for number, setting in enumerate(settings):
                Entrant(number, family, setting).of(task)
            entrant = Entrant(0, family, settings[0])
            try:
                with RandomStream(0):
                    made = entrant.optimizer(task.parameters(model))
            except Exception:  # it fails alone, as where it fails later
                continue
            if not callable(getattr(made, "step", None)) or not hasattr(made, "param_groups"):
                raise InputError(
                    f"the entrant {family.label} makes a {type(made).__name__}; it must make an "
                    "optimizer of the parameters"
                )
            raced = [n for n in (*family.space, *family.said) if n in MOMENTUM]
            if raced and task.schedule.cycles(made):
                raise InputError(
                    f"the {task.schedule.told} sets the momentum, so that {raced[0]} of "
                    f"{family.label}, which is raced, would count for nothing; leave it out, or "
                    "give the scheduler cycle_momentum=False"
                )

    def refuse_memory(self, task: Task, before: str) -> None:
        """Raise :class:`InputError` if a trial has changed what the task's functions close over,
        of which ``before`` is the fingerprint: runs would go on from one another."""
        if self.remembered(task) != before:
            raise InputError(
                "the loss, step, metric or model() of the task changes what it closes over or a "
                "global, so that runs would depend on those before them; keep it in a module, "
                "which every run has a copy of"
            )

    def remembered(self, task: Task) -> str:
        """The fingerprint of the task's functions with what they close over."""
        return fingerprint(task.objective, task.metric, task.model, task.parameter_groups)

    def record(self, task: Task) -> dict[str, Any]:
        """What a race is: all that another must have in common with it to go on with it.

        ``fingerprints`` are of what has no short name; see :mod:`slalom.racing.fingerprint`.
        """
        usual = self.usual
        # of a module, the weights that runs do not begin with do not matter
        made = type(task.model) if isinstance(task.model, nn.Module) else task.model
        parts = {
            "metric": task.metric, "loss": task.objective,
            "parameter groups": task.parameter_groups,
            "model": (made, task.make_model(self.seed)),
            "training": task.training,
            "baseline": usual and (usual.make, usual.fixed),
            **{f"entrant {f.label}": (f.make, f.space, f.fixed, f.batch_size) for f in self.field},
        }  # fmt: skip
        fingerprints = {name: fingerprint(part) for name, part in parts.items()}
        fingerprints["training data"] = fingerprint_of(task.train)
        fingerprints["validation data"] = fingerprint_of(task.valid)
        return {
            "task": task.name, "seed": self.seed, "seeds": self.most_seeds,
            "about": self.about, "full": self.full, "points_each": self.points_each,
            "metric": task.metric.name, "higher_is_better": task.higher_is_better,
            "goal": task.target, "budget": task.budget and str(task.budget),
            "schedule": task.schedule.told,
            "batch_size": task.batch_size, "n_train": task.n_train, "n_valid": task.n_valid,
            "max_steps": task.max_steps, "eval_every": task.eval_every,
            "replacement": task.replacement, "device": task.device.type,
            "validates_on_train": task.judged_on == "the training data",
            "entrants": [f.label for f in self.field],
            "search": self.search if self.search == "all" else list(self.search),
            "batch_sizes": self.batch_sizes and list(self.batch_sizes), "sampler": self.sampler,
            "lanes": self.lanes or 1, "compiled": self.compiled,
            "baseline": usual and called(usual.make),
            "parameters": sum(p.numel() for p in task.make_model(self.seed).parameters()),
            "runtime": {
                "python": sys.implementation.cache_tag, "torch": torch.__version__,
                "slalom": __version__,
            },
            "fingerprints": fingerprints,
        }  # fmt: skip

    def again(self, spec: str | None) -> str:
        """The command that has this very race again; where none can, the call in Python."""
        words = self._command(spec)
        return self._call(spec) if words is None else shlex.join(words)

    def _command(self, spec: str | None) -> list[str] | None:
        named = self.asked is None or (
            isinstance(self.asked, list) and all(isinstance(e, str) for e in self.asked)
        )
        if spec is None or not named or not self.search or self.baseline != USUAL:
            return None
        words = ["slalom", "race", spec]
        if self.asked is not None:
            words += ["--entrants", ",".join(self.asked)]
        for text in words_of(self.space or {}):
            words += ["--set", text]
        if self.sampler is not None:
            words += ["--sampler", self.sampler]
        if self.points_each is not None:
            words += ["--points", str(self.points_each)]
        words += ["--search", self.search if self.search == "all" else ",".join(self.search)]
        if self.batch_sizes is not None:
            words += ["--batch-sizes", ",".join(map(str, self.batch_sizes))]
        if self.about == "rules":
            words += ["--about", "rules"]
        if self.full:
            words += ["--full"]
        if self.budget is not None:
            words += ["--budget", str(self.budget)]
        if self.lanes is not None:
            words += ["--lanes", str(self.lanes)]
        return [*words, "--seeds", str(self.most_seeds), "--seed", str(self.seed)]

    def _call(self, spec: str | None) -> str:
        writer = _Writer()
        given = [writer.own("task") if spec is None else repr(spec)]
        if isinstance(self.entrants, Mapping):
            pairs = (f"{k!r}: {writer.entrant(v)}" for k, v in self.entrants.items())
            given.append("entrants={" + ", ".join(pairs) + "}")
        elif self.entrants is not None:
            given.append(f"entrants=[{', '.join(map(writer.entrant, self.entrants))}]")
        search = self.search if self.search == "all" else tuple(self.search)
        sizes = self.batch_sizes and tuple(self.batch_sizes)
        given += [
            f"points_each={self.points_each}", f"search={written(search)}",
            f"batch_sizes={written(sizes)}", f"seeds={self.most_seeds}", f"seed={self.seed}",
            f"about={self.about!r}", f"full={self.full}",
        ]  # fmt: skip
        if self.space is not None:
            given.append(f"space={writer.value(dict(self.space))}")
        if self.sampler is not None:
            given.append(f"sampler={self.sampler!r}")
        if self.budget is not None:
            given.append(f"budget={str(self.budget)!r}")
        if self.lanes is not None:
            given.append(f"lanes={self.lanes}")
        if self.baseline != USUAL:
            usual = None if self.baseline is None else writer.entrant(self.baseline)
            given.append(f"baseline={usual}")
        call = f"import {', '.join(dict.fromkeys(writer.modules))}; slalom.race({', '.join(given)})"
        return f"{call}  # with your own {' and '.join(writer.names)}" if writer.names else call


class _Writer:
    """Writes entrants as Python; collects what must be imported, and what only the user has."""

    def __init__(self) -> None:
        self.modules = ["slalom"]
        self.names: list[str] = []

    def own(self, name: str) -> str:
        """Something of the user's that cannot be written, by a name that nothing else has."""
        taken = sum(n.rstrip("0123456789") == name for n in self.names)
        self.names.append(f"{name}{taken + 1}" if taken else name)
        return self.names[-1]

    def entrant(self, given: Any) -> str:
        """What stands for an entrant in the call."""
        if isinstance(given, str):
            return repr(given)
        if isinstance(given, tuple):
            return f"({self.entrant(given[0])}, {self.value(dict(given[1]))})"
        if isinstance(given, Family):
            self.modules.append("slalom.racing")
            parts = given.label, dict(given.space), dict(given.fixed), given.batch_size
            label, *rest = map(self.value, parts)
            return f"slalom.racing.Family({', '.join([label, self.entrant(given.make), *rest])})"
        kept = recipe(given, {})
        if kept.name is None:
            return self.own(stand_in(given))
        self.modules.append(module_of(kept.name))
        if not kept.arguments:
            return kept.name
        self.modules.append("functools")
        options = ", ".join(f"{n}={written(v)}" for n, v in kept.arguments.items())
        return f"functools.partial({kept.name}, {options})"

    def value(self, value: Any) -> str:
        """A value, or a name for one that cannot be written."""
        return written(value) or self.own("options")


def _check_kinds(options: Options) -> None:
    """Raise InputError for what is not of a kind that such an option is."""
    if not isinstance(options.full, bool):
        raise InputError(f"full is {options.full!r}; it must be True or False")
    if not isinstance(options.search, Iterable):
        text = "it must be 'all', or names as in ('lr', 'momentum')"
        raise InputError(f"search is {options.search!r}; {text}")
    if options.entrants is not None and not isinstance(options.entrants, Iterable):
        text = "it must be names, optimizer classes, or a dict that names them"
        raise InputError(f"entrants is {options.entrants!r}; {text}")
    if isinstance(options.space, Mapping):
        for name in options.space:
            if not isinstance(name, str):
                raise InputError(f"space names {name!r}; it must name hyper-parameters or entrants")


def _batch_sizes(given: Any) -> tuple[int, int] | None:
    """The smallest and the largest batch to try. Raises InputError for what is no such pair."""
    if given is None:
        return None
    listed = isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping)
    sizes = [integer(n) or 0 for n in given] if listed else []
    if len(sizes) != 2 or not 1 <= sizes[0] < sizes[1]:
        raise InputError(
            f"batch_sizes is {given!r}; it must be the smallest and the largest to try, as in "
            "(16, 256); one size alone is the task's batch_size"
        )
    return sizes[0], sizes[1]
