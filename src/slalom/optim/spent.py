"""What stands where a gradient was that was used and freed inside backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves


class Spent(Tensor):
    """Stands where a gradient was; holds no memory, and every operation on it raises.

    So whatever asks for the gradients after backward (clipping, unscaling, a second backward that
    accumulates) is refused by name, where an absent gradient would be passed over in silence.
    """

    _name: str

    @staticmethod
    def __new__(cls, param: Tensor, name: str) -> Spent:
        spent = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, param.shape, strides=param.stride(), dtype=param.dtype, device=param.device
        )
        spent._name = name
        return spent

    def __repr__(self) -> str:  # type: ignore[override]
        return f"<the gradient of {self._name}, spent in backward>"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        spent = next(a for a in tree_leaves((args, kwargs)) if isinstance(a, cls))
        raise spent.error(str(func))

    def error(self, asked_by: str) -> RuntimeError:
        """The error of whatever asks for it."""
        return RuntimeError(
            f"the gradient of {self._name} was used and freed inside backward, as "
            f"slalom.release() was told to, and {asked_by} needs it. Gradients cannot be "
            "accumulated over several backwards, clipped by their norm, unscaled, or used by a "
            "second optimizer then: call the optimizer's step() and zero_grad() after every "
            "backward, and nothing between"
        )
