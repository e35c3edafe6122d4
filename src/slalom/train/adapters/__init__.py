"""Tasks out of what people already train with: one file a library, imported where it is used."""

from __future__ import annotations

from typing import Any, Self


class FromElsewhere:
    """The constructors of :class:`slalom.Task` that read what another library was given.

    Each takes all options of a task, which come before what the library says.
    """

    @classmethod
    def from_skorch(cls, net: Any, X: Any, y: Any = None, **options: Any) -> Self:  # noqa: N803
        """The task of ``net.fit(X, y)``, for a ``skorch.NeuralNet``; the net stays as it is.

        Its module, criterion, split, batches, parameter groups, length, ``LRScheduler`` and
        ``GradientNormClipping`` are kept; its optimizer is what is raced. A classifier is judged by
        its accuracy, any other by its loss. Raises :class:`slalom.InputError` for what a net does
        that would be missed, such as callbacks that change the training.
        """
        from slalom.train.adapters import skorch

        make: Any = cls
        return make(**skorch.arguments(net, X, y, options))

    @classmethod
    def from_lightning(cls, module: Any, datamodule: Any = None, **options: Any) -> Self:
        """The task of ``Trainer.fit(module, datamodule)``, without a Trainer.

        ``module`` is a LightningModule, of which each run trains a copy that starts anew, or a
        function that makes one; the data come from the datamodule, the module, or ``train=`` and
        ``valid=``. Kept are ``training_step``, ``validation_step`` with the hooks around it, hooks
        on batches, and the groups and schedule of ``configure_optimizers``. ``metric`` is the name
        of a logged value, by default the loss of validation. What a Trainer is told (clipping,
        accumulation, precision, length) is told the task. Raises :class:`slalom.InputError` for
        what would be missed, such as hooks around the update.
        """
        from slalom.train.adapters import lightning

        make: Any = cls
        return make(**lightning.arguments(module, datamodule, options))

    @classmethod
    def from_trainer(cls, trainer: Any, **options: Any) -> Self:
        """The task of ``trainer.train()``, for a ``transformers.Trainer`` that has not begun.

        Each run begins with the weights that the Trainer's ``model`` has, or with what its
        ``model_init`` makes under the seed. Kept are data, collator, sampler, ``compute_loss``,
        ``compute_metrics``, parameters without weight decay, and of the arguments batch size,
        accumulation, precision, clipping, length and schedule. ``metric`` is the name of a value of
        ``compute_metrics``; by default ``metric_for_best_model``, or the loss. Raises
        :class:`slalom.InputError` for what would be missed.
        """
        from slalom.train.adapters import huggingface

        make: Any = cls
        return make(**huggingface.arguments(trainer, options))
