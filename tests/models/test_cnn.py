"""The plain convolutional network: against PyTorch's layers put together by hand, in 1, 2 and 3 dimensions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.models.cnn import CNN
from deepen.nn.layers import CBAM, Bottleneck, Excite, Residual
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.preprocess.row import Row
from deepen.signature import Signature

TWO = {"label": Classes(("a", "b"))}
LAYERS = {
    1: (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d),
    2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d),
}


@pytest.mark.parametrize(("shape", "dimensions"), [((3, 17), 1), ((3, 9, 12), 2), ((3, 6, 8, 8), 3)])
def test_parity_with_layers_put_together_by_hand(shape, dimensions):
    torch.manual_seed(1)
    net = CNN(Signature({"array": Array(shape)}, TWO), channels=(5, 7), kernel=3, stride=2, padding=2, pool="max")
    convolution, norm, pool = LAYERS[dimensions]
    hand = nn.Sequential(
        convolution(3, 5, 3, 2, 2, bias=False), norm(5), nn.ReLU(), pool(2),
        convolution(5, 7, 3, 2, 2, bias=False), norm(7), nn.ReLU(), pool(2),
    )  # fmt: skip
    hand.load_state_dict(dict(zip(hand.state_dict(), net.stages.state_dict().values())))
    x = torch.randn(4, *shape)
    maps = hand(x)
    torch.testing.assert_close(net.train()(x), net.last(maps.flatten(2).mean(2)))
    assert [tuple(m.shape) for m in net.maps(x)][-1] == tuple(maps.shape)


@pytest.mark.parametrize(("shape", "dimensions"), [((17,), 1), ((9, 12), 2), ((6, 8, 8), 3)])
def test_an_array_without_channels_has_one(shape, dimensions):
    net = CNN(Signature({"array": Array(shape)}, TWO), channels=(4,), dimensions=dimensions)
    assert isinstance(net.stages[0][0], LAYERS[dimensions][0])
    assert net(torch.zeros(2, *shape)).shape == (2, 2)


@pytest.mark.parametrize("collect", ["average", "max", "flatten"])
@pytest.mark.parametrize(
    "options",
    [
        {"residual": True, "attention": "se", "norm": "group", "stride": 2, "pool": "none"},
        {"repeat": 2, "norm": "none", "pool": "average", "attention": "se", "kernel": 5, "dense": (6,), "dropout": 0.1},
        {
            "residual": "bottleneck",
            "attention": "cbam",
            "pool": "lp",
            "power": 3,
            "window": 3,
            "pool_stride": 2,
            "norm": "instance",
        },
    ],
)
def test_every_option_gives_answers_and_gradients(collect, options):
    net = CNN(Signature({"image": Image(14, 10, 3)}, TWO), channels=(8, 12), collect=collect, **options)
    out = net(torch.randn(3, 3, 14, 10))
    assert out.shape == (3, 2)
    out.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert net.features(torch.randn(3, 3, 14, 10)).shape == (3, net.last.in_features)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize(
    ("pool", "window", "stride"), [("max", 3, 2), ("average", 2, None), ("lp", 3, 1), ("lp", 2, 3)]
)
def test_pooling_of_any_window_and_stride_is_pytorchs(dimensions, pool, window, stride):
    theirs = {
        "max": (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
        "average": (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
        "lp": (nn.LPPool1d, nn.LPPool2d, nn.LPPool3d),
    }[pool][dimensions - 1]
    options = {"pool": pool, "window": window, "pool_stride": stride, "power": 3}
    net = CNN(Signature({"array": Array((2, *(9,) * dimensions))}, TWO), channels=(4, 4), **options).eval()
    x = torch.rand(2, 2, *(9,) * dimensions)
    layer = theirs(3, window, stride) if pool == "lp" else theirs(window, stride)
    first, second = net.maps(x)
    torch.testing.assert_close(first, layer(net.stages[0][:3](x)))
    torch.testing.assert_close(second, layer(net.stages[1][:3](first)))


def test_pooling_ends_when_its_window_no_longer_fits():
    sizes = [
        m.shape[-1]
        for m in CNN(Signature({"image": Image(9, 9, 1)}, TWO), channels=(4,) * 4, window=3).maps(
            torch.rand(2, 1, 9, 9)
        )
    ]
    assert sizes == [3, 1, 1, 1]


def test_blocks_and_attention_by_name():
    signature = Signature({"image": Image(8, 8, 3)}, TWO)
    deep = CNN(signature, channels=(16,), repeat=2, residual="bottleneck", attention="cbam")
    assert [type(m) for m in deep.stages[0]] == [Bottleneck, Bottleneck, nn.MaxPool2d]
    assert [m.out_channels for m in deep.stages[0][0].body if isinstance(m, nn.Conv2d)] == [4, 4, 16]
    assert isinstance(deep.stages[0][1].body[-1], CBAM)
    flat = CNN(signature, channels=(16,), attention="cbam")
    assert [type(m) for m in flat.stages[0]][-2:] == [CBAM, nn.MaxPool2d]
    plain = CNN(signature, channels=(16,), residual=True, attention="se")
    assert type(plain.stages[0][0]) is Residual
    assert isinstance(plain.stages[0][0].body[-1], Excite)


def test_collected_by_maximum_differs_from_the_mean():
    torch.manual_seed(0)
    net = CNN(Signature({"image": Image(8, 8, 1)}, TWO), channels=(4,)).eval()
    x = torch.randn(2, 1, 8, 8)
    mean = net.features(x)
    net.collect = "max"
    torch.testing.assert_close(net.features(x), net.maps(x)[-1].flatten(2).max(2).values)
    assert (net.features(x) >= mean).all()


def test_excite_weighs_channels_by_the_formula():
    torch.manual_seed(0)
    layer, x = Excite(8), torch.randn(2, 8, 3, 5)
    inner = torch.relu(layer.squeeze(x.mean((2, 3))))
    torch.testing.assert_close(layer(x), x * torch.sigmoid(layer.expand(inner))[:, :, None, None])


def test_motion_is_learnt_from_clips_and_cannot_be_from_one_frame():
    """A dot that moves left or right: every single frame looks alike in both classes."""
    torch.manual_seed(0)
    n, frames, side = 64, 4, 8
    start, right = torch.randint(0, side, (n,)), torch.arange(n) % 2
    steps = torch.arange(frames)[None] * (2 * right[:, None] - 1)
    columns = (start[:, None] + steps) % side  # (n, T)
    clips = torch.zeros(n, frames, side, side).scatter_(3, columns[..., None, None].expand(n, frames, side, 1), 1.0)

    def accuracy(x: torch.Tensor, shape: tuple[int, ...], dimensions: int) -> float:
        net = CNN(Signature({"array": Array(shape)}, TWO), channels=(8,), pool="none", dimensions=dimensions)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
        for _ in range(60):
            loss = nn.functional.cross_entropy(net(x[: n // 2]), right[: n // 2])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float((net.eval()(x[n // 2 :]).argmax(1) == right[n // 2 :]).float().mean())

    assert accuracy(clips, (frames, side, side), 3) >= 0.95
    assert accuracy(clips[:, 0], (side, side), 2) <= 0.75


def test_what_does_not_fit_is_told():
    small = Signature({"image": Image(4, 4, 1)}, TWO)
    with pytest.raises(DeepenError, match="nothing is left of the input"):
        CNN(small, channels=(4, 4), kernel=5, padding=0, pool="none")
    with pytest.raises(DeepenError, match=r"model.padding: got 0"):
        CNN(small, residual=True, padding=0)
    with pytest.raises(DeepenError, match=r"model.kernel: got 4"):
        CNN(small, residual=True, kernel=4)
    with pytest.raises(DeepenError, match=r"model.channels: got 6. Expected multiples of 4"):
        CNN(small, channels=(8, 6), residual="bottleneck")
    with pytest.raises(DeepenError, match="these are pictures"):
        CNN(small, dimensions=3)
    with pytest.raises(DeepenError, match="arrays with 3 dimensions"):
        CNN(Signature({"array": Array((5,))}, TWO), dimensions=3)
    with pytest.raises(DeepenError, match="pictures, or arrays"):
        CNN(Signature({"row": Row(("x",))}, TWO))
