"""Pictures changed one by one, as PyTorch's tutorials do it: torchvision's transforms behind a Dataset.

torchvision's compiled operators do not load beside the CPU build of torch. The transforms need none of them, so their
names are declared and the import goes through. Where torchvision is not installed, the same steps written out.
"""

import functools
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import Dataset

from benchmarks import work


@functools.cache
def torchvision() -> Any:
    """torchvision, or None."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return None
    text = (Path(found.origin).parent / "_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "DEF")
    for name in set(re.findall(r'register_(?:meta|fake)\("(?:torchvision::)?(\w+)"', text)):
        library.define(f"{name}(Tensor x) -> Tensor")
    import torchvision

    torchvision.declared = library  # lives as long as the module
    return torchvision


class Digits(Dataset):
    """What `torchvision.datasets.MNIST(transform=Compose([...]))` gives: a picture and its class by number."""

    def __init__(self, data: work.Pictures) -> None:
        self.pictures, self.targets = torch.from_numpy(data.x), torch.from_numpy(data.y)
        self.transform = transform(data.mean / 255, data.deviation / 255)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pictures[index].numpy())), int(self.targets[index])


def transform(mean: float, deviation: float) -> Any:
    """Random crop, random flip, to a tensor, normalise."""
    vision = torchvision()
    if vision is None:
        return lambda picture: normalize(to_tensor(flip(crop(picture))), mean, deviation)
    from torchvision import transforms as t

    return t.Compose([
        t.RandomCrop(28, work.PADDING), t.RandomHorizontalFlip(work.FLIP), t.ToTensor(), t.Normalize((mean,), (deviation,))
    ])  # fmt: skip


def crop(picture: Image.Image) -> Image.Image:
    picture = ImageOps.expand(picture, work.PADDING)
    top, left = (int(torch.randint(0, 2 * work.PADDING + 1, (1,))) for _ in range(2))
    return picture.crop((left, top, left + 28, top + 28))


def flip(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < work.FLIP else picture


def to_tensor(picture: Image.Image) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(28, 28, 1)
    return tensor.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


def normalize(tensor: torch.Tensor, mean: float, deviation: float) -> torch.Tensor:
    tensor = tensor.clone()
    means, deviations = torch.as_tensor([mean]), torch.as_tensor([deviation])
    if (deviations == 0).any():
        raise ValueError("deviation of zero")
    return tensor.sub_(means.view(-1, 1, 1)).div_(deviations.view(-1, 1, 1))
