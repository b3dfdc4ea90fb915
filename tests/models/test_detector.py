"""The detector: what it is made of, on which backbones it stands, and that boxes keep to their place."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from deepen.errors import DeepenError
from deepen.kinds.boxes import Boxes
from deepen.kinds.classes import Classes
from deepen.nn.inputs import network
from deepen.preprocess.image import Image
from deepen.signature import Signature


def signature(side: int = 128, classes: int = 2) -> Signature:
    names = tuple(f"thing {i}" for i in range(classes))
    return Signature({"image": Image(side, side, 3, "fit")}, {"things": Boxes(names)})


def count(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_the_default_has_the_parameters_of_its_parts():
    classifier = network(
        {"name": "resnet", "depth": 18, "width": 32},
        Signature({"image": Image(128, 128, 3)}, {"x": Classes(("a", "b"))}),
    )
    backbone = count(classifier) - count(classifier.last)
    pyramid = sum(c * 64 + 2 * 64 for c in (64, 128, 256)) + 3 * (64 * 64 * 9 + 2 * 64)
    branches = 2 * (2 * 64 * 64 * 9 + 3 * 2 * 2 * 64) + 64 * 1 + 1 + 64 * 4 + 4
    assert count(network({"name": "detector"}, signature(classes=1))) == backbone + pyramid + branches == COUNT


COUNT = 3_088_229


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [
        ("mobilenet_v3_small", None),
        ({"name": "efficientnet", "width": 0.2, "depth": 0.2}, None),
        ({"name": "vgg", "depth": 11, "multiplier": 0.1}, [26, 51, 51]),
        ({"name": "cnn", "channels": [8, 16, 24, 32], "residual": True, "stride": 2, "pool": "none"}, [16, 24, 32]),
    ],
)
def test_it_stands_on_any_network_with_maps(backbone, channels):
    """The three coarsest resolutions, each half the one before; the classifier's last layers are gone."""
    net = network({"name": "detector", "backbone": backbone, "width": 8, "depth": 1}, signature())
    inside = [side[0].in_channels for side in net.pyramid.sides]
    assert channels is None or inside == channels
    maps = net.maps(torch.randn(2, 3, 128, 128))
    sides = [level.shape[-1] for level in maps]
    assert len(maps) == 3
    assert [a / b for a, b in pairwise(sides)] == [2, 2]
    boxes, logits, _ = net(torch.randn(2, 3, 128, 128))
    assert boxes.shape == (2, sum(s * s for s in sides), 4)
    (boxes.sum() + logits.sum()).backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None]
    assert not isinstance(getattr(net.backbone, "last", None), torch.nn.Linear)


def test_what_is_moved_by_a_cell_is_found_a_cell_on():
    """Places do not know where they are: the same picture further on gives the same box further on."""
    torch.manual_seed(0)
    net = network(
        {"name": "detector", "backbone": "resnet20", "width": 8, "depth": 1, "levels": 1}, signature(64)
    ).eval()
    picture = torch.zeros(1, 3, 64, 64)
    picture[..., 28:36, 24:32] = 1
    here, there = net(picture), net(picture.roll(4, 3))
    side = round(here[0].shape[1] ** 0.5)
    moved = 4 * side // 64
    assert moved == 1
    step = torch.tensor([4 / 64, 0, 4 / 64, 0])
    a = here[0].view(side, side, 4)[6:10, 5:9] + step
    b = there[0].view(side, side, 4)[6:10, 6:10]
    torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_a_backbone_for_larger_pictures_is_told_as_what_it_is():
    match = (
        r"model.backbone alexnet: pictures of 40 x 40. .*data.size=63, .*: model.backbone=cnn, model.backbone=resnet20"
    )
    with pytest.raises(DeepenError, match=match):
        network({"name": "detector", "backbone": "alexnet"}, signature(40))


def test_before_it_learns_every_place_is_unlikely_and_has_a_box_around_it():
    """Scores near 0.01 (Lin et al. 2017, section 3.3); a box of two strides a side."""
    torch.manual_seed(0)
    net = network(
        {"name": "detector", "backbone": "resnet20", "width": 8, "depth": 1, "levels": 1}, signature(64)
    ).eval()
    boxes, logits, places = net(torch.zeros(1, 3, 64, 64))
    torch.testing.assert_close(logits.sigmoid().mean(), torch.tensor(0.01), atol=2e-3, rtol=0)
    centre, stride = places[:, :2], places[:, 2:]
    torch.testing.assert_close(boxes[0], torch.cat([centre - stride, centre + stride], 1), atol=0.1, rtol=0)
    assert (boxes[0, :, 2:] > boxes[0, :, :2]).all()
