"""Whole training steps (forward, backward, update, zero_grad) with each optimizer, side by side.

``slalom bench steps`` repeats one step with everything in cache. In a loop the forward and
backward pass have thrown all of it out, and what an optimizer can save at all is its share of the
whole. Two more contenders say how large that is: a loop without any update, which bounds the whole
step, and one that updates as many parameters in one flat tensor, which bounds the update. One more
is what a training loop can do to come near that: parameters and gradients that are views of one
flat tensor each. Backward then adds to gradients where else it leaves them as they came.
"""

from __future__ import annotations

import importlib
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slalom import optim
from slalom.bench import loop_data
from slalom.bench.clock import readable
from slalom.bench.loop_data import PROBLEMS
from slalom.bench.loop_models import MODELS, Made, described
from slalom.racing.machine import processor

Update = Callable[[], object]
"""Update the parameters by their gradients, and drop these."""

Step = Callable[[], tuple[float, float]]
"""One training step; its seconds, and those of its update."""

BARS: dict[str, tuple[float | None, float | None]] = {
    "net 10-16-2": (3.0, None), "digits MLP": (3.0, 1.15), "digits CNN": (None, 1.05),
    "GPT 0.7M": (2.3, 1.05), "MLP 2.4M": (1.3, None), "300 tensors": (4.5, None),
}  # fmt: skip
"""Of a model: how many times as fast as torch's fused the update is to be, and within which ratio
of the loop without update the whole step."""


@dataclass(frozen=True)
class Timing:
    """Median seconds of a whole step, and of update and zero_grad in it."""

    whole: float
    update: float


def contenders(made: Callable[[], Made], compiled: bool) -> dict[str, Step]:
    """Name -> one training step of a model of its own, the same model for all."""
    found: dict[str, Step] = {}

    def enter(name: str, updating: Callable[[list[nn.Parameter]], Update]) -> None:
        torch.manual_seed(0)
        model, loss = made()
        found[name] = _step(model, loss, updating(list(model.parameters())))

    enter("no update", _cleared)
    enter("one flat tensor", _flat)
    enter("slalom", lambda p: _stepped(optim.Adam(p, lr=1e-4)))
    enter("slalom, views of one", _viewed)
    enter("torch default", lambda p: _stepped(torch.optim.Adam(p, lr=1e-4, foreach=False)))
    enter("torch foreach", lambda p: _stepped(torch.optim.Adam(p, lr=1e-4, foreach=True)))
    enter("torch fused", lambda p: _stepped(torch.optim.Adam(p, lr=1e-4, fused=True)))
    if compiled:
        enter("torch compiled", _compiled)
    for library, name in (("pytorch_optimizer", "AdamW"), ("heavyball", "AdamW")):
        if (made_by := installed(library, name)) is not None:
            enter(library, lambda p, made_by=made_by: _stepped(made_by(p, lr=1e-4)))
    return found


def matrix_contenders() -> dict[str, Step]:
    """The same where Muon updates the hidden matrices of the GPT, alone or with AdamW beside it."""
    found: dict[str, Step] = {}

    def enter(name: str, updating: Callable[[nn.Module], Update]) -> None:
        torch.manual_seed(0)
        model, loss = MODELS["GPT 0.7M"]()
        found[name] = _step(model, loss, updating(model))

    def by_hand(model: nn.Module) -> Update:
        hidden, rest = _parted(model)
        updates = [_stepped(torch.optim.Muon(hidden, lr=0.02))]
        updates.append(_stepped(torch.optim.AdamW(rest, lr=3e-4)))
        return lambda: [update() for update in updates]

    def alone(lib: Any) -> Callable[[nn.Module], Update]:
        def updating(model: nn.Module) -> Update:
            hidden, rest = _parted(model)
            muon, clear = lib.Muon(hidden, lr=0.02), _cleared([*hidden, *rest])
            return lambda: (muon.step(), clear())

        return updating

    enter("slalom, split", lambda m: _stepped(optim.split(m, {"lr": 0.02}, {"lr": 3e-4})))
    enter("torch, by hand", by_hand)
    enter("slalom, Muon alone", alone(optim))
    enter("torch, Muon alone", alone(torch.optim))
    return found


def _parted(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that Muon updates, and all others."""
    (hidden, rest) = (g["params"] for g in optim.split(model).param_groups)
    return hidden, rest


def matrices(rounds: int) -> list[str]:
    """Print what Muon takes in the loop; the bars missed, in words."""
    print(f"\n{MATRICES}")
    times = timed(matrix_contenders(), rounds, turn=0.15)
    missed = []
    for ours, theirs in (("slalom, split", "torch, by hand"),
                         ("slalom, Muon alone", "torch, Muon alone")):  # fmt: skip
        gain = times[theirs].update / times[ours].update
        for who in (ours, theirs):
            t = times[who]
            print(f"  {who:20}{readable(t.whole):>14}{readable(t.update):>14}")
        print(f"  the update of {ours} is {gain:.2f} times as fast", flush=True)
        if gain < 2:
            missed.append(f"the update of {ours} is {gain:.2f} times as fast, below 2")
    return missed


MATRICES = "GPT 0.7M by Muon"


def _step(model: nn.Module, loss: Callable[[nn.Module], Tensor], update: Update) -> Step:
    def step() -> tuple[float, float]:
        start = time.perf_counter()
        loss(model).backward()
        there = time.perf_counter()
        update()
        end = time.perf_counter()
        return end - start, end - there

    return step


def _stepped(optimizer: Any) -> Update:
    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    return update


def _cleared(params: Sequence[nn.Parameter]) -> Update:
    def update() -> None:
        for p in params:
            p.grad = None

    return update


def _flat(params: Sequence[nn.Parameter]) -> Update:
    """Update one flat tensor, whose gradient lies in memory that nothing else reads."""
    flat = nn.Parameter(torch.zeros(sum(p.numel() for p in params)))
    flat.grad = torch.ones_like(flat)
    optimizer, clear = optim.Adam([flat], lr=1e-4), _cleared(params)

    def update() -> None:
        optimizer.step()
        clear()

    return update


def _viewed(params: Sequence[nn.Parameter]) -> Update:
    """Update the parameters as views of one flat tensor, as their gradients are, zeroed at once."""
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in params]))
    flat.grad = grads = torch.zeros_like(flat)
    sizes = [p.numel() for p in params]
    parts = zip(params, flat.detach().split(sizes), grads.split(sizes), strict=True)
    for p, values, grad in parts:
        p.data, p.grad = values.view_as(p), grad.view_as(p)
    optimizer = optim.Adam([flat], lr=1e-4)

    def update() -> None:
        optimizer.step()
        grads.zero_()

    return update


def _compiled(params: Sequence[nn.Parameter]) -> Update:
    optimizer = torch.optim.Adam(params, lr=torch.tensor(1e-4))
    step = torch.compile(optimizer.step)

    def update() -> None:
        step()
        optimizer.zero_grad()

    return update


def installed(library: str, name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(importlib.import_module(library), name)
    except (ImportError, AttributeError, OSError):
        return None


def timed(steps: Mapping[str, Step], rounds: int, turn: float = 0.05) -> dict[str, Timing]:
    """Time the contenders in turns of ``turn`` seconds. One that raises is left out, and said."""
    calls: dict[str, int] = {}
    for name, step in steps.items():
        try:
            for _ in range(3):
                whole, _ = step()
        except Exception as error:
            why = str(error).partition("\n")[0]
            print(f"  {name} does not run here: {type(error).__name__}: {why[:100]}")
            continue
        calls[name] = max(1, min(200, round(turn / whole)))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, n in calls.items():
            steps[name]()  # what ran before has left the caches and threads to another
            turns = [steps[name]() for _ in range(n)]
            wholes, updates = zip(*turns, strict=True)
            found[name].append((statistics.median(wholes), statistics.median(updates)))
    return {n: Timing(*map(statistics.median, zip(*t, strict=True))) for n, t in found.items()}


def shortfalls(model: str, tensors: int, times: Mapping[str, Timing]) -> list[str]:
    """The bars that these times miss, in words."""
    ours, fused, none = times["slalom"], times["torch fused"], times["no update"]
    flat = times["one flat tensor"]
    over_fused, over_none = BARS.get(model, (None, None))
    missed = []
    bound = 1.25 * flat.update + 5e-6 + 0.05e-6 * tensors
    if ours.update > bound:
        missed.append(
            f"the update takes {readable(ours.update)}, and the bar is {readable(bound)}: "
            f"1.25 times one flat tensor's {readable(flat.update)}, 5 us, and 0.05 us a tensor"
        )
    if over_fused and (gain := fused.update / ours.update) < over_fused:
        missed.append(f"the update is {gain:.2f} times as fast as fused, below {over_fused}")
    if over_none and (ratio := ours.whole / none.whole) > over_none:
        missed.append(f"the whole step is {ratio:.2f} times that without update, above {over_none}")
    return missed


def main(rounds: int = 15, model: str | None = None, *, compiled: bool = True) -> None:
    """Print whole steps and updates of Adam on each model, or on one."""
    print(f"{processor()}, torch {torch.__version__}, {torch.get_num_threads()} threads; Adam, "
          f"median of {rounds} interleaved turns")  # fmt: skip
    missed: list[str] = []
    asked = [*MODELS, *PROBLEMS, MATRICES] if model is None else [model]
    for name in (n for n in asked if n in MODELS):
        torch.manual_seed(0)
        example, _ = MODELS[name]()
        print(f"\n{name}: {described(example)}")
        print(f"  {'':20}{'whole step':>14}{'over slalom':>14}{'update':>14}{'over slalom':>14}")
        times = timed(contenders(MODELS[name], compiled), rounds)
        ours = times["slalom"]
        for who, t in times.items():
            whole, update = t.whole / ours.whole, t.update / ours.update
            print(f"  {who:20}{readable(t.whole):>14}{whole:>13.2f}x"
                  f"{readable(t.update):>14}{update:>13.2f}x", flush=True)  # fmt: skip
        default, none = times["torch default"].whole, times["no update"].whole
        print(
            f"  without any update the loop is {default / none:.2f} times as fast as with torch's "
            f"default: no optimizer can gain more; slalom gains {default / ours.whole:.2f}"
        )
        tensors = sum(1 for _ in example.parameters())
        missed += [f"{name}: {m}" for m in shortfalls(name, tensors, times)]
    for name in (n for n in asked if n in PROBLEMS):
        missed += loop_data.main(rounds, name)
    if MATRICES in asked:
        missed += matrices(rounds)
    print(f"\nbelow the bar: {len(missed) or 'nothing'}", *missed, sep="\n  ")


if __name__ == "__main__":
    main()
