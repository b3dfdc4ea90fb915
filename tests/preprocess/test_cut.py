"""How many items go on behind what an encoder reads of them: those of exactly that length do not."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.preprocess import cut
from deepen.preprocess.audio import Audio
from deepen.preprocess.pair import Pair
from deepen.preprocess.text import Text
from tests.preprocess.test_audio import clip


@pytest.mark.parametrize(
    ("encoder", "values", "share"),
    [
        (Text(("a",), 3), ["a a a", "a a a a", "a"], 1 / 3),
        (Text(("a",), 3), ["a a a"] * 3, 0.0),
        (Text(("[UNK]", "[CLS]", "[SEP]", "a"), 4, "wordpiece"), ["a a", "a a a"], 1 / 2),
        (Pair(("a",), 3), [("a a a", "a"), ("a a a a a", "a"), ("a", "a a a a a")], 1 / 3),
        (Audio.fit([clip(0.1)] * 3), [clip(0.1)] * 3, 0.0),
        (Audio.fit([clip(0.1)] * 3), [clip(0.1), clip(0.2), clip(0.05), clip(0.3)], 1 / 2),
        (Text(("a",), 3), [f"a a a{' a' * (i % 2)}" for i in range(1000)], 1 / 2),
    ],
)
def test_items_of_exactly_the_longest_length_are_read_whole(encoder, values, share):
    name = encoder.tensors[0].name
    lengths = np.array([encoder.encode([value])[name].shape[1] for value in values])
    assert cut(encoder, lengths, values) == pytest.approx(share, abs=0.01)
