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
from slalom.train import Run, Task, stream

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
        return made.model.seen

    assert found(0) == found(2)


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
