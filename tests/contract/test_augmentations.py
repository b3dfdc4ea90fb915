"""What every augmentation promises, over all that stand in augmentations/: a new file is tested without writing a test."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from deepen import registry
from deepen.augmentations import Mix
from deepen.data.augment import Augment
from deepen.preprocess.array import Array
from deepen.preprocess.audio import Audio
from deepen.preprocess.image import Image
from deepen.preprocess.series import Series
from deepen.preprocess.text import Text
from deepen.signature import Signature

N = 24
NAMES = [n for n in registry.names("augmentations") if not issubclass(registry.load("augmentations", n), Mix)]
SIGNATURES = {
    "image": Signature({"image": Image(12, 9, 3)}, {}),
    "array": Signature({"array": Array((2, 16))}, {}),
    "series": Signature({"series": Series(("a", "b"), 16, (0.0, 0.1), (1.0, 2.0))}, {}),
    "audio": Signature({"sound": Audio(8000, 12, 16)}, {}),
    "text": Signature({"text": Text(tuple("abcdefgh"))}, {}),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def items(kind: str) -> torch.Tensor:
    if kind == "image":
        return torch.randint(0, 256, (N, 12, 9, 3), dtype=torch.uint8, generator=generator())
    if kind == "text":
        return torch.randint(1, 10, (N, 11), generator=generator())
    return torch.randn(N, 2, 16, generator=generator())


def changed(augment: Augment, tensor: torch.Tensor, drawn: Any, part: slice = slice(None)) -> torch.Tensor:
    """As data has it: stored, then scaled."""
    (tensor,) = augment.stored([tensor], drawn, part)
    return augment.scaled([tensor.float() if tensor.dtype == torch.uint8 else tensor], drawn, part)[0]


TAKEN = [(n, kind) for n in NAMES for kind in registry.load("augmentations", n).takes if kind in SIGNATURES]
PICTURES = [one for one in TAKEN if one[1] == "image"]


@pytest.fixture(params=TAKEN, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[Augment, torch.Tensor]:
    name, kind = request.param
    return Augment(({"name": name},), SIGNATURES[kind]), items(kind)


def test_same_draw_same_items_and_another_draw_others(case):
    augment, given = case
    kept = given.clone()
    found = changed(augment, given, augment.draw(N, generator()))
    assert found.shape == given.shape
    assert torch.equal(given, kept), "the stored items are not changed"
    assert torch.equal(found, changed(augment, given, augment.draw(N, generator()))), "same seed, same items"
    assert not torch.equal(found, changed(augment, given, augment.draw(N, generator(1))))
    assert not torch.equal(found, given.to(found.dtype))


@pytest.mark.parametrize("case", PICTURES, indirect=True, ids="-".join)
def test_pictures_stay_pictures(case):
    augment, given = case
    (found,) = augment.stored([given], augment.draw(N, generator()))
    assert found.dtype in {torch.uint8, torch.float32}
    assert found.min() >= 0
    assert found.max() <= 255.001


@pytest.mark.parametrize("parts", [2, 5, N])
def test_parts_of_a_batch_equal_the_whole(case, parts):
    augment, given = case
    drawn = augment.draw(N, generator())
    cuts = [slice(k * N // parts, (k + 1) * N // parts) for k in range(parts)]
    found = torch.cat([changed(augment, given[cut], drawn, cut) for cut in cuts])
    torch.testing.assert_close(found, changed(augment, given, drawn), atol=1e-3, rtol=0)
