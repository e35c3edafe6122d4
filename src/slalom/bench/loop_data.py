"""Whole trainings, data and all: the loop that people write, those of libraries, and ``fit``.

All begin with the same weights, as far as a library lets one say so. The plain loop and ``fit`` see
the same samples in the same order, and are compared loss by loss.
"""

from __future__ import annotations

import importlib
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from slalom import optim
from slalom.bench.clock import readable
from slalom.fitting import fit
from slalom.tasks import load
from slalom.train import Batches, Task

SEED = 3
LR = 1e-3


@dataclass(frozen=True)
class Problem:
    """A task, the epochs of it that are a turn, and how much faster ``fit`` is to be."""

    name: str
    make: Callable[[], Task]
    epochs: int
    bar: float


@dataclass(frozen=True)
class Turn:
    """One training: its steps, the seconds they took, and the losses on the way where known."""

    steps: int
    seconds: float
    losses: tuple[float, ...] = ()


def small() -> Task:
    """Ten measured means of a tumour, whether it is malignant (breast_cancer): a net of 10-16-2."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    x = np.asarray(x)[:, :10]
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    return Task(
        lambda: nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2)),
        nn.CrossEntropyLoss(), (x, y), (x, y), "accuracy", target=0.95, batch_size=16,
        name="net 10-16-2", eval_every=36,
    )  # fmt: skip


PROBLEMS = {
    p.name: p
    for p in (
        Problem("training of digits MLP", lambda: load("digits"), 20, 2.2),
        Problem("training of net 10-16-2", small, 20, 3.0),
    )
}
"""What is trained: digits in batches of 64, and ten numbers in batches of 16."""


def order(task: Task, epochs: int) -> list[Tensor]:
    """The batches of indices that all see."""
    batches = Batches(task.n_train, task.batch_size, SEED)
    return [batches[i] for i in range(epochs * task.updates_per_epoch(task.batch_size))]


def plain(task: Task, epochs: int) -> Turn:
    """The loop of the tutorials: a DataLoader, torch.optim.Adam, the loss read in every step."""
    x, y = task.train.arrays
    model, loss_of = task.make_model(SEED), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    indices = torch.cat(order(task, epochs)).split(task.n_train)

    class Sampler(torch.utils.data.Sampler[int]):
        epoch = 0

        def __iter__(self) -> Iterator[int]:
            return iter(indices[self.epoch].tolist())

        def __len__(self) -> int:
            return task.n_train

    sampler = Sampler()
    loader = DataLoader(TensorDataset(x, y), task.batch_size, sampler=sampler)
    losses = []
    start = time.perf_counter()
    for sampler.epoch in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = loss_of(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return Turn(len(losses), time.perf_counter() - start, tuple(losses))


def sliced(task: Task, epochs: int) -> Turn:
    """The same with batches by index, and torch's fused Adam."""
    x, y = task.train.arrays
    model, loss_of = task.make_model(SEED), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    losses = []
    batches = order(task, epochs)
    start = time.perf_counter()
    for chosen in batches:
        optimizer.zero_grad()
        loss = loss_of(model(x[chosen]), y[chosen])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return Turn(len(losses), time.perf_counter() - start, tuple(losses))


def bare(task: Task, epochs: int) -> Turn:
    """Forward, backward and our step on one batch: what no loop can be faster than."""
    (x, y), steps = task.train.span(0, task.batch_size), len(order(task, epochs))
    model = task.make_model(SEED)
    optimizer = optim.Adam(model.parameters(), lr=LR)
    start = time.perf_counter()
    for _ in range(steps):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return Turn(steps, time.perf_counter() - start)


def ours(task: Task, epochs: int, *, machine_code: bool = False) -> Turn:
    """``slalom.fit``, by its own clock: it runs in updates alone, as the others' do."""
    every = len(order(task, epochs))
    found = fit(
        task, optim.Adam, lr=LR, epochs=epochs, seed=SEED, eval_every=every, progress=False,
        machine_code=machine_code,
    )  # fmt: skip
    return Turn(found.last.step, found.last.seconds)


def losses_of_ours(task: Task, epochs: int, *, machine_code: bool = False) -> tuple[float, ...]:
    """The losses of ``fit``, one by one."""
    losses = []

    def mean(event: Any) -> None:
        if type(event).__name__ == "Evaluated":
            losses.append(event.evaluation.train_loss)

    fit(
        task, optim.Adam, lr=LR, epochs=epochs, seed=SEED, eval_every=1, progress=False, watch=mean,
        machine_code=machine_code,
    )  # fmt: skip
    return tuple(losses)


def scikit(task: Task, epochs: int) -> Turn:
    """scikit-learn's MLPClassifier."""
    from sklearn.neural_network import MLPClassifier

    x, y = (part.numpy() for part in task.train.arrays)
    sizes = [m.out_features for m in task.make_model(SEED).modules() if isinstance(m, nn.Linear)]
    options: dict[str, Any] = {"batch_size": task.batch_size, "n_iter_no_change": epochs + 1}
    made = MLPClassifier(
        sizes[:-1], learning_rate_init=LR, max_iter=epochs, tol=0.0, random_state=SEED, **options
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.fit(x, y)
    return Turn(len(order(task, epochs)), time.perf_counter() - start)


def lightning(task: Task, epochs: int) -> Turn:
    """Lightning, with all that it prints and writes turned off; from its first step to its last."""
    library = importlib.import_module("lightning")
    clock: list[float] = []

    class Module(library.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = task.make_model(SEED)

        def training_step(self, batch: Any, _: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=LR)

        def on_train_start(self) -> None:
            clock.append(time.perf_counter())

        def on_train_end(self) -> None:
            clock.append(time.perf_counter())

    trainer = library.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loader = DataLoader(TensorDataset(*task.train.arrays), task.batch_size, shuffle=True)
    trainer.fit(Module(), loader)
    return Turn(len(order(task, epochs)), clock[1] - clock[0])


def skorch(task: Task, epochs: int) -> Turn:
    """skorch's NeuralNetClassifier."""
    library = importlib.import_module("skorch")
    net = library.NeuralNetClassifier(
        task.make_model(SEED), criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=LR,
        max_epochs=epochs, batch_size=task.batch_size, train_split=None, verbose=0,
        iterator_train__shuffle=True,
    )  # fmt: skip
    net.initialize()
    x, y = (part.numpy() for part in task.train.arrays)
    start = time.perf_counter()
    net.fit(x, y)
    return Turn(len(order(task, epochs)), time.perf_counter() - start)


def keras(task: Task, epochs: int) -> Turn:
    """Keras on torch; after one epoch that is not counted."""
    library = importlib.import_module("keras")
    if library.backend.backend() != "torch":
        raise ImportError("Keras runs on another backend; set KERAS_BACKEND=torch")
    x, y = (part.numpy() for part in task.train.arrays)
    sizes = [m.out_features for m in task.make_model(SEED).modules() if isinstance(m, nn.Linear)]
    layers = [library.layers.Dense(n, activation="relu") for n in sizes[:-1]]
    model = library.Sequential(
        [library.Input((x.shape[1],)), *layers, library.layers.Dense(sizes[-1])]
    )
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(library.optimizers.Adam(LR), loss)
    options = {"batch_size": task.batch_size, "verbose": 0}
    model.fit(x, y, epochs=1, **options)
    start = time.perf_counter()
    model.fit(x, y, epochs=epochs, **options)
    return Turn(len(order(task, epochs)), time.perf_counter() - start)


CONTENDERS: dict[str, Callable[[Task, int], Turn]] = {
    "plain loop": plain, "sliced, fused": sliced, "slalom.fit": ours,
    "fit, machine code": partial(ours, machine_code=True), "bare": bare,
    "scikit-learn": scikit, "Lightning": lightning, "skorch": skorch, "Keras": keras,
}  # fmt: skip
"""Name -> what trains so many epochs."""


def timed(problem: Problem, rounds: int) -> dict[str, float]:
    """Median seconds of a step of each contender, taking turns; one that cannot run is left out."""
    task = problem.make()
    task.make_model(0)  # which decides the dtype of its data
    found: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, contender in CONTENDERS.items():
            if name not in found:
                continue
            try:
                turn = contender(task, problem.epochs)
            except ImportError as error:
                print(f"  {name} does not run here: {error}")
                del found[name]
                continue
            found[name].append(turn.seconds / turn.steps)
    return {name: statistics.median(times) for name, times in found.items()}


def difference(problem: Problem, *, machine_code: bool = False) -> float:
    """By how much the losses of the plain loop and of ``fit`` differ at most, relatively."""
    task = problem.make()
    task.make_model(0)
    ours = losses_of_ours(task, 2, machine_code=machine_code)
    one, other = np.array(plain(task, 2).losses), np.array(ours)
    return float(np.max(np.abs(one - other) / one))


def main(rounds: int, name: str) -> list[str]:
    """Print seconds a step, and to the target; the bars that are missed."""
    problem = PROBLEMS[name]
    task = problem.make()
    arrived = fit(task, optim.Adam, lr=LR, seed=SEED, until_target=True, progress=False)
    reached = len(arrived.history) > 2 and arrived.status == "reached"
    steps = arrived.history[-3].step if reached else None
    print(f"\n{name}: batches of {task.batch_size}, {problem.epochs} epochs a turn")
    print(
        f"  losses of fit and of the plain loop differ by {difference(problem):.1g} at most, by "
        f"machine code by {difference(problem, machine_code=True):.1g}"
    )
    print(f"  {'':20}{'a step':>14}{'over fit':>14}{'to the target':>16}")
    times = timed(problem, rounds)
    for who, seconds in times.items():
        same = who in ("plain loop", "sliced, fused", "slalom.fit", "fit, machine code")
        there = f"{seconds * steps:.2f} s" if same and steps else ""
        over = f"{seconds / times['slalom.fit']:.2f}x"
        print(f"  {who:20}{readable(seconds):>14}{over:>14}{there:>16}", flush=True)
    missed = []
    gain = times["plain loop"] / times["slalom.fit"]
    if gain < problem.bar:
        missed.append(f"{name}: fit is {gain:.2f} times the plain loop, below {problem.bar}")
    if (over := times["slalom.fit"] / times["bare"]) > 1.05:
        missed.append(f"{name}: a step of fit is {over:.2f} times the bare one, above 1.05")
    return missed
