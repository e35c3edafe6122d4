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

from slalom.ir.operations import COLUMNS, ROWS

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


def of_lines(param: Any, along: int, start: float, dtype: torch.dtype) -> Tensor:
    """A number of each row or column (``along``, as bits) of a DTensor, distributed as these are.

    Where it varies along what is cut apart, a process holds those of its part, else all of them.
    """

    def shape(of: Sequence[int]) -> list[int]:
        return [n if (COLUMNS if k else ROWS) & along else 1 for k, n in enumerate(of)]

    own = torch.full(shape(part_of(param).shape), start, dtype=dtype, device=param.device)
    return _whole(own, param.device_mesh, _as_lines(param, along), shape(param.shape))


def moved_to_lines(param: Any, along: int, numbers: Any) -> Tensor:
    """A number of each row or column, distributed as these are where it is otherwise."""
    due = _as_lines(param, along)
    if numbers.device_mesh == param.device_mesh and list(numbers.placements) == due:
        return numbers
    return numbers.redistribute(param.device_mesh, due)


def _as_lines(param: Any, along: int) -> list[Any]:
    from torch.distributed.tensor import Replicate

    return [p if _axis(p) & along else Replicate() for p in param.placements]


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
    mesh = spreads[0].mesh
    owners = _owners(tuple(s.shape for s in spreads), tuple(mesh.size(k) for k in range(mesh.ndim)))
    cuts = [spread.cuts(part) or [] for spread, part in zip(spreads, operands, strict=True)]
    done = _Exchange(mesh, owners, operands[0], work).done(dict(enumerate(operands)), cuts)
    return [done[i] for i in range(len(operands))]


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


@dataclass(frozen=True)
class _Exchange:
    """Matrices on their way to their owners and back.

    Attributes:
        mesh: of the processes.
        owners: of each matrix the place of its owner in it.
        like: of their dtype, on their device.
        work: what the owner does.
    """

    mesh: Any
    owners: Sequence[tuple[int, ...]]
    like: Tensor
    work: Work

    def done(self, held: Mapping[int, Tensor], cuts: Sequence[Sequence[_Cut]]) -> dict[int, Tensor]:
        """The results of matrices, by their numbers, of which what is held is cut so.

        The innermost cut is undone first, by sending each part to whose place in that dimension of
        the mesh is the owner's; of copies that of the owner goes on, and tells the others.
        """
        if not held:  # and none of those that it would talk to now holds any
            return {}
        if not cuts[0]:
            return self._worked(held)
        last, rest = cuts[0][-1], [c[:-1] for c in cuts]
        here = self.mesh.get_local_rank(last.dim)
        to = {i: self.owners[i][last.dim] for i in held}
        mine = [i for i in held if to[i] == here]
        if last.axis is None:
            return self._told(held, self.done({i: held[i] for i in mine}, rest), last.dim)
        axis, sizes = last.axis, {i: cuts[i][-1].sizes for i in held}
        everyone = range(self.mesh.size(last.dim))
        theirs = [[i for i in held if to[i] == who] for who in everyone]
        come = self._exchanged(
            [[held[i] for i in own] for own in theirs],
            [[_with(held[i].shape, axis, sizes[i][who]) for i in mine] for who in everyone],
            last.dim,
        )
        whole = {i: torch.cat([own[k] for own in come], axis) for k, i in enumerate(mine)}
        done = self.done(whole, rest)
        parts = [done[i].split(list(sizes[i]), axis) for i in mine]
        back = self._exchanged(
            [[own[who] for own in parts] for who in everyone],
            [[held[i].shape for i in own] for own in theirs],
            last.dim,
        )
        return dict(zip(chain(*theirs), chain(*back), strict=True))

    def _worked(self, held: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """What the owner makes of whole matrices, those of one shape at once."""
        alike: dict[torch.Size, list[int]] = {}
        for i, matrix in held.items():
            alike.setdefault(matrix.shape, []).append(i)
        results = [self.work([held[i] for i in own]) for own in alike.values()]
        found = zip(chain(*alike.values()), chain(*results), strict=True)
        return {i: result.to(self.like.dtype) for i, result in found}

    def _told(
        self, held: Mapping[int, Tensor], done: Mapping[int, Tensor], dim: int
    ) -> dict[int, Tensor]:
        """The results of all that is held in copies, of each of which one process has it."""
        of_others = torch.zeros_like
        flat = torch.cat([done.get(i, of_others(t)).reshape(-1) for i, t in held.items()])
        dist.all_reduce(flat, group=self.mesh.get_group(dim))
        parts = flat.split([t.numel() for t in held.values()])
        return {i: part.view(t.shape) for part, (i, t) in zip(parts, held.items(), strict=True)}

    def _exchanged(
        self, sent: Sequence[Sequence[Tensor]], due: Sequence[Sequence[Sequence[int]]], dim: int
    ) -> list[list[Tensor]]:
        """What each process of a dimension of the mesh sends here, of these shapes."""
        flat = [t.reshape(-1) for own in sent for t in own] or [self.like.new_empty(0)]
        many = [[math.prod(shape) for shape in own] for own in due]
        come = self.like.new_empty(sum(map(sum, many)))
        dist.all_to_all_single(
            come, torch.cat(flat), list(map(sum, many)),
            [sum(t.numel() for t in own) for own in sent], group=self.mesh.get_group(dim),
        )  # fmt: skip
        parts = iter(come.split(list(chain(*many))))
        return [[next(parts).view(tuple(shape)) for shape in own] for own in due]


def _with(shape: Sequence[int], axis: int, size: int) -> list[int]:
    """The shape with another size along an axis."""
    return [size if k == axis else n for k, n in enumerate(shape)]
