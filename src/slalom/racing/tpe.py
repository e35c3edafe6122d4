"""Points that Optuna's sampler would try next, by what is known of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slalom.errors import InputError
from slalom.racing.space import Choice, Space, at, share_of

SAMPLERS = ("tpe",)
"""The samplers that there are, beside none: even points, and halfway between them."""


def check_sampler(sampler: Any) -> None:
    """Raise :class:`InputError` for what is no sampler, or not installed."""
    if sampler is None:
        return
    if sampler not in SAMPLERS:
        raise InputError(f"sampler is {sampler!r}; it is 'tpe', or None for even points")
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise InputError("sampler='tpe' needs optuna: pip install optuna") from error


def suggested(
    space: Space, known: Sequence[tuple[Mapping[str, Any], float]], n: int, seed: int
) -> list[dict[str, Any]]:
    """``n`` settings by the tree-structured Parzen estimator (Bergstra et al. 2011), as Optuna has
    it; those that come out as one that is known are left out.

    Args:
        space: what is searched; ranges are gone through as :func:`slalom.racing.space.points` does.
        known: settings, each with a number that is less for a better one.
        n: how many are asked for.
        seed: of what is drawn.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, Any] = {
        name: optuna.distributions.CategoricalDistribution(range(len(dimension.values)))
        if isinstance(dimension, Choice)
        else optuna.distributions.FloatDistribution(0.0, 1.0)
        for name, dimension in space.items()
    }
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=2)
    study = optuna.create_study(sampler=sampler)
    for hypers, value in known:
        shares = {n: share_of(n, dimension, hypers[n]) for n, dimension in space.items()}
        params: dict[str, Any] = {
            n: int(s) if isinstance(space[n], Choice) else min(max(s, 0.0), 1.0)
            for n, s in shares.items()
        }
        study.add_trial(optuna.trial.create_trial(
            params=params, distributions=distributions,
            value=value,
        ))  # fmt: skip
    found: list[dict[str, Any]] = []
    tried = [dict(hypers) for hypers, _ in known]
    for _ in range(n):
        params = study.ask(distributions).params
        point = {name: at(name, dimension, params[name]) for name, dimension in space.items()}
        if point not in tried and point not in found:
            found.append(point)
    return found
