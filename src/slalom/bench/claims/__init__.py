"""What the field says of its methods, each sentence measured; `benchmarks/claims.py` runs them.

Each function here that is marked by ``claim`` is an experiment, named like the function, with
dashes. To add one, write it into the module of its method: they are all read.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from slalom.bench.claims._claim import Claim, claims

ORDER = ("batch", "stochastic", "momentum", "adagrad", "rmsprop", "adam")
"""The modules, as the textbooks have the methods."""

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

CLAIMS: dict[str, Claim] = dict(
    sorted(claims.items(), key=lambda item: ORDER.index(item[1].measure.__module__.split(".")[-1]))
)
"""Name of a claim -> it, in the order of the methods."""
