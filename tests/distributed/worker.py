"""What a process of a distributed test does; started by torchrun with the name of a case."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from slalom import optim

RULES = ("AdamW", "Momentum", "NAdam", "Adagrad")


def network() -> nn.Module:
    """Rows that do not divide by the number of processes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return torch.randn(8, 6, generator=generator), torch.randn(8, 3, generator=generator)


def part(x: torch.Tensor) -> torch.Tensor:
    """This process's share of a batch."""
    return x.chunk(dist.get_world_size())[dist.get_rank()] if dist.is_initialized() else x


def train(net: nn.Module, optimizer: Any, steps: range, schedule: Any = None) -> None:
    for step in steps:
        x, y = map(part, batch(step))
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()


def make(name: str, params: Any, ours: bool = True, **arguments: Any) -> Any:
    return getattr(optim if ours else torch.optim, name)(params, **{"lr": 0.01} | arguments)


def full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def same(net: nn.Module, other: nn.Module, tolerance: float = 2e-5) -> None:
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(full(a), full(b), rtol=tolerance, atol=tolerance)


def alone(name: str, steps: range, **arguments: Any) -> nn.Module:
    """What one process makes of the whole batches."""
    net = network()
    optimizer = make(name, net.parameters(), **arguments)
    for step in steps:
        x, y = batch(step)
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
    return net


def ddp() -> None:
    """DistributedDataParallel: gradients averaged, the same update in every process."""
    for name in RULES:
        net = network()
        wrapped = DistributedDataParallel(net)
        train(wrapped, make(name, wrapped.parameters()), range(6))
        same(net, alone(name, range(6)))
    net = network()  # the norm of the averaged gradients is every process's own
    wrapped = DistributedDataParallel(net)
    train(wrapped, make("Adam", wrapped.parameters(), clip_norm=0.1), range(6))
    same(net, alone("Adam", range(6), clip_norm=0.1))


def sharded(net: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in net:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    return fully_shard(net, mesh=mesh)


def fsdp() -> None:
    """fully_shard with uneven shards: parameters and states are DTensors, cut alike."""
    for name in RULES:
        net = sharded(network())
        optimizer = make(name, net.parameters())
        train(net, optimizer, range(6))
        same(net, alone(name, range(6)))
        for param in net.parameters():
            assert isinstance(param, DTensor)
            for key, value in optimizer.state[param].items():
                if key != "step" and isinstance(value, torch.Tensor) and value.dim():
                    assert isinstance(value, DTensor), f"{name}: {key} is a {type(value)}"
                    assert value.placements == param.placements
                    assert value.to_local().shape == param.to_local().shape


def clipped() -> None:
    """clip_norm over shards is the norm of all of them."""
    net = sharded(network())
    train(net, make("Adam", net.parameters(), clip_norm=0.1), range(6))
    same(net, alone("Adam", range(6), clip_norm=0.1))


def begin(name: str) -> tuple[nn.Module, Any, Any]:
    net = sharded(network())
    optimizer = make(name, net.parameters(), lr=0.05)
    return net, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)


class Saved(Stateful):
    """A model, its optimizer and its schedule, as torch's guide to checkpoints has them."""

    def __init__(self, net: nn.Module, optimizer: Any, schedule: Any):
        self.net, self.optimizer, self.schedule = net, optimizer, schedule

    def state_dict(self) -> dict[str, Any]:
        state = get_optimizer_state_dict(self.net, self.optimizer)
        return {
            "net": self.net.state_dict(),
            "optimizer": state,
            "schedule": self.schedule.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        set_optimizer_state_dict(self.net, self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def save(folder: str) -> None:
    """Half of the training, saved by so many processes."""
    for name in RULES:
        parts = begin(name)
        train(parts[0], parts[1], range(5), parts[2])
        dist.checkpoint.save({"all": Saved(*parts)}, checkpoint_id=Path(folder) / name)


def load(folder: str) -> None:
    """The other half, by another number of processes: as if it had not been interrupted."""
    for name in RULES:
        whole = begin(name)
        train(whole[0], whole[1], range(10), whole[2])
        parts = begin(name)
        dist.checkpoint.load({"all": Saved(*parts)}, checkpoint_id=Path(folder) / name)
        group = parts[1].param_groups[0]
        assert group["initial_lr"] == 0.05, "initial_lr is lost"
        assert group["lr"] == 0.05 * 0.5**2, f"lr is {group['lr']}"
        train(parts[0], parts[1], range(5, 10), parts[2])
        same(parts[0], whole[0])


def zero() -> None:
    """ZeroRedundancyOptimizer: each process keeps the states of a part of the parameters."""
    for name in RULES:
        net = network()
        wrapped = DistributedDataParallel(net)
        kind = getattr(optim, name)
        optimizer = ZeroRedundancyOptimizer(wrapped.parameters(), optimizer_class=kind, lr=0.01)
        train(wrapped, optimizer, range(6))
        same(net, alone(name, range(6)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    try:
        globals()[sys.argv[1]](*sys.argv[2:])
    finally:
        dist.destroy_process_group()
