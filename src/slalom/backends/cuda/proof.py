"""A kernel is tried before it serves: on drawn numbers, beside torch's operations on the same GPU.

What was compiled and simulated elsewhere says nothing of this GPU with its driver. So the first use
of each kernel in a process updates some tensors of its own both ways and compares them, which is
the only time that the host waits for the GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.kernel import CHUNK, width
from slalom.backends.cuda.members import Kernels, Prepared, prepared_together
from slalom.backends.foreach.rows import finish, serve
from slalom.backends.llvm.memory import CODED, KEPT, Arrays, computed_in
from slalom.backends.narrow import BLOCK, LOST, REMAINDER, SCALE, owner
from slalom.backends.refusals import UNPREPARED, Unavailable
from slalom.ir.program import Program

DTYPES = {name: dtype for dtype, name in KEPT.items() if not dtype.is_complex}

TOLERANCE = {"float": 2**-14, "double": 2**-36, "bfloat": 2**-5, "half": 2**-8}
"""Of what two ways of rounding may differ by, as a part of the number and of the average beside it.

Far above what was seen of any rule (bfloat16 may be rounded by chance besides), and far below what
a wrong element, row or lane would show.
"""

LENGTHS = ((2 * CHUNK + 37, 0), (CHUNK - 5, 1), (3, 0))
"""Elements of the tensors, and how many they begin beyond where vectors can be read."""

MATRICES = (((70, 300), 0), ((300, 7), 1), ((3, 1100), 0))
"""The same of programs that look at rows or columns: more than a tile of rows, of columns, and what
fills no vector."""

NOISE = 12345.0

BEYOND = 64
"""Elements after each tensor, which the kernel is to leave alone."""


def proven(
    gpu: Gpu, kernels: Kernels, programs: Sequence[Program], arrays: Arrays
) -> Sequence[int]:  # fmt: skip
    """These kernels, which update ``arrays`` by one of ``programs``, loaded.

    Raises :class:`Unavailable` where one cannot be loaded, or they compute something else than
    torch's operations do, now and whenever they are asked for again; RuntimeError where they were
    never used before a graph is recorded, since nothing can be compared then.
    """

    def judged() -> str | None:
        return _judged(gpu, kernels, programs, arrays)

    return known(gpu, kernels.texts, judged)


def known(gpu: Gpu, texts: Sequence[str], judged: Callable[[], str | None]) -> Sequence[int]:
    """The kernels of these texts, as :func:`proven`; ``judged`` tells what is wrong with them."""
    key = "\n".join(texts)
    why = gpu.judged.get(key)
    if why is None:
        if gpu.capturing():
            raise RuntimeError(UNPREPARED)
        try:
            for text in texts:
                gpu.function(text)
            why = judged() or ""
        except Unavailable as error:
            why = str(error)
        gpu.judged[key] = why
    if why:
        raise Unavailable(why)
    return [gpu.function(text) for text in texts]


def _judged(
    gpu: Gpu, kernels: Kernels, programs: Sequence[Program], arrays: Arrays
) -> str | None:  # fmt: skip
    """Why they are not to be used; None where they are."""
    draws = torch.Generator("cpu").manual_seed(0)
    names = [name for name, _ in arrays]
    cases = MATRICES if any(p.by_rows for p in programs) else LENGTHS
    which = [float(k) for k in range(len(programs)) for _ in cases]  # a row for each tensor
    which += [-1.0] * kernels.chosen  # and one that stays as it is
    places = [_Place(*cases[i % len(cases)]) for i in range(len(which))]
    size, double = (len(which), width(programs)), torch.float64
    rows = torch.rand(size, generator=draws, dtype=double, device="cpu") * 0.8
    rows += 0.1  # no scalar near zero, by which something may be divided
    rows[:, 0] = torch.tensor(which, dtype=double, device="cpu")
    rows[:, 1] = NOISE
    rows = rows.to(gpu.device)
    mine = [
        [
            _drawn(name, kind, place.end(programs, name) + BEYOND, draws).to(gpu.device)
            for name, kind in arrays
        ]
        for place in places
    ]
    theirs = [[t.clone() for t in tensors] for tensors in mine]

    def within(tensors: Sequence[Tensor], i: int) -> list[Tensor]:
        named = zip(names, tensors, strict=True)
        return [places[i].within(programs, names, name, t) for name, t in named]

    with torch.no_grad():
        functions = [gpu.function(text) for text in kernels.texts]
        members = [(i, within(own, i)) for i, own in enumerate(mine)]
        alike = list(range(len(members))), [0] * len(members)
        mine_all = Prepared(gpu, kernels, functions, arrays, members, rows, *alike)
        prepared_together(gpu, [mine_all])()
        gpu.wait()
        named = [dict(zip(names, within(own, i), strict=True)) for i, own in enumerate(theirs)]
        of = [i for i, k in enumerate(which) if k >= 0]  # who is not served is not asked
        finish((0, serve(programs, named[i], rows[i])) for i in of)
    served = [programs[max(0, int(k))] for k in which]
    return _differing(served, arrays, mine, theirs, places)


class _Place:
    """Where a tensor is among what is drawn for it: what lies before and behind stays as it is."""

    def __init__(self, shape: int | tuple[int, ...], crooked: int):
        self.shape = torch.Size([shape] if isinstance(shape, int) else shape)
        self.length, self.crooked = self.shape.numel(), crooked

    def _of(self, programs: Sequence[Program], name: str) -> tuple[int, ...]:
        rule = programs[0].rule
        return rule.shape(name, self.shape, {}) if name in rule.shapes else tuple(self.shape)

    def end(self, programs: Sequence[Program], name: str) -> int:
        return self.crooked + torch.Size(self._of(programs, name)).numel()

    def within(
        self, programs: Sequence[Program], names: Sequence[str], name: str, drawn: Tensor
    ) -> Tensor:  # fmt: skip
        """The tensor."""
        if owner(name, names) not in (None, "param"):
            return drawn[: -(-self.length // BLOCK)]
        if name in programs[0].rule.shapes:
            shape, begin = self._of(programs, name), 0
        else:
            shape, begin = tuple(self.shape), self.crooked
        return drawn[begin : begin + torch.Size(shape).numel()].view(shape)


def _forget(
    names: Sequence[str], kinds: Sequence[str], tensors: Sequence[Tensor], place: _Place
) -> None:  # fmt: skip
    """Make 0 of the codes whose scale is NaN, since no number stands there whatever they are."""
    length, crooked = place.length, place.crooked
    for name, kind, codes in zip(names, kinds, tensors, strict=True):
        if kind in CODED:
            scales = tensors[names.index(name + SCALE)][: -(-length // BLOCK)]
            lost = scales.isnan().repeat_interleave(BLOCK)[:length]
            codes[crooked : crooked + length].masked_fill_(lost, 0)


def _differing(
    programs: Sequence[Program], arrays: Arrays, mine: Sequence[Sequence[Tensor]],
    theirs: Sequence[Sequence[Tensor]], places: Sequence[_Place],
) -> str | None:  # fmt: skip
    """What differs of some tensors that were updated in two ways, in words."""
    names, kinds = [name for name, _ in arrays], [kind for _, kind in arrays]
    for program, own, other, place in zip(programs, mine, theirs, places, strict=True):
        for tensors in (own, other):
            _forget(names, kinds, tensors, place)
        least = TOLERANCE[computed_in(arrays, program.rule.shapes)]  # what is kept wider is so too
        for (name, kind), a, b in zip(arrays, own, other, strict=True):
            if name in (REMAINDER, LOST):  # what rounding left over is another's where that is
                continue
            if not _alike(a, b, max(TOLERANCE.get(kind, 0.0), least), of_codes=kind in CODED):
                return (
                    f"its kernel was tried on this GPU and gave another {name} of "
                    f"{program.rule.name} than torch's operations do; please report this"
                )
    return None


def _drawn(name: str, kind: str, size: int, draws: torch.Generator) -> Tensor:
    if name in ("param", "grad"):
        return torch.randn(size, generator=draws, device="cpu").to(DTYPES[kind])
    if kind in (*CODED, "i16"):
        whole = torch.iinfo(DTYPES[kind])
        least = max(whole.min, -whole.max)
        return torch.randint(least, whole.max + 1, (size,), generator=draws, device="cpu").to(
            DTYPES[kind]
        )
    positive = torch.rand(size, generator=draws, device="cpu") + 0.5  # a root may be taken of it
    if name == LOST:
        positive *= 2.0**-9
    return positive.to(DTYPES[kind])


def _alike(mine: Tensor, theirs: Tensor, tolerance: float, *, of_codes: bool = False) -> bool:
    """Whether two results are equal but for rounding; of nothing finite none can be told."""
    if of_codes:  # one may be the neighbour of the other
        return bool(((mine.int() - theirs.int()).abs() <= 1).all())
    mine, theirs = mine.double(), theirs.double()
    finite = theirs.isfinite()
    if not finite.any():
        return False
    size = theirs[finite].abs()
    near = (mine - theirs)[finite].abs() <= tolerance * (size + size.mean())
    same = (mine == theirs) | (mine.isnan() & theirs.isnan())
    return bool(near.all() and same[~finite].all())
