"""Augmentations one after the other: in order, sampled once, in parts; and refused where they do not suit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deepen import config as configs
from deepen import registry
from deepen.augmentations import Augmentation, Drawn
from deepen.data.augment import Augment
from deepen.errors import DeepenError
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.preprocess.row import Row
from deepen.preprocess.text import Text
from deepen.signature import Signature
from tests.augmentations.batches import COLOUR, H, N, W, generator, moved, pictures
from tests.training.engines import engine

ALL = ({"name": "crop", "padding": 3}, {"name": "zoom"}, {"name": "flip"}, {"name": "brightness"}, {"name": "blur"})
WHOLE = ({"name": "crop", "padding": 3}, {"name": "flip"}, {"name": "vertical_flip"}, {"name": "crop"})


def one(augment: Augment, images: torch.Tensor, drawn: list[Drawn], part: slice = slice(None)) -> torch.Tensor:
    return augment.stored([images], drawn, part)[0]


def test_whole_pixels_are_moved_step_by_step_and_stay_bytes():
    images, augment = pictures(), Augment(WHOLE, COLOUR)
    drawn = augment.draw(N, generator())
    expected = images
    for step, values in zip(augment.steps, drawn):
        expected = step.apply(expected, values)
    found = one(augment, images, drawn)
    assert found.dtype == torch.uint8
    assert torch.equal(found, expected)


def test_a_flip_after_a_zoom_is_part_of_it():
    images, augment = pictures(), Augment(({"name": "zoom"}, {"name": "flip"}), COLOUR)
    drawn = augment.draw(N, generator())
    zoomed = augment.steps[0].apply(images, drawn[0])
    expected = augment.steps[1].apply(zoomed, drawn[1])
    augment.steps[1].apply = None
    found = one(augment, images, drawn)
    assert torch.equal(found, expected)
    assert not torch.equal(found, zoomed)


def test_neighbours_that_move_are_sampled_once():
    """Turned and made smaller in one look-up: what the turn alone would cut off is there, nothing is blurred twice."""
    images = pictures()
    augment = Augment(({"name": "rotate", "degrees": 90}, {"name": "scale", "least": 0.4, "most": 0.6}), COLOUR)
    drawn = augment.draw(N, generator())
    found = one(augment, images, drawn).numpy()
    for i in range(N):
        angle, size = float(drawn[0]["angle"][0, i]), float(drawn[1]["size"][0, i])
        cos, sin = math.cos(angle) / size, math.sin(angle) / size
        x, y = W / 2, H / 2
        expected = moved(images[i], cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)
        assert (np.abs(found[i] - expected) > 0.05).any(2).mean() < 0.02
    corner = augment.affine(drawn, H, W) @ torch.tensor([1.0, 1.0, 1.0])
    for i in range(N):
        angle, size = float(drawn[0]["angle"][0, i]), float(drawn[1]["size"][0, i])
        x = (math.cos(angle) * W - math.sin(angle) * H) / size / W
        y = (math.sin(angle) * W + math.cos(angle) * H) / size / H
        torch.testing.assert_close(corner[i], torch.tensor([x, y]), atol=1e-4, rtol=1e-4)


def test_colour_between_moves_keeps_the_order():
    images = pictures()
    augment = Augment(({"name": "rotate"}, {"name": "contrast"}, {"name": "rotate"}), COLOUR)
    drawn = augment.draw(N, generator())
    expected = images
    for step, values in zip(augment.steps, drawn):
        expected = step.apply(expected, values)
    assert torch.equal(one(augment, images, drawn), expected)


@pytest.mark.parametrize("parts", [2, 3, 5, N, N + 3])
def test_parts_of_a_batch_equal_the_whole(parts):
    augment, images = Augment(ALL, COLOUR), pictures()
    drawn = augment.draw(N, generator())
    cuts = [slice(k * N // parts, (k + 1) * N // parts) for k in range(parts)]
    pieces = [one(augment, images[cut], drawn, cut) for cut in cuts]
    torch.testing.assert_close(torch.cat(pieces), one(augment, images, drawn), atol=1e-3, rtol=0)


def test_of_several_inputs_those_are_changed_that_it_is_for():
    grey, colour = Image(6, 6, 1), Image(6, 6, 3)
    signature = Signature(
        {"scan": grey, "text": Text(("a", "b")), "photo": colour, "row": Row(("x",), {}, {"c": ("d",)})}, {}
    )
    assert [t.name for t in signature.tensors] == [
        "scan.image",
        "text.tokens",
        "photo.image",
        "row.numbers",
        "row.categories",
    ]
    specs = ("flip", "hue", "word_dropout", "noise")
    augment = Augment(tuple({"name": name} for name in specs), signature)
    assert augment.places == [{0, 2}, {2}, {1}, {0, 2, 3}]
    given = [
        pictures(0, N, 6, 6, 1),
        torch.full((N, 40), 2),
        pictures(0, N, 6, 6),
        torch.randn(N, 1),
        torch.zeros(N, 1).long(),
    ]
    drawn = augment.draw(N, generator())
    found = augment.scaled(augment.stored(given, drawn), drawn)
    assert [torch.equal(a.float(), b.float()) for a, b in zip(given, found)] == [False, False, False, False, True]


def test_own_augmentation_from_outside():
    augment = Augment(({"name": "tests.data.test_augment:Inverted", "top": 200},), COLOUR)
    images = pictures()
    assert torch.equal(one(augment, images, augment.draw(N, generator())), 200 - images)


class Inverted(Augmentation):
    """A user's own."""

    def __init__(self, top: int) -> None:
        self.top = top

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {}

    def apply(self, items: torch.Tensor, drawn: Drawn) -> torch.Tensor:
        return self.top - items


@pytest.mark.parametrize(
    ("specs", "inputs", "text"),
    [
        (["hue"], {"image": Image(8, 8, 1)}, r"\[0\]: hue cannot change pictures 8 x 8, grey. Expected pictures in colour"),
        (["noise", "flip"], {"array": Array((4,))}, r"\[1\]: flip cannot change .*For these there is mixup, noise, scaling"),
        (["word_dropout"], {"row": Row(("x",))}, r"word_dropout cannot change rows .*Expected an input it is for: text"),
        (["mixup"], {"text": Text(("a",))}, r"mixup cannot change texts .*nothing but image or array or row, all numbers"),
        (["mixup"], {"row": Row(("x",), {}, {"c": ("d",)})}, "mixup cannot change rows"),
        (["cutmix"], {"a": Image(8, 8, 3), "b": Array((3,))}, "cutmix cannot change .*nothing but image"),
        (["deepen.kinds.classes:Classes"], {"image": Image(8, 8, 3)}, "Classes is no augmentation"),
    ],
)  # fmt: skip
def test_what_does_not_suit_is_refused_by_name(specs, inputs, text):
    with pytest.raises(DeepenError, match=text):
        Augment(tuple({"name": name} for name in specs), Signature(inputs, {}))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("flop", "unknown name 'flop'. Did you mean 'flip'"),
        ({"name": "crop", "pading": 2}, "Did you mean 'padding'"),
        ({"name": "crop", "padding": -1}, r"train.augment\[1\].padding: got -1. Expected a whole number of at least 0"),
        ({"name": "flip", "p": True}, "got True"),
        ({"name": "flip", "p": 1.5}, "got 1.5. Expected a number from 0 to 1"),
        ({"name": "mixup", "alpha": 0}, "alpha: got 0. Expected a number above 0"),
        (3, "Expected a list of a name or"),
    ],
)
def test_mistakes_are_told_before_the_data_is_read(spec, text):
    with pytest.raises(DeepenError, match=text):
        configs.parse({"data": {"name": "blobs"}, "train": {"augment": ["noise", spec]}})


def test_a_configuration_says_which_in_short_or_with_settings():
    found = configs.parse({"data": {"name": "blobs"}, "train": {"augment": ["jitter", {"name": "noise", "sd": 1}]}})
    assert found.train.augment == ({"name": "noise"}, {"name": "noise", "sd": 1.0})
    assert {"crop", "flip", "zoom", "mixup"} <= {*registry.names("augmentations")}


def test_only_training_sees_it():
    trained = engine(augment="[{name: noise, sd: 100}]")
    rows = trained.data.parts["val"]
    assert all(x.abs().max() <= 10 for x in trained.data.inputs(rows))
    assert trained.feed.batch(0, 0).inputs[0].abs().max() > 10
