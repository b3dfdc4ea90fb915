"""WAV files, another rate, and spectrograms: against scipy, the plain formula, and figures worked out by hand."""

from __future__ import annotations

import contextlib
import io
import struct
import wave as standard

import numpy as np
import pytest
from scipy.io import wavfile
from scipy.signal import resample as trusted

from deepen.content import sound
from deepen.errors import Invalid


def tone(frequency: float, rate: int = 8000, seconds: float = 0.25, phase: float = 0.3) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate + phase)).astype(np.float32)


def written(values: np.ndarray, rate: int = 8000) -> bytes:
    """A file of scipy's."""
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, values)
    return buffer.getvalue()


def raw(
    code: int, channels: int, bits: int, body: bytes, rate: int = 8000, size: int | None = None, more: bytes = b""
) -> bytes:
    """A file from its parts; nothing in it is checked."""
    size = len(body) if size is None else size
    head = struct.pack("<HHIIHH", code, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits) + more
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_are_those_that_scipy_wrote(dtype, channels):
    x = np.stack([tone(300), tone(500)], 1)[:, :channels]
    if dtype == np.uint8:
        values, back = np.round(x * 127 + 128).astype(dtype), lambda v: (v.astype(float) - 128) / 128
    elif np.dtype(dtype).kind == "i":
        most = np.iinfo(dtype).max
        values, back = np.round(x.astype(float) * most).astype(dtype), lambda v: v / (most + 1.0)
    else:
        values, back = x.astype(dtype), lambda v: v
    found, rate = sound.read(written(values))
    assert rate == 8000
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, back(values).mean(1), atol=1e-7)


def test_24_bits_keep_their_sign():
    whole = [0, 1, -1, 8388607, -8388608, 4194304]
    body = b"".join(value.to_bytes(3, "little", signed=True) for value in whole)
    found, _ = sound.read(raw(1, 1, 24, body))
    np.testing.assert_allclose(found, np.array(whole) / 8388608, atol=1e-7)
    buffer = io.BytesIO()
    with standard.open(buffer, "wb") as file:
        file.setparams((2, 3, 44100, 0, "NONE", ""))
        file.writeframes(body)
    found, rate = sound.read(buffer.getvalue())
    assert rate == 44100
    np.testing.assert_allclose(found, np.array(whole).reshape(3, 2).mean(1) / 8388608, atol=1e-7)


def test_what_recorders_and_programs_write():
    x = np.arange(-4, 4, dtype=np.int16) * 1000
    body = x.tobytes()
    extensible = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    odd_note = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # an odd chunk is filled up to an even place
    plain = raw(1, 1, 16, body)
    for data in (
        plain, raw(0xFFFE, 1, 16, body, more=extensible), raw(1, 1, 16, body, size=0xFFFFFFFF),
        raw(1, 1, 16, body, size=0), plain[:12] + odd_note + plain[12:], plain + b"LIST\4\0\0\0abcd",
    ):  # fmt: skip
        np.testing.assert_allclose(sound.read(data)[0], x / 32768, atol=1e-7)
    assert sound.wav(x, 8000) == written(x)
    np.testing.assert_allclose(sound.read(sound.wav(tone(440), 8000))[0], tone(440), atol=1 / 32000)
    assert len(sound.read(written(tone(440)), seconds=0.1)[0]) == 800


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"), (b"fLaC" + bytes(40), r"not a WAV file \(FLAC\)"), (b"ID3" + bytes(40), "MP3"),
        (b"\xff\xfb" + bytes(40), "MP3"), (b"OggS", "Ogg"), (bytes(4) + b"ftypM4A ", "M4A"), (b"hello there", "text"),
        (bytes(50), "unknown bytes"), (raw(1, 1, 16, b""), "no samples in it"),
        (raw(1, 1, 16, bytes(16000), size=32000), r"truncated: 1\.0 of 2\.0 seconds"),
        (raw(1, 1, 16, b"")[:38], "cut off before"), (raw(7, 1, 8, bytes(8)), "mu-law"), (raw(17, 1, 4, bytes(8)), "ADPCM"),
        (raw(1, 1, 12, bytes(12)), "12 bits"), (raw(1, 0, 16, bytes(8)), "0 channels"), (raw(1, 1, 16, bytes(8), rate=0), "at 0"),
        (raw(3, 1, 32, struct.pack("<2f", 0, float("nan"))), "no numbers"),
        (raw(1, 1, 8, bytes(601 * 1000), rate=1000), "601 seconds long"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", "before what they are"),
        (b"RIFF\0\0\0\0WAVEfmt \2\0\0\0\1\0data\4\0\0\0abcd", "damaged header"),
    ],
)  # fmt: skip
def test_what_is_not_read_says_why(data, reason):
    with pytest.raises(Invalid, match=reason):
        sound.read(data)


def test_any_cut_and_any_changed_byte_is_a_sound_or_an_invalid_one():
    whole = bytearray(written(np.round(tone(300, seconds=0.01) * 30000).astype(np.int16)))
    draw = np.random.default_rng(0)
    for place in range(48):
        for data in (bytes(whole[:place]), bytes(whole[:place] + bytes([draw.integers(256)]) + whole[place + 1 :])):
            with contextlib.suppress(Invalid):
                assert np.isfinite(sound.read(data)[0]).all()


@pytest.mark.parametrize(
    ("old", "new", "count"), [(44100, 16000, 4410), (8000, 16000, 500), (16000, 8000, 501), (22050, 8000, 999)]
)
def test_another_rate_is_that_of_scipy(old, new, count):
    x = np.random.default_rng(0).normal(size=count).astype(np.float32)
    step = old // np.gcd(old, new)
    padded = np.pad(x, (0, -len(x) % step))
    expected = trusted(padded.astype(np.float64), len(padded) * new // old)
    found = sound.resample(x, old, new)
    assert len(found) == -(-count * new // old)
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-5)


def test_a_tone_keeps_its_pitch_at_another_rate_and_one_too_high_goes():
    middle = slice(400, -400)
    np.testing.assert_allclose(
        sound.resample(tone(1000, 44100), 44100, 16000)[middle], tone(1000, 16000)[middle], atol=2e-3
    )
    assert np.abs(sound.resample(tone(6000, 16000), 16000, 8000)[middle]).max() < 2e-3


def test_triangles_worked_out_by_hand():
    """Two pitches at 8,000 samples a second: 4,000 Hz is 2146.06 mel, so the edges lie at 0, 620.6, 1791.3 and 4,000 Hz."""
    found = sound.filters(8000, 2, 16)  # places every 500 Hz
    a, b, c = 620.58, 1791.32, 4000.0
    first = [0, 500 / a, (b - 1000) / (b - a), (b - 1500) / (b - a), 0, 0, 0, 0, 0]
    second = [
        0,
        0,
        (1000 - a) / (b - a),
        (1500 - a) / (b - a),
        *((c - f) / (c - b) for f in (2000, 2500, 3000, 3500)),
        0,
    ]
    np.testing.assert_allclose(found, [first, second], atol=1e-4)


def test_a_spectrogram_is_the_formula_written_out():
    x = np.random.default_rng(1).normal(size=430).astype(np.float32) * 0.1
    rate, mels, window, hop, size = 8000, 6, 200, 80, 512
    count = 1 + int(np.ceil((430 - 200) / 80))
    padded = np.concatenate([x, np.zeros((count - 1) * hop + window - 430)])
    k, n = np.arange(size // 2 + 1), np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / window)
    dense = np.exp(-2j * np.pi * np.outer(n, k) / size)
    expected = np.stack([
        np.log(np.maximum(1e-6, sound.filters(rate, mels, size) @ np.abs((padded[t * hop : t * hop + window] * hann) @ dense) ** 2))
        for t in range(count)
    ])  # fmt: skip
    found = sound.log_mel(x, rate, mels, window, hop)
    assert found.shape == (4, 6)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_spectrogram_is_that_of_torch():
    import torch

    x = tone(700) + 0.1 * np.random.default_rng(0).normal(size=2000).astype(np.float32)
    power = torch.stft(
        torch.from_numpy(x.astype(np.float32)), 512, 80, 200, torch.hann_window(200), center=False, return_complex=True
    ).abs().square()  # fmt: skip
    # torch puts a window of 200 in the middle of 512 samples
    ours = sound.log_mel(x.astype(np.float32)[156:], 8000, 40, 200, 80)
    expected = np.log(np.maximum(1e-6, power.numpy().T @ sound.filters(8000, 40, 512).T))
    np.testing.assert_allclose(ours[: len(expected)], expected, atol=2e-3)


def test_silence_is_the_floor():
    np.testing.assert_allclose(sound.log_mel(np.zeros(500, np.float32), 8000, 6, 200, 80), np.log(1e-6), rtol=1e-6)


def test_a_tone_is_loudest_at_its_pitch():
    mels = sound.log_mel(tone(1000), 8000, 40, 200, 80).mean(0)
    top = 2595 * np.log10(1 + 4000 / 700)
    centres = 700 * (10 ** (np.linspace(0, top, 42)[1:-1] / 2595) - 1)
    assert mels.argmax() == np.abs(centres - 1000).argmin()
