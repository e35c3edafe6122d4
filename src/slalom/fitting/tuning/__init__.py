"""What makes each update of a task cheaper, measured on the task itself."""

from slalom.fitting.tuning.trials import tune
from slalom.fitting.tuning.tuned import Tuned

__all__ = ["Tuned", "tune"]
