"""Everything about Slalom on a GPU, in one call of less than ten minutes.

    PYTHONPATH=src python benchmarks/gpu.py [--out gpu.json] [--minutes 9]

First whether it is right (every rule and dtype against float64, streams, layouts, clipping, graphs,
memory that runs out), then how fast, all contenders taking turns: CUDA events and the host's time,
against the rate of a copy. When the time is over it tells what it has and ends, wherever it is.
Asks for torch, NumPy and llvmlite alone; apex and bitsandbytes take part where they are installed.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import math
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

MISSING = [n for n in ("torch", "numpy", "llvmlite") if importlib.util.find_spec(n) is None]
if MISSING:
    sys.exit(f"{' and '.join(MISSING)} must be installed for this: pip install {' '.join(MISSING)}")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import slalom.optim  # noqa: E402
from slalom.backends import BACKENDS  # noqa: E402
from slalom.backends.cuda.sums import refused  # noqa: E402
from slalom.ir.program import crosses, multiplies, trace  # noqa: E402
from slalom.optim.explain import explain  # noqa: E402
from slalom.rules import RULES  # noqa: E402
from slalom.rules.definition import REQUIRED  # noqa: E402

Shapes = list[tuple[int, ...]]
DTYPES = {torch.float32: 2e-6, torch.float64: 1e-8, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""How far a parameter may be from float64's after a few steps, as a share of the largest.

Numbers that are kept for a whole parameter are float32, as torch's are."""

UNDERFLOWS = [("MARS", torch.float16)]
"""It clips gradients to a norm of 1, and their squares are next to nothing in float16."""

CLASSES = {
    name: found
    for name in slalom.optim.__all__
    if hasattr(found := getattr(slalom.optim, name), "rule")
}
ALONE = {n: found for n, found in CLASSES.items() if n != "SOAP" and not crosses(found.rule)}
"""All but those that ask all tensors together, which no reference does for one of them, and SOAP,
which turns to a basis that rounding chooses where a gradient has fewer rows than columns."""


# Whether it is right.

LENGTHS: Shapes = [(5000,), (33, 5), (), (3,), (1 << 17,)]


def reference(rule: Any, start: Tensor, grads: list[Tensor], lr: float) -> Tensor:
    """The parameter after these gradients, by the rule's own function in float64."""
    hypers = {**rule.hypers, "lr": lr}
    param = start.double()
    state: list[Any] = [
        begin
        if name in rule.numbers
        else param.new_full(rule.shape(name, param.shape, hypers), begin)
        for name in rule.arguments
        for begin in [rule.start(name, hypers)]
    ]
    for i, grad in enumerate(grads):
        clock = {"step": i + 1} if rule.takes_step else {}
        clock |= {"first": i == 0} if rule.takes_first else {}
        results = rule(param, grad.double(), *state, **hypers, **clock)
        param, *state = results if isinstance(results, tuple) else (results,)
    return param


def distance(a: Tensor, b: Tensor) -> float:
    a, b = a.detach().double().cpu(), b.double().cpu()
    return 0.0 if torch.equal(a, b) else ((a - b).abs().max() / b.abs().max()).item()


def precisely(made: Any) -> dict[str, Any]:
    """Options by which a class multiplies matrices as precisely as it computes all else."""
    return {"ns_dtype": "float32"} if "ns_dtype" in made.rule.hypers else {}


def serves(rule: Any, device: str) -> str:
    """The name of the backend that is to serve a rule's parameters there."""
    hypers = {n: 1.0 if d is REQUIRED else d for n, d in rule.hypers.items()}
    program = trace(rule, hypers, step=2, first=False)
    if multiplies(rule):
        return "foreach"
    takes = (
        b for b in BACKENDS
        if b.device in (None, device) and b.sums >= program.sums
        and not (b.captures and program.sums and refused(program))
    )  # fmt: skip
    return next(takes).name


def check_rule(name: str, dtype: torch.dtype, device: str, steps: int = 7) -> float:
    """How far a rule's parameters are from float64's; the moves alone count, from a start of 1."""
    made, draws = CLASSES[name], torch.Generator().manual_seed(1)
    starts = [torch.randn(s, generator=draws).to(dtype) for s in LENGTHS]
    params = [nn.Parameter(s.to(device, copy=True)) for s in starts]
    grads = [[torch.randn(s, generator=draws).to(dtype) for s in LENGTHS] for _ in range(steps)]
    optimizer = made(params, lr=0.01, **precisely(made))
    for own in grads:
        for p, g in zip(params, own, strict=True):
            p.grad = g.to(device)
        optimizer.step()
    served = {row[3] for row in explain(optimizer).rows}
    # Which of the CPU's ways serves a rule is not for here.
    assert device == "cpu" or served == {serves(made.rule, device)}, f"served by {served}"
    return max(
        distance(p, reference(made.rule, s, list(g), 0.01))
        for p, s, g in zip(params, starts, zip(*grads, strict=True), strict=True)
    )


def check_mixture(device: str) -> None:
    """float32 parameters with bfloat16 and float16 gradients beside bfloat16 ones."""
    found, kinds = [], (torch.bfloat16, torch.float16, torch.bfloat16)
    for where in ("cpu", device):
        params = [nn.Parameter(torch.linspace(-1, 1, 4999).to(where)) for _ in range(3)]
        params[2].data = params[2].data.bfloat16()
        optimizer = slalom.optim.AdamW(params, lr=0.01)
        for k in range(3):
            for p, dtype in zip(params, kinds, strict=True):
                p.grad = None
                p.grad_dtype = dtype
                p.grad = torch.linspace(k, -1, 4999).to(where, dtype)
            optimizer.step()
        found.append([p.detach().cpu() for p in params])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def check_views(device: str) -> None:
    """Views into a bucket, crooked by one element, and gradients of another layout."""
    found = []
    for where in ("cpu", device):
        bucket = torch.linspace(-1, 1, 9000, device="cpu").to(where)
        whole, part = bucket[1:4097].view(64, 64), bucket[:24].view(2, 3, 2, 2)
        params = [nn.Parameter(whole.clone()), nn.Parameter(part.clone())]
        params[1].data = params[1].data.contiguous(memory_format=torch.channels_last)
        optimizer = slalom.optim.Adam(params, lr=0.01)
        for turned in (True, False, True):
            grad = bucket[3:4099].view(64, 64)
            params[0].grad = grad.t() if turned else grad
            params[1].grad = bucket[50:74].view(2, 3, 2, 2)
            optimizer.step()
        found.append([p.detach().cpu() for p in params])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def check_bits(device: str) -> None:
    """What the device computes is what the CPU does, to the bit: Adam over many steps."""
    found = []
    for where in ("cpu", device):
        param = nn.Parameter(torch.linspace(-1, 1, 100_003).to(where))
        optimizer = slalom.optim.Adam([param], lr=0.01, weight_decay=0.1)
        for k in range(50):
            param.grad = torch.linspace(-1, k, 100_003).to(where)
            optimizer.step()
        found.append(param.detach().cpu())
    assert torch.equal(*found)


def check_clipping(device: str) -> None:
    """``clip_norm`` and ``on_nonfinite`` against torch's own."""
    ours, theirs = (nn.Parameter(torch.ones(3000, device=device)) for _ in range(2))
    one, two = slalom.optim.SGD([ours], lr=0.1, clip_norm=1.0), torch.optim.SGD([theirs], lr=0.1)
    ours.grad, theirs.grad = (torch.linspace(-1, 2, 3000, device=device) for _ in range(2))
    one.step()
    nn.utils.clip_grad_norm_([theirs], 1.0)
    two.step()
    assert distance(ours, theirs) < 1e-6
    before = ours.detach().clone()
    skipping = slalom.optim.SGD([ours], lr=0.1, on_nonfinite="skip")
    ours.grad[7] = math.nan  # pyright: ignore[reportOptionalSubscript]
    skipping.step()
    assert torch.equal(before, ours)


def check_narrow(device: str) -> None:
    """States of 8 bits and parameters with a remainder are the CPU's, to the bit."""
    ways: list[dict[str, Any]] = [
        {"state_dtype": "8bit"}, {"state_dtype": "8bit", "rounding": "stochastic"},
        {"state_dtype": "8bit", "remainder": "exact"}, {"remainder": "kahan"},
    ]  # fmt: skip
    for options in ways:
        dtype, found = torch.bfloat16 if "remainder" in options else torch.float32, []
        for where in ("cpu", device):
            param = nn.Parameter(torch.linspace(-1, 1, 100_003).to(where, dtype))
            optimizer = slalom.optim.Adam([param], lr=0.01, **options)
            for k in range(5):
                param.grad = torch.linspace(-1, k, 100_003).to(where, dtype)
                optimizer.step()
            found.append([t.cpu() for t in (param.detach(), *optimizer.state[param].values())])
        served = {row[3] for row in explain(optimizer).rows}
        assert device == "cpu" or served == {serves(optimizer.rule, device)}, f"by {served}"
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True)), options


def check_narrow_sums(device: str) -> None:
    """The same of rules that sum, near the CPU's."""
    ways: list[tuple[str, dict[str, Any]]] = [
        ("LAMB", {"state_dtype": "8bit"}), ("StableAdamW", {"remainder": "exact"}),
        ("LARS", {"remainder": "kahan", "state_dtype": "8bit"}),
    ]  # fmt: skip
    for name, options in ways:
        dtype, found = torch.bfloat16 if "remainder" in options else torch.float32, []
        for where in ("cpu", device):
            param = nn.Parameter(torch.linspace(-1, 1, 100_003).to(where, dtype))
            optimizer = CLASSES[name]([param], lr=0.01, **options)
            for k in range(5):
                param.grad = torch.linspace(-1, k, 100_003).to(where, dtype)
                optimizer.step()
            found.append(param.detach().cpu())
        served = {row[3] for row in explain(optimizer).rows}
        assert device == "cpu" or served == {serves(optimizer.rule, device)}, f"by {served}"
        assert distance(*found) <= DTYPES[dtype], f"{name} {options}"


def check_matrices(device: str) -> None:
    """Rules of rows and columns, over matrices of several tiles and such that fill no vector."""
    shapes: Shapes = [(70, 1100), (4100, 7), (3, 5000), (64, 3, 7, 7), (0, 5), (1, 9000)]
    for name in ("AdamMini", "FactoredAdafactor"):
        made, draws = CLASSES[name], torch.Generator().manual_seed(1)
        starts = [torch.randn(s, generator=draws) for s in shapes]
        grads = [[torch.randn(s, generator=draws) for s in shapes] for _ in range(3)]
        params = [nn.Parameter(s.to(device, copy=True)) for s in starts]
        optimizer = made(params, lr=0.01)
        for own in grads:
            for p, g in zip(params, own, strict=True):
                p.grad = g.to(device)
            optimizer.step()
        served = {row[3] for row in explain(optimizer).rows}
        assert device == "cpu" or served == {serves(made.rule, device)}, f"{name} by {served}"
        for k, (p, s) in enumerate(zip(params, starts, strict=True)):
            if s.numel():
                off = distance(p, reference(made.rule, s, [own[k] for own in grads], 0.01))
                assert off < DTYPES[torch.float32], f"{name} {tuple(s.shape)}: off by {off:.1e}"


def check_meeting(device: str) -> None:
    """Rules that ask all tensors together, of two dtypes, are the CPU's to rounding."""
    for name in (n for n, made in CLASSES.items() if crosses(made.rule)):
        found = []
        for where in ("cpu", device):
            draws = torch.Generator().manual_seed(1)
            starts = [torch.randn(s, generator=draws) for s in LENGTHS]
            starts += [s.bfloat16() for s in starts]
            params = [nn.Parameter(s.to(where, copy=True)) for s in starts]
            optimizer = CLASSES[name](params, lr=1.0)
            for _ in range(5):
                for p in params:
                    p.grad = torch.randn(p.shape, generator=draws).to(where, p.dtype)
                optimizer.step()
            served = {row[3] for row in explain(optimizer).rows}
            assert where == "cpu" or served == {serves(optimizer.rule, where)}, f"by {served}"
            found.append([p.detach().cpu() for p in params])
        for a, b in zip(*found, strict=True):
            off = distance(a, b)
            assert off <= DTYPES[a.dtype], f"{name} {a.dtype}: off by {off:.1e}"


def check_nothing_waits(device: str) -> None:
    """Steps that may be skipped, clipped ones and capturable ones never wait for the device."""
    ways: list[dict[str, Any]] = [
        {"clip_norm": 1.0}, {"on_nonfinite": "skip"}, {"capturable": True, "clip_norm": 1.0},
    ]  # fmt: skip
    for options in ways:
        params = [nn.Parameter(torch.ones(n, device=device)) for n in (5000, 33)]
        optimizer = slalom.optim.AdamW(params, lr=0.01, **options)
        for k in range(4):
            for p in params:
                p.grad = torch.full_like(p, math.nan if k == 2 else 1.0)
            if k == 2 and "on_nonfinite" not in options:
                continue
            if k and device != "cpu":
                torch.cuda.set_sync_debug_mode("error")
            try:
                optimizer.step()
            finally:
                if device != "cpu":
                    torch.cuda.set_sync_debug_mode("default")
        counts = {float(optimizer.state[p]["step"]) for p in params}
        assert counts == {3.0}, f"{options}: counted {counts}"
        assert all(bool(p.isfinite().all()) for p in params)


def check_streams(device: str) -> None:
    """Steps on a stream other than the default one, the tables being sent there."""
    if device == "cpu":
        return
    side, found = torch.cuda.Stream(), []
    for stream in (torch.cuda.current_stream(), side):
        param = nn.Parameter(torch.ones(1 << 20, device=device))
        optimizer = slalom.optim.Adam([param], lr=0.01)
        for k in range(20):
            with torch.cuda.stream(stream if k % 2 else torch.cuda.default_stream()):
                stream.wait_stream(torch.cuda.default_stream())
                param.grad = torch.full_like(param, float(k + 1))
                optimizer.step()
            torch.cuda.default_stream().wait_stream(stream)
        found.append(param.detach().cpu())
    assert torch.equal(*found)


def check_graph_is_refused(device: str) -> None:
    """A step whose counts are the host's must not be captured."""
    if device == "cpu":
        return
    param = nn.Parameter(torch.ones(100, device=device))
    optimizer = slalom.optim.Adam([param], lr=0.01)
    param.grad = torch.ones_like(param)
    optimizer.step()
    torch.cuda.synchronize()
    said = "nothing"
    try:
        with torch.cuda.graph(torch.cuda.CUDAGraph()):
            optimizer.step()
    except RuntimeError as error:
        said = str(error)
    assert "capturable" in said, f"the capture was not refused; {said} was said"


def check_graph(name: str, device: str) -> None:
    """Recorded steps count, read a new rate, and are what steps one by one are."""
    made, found = CLASSES[name], []
    treated = {"clip_norm": 1.0, "on_nonfinite": "skip", **precisely(made)}
    for recorded in (False, True) if device != "cpu" else (False, False):
        params = [nn.Parameter(torch.linspace(-1, 1, n, device=device)) for n in (5000, 33, 1)]
        optimizer = made(params, lr=0.01, capturable=True, **treated)
        lr = torch.tensor(0.01, device=device)
        optimizer.param_groups[0]["lr"] = lr
        for p in params:
            p.grad = torch.linspace(1, -2, p.numel(), device=device)
        for _ in range(3):
            optimizer.step()
        replay = _recorded(optimizer) if recorded else None
        for rate in (0.01, 0.02, 0.0, 0.03, 0.03, 0.01):
            lr.fill_(rate)
            if replay is not None:
                replay()
            else:
                optimizer.step()
                optimizer.step()
        steps = [torch.as_tensor(optimizer.state[p].get("step", 0.0)) for p in params]
        found.append([*params, *steps])
    for a, b in zip(*found, strict=True):
        assert distance(a, b) < 1e-6, "what was replayed is otherwise"


def _recorded(optimizer: Any) -> Callable[[], None]:
    """A graph of two steps, which is the second that is recorded."""
    for graph in (torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()):
        with torch.cuda.graph(graph):
            optimizer.step()
            optimizer.step()
    return graph.replay


def check_several_gpus(device: str) -> None:
    """Parameters on two GPUs are what they are on one, to the bit."""
    if device == "cpu" or torch.cuda.device_count() < 2:
        return
    for capturable in (False, True):
        found = []
        for places in (("cuda:0", "cuda:0"), ("cuda:0", "cuda:1")):
            params = [nn.Parameter(torch.linspace(-1, 1, 5000, device=d)) for d in places]
            optimizer = slalom.optim.Adam(params, lr=0.01, clip_norm=1.0, capturable=capturable)
            for k in range(3):
                for p in params:
                    p.grad = torch.linspace(-1, k, 5000, device=p.device)
                optimizer.step()
            found.append([p.detach().cpu() for p in params])
        assert all(map(torch.equal, *found)), f"capturable={capturable}"


def check_memory(device: str) -> None:
    """Memory that runs out while states are made leaves the optimizer as it was."""
    if device == "cpu":
        return
    param = nn.Parameter(torch.ones(1 << 26, device=device))
    param.grad = torch.ones_like(param)
    optimizer, told = slalom.optim.Adam([param], lr=0.01), False
    gc.collect()
    torch.cuda.empty_cache()
    _, whole = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved() / whole)
    try:
        optimizer.step()
    except torch.OutOfMemoryError:
        told = True
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert told, "there was memory for the states"
    assert not optimizer.state.get(param)
    assert bool((param == 1).all())
    optimizer.step()
    assert bool((param < 1).all())


CHECKS: list[Callable[[str], None]] = [
    check_mixture, check_views, check_bits, check_clipping, check_narrow, check_narrow_sums,
    check_matrices, check_meeting, check_nothing_waits, check_streams, check_graph_is_refused,
    check_several_gpus, check_memory,
]  # fmt: skip


def correctness(device: str, dtypes: Any = DTYPES, classes: Any = None) -> list[str]:
    """What is wrong; nothing if nothing is."""
    wrong = []

    def tried(what: str, check: Callable[[], Any]) -> Any:
        try:
            return check()
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {str(error)[:300]}")
            return 0.0

    for name in classes or ALONE:
        for dtype in dtypes:
            if (name, dtype) in UNDERFLOWS:
                continue
            off = tried(f"{name} {dtype}", lambda n=name, d=dtype: check_rule(n, d, device))
            # what looks at signs alone may differ by a step where a gradient is next to nothing
            if off > DTYPES[dtype]:
                wrong.append(f"{name} {dtype}: off by {off:.1e}, allowed are {DTYPES[dtype]:.0e}")
    for name in (n for n, made in (classes or CLASSES).items() if not made.rule.squares):
        tried(f"{name} in a graph", lambda n=name: check_graph(n, device))
    for check in CHECKS:
        tried(check.__name__, lambda c=check: c(device))
    return wrong


# How fast it is.


def resnet50() -> Shapes:
    shapes: Shapes = [(64, 3, 7, 7), (64,), (64,)]
    width = 64
    for inner, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for k in range(blocks):
            for w in ((inner, width, 1, 1), (inner, inner, 3, 3), (4 * inner, inner, 1, 1)):
                shapes += [w, (w[0],), (w[0],)]
            if k == 0:
                shapes += [(4 * inner, width, 1, 1), (4 * inner,), (4 * inner,)]
            width = 4 * inner
    return [*shapes, (1000, 2048), (1000,)]


def llama() -> Shapes:
    """The tensors of a Llama of 1.1 billion parameters (TinyLlama)."""
    layer: Shapes = [(2048, 2048), (256, 2048), (256, 2048), (2048, 2048)]
    layer += [(5632, 2048), (5632, 2048), (2048, 5632), (2048,), (2048,)]
    return [(32000, 2048), *(layer * 22), (2048,), (32000, 2048)]


def models(room: int) -> dict[str, Shapes]:
    """Name -> shapes; ``room`` is how many float32 parameters fit with all that a step needs."""
    found = {
        "one tensor": [(min(1_000_000_000, room),)],
        "1000 x 4k": [(4096,)] * 1000,
        "resnet50": resnet50(),
        "llama 1.1B": llama(),
    }
    return {n: s for n, s in found.items() if sum(map(math.prod, s)) <= room}


Contenders = Iterable[tuple[str, Callable[[Any], Any]]]
"""Who takes part in a contest, and how it is made."""


def ours(name: str) -> Contenders:
    yield "slalom", lambda params: getattr(slalom.optim, name)(params, lr=1e-3)


def contenders(name: str) -> Contenders:
    """Who takes part in a rule's contest."""
    yield from ours(name)
    made = getattr(torch.optim, name)
    takes = made.__init__.__code__.co_varnames
    yield "torch", lambda params: made(params, lr=1e-3, foreach=False)
    yield "foreach", lambda params: made(params, lr=1e-3, foreach=True)
    if "fused" in takes:
        yield "fused", lambda params: made(params, lr=1e-3, fused=True)
    if name == "Adam":
        if importlib.util.find_spec("apex"):
            from apex.optimizers import FusedAdam  # type: ignore[import-not-found]

            yield "apex", lambda params: FusedAdam(params, lr=1e-3, adam_w_mode=False)
        if importlib.util.find_spec("bitsandbytes"):
            from bitsandbytes.optim import Adam  # type: ignore[import-not-found]

            yield "bitsandbytes", lambda params: Adam(params, lr=1e-3)


def compiled() -> Contenders:
    """Adam and torch's under torch.compile, which may take minutes to be ready: it comes last."""
    yield from ours("Adam")
    yield "compiled", lambda params: _Compiled(torch.optim.Adam(params, lr=torch.tensor(1e-3)))


class _Compiled:
    """A step of torch's under torch.compile."""

    def __init__(self, optimizer: torch.optim.Optimizer):
        self.step = torch.compile(optimizer.step, fullgraph=False)
        self.zero_grad = optimizer.zero_grad


def clipped() -> Contenders:
    """Adam whose gradients are brought to a norm, which torch does by calls of its own."""
    yield "slalom", lambda params: slalom.optim.Adam(params, lr=1e-3, clip_norm=1.0)
    yield (
        "capturable",
        lambda params: slalom.optim.Adam(params, lr=1e-3, clip_norm=1.0, capturable=True),
    )
    for way in ("foreach", "fused"):
        options: dict[str, Any] = {way: True}
        yield way, lambda params, own=options: _Clipped(params, **own)


class _Clipped:
    """A step of torch's behind torch's own clipping."""

    def __init__(self, params: list[nn.Parameter], **options: Any):
        self._params = params
        self._optimizer = torch.optim.Adam(params, lr=1e-3, **options)

    def step(self) -> None:
        nn.utils.clip_grad_norm_(self._params, 1.0, foreach=True)
        self._optimizer.step()


def recorded() -> Contenders:
    """Adam whose whole training step is recorded as a graph."""
    yield "slalom", lambda params: slalom.optim.Adam(params, lr=1e-3, capturable=True)
    for way in ("foreach", "fused"):
        options: dict[str, Any] = {way: True, "capturable": True}
        yield way, lambda params, own=options: torch.optim.Adam(params, lr=1e-3, **own)


def copy_rate(device: str) -> float:
    """Bytes a second that a copy moves, read and written."""
    a = torch.empty(1 << 28, device=device)
    b = torch.empty_like(a)
    took = [_timed(lambda: a.copy_(b))[0] for _ in range(12)]
    return 2 * a.numel() * 4 / statistics.median(took[2:])


def _timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the device, and of the host until the call returned."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin = time.perf_counter()
    start.record()
    work()
    end.record()
    host = time.perf_counter() - begin
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3, host


def contest(who_takes: Contenders, shapes: Shapes, deadline: float, rounds: int = 15) -> dict:
    """Seconds of a step of each contender, on the device and of the host; or how it failed."""
    found: dict[str, Any] = {}
    ready, optimizer = {}, None
    params = [nn.Parameter(torch.randn(s, device="cuda")) for s in shapes]
    for p in params:
        p.grad = torch.randn_like(p) * 1e-3
    for who, make in who_takes:
        if time.perf_counter() > deadline:
            break
        try:
            optimizer = make(params)
            for _ in range(3):
                optimizer.step()
            ready[who] = optimizer
            if sum(map(math.prod, shapes)) > 100_000_000:  # states of one at a time
                found[who] = _medians([_timed(optimizer.step) for _ in range(rounds)])
                del ready[who]
        except Exception as error:
            found[who] = _failed(error)
        optimizer = None
        _freed()
    turns: dict[str, list[tuple[float, float]]] = {who: [] for who in ready}
    for _ in range(rounds):
        for who, optimizer in ready.items():
            turns[who].append(_timed(optimizer.step))
    return found | {who: _medians(took) for who, took in turns.items()}


def _freed() -> None:
    """Give back the memory of what is not used any more."""
    gc.collect()
    torch.cuda.empty_cache()


def _failed(error: Exception) -> dict[str, str]:
    return {"failed": f"{type(error).__name__}: {str(error)[:200]}"}


def _medians(took: list[tuple[float, float]]) -> dict[str, float]:
    device, host = (statistics.median(t) for t in zip(*took, strict=True))
    return {"device": device, "host": host}


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before, self.behind = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixed, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        parts = self.mixed(self.before(x)).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.joined(attended.transpose(1, 2).reshape(n, length, width))
        return x + self.narrow(F.gelu(self.wide(self.behind(x))))


class Gpt(nn.Module):
    """GPT-2's shape: 12 layers of width 768 where it is small."""

    def __init__(self, letters: int = 50257, length: int = 256, width: int = 768, layers: int = 12):
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, width // 64) for _ in range(layers)))
        self.last = nn.LayerNorm(width)

    def forward(self, text: Tensor) -> Tensor:
        places = torch.arange(text.shape[1], device=text.device)
        x = self.last(self.blocks(self.letters(text) + self.places(places)))
        scores = F.linear(x, self.letters.weight)[:, :-1]
        return F.cross_entropy(scores.flatten(0, 1), text[:, 1:].flatten())


def training(make: Callable[[Any], Any], graph: bool = False, rounds: int = 10) -> dict[str, float]:
    """Seconds of a whole training step of GPT-2 small, or of the replay of its graph."""
    model = Gpt().cuda()
    optimizer = make(model.parameters())
    text = torch.randint(50257, (4, 256), device="cuda")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(text)
        loss.backward()
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    if not graph:
        return _medians([_timed(step) for _ in range(rounds)])
    whole = torch.cuda.CUDAGraph()
    with torch.cuda.graph(whole):
        step()
    return _medians([_timed(whole.replay) for _ in range(rounds)])


def speed(found: dict[str, Any], deadline: float) -> None:
    """Put down all contests, as many as there is time for."""
    free, _ = torch.cuda.mem_get_info()
    room = int(free * 0.8 / 4 / 5)  # parameter, gradient, two states, and a copy's worth
    rate = copy_rate("cuda")
    found |= {"copy": rate, "contests": {}, "rules": {}}
    for model, shapes in models(room).items():
        for name in ("Adam", "SGD"):
            if time.perf_counter() < deadline:
                took = contest(contenders(name), shapes, deadline)
                found["contests"][f"{name}, {model}"] = took
    for model, shapes in models(room).items():
        if time.perf_counter() < deadline:
            took = contest(clipped(), shapes, deadline)
            found["contests"][f"Adam, clipped, {model}"] = took
    whole = "Adam, GPT-2 small, whole step"
    for name, who_takes, graph in (
        (whole, contenders("Adam"), False),
        (f"{whole}, recorded", recorded(), True),
    ):
        own = found["contests"][name] = {}
        for who, make in who_takes:
            if who == "torch" or time.perf_counter() > deadline:
                continue
            try:
                own[who] = training(make, graph)
            except Exception as error:
                own[who] = _failed(error)
            _freed()
    large = [(min(250_000_000, room),)]
    for name, made in CLASSES.items():
        if time.perf_counter() > deadline:
            break
        if multiplies(made.rule):  # a vector is not what it is for
            continue
        took = contest(ours(name), large, deadline, 7).get("slalom", {})
        if "device" in took:
            program = trace(made.rule, {**made.rule.hypers, "lr": 1e-3}, step=2, first=False)
            moved = program.bytes * large[0][0] / took["device"]
            found["rules"][name] = {**took, "share": moved / rate, "by": serves(made.rule, "cuda")}
    for model, shapes in models(room).items():
        if time.perf_counter() < deadline:
            took = contest(compiled(), shapes, deadline)
            found["contests"][f"Adam under torch.compile, {model}"] = took


def table(result: dict[str, Any]) -> str:
    """The result for people: microseconds on the device (of the host)."""
    found = result["speed"]
    if not found:
        return "no speed was measured"
    rate = f"a copy moves {found['copy'] / 1e9:.0f} GB/s"
    lines = [f"{result['gpu']}, torch {result['torch']}, {rate}; microseconds (of the host)"]
    for name, took in list(found["contests"].items()):
        cells = [
            f"{who} {t['device'] * 1e6:.0f} ({t['host'] * 1e6:.0f})"
            if "device" in t
            else f"{who} failed"
            for who, t in list(took.items())
        ]
        lines.append(f"{name:40} {'   '.join(cells)}")
    for name, took in list(found["rules"].items()):
        lines.append(f"{name:20} {100 * took['share']:.0f}% of the copy's rate, by {took['by']}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", default="gpu.json", help="where the figures go")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which it ends")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(f"there is no GPU that torch {torch.__version__} can use here; nothing was run")
    began = time.perf_counter()
    result: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(), "torch": torch.__version__,
        "cuda": torch.version.cuda, "python": platform.python_version(), "rules": len(RULES),
        "wrong": ["the checks did not come to their end"], "speed": {},
    }  # fmt: skip

    def end() -> None:
        with open(arguments.out, "w") as file:
            json.dump(result, file, indent=1)
        print(table(result), flush=True)
        os._exit(1 if result["wrong"] else 0)  # whatever else is still under way

    def over() -> None:
        print(f"{arguments.minutes:g} minutes are over; what is not in the table was not measured")
        end()

    # A compilation or a GPU that hangs is not to keep what was seen from being told.
    clock = threading.Timer(60 * arguments.minutes, over)
    clock.daemon = True
    clock.start()
    wrong = result["wrong"] = correctness("cuda")
    minutes = (time.perf_counter() - began) / 60
    print("right" if not wrong else "\n".join(["WRONG:", *wrong]), f"({minutes:.1f} minutes)")
    speed(result["speed"], began + 60 * (arguments.minutes - 0.3))
    clock.cancel()
    end()


if __name__ == "__main__":
    main()
