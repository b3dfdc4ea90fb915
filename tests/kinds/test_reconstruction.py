"""Items told again: figures by hand, and the way of an answer through JSON."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.errors import DeepenError
from deepen.kinds.reconstruction import Reconstruction
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.preprocess.row import Row
from deepen.preprocess.series import Series
from deepen.signature import Signature

PLAIN = Reconstruction(shape=(2,), picture=False, mean=(1.0, 0.0), scale=(1.0, 0.5))
GREY = Reconstruction(shape=(2, 3, 1), picture=True, mean=(100.0,), scale=(0.01,))


def outputs(again, loss=None) -> dict:
    again = np.array(again, np.float32)
    loss = np.zeros(len(again)) if loss is None else np.array(loss)
    return {"again": again, "code": np.zeros((len(again), 2), np.float32), "loss": loss.astype(np.float32)}


def test_figures_by_hand():
    truth = np.array([[2.0, 4.0], [4.0, np.nan]])
    given = outputs([[3.0, 0.0], [3.0, 9.0]], [4.0, 2.0])
    found = PLAIN.metrics(truth, given)
    # scaled truth (1, 2), (3, -); told (2, 0), (2, -): squares missed (1 + 4) / 2 and 1, spread (1 + 4) / 2 and 9
    assert found == pytest.approx({"loss": 3.0, "r2": 1 - 3.5 / 11.5, "mae": ((1 + 4) / 2 + 1) / 2})
    again, n = PLAIN.resampled(truth, given, np.array([[2.0, 0.0], [1.0, 1.0]])), 2
    assert again["loss"].tolist() == [4.0, 3.0]
    assert len(again["r2"]) == n


def test_the_mean_item_loses_its_spread():
    truth = np.array([[1.0, 2.0], [1.0, -2.0], [3.0, 0.0]])
    assert PLAIN.baseline(truth, truth)[1] == pytest.approx(((0 + 1) / 2 + (0 + 1) / 2 + (4 + 0) / 2) / 3)
    nats = Reconstruction(shape=(2,), picture=False, mean=(0.0, 0.0), scale=(1.0, 1.0), unit="nats")
    assert nats.baseline(truth, truth) is None


def test_noise_of_a_picture_in_decibels():
    truth = np.full((1, 2, 3, 1), 100, np.uint8)
    assert GREY.metrics(truth, outputs(np.full((1, 2, 3, 1), 110.0)))["psnr"] == pytest.approx(
        10 * np.log10(255**2 / 100)
    )


def test_an_answer_comes_back_from_json_and_is_compared_by_its_pixels():
    rng = np.random.default_rng(0)
    given = outputs(rng.uniform(-5, 260, (3, 2, 3, 1)), [1, 2, 3])
    answers = GREY.decode(given)
    assert set(answers[0]) == {"loss", "code", "picture"}
    back = GREY.outputs(answers)
    np.testing.assert_allclose(back["again"], np.clip(np.round(given["again"]), 0, 255))
    near, far = (GREY.decode({**given, "again": given["again"] + by})[0] for by in (0.4, 30))
    assert GREY.gap(answers[0], near) == 0.0
    assert GREY.gap(answers[0], far) > 0.05
    assert GREY.gap(answers[0], {"loss": 1.0}) == np.inf
    assert GREY.gap(answers[0], {**answers[0], "loss": 3.0}) == pytest.approx(2 / 3)


def test_rows_of_a_table_keep_their_names():
    values = np.array([[1.0, 5.0], [3.0, np.nan]], np.float32)
    kind = Reconstruction.of({"row": Row(("width", "price"))}, {"numbers": values}, np.arange(2))
    assert kind.mean == (2.0, 5.0)
    assert kind.decode(outputs(values[:1]))[0]["again"] == {"width": 1.0, "price": 5.0}
    assert kind.outputs(kind.decode(outputs(values[:1])))["again"].tolist() == [[1.0, 5.0]]


def test_agreement_and_difference_are_on_the_scale_of_training():
    a, b = outputs([[1.0, 1.0], [1.0, 1.0]]), outputs([[1.0, 1.2], [1.0, 1.4]])
    # scaled the differences are 0.1 and 0.2 in one of two places: mean squares 0.005 and 0.02
    assert PLAIN.agreement(a, b) == 0.5
    assert PLAIN.difference(a, b) == pytest.approx(0.2)
    assert PLAIN.difference(a, {**a, "loss": np.array([0, 5], np.float32)}) == pytest.approx(1.0)


def test_what_is_no_picture_and_no_numbers_is_refused():
    with pytest.raises(DeepenError, match=r"rows of .* Expected pictures, arrays of one shape, or rows of numbers"):
        Reconstruction.of({"row": Row(("x",), {}, {"city": ("a",)})}, {}, np.arange(2))
    with pytest.raises(DeepenError, match="pictures, arrays"):
        Reconstruction.of({"a": Array((2,)), "b": Image(2, 2, 1)}, {}, np.arange(2))
    with pytest.raises(DeepenError, match="Expected pictures, arrays .* Leave the method out"):
        Reconstruction.of({"series": Series(("a",), 4, (0.0,), (1.0,))}, {}, np.arange(2))


def test_it_travels_in_the_signature():
    one = Signature({"image": Image(2, 3, 1)}, {"item": GREY})
    assert Signature.from_json(one.to_json()).outputs == one.outputs


def test_panels_pair_items_with_what_they_became():
    truth = np.arange(30 * 6).reshape(30, 2, 3, 1).astype(np.uint8)
    given = outputs(truth.astype(float), np.arange(30))
    given["code"] = np.random.default_rng(0).normal(size=(30, 3))
    first, *_, worst = GREY.panels(truth, given)
    assert first.rows[0] == first.rows[1]
    assert worst.captions[0] == "loss 29"


def test_labels_for_it_are_refused():
    with pytest.raises(DeepenError, match=r"answers\.jsonl: labels\. Expected none: these answers are measured"):
        GREY.encode(["cat"], "answers.jsonl")


def test_what_a_network_has_comes_back_in_the_items_unit():
    rng = np.random.default_rng(0)
    rows, pictures = rng.normal(size=(4, 2)), rng.integers(256, size=(4, 2, 3, 1)).astype(float)
    np.testing.assert_allclose(PLAIN.own(PLAIN.scaled(rows)), rows)
    np.testing.assert_allclose(GREY.own(np.moveaxis(GREY.scaled(pictures), -1, 1)), pictures)
    assert GREY.own(np.full((1, 1, 2, 3), 9.0)).max() == 255
    ink = Reconstruction(shape=(1, 2, 1), picture=True, mean=(0.0,), scale=(1.0,), likelihood="bernoulli")
    chances = np.array([0.2, 0.9])
    np.testing.assert_allclose(ink.own(np.log(chances / (1 - chances)).reshape(1, 1, 1, 2))[0, 0, :, 0], 255 * chances)
