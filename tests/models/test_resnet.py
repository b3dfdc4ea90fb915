"""ResNet: the paper's parameter counts, the shortcut without parameters by hand, and blocks that start as identity."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from deepen import registry
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.models.lenet import LeNet
from deepen.models.resnet import ResNet
from deepen.nn.layers import Bottleneck, Pad, Residual
from deepen.preprocess.image import Image
from deepen.preprocess.row import Row
from deepen.signature import Signature


def pictures(side: int, channels: int, classes: int) -> Signature:
    return Signature({"image": Image(side, side, channels)}, {"label": Classes(tuple(map(str, range(classes))))})


def weights(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("depth", "count"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)]
)
def test_photo_forms_have_the_published_number_of_parameters(depth, count):
    with torch.device("meta"):
        assert weights(ResNet(pictures(224, 3, 1000), depth)) == count


@pytest.mark.parametrize(
    ("depth", "count"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)]
)
def test_small_forms_have_the_published_number_of_parameters(depth, count):
    with torch.device("meta"):
        assert weights(ResNet(pictures(32, 3, 10), depth)) == count


def test_lenet_has_the_published_number_of_parameters():
    assert weights(LeNet(pictures(28, 1, 10))) == 61_706


def test_aliases_name_the_depth():
    for depth in (18, 34, 50, 101, 152, 20, 32, 44, 56, 110):
        assert registry.resolve("models", {"name": f"resnet{depth}"}, "model") == {"name": "resnet", "depth": depth}


def test_stem_by_size_of_the_picture():
    image = torch.zeros(1, 3, 64, 64)
    assert [m.shape[-1] for m in ResNet(pictures(64, 3, 2), 18).eval().maps(image)] == [64, 32, 16, 8]
    large = ResNet(pictures(64, 3, 2), 18, stem="imagenet").eval()
    assert [m.shape[-1] for m in large.maps(image)] == [16, 8, 4, 2]
    assert large.features(image).shape == (1, 512)
    assert ResNet(pictures(96, 3, 2), 18).stem[0].kernel_size == (7, 7)


def test_padded_shortcut_takes_every_second_place_and_adds_zero_channels():
    maps = torch.arange(2 * 2 * 5 * 5.0).reshape(2, 2, 5, 5)
    found = Pad(2, 5, 2)(maps)
    assert found.shape == (2, 5, 3, 3)
    torch.testing.assert_close(found[:, 1:3], maps[:, :, ::2, ::2])
    assert not found[:, [0, 3, 4]].any()


@pytest.mark.parametrize("block", [Residual, Bottleneck])
def test_block_is_the_sum_of_its_ways(block):
    """Against the formula, with the layers' own weights."""
    torch.manual_seed(0)
    net = block(8, 4, 2).eval()
    x = torch.randn(2, 8, 6, 6)
    y = x
    for layer in net.body:
        y = layer(y)
    way = net.shortcut[1](F.conv2d(x, net.shortcut[0].weight, stride=2))
    torch.testing.assert_close(net(x), F.relu(y + way))
    assert net(x).shape == (2, 4 * block.widening, 3, 3)


@pytest.mark.parametrize("depth", [20, 18])
def test_zero_start_makes_every_block_its_shortcut(depth):
    net = ResNet(pictures(32, 3, 10), depth, width=8, zero_start=True).eval()
    block = net.stages[0][1]
    x = torch.rand(1, 8, 4, 4)
    assert torch.equal(block(x), x)
    plain = ResNet(pictures(32, 3, 10), depth, width=8).eval().stages[0][1]
    assert not torch.equal(plain(x), x)


def test_wrong_depths_and_inputs_are_told():
    with pytest.raises(DeepenError, match=r"model.depth: got 19. Expected 18, 34, 50, 101, 152, or 6 n \+ 2"):
        ResNet(pictures(32, 3, 10), 19)
    rows = Signature({"row": Row(("x",))}, {"label": Classes(("a", "b"))})
    for net in (ResNet, LeNet):
        with pytest.raises(DeepenError, match="one image per item"):
            net(rows)
