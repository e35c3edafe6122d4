"""Strides x dtype x threads x resume: every cell ends where torch's own operations do."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import slalom
from reference import distance
from slalom.backends import using
from slalom.ir.program import trace
from slalom.ir.vectors import of_vectors

SHAPE = (8, 16, 24, 24)
"""More elements than stay on one thread."""

DTYPES = {  # what one rounding more or less may cost, as a share of the largest value
    torch.float32: 2e-6, torch.float64: 1e-13, torch.bfloat16: 2**-7, torch.float16: 2**-10,
    torch.complex64: 2e-6,
}  # fmt: skip

RULES = {
    "SGD": {"momentum": 0.9, "nesterov": True}, "Adam": {"amsgrad": True},
}  # fmt: skip
"""One with a state that begins as the gradient, one with three states."""

Lay = Callable[[Tensor], Tensor]


def contiguous(t: Tensor) -> Tensor:
    return t.contiguous()


def transposed(t: Tensor) -> Tensor:
    return t.transpose(0, 1).contiguous().transpose(0, 1)


def channels_last(t: Tensor) -> Tensor:
    return t.contiguous(memory_format=torch.channels_last)


def sliced(t: Tensor) -> Tensor:
    """Every other element, between others that nobody may write to."""
    wide = torch.full((*t.shape[:-1], 2 * t.shape[-1] + 3), 7.0).to(t.dtype)
    wide[..., 2:-1:2] = t
    return wide[..., 2:-1:2]


def padded(t: Tensor) -> Tensor:
    """Rows that do not follow upon one another, the axes in another order, behind an offset."""
    room = torch.zeros(5 + 40 * 24 * 8 * 16, dtype=t.dtype)
    return room.as_strided(t.shape, (40 * 24, 40 * 24 * 8, 40, 1), 5).copy_(t)


@dataclass(frozen=True)
class Layout:
    """How the tensors of a cell lie: while it trains, and from the middle on if that differs."""

    param: Lay = contiguous
    grad: Lay = contiguous
    state: Lay | None = None  # in the middle; None: left as it is
    later: Lay | None = None  # of the parameter, from the middle on
    shape: tuple[int, ...] = SHAPE


LAYOUTS = {
    "contiguous": Layout(),
    "transposed": Layout(transposed, transposed),
    "transposed, its gradient not": Layout(transposed),
    "channels_last": Layout(channels_last, channels_last),
    "channels_last, its gradient not": Layout(channels_last),
    "its gradient channels_last": Layout(grad=channels_last),
    "its gradient sliced": Layout(grad=sliced),
    "sliced": Layout(sliced, sliced),
    "padded": Layout(padded),
    "0-d": Layout(shape=()),
    "no element": Layout(shape=(3, 0, 2)),
    "its state channels_last": Layout(state=channels_last),
    "its state padded": Layout(transposed, state=padded),
    "contiguous, then channels_last": Layout(later=channels_last),
    "channels_last, then contiguous": Layout(channels_last, later=contiguous),
    "contiguous, then sliced": Layout(later=sliced),
}


def through_a_file(optimizer, params, lay):
    """As a new process would go on: new parameters, a new optimizer, a checkpoint."""
    stream = io.BytesIO()
    torch.save((optimizer.state_dict(), [p.detach() for p in params]), stream)
    stream.seek(0)
    state, values = torch.load(stream, weights_only=True)
    later = [Parameter(lay(values[0])), Parameter(values[1])]
    resumed = type(optimizer)(later)
    resumed.load_state_dict(state)
    return resumed, later


def through_a_copy(optimizer, params, lay):
    twin = copy.deepcopy(optimizer)
    twins = twin.param_groups[0]["params"]
    twins[0].data = lay(twins[0].data)
    return twin, twins


def not_at_all(optimizer, params, lay):
    params[0].data = lay(params[0].data)
    return optimizer, params


RESUMES = (not_at_all, through_a_file, through_a_copy)


def random(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    wide = torch.complex64 if dtype.is_complex else torch.float32
    return torch.randn(shape, dtype=wide, generator=torch.Generator().manual_seed(seed)).to(dtype)


def train(
    name: str, layout: Layout, dtype: torch.dtype, resume=not_at_all, threads: int = 1
) -> tuple[list[Tensor], set[str], Tensor]:
    """Three steps, whatever happens in the middle, three steps; a second parameter stays plain.

    The steps run on so many threads, and all else on one, which is quicker beside other processes.

    The values of the parameters and their states, the backends that served the first parameter,
    and the first parameter itself.
    """
    params = [Parameter(torch.empty(0)), Parameter(random(SHAPE, dtype, 2))]
    params[0].data = layout.param(random(layout.shape, dtype, 1))
    optimizer = getattr(slalom.optim, name)(params, lr=0.01, **RULES[name])
    backends = set()
    for i in range(6):
        if i == 3:
            for key, value in optimizer.state[params[0]].items():
                if key != "step" and layout.state is not None:
                    optimizer.state[params[0]][key] = layout.state(value)
            optimizer, params = resume(optimizer, params, layout.later or layout.param)
        params[0].grad = layout.grad(random(layout.shape, dtype, 10 + i))
        params[1].grad = random(SHAPE, dtype, 20 + i)
        torch.set_num_threads(threads)
        optimizer.step()
        torch.set_num_threads(1)
        backends.add(slalom.explain(optimizer).rows[0][3])
    states = [t for p in params for t in optimizer.state[p].values()]
    return [*(p.detach() for p in params), *states], backends, params[0].detach()


@cache
def expected(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """Torch's own operations on contiguous tensors, uninterrupted."""
    with using("foreach"):
        values, backends, _ = train(name, Layout(shape=shape), dtype)
    assert backends == {"foreach"}
    return values


@cache
def compiled(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """Machine code on contiguous tensors, uninterrupted, on one thread."""
    values, backends, _ = train(name, Layout(shape=shape), dtype)
    assert backends == {"llvm"}
    return values


def real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


@pytest.mark.filterwarnings("ignore:.*runs without machine code")
@pytest.mark.parametrize(
    ("resume", "threads"), [(not_at_all, 1), *((r, 2) for r in RESUMES)],
    ids=lambda r: getattr(r, "__name__", r),
)  # fmt: skip
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d).removeprefix("torch."))
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("name", RULES)
def test_every_cell(name, layout, dtype, threads, resume):
    got, backends, param = train(name, layout, dtype, resume, threads)
    reference = expected(name, layout.shape, dtype)
    assert len(got) == len(reference)
    for a, b in zip(got, reference, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert distance(real(a), real(b)) <= DTYPES[dtype]
    if backends == {"llvm"}:  # neither layout nor threads nor an interruption changes a bit
        assert all(map(torch.equal, got, compiled(name, layout.shape, dtype)))
    last = layout.later or layout.param
    assert backends <= {"llvm", "foreach"}
    assert ("foreach" in backends) == bool({layout.param, last} & {sliced, padded})
    if last is sliced:  # what lies between its elements is not its own
        room = param.as_strided(
            (*SHAPE[:-1], 2 * SHAPE[-1] + 3),
            (param.stride(0), param.stride(1), param.stride(2), 1),
            0,
        )
        assert bool((room[..., 1::2] == 7).all())


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam", "AdamW"])
@pytest.mark.parametrize("first", [contiguous, channels_last], ids=lambda f: f.__name__)
def test_resuming_in_another_memory_format_as_torchs_loop_does(name, first):
    """The checkpoint of one format resumed in the other, where torch's fused kernels go astray."""
    second = channels_last if first is contiguous else contiguous
    options = {"momentum": 0.9} if name == "SGD" else {}
    ends = []
    for library in (torch.optim, slalom.optim):
        param = Parameter(first(random(SHAPE, torch.float64, 0)))
        optimizer = getattr(library, name)([param], lr=0.01, **options)
        for i in range(6):
            if i == 3:
                saved = copy.deepcopy(optimizer.state_dict())
                param = Parameter(second(param.detach()))
                optimizer = getattr(library, name)([param], lr=0.01, **options)
                optimizer.load_state_dict(saved)
            param.grad = random(SHAPE, torch.float64, i + 1)
            optimizer.step()
        ends.append(param)
    assert distance(ends[1], ends[0]) <= 1e-13


@pytest.mark.parametrize("name", ["factored_adafactor", "adam_mini"])
def test_each_row_of_a_vector_is_an_element(name):
    """So that nothing comes between its sweeps for each; the scalars are those of a matrix."""
    made = slalom.rules.RULES[name]
    program = trace(made, made.hypers, step=9, first=False)
    flat = of_vectors(program)
    assert program.by_rows
    assert not flat.by_rows
    assert flat.scalars is program.scalars
    assert set(flat.writes) - set(program.writes) == {
        n for n, kind in program.rule.shapes.items() if kind == "tensor1"
    }
