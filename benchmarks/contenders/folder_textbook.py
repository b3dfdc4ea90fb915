"""The textbook on a folder of photos: open, random resized crop, flip, to a tensor, normalise, one by one."""

import math
import os
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.turns import Turns

SIDE = 96
MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def one(path: Path) -> torch.Tensor:
    with Image.open(path) as file:
        picture = file.convert("RGB")
    area = picture.width * picture.height * random.uniform(0.35, 1)
    ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
    w = min(picture.width, round(math.sqrt(area * ratio)))
    h = min(picture.height, round(math.sqrt(area / ratio)))
    left, top = random.randint(0, picture.width - w), random.randint(0, picture.height - h)
    picture = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, left + w, top + h))
    if random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tensor = torch.from_numpy(np.array(picture, np.uint8)).permute(2, 0, 1).contiguous().float().div(255)
    return tensor.sub_(MEAN).div_(DEVIATION)


def main() -> None:
    torch.set_num_threads(1)
    turns = Turns(1)
    for _ in range(4):
        files = sorted((Path(os.environ["BENCHMARK_FOLDER"]) / "train").rglob("*.jpg"))
        random.shuffle(files)
        for start in range(0, len(files), 32):
            torch.stack([one(path) for path in files[start : start + 32]])
        turns.step()
    turns.finish(0.0, pictures=len(files))


main()
