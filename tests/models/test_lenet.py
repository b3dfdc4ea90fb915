"""LeNet-5: pooled first or activated first is the same for the maximum."""

import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from deepen.kinds.classes import Classes
from deepen.models.lenet import LeNet
from deepen.preprocess.image import Image
from deepen.signature import Signature


def test_answers_as_if_activated_before_the_pool() -> None:
    signature = Signature({"image": Image(28, 28, 1)}, {"label": Classes(tuple("abcdefghij"))})
    torch.manual_seed(0)
    net = LeNet(signature)
    first, pool, act, second, *_ = net.convolutions
    usual = nn.Sequential(first, act, pool, second, act, pool, nn.Flatten(), net.dense, net.last)
    images = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(net(images), usual(images))
    assert sum(p.numel() for p in net.parameters()) == 61_706


def test_what_is_averaged_is_then_squashed() -> None:
    """As the paper has it; there the order makes a difference."""
    signature = Signature({"image": Image(20, 24, 1)}, {"label": Classes(("a", "b"))})
    net, images = LeNet(signature, "average", "tanh").eval(), torch.randn(3, 1, 20, 24)
    first, second = (m for m in net.convolutions if isinstance(m, nn.Conv2d))
    maps = avg_pool2d(second(avg_pool2d(first(images), 2).tanh()), 2).tanh()
    one, two = (m for m in net.dense if isinstance(m, nn.Linear))
    torch.testing.assert_close(net(images), net.last(two(one(maps.flatten(1)).tanh()).tanh()))
