"""Nothing is lost between the user's items and the network's tensors; what is odd about them is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.config import Check, Config, Split
from deepen.data import checks
from deepen.data.columns import Column, infer
from deepen.data.encoding import encode_all
from deepen.data.giveaways import giveaways
from deepen.data.items import Bad, Items
from deepen.data.prepare import prepare
from deepen.errors import DeepenError, Invalid
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.preprocess.row import Row, Rows
from deepen.signature import Signature
from tests import dirty


def blobs(count: int = 100, classes: int = 3, **more) -> Items:
    rng = np.random.default_rng(0)
    label = np.arange(count) % classes
    points = rng.normal(size=(count, 2)) + label[:, None]
    return Items(
        [f"i{i}" for i in range(count)],
        {"row": Rows({"a": points[:, 0], "b": points[:, 1]})},
        {"row": ("row", {"types": {"a": "number", "b": "number"}})},
        [f"c{i}" for i in label],
        "classes",
        **more,
    )


def config(**more) -> Config:
    return Config({"name": "blobs"}, **more)


def test_the_counts_add_up():
    items = blobs(bad=[Bad("x", "why")])
    items.target = [None if i % 10 == 0 else t for i, t in enumerate(items.target)]
    report = prepare(items, config()).report()
    assert report["items"] == 101
    assert report["unlabelled"] == 10
    assert report["train"] + report["val"] + report["test"] + report["unlabelled"] + report["bad"] == 101


class Picky:
    """An encoder that refuses some values and names the first of them it meets, as encoders may."""

    tensors = (*Array((1,)).tensors,)

    def __init__(self, backwards: bool) -> None:
        self.backwards, self.read = backwards, 0

    def encode(self, values):
        self.read += len(values)
        wrong = [i for i, v in enumerate(values) if v < 0]
        if wrong:
            raise Invalid("below zero", "", wrong[-1 if self.backwards else 0])
        return {"array": np.array(values, np.float32)[:, None]}


@given(st.lists(st.integers(-3, 30), min_size=1, max_size=700), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_bad_value_is_named_and_every_good_one_kept(values, backwards):
    arrays, failures = encode_all(Picky(backwards), values)
    assert failures == {i: "below zero" for i, v in enumerate(values) if v < 0}
    np.testing.assert_array_equal(arrays["array"][:, 0], [max(v, 0) for v in values])


def test_good_pictures_around_bad_ones_are_decoded_twice_at_most():
    encoder = Picky(False)
    encode_all(encoder, [-1 if i % 20 == 7 else i for i in range(256)])
    assert encoder.read <= 256 + 256 * 13  # lengths asked for, not decoded
    contents = [b"text" if i in (3, 250) else dirty.PNG for i in range(300)]
    arrays, failures = encode_all(Image(8, 8, 3), contents)
    assert set(failures) == {3, 250}
    assert (arrays["image"][4:250] == arrays["image"][0]).all()
    assert not arrays["image"][3].any()


@pytest.mark.parametrize("count", [0, 5, 6])
def test_more_than_five_in_a_hundred_stop(count):
    items = blobs(100 - count, bad=[Bad(f"b{i}", "broken") for i in range(count)])
    if count <= 5:
        assert prepare(items, config()).report()["bad"] == count
        return
    with pytest.raises(DeepenError) as problem:
        prepare(items, config())
    assert str(problem.value) == (
        "data: 6 of 100 items are bad (6 x broken; first: b0). Expected at most 5%. "
        "Mend them, or allow more: check.max_bad=0.06."
    )
    assert prepare(items, config(check=Check(max_bad=0.06))).report()["bad"] == 6


def test_bad_items_are_told_before_what_is_left_is_found_too_few():
    items = blobs(4, bad=[Bad(f"b{i}", "broken") for i in range(16)])
    with pytest.raises(DeepenError, match="16 of 20 items are bad"):
        prepare(items, config())


def test_content_is_hashed_by_value():
    rows = Rows({"a": np.array([1.0, 1.0, 2.0]), "t": np.array(["x", "x", None], object)})
    items = Items(["0", "1", "2"], {"row": rows}, {}, ["a"] * 3, "classes")
    one, two, three = items.content()
    assert one == two != three
    part = Items(["1", "2"], {"row": rows[np.array([1, 2])]}, {}, ["a"] * 2, "classes")
    assert part.content() == [two, three]
    pictures = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)
    pictures[3] = pictures[1]
    assert len(set(Items(list("01234"), {"x": pictures}, {}, [0] * 5, "classes").content())) == 4
    ragged = Items(["0", "1"], {"x": [np.zeros((2, 2)), np.zeros(4)]}, {}, [0, 0], "classes")
    assert len(set(ragged.content())) == 2


def test_the_fingerprint_sees_ids_content_and_labels():
    whole = blobs(30).fingerprint()
    assert blobs(30).fingerprint() == whole
    for change in ("ids", "target"):
        other = blobs(30)
        getattr(other, change)[7] = "new"
        assert other.fingerprint() != whole
    other = blobs(30)
    other.inputs["row"].columns["a"][7] += 1e-12
    assert other.fingerprint() != whole


def test_the_same_content_with_two_labels_is_noted():
    items = blobs(100)
    for name in ("a", "b"):
        items.inputs["row"].columns[name][1] = items.inputs["row"].columns[name][0]
    prepared = prepare(items, config())
    assert "2 items with the content of another but not its label (first: i0)" in prepared.notes
    assert "1 exact copy of another item: kept in the same part of the split" in prepared.notes


def test_near_copies_are_found_and_others_are_not():
    pictures = [dirty.picture(i, (64, 64)) for i in range(60)]
    encoder = Image(48, 48, 3)
    contents = [dirty.encoded(p) for p in pictures]
    contents += [dirty.encoded(pictures[i].resize((40, 40)), "JPEG", quality=70) for i in range(10)]
    items = Items([f"{i}" for i in range(70)], {"image": contents}, {}, [0] * 70, "classes")
    parts = {"train": np.arange(30), "val": np.arange(30, 60), "test": np.arange(60, 70)}
    (leak,) = checks.near_copies(items, encoder.encode(contents)["image"], parts)
    assert leak == "10 of 10 pictures in test are nearly the same as one in train (first: 60 ~ 0)"


@pytest.mark.parametrize(("noise", "told"), [(3, 1), (12, 0)])  # correlations of 0.998 and 0.97
def test_what_is_alike_is_no_copy(noise, told):
    draw = np.random.default_rng(0)
    one = draw.integers(40, 200, (16, 16, 1))
    pictures = np.stack([one, one[::-1], (one + draw.normal(0, noise, one.shape)).round()]).astype(np.uint8)
    items = Items([*"abc"], {"image": [b"a", b"b", b"c"]}, {}, [0] * 3, "classes")
    parts = {"train": np.array([0]), "val": np.array([1]), "test": np.array([2])}
    assert len(checks.near_copies(items, pictures, parts)) == told


def test_a_column_that_tells_most_answers_is_no_leak():
    answers = np.arange(400) % 2.0
    for wrong, told in ((1, 1), (20, 0)):
        cells = np.array(["pq"[int(a)] for a in answers], object)
        cells[:wrong] = "q"
        cells[1:wrong:2] = "p"
        column = Column.of("c", cells)
        assert len(giveaways({"c": column}, {"c": infer(column)}, answers, "classes")) == told


def test_pictures_are_compared_by_grey_box_averages():
    count = checks.TOGETHER + 3
    pictures = np.random.default_rng(0).integers(0, 256, (count, 32, 48, 3), dtype=np.uint8)
    rows = np.arange(count)[::-1]
    boxes = pictures[rows].reshape(count, 16, 2, 16, 3, 3).mean((2, 4, 5)).reshape(count, 256)
    boxes -= boxes.mean(1, keepdims=True)
    expected = boxes / np.linalg.norm(boxes, axis=1, keepdims=True)
    np.testing.assert_allclose(checks._thumbnails(pictures, rows), expected, atol=1e-5)
    faint = np.full((1, 16, 16, 3), 100, np.uint8)
    faint[0, ::2] += 2  # one level from the mean: length 16
    assert not checks._thumbnails(faint, np.arange(1)).any(), "as good as plain"


def test_plain_pictures_are_no_copies_of_each_other():
    pictures = np.stack([np.full((20, 20, 3), v, np.uint8) for v in range(0, 240, 10)])
    items = Items([f"{i}" for i in range(24)], {"image": list(pictures)}, {}, [0] * 24, "classes")
    parts = {"train": np.arange(12), "val": np.arange(12, 18), "test": np.arange(18, 24)}
    assert checks.near_copies(items, pictures, parts) == []


def test_a_large_comparison_is_sampled(monkeypatch):
    monkeypatch.setattr(checks, "MOST_PAIRS", 150)
    pictures = np.stack([np.asarray(dirty.picture(i % 20, (20, 20))) for i in range(40)])
    items = Items(
        [f"{i}" for i in range(40)],
        {"image": list(pictures)},
        {},
        [0] * 40,
        "classes",
        hashes=list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"),
    )
    parts = {"train": np.arange(20), "val": np.arange(20, 40), "test": np.arange(0)}
    (leak,) = checks.near_copies(items, pictures, parts)
    assert leak.startswith("about 20 of 20 pictures in val")


@pytest.mark.parametrize("how", ["stratified", "random"])
def test_a_split_that_cannot_be_made_says_so(how):
    with pytest.raises(DeepenError, match=r"split\.val: no item of 3 falls into it"):
        prepare(blobs(3, 2), config(split=Split(how=how)))


def test_a_number_outside_the_training_part_does_not_count():
    numbers = np.array([[1.0, 2.0], [1.0, np.nan], [3.0, np.nan]], np.float32)
    signature = Signature({"array": Array((2,))}, {})
    checks.values(signature, {"array": numbers}, np.array([0, 2]))
    with pytest.raises(DeepenError, match=r"x\[:, 1\]: none of the 2 training items has"):
        checks.values(signature, {"array": numbers}, np.array([1, 2]))


def test_rows_are_fitted_on_the_training_part_only():
    items = blobs(200)
    prepared = prepare(items, config())
    column = np.array(["common"] * 200, object)
    held = np.concatenate([prepared.parts["val"], prepared.parts["test"]])
    column[held] = "only held out"
    items.inputs["row"].columns["c"] = column
    items.encoders["row"][1]["types"]["c"] = "category"
    items.hashes = []
    encoder = prepare(items, config()).signature.inputs["row"]
    assert isinstance(encoder, Row)
    assert encoder.categories == {"c": ("common",)}


def test_so_are_numbers_to_predict():
    items = blobs(200)
    items.kind, items.split = "number", ["train"] * 100 + ["val"] * 50 + ["test"] * 50
    items.target = [i % 2 if i < 100 else 1000 + i for i in range(200)]
    answer = prepare(items, config()).signature.answer
    assert (answer.mean, answer.scale) == (0.5, 0.5)


def test_reasons_that_differ_only_in_their_numbers_are_told_together():
    bad = [Bad(f"{i}.png", f"stated {i} x {i + 1.5}, is 3 x 4") for i in range(7)] + [Bad("a", "empty file")]
    assert checks.quarantine(bad, 100) == [
        "8 of 100 items set aside: 7 x such as stated 0 x 1.5, is 3 x 4; 1 x empty file (first: 0.png)"
    ]


def test_a_target_that_is_not_learnt_from_is_told():
    asked = Config({"name": "table", "target": "c"}, method={"name": "reconstruct"})
    assert any("column 'c' is left out: reconstruct needs no target" in n for n in prepare(blobs(), asked).notes)
    assert not any("left out" in note for note in prepare(blobs(), config()).notes)
