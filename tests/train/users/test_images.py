"""A folder of images, a class a folder, as torchvision's ImageFolder reads it; to the bit."""

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset, random_split

from slalom import Task


class Folder(Dataset):
    def __init__(self, root):
        self.files = sorted(root.glob("*/*.png"))

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        pixels = np.asarray(Image.open(self.files[i]), dtype=np.float32)
        return torch.from_numpy(pixels / 255)[None], int(self.files[i].parent.name == "dog")


def test_a_folder_of_images(losses, by_hand, by_torch, tmp_path):
    for i in range(60):
        file = tmp_path / ("cat", "dog")[i % 2] / f"{i}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((6, 6), 40 + 3 * i, np.uint8)).save(file)
    train, valid = random_split(Folder(tmp_path), [40, 20])
    task = Task(lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), nn.CrossEntropyLoss(),
                train, valid, target=0.9, batch_size=8)  # fmt: skip
    task.check()
    assert losses(task) == by_hand(task, by_torch)
