"""What a process of the distributed tests does; started by torchrun with the names of its cases."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

import slalom
from slalom import optim
from slalom.backends import using
from slalom.backends.foreach import Foreach
from slalom.backends.narrow import CODES
from slalom.backends.refusals import OWNED
from slalom.backends.spread import Spread, multiplied_by_owner
from slalom.engine import keeping
from slalom.engine.treatment import NonFiniteGradientError
from slalom.ir.operations import PRODUCTS

RULES: dict[str, dict[str, Any]] = {
    "AdamW": {"amsgrad": True},
    "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "Momentum": {},
    "NAdam": {},  # has a number beside its states
    "Adagrad": {"initial_accumulator_value": 0.1},
}
WHOLE: dict[str, dict[str, Any]] = {
    "LARS": {"lr": 3.0, "weight_decay": 0.1}, "LAMB": {"weight_decay": 0.1}, "StableAdamW": {},
    "AdaGradNorm": {}, "Prodigy": {"lr": 1.0, "d0": 0.01}, "AdamMini": {},
    "FactoredAdafactor": {},
}  # fmt: skip
"""Rules that look at whole tensors, their rows or columns, and at all of them."""
MATRIX: dict[str, dict[str, Any]] = {
    "Muon": {}, "NorMuon": {"beta2": 0.5, "weight_decay": 0.1},
}  # fmt: skip
"""Rules that multiply matrices."""
SQUARE: dict[str, dict[str, Any]] = {
    "SOAP": {"precondition_frequency": 2},
    "Shampoo": {"precondition_frequency": 2, "eps": 1e-6},
    "PSGD": {"precondition_frequency": 2, "max_precond_dim": 6},
}  # fmt: skip
"""Rules that keep square matrices."""

KEPT: dict[str, dict[str, Any]] = {
    "AdamW": {}, "NAdam": {}, "Adam": {"state_dtype": "8bit"}, "NorMuon": {},
    "FactoredAdafactor": {}, "Shampoo": {}, "PSGD": {},
}  # fmt: skip
"""Rules, with options, whose checkpoints other numbers of processes go on from."""

STEPS = range(6)


def network(width: int = 7) -> nn.Sequential:
    """Rows that do not divide by the number of processes, unless the width does."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, width), nn.Tanh(), nn.Linear(width, 5), nn.Tanh(), nn.Linear(5, 3)
    )


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return torch.randn(8, 6, generator=generator), torch.randn(8, 3, generator=generator)


def own(x: torch.Tensor) -> torch.Tensor:
    """This process's share of a batch."""
    return x.chunk(dist.get_world_size())[dist.get_rank()]


def whole(x: torch.Tensor) -> torch.Tensor:
    return x


def train(
    net: nn.Module, optimizer: Any, steps: range = STEPS, *, share: Any = own, schedule: Any = None
) -> nn.Module:
    for step in steps:
        x, y = map(share, batch(step))
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return net


def make(name: str, params: Any, library: Any = optim, **arguments: Any) -> Any:
    return getattr(library, name)(
        params, **{"lr": 0.05} | {**RULES, **WHOLE, **MATRIX, **SQUARE}.get(name, {}) | arguments
    )


def alone(name: str, library: Any = optim, width: int = 7, **arguments: Any) -> nn.Module:
    """What one process makes of the whole batches."""
    net = network(width)
    return train(net, make(name, net.parameters(), library, **arguments), share=whole)


def full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def same(net: nn.Module, other: nn.Module) -> None:
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(full(a), full(b), rtol=1e-9, atol=1e-12)


def same_as_alone(net: nn.Module, name: str) -> None:
    for library in (optim, torch.optim):
        if hasattr(library, name):
            same(net, alone(name, library))


def sharded(mesh: DeviceMesh | None = None, width: int = 7) -> nn.Sequential:
    net = network(width)
    mesh = mesh or init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in net[::2]:
        fully_shard(layer, mesh=mesh)
    return fully_shard(net, mesh=mesh)


def check_states(optimizer: Any) -> None:
    """Every state is distributed as its parameter is, and machine code updates this part of it."""
    for param in optimizer.param_groups[0]["params"]:
        assert isinstance(param, DTensor)
        assert param.to_local().grad is None, "a gradient is kept after the step"
        for key, value in optimizer.state[param].items():
            if value.dim():
                assert isinstance(value, DTensor), f"{key} is a {type(value)}"
                assert value.placements == param.placements
                assert value.to_local().shape == param.to_local().shape
    rows = slalom.explain(optimizer).rows
    assert {(backend, why) for *_, backend, why in rows} == {
        ("llvm", "compiled, for the part of it that this process holds")
    }, rows


def data_parallel() -> None:
    """Gradients are averaged; the update is the same in every process."""
    for name in RULES:
        net = DistributedDataParallel(network())
        same_as_alone(train(net, make(name, net.parameters())), name)
    net = DistributedDataParallel(network())
    train(net, make("AdamW", net.parameters(), clip_norm=0.1))
    same(net, alone("AdamW", clip_norm=0.1))


def sparse_data_parallel() -> None:
    """Row-sparse gradients are gathered from all processes, and repeated rows summed."""
    places = torch.tensor([[0, 3, 3, 1], [3, 5, 5, 5], [0, 7, 1, 1], [2, 2, 2, 9]])

    def table(name: str, library: Any, parallel: bool) -> torch.Tensor:
        torch.manual_seed(0)
        net: nn.Module = nn.Embedding(12, 3, sparse=True)
        net = DistributedDataParallel(net) if parallel else net
        optimizer = getattr(library, name)(net.parameters(), lr=0.1)
        for i in range(5):
            optimizer.zero_grad()
            here = (places + i) % 12
            (net(own(here) if parallel else here) ** 2).mean().backward()
            optimizer.step()
        return next(net.parameters()).detach()

    for name, library in (("SGD", torch.optim), ("Adagrad", torch.optim), ("Adam", optim)):
        torch.testing.assert_close(table(name, optim, True), table(name, library, False))


def fully_sharded() -> None:
    """Uneven shards, down to an empty one; what torch makes of the same shards."""
    for name in RULES:
        net = sharded()
        optimizer = make(name, net.parameters())
        same_as_alone(train(net, optimizer), name)
        check_states(optimizer)
        if hasattr(torch.optim, name):
            other = sharded()
            same(net, train(other, make(name, other.parameters(), torch.optim)))


def sums() -> None:
    """Norms are those of the whole tensors, and of their rows and columns."""
    for name in WHOLE:
        for mesh in meshes():
            net = sharded(mesh)
            same(train(net, make(name, net.parameters())), alone(name))


def matrices() -> None:
    """Each matrix is multiplied by one process, whatever way it is distributed."""
    for name in MATRIX:
        for net, width, share in (*((sharded(m), 7, own) for m in meshes()), cut()):
            there_and_back(net)
            optimizer = make(name, net.parameters())
            with multiplied_here() as done:
                train(net, optimizer, share=share)
            same(net, alone(name, width=width))
            everywhere = [0] * dist.get_world_size()
            dist.all_gather_object(everywhere, sum(done))
            copies = sum(len(everywhere) // p.device_mesh.size() for p in net.parameters())
            assert sum(everywhere) == len(STEPS) * copies, everywhere
            assert min(everywhere) > 0, everywhere
            for *_, backend, why in slalom.explain(optimizer).rows:
                assert (backend, why) == ("foreach", OWNED)
    treated("Muon", clip_norm=0.1)
    net = sharded()
    optimizer = optim.split(net, {"rule": "NorMuon", "lr": 0.02}, lr=0.05)
    other = network()
    same(
        train(net, optimizer),
        train(other, optim.split(other, {"rule": "NorMuon", "lr": 0.02}, lr=0.05), share=whole),
    )
    whys = [(backend, why.split(";")[0]) for *_, backend, why in slalom.explain(optimizer).rows]
    part = ("llvm", "compiled, for the part of it that this process holds")
    assert sorted(set(whys)) == [("foreach", OWNED), part], whys


def squares() -> None:
    """Squares lie by rows in all processes, and one of them works at each."""
    for name in SQUARE:
        for mesh in meshes():
            parts, whole = sharded(mesh), network()
            optimizers = [make(name, net.parameters()) for net in (parts, whole)]
            with using("foreach"):
                for step in STEPS:
                    generator = torch.Generator().manual_seed(step)
                    for a, b in zip(parts.parameters(), whole.parameters(), strict=True):
                        b.grad = torch.randn(b.shape, generator=generator)
                        assert isinstance(a, DTensor)
                        a.grad = distribute_tensor(b.grad, mesh, a.placements)
                    for optimizer in optimizers:
                        optimizer.step()
            same(parts, whole)
            start = next(network().parameters())
            assert (full(next(parts.parameters())) - start).abs().max() > 1e-3
            for a, b in zip(parts.parameters(), whole.parameters(), strict=True):
                kept, other = (o.state[p] for o, p in zip(optimizers, (a, b), strict=True))
                for key in optimizers[0].rule.squares:
                    assert tuple(kept[key].placements) == a.placements  # cut along the first axis
                    torch.testing.assert_close(full(kept[key]), other[key], rtol=1e-9, atol=1e-12)
            for *_, backend, why in slalom.explain(optimizers[0]).rows:
                assert (backend, why) == ("foreach", OWNED)
        net, width, share = cut()
        if name != "SOAP":  # of a matrix that lacks rank it turns rounding into other eigenvectors
            same(train(net, make(name, net.parameters()), share=share), alone(name, width=width))


def there_and_back(net: nn.Module) -> None:
    """An owner has the matrix as it is, and each process gets the very part that it sent."""
    for param in net.parameters():
        assert isinstance(param, DTensor)
        exact, part = param.full_tensor(), param.to_local()
        spread = Spread(param.device_mesh, param.placements, param.shape)

        def kept(matrices: list[torch.Tensor], exact: Any = exact) -> list[torch.Tensor]:
            assert all(torch.equal(matrix, exact) for matrix in matrices)
            return matrices

        (back,) = multiplied_by_owner([part], [spread], kept)
        assert torch.equal(back, part)


def cut() -> tuple[nn.Module, int, Any]:
    """Layers cut along rows and columns, which FSDP cuts again; their width, and who has what."""
    size = dist.get_world_size() // 2
    mesh = init_device_mesh("cpu", (size, 2), mesh_dim_names=("shard", "cut"))
    net = network(8)
    parallelize_module(net, mesh["cut"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
    for layer in net[::2]:
        fully_shard(layer, mesh=mesh["shard"])
    return net, 8, lambda x: x.chunk(size)[mesh.get_local_rank("shard")]


@contextmanager
def multiplied_here() -> Iterator[list[int]]:
    """How many matrices this process multiplies at a time."""
    found: list[int] = []
    own = PRODUCTS["orthogonal"]

    def counted(batch: torch.Tensor, *numbers: Any) -> torch.Tensor:
        found.append(len(batch))
        return own(batch, *numbers)

    PRODUCTS["orthogonal"] = counted
    try:
        yield found
    finally:
        PRODUCTS["orthogonal"] = own


def meshes() -> list[DeviceMesh]:
    size = dist.get_world_size()
    found = [init_device_mesh("cpu", (size,))]
    return [*found, init_device_mesh("cpu", (2, size // 2), mesh_dim_names=("copy", "shard"))]


def clipped() -> None:
    """The norm is that of all shards together, copies counted once."""
    for mesh in meshes():
        net = sharded(mesh)
        optimizer = make("AdamW", net.parameters(), clip_norm=0.1)
        same(train(net, optimizer), alone("AdamW", clip_norm=0.1))
        check_states(optimizer)


class Recordable(Foreach):
    """Torch's operations on a device whose work can be recorded, which the CPU stands for."""

    name, device, captures = "recordable", "cpu", True


def capturable() -> None:
    """Steps that ask nothing of the device: of parts, of the norm of all shards, of one NaN."""
    with using(Recordable(), "foreach"):
        for name in {**RULES, **WHOLE, **MATRIX}:
            for mesh in meshes():
                net = sharded(mesh)
                how = {"clip_norm": 0.1}
                train(net, make(name, net.parameters(), capturable=True, **how))
                same(net, alone(name, **how))
        net = sharded()
        optimizer = make("AdamW", net.parameters(), capturable=True, on_nonfinite="skip")
        train(net, optimizer, range(2))
        before = [p.full_tensor().clone() for p in net.parameters()]
        x, y = batch(2)
        nn.functional.mse_loss(net(x), y).backward()
        if dist.get_rank() == 0:
            net[0].weight.grad.to_local()[0, 0] = float("nan")
        optimizer.step()
        for param, then in zip(net.parameters(), before, strict=True):
            assert torch.equal(param.full_tensor(), then)
            assert param.to_local().grad is None
            assert float(optimizer.state[param]["step"]) == 2


def tensor_parallel() -> None:
    """Layers cut along rows and columns, and one that every process has whole."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    cuts = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    for arguments in ({}, {"clip_norm": 0.1}):
        nets, optimizers = [], []
        for plan in (cuts, {}):
            torch.manual_seed(0)
            net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3), nn.Linear(3, 3))
            nets.append(parallelize_module(net, mesh, plan) if plan else net)
            optimizers.append(make("AdamW", net.parameters(), **arguments))
            train(net, optimizers[-1], share=whole)
        same(*nets)
        whys = [why for *_, why in slalom.explain(optimizers[0]).rows]
        assert (
            whys == ["compiled, for the part of it that this process holds"] * 4 + ["compiled"] * 2
        ), whys


def treated(name: str, **arguments: Any) -> None:
    """Gradients are treated as those of one process are."""
    net = sharded()
    same(train(net, make(name, net.parameters(), **arguments)), alone(name, **arguments))


def not_finite() -> None:
    """One NaN, in the shard of one process, is seen by all."""
    for name, choice in (("AdamW", "skip"), ("AdamW", "raise"), ("Muon", "skip")):
        net = sharded()
        optimizer = make(name, net.parameters(), on_nonfinite=choice)
        train(net, optimizer, range(2))
        before = [p.full_tensor().clone() for p in net.parameters()]
        x, y = batch(2)
        nn.functional.mse_loss(net(x), y).backward()
        if dist.get_rank() == 0:
            net[0].weight.grad.to_local()[0, 0] = float("nan")
        if choice == "raise":
            with pytest.raises(NonFiniteGradientError, match="1 NaN, 0 infinite of 42"):
                optimizer.step()
        else:
            optimizer.step()
        for param, then in zip(net.parameters(), before, strict=True):
            assert torch.equal(param.full_tensor(), then)


def narrow() -> None:
    """States of 8 bits where rows hold whole blocks, and bfloat16 with its remainder."""
    for name, options in (("AdamW", {}), ("Muon", {}), ("LAMB", {"rounding": "stochastic"})):
        for mesh in meshes():
            nets, optimizers = [], []
            for layers in (mesh, None):
                torch.manual_seed(0)
                net = nn.Sequential(nn.Linear(64, 13), nn.Tanh(), nn.Linear(13, 128))
                net = net.bfloat16()
                if layers is not None:
                    fully_shard(net, mesh=layers)
                keep = {"state_dtype": "8bit", "remainder": "exact", **options}
                optimizer = make(name, net.parameters(), **keep)
                for step in range(4):
                    generator = torch.Generator().manual_seed(step)
                    for param in net.parameters():
                        grad = torch.randn(param.shape, generator=generator).to(param.dtype)
                        if layers is not None:
                            grad = distribute_tensor(grad, layers, param.placements)
                        param.grad = grad
                    optimizer.step()
                nets.append(net)
                optimizers.append(optimizer)
            for a, b in zip(*(net.parameters() for net in nets), strict=True):
                torch.testing.assert_close(full(a), b, rtol=0.02, atol=0.02)
                parts, wholes = (o.state[p] for o, p in zip(optimizers, (a, b), strict=True))
                coded = [key for key, value in parts.items() if value.dtype in CODES]
                assert bool(coded) == (a.shape == (13, 64))
                for key in coded if not options else ():
                    apart = full(parts[key]).int() - wholes[key].int()
                    assert apart.abs().max() <= 1, key


def unusual() -> None:
    """Gradients and states distributed otherwise than their parameters take the slow, right way."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    torch.manual_seed(0)
    start, grad = torch.randn(7, 5), torch.randn(7, 5)
    plain = nn.Parameter(start.clone())
    ours = nn.Parameter(distribute_tensor(start.clone(), mesh, [Replicate()]))
    cut = nn.Parameter(distribute_tensor(start.clone(), mesh, [Shard(0)]))
    optimizers = [make("AdamW", [p], clip_norm=0.5) for p in (plain, ours, cut)]
    for step in range(4):
        plain.grad = grad * (step + 1)
        share = grad * (step + 1) / dist.get_world_size()
        ours.grad = DTensor.from_local(share, mesh, [Partial()])
        cut.grad = distribute_tensor(plain.grad, mesh, [Shard(0)])
        if step == 2:  # and back
            cut.grad = cut.grad.redistribute(mesh, [Replicate()])
            state = optimizers[2].state[cut]
            state["exp_avg"] = state["exp_avg"].redistribute(mesh, [Shard(1)])
        for optimizer in optimizers:
            optimizer.step()
        for param in (ours, cut):
            torch.testing.assert_close(param.full_tensor(), plain.detach(), rtol=1e-12, atol=1e-14)
    state["exp_avg"] = state["exp_avg"].full_tensor()
    with pytest.raises(RuntimeError, match="one is a DTensor and the other is not"):
        optimizers[2].step()


def zero_redundancy() -> None:
    """Each process keeps the states of some parameters; what needs all gradients is refused."""
    for name in RULES:
        net = DistributedDataParallel(network())
        arguments = {"lr": 0.05} | RULES[name]
        kind = getattr(optim, name)
        optimizer = ZeroRedundancyOptimizer(net.parameters(), kind, clip_value=1e9, **arguments)
        same_as_alone(train(net, optimizer), name)
    for option in ({"clip_norm": 1.0}, {"on_nonfinite": "skip"}):
        with pytest.raises(
            ValueError, match="cannot be an option of a group, nor of a ZeroRedundancyOptim"
        ):
            ZeroRedundancyOptimizer(net.parameters(), optim.AdamW, **option)


class Saved(Stateful):
    """A model, its optimizer and its schedule, as torch's guide to checkpoints has them."""

    def __init__(self, name: str):
        self.net = sharded(width=64)
        self.optimizer = make(name, self.net.parameters(), **KEPT[name])
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 2, 0.5)

    def train(self, steps: range) -> None:
        train(self.net, self.optimizer, steps, schedule=self.schedule)

    def state_dict(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "optimizer": get_optimizer_state_dict(self.net, self.optimizer),
            "schedule": self.schedule.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        set_optimizer_state_dict(self.net, self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def save(folder: str) -> None:
    """The first half of the training, saved by so many processes."""
    for name in KEPT:
        training = Saved(name)
        training.train(range(5))
        dist.checkpoint.save({"all": training}, checkpoint_id=Path(folder) / name)


def load(folder: str) -> None:
    """The other half, by another number of processes: as if it had not been interrupted."""
    for name in KEPT:
        uninterrupted, resumed = Saved(name), Saved(name)
        uninterrupted.train(range(10))
        dist.checkpoint.load({"all": resumed}, checkpoint_id=Path(folder) / name)
        group = resumed.optimizer.param_groups[0]
        codes = [v.dtype in CODES for s in resumed.optimizer.state.values() for v in s.values()]
        assert any(codes) == ("state_dtype" in KEPT[name])
        assert (group["initial_lr"], group["lr"]) == (0.05, 0.05 * 0.5**2)
        resumed.train(range(5, 10))
        if name in RULES:
            check_states(resumed.optimizer)
        same(resumed.net, uninterrupted.net)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    keeping.LEAST = 1
    dist.init_process_group("gloo")
    for case in sys.argv[1:]:
        function, *given = case.split("=")
        globals()[function](*given)
        dist.barrier()
        if dist.get_rank() == 0:
            print("passed", function, flush=True)
    dist.destroy_process_group()
