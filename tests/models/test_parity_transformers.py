"""Against transformers: the same weights and pictures give the same answers and the same gradients of the pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deepen import registry
from deepen.kinds.classes import Classes
from deepen.preprocess.image import Image
from deepen.signature import Signature
from tests.models import peers

pytestmark = pytest.mark.slow
SIDE, K = 96, 7


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


def ours(name: str, **options: Any) -> nn.Module:
    signature = Signature({"image": Image(SIDE, SIDE, 3)}, {"label": Classes(tuple(map(str, range(K))))})
    spec = registry.check("models", {"name": name, **options}, "model", given=("signature",))
    return registry.build("models", spec, signature=signature).eval()


def compare(mine: nn.Module, other: nn.Module, image: Tensor) -> None:
    """Weights over, then answers and gradients."""

    def theirs(x: Tensor) -> Tensor:
        return other(pixel_values=x).logits

    other.eval()
    layers = peers.in_order(mine, lambda net: net(image))
    peers.fill(layers)
    peers.transplant(layers, peers.in_order(other, lambda net: theirs(image)))
    for found, expected in zip(peers.answer_and_gradient(mine, image), peers.answer_and_gradient(theirs, image)):
        peers.assert_equal(found, expected)


@pytest.mark.parametrize(("depth", "kind"), [(18, "basic"), (34, "basic"), (50, "bottleneck"), (101, "bottleneck")])
def test_resnet(transformers, depth, kind):
    blocks = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}[depth]
    sizes = [64, 128, 256, 512] if kind == "basic" else [256, 512, 1024, 2048]
    config = transformers.ResNetConfig(depths=blocks, hidden_sizes=sizes, layer_type=kind, num_labels=K)
    compare(
        ours("resnet", depth=depth), transformers.ResNetForImageClassification(config), peers.pictures(2, 3, SIDE, SIDE)
    )


@pytest.mark.parametrize("multiplier", [1.0, 0.75])
def test_mobilenet_v1(transformers, multiplier):
    config = transformers.MobileNetV1Config(
        num_labels=K, tf_padding=False, depth_multiplier=multiplier, layer_norm_eps=1e-3
    )
    compare(
        ours("mobilenet_v1", multiplier=multiplier),
        transformers.MobileNetV1ForImageClassification(config),
        peers.pictures(2, 3, SIDE, SIDE),
    )


@pytest.mark.parametrize("multiplier", [1.0, 1.4, 0.75])
def test_mobilenet_v2(transformers, multiplier):
    config = transformers.MobileNetV2Config(
        num_labels=K, tf_padding=False, depth_multiplier=multiplier, layer_norm_eps=1e-3
    )
    compare(
        ours("mobilenet_v2", multiplier=multiplier),
        transformers.MobileNetV2ForImageClassification(config),
        peers.pictures(2, 3, SIDE, SIDE),
    )


@pytest.mark.parametrize(
    ("version", "width", "depth", "features"),
    [("b0", 1.0, 1.0, 1280), ("b1", 1.0, 1.1, 1280), ("b3", 1.2, 1.4, 1536)],
)
def test_efficientnet_on_mirrored_pictures(transformers, version, width, depth, features):
    """TensorFlow pads below and to the right, we on both sides: at even sizes one is the mirror image of the other."""
    config = transformers.EfficientNetConfig(
        num_labels=K, image_size=SIDE, width_coefficient=width, depth_coefficient=depth, hidden_dim=features
    )
    other = transformers.EfficientNetForImageClassification(config).eval()
    mine, image = ours("efficientnet", version=version), peers.pictures(2, 3, SIDE, SIDE)

    def theirs(x: Tensor) -> Tensor:
        return other(pixel_values=x).logits

    def mirrored(x: Tensor) -> Tensor:
        return mine(x.flip(2, 3))

    layers = peers.in_order(mine, lambda net: net(image))
    peers.fill(layers)
    peers.transplant(layers, peers.in_order(other, lambda net: theirs(image)))
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = layer.weight.data.flip(2, 3)
    for found, expected in zip(peers.answer_and_gradient(mirrored, image), peers.answer_and_gradient(theirs, image)):
        peers.assert_equal(found, expected)


def test_vit(transformers):
    config = transformers.ViTConfig(
        num_labels=K, image_size=SIDE, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=192,
        layer_norm_eps=1e-6, hidden_act="gelu",
    )  # fmt: skip
    torch.manual_seed(0)
    other = transformers.ViTForImageClassification(config).eval()
    mine, image = ours("vit", width=48, depth=3, heads=4), peers.pictures(2, 3, SIDE, SIDE)
    theirs, given = dict(other.named_parameters()), dict(mine.named_parameters())
    with torch.no_grad():
        for tensor in given.values():
            tensor.copy_(0.3 * torch.randn(tensor.shape))
        theirs["vit.embeddings.cls_token"].copy_(given.pop("token"))
        theirs["vit.embeddings.position_embeddings"].copy_(given.pop("positions"))
        for name, tensor in given.items():
            if "attention.inside" in name:  # three layers of theirs in one of ours
                block, kind = name.split(".")[1], name.split(".")[-1]
                for letter, part in zip("qkv", tensor.chunk(3)):
                    theirs[f"vit.layers.{block}.attention.{letter}_proj.{kind}"].copy_(part)
            else:
                theirs[theirs_of(name)].copy_(tensor)
    for found, expected in zip(
        peers.answer_and_gradient(mine, image), peers.answer_and_gradient(lambda x: other(pixel_values=x).logits, image)
    ):
        peers.assert_equal(found, expected)
    rows = other(pixel_values=image, output_hidden_states=True).hidden_states[1:]
    for row, expected in zip(mine.rows(image), rows, strict=True):
        peers.assert_equal(row, expected)


def theirs_of(name: str) -> str:
    """What transformers calls a parameter of ours."""
    name = name.replace("attention.outside", "attention.o_proj").replace("blocks.", "vit.layers.")
    for mine, other in {
        "patches.": "vit.embeddings.patch_embeddings.projection.", "last.": "classifier.",
        "dense.0.": "layernorm_after.", "dense.1.": "mlp.fc1.", "dense.4.": "mlp.fc2.",
    }.items():  # fmt: skip
        name = name.replace(mine, other)
    if name.startswith("norm."):
        return f"vit.layernorm.{name[5:]}"
    return name.replace(".norm.", ".layernorm_before.")
