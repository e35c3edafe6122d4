"""Everything about Slalom on a GPU, in one call of less than ten minutes.

    PYTHONPATH=src python benchmarks/gpu.py [--out gpu.json] [--minutes 9]

First whether it is right (every rule and dtype against float64, streams, layouts, clipping), then
how fast, all contenders taking turns: CUDA events and the host's time, against the rate of a copy.
Asks for torch, NumPy and llvmlite alone; apex and bitsandbytes take part where they are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

MISSING = [n for n in ("torch", "numpy", "llvmlite") if importlib.util.find_spec(n) is None]
if MISSING:
    sys.exit(f"{' and '.join(MISSING)} must be installed for this: pip install {' '.join(MISSING)}")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import slalom.optim  # noqa: E402
from slalom.optim.explain import explain  # noqa: E402
from slalom.rules import RULES  # noqa: E402

Shapes = list[tuple[int, ...]]
DTYPES = {torch.float32: 2e-6, torch.float64: 1e-8, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""How far a parameter may be from float64's after a few steps, as a share of the largest.

Numbers that are kept for a whole parameter are float32, as torch's are."""

CLASSES = {
    name: found
    for name in slalom.optim.__all__
    if hasattr(found := getattr(slalom.optim, name), "rule")
}


# Whether it is right.

LENGTHS: Shapes = [(5000,), (33, 5), (), (3,), (1 << 17,)]


def reference(rule: Any, start: Tensor, grads: list[Tensor], lr: float) -> Tensor:
    """The parameter after these gradients, by the rule's own function in float64."""
    hypers = {**rule.hypers, "lr": lr}
    param = start.double()
    state: list[Any] = [
        begin if name in rule.numbers else torch.full_like(param, begin)
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


def check_rule(name: str, dtype: torch.dtype, device: str, steps: int = 7) -> float:
    """How far a rule's parameters are from float64's; the moves alone count, from a start of 1."""
    made, draws = CLASSES[name], torch.Generator().manual_seed(1)
    starts = [torch.randn(s, generator=draws).to(dtype) for s in LENGTHS]
    params = [nn.Parameter(s.to(device, copy=True)) for s in starts]
    grads = [[torch.randn(s, generator=draws).to(dtype) for s in LENGTHS] for _ in range(steps)]
    optimizer = made(params, lr=0.01)
    for own in grads:
        for p, g in zip(params, own, strict=True):
            p.grad = g.to(device)
        optimizer.step()
    served = {row[3] for row in explain(optimizer).rows}
    assert device == "cpu" or served == {"cuda"}, f"served by {served}"
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


def check_graphs(device: str) -> None:
    """Recorded steps count, read a new rate, and are what steps one by one are: every rule."""
    for made in CLASSES.values():
        found = []
        for recorded in (False, True) if device != "cpu" else (False, False):
            params = [nn.Parameter(torch.linspace(-1, 1, n, device=device)) for n in (5000, 33, 1)]
            optimizer = made(params, lr=0.01, capturable=True, clip_norm=1.0, on_nonfinite="skip")
            lr = torch.tensor(0.01, device=device)
            optimizer.param_groups[0]["lr"] = lr
            for p in params:
                p.grad = torch.linspace(1, -2, p.numel(), device=device)
            step = optimizer.step
            if recorded:
                step = _recorded(optimizer)
            else:
                for _ in range(3):
                    step()
            for rate in (0.01, 0.02, 0.0, 0.03, 0.03, 0.01):
                lr.fill_(rate)
                step()
            steps = [torch.as_tensor(optimizer.state[p].get("step", 0.0)) for p in params]
            found.append([*params, *steps])
        for a, b in zip(*found, strict=True):
            assert distance(a, b) < 1e-6, made.__name__


def _recorded(optimizer: Any) -> Callable[[], None]:
    """A graph of one step, after three on a side stream."""
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            optimizer.step()
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        optimizer.step()
    return graph.replay


CHECKS: list[Callable[[str], None]] = [
    check_mixture, check_views, check_bits, check_clipping, check_streams, check_graph_is_refused,
    check_graphs,
]  # fmt: skip


def correctness(device: str, dtypes: Any = DTYPES, classes: Any = CLASSES) -> list[str]:
    """What is wrong; nothing if nothing is."""
    wrong = []

    def tried(what: str, check: Callable[[], Any]) -> Any:
        try:
            return check()
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {str(error)[:300]}")
            return 0.0

    for name in classes:
        for dtype in dtypes:
            off = tried(f"{name} {dtype}", lambda n=name, d=dtype: check_rule(n, d, device))
            # what looks at signs alone may differ by a step where a gradient is next to nothing
            if off > DTYPES[dtype]:
                wrong.append(f"{name} {dtype}: off by {off:.1e}, allowed are {DTYPES[dtype]:.0e}")
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


def contenders(name: str, others: bool = True) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Who takes part in a rule's contest, and how it is made."""
    yield "slalom", lambda params: getattr(slalom.optim, name)(params, lr=1e-3)
    made = getattr(torch.optim, name, None)
    if made is None or not others:
        return
    takes = made.__init__.__code__.co_varnames
    yield "torch", lambda params: made(params, lr=1e-3, foreach=False)
    yield "foreach", lambda params: made(params, lr=1e-3, foreach=True)
    if "fused" in takes:
        yield "fused", lambda params: made(params, lr=1e-3, fused=True)
    if name == "Adam":
        yield "compiled", lambda params: _Compiled(made(params, lr=torch.tensor(1e-3)))
        if importlib.util.find_spec("apex"):
            from apex.optimizers import FusedAdam  # type: ignore[import-not-found]

            yield "apex", lambda params: FusedAdam(params, lr=1e-3, adam_w_mode=False)
        if importlib.util.find_spec("bitsandbytes"):
            from bitsandbytes.optim import Adam  # type: ignore[import-not-found]

            yield "bitsandbytes", lambda params: Adam(params, lr=1e-3)


class _Compiled:
    """A step of torch's under torch.compile."""

    def __init__(self, optimizer: torch.optim.Optimizer):
        self.step = torch.compile(optimizer.step, fullgraph=False)


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


def contest(name: str, shapes: Shapes, others: bool, deadline: float, rounds: int = 15) -> dict:
    """Seconds of a step of each contender, on the device and of the host; None for who failed."""
    found: dict[str, Any] = {}
    ready = {}
    params = [nn.Parameter(torch.randn(s, device="cuda")) for s in shapes]
    for p in params:
        p.grad = torch.randn_like(p) * 1e-3
    for who, make in contenders(name, others):
        if time.perf_counter() > deadline:
            break
        try:
            optimizer = make(params)
            for _ in range(3):
                optimizer.step()
            ready[who] = optimizer
            if sum(map(math.prod, shapes)) > 100_000_000:  # states of one at a time
                found[who] = _medians([_timed(optimizer.step) for _ in range(rounds)])
                del ready[who], optimizer
                torch.cuda.empty_cache()
        except Exception as error:
            found[who] = {"failed": f"{type(error).__name__}: {str(error)[:200]}"}
    turns: dict[str, list[tuple[float, float]]] = {who: [] for who in ready}
    for _ in range(rounds):
        for who, optimizer in ready.items():
            turns[who].append(_timed(optimizer.step))
    return found | {who: _medians(took) for who, took in turns.items()}


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


def training(make: Callable[[Any], Any], rounds: int = 10) -> dict[str, float]:
    """Seconds of a whole training step of GPT-2 small."""
    model = Gpt().cuda()
    optimizer = make(model.parameters())
    text = torch.randint(50257, (4, 256), device="cuda")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(text)
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    return _medians([_timed(step) for _ in range(rounds)])


def speed(minutes: float) -> dict[str, Any]:
    """All contests, as many as there is time for."""
    deadline = time.perf_counter() + 60 * minutes
    free, _ = torch.cuda.mem_get_info()
    room = int(free * 0.8 / 4 / 5)  # parameter, gradient, two states, and a copy's worth
    rate = copy_rate("cuda")
    found: dict[str, Any] = {"copy": rate, "contests": {}, "rules": {}}
    for model, shapes in models(room).items():
        for name in ("Adam", "SGD"):
            if time.perf_counter() < deadline:
                found["contests"][f"{name}, {model}"] = contest(name, shapes, True, deadline)
    large = [(min(250_000_000, room),)]
    for name, made in CLASSES.items():
        if time.perf_counter() > deadline:
            break
        took = contest(name, large, False, deadline, 7)["slalom"]
        if "device" in took:
            moved = _program(made.rule).bytes * large[0][0] / took["device"]
            found["rules"][name] = {**took, "share": moved / rate}
    whole = found["contests"]["Adam, GPT-2 small, whole step"] = {}
    for who, make in contenders("Adam"):
        if who == "torch" or time.perf_counter() > deadline:
            continue
        try:
            whole[who] = training(make)
        except Exception as error:
            whole[who] = {"failed": f"{type(error).__name__}: {str(error)[:200]}"}
        torch.cuda.empty_cache()
    return found


def _program(rule: Any) -> Any:
    from slalom.ir.program import trace

    return trace(rule, {**rule.hypers, "lr": 1e-3}, step=2, first=False)


def table(result: dict[str, Any]) -> str:
    """The result for people: microseconds on the device (of the host)."""
    rate = f"a copy moves {result['speed']['copy'] / 1e9:.0f} GB/s"
    lines = [f"{result['gpu']}, torch {result['torch']}, {rate}; microseconds (of the host)"]
    for name, took in result["speed"]["contests"].items():
        cells = [
            f"{who} {t['device'] * 1e6:.0f} ({t['host'] * 1e6:.0f})"
            if "device" in t
            else f"{who} failed"
            for who, t in took.items()
        ]
        lines.append(f"{name:32} {'   '.join(cells)}")
    for name, took in result["speed"]["rules"].items():
        lines.append(f"{name:20} {100 * took['share']:.0f}% of the copy's rate")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", default="gpu.json", help="where the figures go")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which it ends")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(f"there is no GPU that torch {torch.__version__} can use here; nothing was run")
    began = time.perf_counter()
    wrong = correctness("cuda")
    minutes = (time.perf_counter() - began) / 60
    print("right" if not wrong else "\n".join(["WRONG:", *wrong]), f"({minutes:.1f} minutes)")
    result = {
        "gpu": torch.cuda.get_device_name(), "torch": torch.__version__,
        "cuda": torch.version.cuda, "python": platform.python_version(), "wrong": wrong,
        "rules": len(RULES), "speed": speed(arguments.minutes - minutes - 0.3),
    }  # fmt: skip
    with open(arguments.out, "w") as file:
        json.dump(result, file, indent=1)
    print(table(result))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
