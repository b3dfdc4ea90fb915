"""Augmentation of a whole batch: exact against one picture at a time, and parts of a batch equal the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deepen.data.augment import AUGMENTS, Augment, Crop, Cutout, Erase, Flip, Zoom
from deepen.errors import DeepenError

N, H, W, C = 13, 12, 9, 3
ALL = ({"name": "crop", "padding": 3}, {"name": "zoom"}, {"name": "flip"})
TURNED = ({"name": "flip"}, {"name": "zoom"}, {"name": "flip"}, {"name": "flip"}, {"name": "crop", "padding": 3})


def pictures(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (N, H, W, C), dtype=np.uint8))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


def test_flip_mirrors_left_and_right_where_drawn():
    images = pictures()
    drawn = Flip().draw(N, generator())
    found = Flip().apply(images, drawn)
    chosen = drawn["flip"][0]
    assert 0 < int(chosen.sum()) < N
    for i in range(N):
        assert torch.equal(found[i], images[i].flip(1) if chosen[i] else images[i])
    assert Flip(0.0).draw(100, generator())["flip"].sum() == 0
    assert Flip(1.0).draw(100, generator())["flip"].all()


def test_zoom_is_bilinear_sampling_of_the_drawn_frame():
    step, images = Zoom(), pictures()
    drawn = step.draw(N, generator())
    found = step.apply(images, drawn).numpy()
    for i, (width, height, middle_x, middle_y) in enumerate(drawn["frame"].T.tolist()):
        picture = images[i].numpy().astype(float)
        for y in range(H):
            for x in range(W):
                # from -1 to 1 over the frame, then to places of the picture, whose outermost places are repeated
                across = ((2 * x + 1) / W - 1) * width + middle_x
                down = ((2 * y + 1) / H - 1) * height + middle_y
                column = min(max(((across + 1) * W - 1) / 2, 0), W - 1)
                row = min(max(((down + 1) * H - 1) / 2, 0), H - 1)
                left, top = math.floor(column), math.floor(row)
                right, bottom = min(left + 1, W - 1), min(top + 1, H - 1)
                a, b = column - left, row - top
                above = picture[top, left] * (1 - a) + picture[top, right] * a
                below = picture[bottom, left] * (1 - a) + picture[bottom, right] * a
                np.testing.assert_allclose(found[i, y, x], above * (1 - b) + below * b, atol=0.01)


@pytest.mark.parametrize(("height", "width"), [(12, 9), (1, 7), (53, 1), (96, 5), (60, 60)])
def test_zoom_does_every_shape(height, width):
    """Also where a column is longer than what is moved together, and where no number divides it."""
    images = torch.randint(0, 256, (3, height, width, 2), dtype=torch.uint8, generator=generator())
    drawn = Zoom().draw(3, generator(1))
    step_x, step_y, x, y = drawn["frame"].double()
    across, down = weights(width, step_x, x), weights(height, step_y, y)
    rows = (down @ images.double().flatten(2)).view(3, height, width, 2)
    expected = across[:, None] @ rows
    np.testing.assert_allclose(Zoom().apply(images, drawn), expected, atol=0.01)


def weights(n: int, step: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """float64 (B, n, n): how much of each pixel of a line goes into each; a tent around the place sampled."""
    centres = (torch.arange(n).double() * 2 + 1) / n - 1
    place = (((centres * step[:, None] + shift[:, None] + 1) * n - 1) / 2).clamp(0, n - 1)
    return (1 - (place[:, :, None] - torch.arange(n)).abs()).clamp(min=0)


def test_zoom_leaves_planes_for_the_network():
    found = Zoom().apply(pictures(), Zoom().draw(N, generator()))
    assert found.permute(0, 3, 1, 2).is_contiguous()


def test_a_flip_after_a_zoom_is_part_of_it(monkeypatch):
    images, augment = pictures(), Augment(({"name": "zoom"}, {"name": "flip"}))
    drawn = augment.draw(N, generator())
    zoomed = augment.steps[0].apply(images, drawn[0])
    expected = augment.steps[1].apply(zoomed, drawn[1])
    monkeypatch.setattr(Flip, "apply", None)
    found = augment.apply(images, drawn)
    assert torch.equal(found, expected)
    assert not torch.equal(found, zoomed)


def test_zoom_frames_lie_inside_and_hold_the_area_asked_for():
    width, height, x, y = Zoom(0.35).draw(2000, generator())["frame"]
    assert (x.abs() <= 1 - width + 1e-6).all()
    assert (y.abs() <= 1 - height + 1e-6).all()
    assert (width * height).min() >= 0.3
    assert (width * height).max() <= 1
    ratio = width / height
    assert ratio.min() >= 3 / 4 - 1e-5
    assert ratio.max() <= 4 / 3 + 1e-5
    whole = Zoom(1.0).draw(50, generator())["frame"]
    assert whole[:2].min() > 0.85


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


@pytest.mark.parametrize("name", sorted(AUGMENTS))
def test_shape_type_and_randomness(name):
    augment, images = Augment(({"name": name},)), pictures()
    kept = images.clone()
    found = augment.apply(images, augment.draw(N, generator()))
    assert found.shape == images.shape
    assert found.dtype == (torch.float32 if name == "zoom" else torch.uint8)
    assert torch.equal(images, kept), "the stored pictures are not changed"
    assert torch.equal(found, augment.apply(images, augment.draw(N, generator()))), "same seed, same pictures"
    assert not torch.equal(found, augment.apply(images, augment.draw(N, generator(1))))


@pytest.mark.parametrize("parts", [2, 3, 5, N, N + 3])
def test_parts_of_a_batch_equal_the_whole(parts):
    augment, images = Augment(ALL), pictures()
    drawn = augment.draw(N, generator())
    whole = augment.apply(images, drawn)
    cuts = [slice(k * N // parts, (k + 1) * N // parts) for k in range(parts)]
    pieces = [augment.apply(images[cut], drawn, cut) for cut in cuts]
    assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("steps", [ALL, TURNED])
def test_steps_follow_each_other_in_order(steps):
    images = pictures()
    augment = Augment(steps)
    drawn = augment.draw(N, generator())
    expected = images
    for step, values in zip(augment.steps, drawn):
        expected = step.apply(expected, values)
    assert torch.equal(augment.apply(images, drawn), expected)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"name": "flop"}, "unknown name 'flop'. Did you mean 'flip'"),
        ({"name": "crop", "pading": 2}, "Did you mean 'padding'"),
        ({"name": "crop", "padding": -1}, r"train.augment\[0\].padding: got -1. Expected a number of at least 0"),
        ({"name": "flip", "p": True}, "got True"),
    ],
)
def test_mistakes_are_told(spec, text):
    with pytest.raises(DeepenError, match=text):
        Augment((spec,))
