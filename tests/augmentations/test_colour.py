"""Colour, blur and covering, against one picture at a time: Pillow, colorsys, SciPy, and pixel by pixel."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from PIL import ImageEnhance
from scipy.ndimage import gaussian_filter1d

from deepen.augmentations.blur import Blur
from deepen.augmentations.brightness import Brightness
from deepen.augmentations.contrast import Contrast
from deepen.augmentations.cutout import Cutout
from deepen.augmentations.erase import Erase
from deepen.augmentations.hue import Hue
from deepen.augmentations.saturation import Saturation
from deepen.errors import DeepenError
from tests.augmentations.batches import H, N, W, by_pillow, generator, pictures


@pytest.mark.parametrize(
    ("step", "peer"),
    [
        (Brightness(0.9), ImageEnhance.Brightness),
        (Contrast(0.9), ImageEnhance.Contrast),
        (Saturation(0.9), ImageEnhance.Color),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_light_and_colour_are_pillows(step, peer, channels):
    images = pictures(1, channels=channels)
    drawn = step.draw(N, generator())
    found = step.apply(images, drawn)
    assert found.dtype == torch.float32
    for i, factor in enumerate(drawn["factor"][0].tolist()):
        # Pillow cuts to whole levels, and takes whole levels for grey and its mean
        np.testing.assert_allclose(found[i], by_pillow(images[i], lambda x, f=factor: peer(x).enhance(f)), atol=2)
    factors = step.draw(2000, generator())["factor"]
    assert 0.1 <= factors.min() < 0.15
    assert 1.85 < factors.max() <= 1.9
    assert type(step)(3.0).draw(500, generator())["factor"].min() >= 0


def test_hue_is_colorsys_with_the_hue_moved():
    step, images = Hue(0.5), pictures(2, 5, 4, 6)
    images[0, :2] = images[0, :2, :, :1]  # grey pixels have no hue
    drawn = step.draw(5, generator())
    found = step.apply(images, drawn)
    for i, turn in enumerate(drawn["turn"][0].tolist()):
        for y in range(4):
            for x in range(6):
                h, s, v = colorsys.rgb_to_hsv(*(images[i, y, x].double() / 255).tolist())
                expected = np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v)) * 255
                np.testing.assert_allclose(found[i, y, x], expected, atol=0.01)
    assert torch.equal(step.apply(images, {"turn": torch.zeros(1, 5)})[0, 0], images[0, 0].float())
    turns = step.draw(2000, generator())["turn"]
    assert turns.min() < -0.49
    assert turns.max() > 0.49


def test_blur_is_scipys_gaussian():
    step, images = Blur(0.7, 0.3, 2.0), pictures(3)
    drawn = step.draw(N, generator())
    drawn["deviation"][0, 0] = 0.4  # hardly seen
    found = step.apply(images, drawn)
    for i, deviation in enumerate(drawn["deviation"][0].tolist()):
        expected = images[i].double().numpy()
        for axis in (0, 1) if deviation else ():
            expected = gaussian_filter1d(expected, deviation, axis, mode="nearest", radius=6)
        np.testing.assert_allclose(found[i], expected, atol=0.01)
    deviations = step.draw(2000, generator())["deviation"]
    assert 0.67 < (deviations > 0).float().mean() < 0.73
    assert 0.3 <= deviations[deviations > 0].min() < 0.32
    assert 1.98 < deviations.max() <= 2.0
    with pytest.raises(DeepenError, match=r"blur: least 3.0 above most 2.0"):
        Blur(0.5, 3.0, 2.0)


def test_cutout_covers_a_square_that_may_reach_beyond_the_border():
    step, images = Cutout(0.5), pictures()
    drawn = step.draw(N, generator())
    found = step.apply(images, drawn)
    for i, (down, right) in enumerate(drawn["centre"].T.tolist()):
        expected, half = images[i].clone(), 0.5 * min(H, W) / 2
        mean = images[i].float().mean((0, 1)).to(torch.uint8)
        for y in range(H):
            for x in range(W):
                if abs(y + 0.5 - down * H) < half and abs(x + 0.5 - right * W) < half:
                    expected[y, x] = mean
        assert torch.equal(found[i], expected)


def test_erase_covers_a_rectangle_inside_of_the_area_drawn():
    step, side = Erase(0.7, 0.1, 0.3), 200
    drawn = step.draw(300, generator())
    top, bottom, left, right = drawn["box"]
    area, chosen = (bottom - top) * (right - left), bottom > top
    assert 0.6 < chosen.float().mean() < 0.8
    assert (area[chosen] >= 0.1 - 1e-4).all()
    assert (area[chosen] <= 0.3 + 1e-4).all()
    assert min(top.min(), left.min()) >= 0
    assert max(bottom.max(), right.max()) <= 1 + 1e-6
    ratio = ((bottom - top) / (right - left))[chosen]
    assert 0.29 < ratio.min() < 0.4
    assert 2.5 < ratio.max() < 3.4
    images = torch.randint(0, 256, (8, side, side, 1), dtype=torch.uint8, generator=generator())
    found = step.apply(images, {"box": drawn["box"][:, :8]})
    for i in range(8):
        mean = images[i].float().mean().to(torch.uint8)
        share = (found[i] != images[i]).float().mean() + (images[i] == mean).float().mean() * area[i]
        torch.testing.assert_close(share, area[i], atol=0.02, rtol=0)
    assert not Erase(0.0).draw(50, generator())["box"].diff(dim=0)[::2].any()
