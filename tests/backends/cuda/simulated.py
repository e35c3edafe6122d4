"""Kernels on this machine: the text that GPUs are given, run block by block, thread by thread."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from slalom.backends.base import BEFORE
from slalom.backends.cuda.kernel import AHEAD, CHUNK
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.jit import jit
from slalom.backends.llvm.load import llvm

HOST = Target(
    "", "", "alwaysinline", "slalom.block", "slalom.thread",
    """
@block.now = internal global i32 0
@thread.now = internal global i32 0
define internal i32 @slalom.block() alwaysinline {
  %v = load i32, ptr @block.now
  ret i32 %v
}
define internal i32 @slalom.thread() alwaysinline {
  %v = load i32, ptr @thread.now
  ret i32 %v
}
""",
)  # fmt: skip
"""This machine as a target: numbers of block and thread stand in memory."""


FORWARDS = [False]
"""Whether the first block is run first."""


def everywhere(functions: Sequence[str], many: int) -> str:
    """A function that starts a kernel for every thread of so many blocks, the last first.

    Or the first, by :data:`FORWARDS`: the order of blocks is any. ``functions`` are its phases, of
    ``many`` pointers: all threads of a block do one after another.
    """
    given = ", ".join(f"ptr addrspace(1) %g{i}" for i in range(many))
    lines = [f"define void @everywhere({', '.join(f'ptr %p{i}' for i in range(many))}, i32 %n) {{"]
    lines += ["entry:"]
    lines += [f"  %g{i} = addrspacecast ptr %p{i} to ptr addrspace(1)" for i in range(many)]
    lines += [
        "  br label %block",
        "block:",
        "  %i.after = phi i32 [ %n, %entry ], [ %i, %next ]",
        "  %i = sub i32 %i.after, 1",
        "  %some = icmp sge i32 %i, 0",
        "  %behind = sub i32 %n, %i.after",
        f"  %now = select i1 {'true' if FORWARDS[0] else 'false'}, i32 %behind, i32 %i",
        "  br i1 %some, label %phase.before.0, label %done",
    ]
    for k, function in enumerate(functions):
        then = "next" if k == len(functions) - 1 else f"phase.before.{k + 1}"
        lines += [
            f"phase.before.{k}:",
            f"  br label %phase.{k}",
            f"phase.{k}:",
            f"  %t.{k} = phi i32 [ 0, %phase.before.{k} ], [ %t.next.{k}, %phase.{k} ]",
            "  store i32 %now, ptr @block.now",
            f"  store i32 %t.{k}, ptr @thread.now",
            f"  call void @{function}({given})",
            f"  %t.next.{k} = add i32 %t.{k}, 1",
            f"  %more.{k} = icmp slt i32 %t.next.{k}, {THREADS}",
            f"  br i1 %more.{k}, label %phase.{k}, label %{then}",
        ]
    return "\n".join([*lines, "next:", "  br label %block", "done:", "  ret void", "}", ""])


def launch(text: str, given: Sequence[int], n: int) -> None:
    """Run a kernel, written for :data:`HOST`, on ``n`` blocks; ``given`` are addresses."""
    phases = sorted(set(re.findall(r"@(phase\.\d+)\(", text)), key=lambda name: int(name[6:]))
    text += everywhere(phases or ["update"], len(given))
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(given), ctypes.c_int32)
    kind(_compiled(text))(*given, n)


@cache
def _compiled(text: str) -> int:
    """The address of ``everywhere``; quickly made, so that many kernels can be run."""
    binding = llvm()
    jit()  # what starts LLVM here
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(),
        opt=1, codemodel="jitdefault", jit=True,
    )  # fmt: skip
    module = binding.parse_assembly(text)
    module.verify()
    options = binding.create_pipeline_tuning_options(speed_level=1)
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    linker = binding.create_lljit_compiler(machine)
    builder = binding.JITLibraryBuilder().add_ir(module)
    library = builder.export_symbol("everywhere").link(linker, "simulated")
    _ALIVE.extend((linker, library))
    return library["everywhere"]


_ALIVE: list[Any] = []


def run(text: str, tensors: list[list[np.ndarray]], rows: list[list[float]], of: list[int]) -> None:
    """Update tensors in place: of each its arrays; ``of`` says which of the rows each has."""
    segments = np.array(
        [[t[0].size, row, *(a.ctypes.data for a in t)] for t, row in zip(tensors, of, strict=True)],
        np.int64,
    )
    assert segments.shape[1] == AHEAD + len(tensors[0])
    chunks = [(i << 32) | c for i, t in enumerate(tensors) for c in range(-(-t[0].size // CHUNK))]
    blocks = np.array(chunks, np.int64)
    longest = max(map(len, rows))
    table = np.array([[*row, *[0.0] * (longest - len(row))] for row in rows], np.float64)
    assert table.shape[1] >= BEFORE
    launch(text, [a.ctypes.data for a in (segments, blocks, table)], len(blocks))
