"""One training run: its task, its batches, its loop, its checkpoints."""

from slalom.train.batches import Batches
from slalom.train.evaluation import Evaluation
from slalom.train.gradient import full_gradient
from slalom.train.run import Run
from slalom.train.task import Task

__all__ = ["Batches", "Evaluation", "Run", "Task", "full_gradient"]
