"""torchvision's ImageFolder and its random transforms, where torchvision is installed."""

import numpy as np
import pytest
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, random_split

from slalom import Task

try:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, RandomCrop, RandomHorizontalFlip, ToTensor
except (ImportError, RuntimeError):  # a build for another torch fails as it is imported
    pytest.skip("needs torchvision", allow_module_level=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_folder(losses, by_hand, tmp_path, workers):
    for i in range(60):
        (folder := tmp_path / ("cat", "dog")[i % 2]).mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 99 + 99 * (i % 2), (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    data = ImageFolder(tmp_path, Compose([RandomHorizontalFlip(), RandomCrop(6), ToTensor()]))
    train, valid = random_split(data, [40, 20])
    loader = DataLoader(train, 8, shuffle=True, num_workers=workers)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    task = Task(net, nn.CrossEntropyLoss(), loader, valid, target=0.9)
    assert losses(task) == by_hand(task)
