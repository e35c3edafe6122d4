"""What this machine is for training: measured bandwidth and arithmetic, and which limits it."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from functools import partial

import torch

from slalom import optim
from slalom.bench.clock import interleaved
from slalom.racing.machine import cores, processor
from slalom.report.table import wrapped
from slalom.version import __version__

ELEMENTS, SIDE, ROUNDS = 25_000_000, 1024, 5
"""Elements of the arrays that are moved, the side of the matrices, and turns of each."""

SIMD = ("avx512f", "avx2", "avx", "sve", "neon", "sse4.2")
"""Instructions on many numbers at once, the widest first, by LLVM's names."""


@dataclass(frozen=True)
class Measured:
    """What was measured here, with all of torch's threads.

    Attributes:
        bandwidth: bytes a second of ``a.add_(b)``, which reads two arrays and writes one.
        alone: the same with one thread.
        arithmetic: float32 operations a second of a product of two square matrices.
        adam: seconds of a step of Adam on :data:`ELEMENTS` parameters.
        torchs: the same by ``torch.optim.Adam`` as it comes.
    """

    bandwidth: float
    alone: float
    arithmetic: float
    adam: float
    torchs: float

    @property
    def batch(self) -> float:
        """Samples in a batch at which a dense layer's passes take as long as Adam's update of it:
        6 operations a weight and sample in both passes, and the update's seconds a weight."""
        return self.adam / ELEMENTS * self.arithmetic / 6


def measure(elements: int = ELEMENTS, side: int = SIDE, rounds: int = ROUNDS) -> Measured:
    """Measure; takes some seconds and 400 MB."""
    a, b = torch.zeros(elements), torch.ones(elements)
    left, right = torch.randn(side, side), torch.randn(side, side)

    def step(made: type[torch.optim.Optimizer]):
        parameter = torch.nn.Parameter(torch.zeros(elements))
        parameter.grad = b
        return made([parameter], lr=1e-3).step  # type: ignore[call-arg]

    def alone() -> None:
        torch.set_num_threads(1)
        try:
            a.add_(b)
        finally:
            torch.set_num_threads(threads)

    threads = torch.get_num_threads()
    seconds = interleaved(
        {
            "add_": partial(a.add_, b), "alone": alone, "product": partial(torch.mm, left, right),
            "adam": step(optim.Adam), "torchs": step(torch.optim.Adam),
        },
        rounds=rounds, turn=0.05,
    )  # fmt: skip
    scale = ELEMENTS / elements
    return Measured(
        12 * elements / seconds["add_"], 12 * elements / seconds["alone"],
        2 * side**3 / seconds["product"], seconds["adam"] * scale, seconds["torchs"] * scale,
    )  # fmt: skip


def facts() -> dict[str, str]:
    """What is here, without measuring."""
    compiled, simd = _machine_code()
    return {
        "processor": f"{processor()}, {cores()} cores to use",
        "threads": f"{torch.get_num_threads()} of torch's",
        "SIMD": simd,
        "machine code": compiled,
        "GPU": _gpu(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "versions": f"slalom {__version__}, python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }


def findings(found: Measured) -> list[str]:
    """What limits training here, a sentence each, of what was measured."""
    told = [
        "Adam's update of a dense layer takes as long as both passes over it at "
        f"{found.batch:,.0f} samples a batch; with fewer, memory limits training, and with more, "
        "arithmetic does.",
        f"Adam's step is {found.torchs / found.adam:.1f} times as fast by slalom.optim as by "
        "torch.optim's default.",
    ]
    gain = found.bandwidth / found.alone
    if torch.get_num_threads() > 1:
        told.append(
            f"All threads move {gain:.1f} times what one does"
            + ("; one alone fills the memory's bandwidth." if gain < 1.2 else ".")
        )
    if torch.get_num_threads() < cores():
        told.append(
            f"torch uses {torch.get_num_threads()} threads of {cores()} cores; "
            "torch.set_num_threads or OMP_NUM_THREADS changes that."
        )
    return told


def main() -> None:
    """Print what is here, what was measured, and what limits training."""
    for name, value in facts().items():
        print(f"{name:14}{value}", flush=True)
    found = measure()
    gb = 1e9
    print(f"{'bandwidth':14}{found.bandwidth / gb:.1f} GB/s, {found.alone / gb:.1f} by one thread")
    print(f"{'arithmetic':14}{found.arithmetic / gb:,.0f} GFLOP/s, float32")
    print(f"{'Adam':14}{found.adam * 1e3:.1f} ms a step on 25M parameters; "
          f"torch.optim's {found.torchs * 1e3:.1f} ms\n")  # fmt: skip
    for sentence in findings(found):
        print("\n".join(wrapped(sentence, shutil.get_terminal_size().columns)))


def _machine_code() -> tuple[str, str]:
    """Whether updates run as machine code here, and the widest instructions there are."""
    from slalom.backends.llvm.load import may_execute

    try:
        from llvmlite import binding

        features = binding.get_host_cpu_features()
    except Exception as error:
        return f"none, llvmlite does not load: {error}", "unknown"
    simd = next((name for name in SIMD if features.get(name)), "none that is known")
    if not may_execute():
        return "none, the system forbids memory that is executed; torch's operations serve", simd
    version = ".".join(map(str, binding.llvm_version_info))
    return f"by LLVM {version}", simd


def _gpu() -> str:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return f"{', '.join(names)}; updates run there by torch's operations"
    if torch.backends.mps.is_available():
        return "Apple's, by torch's operations"
    return "none that torch sees"
