"""One step of every rule against every implementation in torch, on models of several shapes.

Of some rules that torch lacks there is one in pytorch_optimizer, which is timed where it is
installed (its dependencies are not needed: ``pip install --no-deps pytorch_optimizer``).

All contenders of a model take turns in one process. The yardstick of bandwidth is ``a.add_(b)``
on two tensors of 25 million float32: 12 bytes an element, nothing computed.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import torch

from slalom import optim
from slalom.backends import using
from slalom.bench.clock import interleaved, readable
from slalom.ir.program import trace

Shapes = list[tuple[int, ...]]

LARGE = "25M"
"""The model whose step is bound by memory alone."""


def _resnet18() -> Shapes:
    """The 62 tensors of a ResNet-18: convolutions, the pairs of its batch norms, the last layer."""
    shapes: Shapes = [(64, 3, 7, 7), (64,), (64,)]
    width = 64
    for new in (64, 64, 128, 128, 256, 256, 512, 512):
        shapes += [(new, width, 3, 3), (new,), (new,), (new, new, 3, 3), (new,), (new,)]
        if new != width:
            shapes += [(new, width, 1, 1), (new,), (new,)]
        width = new
    return [*shapes, (1000, 512), (1000,)]


MODELS: dict[str, Shapes] = {
    LARGE: [(25_000_000,)],
    "4M": [(2048, 2048)],
    "mlp": [(128, 64), (128,), (128, 128), (128,), (10, 128), (10,)],
    "300": [(64, 64), (64,)] * 150,
    "resnet18": _resnet18(),
    "1000x256": [(256,)] * 1000,
    "148x65536": [(65536,)] * 148,
}
"""Name -> the shapes of its parameters, float32."""


ELSEWHERE = {"LARS": "LARS", "LAMB": "Lamb", "StableAdamW": "StableAdamW"}
"""Class of slalom.optim -> that of pytorch_optimizer which makes the same updates."""


@dataclass(frozen=True)
class Contest:
    """What one rule's step took on one model.

    Attributes:
        rule: the class and arguments, as called.
        seconds: of one step, of ``slalom`` and each of torch's implementations, or of
            ``pytorch_optimizer``.
        bandwidth: the bytes the rule must move, a second, as a share of what ``add_`` moves.
        backend: the one that was to run it; None for the first that can.
    """

    rule: str
    model: str
    seconds: dict[str, float]
    bandwidth: float
    backend: str | None = None

    def times(self, other: str) -> float | None:
        """How many times faster than ``other`` Slalom is; None where there is no other."""
        other_seconds = self.seconds.get(other)
        return other_seconds / self.seconds["slalom"] if other_seconds else None

    @property
    def shortfall(self) -> str | None:
        """Which bar this contest misses, in words; None if none."""
        torchs = {k: v for k, v in self.seconds.items() if k != "slalom"}
        if self.backend is not None:
            gain = self.times(self.backend)
            slower = gain is not None and gain < 1
            return (
                f"slower than torch's {self.backend}: {gain:.2f} times as fast" if slower else None
            )
        if self.model == LARGE and self.bandwidth < 0.9:
            return f"{self.bandwidth:.0%} of the bandwidth of add_, below 90%"
        if self.model == "300" and (gain := self.times("fused")) and gain < 10:
            return f"{gain:.1f} times as fast as fused, below 10"
        if self.model == "300" and "fused" not in torchs and (gain := self.times("default")):
            return f"{gain:.1f} times as fast as the default, below 30" if gain < 30 else None
        best = min(torchs, key=torchs.__getitem__, default=None)
        if best and (gain := self.times(best)) and gain < 1:
            whose = best if best == "pytorch_optimizer" else f"torch's {best}"
            return f"slower than {whose}: {gain:.2f} times as fast"
        return None


def rules() -> Iterator[tuple[str, dict[str, Any]]]:
    """The classes of slalom.optim, each with the arguments worth a contest of their own."""
    yield "SGD", {}
    yield "SGD", {"momentum": 0.9}
    for name in optim.__all__:
        rule = getattr(getattr(optim, name), "rule", None)
        if rule is not None and name != "SGD":
            yield name, {}
            if "amsgrad" in rule.hypers:
                yield name, {"amsgrad": True}


def contest(
    name: str, arguments: dict[str, Any], model: str, *, rounds: int, turn: float = 0.02,
    backend: str | None = None,
) -> Contest:  # fmt: skip
    """Time one rule on one model against every implementation that torch has of it."""
    gradients = [torch.randn(s) for s in MODELS[model]]
    ours = getattr(optim, name)
    contenders: dict[str, Callable[[], object]] = {}
    arguments = {"lr": 1e-3, **arguments}

    def enter(label: str, made: Any, **more: Any) -> None:
        params = [torch.nn.Parameter(torch.randn_like(g)) for g in gradients]
        for param, gradient in zip(params, gradients, strict=True):
            param.grad = gradient
        contenders[label] = made(params, **arguments, **more).step

    enter("slalom", ours)
    if (theirs := getattr(torch.optim, name, None)) is not None:
        enter("default", theirs)
        known = inspect.signature(theirs).parameters
        for implementation in ("foreach", "fused"):
            if implementation in known:
                enter(implementation, theirs, **{implementation: True})
    elif (theirs := _elsewhere(name)) is not None:
        enter("pytorch_optimizer", theirs)
    a, b = torch.zeros(25_000_000), torch.ones(25_000_000)
    if model == LARGE:
        contenders["add_"] = partial(a.add_, b)
    with nullcontext() if backend is None else using(backend):
        seconds = interleaved(contenders, rounds=rounds, turn=turn)
    hypers = ours.rule.hypers | arguments
    moved = trace(ours.rule, hypers, step=10, first=False).bytes
    share = moved / 12 * seconds.pop("add_") / seconds["slalom"] if model == LARGE else 0.0
    label = ", ".join([name, *(f"{k}={v}" for k, v in arguments.items() if k != "lr")])
    return Contest(label, model, seconds, share, backend)


def _elsewhere(name: str) -> Any:
    """What pytorch_optimizer has of a rule that torch lacks; None where it is not installed."""
    with suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(import_module("pytorch_optimizer"), ELSEWHERE.get(name, ""), None)
    return None


def host_cost(rounds: int) -> tuple[float, float]:
    """Seconds of a step that are not arithmetic: (for the step, for each tensor in it).

    Measured with Adam on 1 and on 1001 tensors of one element, all their checks included.
    """

    def step(n: int) -> Callable[[], object]:
        params = [torch.nn.Parameter(torch.zeros(1)) for _ in range(n)]
        for param in params:
            param.grad = torch.ones(1)
        return optim.Adam(params).step

    seconds = interleaved({"1": step(1), "1001": step(1001)}, rounds=rounds, turn=0.02)
    each = (seconds["1001"] - seconds["1"]) / 1000
    return seconds["1"] - each, each


_FIRST_STEPS = """
import sys, time, torch
from slalom import optim
p = torch.nn.Parameter(torch.zeros(8)); p.grad = torch.ones(8)
optim.SGD([p], lr=0.1, maximize=True).step()   # LLVM itself and the driver, which all rules share
for name in sys.argv[1:]:
    o = getattr(optim, name)([p], lr=0.1)
    start = time.perf_counter()
    o.step()
    print(name, time.perf_counter() - start)
"""


def first_steps(names: Sequence[str]) -> list[tuple[str, float, float]]:
    """(class, seconds of its first step with an empty cache, with a filled one), by process."""
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", _FIRST_STEPS, *names], check=True, capture_output=True,
                text=True, env={**os.environ, "SLALOM_CACHE": folder},
            )  # fmt: skip
            runs.append([float(line.split()[1]) for line in done.stdout.splitlines()])
    return list(zip(names, *runs, strict=True))


def main(
    only: str | None = None, model: str | None = None, rounds: int = 15, backend: str | None = None
) -> None:
    """Run the contests and print them: of one class, one model, one backend where they are named.

    The bar of a backend named after an implementation of torch's (foreach) is that one alone.
    """
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32; "
          f"median of {rounds} interleaved turns")  # fmt: skip
    contests = []
    for shape in MODELS if model is None else [model]:
        n = sum(torch.Size(s).numel() for s in MODELS[shape])
        print(f"\n{shape}: {len(MODELS[shape])} tensors, {n:,} parameters")
        print(f"  {'':28}{'slalom':>12}{'default':>10}{'foreach':>10}{'fused':>10}"
              f"{'elsewhere':>10}   of add_")  # fmt: skip
        for name, arguments in rules():
            if only is not None and name != only:
                continue
            result = contest(name, arguments, shape, rounds=rounds, backend=backend)
            contests.append(result)
            others = ("default", "foreach", "fused", "pytorch_optimizer")
            gains = (result.times(k) for k in others)
            row = "".join(f"{'-' if g is None else f'{g:.1f}x':>10}" for g in gains)
            share = f"{result.bandwidth:9.0%}" if shape == LARGE else ""
            print(
                f"  {result.rule:28}{readable(result.seconds['slalom']):>12}{row}{share}",
                flush=True,
            )
    if backend is None:
        _tell_host_cost(only, rounds)
    missed = [c for c in contests if c.shortfall]
    print(f"\nbelow the bar: {len(missed) or 'nothing'}")
    for c in missed:
        print(f"  {c.model}: {c.rule} is {c.shortfall}")


def _tell_host_cost(only: str | None, rounds: int) -> None:
    once, each = host_cost(rounds)
    print(f"\nhost cost of a step: {once * 1e6:.1f} us + {each * 1e6:.2f} us a tensor")
    print("\nfirst step of a rule: compiled, and from the cache of an earlier process")
    names = dict.fromkeys(name for name, _ in rules() if only in (None, name))
    for name, cold, warm in first_steps(list(names)):
        print(f"  {name:28}{cold * 1e3:9.0f} ms{warm * 1e3:9.1f} ms")


if __name__ == "__main__":
    main()
