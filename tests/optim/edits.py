"""What may be done between two steps, to two libraries' optimizers alike; each step is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

Change = tuple[str, int, int]
"""The name of an edit, and two numbers that say where or how."""


class Side:
    """One library's optimizer, and all the parameters that it has or may be given."""

    params: list[Parameter]
    optimizer: torch.optim.Optimizer

    def step(self, number: int) -> None:
        raise NotImplementedError

    def seen(self) -> dict[str, Tensor]:
        """All parameters and all that is kept for them."""
        found = {}
        for i, param in enumerate(self.params):
            found[f"{i}"] = param.detach().clone()
            for name, value in self.optimizer.state.get(param, {}).items():
                if value is not None:
                    found[f"{i} {name}"] = torch.as_tensor(value).clone()
        return found


class Edits(dict[str, Callable[[Any, int, int], None]]):
    """Edits of a side by their names; :meth:`add` decorates one."""

    def __init__(self) -> None:
        super().__init__(nothing=lambda side, i, j: None)

    def add(self, edit: Callable[[Any, int, int], None]) -> Callable[[Any, int, int], None]:
        self[edit.__name__] = edit
        return edit

    def several(self, *, but: str = "") -> st.SearchStrategy[list[Change]]:
        """Any of them one after the other, ``but`` one."""
        one = st.tuples(st.sampled_from(sorted({*self} - {but})), *[st.integers(0, 2)] * 2)
        return st.lists(one, min_size=1, max_size=6)

    def compare(self, torchs: Side, ours: Side, changes: Iterable[Change]) -> None:
        """Step, and change and step, and step: after each step our side is as torch's."""
        still = "nothing", 0, 0
        for number, (change, i, j) in enumerate([still, *changes, still]):
            for side in (torchs, ours):
                if side.optimizer.param_groups:
                    self[change](side, i, j)
                side.step(number)
            expected, got = torchs.seen(), ours.seen()
            assert got.keys() == expected.keys(), f"after {change}"
            for what, value in expected.items():
                torch.testing.assert_close(
                    got[what].double(), value.double(), rtol=1e-11, atol=1e-12,
                    msg=lambda text, at=f"{what} after {change}": f"{at}: {text}",
                )  # fmt: skip
