"""What torchvision and timm answer with our weights, written once into fixtures/pictures.json.

    in an environment of its own, with torchvision 0.28.0 and timm 1.0.31 installed without what they depend on:
    python -m tests.models.make_fixtures

Neither needs to be there for the tests: the weights are drawn from a frozen stream in the order the layers run.
"""

from __future__ import annotations

import json
import sys
import types
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.models import peers

FIXTURES = Path(__file__).parent / "fixtures" / "pictures.json"
K, PLACES = 5, 24  # classes, pixels whose gradient is kept
CASES: dict[str, int] = {  # pixels a side
    "alexnet": 96,
    "vgg11": 72,
    "vgg16_bn": 72,
    "inception_v3": 299,
    "xception": 99,
    "mobilenet_v3_small": 72,
    "mobilenet_v3_large": 75,
    "resnet50": 75,
    "mobilenet_v2": 75,
    "efficientnet_b0": 72,
}


def record(run: Any, image: Tensor) -> dict[str, list[float]]:
    """Answers, the sum of squares of the gradient, and the gradient at a few pixels."""
    answer, gradient = peers.answer_and_gradient(run, image)
    flat = gradient.flatten().double()
    some = flat[torch.linspace(0, len(flat) - 1, PLACES).long()]
    return {"answer": answer.flatten().tolist(), "gradient": some.tolist(), "norm": [float(flat.norm())]}


def whole(net: nn.Module) -> Any:
    """All answers of a network of ours, also of the classifier that only helps to learn."""
    return lambda x: torch.cat(net.answers(x)) if hasattr(net, "answers") else net(x)


def _theirs(name: str, models: Any, timm: Any) -> tuple[nn.Module, Any]:
    if name == "xception":
        net = timm.create_model("legacy_xception", num_classes=K)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 1e-3  # the author's; timm has 1e-5
        return net.eval(), lambda x: net(x)
    if name == "inception_v3":
        net = models.inception_v3(num_classes=K, init_weights=False, transform_input=False).eval()
        net.training = True  # itself only: it then gives the second answer, while its layers stay as they are
        return net, lambda x: torch.cat(tuple(net(x)))
    authors = {"norm_layer": partial(nn.BatchNorm2d, eps=1e-3)} if name in {"mobilenet_v2", "efficientnet_b0"} else {}
    net = getattr(models, name)(num_classes=K, **authors).eval()
    return net, lambda x: net(x)


def expected(name: str, side: int, models: Any, timm: Any) -> dict[str, list[float]]:
    """What the trusted implementation says with our weights."""
    from tests.models.test_parity_fixtures import ours

    image, mine = peers.pictures(1, 3, side, side), ours(name)
    other, run = _theirs(name, models, timm)
    layers = peers.in_order(mine, lambda net: whole(net)(image))
    peers.fill(layers)
    found = peers.in_order(other, lambda _: run(image))
    second = {id(layer) for layer in getattr(other, "AuxLogits", nn.Module()).modules()}
    peers.transplant(layers, sorted(found, key=lambda layer: id(layer) in second))  # ours runs it last
    return record(run, image)


def main() -> None:
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("left out: it asks for compiled operations")
    import timm
    from torchvision import models

    FIXTURES.parent.mkdir(exist_ok=True)
    cases = {name: expected(name, side, models, timm) for name, side in CASES.items()}
    FIXTURES.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
