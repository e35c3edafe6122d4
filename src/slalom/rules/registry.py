"""The rules of a package: every one that a module of it holds under a public name."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

from slalom.rules.definition import Rule, RuleError


def collect(package: ModuleType) -> dict[str, Rule]:
    """Every rule of the package's modules by its name, in the order of their papers.

    Raises :class:`RuleError` where two have the same name, or the same name of a class.
    """
    found: dict[str, Rule] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for name, value in vars(import_module(module.name)).items():
            if not isinstance(value, Rule) or name.startswith("_"):
                continue
            for other in found.values():
                if value is not other and (
                    value.name == other.name or value.class_name == other.class_name
                ):
                    raise RuleError(
                        f"two rules are called {value.name} ({value.class_name}) and {other.name} "
                        f"({other.class_name}): that of {module.name} needs another name"
                    )
            found[value.name] = value
    ordered = sorted(found.values(), key=lambda r: (r.year or 9999, r.name))
    return {rule.name: rule for rule in ordered}
