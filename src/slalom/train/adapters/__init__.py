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
