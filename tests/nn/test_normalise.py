"""The first step of every trained thing: fitted on training rows only, robust to whatever comes later."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from deepen.kinds.classes import Classes
from deepen.nn.normalise import MOST, Image, Normalise, Numbers, sample
from deepen.preprocess.array import Array
from deepen.preprocess.audio import OUTSIDE, Audio
from deepen.preprocess.image import Image as Pictures
from deepen.preprocess.optional import Optional
from deepen.preprocess.row import Row
from deepen.signature import Signature


def fitted(numbers: np.ndarray) -> Numbers:
    layer = Numbers(numbers.shape[1:])
    with torch.no_grad():
        layer.fit(numbers)
    return layer


def test_numbers_get_mean_0_and_deviation_1_per_column():
    rng = np.random.default_rng(0)
    numbers = (rng.normal(size=(500, 3)) * [1, 1e-6, 1e6] + [0, 5e-6, -3e6]).astype(np.float32)
    numbers[::7, 1] = np.nan
    scaled = fitted(numbers)(torch.from_numpy(numbers)).numpy()
    known = np.isfinite(numbers)
    for column in range(3):
        values = scaled[known[:, column], column]
        np.testing.assert_allclose([values.mean(), values.std()], [0, 1], atol=1e-3)
    assert (scaled[~known] == 0).all(), "missing is the mean"


def test_columns_that_say_nothing_stay_finite():
    numbers = np.stack([np.full(9, np.nan), np.full(9, 7.0), np.zeros(9)], 1).astype(np.float32)
    layer = fitted(numbers)
    given = torch.tensor([[3.0, 7.0, 0.0], [float("nan"), 8.0, 1.0], [3e38, -3e38, float("inf")]])
    found = layer(given)
    assert torch.isfinite(found).all()
    assert found[0].tolist()[1:] == [0, 0]
    assert found.abs().max() <= 10, "outliers are cut"


def test_statistics_come_from_training_rows_only():
    signature = Signature({"row": Row(("x",), {}, {"c": ("u",)})}, {"label": Classes(("a", "b"))})
    arrays = {"numbers": np.float32([[1], [3], [1000]]), "categories": np.int64([[0], [1], [2]])}
    normalise = Normalise(signature)
    normalise.fit(signature, arrays, np.array([0, 1]))
    numbers, codes = normalise(*(torch.from_numpy(a) for a in arrays.values()))
    assert numbers[:2].flatten().tolist() == [-1, 1]
    assert codes.flatten().tolist() == [0, 1, 2], "codes go on as they are"


def test_picture_channels_get_mean_0_and_deviation_1():
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8) // [1, 2, 8]
    images = images.astype(np.uint8)
    layer = Image(Pictures(6, 5, 3))
    with torch.no_grad():
        layer.fit(images)
    found = layer(torch.from_numpy(images))
    assert found.shape == (20, 3, 6, 5)
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_several_features_each_get_their_own():
    signature = Signature({"photo": Pictures(4, 4, 1), "row": Row(("x",))}, {"label": Classes(("a", "b"))})
    arrays = {"photo.image": np.full((4, 4, 4, 1), 9, np.uint8), "row.numbers": np.float32([[0], [2], [0], [2]])}
    normalise = Normalise(signature)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        normalise.fit(signature, arrays, np.arange(4))
    image, numbers = normalise(*(torch.from_numpy(a) for a in arrays.values()))
    assert image.shape == (4, 1, 4, 4)
    assert not image.any()
    assert numbers.flatten().tolist() == [-1, 1, -1, 1]


def test_a_sample_is_taken_evenly_and_small_data_whole():
    assert len(sample(np.arange(5))) == 5
    assert len(sample(np.arange(0))) == 0
    many = sample(np.arange(3 * MOST + 1))
    assert len(many) <= MOST
    assert many[-1] > 2.9 * MOST


def test_a_sound_is_scaled_by_the_frames_that_are_there_and_its_end_stays():
    signature = Signature({"sound": Audio(8000, 10, 2)}, {})
    frames = np.array([[[1.0, 10], [3, 30]], [[5, 50], [OUTSIDE, OUTSIDE]]], np.float32)
    normalise = Normalise(signature)
    normalise.fit(signature, {"sound": frames}, np.arange(2))
    (found,) = normalise(torch.from_numpy(frames))
    np.testing.assert_allclose(found[0].numpy(), [[-np.sqrt(1.5)] * 2, [0, 0]], atol=1e-6)
    assert found[1, 1].tolist() == [OUTSIDE, OUTSIDE]


def test_what_may_be_missing_is_scaled_by_what_is_there():
    signature = Signature({"x": Optional(Array((1,)))}, {})
    arrays = signature.inputs["x"].encode([np.array([1.0]), None, np.array([3.0])])
    normalise = Normalise(signature)
    normalise.fit(signature, arrays, np.arange(3))
    found, there = normalise(*(torch.from_numpy(arrays[t.name]) for t in signature.tensors))
    assert found[[0, 2], 0].tolist() == [-1, 1]
    assert there[:, 0].tolist() == [1, 0, 1]


def test_squares_of_huge_numbers_do_not_overflow():
    numbers = np.float32([[1e30], [3e30], [np.nan]])
    scaled = fitted(numbers)(torch.from_numpy(numbers))
    assert torch.allclose(scaled[:2, 0], torch.tensor([-1.0, 1.0]))
