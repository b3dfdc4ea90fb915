"""Sounds as spectrograms with an end."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from deepen.content import sound
from deepen.errors import DeepenError, Invalid
from deepen.preprocess.audio import OUTSIDE, Audio
from deepen.signature import Signature
from deepen.tensors import join
from tests.content.test_sound import raw, tone


def clip(seconds: float, rate: int = 8000, frequency: float = 440) -> bytes:
    return sound.wav(tone(frequency, rate, seconds), rate)


def test_rate_and_length_come_from_the_training_sounds():
    values = [clip(0.1), clip(0.3), clip(0.2, 16000), b"no sound"]
    found = Audio.fit(values)
    assert (found.rate, found.pitches, found.window, found.hop) == (8000, 40, 200, 80)
    assert found.longest == 1 + np.ceil((2400 - 200) / 80)
    assert Audio.fit([clip(0.1, 44100)] * 3).rate == 16000
    assert Audio.fit(values, rate=4000, seconds=0.15).longest == 1 + np.ceil((600 - 100) / 40)
    short = [clip(0.1)] * 300
    assert Audio.fit([*short, clip(2.0)]).samples < 1000, "one in 300 does not make all of them long"
    with pytest.raises(Invalid, match="no readable sound"):
        Audio.fit([b"x"])
    with pytest.raises(DeepenError, match="300 at 8000 samples a second"):
        Audio.fit(values, pitches=300)
    with pytest.raises(DeepenError, match=r"data\.seconds: got 601"):
        Audio.fit(values, seconds=601.0)


def test_sounds_of_unequal_length_end_where_they_end():
    audio = Audio(8000, 100, 8)
    found = audio.encode([clip(0.1), clip(0.3)])["sound"]
    assert found.shape == (2, 29, 8)
    assert found.dtype == np.float32
    assert (found[0, 9:] == OUTSIDE).all()
    assert (found[0, :9] > -20).all()
    assert (found[1] > -20).all()
    parts = [audio.encode([value]) for value in (clip(0.1), clip(0.3))]
    np.testing.assert_array_equal(join(audio.tensors, parts)["sound"], found)


def test_a_long_sound_is_cut():
    audio = Audio(8000, 10, 8)
    assert audio.encode([clip(0.5)])["sound"].shape == (1, 10, 8)
    assert audio.encode([clip(5.0, 16000)])["sound"].shape == (1, 10, 8)
    np.testing.assert_array_equal(
        audio.encode([clip(0.5)])["sound"], Audio(8000, 99, 8).encode([clip(0.5)])["sound"][:, :10]
    )


def test_what_lies_behind_a_cut_does_not_ring_into_what_is_heard():
    data = clip(0.5, 16000, 433)
    cut, whole = (np.exp(Audio(8000, n, 8).encode([data])["sound"][0, :10]) for n in (10, 99))
    np.testing.assert_allclose(cut, whole, atol=1e-3 * whole.max())
    np.testing.assert_allclose(cut[9], whole[9], atol=1e-4 * whole[9].max())


def test_the_rate_of_a_file_does_not_matter():
    audio = Audio(8000, 100, 20)
    ours, other = (audio.encode([clip(0.3, rate, 700)])["sound"][0, 3:-3] for rate in (8000, 44100))
    loud = ours > -5
    assert loud.any()
    np.testing.assert_allclose(ours[loud], other[loud], atol=0.05)


def test_forms_of_a_sound(tmp_path):
    audio, data = Audio(8000, 100, 8), clip(0.1)
    Path("a.wav").write_bytes(data)
    text = base64.b64encode(data).decode()
    assert audio.parse(text) == audio.parse({"b64": text}) == audio.parse(data) == data
    assert audio.dump("a.wav") == audio.dump(data) == text
    np.testing.assert_array_equal(audio.encode(["a.wav"])["sound"], audio.encode([data])["sound"])
    assert audio.picture(data).shape == (8, 9, 1)
    assert audio.picture(sound.wav(np.zeros(100, np.int16), 8000)).dtype == np.uint8


@pytest.mark.parametrize(
    ("value", "reason"),
    [("***", "not base64"), (3, "got a number"), (None, "got null"), ({"b64": 1}, "got a number"), ([1], "got a list")],
)
def test_what_is_no_sound_in_json(value, reason):
    with pytest.raises(Invalid, match=reason):
        Audio(8000, 100).parse(value)


def test_a_bad_sound_is_named_by_its_row():
    for value, reason in (
        (raw(1, 1, 16, bytes(8), size=99), "truncated"),
        ("gone.wav", "No such file"),
        (3, "a number"),
    ):
        with pytest.raises(Invalid, match=reason) as caught:
            Audio(8000, 100).encode([clip(0.1), value])
        assert caught.value.row == 1


def test_figures_that_are_watched():
    audio = Audio(8000, 100)
    found = audio.statistics(audio.encode([clip(0.1), clip(0.3), sound.wav(0.1 * tone(2000, seconds=0.3), 8000)]))
    np.testing.assert_allclose(found["seconds"], [0.09, 0.29, 0.29])
    assert found["loudness"][1] > found["loudness"][2]
    assert found["pitch"][2] > found["pitch"][1] + 10
    alone = audio.statistics(audio.encode([clip(0.1)]))
    for name, values in found.items():
        np.testing.assert_allclose(values[0], alone[name][0], rtol=1e-6)


def test_it_travels_in_the_signature():
    audio = Audio(8000, 100, 20)
    again = Signature.from_json(Signature({"sound": audio}, {}).to_json())
    assert again.inputs == {"sound": audio}
    assert again.tensors[0].fill == OUTSIDE
    assert "1 s at 8,000 samples a second, 20 pitches" in audio.describe()
