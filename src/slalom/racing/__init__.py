"""Races: which rule, with which hyper-parameters, reaches a task's target soonest."""

from slalom.racing.entrants import Entrant, Family
from slalom.racing.result import Result

__all__ = ["Entrant", "Family", "Result"]
