"""One training run from beginning to end, with what has won a race or any other optimizer."""

from slalom.fitting.course import TrainingError, UnwrittenError
from slalom.fitting.ensembles import ensemble
from slalom.fitting.events import Callback
from slalom.fitting.members import Ensemble
from slalom.fitting.result import Fit
from slalom.fitting.training import fit

__all__ = ["Callback", "Ensemble", "Fit", "TrainingError", "UnwrittenError", "ensemble", "fit"]
