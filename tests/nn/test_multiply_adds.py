"""Multiply-adds against published counts, torch's own counter and counts by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from deepen import registry
from deepen.kinds.classes import Classes
from deepen.nn.attention import MultiHead
from deepen.nn.inputs import network
from deepen.nn.multiply_adds import KERNELS, multiply_adds
from deepen.preprocess.image import Image
from deepen.signature import Signature

IMAGENET = Signature({"image": Image(224, 224, 3)}, {"label": Classes(tuple(map(str, range(1000))))})


def built(spec: dict[str, Any]) -> nn.Module:
    return network(registry.check("models", spec, "model", given=("signature",)), IMAGENET).eval()


@pytest.mark.parametrize(
    ("name", "billions"),
    [("mobilenet_v2", 0.301), ("efficientnet_b0", 0.386), ("resnet18", 1.814)],
)
def test_published_counts(name, billions):
    """As torchvision's weights have them, at 224 x 224 and 1000 classes."""
    found = multiply_adds(built({"name": name}), torch.zeros(1, 3, 224, 224))
    assert round(found / 1e9, 3) == billions


@pytest.mark.slow
def test_as_torch_counts():
    """It knows nothing of the fast kernel of attention on CPUs, so that its count is of the plain one."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    net, image = built({"name": "vit", "width": 48, "depth": 2, "heads": 4}), torch.zeros(2, 3, 224, 224)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as theirs:
        net(image)
    assert multiply_adds(net, image) == theirs.get_total_flops() // 2


class Vectors(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (
            torch.einsum("bd,d->b", x, x[0]).sum()
            + torch.baddbmm(x[:1, :1, None], x[:, None].expand(3, 2, 4), x[:, :, None].expand(3, 4, 5)).sum()
        )


@pytest.mark.parametrize(
    ("net", "shape", "expected"),
    [(nn.Linear(7, 5), (3, 7), 3 * 7 * 5),
     (nn.Conv2d(6, 8, (3, 2), stride=2, padding=1, groups=2), (3, 6, 9, 8), 3 * 8 * 3 * 3 * 2 * (5 * 5)),
     (nn.ConvTranspose1d(4, 6, 5, stride=3), (2, 4, 7), 2 * 7 * 4 * 6 * 5),
     (nn.LSTM(4, 5), (9, 2, 4), 9 * 2 * 4 * 5 * (4 + 5)),
     (nn.LSTM(4, 5, num_layers=2, bidirectional=True, batch_first=True), (2, 9, 4), 18 * 4 * 5 * 2 * (9 + 15)),
     (nn.GRU(4, 5), (9, 2, 4), 9 * 2 * 3 * 5 * (4 + 5)), (nn.RNN(4, 5), (9, 2, 4), 9 * 2 * 5 * (4 + 5)),
     (MultiHead(8, 2), (3, 6, 8), 3 * (4 * 6 * 8 * 8 + 2 * 6 * 6 * (4 + 4))),
     (Vectors(), (3, 4), 3 * 4 + 3 * 2 * 4 * 5), (nn.Sequential(nn.BatchNorm1d(7), nn.ReLU()), (3, 7), 0)],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else "",
)  # fmt: skip
def test_by_hand(net, shape, expected):
    assert multiply_adds(net.eval(), torch.randn(shape)) == expected


def test_a_graphics_card_has_a_kernel_of_its_own_for_recurrent_layers():
    steps, weights = torch.zeros(9, 2, 4), [*nn.LSTM(4, 5).parameters()]
    assert KERNELS["_cudnn_rnn"]((steps, weights), None) == multiply_adds(nn.LSTM(4, 5).eval(), steps)
