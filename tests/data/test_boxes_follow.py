"""Boxes go where the things in the picture go: against each picture, pixel by pixel, and through the feed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen import config as configs
from deepen import registry
from deepen.data.augment import Augment, moved
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.kinds.boxes import Boxes
from deepen.preprocess.image import Image
from deepen.signature import Signature
from deepen.training import diagnosis, plan
from deepen.training.assemble import build
from tests.detection import shapes

SIDE = 48
SIGNATURE = Signature({"image": Image(SIDE, SIDE + 16, 3, "fit")}, {"things": Boxes(("a", "b", "c"))})


def one_square(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Black pictures (n, H, W, 3), a white rectangle in each; its box as shares, class 2."""
    rng = np.random.default_rng(0)
    images, things = np.zeros((n, SIDE, SIDE + 16, 3), np.uint8), []
    for image in images:
        x, y, w, h = *rng.integers(4, 20, 2), *rng.integers(8, 24, 2)
        image[y : y + h, x : x + w] = 255
        things.append([[x / (SIDE + 16), y / SIDE, (x + w) / (SIDE + 16), (y + h) / SIDE, 2, 0], [-1] * 6])
    return torch.from_numpy(images), torch.tensor(things, dtype=torch.float32)


@pytest.mark.parametrize(
    "specs", [[{"name": "flip"}], [{"name": "crop", "padding": 7}], [{"name": "zoom", "least": 0.3}],
              [{"name": "vertical_flip"}, {"name": "rotate", "degrees": 8}], [{"name": "hue"}, {"name": "scale"}],
              [{"name": "crop", "padding": 3}, {"name": "zoom"}, {"name": "flip"}]],
)  # fmt: skip
def test_boxes_stay_around_what_they_were_around(specs):
    images, things = one_square()
    augment = Augment(tuple(specs), SIGNATURE)
    drawn = augment.draw(len(images), torch.Generator().manual_seed(1))
    moved_images = augment.stored([images, torch.zeros(len(images), 4)], drawn)[0].float()
    matrix = augment.affine(drawn, SIDE, SIDE + 16)
    after = moved(things, matrix)
    assert (after[:, 1] == -1).all()
    changed = 0
    for image, (box, _), (before, _) in zip(moved_images, after, things):
        if box[4] < 0:  # too little of it is left
            assert (image > 127).any(2).sum() < 0.9 * SIDE**2
            continue
        rows, columns = np.nonzero((image > 127).any(2).numpy())
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        expected = (box[:4] * torch.tensor([SIDE + 16, SIDE] * 2)).tolist()
        np.testing.assert_allclose(seen, expected, atol=1.0)
        assert box[4:].tolist() == [2, 0]
        changed += not torch.equal(box, before)
    assert changed > 10


def test_what_has_left_the_frame_is_not_there_any_more():
    augment = Augment(({"name": "crop", "padding": 10},), SIGNATURE)
    drawn = [{"shift": torch.tensor([[10, 10, 10, 10], [18, 12, 10, 16]])}]  # to the left by 8, 2, no and 6 pixels
    things = torch.tensor([[[0.0, 0.2, 0.2, 0.4, 1, 0], [0.5, 0.2, 0.5, 0.4, 1, 0]]]).repeat(4, 1, 1)  # 10 of 50 wide
    after = moved(things, augment.affine(drawn, 50, 50))
    assert after[0, 0].tolist() == [-1] * 6, "a fifth of it is too little"
    torch.testing.assert_close(after[3, 0], torch.tensor([0.0, 0.2, 0.08, 0.4, 1, 0]))
    assert (after[:, 1] == -1).all(), "what has no width is nowhere"
    torch.testing.assert_close(after[1, 0], torch.tensor([0.0, 0.2, 0.16, 0.4, 1, 0]))
    torch.testing.assert_close(after[2, 0], things[2, 0])


@pytest.fixture
def engine(tmp_path):
    place = shapes.coco(tmp_path / "s", 24)
    config = configs.from_target(str(place), {"batch_size": 8, "epochs": 1, "threads": 1, "size": 64,
                                              "model": {"name": "detector", **registry.constant("models", "detector", "tiny")}})  # fmt: skip
    prepared = prepare(registry.build("sources", config.data).read(), config)
    return build(plan.complete(config, prepared), prepared, None)


def test_pictures_and_boxes_in_a_batch_are_moved_alike_and_parts_are_the_batch(engine):
    feed, data = engine.feed, engine.data
    whole = feed.batch(0, 0)
    rows = feed.order.of(0, 0)
    plain = data.targets(rows)
    assert whole.target.shape == plain.shape
    assert not torch.equal(whole.target, plain)
    parts = [feed.batch(0, 0, part, 3) for part in range(3)]
    assert sum(part.items for part in parts) == whole.items
    torch.testing.assert_close(torch.cat([p.inputs[0] for p in parts]), whole.inputs[0])
    longest = whole.target.shape[1]
    padded = [torch.nn.functional.pad(p.target, (0, 0, 0, longest - p.target.shape[1]), value=-1) for p in parts]
    torch.testing.assert_close(torch.cat(padded), whole.target)
    grey = data.normalise.parts[0]
    pixels = (whole.inputs[0] / grey.scale + grey.mean).permute(0, 2, 3, 1)
    inner = [
        pixels[b, int((y1 + y2) / 2 * 64), int((x1 + x2) / 2 * 64)].tolist()
        for b, things in enumerate(whole.target)
        for x1, y1, x2, y2, label, _ in things.tolist()
        if label >= 0
    ]
    assert len(inner) > 5
    coloured = [all(min(abs(v - c) for c in (20, 240)) < 25 for v in pixel) for pixel in inner]
    assert np.mean(coloured) > 0.7  # a thing's colour; of what was cut the middle may be another


def test_a_training_is_looked_at_without_a_guess_to_compare_with(engine):
    assert diagnosis.diagnose(engine, []) == []


def test_the_truth_lies_in_the_frame_as_the_network_sees_it(engine):
    """A wide picture takes the upper part of the square frame: its boxes do too."""
    data = engine.data
    row = next(i for i, name in enumerate(data.ids) if len(data.truth[i]) and i % 3 != 2)
    shares = data.columns[1].values[row, :2].tolist()
    assert shares == pytest.approx([1, 43 / 64])
    found = data.targets(torch.tensor([row]))[0]
    np.testing.assert_allclose(found[:, 1], data.truth[row][:, 1] * 43 / 64, rtol=1e-5)


def test_what_does_not_say_where_boxes_go_is_refused(tmp_path):
    place = shapes.coco(tmp_path / "s", 24)
    config = configs.from_target(str(place), {"augment": "[mixup]", "threads": 1})
    prepared = prepare(registry.build("sources", config.data).read(), config)
    with pytest.raises(DeepenError, match="mixup"):
        build(plan.complete(config, prepared), prepared, None)
