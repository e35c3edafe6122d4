"""Tensors of which each process holds a part: sums over all parts, and matrices by owner.

An operation on a whole matrix is done by one process for all: its owner, to whom the others send
their parts of the operand, and who sends them their parts of the result. So each matrix travels
once in each direction, no process ever holds more than its share of them whole, and the work is
divided by the size of the matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, product
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from slalom.ir.operations import COLUMNS, ROWS, SQUARE

Work = Callable[[list[Tensor]], Sequence[Tensor]]
"""An operation on whole matrices of one shape."""


@dataclass(frozen=True)
class Spread:
    """How a tensor is distributed.

    Attributes:
        mesh: over which processes (a DeviceMesh).
        placements: along each dimension of the mesh, how; none is partial.
        shape: of the whole tensor.
    """

    mesh: Any
    placements: tuple[Any, ...]
    shape: torch.Size

    @property
    def way(self) -> tuple[Any, tuple[Any, ...]]:
        """What tensors have in common that are distributed alike."""
        return self.mesh, self.placements

    def summed(self, values: Sequence[Tensor], axes: int) -> Sequence[Tensor]:
        """What sums over the parts, along these axes (as bits), are over the whole tensors.

        All of them at once, of tensors that are distributed in this way.
        """
        dims = [k for k, p in enumerate(self.placements) if _axis(p) & axes]
        if not (dims and values):
            return values
        flat = torch.cat([v.reshape(-1) for v in values])
        for k in dims:
            dist.all_reduce(flat, group=self.mesh.get_group(k))
        parts = flat.split([v.numel() for v in values])
        return [own.view_as(v) for own, v in zip(parts, values, strict=True)]

    def of_square(self, part: Tensor) -> Spread:
        """How a square matrix that goes with the tensor is distributed, of which these are rows."""
        placements = tuple(_as_lines(self.placements, SQUARE))
        return Spread(self.mesh, placements, torch.Size([part.shape[1]] * 2))

    def multiplied(self, operand: Tensor, work: Work) -> Tensor:
        """The part of the result of an operation on the whole matrix, of this part of it."""
        (found,) = multiplied_by_owner([operand], [self], work)
        return found

    def _inwards(self) -> list[int] | None:
        """The dimensions of the mesh in the order in which they cut; None where it is not known.

        What FSDP cuts again that tensor parallelism has cut along the same axis is written down
        first (``_StridedShard``) and cut last.
        """
        dims = range(len(self.placements))
        strided = [k for k in dims if hasattr(self.placements[k], "split_factor")]
        for k in strided:
            axis = self.placements[k].dim
            later = [
                self.mesh.size(j)
                for j in dims[k + 1 :]
                if self.placements[j].is_shard() and self.placements[j].dim == axis
            ]
            many = math.prod(later)
            if (
                len(strided) > 1
                or self.placements[k].split_factor != many
                or self.shape[axis] % (many * self.mesh.size(k))
            ):
                return None
        return [*(k for k in dims if k not in strided), *strided]

    def cuts(self, part: Tensor) -> list[_Cut] | None:
        """How the tensor is cut, one dimension of the mesh after another, of which this is a part.

        None where it is not known.
        """
        if (dims := self._inwards()) is None:
            return None
        shape, found = list(self.shape), []
        for k in dims:
            axis, many = getattr(self.placements[k], "dim", None), self.mesh.size(k)
            if many == 1:
                continue
            sizes = () if axis is None else tuple(_chunks(shape[axis], many))
            found.append(_Cut(k, axis, sizes))
            if axis is not None:
                shape[axis] = sizes[self.mesh.get_local_rank(k)]
        return found if tuple(shape) == tuple(part.shape) else None


@dataclass(frozen=True)
class _Cut:
    """One dimension of a mesh, which cuts along an axis into parts of these sizes, or copies.

    ``axis`` is None where it copies.
    """

    dim: int
    axis: int | None
    sizes: tuple[int, ...]


def _axis(placement: Any) -> int:
    """Whether a placement cuts rows or columns apart, as bits; 0 of neither."""
    return 0 if not hasattr(placement, "dim") else COLUMNS if placement.dim else ROWS


def part_of(tensor: Any) -> Any:
    """This process's part of a DTensor; of what is none all of it."""
    return getattr(tensor, "_local_tensor", tensor)


def put_together(part: Tensor, like: Any, shape: Sequence[int]) -> Tensor:
    """The DTensor of this shape, distributed as another one is, of which this is the part."""
    return _whole(part, like.device_mesh, like.placements, shape)


def _whole(part: Tensor, mesh: Any, placements: Sequence[Any], shape: Sequence[int]) -> Tensor:
    from torch.distributed.tensor import DTensor

    like = torch.empty(tuple(shape), device="meta")
    return DTensor.from_local(
        part, mesh, placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def of_lines(
    param: Any, along: int, shape: Sequence[int], start: float, dtype: torch.dtype
) -> Tensor:
    """A state of a DTensor that is not of its shape, full of ``start``, distributed with it.

    Of what varies along rows or columns (``along``, as bits) a process holds those of its part, all
    of them where they are not cut apart; of a square matrix some of its rows.
    """
    from torch.distributed.tensor import full

    placements = _as_lines(param.placements, along)
    if not along & SQUARE:  # the axes of the parameter, however these are cut
        place = zip(part_of(param).shape, shape, strict=True)
        own = [here if whole > 1 else 1 for here, whole in place]
        part = torch.full(own, start, dtype=dtype, device=param.device)
        return _whole(part, param.device_mesh, placements, shape)
    return full(
        tuple(shape), start, dtype=dtype, device_mesh=param.device_mesh, placements=placements
    )


def moved_to_lines(param: Any, along: int, state: Any) -> Tensor:
    """Such a state, distributed so where it is otherwise."""
    due = _as_lines(param.placements, along)
    if state.device_mesh == param.device_mesh and list(state.placements) == due:
        return state
    return state.redistribute(param.device_mesh, due)


def _as_lines(placements: Sequence[Any], along: int) -> list[Any]:
    from torch.distributed.tensor import Replicate, Shard

    if along & SQUARE:
        return [Shard(0) if _axis(p) else Replicate() for p in placements]
    return [p if _axis(p) & along else Replicate() for p in placements]


def _chunks(size: int, many: int) -> list[int]:
    """The sizes of the parts that torch cuts an axis into."""
    each = -(-size // many)
    return [min(size, each * (i + 1)) - min(size, each * i) for i in range(many)]


def multiplied_by_owner(
    operands: Sequence[Tensor], spreads: Sequence[Spread], work: Work
) -> list[Tensor]:
    """The parts of the results of ``work`` on matrices, of whose operands these are the parts.

    All are distributed over one mesh in one way, and every process of it is to call this with the
    same ones.
    """
    exchange = Exchange(spreads[0].mesh, owners_of(spreads), operands[0])
    whole = exchange.come(dict(enumerate(operands)), exchange.cuts(operands, spreads))
    alike: dict[torch.Size, list[int]] = {}
    for i, matrix in whole.items():
        alike.setdefault(matrix.shape, []).append(i)
    results = [work([whole[i] for i in own]) for own in alike.values()]
    found = zip(chain(*alike.values()), chain(*results), strict=True)
    done = exchange.go_back({i: result.to(operands[0].dtype) for i, result in found})
    return [done[i] for i in range(len(operands))]


def owners_of(spreads: Sequence[Spread]) -> list[tuple[int, ...]]:
    """Of each of some matrices, all over one mesh, the place of its owner in that."""
    mesh = spreads[0].mesh
    return _owners(tuple(s.shape for s in spreads), tuple(mesh.size(k) for k in range(mesh.ndim)))


@lru_cache(64)
def _owners(shapes: Sequence[Sequence[int]], mesh: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Of each matrix the place of its owner in the mesh: the largest go first, to the idlest."""
    load, places = [0.0] * math.prod(mesh), list(product(*map(range, mesh)))
    cost = [_cost(shape) for shape in shapes]
    found: list[tuple[int, ...]] = [()] * len(shapes)
    for i in sorted(range(len(shapes)), key=cost.__getitem__, reverse=True):
        who = min(range(len(load)), key=load.__getitem__)
        load[who] += cost[i]
        found[i] = places[who]
    return found


def _cost(shape: Sequence[int]) -> float:
    """The work of a product of a matrix with itself, and a little for each at all."""
    rows, columns = math.prod(shape[:1]), math.prod(shape[1:])
    return 1.0 + rows * columns * min(rows, columns)


@dataclass
class _Leg:
    """One dimension of a mesh on the way of some matrices, and where each of them went.

    Attributes:
        last: how that dimension cuts them.
        held: what was held before.
        sizes: of each matrix those of its parts.
        theirs: by process of the dimension, which of them went there.
        mine: which of them came here.
    """

    last: _Cut
    held: Mapping[int, Tensor]
    sizes: Mapping[int, tuple[int, ...]]
    theirs: Sequence[Sequence[int]]
    mine: Sequence[int]


class Exchange:
    """Matrices on their way to their owners and back, by number.

    Args:
        mesh: of the processes.
        owners: of each matrix the place of its owner in it.
        like: of their dtype, on their device.
    """

    def __init__(self, mesh: Any, owners: Sequence[tuple[int, ...]], like: Tensor):
        self._mesh, self._owners, self._like = mesh, owners, like
        self._legs: list[_Leg] = []

    @staticmethod
    def cuts(parts: Sequence[Tensor], spreads: Sequence[Spread]) -> list[list[_Cut]]:
        """How each of these is cut."""
        return [spread.cuts(part) or [] for spread, part in zip(spreads, parts, strict=True)]

    def come(
        self, held: Mapping[int, Tensor], cuts: Sequence[Sequence[_Cut]]
    ) -> Mapping[int, Tensor]:
        """The whole matrices whose owner this process is, of all that are cut so.

        The innermost cut is undone first, by sending each part to whose place in that dimension of
        the mesh is the owner's; of copies that of the owner goes on.
        """
        self._legs = []
        for depth in reversed(range(len(cuts[0]))):
            if not held:  # and none of those that it would talk to now holds any
                break
            last = cuts[0][depth]
            to = {i: self._owners[i][last.dim] for i in held}
            everyone = range(self._mesh.size(last.dim))
            theirs = [[i for i in held if to[i] == who] for who in everyone]
            mine = theirs[self._mesh.get_local_rank(last.dim)]
            sizes = {i: cuts[i][depth].sizes for i in held}
            self._legs.append(_Leg(last, held, sizes, theirs, mine))
            if (axis := last.axis) is None:
                held = {i: held[i] for i in mine}
                continue
            come = self._exchanged(
                [[held[i] for i in own] for own in theirs],
                [[_with(held[i].shape, axis, sizes[i][who]) for i in mine] for who in everyone],
                last.dim,
            )
            held = {i: torch.cat([own[k] for own in come], axis) for k, i in enumerate(mine)}
        return held

    def go_back(
        self, done: Mapping[int, Tensor], wanted: Callable[[int], bool] = lambda i: True
    ) -> Mapping[int, Tensor]:
        """The parts of what the owners have made of those that came and are wanted back."""
        for leg in reversed(self._legs):
            axis, dim = leg.last.axis, leg.last.dim
            held = {i: part for i, part in leg.held.items() if wanted(i)}
            if axis is None:
                done = self._told(held, done, dim)
                continue
            theirs = [list(filter(wanted, own)) for own in leg.theirs]
            parts = [done[i].split(list(leg.sizes[i]), axis) for i in filter(wanted, leg.mine)]
            back = self._exchanged(
                [[own[who] for own in parts] for who in range(self._mesh.size(dim))],
                [[held[i].shape for i in own] for own in theirs],
                dim,
            )
            done = dict(zip(chain(*theirs), chain(*back), strict=True))
        return done

    def _told(
        self, held: Mapping[int, Tensor], done: Mapping[int, Tensor], dim: int
    ) -> dict[int, Tensor]:
        """The results of all that is held in copies, of each of which one process has it."""
        of_others = torch.zeros_like
        if not held:
            return {}
        flat = torch.cat([done.get(i, of_others(t)).reshape(-1) for i, t in held.items()])
        dist.all_reduce(flat, group=self._mesh.get_group(dim))
        parts = flat.split([t.numel() for t in held.values()])
        return {i: part.view(t.shape) for part, (i, t) in zip(parts, held.items(), strict=True)}

    def _exchanged(
        self, sent: Sequence[Sequence[Tensor]], due: Sequence[Sequence[Sequence[int]]], dim: int
    ) -> list[list[Tensor]]:
        """What each process of a dimension of the mesh sends here, of these shapes."""
        flat = [t.reshape(-1) for own in sent for t in own] or [self._like.new_empty(0)]
        many = [[math.prod(shape) for shape in own] for own in due]
        come = self._like.new_empty(sum(map(sum, many)))
        dist.all_to_all_single(
            come, torch.cat(flat), list(map(sum, many)),
            [sum(t.numel() for t in own) for own in sent], group=self._mesh.get_group(dim),
        )  # fmt: skip
        parts = iter(come.split(list(chain(*many))))
        return [[next(parts).view(tuple(shape)) for shape in own] for own in due]


def _with(shape: Sequence[int], axis: int, size: int) -> list[int]:
    """The shape with another size along an axis."""
    return [size if k == axis else n for k, n in enumerate(shape)]
