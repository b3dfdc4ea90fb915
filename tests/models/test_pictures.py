"""Networks for pictures: published numbers of weights, maps after every stage, small pictures, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepen import registry
from deepen.errors import DeepenError
from deepen.formats.onnx import Onnx
from deepen.kinds.classes import Classes
from deepen.models.vit import Block
from deepen.nn.heads import Assisted, head
from deepen.nn.layers import ACTIVATIONS
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged
from deepen.preprocess.image import Image
from deepen.signature import Signature


def net_of(name: str, size: int | tuple[int, int], planes: int = 3, classes: int = 5, **options: Any) -> nn.Module:
    """A network as a config names it, for pictures of a size (height, width)."""
    height, width = (size, size) if isinstance(size, int) else size
    signature = Signature({"image": Image(height, width, planes)}, {"label": Classes(tuple(map(str, range(classes))))})
    spec = registry.check("models", {"name": name, **options}, "model", given=("signature",))
    return registry.build("models", spec, signature=signature)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("alexnet", 61_100_840),
        ("vgg11", 132_863_336), ("vgg13", 133_047_848), ("vgg16", 138_357_544), ("vgg19", 143_667_240),
        ("vgg11_bn", 132_868_840), ("vgg13_bn", 133_053_736), ("vgg16_bn", 138_365_992), ("vgg19_bn", 143_678_248),
        ("inception_v3", 27_161_264), ("xception", 22_855_952),
        ("mobilenet_v1", 4_231_976), ("mobilenet_v2", 3_504_872),
        ("mobilenet_v3_small", 2_542_856), ("mobilenet_v3_large", 5_483_032), ("mobilenet_v3", 5_483_032),
        ("efficientnet_b0", 5_288_548), ("efficientnet_b1", 7_794_184), ("efficientnet_b2", 9_109_994),
        ("efficientnet_b3", 12_233_232), ("efficientnet_b4", 19_341_616), ("efficientnet_b5", 30_389_784),
        ("efficientnet_b6", 43_040_704), ("efficientnet_b7", 66_347_960),
        ("vit_tiny", 5_717_416), ("vit_small", 22_050_664), ("vit_base", 86_567_656), ("vit_large", 304_326_632),
        ("vit_huge", 632_045_800),
    ],
)  # fmt: skip
def test_published_number_of_parameters_at_a_thousand_classes(name, count):
    with torch.device("meta"):
        net = net_of(name, 224, classes=1000)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(
    ("name", "multiplier", "count"),
    [
        ("mobilenet_v2", 0.5, 1_968_680), ("mobilenet_v2", 0.75, 2_636_424), ("mobilenet_v2", 1.4, 6_108_776),
        ("mobilenet_v3_large", 0.75, 3_377_576), ("mobilenet_v3_small", 0.75, 1_653_920),
    ],
)  # fmt: skip
def test_number_of_parameters_of_narrow_and_wide_ones_is_torchvisions(name, multiplier, count):
    """Below 1 the last convolution of version 2 keeps its width; that of version 3 follows what comes in."""
    with torch.device("meta"):
        net = net_of(name, 224, classes=1000, multiplier=multiplier)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(
    ("name", "share"),
    [("efficientnet_b0", 0.2), ("efficientnet_b4", 0.4), ("efficientnet_b7", 0.5), ("mobilenet_v2", 0.2), ("inception", 0.5)],
)  # fmt: skip
def test_what_is_left_out_of_the_features_is_the_papers_unless_it_is_said(name, share):
    with torch.device("meta"):
        for given, wanted in (({}, share), ({"dropout": 0.0}, 0.0), ({"dropout": 0.3}, 0.3)):
            last = net_of(name, 96, **given).top[-1]
            assert isinstance(last, nn.Dropout)
            assert last.p == wanted


def test_inception_without_its_second_classifier_and_small_vgg_have_theirs():
    with torch.device("meta"):
        assert (
            sum(p.numel() for p in net_of("inception", 299, classes=1000, auxiliary=False).parameters()) == 23_834_568
        )
        assert sum(p.numel() for p in net_of("vgg16_bn", 32, classes=10).parameters()) == 14_728_266


MAPS = {  # at 224 x 224: channels and places a side after every stage
    "alexnet": [(64, 27), (192, 13), (256, 6)],
    "vgg16": [(64, 112), (128, 56), (256, 28), (512, 14), (512, 7)],
    "resnet50": [(256, 56), (512, 28), (1024, 14), (2048, 7)],
    "inception": [(192, 52), (288, 25), (768, 12), (2048, 5)],
    "xception": [(128, 55), (256, 28), (728, 14), (2048, 7)],
    "mobilenet_v1": [(64, 112), (128, 56), (256, 28), (512, 14), (1024, 7)],
    "mobilenet_v2": [(16, 112), (24, 56), (32, 28), (96, 14), (320, 7)],
    "mobilenet_v3_small": [(16, 56), (24, 28), (48, 14), (96, 7)],
    "mobilenet_v3_large": [(16, 112), (24, 56), (40, 28), (112, 14), (160, 7)],
    "efficientnet_b0": [(16, 112), (24, 56), (40, 28), (80, 14), (112, 14), (192, 7), (320, 7)],
    "vit_tiny": [(192, 14)] * 12,
}


@pytest.mark.parametrize("name", MAPS)
def test_maps_after_every_stage(name):
    with torch.device("meta"):
        maps = net_of(name, 224).eval().maps(torch.zeros(1, 3, 224, 224))
    assert [tuple(m.shape[1:]) for m in maps] == [(c, side, side) for c, side in MAPS[name]]


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("vgg16_bn", [16, 8, 4, 2, 1]),
        ("resnet50", [32, 16, 8, 4]),
        ("xception", [32, 16, 8, 4]),
        ("mobilenet_v1", [32, 32, 16, 8, 4]),
        ("mobilenet_v2", [32, 32, 16, 8, 4]),
        ("mobilenet_v3_small", [32, 16, 8, 4]),
        ("mobilenet_v3_large", [32, 32, 16, 8, 4]),
        ("efficientnet_b0", [32, 32, 16, 8, 8, 4, 4]),
        ("vit_tiny", [8] * 12),
    ],
)
def test_small_pictures_keep_their_places(name, sides):
    """At 32 x 32: the first two reductions are left out, and can be asked for."""
    with torch.device("meta"):
        image = torch.zeros(1, 3, 32, 32)
        assert [m.shape[-1] for m in net_of(name, 32).eval().maps(image)] == sides
        if "stem" in {
            f.name for f in registry.fields("models", registry.resolve("models", {"name": name}, "")["name"])
        }:
            assert net_of(name, 32, stem="imagenet").eval().maps(image)[-1].shape[-1] == 1
            assert net_of(name, 96, stem="small").eval().maps(torch.zeros(1, 3, 96, 96))[-1].shape[-1] == 12


@pytest.mark.parametrize(
    ("name", "least"), [("alexnet", 63), ("vgg", 32), ("inception", 75), ("xception", 7), ("lenet", 12)]
)
def test_pictures_below_the_least_size_are_refused_by_name(name, least):
    """And the least size really works, learning included; one less could not."""
    tiny = registry.constant("models", name, "tiny")
    with pytest.raises(
        DeepenError,
        match=rf"model {name}: pictures of {least + 9} x {least - 1}. Expected at least {least} x {least}. data.size={least}",
    ):
        net_of(name, (least - 1, least + 9), **tiny)
    net = net_of(name, least, **tiny).train()
    answers = net.answers(torch.randn(2, 3, least, least)) if isinstance(net, Assisted) else ()
    assert all(answer.shape == (2, 5) for answer in (*answers, net(torch.randn(2, 3, least, least))))


@pytest.mark.parametrize("name", ["mobilenet", "efficientnet", "resnet"])
def test_a_single_pixel_is_enough_for_the_others(name):
    tiny = registry.constant("models", name, "tiny")
    assert net_of(name, (1, 2), 1, **tiny).eval()(torch.zeros(1, 1, 1, 2)).shape == (1, 5)


def test_vit_refuses_what_does_not_divide():
    with pytest.raises(DeepenError, match=r"model.patch: 16 does not divide pictures of 96 x 90"):
        net_of("vit", (90, 96))
    with pytest.raises(DeepenError, match=r"model.heads: 5 heads for a width of 16. Expected a divisor"):
        net_of("vit", 32, width=16, heads=5)
    assert net_of("vit", 96, width=16, depth=1).patches.kernel_size == (16, 16)
    assert net_of("vit", 64, width=16, depth=1).patches.kernel_size == (4, 4)


def test_vit_can_collect_the_mean_over_patches():
    torch.manual_seed(0)
    net, x = net_of("vit", 8, width=16, depth=2, collect="average").eval(), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(net.features(x), net.norm(net.rows(x)[-1]).mean(1))
    assert net.positions.shape == (1, 4, 16)
    torch.testing.assert_close(net.maps(x)[1][:, :, 1, 0], net.rows(x)[1][:, 2])


def test_depth_is_left_out_more_and_more_towards_the_end():
    rates = [b.drop.p for stage in net_of("efficientnet_b0", 32, stochastic_depth=0.32).stages for b in stage]
    assert rates == pytest.approx([0.32 * i / 16 for i in range(16)])
    assert [b.drop.p for b in net_of("vit", 8, width=8, depth=3, stochastic_depth=0.2).blocks] == [0, 0.1, 0.2]


class Ones(nn.Module):
    """Whatever goes in."""

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(row)


def test_each_way_of_a_vits_block_is_left_out_for_some_items_while_training():
    """Never what goes around it; the others' share makes up for it."""
    torch.manual_seed(0)
    block = Block(4, 2, "gelu", 0.0, 0.75)
    block.attention, block.dense = Ones(), Ones()
    found = block.train()(torch.zeros(400, 5, 4)).flatten(1)
    assert torch.equal(found, found[:, :1].expand_as(found)), "of an item all or nothing"
    assert {*found[:, 0].tolist()} == {0.0, 4.0, 8.0}
    assert float(found.mean()) == pytest.approx(2, abs=0.4)
    assert (block.eval()(torch.zeros(2, 5, 4)) == 2).all()


@pytest.mark.parametrize(
    "name", ["alexnet", "vgg", "resnet", "xception", "mobilenet", "efficientnet", "vit", "cnn", "lenet"]
)
def test_activations_by_name_reach_every_layer(name):
    """Asked for, it is the only one in the network; the gate of squeeze and excitation is not an activation."""
    tiny = registry.constant("models", name, "tiny")
    net = net_of(name, 64, activation="mish", **tiny)
    kinds = {type(m) for m in net.modules()} - {nn.Sigmoid, nn.Hardsigmoid}
    assert kinds & set(ACTIVATIONS.values()) == {nn.Mish}


def test_the_second_classifier_of_inception_sees_the_maps_before_the_last_reduction():
    """It learns beside the first, and what is asked for an answer does not run it."""
    torch.manual_seed(0)
    net, image = net_of("inception", 299, multiplier=0.02).eval(), torch.randn(1, 3, 299, 299)
    maps = net.maps(image)[-2]
    pooled, second, last = nn.AvgPool2d(5, 3), net.auxiliary[1], net.auxiliary[3]
    first, other = net.answers(image)
    torch.testing.assert_close(first, net(image))
    torch.testing.assert_close(other, last(second(pooled(maps)).mean((2, 3))))
    ran = []
    net.auxiliary.register_forward_hook(lambda *_: ran.append(1))
    net(image)
    assert not ran
    assert len(net_of("inception", 75, multiplier=0.02, auxiliary=False).eval().answers(image[:, :, :75, :75])) == 1


@pytest.mark.slow
def test_the_second_classifier_of_inception_is_not_exported(tmp_path):
    import onnx

    signature = Signature({"image": Image(75, 75, 1)}, {"label": Classes(("a", "b"))})
    net = registry.build("models", {"name": "inception", "multiplier": 0.05}, signature=signature)
    arrays = {"image": np.random.default_rng(0).integers(0, 256, (2, 75, 75, 1), dtype=np.uint8)}
    Onnx().write(Packaged(Normalise(signature), net, head(signature.answer)).eval(), signature, arrays, tmp_path / "g")
    weights = {tuple(t.dims) for t in onnx.load(tmp_path / "g").graph.initializer}
    second = {tuple(p.shape) for p in net.auxiliary.parameters() if p.dim() == 4 and p.shape[-1] == 5}
    assert second
    assert not second & weights


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), [("vgg", 96), ("alexnet", 90), ("inception", 301)])
def test_pooling_that_does_not_divide_is_exported(name, side, tmp_path):
    from deepen.runtimes.onnx import Onnx as Runtime

    signature = Signature({"image": Image(side, side + 32, 3)}, {"label": Classes(("a", "b"))})
    tiny = registry.constant("models", name, "tiny")
    net = registry.build("models", {"name": name, **tiny}, signature=signature)
    arrays = {"image": np.random.default_rng(0).integers(0, 256, (2, side, side + 32, 3), dtype=np.uint8)}
    model = Packaged(Normalise(signature), net, head(signature.answer)).eval()
    Onnx().write(model, signature, arrays, tmp_path / "graph.onnx")
    (answer,) = Runtime(tmp_path / "graph.onnx").run(arrays).values()
    with torch.no_grad():
        np.testing.assert_allclose(answer, model(torch.from_numpy(arrays["image"])).numpy(), rtol=1e-3, atol=1e-5)


def test_every_block_of_xception_but_the_first_begins_with_its_activation():
    first, second, third, _ = net_of("xception", 16, multiplier=0.01, middle=1, activation="tanh").stages
    assert isinstance(first.body[0], nn.Conv2d)
    assert all(isinstance(block.body[0], nn.Tanh) for block in (second, *third))


def test_alexnet_is_its_layers_one_after_another():
    torch.manual_seed(0)
    side = 264  # 7 x 7 places are left: what the mean over 6 x 6 of them is, shows
    net, image = net_of("alexnet", side, multiplier=0.05).eval(), torch.randn(2, 3, side, side)
    x = image
    for place, layer in enumerate(m for m in net.modules() if isinstance(m, nn.Conv2d)):
        x = layer(x).relu()
        x = F.max_pool2d(x, 3, 2) if place in {0, 1, 4} else x
    x = F.adaptive_avg_pool2d(x, 6).flatten(1)
    first, second, last = (m for m in net.modules() if isinstance(m, nn.Linear))
    torch.testing.assert_close(net(image), last(second(first(x).relu()).relu()))
    assert sum(isinstance(m, nn.Dropout) and m.p == 0.5 for m in net.modules()) == 2


def test_vgg_is_its_layers_one_after_another():
    torch.manual_seed(0)
    net, image = net_of("vgg11", 70, multiplier=0.05).eval(), torch.randn(2, 3, 70, 70)
    x = image
    for stage, repeat in zip(net.stages, (1, 1, 2, 2, 2), strict=True):
        convolutions = [m for m in stage if isinstance(m, nn.Conv2d)]
        assert len(convolutions) == repeat
        for layer in convolutions:
            x = layer(x).relu()
        x = F.max_pool2d(x, 2)
    torch.testing.assert_close(net.maps(image)[-1], x)
    first, second, last = (m for m in net.modules() if isinstance(m, nn.Linear))
    x = F.adaptive_avg_pool2d(x, 7).flatten(1)
    torch.testing.assert_close(net(image), last(second(first(x).relu()).relu()))
    small = net_of("vgg11", 32, multiplier=0.05).eval()
    image = image[:, :, :32, :32]
    torch.testing.assert_close(small(image), small.last(small.maps(image)[-1].mean((2, 3))))
