"""DataLoaders draw, cut and load as they do in torch; what cannot be had again is refused."""

import signal

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)

from slalom.errors import InputError
from slalom.racing.options import Options
from slalom.train import Run, Task, stream
from slalom.train.samples import Samples

N = 50
PAIRS = TensorDataset(torch.arange(float(N))[:, None], torch.zeros(N, 1))


class Seen(nn.Module):
    def __init__(self):
        super().__init__()
        self.f, self.seen = nn.Linear(1, 1), []

    def forward(self, x):
        if self.training:
            self.seen.append(x[:, 0].tolist())
        return self.f(x / N)


def flat(batches):
    return [x for batch in batches for x in batch]


def drawn(train, steps, seed=0, **options):
    task = Task(Seen, nn.MSELoss(), train, (PAIRS.tensors), "mse", **options)
    made = Run(task, lambda p: torch.optim.SGD(p, lr=0.01), seed)
    made.advance(steps)
    return made.model.seen


class Buckets(Sampler):
    def __iter__(self):
        return iter([list(range(10 * i, 10 * i + 10 - i)) for i in torch.randperm(5).tolist()])

    def __len__(self):
        return 5


def test_batches_of_the_users_own():
    seen = drawn(DataLoader(PAIRS, batch_sampler=Buckets()), 10)
    assert sorted(len(b) for b in seen[:5]) == [6, 7, 8, 9, 10]
    assert all(b == list(np.arange(b[0], b[0] + len(b))) for b in seen)
    assert seen[:5] != seen[5:]  # another epoch
    assert seen == drawn(DataLoader(PAIRS, batch_sampler=Buckets()), 10)
    assert seen != drawn(DataLoader(PAIRS, batch_sampler=Buckets()), 10, seed=1)


def test_order_and_end_of_an_epoch():
    assert [len(b) for b in drawn(DataLoader(PAIRS, 16, shuffle=True), 4)] == [16, 16, 16, 2]
    seen = drawn(DataLoader(PAIRS, 16, shuffle=True, drop_last=True), 6)
    assert [len(b) for b in seen] == [16] * 6
    assert flat(drawn(DataLoader(PAIRS, 16), 4)) == list(range(N))
    own = BatchSampler(RandomSampler(PAIRS), 7, drop_last=True)
    assert [len(b) for b in drawn(DataLoader(PAIRS, batch_sampler=own), 8)] == [7] * 8


def test_torchs_samplers():
    weights = [1.0] * 5 + [0.0] * (N - 5)
    seen = drawn(DataLoader(PAIRS, 10, sampler=WeightedRandomSampler(weights, 40)), 8)
    assert {x for b in seen for x in b} == set(range(5))
    seen = drawn(DataLoader(PAIRS, 5, sampler=SubsetRandomSampler(range(20, 30))), 2)
    assert sorted(flat(seen)) == list(range(20, 30))
    seen = drawn(DataLoader(PAIRS, 10, sampler=RandomSampler(PAIRS, True, 30)), 3)
    assert len(set(flat(seen))) < 30
    seen = drawn(DataLoader(PAIRS, 30, sampler=RandomSampler(PAIRS, num_samples=70)), 3)
    assert [len(b) for b in seen] == [30, 30, 10]


class Augmented(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, i):
        return torch.tensor([i + float(np.random.rand())]) + torch.rand(1), torch.zeros(1)


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set")
def test_workers_change_no_number():
    def found(workers):
        loader = DataLoader(
            Augmented(), 8, shuffle=True, num_workers=workers, pin_memory=workers > 0
        )
        task = Task(Seen, nn.MSELoss(), loader, PAIRS.tensors, "mse")
        made = Run(task, lambda p: torch.optim.SGD(p, lr=0.01), 0)
        made.advance(3), made.evaluate(), made.advance(6)
        return made.model.seen, made._random.state()["torch"][0].tolist()  # none drawn of the run's

    assert found(0) == found(2)


def test_tensors_are_collated_by_the_users_own_function():
    loader = DataLoader(PAIRS.tensors[0], 8, collate_fn=lambda rows: 100 + torch.stack(rows))
    assert Samples(loader, "train").fetch(torch.arange(2)).tolist() == [[100], [101]]


class Whole(Dataset):
    """Of batches."""

    def __len__(self):
        return 5

    def __getitem__(self, i):
        if i >= 5:
            raise IndexError
        return torch.full((1 + i, 1), float(i)), torch.zeros(1 + i, 1)


def test_a_dataset_of_batches():
    loader = DataLoader(Whole(), batch_size=None, shuffle=True)
    task = Task(Seen, nn.MSELoss(), loader, DataLoader(Whole(), batch_size=None), "mse")
    task.check()
    run = Run(task, lambda p: torch.optim.SGD(p, lr=0.01), 0)
    for _ in range(5):
        run.advance(1)
    assert sorted(len(b) for b in run.model.seen[-5:]) == [1, 2, 3, 4, 5]
    for own in (loader, DataLoader(PAIRS, batch_sampler=Buckets())):
        task = Task(Seen, nn.MSELoss(), own, PAIRS.tensors, "mse", 0.1)
        with pytest.raises(InputError, match="searched or set for SGD, and train makes its own"):
            Options(["SGD"], batch_sizes=(2, 4)).check(task)


class Growing(Sampler):
    """20 samples in the first epoch, 40 in the second, as a curriculum has them."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return min(N, 20 * (1 + self.epoch))

    def __iter__(self):
        return iter(torch.randperm(len(self)).tolist())


def test_epochs_that_grow_are_counted_as_they_are():
    loader = DataLoader(PAIRS, 10, sampler=Growing())
    task = Task(Seen, nn.MSELoss(), loader, PAIRS.tensors, "mse", budget="3.5 epochs",
                schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
                schedule_every="epoch")  # fmt: skip
    assert task.max_steps == 2 + 4 + 5 + 3
    one, other = (Run(task, lambda p: torch.optim.SGD(p, lr=1e-4), 0) for _ in range(2))
    rates = [(one.advance(1), one.optimizer.param_groups[0]["lr"])[1] for _ in range(5)]
    other.load_state_dict(one.state_dict())
    rates += [(other.advance(1), other.optimizer.param_groups[0]["lr"])[1] for _ in range(8)]
    assert rates == [1e-4] + 4 * [0.5e-4] + 5 * [0.25e-4] + 3 * [0.125e-4]


class Scaled(Augmented):
    scale = 1

    def __getitem__(self, i):
        return torch.tensor([float(i * self.scale)]), torch.zeros(1)


def scale(worker):
    get_worker_info().dataset.scale = 1000


def test_a_worker_is_begun_by_the_users_own_function():
    loader = DataLoader(Scaled(), 8, num_workers=1, worker_init_fn=scale)
    assert flat(drawn(loader, 2)) == [1000.0 * i for i in range(16)]


@pytest.mark.parametrize("given", [
    lambda: DataLoader(PAIRS, N + 1, drop_last=True),
    lambda: DataLoader(PAIRS, 8, sampler=SubsetRandomSampler(range(7)), drop_last=True),
])  # fmt: skip
def test_a_loader_that_drops_all_it_has_is_refused(given):
    with pytest.raises(InputError, match="the DataLoader of train drops its only batch: batch_s"):
        drawn(given(), 1)
    with pytest.raises(InputError, match="the DataLoader of valid drops"):
        Task(Seen, nn.MSELoss(), PAIRS.tensors, given(), "mse")


class Listening(Augmented):
    def __getitem__(self, i):
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        return torch.zeros(1), torch.zeros(1)


class ListeningStream(IterableDataset):
    def __iter__(self):
        return (Listening()[i] for i in range(9))


@pytest.mark.parametrize("data", [Listening(), ListeningStream()])
def test_ctrl_c_is_left_to_who_started_the_workers(data):
    assert drawn(DataLoader(data, 3, num_workers=1), 3)


class Yielding(IterableDataset):
    def __iter__(self):
        return ((torch.tensor([float(i)]), torch.zeros(1)) for i in torch.randperm(21).tolist())


def test_an_iterable_dataset(monkeypatch):
    seen = drawn(Yielding(), 9, batch_size=8)
    assert [len(b) for b in seen] == [8, 8, 5] * 3
    assert sorted(flat(seen[:3])) == list(range(21))
    assert seen[:3] != seen[3:6]
    assert seen == drawn(DataLoader(Yielding(), 8), 9)

    class Endless(IterableDataset):
        def __iter__(self):
            while True:
                yield torch.zeros(1), torch.zeros(1)

    monkeypatch.setattr(stream, "MOST", 100)
    with pytest.raises(InputError, match="give it a __len__"):
        drawn(DataLoader(Endless(), 8), 1)
    Endless.__len__ = lambda self: 24
    assert [len(b) for b in drawn(DataLoader(Endless(), 8), 4)] == [8] * 4
