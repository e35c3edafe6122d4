"""Steps that ask a device for nothing, made again and again: what a backend makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from slalom.backends.base import Slot
from slalom.ir.program import Program


@dataclass(frozen=True, eq=False, slots=True)
class Team:
    """Slots of one group whose scalars a backend computes where they lie.

    Attributes:
        slots: with their live states; each has a gradient now.
        programs: those of every way that the rule may go.
        counts: of each slot how often it was updated, a tensor of one element beside it.
        numbers: of each number of the rule the same.
        inputs: the names of what the scalars are made of besides, but for the scale of gradients;
            :meth:`Standing.update` is told the values.
        shares: of each slot the word from which its random bits come
            (:func:`slalom.backends.rounding.share`), where something is rounded by chance.
    """

    slots: Sequence[Slot]
    programs: tuple[Program, ...]
    counts: Sequence[Tensor]
    numbers: Sequence[Sequence[Tensor]]
    inputs: Sequence[str]
    shares: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Global:
    """What is of all gradients of a step together.

    Attributes:
        found: what says, where it is not 0, that the step is to be skipped; a tensor of the device.
        divides: what gradients are divided by, the same.
        clip_norm: the largest norm that is let through.
        skips: whether a step is skipped that has a gradient which is not finite.
    """

    found: Tensor | None
    divides: Tensor | None
    clip_norm: float | None
    skips: bool

    @property
    def measures(self) -> bool:
        """Whether every gradient is read before the first parameter may change."""
        return self.clip_norm is not None or self.skips


class Standing(ABC):
    """Teams that are updated step after step; it keeps none of their tensors alive."""

    @abstractmethod
    def look(self) -> bool:
        """Look at every tensor; False where one is not what this was made for."""

    @abstractmethod
    def prepare(self, values: Sequence[Sequence[float | Tensor]], told: Global) -> None:
        """Have all that an update by such values needs; see :meth:`update`."""

    @abstractmethod
    def update(self, values: Sequence[Sequence[float | Tensor]], told: Global) -> None:
        """Update every slot that has a gradient and count the update, asking for nothing.

        ``values`` are of each team those of its inputs. Raises
        :class:`slalom.backends.refusals.Unavailable`, and nothing was changed, where no code can be
        made.
        """

    @abstractmethod
    def let_go(self) -> None:
        """Forget what was gathered."""
