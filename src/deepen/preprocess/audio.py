"""Sounds: from a WAV file to how loud each pitch is at each moment (sound.py has the formula). The one deterministic path.

sound  float32 (n, frames, pitches), natural logarithms; OUTSIDE fills up behind a sound's end
"""

from __future__ import annotations

import base64
import binascii
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deepen.content import sound
from deepen.errors import DeepenError, Invalid, typed
from deepen.tensors import Arrays, Columns, Ragged, Tensor

ENDINGS = frozenset({".wav", ".wave"})
OUTSIDE = -1000.0  # below any loudness: what only fills up
WINDOW, HOP = 0.025, 0.010  # seconds
LARGEST_RATE = 16_000  # samples a second, unless more are asked for: speech is below 8 kHz
WHOLE = 0.99  # share of the training sounds that are heard to their end, unless it is said how much...
LONGEST = 30.0  # ... and seconds at most
SOME = 2000  # files whose headers are looked at
FEW_CUT = 0.02  # share of sounds that is worth no word


class Audio(msgspec.Struct, frozen=True):
    """A sound, one channel at `rate` samples a second, cut after `longest` frames of 10 ms."""

    rate: int
    longest: int
    pitches: int = 40

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("sound", "float32", ("batch", "frames", self.pitches), join="pad", fill=OUTSIDE),)

    @property
    def window(self) -> int:
        """Samples."""
        return round(WINDOW * self.rate)

    @property
    def hop(self) -> int:
        """Samples."""
        return round(HOP * self.rate)

    @property
    def samples(self) -> int:
        """The most that are heard."""
        return (self.longest - 1) * self.hop + self.window

    @classmethod
    def fit(
        cls,
        values: Sequence[Any],
        rate: int | None = None,
        seconds: float | None = None,
        pitches: int = 40,
        **_: Any,
    ) -> Audio:
        """Rate and length from the training sounds' headers (at most 2,000 of them, evenly taken)."""
        seen = []
        for value in values[:: max(1, len(values) // SOME)]:
            try:
                found = sound.form(_bytes(value))
                seen.append((found.rate, found.samples / found.rate))
            except Invalid:
                continue  # the decoder will report it
        if not seen:
            raise Invalid("no readable sound", "at least one")
        rate = rate or min(LARGEST_RATE, Counter(r for r, _ in seen).most_common(1)[0][0])
        if not sound.RATES[0] <= rate <= sound.RATES[1]:
            raise DeepenError("data.rate", "data.rate", f"got {rate}", "from 1,000 to 384,000 samples a second")
        if (seconds or 0) > sound.LARGEST:
            raise DeepenError("data.seconds", "data.seconds", f"got {seconds:g}", f"at most {sound.LARGEST}")
        seconds = seconds or min(LONGEST, float(np.quantile([s for _, s in seen], WHOLE, method="higher")))
        made = cls(rate, sound.frames(math.ceil(seconds * rate), round(WINDOW * rate), round(HOP * rate)), pitches)
        made.check()
        return made

    def check(self) -> None:
        """Every pitch has a frequency of its own."""
        size = 1 << math.ceil(math.log2(2 * self.window))
        if not sound.filters(self.rate, self.pitches, size).any(1).all():
            raise DeepenError(
                "data.pitches",
                "data.pitches",
                f"{self.pitches} at {self.rate} samples a second",
                "fewer",
                "40 is usual",
            )

    def encode(self, values: Sequence[Any]) -> Arrays:
        """float32 (n, frames, pitches)."""
        rows = []
        for row, value in enumerate(values):
            try:
                rows.append(self.one(value))
            except Invalid as problem:
                raise problem.at(row) from None
        result = np.full((len(rows), max(map(len, rows), default=0), self.pitches), OUTSIDE, np.float32)
        for i, found in enumerate(rows):
            result[i, : len(found)] = found
        return {"sound": result}

    def one(self, value: Any) -> np.ndarray:
        """One sound as float32 (frames, pitches)."""
        wave, rate = sound.read(_bytes(value), self.samples / self.rate)
        wave = sound.resample(wave, rate, self.rate)[: self.samples]
        return sound.log_mel(wave, self.rate, self.pitches, self.window, self.hop)

    def picture(self, value: Any) -> np.ndarray:
        """What a sound looks like: uint8 (pitches, frames, 1), the highest pitch on top, the loudest black."""
        found = self.one(value).T[::-1]
        low, high = float(found.min()), float(found.max())
        return (255 * (high - found) / max(high - low, 1e-6)).astype(np.uint8)[..., None]

    def parse(self, value: Any) -> Any:
        """What a client may send in JSON: a WAV file in base64, as text or as {"b64": text}."""
        if isinstance(value, dict) and set(value) == {"b64"}:
            value = value["b64"]
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str):
            raise Invalid(f"got {typed(value)}", "a WAV file in base64")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise Invalid("text that is not base64", "a WAV file in base64") from None

    def dump(self, value: Any) -> str:
        """A raw sound as `parse` takes it."""
        return base64.b64encode(_bytes(value)).decode()

    @property
    def ending(self) -> str:
        return ".wav"

    def file(self, value: Any) -> bytes:
        return _bytes(value)

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each sound: its length, how loud it is, how much that changes, and how high it is."""
        values = arrays["sound"].astype(np.float64)
        there = values[:, :, 0] > OUTSIDE / 2  # (n, frames)
        count = np.maximum(there.sum(1), 1)
        loud = np.where(there, values.mean(2), 0)
        level = loud.sum(1) / count
        change = np.sqrt((np.where(there, loud - level[:, None], 0) ** 2).sum(1) / count)
        pitch = np.where(there[..., None], values, 0).sum(1) / count[:, None]  # (n, pitches)
        weight = np.exp(pitch - pitch.max(1, keepdims=True))
        height = (weight * np.arange(self.pitches)).sum(1) / weight.sum(1)
        return {"seconds": there.sum(1) * HOP, "loudness": level, "change of loudness": change, "pitch": height}

    def remarks(self, columns: Columns, held: np.ndarray) -> list[str]:
        """How many sounds are not heard to their end."""
        column = columns["sound"]
        assert isinstance(column, Ragged)
        cut = float((np.diff(column.starts) >= self.longest).mean())
        if cut <= FEW_CUT:
            return []
        seconds = self.samples / self.rate
        return [
            f"{cut:.0%} of the sounds go on for {seconds:.2g} seconds or more, and no more of them is heard (data.seconds)"
        ]

    def describe(self) -> str:
        seconds = self.samples / self.rate
        return f"sounds of up to {seconds:.2g} s at {self.rate:,} samples a second, {self.pitches} pitches"


def _bytes(value: Any) -> bytes:
    """A file's content, of a path or as it is."""
    if isinstance(value, (str, Path)):
        try:
            return Path(value).read_bytes()
        except OSError as problem:
            raise Invalid(problem.strerror or "not readable", "a readable file") from None
    if not isinstance(value, bytes):
        raise Invalid(f"got {typed(value)}", "a WAV file")
    return value
