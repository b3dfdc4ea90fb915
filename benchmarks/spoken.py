"""Spoken digits as a folder of WAV files: the published split, one speaker held out, or digits said one after another."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from deepen.content.sound import wav

FILE = "audio/spoken_digits.npz"
RATE = 8000  # samples a second
HELD = 5  # recordings of each digit and speaker that are the published test part


def recordings(data: Path) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """3,000 recordings int16, and what is known of each."""
    with np.load(data / FILE) as file:
        wave, offset = file["wave"], file["offset"]  # unpacked anew each time it is asked for
        return [wave[a:b] for a, b in itertools.pairwise(offset)], {
            name: file[name] for name in ("y", "speaker", "index")
        }


def published(data: Path, place: Path, seed: int) -> dict[str, str]:
    """Of each speaker's 50 recordings of a digit the first 5 are for the test."""
    waves, about = recordings(data)
    return _write(waves, about, about["index"] < HELD, place)


def new_speaker(data: Path, place: Path, seed: int) -> dict[str, str]:
    """All recordings of speaker `seed` (of 6) are for the test."""
    waves, about = recordings(data)
    return _write(waves, about, about["speaker"] == seed % 6, place)


def _write(waves: list[np.ndarray], about: dict[str, np.ndarray], test: np.ndarray, place: Path) -> dict[str, str]:
    for i, wave in enumerate(waves):
        name = f"{about['speaker'][i]}_{about['index'][i]}.wav"
        file = place / ("test" if test[i] else "train") / str(about["y"][i]) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(wav(wave, RATE))
    return {"data.path": str(place)}


def joined(data: Path, place: Path, seed: int) -> dict[str, str]:
    """One to four digits of one speaker, one after another with some silence between: 3,000 to learn from, 500 to test."""
    waves, about = recordings(data)
    draw = np.random.default_rng([seed, 7])
    (place / "wav").mkdir(parents=True)
    for part, which, count in (("train", about["index"] >= HELD, 3000), ("test", about["index"] < HELD, 500)):
        lines = ["sound,said"]
        for i in range(count):
            own = np.flatnonzero(which & (about["speaker"] == draw.integers(6)))
            chosen = draw.choice(own, draw.integers(1, 5))
            pieces = [np.concatenate([waves[k], np.zeros(draw.integers(0, RATE // 8), np.int16)]) for k in chosen]
            (place / "wav" / f"{part}{i}.wav").write_bytes(wav(np.concatenate(pieces), RATE))
            lines.append(f"wav/{part}{i}.wav,{''.join(str(about['y'][k]) for k in chosen)}")
        (place / f"{part}.csv").write_text("\n".join(lines) + "\n")
    return {"data.path": str(place / "train.csv"), "data.test": str(place / "test.csv")}
