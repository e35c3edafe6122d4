"""Other machines: what is compiled for them is read, and run where an emulator is installed."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from kernels import COUNT, PIECES, Kernel, kernels, run_here, summing, without_nans_bits

from slalom.backends.llvm.compile import assembly_for, object_for
from slalom.backends.llvm.dense import text_of
from slalom.backends.llvm.jit import jit

PLATFORMS = {  # triple, CPU, whether it multiplies and adds in one rounding and turns float16
    "aarch64-linux": ("aarch64-unknown-linux-gnu", "", True),
    "arm64-apple": ("arm64-apple-macosx11", "apple-m1", True),
    "x86_64-windows": ("x86_64-pc-windows-msvc", "x86-64-v3", True),
    "x86_64-windows, in process": ("x86_64-pc-windows-msvc-elf", "x86-64-v3", True),
    "x86_64-linux, the oldest": ("x86_64-unknown-linux-gnu", "x86-64", False),
}
KINDS = ("float", "double", "bfloat", "half")

_CALL = re.compile(
    r"^\s+(?:call[lq]?|jmp|bl?|blr|cbn?z\s+\w+,|\.globl)\s+([\w.$?@\"-]+)", re.MULTILINE
)
_LABEL = re.compile(r"^\"?([\w.$?@-]+)\"?:", re.MULTILINE)
_REGISTER = re.compile(r"^(?:[xw]\d+|\*?%?r[a-z0-9]+)$")
_LINKED_WITH = {"_fltused", "@feat.00"}
"""What Windows' object files tell their linker, and nobody calls."""


def undefined(assembly: str) -> set[str]:
    """The symbols that this text jumps to, or asks for, and does not define."""
    asked = {name.strip('"').removesuffix("@PLT") for name in _CALL.findall(assembly)}
    return {n for n in asked - set(_LABEL.findall(assembly)) if not _REGISTER.match(n)}


def vectors(assembly: str, double: bool) -> int:
    """How many instructions compute on whole vectors of floats or doubles."""
    lanes, packed = ("2d", "pd") if double else ("4s", "ps")
    arm = rf"f\w+(?:\.{lanes}\s|\s+v\d+\.{lanes})"
    intel = rf"v?(?:fn?m)?(?:add|sub|mul|div|sqrt|max|min|and|or|xor|blendv|cmp)\w*{packed}\s"
    return len(re.findall(rf"^\s+(?:{arm}|{intel})", assembly, re.MULTILINE))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_loop_is_vectorised_and_calls_nothing(platform, kind):
    triple, cpu, modern = PLATFORMS[platform]
    if kind == "half" and not modern:
        pytest.skip("float16 goes the second way there")
    if "in process" in platform and kind != "float":
        pytest.skip("but for how it is linked it is the code of x86_64-windows")
    for kernel in kernels(kind) + (kernels(kind, stochastic=True) if kind == "bfloat" else []):
        text = assembly_for(kernel.text(fma=modern), triple, cpu)
        assert undefined(text) <= _LINKED_WITH, kernel.name
        assert vectors(text, kind == "double"), kernel.name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_sweep_is_vectorised_and_calls_nothing(platform, kind):
    triple, cpu, modern = PLATFORMS[platform]
    if kind == "half" and not modern:
        pytest.skip("float16 goes the second way there")
    found = summing(kind)
    assert {"lamb", "factored_adafactor"} <= found.keys()
    if kind == "bfloat":
        by_chance = summing(kind, stochastic=True)
        found |= {f"{n}, by chance": by_chance[n] for n in ("lamb", "factored_adafactor")}
    for name, written in found.items():
        text = assembly_for(written(modern), triple, cpu)
        assert undefined(text) <= _LINKED_WITH, name
        assert vectors(text, kind == "double"), name
        assert vectors(text, double=True), name  # the sums


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
def test_jobs_on_matrices_call_nothing_and_multiply_and_add_vectors(platform):
    triple, cpu, modern = PLATFORMS[platform]
    shape = (8, 2) if modern and "x86" in platform else (4, 4 if modern else 2)
    text = assembly_for("\n".join(text_of(*shape, fused=modern)), triple, cpu)
    assert undefined(text) <= _LINKED_WITH
    each = len(re.findall(r"\s(?:fmla|vfn?madd\w*ps|mulps)[.\s]", text))
    assert each >= 13 * 2 * shape[1]  # the tiles of 6, 4, 2 and 1 rows


def test_what_is_not_there_is_noticed():
    """On the oldest CPU float16 and multiply-adds in one rounding call libraries."""
    triple, cpu, _ = PLATFORMS["x86_64-linux, the oldest"]
    half, adam = kernels("half")[0], next(k for k in kernels("float") if k.name == "adam")
    called = undefined(assembly_for(half.text(fma=False), triple, cpu))
    assert called == {"__extendhfsf2", "__truncsfhf2"}
    assert undefined(assembly_for(adam.text(fma=True), triple, cpu)) == {"fmaf"}


def test_what_is_not_vectorised_is_noticed():
    triple, cpu, _ = PLATFORMS["aarch64-linux"]
    text = kernels("float")[0].text(fma=True)
    ordered = re.sub(r"load (\w+), (.*align)", r"load volatile \1, \2", text)
    assert vectors(assembly_for(text, triple, cpu), double=False)
    assert not vectors(assembly_for(ordered, triple, cpu), double=False)


def driver() -> str:
    return resources.files("slalom.backends.llvm").joinpath("driver.ll").read_text()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_driver_calls_only_what_it_is_given(platform):
    triple, cpu, _ = PLATFORMS[platform]
    text = assembly_for(driver(), triple, cpu)
    assert undefined(text) <= _LINKED_WITH
    assert {"gather", "_gather"} & set(_LABEL.findall(text))


COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"

MAIN = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
typedef void Update(void **, const double *, int64_t, int64_t, double *);
%(declarations)s
static Update *const updates[] = {%(names)s};
static void get(void *at, size_t n) { if (n && fread(at, n, 1, stdin) != 1) exit(3); }
int main(void) {
    for (int64_t k = 0; k < (int64_t)(sizeof updates / sizeof *updates); k++) {
        int64_t head[3]; get(head, sizeof head);      /* arrays, bytes of each, scalars */
        double *row = calloc(head[2] + 1, sizeof *row); get(row, head[2] * sizeof *row);
        void *arrays[8]; if (head[0] > 8) exit(4);
        for (int64_t a = 0; a < head[0]; a++) get(arrays[a] = malloc(head[1]), head[1]);
        %(calls)s
        for (int64_t a = 0; a < head[0]; a++) fwrite(arrays[a], head[1], 1, stdout);
    }
    return 0;
}
"""


def emulated(found: list[Kernel], folder: Path, fma: bool) -> list[list[np.ndarray]]:
    """The arrays of each kernel after an emulated aarch64 has run it: one program for all."""
    names, given = [f"update_{k}" for k in range(len(found))], b""
    for name, kernel in zip(names, found, strict=True):
        text = kernel.text(fma).replace("@update(", f"@{name}(")
        code = object_for(text, "aarch64-unknown-linux-gnu")
        (folder / f"{name}.o").write_bytes(code)
        arrays = kernel.numbers()
        given += struct.pack("<3q", len(arrays), arrays[0].nbytes, len(kernel.row))
        given += kernel.row.tobytes() + b"".join(a.tobytes() for a in arrays)
    objects = [f"{name}.o" for name in names]
    listed = subprocess.run(
        [COMPILER.replace("gcc", "nm"), "--undefined-only", *objects],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert " U " not in listed.stdout
    calls = " ".join(f"updates[k](arrays, row, {a}, {b}, 0);" for a, b in PIECES)
    declarations = "\n".join(f"Update {name};" for name in names)
    main, program = folder / "main.c", folder / "program"
    main.write_text(
        MAIN % {"declarations": declarations, "names": ", ".join(names), "calls": calls}
    )
    subprocess.run(
        [COMPILER, "-static", "-O1", "-o", program.name, main.name, *objects],
        cwd=folder, check=True, timeout=120,
    )  # fmt: skip
    done = subprocess.run(
        [EMULATOR, str(program)], input=given, capture_output=True, check=True, timeout=120
    )
    results, at = [], 0
    for kernel in found:
        arrays = kernel.numbers()
        for i, array in enumerate(arrays):
            arrays[i] = np.frombuffer(done.stdout, array.dtype, COUNT, at)
            at += array.nbytes
        results.append(arrays)
    assert at == len(done.stdout)
    return results


@pytest.mark.skipif(
    not (shutil.which(COMPILER) and shutil.which(EMULATOR)),
    reason="Debian's gcc-aarch64-linux-gnu and qemu-user-static are not installed",
)
def test_aarch64_computes_what_this_machine_does_to_the_bit(tmp_path):
    here = jit()
    kinds = [k for k in KINDS if k != "half" or here.half]
    found = [kernel for kind in kinds for kernel in kernels(kind)]
    found += kernels("bfloat", stochastic=True)
    changed = 0
    for kernel, there in zip(found, emulated(found, tmp_path, here.fma), strict=True):
        (address,) = here.compile(kernel.text(here.fma), "update")
        for name, a, b in zip(kernel.arrays, run_here(address, kernel), there, strict=True):
            a, b = (without_nans_bits(x, kernel.kind) for x in (a, b))
            different = np.flatnonzero(a != b)
            assert not different.size, (kernel.name, kernel.kind, name, different, a[different])
        changed += bool((there[0] != kernel.numbers()[0]).any())
    assert changed == len(found)
