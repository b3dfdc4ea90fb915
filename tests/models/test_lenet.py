"""LeNet-5: pooled first or activated first is the same for the maximum."""

import torch
from torch import nn

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
