"""Real trainers take the optimizers as they are: twenty steps each, equal to torch's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from slalom import optim

PAIRS = [
    pytest.param(ours, theirs, arguments, id=ours.__name__)
    for ours, theirs, arguments in (
        (optim.AdamW, torch.optim.AdamW, {"lr": 1e-2}),
        (optim.SGD, torch.optim.SGD, {"lr": 1e-1, "momentum": 0.9, "nesterov": True}),
        (optim.RMSprop, torch.optim.RMSprop, {"lr": 1e-3}),
    )
]

Make = Callable[..., torch.optim.Optimizer]


def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return (x / 16)[:320], y[:320]


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Linear(64, 32), nn.LayerNorm(32), nn.Tanh(), nn.Linear(32, 10)
    return nn.Sequential(*layers).double()


def loader() -> DataLoader[Any]:
    x, y = digits()
    return DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), 32, shuffle=False)


def close(ours: nn.Module, theirs: nn.Module) -> None:
    start = network()
    for a, b, s in zip(ours.parameters(), theirs.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
        assert not torch.equal(a, s), "nothing was learnt"


@pytest.mark.parametrize(("ours", "theirs", "arguments"), PAIRS)
def test_lightning(ours: Make, theirs: Make, arguments: dict[str, Any], tmp_path: Path) -> None:
    """With a schedule, clipping by norm, and a checkpoint in the middle that is resumed."""
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")

    class Module(lightning.LightningModule):
        def __init__(self, make: Make) -> None:
            super().__init__()
            self.net, self.make = network(), make

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            x, y = batch
            return nn.functional.cross_entropy(self.net(x), y)

        def configure_optimizers(self) -> Any:
            optimizer = self.make(self.net.parameters(), **arguments)
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5)
            return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def fit(make: Make, epochs: int, resumed: Path | None = None) -> tuple[Any, Any]:
        module = Module(make)
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", devices=1, logger=False, barebones=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            gradient_clip_val=0.5, default_root_dir=tmp_path,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, loader(), ckpt_path=resumed, weights_only=False)
        return module, trainer

    whole, _ = fit(ours, 2)  # of ten steps each
    reference, _ = fit(theirs, 2)
    close(whole.net, reference.net)
    saved = tmp_path / "half.ckpt"
    _, trainer = fit(ours, 1)
    trainer.save_checkpoint(saved)
    resumed = [fit(make, 2, saved)[0].net for make in (ours, theirs)]  # torch goes on from it too
    for net in resumed:
        close(net, reference.net)


@pytest.mark.parametrize(("ours", "theirs", "arguments"), PAIRS)
@pytest.mark.parametrize("clip", [None, 0.1])
def test_lightning_in_mixed_precision(
    ours: Make, theirs: Make, arguments: dict[str, Any], clip: float | None, tmp_path: Path
) -> None:
    """It clips only where the optimizer says that it leaves the unscaling to others."""
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")

    class Module(lightning.LightningModule):
        def __init__(self, make: Make) -> None:
            super().__init__()
            self.net, self.make = network().float(), make

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            x, y = batch
            return nn.functional.cross_entropy(self.net(x.float()), y)

        def configure_optimizers(self) -> Any:
            return self.make(self.net.parameters(), **arguments)

    ends = []
    for make in (ours, theirs):
        module = Module(make)
        trainer = lightning.Trainer(
            max_epochs=1, accelerator="cpu", devices=1, logger=False, precision="bf16-mixed",
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            gradient_clip_val=clip, default_root_dir=tmp_path,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, loader())
        ends.append(torch.cat([p.detach().flatten() for p in module.net.parameters()]))
    start = torch.cat([p.detach().flatten() for p in network().float().parameters()])
    moved = (ends[1] - start).norm()
    assert moved > 0
    assert (ends[0] - ends[1]).norm() < 0.02 * moved  # the forward pass rounds to bfloat16


@pytest.mark.parametrize("more", [{}, {"fused": True}, {"fused": False}], ids=str)
def test_accelerate_sees_that_a_step_was_skipped(more: dict[str, Any]) -> None:
    """As it does with torch's class: its schedule waits for the next step then."""
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    from accelerate.optimizer import AcceleratedOptimizer
    from accelerate.scheduler import AcceleratedScheduler

    accelerate.Accelerator(cpu=True)
    seen = []
    for make in (optim.AdamW, torch.optim.AdamW):
        param = nn.Parameter(torch.ones(3))
        optimizer = make([param], lr=0.1, **more)
        wrapped = AcceleratedOptimizer(optimizer, scaler=torch.amp.GradScaler("cpu", 2.0))
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            paced = AcceleratedScheduler(schedule, wrapped)
            for bad in (True, False):
                wrapped.zero_grad()
                wrapped.scaler.scale(param.sum()).backward()
                if bad:
                    param.grad[0] = float("inf")
                wrapped.step()
                paced.step()
                seen.append((wrapped.step_was_skipped, optimizer.param_groups[0]["lr"]))
        seen.append(param.detach().tolist())
    assert seen[:2] == seen[3:5]
    assert seen[2] == pytest.approx(seen[5])


@pytest.mark.parametrize(("ours", "theirs", "arguments"), PAIRS)
def test_accelerate(ours: Make, theirs: Make, arguments: dict[str, Any], tmp_path: Path) -> None:
    """With accumulation over two batches, clipping, a schedule, and its own saved state."""
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")

    class Training:
        def __init__(self, make: Make) -> None:
            self.accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
            net = network()
            optimizer = make(net.parameters(), **arguments)
            schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
            self.net, self.optimizer, self.data, self.schedule = self.accelerator.prepare(
                net, optimizer, loader(), schedule
            )

        def epochs(self, count: int) -> nn.Module:
            for _ in range(count):
                for x, y in self.data:
                    with self.accelerator.accumulate(self.net):
                        self.accelerator.backward(nn.functional.cross_entropy(self.net(x), y))
                        if self.accelerator.sync_gradients:
                            self.accelerator.clip_grad_norm_(self.net.parameters(), 1.0)
                        self.optimizer.step()
                        self.schedule.step()
                        self.optimizer.zero_grad()
            return self.accelerator.unwrap_model(self.net)

    reference = Training(theirs).epochs(4)  # of five steps each
    close(Training(ours).epochs(4), reference)
    half = Training(ours)
    half.epochs(2)
    half.accelerator.save_state(str(tmp_path))
    for make in (ours, theirs):
        resumed = Training(make)
        resumed.accelerator.load_state(str(tmp_path))
        close(resumed.epochs(2), reference)


@pytest.mark.parametrize(("ours", "theirs", "arguments"), PAIRS)
def test_skorch(ours: Make, theirs: Make, arguments: dict[str, Any]) -> None:
    """As scikit-learn's users train, with a callback that clips and one that schedules."""
    skorch = pytest.importorskip("skorch", reason="skorch is not installed")
    from skorch.callbacks import GradientNormClipping, LRScheduler

    def fit(make: Make) -> nn.Module:
        torch.manual_seed(0)
        net = skorch.NeuralNetClassifier(
            network(), criterion=nn.CrossEntropyLoss, optimizer=make, max_epochs=2, batch_size=32,
            train_split=None, verbose=0, iterator_train__shuffle=False,
            callbacks=[
                GradientNormClipping(1.0),
                LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=7, step_every="batch"),
            ],
            **{f"optimizer__{name}": value for name, value in arguments.items()},
        )  # fmt: skip
        net.fit(*digits())
        assert net.score(*digits()) > 0.3
        return net.module_

    close(fit(ours), fit(theirs))
