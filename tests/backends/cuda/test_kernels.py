"""Kernels for GPUs: what is compiled is read, and the same text runs here, thread by thread."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import simulated
from simulated import HOST

from slalom.backends.cuda.kernel import CHUNK, kernel, lanes
from slalom.backends.cuda.target import AMD, NVIDIA
from slalom.backends.llvm.compile import assembly_for
from slalom.backends.llvm.jit import jit
from slalom.backends.llvm.lower import lower
from slalom.backends.llvm.memory import Arrays
from slalom.ir.program import trace
from slalom.rules import RULES

sys.path.insert(0, str(Path(__file__).parent.parent / "llvm"))
from kernels import Kernel, bits_of, kernels, without_nans_bits

KINDS = ("float", "double", "bfloat", "half")
MIXED = (  # parameter, gradient, states
    ("float", "bfloat", "float"), ("float", "half", "float"), ("float", "float", "bfloat"),
    ("bfloat", "bfloat", "float"), ("half", "half", "float"), ("bfloat", "float", "double"),
)  # fmt: skip
FEW = ("adam", "adan", "rprop", "lion")
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")


def arrays_of(found: Kernel, kinds: tuple[str, str, str]) -> Arrays:
    param, grad, state = kinds
    named = {"param": param, "grad": grad}
    return tuple((name, named.get(name, state)) for name in found.arrays)


def text_for(target, found: Kernel, kinds: tuple[str, str, str]) -> str:
    return kernel([found.program], arrays_of(found, kinds), target, stochastic=found.stochastic)


def all_of(kind: str, stochastic: bool = False) -> list[tuple[Kernel, tuple[str, str, str]]]:
    return [(k, (kind, kind, kind)) for k in kernels(kind, stochastic=stochastic)]


def mixes() -> list[tuple[Kernel, tuple[str, str, str]]]:
    found = [k for k in kernels("float") if k.name in FEW]
    return [(k, kinds) for k in found for kinds in MIXED]


# What is compiled.

INSTRUCTION = re.compile(r"^\s+(?:@!?%\w+\s+)?([a-z]\w*(?:\.[\w:]+)*)", re.MULTILINE)


def read_ptx(ptx: str, found: Kernel, kinds: tuple[str, str, str]) -> None:
    """Fails where a kernel is not what it should be."""
    arrays = arrays_of(found, kinds)
    program, sizes = found.program, {"bfloat": 2, "half": 2, "float": 4, "double": 8}
    names = INSTRUCTION.findall(ptx)
    loads = [n for n in names if n.startswith("ld.global") and ".v" in n]
    stores = [n for n in names if n.startswith("st.global") and ".v" in n]
    for known, touched in ((loads, program.reads), (stores, program.writes)):
        widths = [sizes[dict(arrays)[n]] * lanes(arrays) for n in touched]
        # what is four bytes wide may be a vector or a word
        assert sum(w > 4 for w in widths) <= len(known) <= len(widths), (found.name, known)
        long = [n for n in known if re.search(r"v4\.b32|v2\.b64", n)]
        assert len(long) == widths.count(16), (found.name, known)
    space = {n.split(".")[1] for n in names if n.split(".")[0] in ("ld", "st")}
    assert space <= {"global", "param"}, (found.name, space)  # none local, none generic
    assert ".local" not in ptx
    assert "call" not in names
    assert not [n for n in names if "approx" in n or "ftz" in n], found.name
    # ptxas may join what is not told how to round
    loose = [n for n in names if re.fullmatch(r"(add|sub|mul|mad)\.f(16|32|64)", n)]
    assert loose == [], (found.name, loose)
    if "double" not in kinds:
        doubles = {n for n in names if ".f64" in n and not n.startswith(("ld.", "mov."))}
        assert doubles <= {"cvt.rn.f32.f64", "cvt.rzi.u32.f64"}, (found.name, doubles)
    assert ".maxntid 128" in ptx


def check_ptx(found, kinds, architecture) -> str:
    ptx = assembly_for(text_for(NVIDIA, found, kinds), NVIDIA.triple, architecture)
    assert f".target {architecture}" in ptx
    read_ptx(ptx, found, kinds)
    return ptx


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ptx_is_read(architecture):
    """Every rule in float32 for one of the three, a few rules in all dtypes for each."""
    every = all_of("float") if architecture == "sm_90" else []
    few = [x for k in KINDS for x in all_of(k, k == "bfloat") if x[0].name == "adam"]
    for found, kinds in [*every, *few, *mixes()[::5]]:
        check_ptx(found, kinds, architecture)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_all_ptx_is_read_and_assembled(architecture, kind, tmp_path):
    work = all_of(kind) + (all_of(kind, True) if kind == "bfloat" else [])
    for found, kinds in [*work, *(mixes() if kind == "float" else [])]:
        ptx = check_ptx(found, kinds, architecture)
        if assembler := ptxas():
            # beside float32, a register or two are put aside around the quotient's own routine
            assemble(assembler, ptx, architecture, tmp_path, most=0 if kind == "float" else 8)


def test_a_bad_kernel_is_noticed():
    """What the reading above is for is found where it is there."""
    found, kinds = next(x for x in all_of("float") if x[0].name == "adam")
    text = text_for(NVIDIA, found, kinds)
    narrowing = "%s0 = fptrunc double %s0.double to float"
    squared = "%s0.x = fmul double %s0.double, %s0.double\n  "
    near = "call afn <4 x float>"
    spoilt = {
        "loads of single elements": text.replace("align 16", "align 4"),
        "a product that may be joined": text.replace("fmul <", "fmul contract <"),
        "float64": text.replace(narrowing, squared + "%s0 = fptrunc double %s0.x to float"),
        "a root near enough": text.replace("= call <4 x float> @llvm.sqrt", f"= {near} @llvm.sqrt"),
    }
    for broken in spoilt.values():
        assert broken != text
        with pytest.raises(AssertionError):
            read_ptx(assembly_for(broken, NVIDIA.triple, "sm_80"), found, kinds)


def ptxas() -> str | None:
    """NVIDIA's assembler, where a wheel has brought it."""
    for package in ("nvidia.cuda_nvcc", "nvidia.cu13", "triton.backends.nvidia"):
        try:
            spec = find_spec(package)
        except ModuleNotFoundError:
            continue
        for folder in spec.submodule_search_locations or () if spec else ():
            file = Path(folder) / "bin" / "ptxas"
            if os.access(file, os.X_OK):
                return str(file)
    return None


def assemble(
    assembler: str, ptx: str, architecture: str, folder: Path, most: int = 0
) -> str:  # fmt: skip
    """What the assembler says of it; fails where it spills more bytes of registers than these."""
    (folder / "k.ptx").write_text(ptx)
    command = [assembler, "-v", f"--gpu-name={architecture}", "-o", "k.cubin", "k.ptx"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    put_aside = re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", done.stderr)
    assert len(put_aside) >= 3
    assert max(map(int, put_aside)) <= most, done.stderr
    return done.stderr


@pytest.mark.skipif(ptxas() is None, reason="nvidia-cuda-nvcc-cu12 is not installed")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_few_are_assembled(architecture, tmp_path):
    for found, kinds in all_of("float"):
        if found.name in FEW:
            ptx = check_ptx(found, kinds, architecture)
            said = assemble(ptxas() or "", ptx, architecture, tmp_path)
            registers = int(re.findall(r"Used (\d+) registers", said)[0])
            assert registers <= 96, (found.name, registers)


AMD_CPUS = ("gfx90a", "gfx942", "gfx1100")


def read_amd(text: str, found: Kernel) -> None:
    loads = re.findall(r"(?:global|flat|buffer)_load_(?:dwordx4|b128)", text)
    stores = re.findall(r"(?:global|flat|buffer)_store_(?:dwordx4|b128)", text)
    assert len(loads) == len(found.program.reads), found.name
    assert len(stores) == len(found.program.writes), found.name
    for unwanted in ("private_segment_fixed_size", "vgpr_spill_count", "sgpr_spill_count"):
        assert set(re.findall(rf"\.{unwanted}:\s+(\d+)", text)) == {"0"}, (found.name, unwanted)
    assert "s_swappc" not in text  # a call
    assert ("v_div_fixup" in text) == ("v_rcp" in text)  # no quotient is left as a first guess


@pytest.mark.parametrize("cpu", AMD_CPUS)
def test_code_for_amd_is_read(cpu):
    for found, kinds in all_of("float"):
        if found.name in FEW:
            read_amd(assembly_for(text_for(AMD, found, kinds), AMD.triple, cpu), found)


@pytest.mark.slow
@pytest.mark.parametrize("cpu", AMD_CPUS)
def test_all_code_for_amd_is_read(cpu):
    for found, kinds in all_of("float") + all_of("bfloat"):
        read_amd(assembly_for(text_for(AMD, found, kinds), AMD.triple, cpu), found)


# What it computes.

SIZES = (1, 37, 4096, 5000)
"""Lengths: below a vector, with a rest, a whole block, more than a block."""


def numbers(found: Kernel, kinds: tuple[str, str, str], off: int) -> list[list[np.ndarray]]:
    """Tensors of every length, ordinary and special numbers; the address ``off`` elements on."""
    made, given = [], found.numbers()
    for size in SIZES:
        tensor = []
        for values, (_, kind) in zip(given, arrays_of(found, kinds), strict=True):
            width = {"bfloat": 2, "half": 2, "float": 4, "double": 8}[found.kind]
            assert values.dtype.itemsize == width
            plain = np.resize(values.view(np.float32 if width == 4 else values.dtype), size)
            bits = (
                bits_of(plain.astype(np.float64), kind) if width == 4 else np.resize(values, size)
            )
            memory = np.zeros(size * bits.itemsize + 64, np.uint8)
            at = -memory.ctypes.data % 16 + off * bits.itemsize
            own = memory[at : at + size * bits.itemsize].view(bits.dtype)
            own[:] = bits
            tensor.append(own)
        made.append(tensor)
    return made


def on_the_cpu(found: Kernel, kinds, tensors, row) -> None:
    arrays = arrays_of(found, kinds)
    text = lower(found.program, arrays, fma=True, stochastic=found.stochastic)
    (address,) = jit().compile(text, "update")
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function = ctypes.CFUNCTYPE(None, pointer, pointer, number, number, pointer)(address)
    for tensor in tensors:
        addresses = (ctypes.c_void_p * len(tensor))(*(a.ctypes.data for a in tensor))
        function(addresses, row.ctypes.data, 0, tensor[0].size, None)


def check_bits(found: Kernel, kinds: tuple[str, str, str]) -> None:
    """Two rows, tensors that lie straight and such that do not: all in one launch."""
    n = len(found.program.scalars)
    rows = [found.row, found.row * 0.75]
    if found.stochastic:
        rows[1][n] = 12345.0
    start, apart, together = (
        [t for off in (0, 1, 0) for t in numbers(found, kinds, off)] for _ in range(3)
    )
    each = len(SIZES)
    on_the_cpu(found, kinds, apart[: 2 * each], rows[0])
    on_the_cpu(found, kinds, apart[2 * each :], rows[1])
    noises = [row[n] if found.stochastic else 0.0 for row in rows]
    table = [[0.0, noise, *row[:n]] for row, noise in zip(rows, noises, strict=True)]
    text = text_for(HOST, found, kinds)
    simulated.run(text, together, table, [0] * 2 * each + [1] * each)
    changed = 0
    for k, (there, here) in enumerate(zip(apart, together, strict=True)):
        for (name, kind), a, b in zip(arrays_of(found, kinds), there, here, strict=True):
            a, b = without_nans_bits(a, kind), without_nans_bits(b, kind)
            assert np.array_equal(a, b), (found.name, kinds, name, k, np.flatnonzero(a != b)[:9])
        changed += bool((here[0] != start[k][0]).any())
    assert changed > len(start) // 2, found.name


@pytest.mark.skipif(not jit().fma or not jit().half, reason="this CPU has no such instructions")
class TestBits:
    def test_a_few_rules(self):
        work = [x for x in all_of("float") if x[0].name in FEW]
        adam = [x for kind in KINDS[1:] for x in all_of(kind, kind == "bfloat")] + mixes()[::2]
        for found, kinds in [*work, *(x for x in adam if x[0].name == "adam")]:
            check_bits(found, kinds)

    @pytest.mark.slow
    def test_every_rule_in_every_dtype(self):
        work = [x for kind in KINDS for x in all_of(kind)] + all_of("bfloat", True) + mixes()
        for found, kinds in work:
            check_bits(found, kinds)


@pytest.mark.parametrize("begin", [1 << 31, (1 << 32) + 4096, 1 << 40])
def test_lengths_beyond_what_32_bits_count(begin):
    """The last block of a tensor too large for this machine: that part alone of it exists."""
    found, kinds = next(x for x in all_of("float") if x[0].name == "adam")
    there, here = (numbers(found, kinds, 0)[1] for _ in range(2))
    on_the_cpu(found, kinds, [there], found.row)
    size = there[0].size
    segments = np.array([[begin + size, 0, *(a.ctypes.data - 4 * begin for a in here)]], np.int64)
    blocks = np.array([begin // CHUNK], np.int64)
    table = np.array([[0.0, 0.0, *found.row]])
    text = text_for(HOST, found, kinds)
    simulated.launch(text, [a.ctypes.data for a in (segments, blocks, table)], 1)
    for a, b in zip(there, here, strict=True):
        a, b = without_nans_bits(a, "float"), without_nans_bits(b, "float")
        assert np.array_equal(a, b)


def test_what_is_computed_otherwise_is_noticed():
    found, kinds = next(x for x in all_of("float") if x[0].name == "adam")
    text = text_for(HOST, found, kinds)
    tensors = [numbers(found, kinds, 0) for _ in (0, 1)]
    row = [0.0, 0.0, *found.row]
    simulated.run(text, tensors[0], [row], [0] * len(SIZES))
    simulated.run(text.replace("fsub", "fadd"), tensors[1], [row], [0] * len(SIZES))
    assert any((a[0] != b[0]).any() for a, b in zip(*tensors, strict=True))


def test_a_row_says_which_of_several_programs_serves():
    """RAdam before and after its variance can be trusted, and a row that serves nothing."""
    rule, found = RULES["radam"], next(k for k in kernels("float") if k.name == "radam")
    both = [trace(rule, rule.hypers, step=step, first=False) for step in (2, 50)]
    kinds, rows = ("float", "float", "float"), []
    for which, program in enumerate(both):
        row = program.row(step := (2, 50)[which], False, *rule.hypers.values())
        rows.append([float(which), 0.0, *row[: len(program.scalars)]])
        assert program.row(52 - step, False, *rule.hypers.values()) is None
    rows.append([-1.0, 0.0])
    tensors = [numbers(found, kinds, 0)[3] for _ in rows]
    simulated.run(kernel(both, arrays_of(found, kinds), HOST), tensors, rows, [0, 1, 2])
    alone = [numbers(found, kinds, 0)[3] for _ in both]
    for tensor, program, row in zip(alone, both, rows, strict=False):
        text = kernel([program], arrays_of(found, kinds), HOST)
        simulated.run(text, [tensor], [row], [0])
    for a, b in zip(tensors, [*alone, numbers(found, kinds, 0)[3]], strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(tensors[0][0], tensors[1][0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_several_programs_are_one_kernel_each_of_whose_parts_loads_vectors(architecture):
    rule = RULES["radam"]
    both = [trace(rule, rule.hypers, step=step, first=False) for step in (2, 50)]
    arrays = tuple((n, "float") for n in ("param", "grad", *both[0].live_state))
    ptx = assembly_for(kernel(both, arrays, NVIDIA), NVIDIA.triple, architecture)
    names = INSTRUCTION.findall(ptx)
    wide = [n for n in names if re.fullmatch(r"ld\.global\.(v4\.b32|v2\.b64)", n)]
    assert len(wide) == 8
    assert ptx.count(".entry") == 1
    assert "call" not in names
