"""A LightningModule becomes a task that trains as a real Trainer fits it."""

import lightning
import pytest
import torch
import torchmetrics
from lightning.pytorch.loggers.logger import DummyLogger
from torch import nn
from torch.optim import lr_scheduler as schedulers
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
    def __init__(self, schedule=None, interval="epoch", slow=1.0, **config):
        super().__init__()
        self.schedule, self.slow, self.config = schedule, slow, {"interval": interval, **config}
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)
        self.accuracy = torchmetrics.Accuracy("multiclass", num_classes=2)
        self.seen = []

    def forward(self, x):
        return self.last(self.first(x).relu())

    def on_train_epoch_start(self):
        self.first.requires_grad_(self.current_epoch > 0)  # thawed after the first epoch
        self.seen.append("an epoch")

    def on_train_start(self):
        self.seen.append("the beginning")

    def on_train_batch_start(self, batch, batch_idx):
        self.seen.append(len(batch[0]))

    def training_step(self, batch, batch_idx):
        self.seen.append((self.global_step, self.current_epoch, batch_idx))
        self.logger.experiment.add_scalar("rate", self.optimizers().param_groups[0]["lr"])
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
        config = {"scheduler": self.schedule(optimizer, self.trainer), **self.config}
        return {"optimizer": optimizer, "lr_scheduler": config}


class Losses(lightning.Callback):
    def __init__(self):
        self.found = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.found.append(outputs["loss"].item())


def scheduled(kind, **options):
    return lambda optimizer, trainer: getattr(schedulers, kind)(optimizer, **options)


def one_cycle(optimizer, trainer):
    top = [group["lr"] for group in optimizer.param_groups]
    return schedulers.OneCycleLR(optimizer, top, trainer.estimated_stepping_batches)


def cyclic(optimizer, trainer):
    return schedulers.CyclicLR(optimizer, 0.02, 0.1, step_size_up=5, cycle_momentum=False)


def plateau(optimizer, trainer):
    return schedulers.ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=0)


def cosine(optimizer, trainer):
    return schedulers.CosineAnnealingLR(optimizer, trainer.max_epochs)


def warmed(optimizer, trainer):
    parts = [schedulers.LinearLR(optimizer, 0.1, total_iters=4),
             schedulers.CosineAnnealingLR(optimizer, 9)]  # fmt: skip
    return schedulers.SequentialLR(optimizer, parts, [4])


def at_once(optimizer, trainer):
    parts = [schedulers.LinearLR(optimizer), schedulers.ExponentialLR(optimizer, 0.9)]
    return schedulers.ChainedScheduler(parts)


class OwnSchedule(schedulers.LRScheduler):
    def get_lr(self):
        return [rate / (1 + self.last_epoch) for rate in self.base_lrs]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"slow": 0.25},
        {"schedule": scheduled("MultiStepLR", milestones=[5, 9], gamma=0.3), "interval": "step"},
        {"schedule": scheduled("CosineAnnealingLR", T_max=20), "interval": "step", "slow": 0.5},
        {"schedule": scheduled("LambdaLR", lr_lambda=lambda epoch: 0.5**epoch)},
        {"schedule": cyclic, "interval": "step"},
        {"schedule": one_cycle, "interval": "step", "slow": 0.5}, {"schedule": cosine},
        {"schedule": warmed, "interval": "step"}, {"schedule": at_once, "interval": "step"},
        {"schedule": lambda optimizer, trainer: OwnSchedule(optimizer), "interval": "step"},
        {"schedule": scheduled("StepLR", step_size=1, gamma=0.5), "frequency": 2},
        {"schedule": at_once, "interval": "step", "frequency": 5},
        {"schedule": plateau, "monitor": "val_loss", "slow": 0.5},
        {"schedule": plateau, "monitor": "val_twice"},
    ],
)  # fmt: skip
def test_it_trains_as_a_trainer_fits_it(tmp_path, options):
    task = Task.from_lightning(Net(**options), Data(), metric="val_acc", max_steps=39)
    task.check()
    run = Run(task, lambda g: torch.optim.SGD(scaled(g, {"lr": 0.1}), lr=0.1), 2)
    found = [run.advance(1) for _ in range(39)]
    with torch.random.fork_rng():
        torch.manual_seed(2)
        theirs, losses = Net(**options), Losses()
        theirs.load_state_dict(task.make_model(2).state_dict())
        trainer = lightning.Trainer(
            max_epochs=3, logger=DummyLogger(), enable_progress_bar=False,
            enable_checkpointing=False,
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
            Net(**options), Data(), metric=name, higher_is_better=True, max_steps=39
        )
        assert other.judge(run.model.eval())[1] == pytest.approx(logged[name].item())


def test_a_schedule_that_asks_for_the_length_ends_with_each_run():
    task = Task.from_lightning(Net(one_cycle, "step"), Data(), budget="3 epochs")
    assert (task.schedule.ends, task.schedule.told) == (True, "OneCycleLR schedule")
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for updates in (10, 20):
        run = Run(
            task, lambda g: torch.optim.SGD(scaled(g, {"lr": 2.0}), lr=2.0), 2, updates=updates
        )
        rates = []
        for _ in range(updates):
            rates += [run.optimizer.param_groups[1]["lr"]]
            run.advance(1)
        assert max(rates) == pytest.approx(2.0, rel=0.01)
        assert rates.index(max(rates)) == pytest.approx(0.3 * updates, abs=1.1)
        assert rates[-1] < 0.1
    assert torch.equal(torch.get_rng_state(), before)
    assert not Task.from_lightning(Net(warmed, "step"), Data()).schedule.ends


def test_a_run_goes_on_in_the_midst_of_a_schedule():
    task = Task.from_lightning(Net(at_once, "step"), Data(), max_steps=26)
    one, other = (Run(task, lambda g: torch.optim.SGD(g, lr=0.3), 2) for _ in range(2))
    one.advance(7)
    other.load_state_dict(one.state_dict())
    assert [one.advance(1) for _ in range(9)] == [other.advance(1) for _ in range(9)]


class Cycled(Net):
    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
        return [optimizer], [schedulers.OneCycleLR(optimizer, 0.1, 26)]


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.NAdam, torch.optim.Adagrad])
def test_momentum_follows_the_schedule_where_there_is_one(make):
    task = Task.from_lightning(Cycled(), Data())
    assert task.parameter_groups is None
    run = Run(task, lambda g: make(scaled(g, {"lr": 0.3}), lr=0.3), 2)
    theirs = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.3)
    schedule = schedulers.OneCycleLR(theirs, 0.3, 26)
    for _ in range(3):
        (own,), (group,) = theirs.param_groups, run.optimizer.param_groups
        assert group["lr"] == pytest.approx(own["lr"])
        assert group.get("momentum", own["momentum"]) == own["momentum"]
        assert group.get("betas", (own["momentum"], 0.999)) == (own["momentum"], 0.999)
        run.advance(13)  # an epoch
        theirs.step()
        schedule.step()


def test_a_module_is_told_how_long_its_run_is():
    class Long(Net):
        def training_step(self, batch, batch_idx):
            assert self.trainer.training
            assert not self.trainer.validating
            share = self.global_step / self.trainer.estimated_stepping_batches
            return super().training_step(batch, batch_idx) * share

    task = Task.from_lightning(Long(), Data(), budget="2 epochs")
    task.check()
    run = Run(task, lambda g: torch.optim.SGD(g, lr=0.0), 2, updates=52)
    assert run.advance(1) == 0
    assert run.model.trainer.max_steps == 52


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


class Skipping(Net):
    def on_train_batch_start(self, batch, batch_idx):
        return -1


class Asking(Net):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) * self.trainer.num_sanity_val_steps


class Two(Net):
    def configure_optimizers(self):
        return [torch.optim.SGD(p.parameters(), 0.1) for p in (self.first, self.last)]


class Long(Net):
    def setup(self, stage):
        self.total = self.trainer.estimated_stepping_batches


class Bare(Net):
    def configure_optimizers(self):
        return schedulers.LinearLR(super().configure_optimizers())


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (Manual(), {}, "Manual makes its updates itself"),
        (Skipping(), {}, "on_train_batch_start returns -1"),
        (Hooked(), {}, "Hooked has an on_after_backward of its own"),
        (Asking(), {}, "asks for trainer.num_sanity_val_steps, and a race has no Trainer"),
        (Two(), {}, "configure_optimizers makes 2 optimizers"),
        (Long(), {}, "asks how long it is trained; give max_steps="),
        (Net(plateau), {}, "the ReduceLROnPlateau has no monitor; configure_optimizers names one"),
        (Net(plateau, "step", monitor="val_loss"), {}, "told val_loss after every update, and a"),
        (Net(plateau, monitor="train_loss"), {}, "the schedule follows train_loss: the module logs "
         "val_acc, val_share, val_loss, val_twice in its validation, and no train_loss"),
        (Net(at_once, "step", frequency=2), {"accumulate": 2}, "counts every 2 batches, of which"),
        (Bare(), {}, "configure_optimizers gives a LinearLR and no optimizer for it"),
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
    often = {"monitor": "val_loss"}
    for made in (Net, lambda: Net(warmed, "step"), lambda: Net(one_cycle, "step"),
                 lambda: Net(plateau, **often)):  # fmt: skip
        one, two = (Task.from_lightning(made(), Data(), max_steps=26) for _ in range(2))
        assert Options().record(one) == Options().record(two)
