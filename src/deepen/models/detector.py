"""Finds things in pictures: any network for pictures, a pyramid over its maps, boxes at every place, no anchors.

    maps = backbone(picture), the last of each resolution - pyramid - shared branches - K scores and a box at every place

Papers   see nn/pyramid.py and nn/detection.py.
Differs  of the networks whose parts these are: a small backbone that begins from nothing, two convolutions a branch.
Counts   at 1 class, 3 channels, pictures above 64 pixels a side: 3,088,229.
Letters  B pictures, A places, K classes
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.nn.inputs import backbone as backbone_of
from deepen.nn.inputs import picture_of
from deepen.nn.pyramid import Branches, Pyramid, places
from deepen.schema import Activation, Count, Spec
from deepen.signature import Signature

SMALL = {"name": "resnet", "depth": 18, "width": 32}


class Detector(nn.Module):
    """Boxes around things at several scales, with any network for pictures below.

    backbone    a network for pictures with maps on its way: resnet50, {name: mobilenet, version: v3_small}, ...;
                none: a residual network of 18 layers, half as wide as usual
    width       channels of the pyramid and the branches
    depth       convolutions of a branch
    levels      resolutions that are looked at, from the coarsest on, as far as the backbone has them
    """

    takes = ("image",)
    gives = "places"
    kinds = ("boxes",)
    tiny = {"backbone": {"name": "resnet", "depth": 8, "width": 4}, "width": 8, "depth": 1, "levels": 2}

    def __init__(
        self,
        signature: Signature,
        backbone: Spec | None = None,
        width: Count = 64,
        depth: Count = 2,
        levels: Count = 3,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        image = picture_of(signature, "detector")
        self.backbone = backbone_of(backbone or SMALL, signature, "model.backbone", has="maps")
        frame = torch.zeros(1, image.channels, image.height, image.width)
        self.used, shapes = _levels(self.backbone, frame, levels)
        _cut(self.backbone, frame, self.used)
        self.pyramid = Pyramid([shape[1] for shape in shapes], width, activation)
        grid = [places(shape[2], shape[3]) for shape in shapes]
        self.branches = Branches(width, depth, len(signature.answer.classes), grid, activation)

    def maps(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) to the pyramid's maps, fine to coarse."""
        found = self.backbone.maps(image)
        return self.pyramid([found[i] for i in self.used])

    def features(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, levels * width)."""
        return torch.cat([level.flatten(2).mean(2) for level in self.maps(image)], 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (B, A, 4) as shares of the frame, logits (B, A, K), places (A, 4)."""
        return self.branches(self.maps(image))


def _levels(net: Any, frame: Tensor, levels: int) -> tuple[list[int], list[torch.Size]]:
    """The last map of each of the coarsest resolutions: which, and their shapes."""
    with torch.no_grad():
        shapes = [found.shape for found in net.eval().maps(frame)]
    net.train()
    if any(len(shape) != 4 for shape in shapes):  # a checkpoint's own rows of patches
        raise DeepenError("model.part", "model.backbone", "its maps are rows", "maps of places (B, C, H, W)", "resnet")
    last = [i for i, shape in enumerate(shapes) if i + 1 == len(shapes) or shapes[i + 1][2:] != shape[2:]]
    return last[-levels:], [shapes[i] for i in last[-levels:]]


def _cut(net: nn.Module, frame: Tensor, used: list[int]) -> None:
    """Take out what the maps do not come through: the last layers of a classifier."""
    found = net.eval().maps(frame)  # type: ignore[operator]
    sum(found[i].sum() for i in used).backward()
    for name, part in list(net.named_children()):
        own = list(part.parameters())
        if own and all(p.grad is None for p in own):
            setattr(net, name, nn.Identity())
    net.zero_grad()
    net.train()
