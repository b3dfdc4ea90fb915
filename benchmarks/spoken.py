"""Spoken digits as a folder of WAV files: the published split, one speaker held out, or digits said one after another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepen.sound import wav

FILE = "audio/spoken_digits.npz"
RATE = 8000  # samples a second
HELD = 5  # recordings of each digit and speaker that are the published test part


def recordings(data: Path) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """3,000 recordings int16, and what is known of each."""
    with np.load(data / FILE) as file:
        wave, offset = file["wave"], file["offset"]  # unpacked anew each time it is asked for
        return [wave[a:b] for a, b in zip(offset, offset[1:])], {name: file[name] for name in ("y", "speaker", "index")}


def published(data: Path, place: Path, seed: int) -> str:
    """Of each speaker's 50 recordings of a digit the first 5 are for the test."""
    waves, about = recordings(data)
    return _write(waves, about, about["index"] < HELD, place)


def new_speaker(data: Path, place: Path, seed: int) -> str:
    """All recordings of speaker `seed` (of 6) are for the test."""
    waves, about = recordings(data)
    return _write(waves, about, about["speaker"] == seed % 6, place)


def _write(waves: list[np.ndarray], about: dict[str, np.ndarray], test: np.ndarray, place: Path) -> str:
    for i, wave in enumerate(waves):
        name = f"{about['speaker'][i]}_{about['index'][i]}.wav"
        file = place / ("test" if test[i] else "train") / str(about["y"][i]) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(wav(wave, RATE))
    return str(place)
