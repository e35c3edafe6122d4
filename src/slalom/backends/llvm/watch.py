"""Whether parameter groups and states hold the very objects they held, asked by machine code."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from slalom.backends.llvm.driver import Watch, driver

_KEY = "params"


class LlvmWatch:
    """See :class:`slalom.engine.watch.Watch`. Keeps addresses alone, and no object alive but keys.

    An address tells an object for certain only while that lives: whoever made the launch of these
    tensors knows when one of them is gone, and drops the watch.
    """

    def __init__(
        self,
        groups: Sequence[Mapping[str, Any]],
        states: Mapping[Tensor, Mapping[str, Any]],
        relied: Mapping[int, Sequence[str]],
    ):
        self._holds = driver().holds
        params = [x for g in groups for x in (*map(id, g["params"]), 0)]
        entries: list[int] = []
        self._keys: list[Any] = []
        for param, state in states.items():
            names = relied.get(id(param))
            if names is None:
                continue
            entries += (id(param), id(state))
            for key, value in state.items():
                if key in names:
                    self._keys.append(key)
                    entries += (id(key), id(value))
            entries.append(0)
        self._params = (ctypes.c_void_p * len(params))(*params)
        self._states = (ctypes.c_void_p * (len(entries) + 1))(*entries)
        self._watch = Watch(
            driver().python, id(_KEY), len(groups), ctypes.addressof(self._params),
            ctypes.addressof(self._states),
        )  # fmt: skip
        self._address = ctypes.addressof(self._watch)

    def holds(self, groups: Any, states: Any) -> bool:
        return bool(self._holds(self._address, id(groups), id(states)))
