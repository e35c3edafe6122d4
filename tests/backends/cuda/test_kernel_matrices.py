"""Kernels of rules that look at rows and columns: their steps, their order, their PTX."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simulated
import torch
from simulated import HOST
from standin import Simulated
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.backends.cuda import descent, members, work
from slalom.backends.cuda.matrices import MatrixKernels
from slalom.backends.cuda.members import Kernels
from slalom.backends.cuda.target import AMD, NVIDIA, THREADS
from slalom.backends.llvm.compile import assembly_for
from slalom.ir.program import trace
from slalom.rules import RULES, mean, norm, rule, sqrt, total, where

sys.path.insert(0, str(Path(__file__).parent))
from test_kernels import INSTRUCTION, assemble, ptxas

NAMES = ["adam_mini", "factored_adafactor"]
SHAPES = (
    (33, 5), (70, 300), (300, 7), (5, 1100), (1, 40), (9,), (), (0, 5), (5, 0), (4, 3, 3, 3),
    (130, 64), (0, 0), (2100, 2), (9, 4096),
)  # fmt: skip
"""Below a vector and below a tile, several tiles across and down, vectors, nothing."""


@rule(shapes={"of_rows": "row", "of_columns": "column", "of_all": "one", "of_more": "row"})
def knotted(param, grad, of_rows, of_columns, of_all, of_more, *, step, lr=0.01):
    """Everything at once: sums over sums, comparisons of them, states that others read."""
    of_rows = 0.5 * of_rows + mean(grad * grad, axis=1)
    of_columns = where(of_columns > total(param, axis=0), of_columns, 1 + norm(grad, axis=0))
    share = of_rows / (1 + total(of_rows))
    spread_out = mean((share - mean(share)) * (share - mean(share)))
    change = grad / (1 + sqrt(of_rows) * of_columns) + share
    change = change / (1 + norm(change)) + (of_more > spread_out) * 0.1
    of_all = 0.5 * of_all + spread_out + mean(change) + total(of_columns)
    of_more = of_more + mean(change, axis=1) - mean(of_columns)
    return param - lr / step * change, of_rows, of_columns, of_all, of_more


@rule(shapes={"largest": "one"})
def late(param, grad, largest, *, lr=0.01):
    """Of a state alone before the first sweep, and of a vector of it after the last."""
    ahead = grad / (1 + largest)
    along = total(ahead, axis=0)
    return param - lr * ahead / (1 + along * along), norm(along) + largest


@rule(shapes={"slow": "row"})
def still(param, grad, slow, *, lr=0.01):
    """What is one number a row before anything is summed up."""
    return param - lr * grad / (1 + slow), slow + 0.5


OWN = [knotted, late, still]


def trained(backend: Any, made: Any, dtype: torch.dtype, off: int = 0, **options: Any) -> list:
    draws = torch.Generator().manual_seed(2)

    def drawn(shape: tuple[int, ...]) -> torch.Tensor:
        """Beginning so many elements behind where a vector may."""
        own = torch.zeros(math.prod(shape) + off, dtype=dtype)[off:].view(shape)
        own.copy_(torch.randn(shape, generator=draws))
        return own

    params = [Parameter(drawn(shape)) for shape in SHAPES]
    with using(backend):
        optimizer = made(params, lr=0.01, **options)
        for step in range(4):
            for p in params:
                grad = drawn(tuple(p.shape))
                p.grad = None if step == 2 and p.shape[:1] == (33,) else grad
            optimizer.step()
        served = {row[3] for row in slalom.explain(optimizer).rows}
    assert served == {backend if isinstance(backend, str) else backend.name}
    states = [optimizer.state[p] for p in params]
    return [*(p.detach() for p in params), *(s[n] for s in states for n in sorted(s))]


def made_of(name: str) -> Any:
    own = next((r for r in OWN if r.name == name), None)
    return getattr(slalom.optim, RULES[name].class_name) if own is None else slalom.optimizer(own)


def check(name: str, dtype: torch.dtype, off: int = 0) -> None:
    """Elements are the same to the bit; the sums are rounded in another order."""
    got, expected = (trained(b, made_of(name), dtype, off) for b in (Simulated(), "llvm"))
    near = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(got, expected, rtol=near, atol=near / 10, equal_nan=True)
    assert dtype == torch.float64 or sum(map(torch.equal, got, expected)) > 0.8 * len(got)


@pytest.mark.parametrize("name", [*NAMES, *(r.name for r in OWN)])
def test_rules_of_rows_are_what_the_cpu_makes_of_them(name):
    check(name, torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [(n, d) for n in NAMES for d in (torch.float64, torch.bfloat16, torch.float16)]
    + [("knotted", torch.bfloat16)],
)
def test_rules_of_rows_in_all_dtypes(name, dtype):
    check(name, dtype, 1)


def test_neither_addresses_nor_the_order_of_blocks_change_a_bit(monkeypatch):
    made = made_of("factored_adafactor")
    found = [trained(Simulated(), made, torch.float32, off) for off in (0, 1)]
    monkeypatch.setattr(simulated, "FORWARDS", [True])
    found.append(trained(Simulated(), made, torch.float32))
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


def in_order(numbers: Any) -> Any:
    found = 0.0
    for number in numbers:
        found = found + number
    return found


def in_turns(numbers: Any, many: int) -> Any:
    """Each of ``many`` adds up its own in turn, then these are added up."""
    return in_order([in_order(numbers[k::many]) for k in range(many)])


def summed_as_said(values: np.ndarray, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """The sums of rows and of columns in the very order of the kernels, in words of NumPy."""
    height, width = values.shape
    abreast = descent.AT_ONCE
    while abreast < THREADS and abreast * lanes < width:
        abreast *= 2
    stride, wide = THREADS // abreast, abreast * lanes
    steps, across = descent.STEPS, -(-width // wide)
    while steps < descent.TALLEST and across * -(-height // (stride * steps)) > 256:
        steps *= 2
    of_rows, of_columns = [], []
    for begin in range(0, width, wide):
        tile = values[:, begin : begin + wide]
        threads = [in_order(tile[:, k : k + lanes].T) for k in range(0, tile.shape[1], lanes)]
        of_rows.append(in_turns(threads, abreast // descent.AT_ONCE))
    for begin in range(0, height, stride * steps):
        tile = values[begin : begin + stride * steps]
        of_columns.append(in_order([in_order(tile[y::stride]) for y in range(stride)]))
    return tuple(in_turns(own, shares(len(own))) for own in (of_rows, of_columns))


def shares(tiles: int) -> int:
    """How many threads add up so many tiles of a line."""
    found = 4
    while found < THREADS and tiles > 32 * found:
        found *= 2
    return found


@rule(shapes={"along": "row", "down": "column"})
def sums(param, grad, along, down, *, lr=0.01):
    """It keeps the sums of the gradient's rows and columns."""
    return param, total(grad, axis=1), total(grad, axis=0)


@pytest.mark.parametrize(
    "shape", [(70, 300), (300, 7), (5, 1101), (2100, 2), (160000, 4), (270, 16500)]
)
def test_sums_are_added_in_the_order_that_is_said(shape):
    draws = torch.Generator().manual_seed(1)
    param = Parameter(torch.zeros(shape, dtype=torch.float64))
    param.grad = torch.randn(shape, dtype=torch.float64, generator=draws)
    optimizer = slalom.optimizer(sums)([param])
    with using(Simulated()):
        for _ in range(2):  # counters are 0 again
            optimizer.step()
    found = [optimizer.state[param][n].flatten().numpy() for n in ("along", "down")]
    for own, said, axis in zip(found, summed_as_said(param.grad.numpy(), 2), (1, 0), strict=True):
        assert np.array_equal(own, said)
        exact = [math.fsum(line) for line in np.moveaxis(param.grad.numpy(), axis, 1)]
        np.testing.assert_allclose(own, exact, rtol=1e-12, atol=1e-13)


def launches(backend: Simulated, optimizer: Any) -> list[int]:
    """The blocks of each launch of a step."""
    before = len(backend.library.calls)
    with using(backend, "foreach"):
        optimizer.step()
    return [c[1] for c in backend.library.calls[before:] if c[0] == "cuLaunchKernel"]


@pytest.mark.parametrize(("name", "many"), [("AdamMini", 3), ("FactoredAdafactor", 5)])
def test_sweeps_and_what_is_between_them_are_a_launch_each(name, many):
    backend = Simulated()
    params = [Parameter(torch.ones(70, 600)), Parameter(torch.ones(8, 4))]
    optimizer = getattr(slalom.optim, name)(params, lr=0.1)
    for p in params:
        p.grad = torch.ones_like(p)
    for _ in range(3):
        found = launches(backend, optimizer)
    assert len(found) == many
    assert found[0] == 3 * 2 + 1  # tiles of 32 rows by 512 columns
    of_columns = (19 + 1) * (name == "FactoredAdafactor")
    assert found[1] == 3 + 1 + of_columns  # of 32 lines


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5, "on_nonfinite": "skip"}], ids=str)
@pytest.mark.parametrize("name", ["AdamMini", "FactoredAdafactor"])
def test_counts_may_be_on_the_device(name, options):
    """Capturable steps, whose rows a kernel makes: as plain ones are, and always by kernels."""
    found, backend = [], Simulated()
    for capturable in (True, False):
        draws = torch.Generator().manual_seed(0)
        params = [Parameter(torch.randn(s, generator=draws)) for s in SHAPES]
        kind = {"capturable": True} if capturable else {}
        optimizer = getattr(slalom.optim, name)(params, lr=0.01, **kind, **options)
        for step in range(4):
            for p in params:
                p.grad = torch.randn(p.shape, generator=draws)
            if step == 2 and "on_nonfinite" in options:
                params[0].grad[0] = math.inf
            if not capturable:
                with using("llvm"):
                    optimizer.step()
            else:
                many = launches(backend, optimizer)
        states = [optimizer.state[p] for p in params]
        found.append([*params, *(torch.as_tensor(s[n]).float() for s in states for n in sorted(s))])
    of_matrices, of_vectors = (3, 2) if name == "AdamMini" else (5, 4)
    before = 2 if options else 1  # the rows, made by the last launch of the norm where it is asked
    assert len(many) == before + of_matrices + of_vectors
    torch.testing.assert_close(*found, rtol=3e-5, atol=3e-7)


def test_a_plan_of_such_steps_stays(monkeypatch):
    """A step that is clipped by the norm needs nothing of torch's, and is made anew but once."""
    from slalom.engine import capturable

    made, update = [], capturable.update_there
    monkeypatch.setattr(capturable, "update_there", lambda *g: made.append(1) or update(*g))
    param = Parameter(torch.ones(40, 30))
    param.grad = torch.ones_like(param)
    optimizer, backend = (
        slalom.optim.FactoredAdafactor([param], lr=0.1, capturable=True),
        Simulated(),
    )
    for _ in range(4):
        launches(backend, optimizer)
    assert len(made) == 1


def test_a_program_that_is_not_asked_for_changes_nothing():
    """Of two ways of a rule a row names one, or none."""
    found = RULES["factored_adafactor"]
    program = trace(found, found.hypers, step=2, first=False)
    arrays = tuple((n, "float") for n in ("param", "grad", *program.live_state))
    kernels = Kernels.of([program, program], arrays, HOST, False)
    shape = torch.Size((40, 30))
    drawn = torch.Generator().manual_seed(0)
    results = []
    for which in (0.0, 1.0, -1.0):
        drawn.manual_seed(0)
        tensors = [torch.rand(found.shape(n, shape, {}), generator=drawn) for n, _ in arrays]
        before = [t.clone() for t in tensors]
        backend = Simulated()
        rows_of = torch.full((1, kernels_width(program)), 0.25, dtype=torch.float64)
        rows_of[0, 0] = which
        functions = [backend.gpu.function(text) for text in kernels.texts]
        own = members.Prepared(backend.gpu, kernels, functions, arrays, [(0, tensors)], rows_of)
        members.prepared_together(backend.gpu, [own])()
        if which < 0:
            assert all(map(torch.equal, tensors, before))
        results.append(tensors)
    assert all(map(torch.equal, *results[:2]))
    assert not torch.equal(results[0][0], results[2][0])


def kernels_width(program: Any) -> int:
    return 2 + len(program.scalars)


WRONG = {
    "a line too few": ("slt i64 %line, %end", "slt i64 %line, %l"),
    "a tile too few": ("slt i64 %rows.t, %tiles", "slt i64 %rows.t, %g"),
    "another column": (".at, i64 %c\n", ".at, i64 %thread\n"),
    "another row": (".at, i64 %r\n", ".at, i64 %first.row\n"),
    "a share of a row left out": ("slt i64 %k, %shares", "slt i64 %k, 1"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_kernel_is_found(monkeypatch, what):
    old, new = WRONG[what]
    made, changed = MatrixKernels._add, []

    def bent(self, grid, text):
        changed.append(old in text)
        made(self, grid, text.replace(old, new))

    monkeypatch.setattr(MatrixKernels, "_add", bent)
    monkeypatch.setattr(work, "_kernels", work._kernels.__wrapped__)
    param = Parameter(torch.ones(30, 20))
    param.grad = torch.ones(30, 20)
    optimizer = slalom.optim.FactoredAdafactor([param], lr=0.1)
    told = "was tried on this GPU and gave another .* of factored_adafactor"
    with using(Simulated(), "foreach"), pytest.warns(UserWarning, match=told):
        optimizer.step()
    assert any(changed)


def test_what_a_block_cannot_hold_is_left_to_torchs_operations():
    @rule(shapes={f"c{i}": "column" for i in range(13)})
    def wide(param, grad, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, *, lr=0.01):
        return param, *(total(grad * (i + 0.5) + i, axis=0) for i in range(13))

    param = Parameter(torch.ones(3, 4))
    param.grad = torch.ones(3, 4)
    optimizer = slalom.optimizer(wide)([param])
    with using(Simulated(), "foreach"), pytest.warns(UserWarning, match="than kernels can hold"):
        optimizer.step()
    assert optimizer.state[param]["c0"].flatten().tolist() == [1.5] * 4


def test_what_does_not_lie_row_by_row_is_left_to_torchs_operations():
    param = Parameter(torch.ones(6, 5).t())
    param.grad = torch.ones(5, 6)
    with using(Simulated(), "foreach"):
        (row,) = slalom.explain(slalom.optim.AdamMini([param], lr=0.1)).rows
    assert row[3] == "foreach"
    assert "do not lie row by row" in row[4]


# What is compiled.


def kernels(name: str, target: Any, kind: str = "float") -> MatrixKernels:
    found = next((r for r in OWN if r.name == name), None) or RULES[name]
    program = trace(found, {**found.hypers, "lr": 0.1}, step=2, first=False)
    arrays = tuple(
        (n, "float" if n in found.shapes else kind) for n in ("param", "grad", *program.live_state)
    )
    return MatrixKernels(program, arrays, target, False)


def read_ptx(found: MatrixKernels, architecture: str) -> list[str]:
    """Fails where a kernel is not what it should be; their PTX."""
    every, sweeps = [], iter(found._sweeps)
    for grid, text in zip(found.grids, found.texts, strict=True):
        ptx = assembly_for(text, NVIDIA.triple, architecture)
        names = INSTRUCTION.findall(ptx)
        assert ".local" not in ptx
        assert "call" not in names
        assert not [n for n in names if "approx" in n or "ftz" in n]
        assert not [n for n in names if re.fullmatch(r"(add|sub|mul|mad)\.f(16|32|64)", n)]
        if grid == "tiles":
            sweep = next(sweeps)
            for way, touched in (("ld", sweep.reads), ("st", sweep.writes)):
                wide = re.findall(rf"{way}\.global\.(?:v4\.b32|v2\.b64)", ptx)
                assert len(wide) == len(touched), (found._program.rule.name, way, wide)
        every.append(ptx)
    return every


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_ptx_is_read_and_assembled(architecture, tmp_path):
    for name in [*NAMES, *(["knotted"] if architecture == "sm_90" else [])]:
        for kind in ("float", "bfloat"):
            for ptx in read_ptx(kernels(name, NVIDIA, kind), architecture):
                if ptxas() is not None and architecture == "sm_90":
                    # a rule of nobody's, some of whose numbers are put aside around a quotient
                    most = 32 if name == "knotted" else 0
                    assemble(ptxas() or "", ptx, architecture, tmp_path, most)


def test_code_for_amd_is_made_too():
    for text in kernels("factored_adafactor", AMD).texts:
        code = assembly_for(text, AMD.triple, "gfx90a")
        assert "s_swappc" not in code  # a call
        assert set(re.findall(r"\.private_segment_fixed_size:\s+(\d+)", code)) == {"0"}
