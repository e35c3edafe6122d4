"""Distributed tensors in one process: whatever happens to them, a step is that of plain tensors.

What several processes make of them is in tests/distributed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import slalom

PART = "compiled, for the part of it that this process holds"
UNUSUAL = "it is a DTensor whose gradient or state is not plain memory distributed as it is"


@pytest.fixture(scope="module")
def mesh() -> Iterator[Any]:
    from torch import distributed

    if not distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield distributed.device_mesh.init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def spread(tensor: Tensor, mesh: Any, dim: int = 0) -> Any:
    from torch.distributed.tensor import Shard, distribute_tensor

    return distribute_tensor(tensor.clone(), mesh, [Shard(dim)])


def new_part(param: Any, state: dict[str, Any]) -> None:
    """As FSDP2 does when a model is moved."""
    param._local_tensor = param._local_tensor.clone()


def new_memory(param: Any, state: dict[str, Any]) -> None:
    param._local_tensor.data = param._local_tensor.data.clone()


def new_state(param: Any, state: dict[str, Any]) -> None:
    state["exp_avg"] = state["exp_avg"].clone()


def new_part_of_state(param: Any, state: dict[str, Any]) -> None:
    state["exp_avg"]._local_tensor = state["exp_avg"]._local_tensor.clone()


def other_placement_of_gradient(param: Any, state: dict[str, Any]) -> None:
    from torch.distributed.tensor import Replicate

    param.grad = param.grad.redistribute(placements=[Replicate()])


def other_placement_of_state(param: Any, state: dict[str, Any]) -> None:
    from torch.distributed.tensor import Shard

    state["exp_avg"] = state["exp_avg"].redistribute(placements=[Shard(1)])


def gradient_of_other_strides(param: Any, state: dict[str, Any]) -> None:
    param.grad._local_tensor = param.grad._local_tensor.t().contiguous().t()


def gradient_that_is_no_plain_tensor(param: Any, state: dict[str, Any]) -> None:
    class Wrapped(Tensor):
        pass

    param.grad._local_tensor = param.grad._local_tensor.as_subclass(Wrapped)


CHANGES: list[tuple[Callable[..., None], str]] = [
    (new_part, PART), (new_memory, PART), (new_state, PART), (new_part_of_state, PART),
    (gradient_of_other_strides, PART), (other_placement_of_gradient, UNUSUAL),
    (other_placement_of_state, UNUSUAL), (gradient_that_is_no_plain_tensor, UNUSUAL),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:AdamW runs without machine code")
@pytest.mark.parametrize("arguments", [{}, {"clip_norm": 0.5}], ids=["", "clip_norm"])
@pytest.mark.parametrize(("change", "why"), CHANGES, ids=[c.__name__ for c, _ in CHANGES])
def test_a_change_between_two_steps(
    change: Callable[..., None], why: str, arguments: dict[str, Any], mesh: Any
) -> None:
    start = torch.randn(7, 5, dtype=torch.float64)
    plain, whole = nn.Parameter(start.clone()), nn.Parameter(spread(start, mesh))
    theirs = torch.optim.AdamW([plain], lr=0.1)
    ours = slalom.optim.AdamW([whole], lr=0.1, **arguments)
    for step in range(6):
        plain.grad = torch.randn(7, 5, dtype=torch.float64)
        whole.grad = spread(plain.grad, mesh)
        if arguments:
            torch.nn.utils.clip_grad_norm_([plain], 0.5)
        if step in (2, 4):
            change(whole, ours.state[whole])
            assert [row[-1] for row in slalom.explain(ours).rows] == [why]
        version = whole._version
        ours.step()
        theirs.step()
        assert whole._version > version
        assert whole._local_tensor.grad is None
        torch.testing.assert_close(whole.full_tensor(), plain.detach(), rtol=1e-12, atol=1e-13)


def test_without_a_gradient_it_stays(mesh: Any) -> None:
    params = [nn.Parameter(spread(torch.randn(4, 3), mesh)) for _ in range(2)]
    optimizer = slalom.optim.Adam(params)
    for present in (0, 1, 0):
        before = [p.full_tensor().clone() for p in params]
        for i, param in enumerate(params):
            param.grad = spread(torch.randn(4, 3), mesh) if i == present else None
        optimizer.step()
        moved = [not torch.equal(p.full_tensor(), b) for p, b in zip(params, before, strict=True)]
        assert moved == [i == present for i in range(2)]
    assert [int(optimizer.state[p]["step"]) for p in params] == [2, 1]


def test_a_whole_state_for_a_distributed_parameter_is_refused(mesh: Any) -> None:
    whole = nn.Parameter(spread(torch.randn(4, 3), mesh))
    whole.grad = spread(torch.randn(4, 3), mesh)
    optimizer = slalom.optim.Adam([whole])
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["exp_avg"] = torch.zeros(4, 3)
    optimizer.load_state_dict(saved)
    with pytest.raises(RuntimeError, match="exp_avg and its parameter one is a DTensor"):
        optimizer.step()


@pytest.mark.parametrize("name", ["Muon", "FactoredAdafactor"])
def test_what_is_distributed_otherwise_is_no_matrix_of_parts(name: str, mesh: Any) -> None:
    """Nothing is changed then; and a state of rows that lies otherwise is brought to lie right."""
    from torch.distributed.tensor import Replicate

    start, grad = torch.randn(7, 5), torch.randn(7, 5)
    plain, whole = nn.Parameter(start.clone()), nn.Parameter(spread(start, mesh))
    theirs, ours = (getattr(slalom.optim, name)([p], lr=0.1) for p in (plain, whole))
    for step in range(3):
        plain.grad, whole.grad = grad.clone(), spread(grad, mesh)
        if step == 1:
            state, last = ours.state[whole], whole.full_tensor().clone()
            whole.grad = whole.grad.redistribute(placements=[Replicate()])
            with pytest.raises(RuntimeError, match="is a DTensor whose gradient or state is not"):
                ours.step()
            assert torch.equal(whole.full_tensor(), last)
            whole.grad = spread(grad, mesh)
            for key, value in state.items():
                if value.dim() and value.shape != whole.shape:
                    state[key] = value.redistribute(placements=[Replicate()])
        ours.step()
        theirs.step()
        torch.testing.assert_close(whole.full_tensor(), plain.detach(), rtol=1e-5, atol=1e-6)


def test_asking_imports_nothing() -> None:
    code = (
        "import sys, torch, slalom\n"
        "from slalom.engine.distributed import is_distributed\n"
        "sys.exit(is_distributed(torch.zeros(3)) or 'torch.distributed.tensor' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_machine_code_the_parts_are_updated_too(
    mesh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.distributed.tensor import DTensor

    from slalom.backends import using
    from slalom.backends.foreach.part import Part

    kinds = []
    update = Part.update
    monkeypatch.setattr(
        Part,
        "update",
        lambda part, tensors, *a: kinds.append(tensors) or update(part, tensors, *a),
    )
    start, grad = torch.randn(2, 7, 5, dtype=torch.float64)
    plain, whole = nn.Parameter(start.clone()), nn.Parameter(spread(start, mesh))
    plain.grad, whole.grad = grad, spread(grad, mesh)
    theirs, ours = torch.optim.AdamW([plain]), slalom.optim.AdamW([whole], clip_norm=1e9)
    for _ in range(3):
        theirs.step()
        with using("foreach"):
            ours.step()
    torch.testing.assert_close(whole.full_tensor(), plain.detach(), rtol=1e-12, atol=1e-13)
    assert kinds
    assert not any(isinstance(t, DTensor) for lists in kinds for own in lists.values() for t in own)
