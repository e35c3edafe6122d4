"""One training run: its task, its batches, its loop, its checkpoints."""

from slalom.train.batches import Batches
from slalom.train.gradient import full_gradient
from slalom.train.run import Evaluation, Run
from slalom.train.task import Task

__all__ = ["Batches", "Evaluation", "Run", "Task", "full_gradient"]
