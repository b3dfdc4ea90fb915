"""Sound: WAV files to samples, to another rate, and to how loud each pitch is at each moment. NumPy only.

    power    P[t, k] = |sum_n w[n] x[t h + n] exp(-2 pi i k n / N)|^2      w: periodic Hann window, h: samples a step
    pitch    m(f) = 2595 log10(1 + f / 700)
    log-mel  log(max(FLOOR, sum_k F[j, k] P[t, k]))                        F: triangles, equally wide in pitch, top 1

Paper    Davis and Mermelstein 1980, "Comparison of parametric representations", section II; m: O'Shaughnessy 1987.
Differs  N is at least twice the window, so that no triangle falls between two frequencies.
"""

from __future__ import annotations

import functools
import math
import struct
from typing import NamedTuple

import numpy as np

from deepen.errors import Invalid

LARGEST = 600  # seconds
RATES = (1000, 384_000)  # samples a second
MOST_CHANNELS = 64
FLOOR = 1e-6  # a little above what the last of 16 bits gives
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
COMPRESSED = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "ADPCM", 49: "GSM", 80: "MPEG", 85: "MP3", 0xFF: "AAC"}
UNKNOWN = {0, 0xFFFFFFFF}  # sizes that a program writes who does not know the end yet
MAGIC = (
    (b"fLaC", "FLAC"), (b"ID3", "MP3"), (b"\xff\xfb", "MP3"), (b"\xff\xf3", "MP3"), (b"\xff\xf2", "MP3"),
    (b"OggS", "Ogg"), (b"FORM", "AIFF"), (b"RF64", "RF64"), (b"RIFX", "RIFX"), (b"\x1aE\xdf\xa3", "WebM"),
)  # fmt: skip
WANTED = "a WAV file of plain samples (ffmpeg -i in -c:a pcm_s16le out.wav)"


class Form(NamedTuple):
    """How samples lie in a file: `place` and `size` in bytes."""

    code: int
    channels: int
    rate: int
    bits: int
    place: int
    size: int

    @property
    def samples(self) -> int:
        return self.size // (self.channels * self.bits // 8)


def form(data: bytes) -> Form:
    """What a WAV file's header says; Invalid where it is none, is cut off, or holds what is not read."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise Invalid(f"not a WAV file ({_sniff(data)})" if data else "empty file", WANTED)
    chunk: tuple[int, int, int, int] | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"fmt ":
            chunk = _format(data[at + 8 : at + 8 + size])
        elif name == b"data":
            return _checked(chunk, data, at + 8, size)
        at += 8 + size + size % 2
    raise Invalid("cut off before the first sample", WANTED)


def _format(body: bytes) -> tuple[int, int, int, int]:
    """code, channels, rate, bits."""
    if len(body) < 16:
        raise Invalid("a damaged header", WANTED)
    code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if code == EXTENSIBLE and len(body) >= 26:
        code = int.from_bytes(body[24:26], "little")
    return code, channels, rate, bits


def _checked(chunk: tuple[int, int, int, int] | None, data: bytes, place: int, size: int) -> Form:
    if chunk is None:
        raise Invalid("samples before what they are (no fmt)", WANTED)
    code, channels, rate, bits = chunk
    if code in COMPRESSED:
        raise Invalid(f"{COMPRESSED[code]} inside the WAV file is not read", WANTED)
    if (code, bits) not in {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)}:
        raise Invalid(f"samples of {bits} bits (code {code})", "8, 16, 24 or 32 bits, or floats of 32 or 64")
    if not 1 <= channels <= MOST_CHANNELS or not RATES[0] <= rate <= RATES[1]:
        raise Invalid(f"{channels} channels at {rate} samples a second", WANTED)
    there = len(data) - place
    size = there if size in UNKNOWN else size
    found = Form(code, channels, rate, bits, place, size)
    if size > there:
        seconds = (there // (channels * bits // 8)) / rate
        raise Invalid(f"truncated: {seconds:.1f} of {found.samples / rate:.1f} seconds are there", "a whole file")
    if not found.samples:
        raise Invalid("no samples in it", "a sound")
    if found.samples > LARGEST * rate:
        raise Invalid(f"{found.samples / rate:.0f} seconds long", f"at most {LARGEST}: cut it into pieces")
    return found


def read(data: bytes, seconds: float = math.inf) -> tuple[np.ndarray, int]:
    """Samples float32 (n,) from -1 to 1, the mean of all channels, and how many a second; `seconds` of it at most."""
    found = form(data)
    count = min(found.samples, math.ceil(min(seconds, LARGEST) * found.rate))
    width = found.bits // 8
    raw = np.frombuffer(data, np.uint8, count * found.channels * width, found.place)
    values = _values(raw, found).reshape(count, found.channels)
    wave = values.mean(1, dtype=np.float64).astype(np.float32) if found.channels > 1 else values[:, 0]
    if not np.isfinite(wave).all():
        raise Invalid("samples that are no numbers", "a sound")
    return wave, found.rate


def _values(raw: np.ndarray, found: Form) -> np.ndarray:
    """float32, all channels in turn."""
    if found.code == FLOAT:
        return raw.view(f"<f{found.bits // 8}").astype(np.float32)
    if found.bits == 8:
        return (raw.astype(np.float32) - 128) / 128
    if found.bits == 24:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)  # as the upper three bytes of 32 bits, which keeps the sign
        raw = wide.reshape(-1)
    values = raw.view("<i2" if found.bits == 16 else "<i4")
    return (values / (1 << (15 if found.bits == 16 else 31))).astype(np.float32)


def wav(wave: np.ndarray, rate: int) -> bytes:
    """A WAV file of 16 bits from samples (n,) between -1 and 1, or int16 as they are."""
    whole = wave if wave.dtype == np.int16 else np.clip(np.round(wave * 32767.0), -32768, 32767).astype(np.int16)
    body = whole.astype("<i2").tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(body), b"WAVE", b"fmt ", 16, PCM, 1, rate, 2 * rate, 2, 16)
    return head + struct.pack("<4sI", b"data", len(body)) + body


def _sniff(data: bytes) -> str:
    named = next((name for magic, name in MAGIC if data.startswith(magic)), None)
    if named is None and data[4:8] == b"ftyp":
        named = "MP4 or M4A"
    return named or ("text" if all(32 <= b < 127 or b in (9, 10, 13) for b in data[:256]) else "unknown bytes")


def resample(wave: np.ndarray, old: int, new: int) -> np.ndarray:
    """Samples (n,) at another rate, (ceil(n new / old),): what both rates can hold stays, what `new` cannot goes."""
    if old == new:
        return wave
    common = math.gcd(old, new)
    times = -(-len(wave) // (old // common))  # so many of the shortest stretch that is whole at both rates
    inside, outside = times * (old // common), times * (new // common)
    spectrum = np.fft.rfft(wave, inside)[: outside // 2 + 1]
    if min(inside, outside) % 2 == 0 and inside != outside:
        half = min(inside, outside) // 2  # this frequency and its mirror image share one place on one side only
        spectrum[half] *= 0.5 if outside > inside else 2
    spectrum = np.pad(spectrum, (0, outside // 2 + 1 - len(spectrum)))
    whole = np.fft.irfft(spectrum, outside) * (outside / inside)
    return whole[: -(-len(wave) * new // old)].astype(np.float32)


@functools.lru_cache(8)
def filters(rate: int, mels: int, size: int) -> np.ndarray:
    """Triangles float32 (mels, size // 2 + 1) over the frequencies of a transform of `size` samples."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)  # Hz
    frequency = np.arange(size // 2 + 1) * (rate / size)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequency - low) / (centre - low), (high - frequency) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def log_mel(wave: np.ndarray, rate: int, mels: int, window: int, hop: int) -> np.ndarray:
    """float32 (frames, mels) of samples (n,); `window` and `hop` in samples. What the last window lacks is silence."""
    count = frames(len(wave), window, hop)
    wave = np.pad(wave, (0, (count - 1) * hop + window - len(wave)))
    pieces = np.lib.stride_tricks.sliding_window_view(wave, window)[::hop]
    size = 1 << math.ceil(math.log2(2 * window))
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    spectrum = np.fft.rfft(pieces * shape.astype(np.float32), size)
    power = spectrum.real**2 + spectrum.imag**2
    return np.log(np.maximum(power.astype(np.float32) @ filters(rate, mels, size).T, np.float32(FLOOR)))


def frames(samples: int, window: int, hop: int) -> int:
    """How many windows it takes to see every sample."""
    return 1 + max(0, -(-(samples - window) // hop))
