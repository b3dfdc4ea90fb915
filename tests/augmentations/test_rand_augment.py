"""RandAugment, change by change against Pillow, and how changes are drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import ImageEnhance, ImageOps

from deepen import pixels
from deepen.augmentations.rand_augment import CHANGES, MOVES, RandAugment, solarise
from deepen.errors import DeepenError
from tests.augmentations.batches import H, N, W, by_pillow, generator, moved, pictures

STRENGTH = 0.6
EXACT = {
    0: ImageOps.autocontrast,
    1: ImageOps.equalize,
    2: lambda image: ImageOps.posterize(image, 8 - round(4 * STRENGTH)),
    3: lambda image: ImageOps.solarize(image, 255 * (1 - STRENGTH)),
}
ENHANCED = {4: ImageEnhance.Color, 5: ImageEnhance.Contrast, 6: ImageEnhance.Brightness, 7: ImageEnhance.Sharpness}


def alone(number: int, sign: int, n: int = N) -> dict[str, torch.Tensor]:
    """One change for every picture."""
    return {"which": torch.full((1, n), number), "value": torch.full((1, n), sign * STRENGTH)}


def faded(seed: int, channels: int) -> torch.Tensor:
    """Pictures that leave something to be done: few levels, others in each channel, none black or white; one has one."""
    images = pictures(seed, height=24, width=18, channels=channels) // 8 * 3 + 40
    images += torch.arange(0, 10 * channels, 10, dtype=torch.uint8)
    images[0] = 77
    return images


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("number", EXACT)
def test_levels_are_pillows_to_the_last(number, channels):
    images = faded(1, channels)
    found = RandAugment(1).apply(images, alone(len(MOVES) + number, 1))
    for i in range(N):
        np.testing.assert_allclose(found[i], by_pillow(images[i], EXACT[number]), atol=1 if number == 0 else 0)
    assert not torch.equal(found.byte(), images)
    white = torch.full((1, 2, 2, channels), 255, dtype=torch.uint8)
    assert not solarise(white, torch.zeros(1)).any(), "the threshold itself is turned round, as Pillow has it"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("number", ENHANCED)
def test_enhancements_are_pillows(number, sign, channels):
    images = faded(2, channels)
    found = RandAugment(1).apply(images, alone(len(MOVES) + number, sign))
    for i in range(N):
        expected = by_pillow(images[i], lambda x: ENHANCED[number](x).enhance(1 + sign * 0.9 * STRENGTH))
        np.testing.assert_allclose(found[i], expected, atol=2)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("number", range(len(MOVES)))
def test_moves_are_pillows(number, sign):
    images, amount = pictures(3), sign * STRENGTH
    cos, sin = math.cos(amount * math.pi / 6), math.sin(amount * math.pi / 6)
    x, y = W / 2, H / 2
    coefficients = {
        "rotate": (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y),
        "shear_x": (1, 0.3 * amount, -0.3 * amount * y, 0, 1, 0),
        "shear_y": (1, 0, 0, 0.3 * amount, 1, -0.3 * amount * x),
        "move_x": (1, 0, 150 / 331 * amount * W, 0, 1, 0),
        "move_y": (1, 0, 0, 0, 1, 150 / 331 * amount * H),
    }[MOVES[number]]
    found = RandAugment(1).apply(images, alone(number, sign)).numpy().astype(float)
    for i in range(N):
        np.testing.assert_allclose(found[i], moved(images[i], *coefficients), atol=0.6)


def test_where_places_go_is_told_for_all_changes_together():
    """Boxes follow by it: a change of colour moves nothing."""
    step, images = RandAugment(3, 20), pictures(5)
    drawn = step.draw(N, generator())
    drawn["which"] %= len(MOVES)
    found = step.apply(images, drawn).float()
    expected = images.float()
    for which, value in zip(drawn["which"], drawn["value"]):
        one = {"which": which[None], "value": value[None]}
        expected = pixels.sampled(expected, step.affine(one, H, W))
    torch.testing.assert_close(found, expected, atol=2, rtol=0)
    places = torch.tensor([[0.2], [-0.4]])
    whole = step.affine(drawn, H, W)
    for i in range(N):
        place = places
        for layer in reversed(range(3)):
            one = step.affine({k: v[layer : layer + 1, i : i + 1] for k, v in drawn.items()}, H, W)[0]
            place = one[:, :2] @ place + one[:, 2:]
        torch.testing.assert_close(whole[i, :, :2] @ places + whole[i, :, 2:], place)
    still = step.affine({"which": torch.full((3, 2), len(MOVES)), "value": torch.ones(3, 2)}, H, W)
    torch.testing.assert_close(still, torch.eye(2, 3).expand(2, 2, 3))


def test_every_change_is_drawn_as_often_and_with_either_sign():
    drawn = RandAugment(2, 9).draw(14_000, generator())
    counts = drawn["which"].flatten().bincount()
    assert len(counts) == len(MOVES) + len(CHANGES) + 1 == 14
    assert 1850 < counts.min() <= counts.max() < 2150
    assert drawn["value"].abs().unique().tolist() == pytest.approx([0.3])
    assert 0.48 < (drawn["value"] > 0).float().mean() < 0.52
    with pytest.raises(DeepenError, match="magnitude 31. Expected at most 30"):
        RandAugment(2, 31)


def test_what_is_given_stays_as_it_is_also_where_it_lies_in_planes_already():
    given = pictures(3).permute(0, 3, 1, 2).float().contiguous().permute(0, 2, 3, 1)
    kept, step = given.clone(), RandAugment(2, 20)
    assert not torch.equal(step.apply(given, step.draw(N, generator())), given)
    assert torch.equal(given, kept)


def test_tiny_pictures_have_no_inside_to_sharpen():
    images = pictures(1, 2, 2, 2)
    assert torch.equal(RandAugment(1).apply(images, alone(len(MOVES) + 7, 1, 2)).byte(), images)
