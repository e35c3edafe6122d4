"""The machines that kernels are written for: how each of them says who a thread is."""

from __future__ import annotations

from dataclasses import dataclass

THREADS = 128
"""Threads in a block."""


@dataclass(frozen=True)
class Target:
    """A kind of GPU, as LLVM's assembly has to know it.

    Attributes:
        triple: LLVM's name of it.
        kernel: what stands before a function that the host starts.
        attributes: what stands behind it; a block has :data:`THREADS` threads.
        block, thread: the functions that give the number of the block, and of the thread in it.
        own: text that a module begins with, in place of declarations of the two.
        flags: text that a module ends with.
        barrier: lines by which the threads of a block wait for one another.
        barriers: declarations for these.
        scope: what stands in a fence or an atomic operation of all threads of the GPU.
    """

    triple: str
    kernel: str
    attributes: str
    block: str
    thread: str
    own: str = ""
    flags: str = ""
    barrier: tuple[str, ...] = ()
    barriers: tuple[str, ...] = ()
    scope: str = ""


NVIDIA = Target(
    "nvptx64-nvidia-cuda", "ptx_kernel", f'"nvvm.maxntid"="{THREADS}"',
    "llvm.nvvm.read.ptx.sreg.ctaid.x", "llvm.nvvm.read.ptx.sreg.tid.x",
    barrier=("  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)",),
    barriers=("declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)",),
    scope=' syncscope("device")',
)  # fmt: skip
AMD = Target(
    "amdgcn-amd-amdhsa", "amdgpu_kernel",
    f'"amdgpu-flat-work-group-size"="{THREADS},{THREADS}"',
    "llvm.amdgcn.workgroup.id.x", "llvm.amdgcn.workitem.id.x",
    # Version 5 of code objects, which every ROCm 6 loads; newer LLVMs would write version 6.
    flags='!llvm.module.flags = !{!1}\n!1 = !{i32 1, !"amdhsa_code_object_version", i32 500}',
    barrier=(
        '  fence syncscope("workgroup") release',
        "  call void @llvm.amdgcn.s.barrier()",
        '  fence syncscope("workgroup") acquire',
    ),
    barriers=("declare void @llvm.amdgcn.s.barrier()",),
    scope=' syncscope("agent")',
)  # fmt: skip
