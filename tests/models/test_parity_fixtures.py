"""Against what torchvision and timm answered with the same weights (fixtures/pictures.json, made by make_fixtures.py)."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from deepen import registry
from deepen.kinds.classes import Classes
from deepen.preprocess.image import Image
from deepen.signature import Signature
from tests.models import peers
from tests.models.make_fixtures import CASES, FIXTURES, K, record, whole


def ours(name: str) -> nn.Module:
    signature = Signature({"image": Image(CASES[name], CASES[name], 3)}, {"label": Classes(tuple(map(str, range(K))))})
    spec = registry.check("models", {"name": name}, "model", given=("signature",))
    return registry.build("models", spec, signature=signature).eval()


HEAVY = {"alexnet", "vgg11", "vgg16_bn"}  # 60 to 140 million weights


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in HEAVY else n for n in CASES])
def test_answers_and_gradients_are_those_of_the_trusted_implementation(name):
    expected = json.loads(FIXTURES.read_text())[name]
    net, image = ours(name), peers.pictures(1, 3, CASES[name], CASES[name])
    peers.fill(peers.in_order(net, lambda net: whole(net)(image)))
    for what, numbers in record(whole(net), image).items():
        peers.assert_equal(torch.tensor(numbers), torch.tensor(expected[what]))
