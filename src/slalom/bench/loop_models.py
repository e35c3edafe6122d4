"""What ``slalom bench loop`` trains: small models of the usual kinds, each with one batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slalom.tasks import digits
from slalom.tasks import digits_cnn as cnn


class Loss:
    """The loss of a model on one batch.

    Args:
        of: (model, tensors) -> loss.
        batch: the tensors, a row of each a sample.
    """

    def __init__(self, of: Callable[..., Tensor], *batch: Tensor):
        self.of, self.batch = of, batch

    def __call__(self, model: nn.Module) -> Tensor:
        """The loss of a model of its kind."""
        return self.of(model, *self.batch)


Made = tuple[nn.Module, Loss]
"""A model, and its loss on the batch."""


def small_net() -> Made:
    """10-16-2, batches of 16."""
    return _classified(_mlp(10, 16, 2), torch.randn(16, 10), 2)


def digits_mlp() -> Made:
    """The network of the task digits, batches of 64."""
    return _classified(digits.model(), torch.randn(64, 64), 10)


def digits_cnn() -> Made:
    """The network of the task digits-cnn, batches of 64."""
    return _classified(cnn.model(), torch.randn(64, 64), 10)


class _Block(nn.Module):
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


class _Gpt(nn.Module):
    def __init__(self, letters: int, length: int, width: int, blocks: int):
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(_Block(width, 4) for _ in range(blocks)))
        self.last, self.head = nn.LayerNorm(width), nn.Linear(width, letters)

    def forward(self, text: Tensor) -> Tensor:
        places = self.places(torch.arange(text.shape[1]))
        return self.head(self.last(self.blocks(self.letters(text) + places))).transpose(1, 2)


def gpt() -> Made:
    """A transformer of 8 blocks, 102 tensors and 0.7M parameters; 8 texts of 32 letters."""
    text = torch.randint(96, (8, 33))
    return _Gpt(96, 32, 84, 8), Loss(lambda m, t: F.cross_entropy(m(t[:, :-1]), t[:, 1:]), text)


class _Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(16, 32, num_layers=15), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0][-1])


def rnn() -> Made:
    """Stacked GRUs of 15 layers, 62 tensors, 20 steps of 32 samples."""
    x = torch.randn(20, 32, 16).transpose(0, 1)
    labels = torch.randint(10, (32,))
    return _Gru(), Loss(lambda m, x, y: F.cross_entropy(m(x.transpose(0, 1)), y), x, labels)


def mlp_large() -> Made:
    """An MLP of 2.4M parameters, batches of 32."""
    return _classified(_mlp(784, 1024, 1024, 512, 10), torch.randn(32, 784), 10)


class _Residual(nn.Module):
    def __init__(self, width: int, new: int):
        super().__init__()
        stride = 1 if width == new else 2
        self.main = nn.Sequential(
            nn.Conv2d(width, new, 3, stride, 1, bias=False), nn.BatchNorm2d(new), nn.ReLU(),
            nn.Conv2d(new, new, 3, 1, 1, bias=False), nn.BatchNorm2d(new),
        )  # fmt: skip
        self.side = nn.Identity()
        if width != new:
            side = nn.Conv2d(width, new, 1, stride, bias=False), nn.BatchNorm2d(new)
            self.side = nn.Sequential(*side)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.side(x))


def resnet18() -> Made:
    """A ResNet-18 for 32x32 images, 11M parameters, batches of 8."""
    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        *(_Residual(a, b) for a, b in pairwise(widths)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    return _classified(model, torch.randn(8, 3, 32, 32), 10)


def many_tensors() -> Made:
    """150 linear layers of 64, 300 tensors, batches of 32."""
    layers = [nn.Linear(64, 64) for _ in range(150)]
    return _classified(nn.Sequential(*layers), torch.randn(32, 64), 64)


MODELS: dict[str, Callable[[], Made]] = {
    "net 10-16-2": small_net, "digits MLP": digits_mlp, "digits CNN": digits_cnn, "GPT 0.7M": gpt,
    "RNN": rnn, "MLP 2.4M": mlp_large, "ResNet-18": resnet18, "300 tensors": many_tensors,
}  # fmt: skip
"""Name -> what makes the model and its loss, the same ones under the same seed."""


def _mlp(*widths: int) -> nn.Module:
    parts: list[nn.Module] = []
    for a, b in pairwise(widths):
        parts += nn.Linear(a, b), nn.ReLU()
    return nn.Sequential(*parts[:-1])


def _classified(model: nn.Module, x: Tensor, classes: int) -> Made:
    labels = torch.randint(classes, (len(x),))
    return model, Loss(lambda m, x, y: F.cross_entropy(m(x), y), x, labels)


def described(model: nn.Module) -> str:
    """How many tensors and parameters a model has."""
    sizes = [math.prod(p.shape) for p in model.parameters()]
    return f"{len(sizes)} tensors, {sum(sizes):,} parameters"
