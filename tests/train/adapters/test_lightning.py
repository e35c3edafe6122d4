"""A LightningModule becomes a task that trains as a real Trainer fits it."""

import lightning
import pytest
import torch
import torchmetrics
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from slalom.errors import InputError
from slalom.racing.options import Options
from slalom.train import Run, Task
from slalom.train.groups import scaled

X = torch.randn(150, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Data(lightning.LightningDataModule):
    def setup(self, stage):
        self.train, self.valid = TensorDataset(X[:100], Y[:100]), TensorDataset(X[100:], Y[100:])

    def train_dataloader(self):
        return DataLoader(self.train, 8)

    def val_dataloader(self):
        return DataLoader(self.valid, 16)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return 2 * batch[0], batch[1]


class Net(lightning.LightningModule):
    def __init__(self, schedule=None, interval="epoch", slow=1.0):
        super().__init__()
        self.schedule, self.interval, self.slow = schedule, interval, slow
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)
        self.accuracy = torchmetrics.Accuracy("multiclass", num_classes=2)
        self.seen = []

    def forward(self, x):
        return self.last(self.first(x).relu())

    def training_step(self, batch, batch_idx):
        self.seen.append((self.global_step, self.current_epoch, batch_idx))
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss * (1 + 0.1 * self.current_epoch)

    def validation_step(self, batch):
        outputs = self(batch[0])
        self.accuracy(outputs, batch[1])
        self.log_dict(
            {"val_acc": self.accuracy, "val_share": (outputs.argmax(1) == batch[1]).float().mean()}
        )
        self.log("val_loss", nn.functional.cross_entropy(outputs, batch[1]), on_epoch=True)

    def on_validation_epoch_end(self):
        self.log("val_twice", 2 * self.accuracy.compute())

    def configure_optimizers(self):
        groups = [{"params": self.first.parameters(), "lr": 0.1 * self.slow},
                  {"params": self.last.parameters()}]  # fmt: skip
        optimizer = torch.optim.SGD(groups, lr=0.1)
        if self.schedule is None:
            return optimizer
        config = {"scheduler": self.schedule(optimizer), "interval": self.interval}
        return {"optimizer": optimizer, "lr_scheduler": config}


class Losses(lightning.Callback):
    def __init__(self):
        self.found = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.found.append(outputs["loss"].item())


def scheduled(kind, **options):
    return lambda optimizer: getattr(torch.optim.lr_scheduler, kind)(optimizer, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"slow": 0.25},
        {"schedule": scheduled("MultiStepLR", milestones=[5, 9], gamma=0.3), "interval": "step"},
        {"schedule": scheduled("CosineAnnealingLR", T_max=20), "interval": "step", "slow": 0.5},
        {"schedule": scheduled("LambdaLR", lr_lambda=lambda epoch: 0.5**epoch)},
    ],
)
def test_it_trains_as_a_trainer_fits_it(tmp_path, options):
    task = Task.from_lightning(Net(**options), Data(), metric="val_acc", max_steps=26)
    task.check()
    run = Run(task, lambda g: torch.optim.SGD(scaled(g, {"lr": 0.1}), lr=0.1), 2)
    found = [run.advance(1) for _ in range(26)]
    with torch.random.fork_rng():
        torch.manual_seed(2)
        theirs, losses = Net(**options), Losses()
        theirs.load_state_dict(task.make_model(2).state_dict())
        trainer = lightning.Trainer(
            max_epochs=2, logger=False, enable_progress_bar=False, enable_checkpointing=False,
            callbacks=[losses], accelerator="cpu", num_sanity_val_steps=0,
            enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(theirs, Data())
    assert found == losses.found
    assert run.model.seen == theirs.seen
    logged = trainer.callback_metrics
    run.evaluate()  # which leaves nothing for the next
    evaluated = run.evaluate()
    assert evaluated.metric == pytest.approx(logged["val_acc"].item())
    assert evaluated.valid_loss == pytest.approx(logged["val_loss"].item(), rel=1e-5)
    for name in ("val_share", "val_twice"):
        other = Task.from_lightning(
            Net(**options), Data(), metric=name, higher_is_better=True, max_steps=26
        )
        assert other.judge(run.model.eval())[1] == pytest.approx(logged[name].item())


def test_what_only_looks_on_is_told_of():
    class Looking(Net):
        def on_train_epoch_end(self):
            self.log("epochs", self.current_epoch)

    with pytest.warns(UserWarning, match="has an on_train_epoch_end, which a race does not call"):
        Task.from_lightning(Looking(), Data())


def test_a_module_of_hyperparameters_is_made_of_them():
    class Bare(Net):
        def __init__(self, width):
            super().__init__()
            self.save_hyperparameters()
            self.scale = nn.Parameter(torch.full((1,), float(width)))

    task = Task.from_lightning(Bare(3), Data())
    assert task.make_model(0).scale.item() == 3
    assert not torch.equal(task.make_model(0).first.weight, task.make_model(1).first.weight)


class Manual(Net):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False


class Hooked(Net):
    def on_after_backward(self):
        pass


class Asking(Net):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) * self.trainer.num_training_batches


class Two(Net):
    def configure_optimizers(self):
        return [torch.optim.SGD(p.parameters(), 0.1) for p in (self.first, self.last)]


class Long(Net):
    def configure_optimizers(self):
        return scheduled("LinearLR", total_iters=self.trainer.estimated_stepping_batches)(
            super().configure_optimizers()
        )


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (Manual(), {}, "Manual makes its updates itself"),
        (Hooked(), {}, "Hooked has an on_after_backward of its own"),
        (Asking(), {}, "asks for trainer.num_training_batches, and a race has no Trainer"),
        (Two(), {}, "configure_optimizers makes 2 optimizers"),
        (Long(), {}, "asks how long it is trained; give max_steps="),
        (Net(scheduled("ReduceLROnPlateau")), {}, "ReduceLROnPlateau follows a metric"),
        (Net(scheduled("OneCycleLR", max_lr=1.0, total_steps=9)), {}, "does not say what it was"),
        (Net(), {"metric": "val_bccuracy", "higher_is_better": True},
         "logs val_acc, val_share, val_loss, val_twice in its validation"),
        (Net(), {"metric": "quality"}, "whether a larger quality is better is not known"),
        (nn.Linear(2, 2), {}, "the module is a Linear; it must be a LightningModule"),
    ],
)  # fmt: skip
def test_what_would_be_missed_is_refused(module, options, message):
    with pytest.raises(InputError, match=message):
        Task.from_lightning(module, Data(), **options).check()


def test_data_must_be_somewhere():
    with pytest.raises(InputError, match="there is no train_dataloader; give the data as train="):
        Task.from_lightning(Net())
    Task.from_lightning(Net, train=DataLoader(TensorDataset(X, Y), 8), valid=(X, Y)).check()


def test_a_race_of_it_can_be_gone_on_with():
    one, two = (Task.from_lightning(Net(), Data()) for _ in range(2))
    assert Options().record(one) == Options().record(two)
