"""What moves places, against one picture at a time: exact where whole pixels go, else Pillow's bilinear transform."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deepen import pixels
from deepen.augmentations import Geometry, chain
from deepen.augmentations.crop import Crop
from deepen.augmentations.flip import Flip
from deepen.augmentations.rotate import Rotate
from deepen.augmentations.scale import Scale
from deepen.augmentations.vertical_flip import VerticalFlip
from deepen.augmentations.zoom import Zoom
from deepen.errors import DeepenError
from tests.augmentations.batches import C, H, N, W, generator, moved, pictures


def test_crop_moves_each_picture_and_fills_with_black():
    step, images = Crop(3), pictures()
    drawn = step.draw(N, generator())
    found = step.apply(images, drawn).numpy()
    for i, (down, right) in enumerate(drawn["shift"].T.tolist()):
        expected = np.zeros((H, W, C), np.uint8)
        for y in range(H):
            for x in range(W):
                if 0 <= y + down - 3 < H and 0 <= x + right - 3 < W:
                    expected[y, x] = images[i, y + down - 3, x + right - 3]
        np.testing.assert_array_equal(found[i], expected)
    shifts = Crop(2).draw(500, generator(1))["shift"]
    assert sorted(set(shifts.flatten().tolist())) == [0, 1, 2, 3, 4], "every shift, to both sides"


@pytest.mark.parametrize(("flip", "axis"), [(Flip, 1), (VerticalFlip, 0)])
def test_flips_mirror_where_drawn(flip, axis):
    images = pictures()
    drawn = flip().draw(N, generator())
    found = flip().apply(images, drawn)
    chosen = drawn["flip"][0]
    assert 0 < int(chosen.sum()) < N
    for i in range(N):
        assert torch.equal(found[i], images[i].flip(axis) if chosen[i] else images[i])
    assert flip(0.0).draw(100, generator())["flip"].sum() == 0
    assert flip(1.0).draw(100, generator())["flip"].all()


@pytest.mark.parametrize("step", [Crop(3), Flip(), VerticalFlip()])
def test_whole_pixels_and_their_affine_map_say_the_same(step):
    images = pictures()
    drawn = step.draw(N, generator())
    found = pixels.sampled(images, step.affine(drawn, H, W))
    torch.testing.assert_close(found, step.apply(images, drawn).float(), atol=0.01, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(12, 9), (5, 40), (1, 7), (53, 1)])
def test_rotate_is_pillows_turn_about_the_middle(height, width):
    step, images = Rotate(180.0), pictures(3, 6, height, width)
    drawn = step.draw(6, generator())
    found = step.apply(images, drawn)
    for i, angle in enumerate(drawn["angle"][0].double().tolist()):
        cos, sin = math.cos(angle), math.sin(angle)
        middle = (width / 2 - cos * width / 2 + sin * height / 2, height / 2 - sin * width / 2 - cos * height / 2)
        expected = moved(images[i], cos, -sin, middle[0], sin, cos, middle[1])
        near_the_edge = (np.abs(found[i].numpy() - expected) > 0.05).any(2)
        assert near_the_edge.mean() < 0.02, "but for places on the very border"
    angles = Rotate(20.0).draw(2000, generator())["angle"] * 180 / math.pi
    assert 19 < angles.max() <= 20
    assert -20 <= angles.min() < -19


@pytest.mark.parametrize(("height", "width"), [(12, 9), (96, 60), (1, 7), (53, 1)])
def test_scale_is_pillows_with_black_beyond_the_picture(height, width):
    step, images = Scale(0.5, 2.0), pictures(4, 6, height, width)
    drawn = step.draw(6, generator(2))
    found = step.apply(images, drawn)
    for i, size in enumerate(drawn["size"][0].double().tolist()):
        step_ = 1 / size
        expected = moved(images[i], step_, 0, width / 2 * (1 - step_), 0, step_, height / 2 * (1 - step_))
        np.testing.assert_allclose(found[i], expected, atol=0.05)
    sizes = Scale(0.5, 2.0).draw(2000, generator())["size"].log2()
    assert abs(float(sizes.mean())) < 0.05, "as often larger as smaller"
    assert sizes.min() < -0.98
    assert sizes.max() > 0.98
    with pytest.raises(DeepenError, match=r"scale: least 2.0 above most 1.0"):
        Scale(2.0, 1.0)


def test_zoom_is_pillows_sampling_of_the_drawn_frame():
    step, images = Zoom(), pictures()
    drawn = step.draw(N, generator())
    found = step.apply(images, drawn)
    for i, (width, height, x, y) in enumerate(drawn["frame"].T.double().tolist()):
        expected = moved(images[i], width, 0, W / 2 * (1 - width + x), 0, height, H / 2 * (1 - height + y))
        np.testing.assert_allclose(found[i], expected, atol=0.05)


@pytest.mark.parametrize(("height", "width"), [(12, 9), (1, 7), (53, 1), (96, 5), (60, 60)])
def test_zoom_does_every_shape(height, width):
    """Also where a column is longer than what is moved together, and where no number divides it."""
    images = torch.randint(0, 256, (3, height, width, 2), dtype=torch.uint8, generator=generator())
    drawn = Zoom().draw(3, generator(1))
    step_x, step_y, x, y = drawn["frame"].double()
    across, down = weights(width, step_x, x), weights(height, step_y, y)
    rows = (down @ images.double().flatten(2)).view(3, height, width, 2)
    np.testing.assert_allclose(Zoom().apply(images, drawn), across[:, None] @ rows, atol=0.01)


def weights(n: int, step: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """float64 (B, n, n): how much of each pixel of a line goes into each; a tent around the place sampled."""
    centres = (torch.arange(n).double() * 2 + 1) / n - 1
    place = (((centres * step[:, None] + shift[:, None] + 1) * n - 1) / 2).clamp(0, n - 1)
    return (1 - (place[:, :, None] - torch.arange(n)).abs()).clamp(min=0)


def test_zoom_leaves_planes_for_the_network():
    found = Zoom().apply(pictures(), Zoom().draw(N, generator()))
    assert found.permute(0, 3, 1, 2).is_contiguous()


def test_zoom_frames_lie_inside_and_hold_the_area_asked_for():
    width, height, x, y = Zoom(0.35).draw(2000, generator())["frame"]
    assert (x.abs() <= 1 - width + 1e-6).all()
    assert (y.abs() <= 1 - height + 1e-6).all()
    assert (width * height).min() >= 0.3
    assert (width * height).max() <= 1
    ratio = width / height
    assert ratio.min() >= 3 / 4 - 1e-5
    assert ratio.max() <= 4 / 3 + 1e-5
    places = torch.stack([x / (1 - width), y / (1 - height)])[:, (width < 0.99) & (height < 0.99)]
    assert abs(float(places.corrcoef()[0, 1])) < 0.1, "each way by itself"
    assert places.abs().max() > 0.98
    whole = Zoom(1.0).draw(50, generator())["frame"]
    assert whole[:2].min() > 0.85


def test_a_chain_looks_up_the_first_through_the_second():
    """Places of the result go to places between the two, and from there into the picture."""
    first: Geometry = Rotate(90.0)
    second: Geometry = Scale(0.5, 2.0)
    a = first.affine(first.draw(N, generator()), H, W)
    b = second.affine(second.draw(N, generator(1)), H, W)
    place = torch.rand(N, 2, generator=generator(2))
    between = (b[:, :, :2] @ place[:, :, None])[..., 0] + b[:, :, 2]
    expected = (a[:, :, :2] @ between[:, :, None])[..., 0] + a[:, :, 2]
    whole = chain(a, b)
    torch.testing.assert_close((whole[:, :, :2] @ place[:, :, None])[..., 0] + whole[:, :, 2], expected)
