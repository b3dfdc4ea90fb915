"""Folders of sounds: one per class, dirty ones too."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepen.config import Config, from_target
from deepen.content import sound
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.sources.audio import Audio
from tests.test_sound import raw, tone


def folder(place: Path, count: int = 12) -> Path:
    """Low and high tones of several lengths and rates."""
    for name, pitch in (("low", 300), ("high", 1500)):
        (place / name).mkdir(parents=True)
        for i in range(count):
            rate = (8000, 16000)[i % 5 == 0]
            (place / name / f"{i}.wav").write_bytes(sound.wav(tone(pitch + 5 * i, rate, 0.1 + 0.01 * (i % 7)), rate))
    return place


def test_a_folder_is_known_by_its_files(tmp_path):
    assert from_target(str(folder(tmp_path / "sounds")), {}).data["name"] == "audio"
    (tmp_path / "music" / "rock").mkdir(parents=True)
    (tmp_path / "music" / "rock" / "1.mp3").write_bytes(b"ID3")
    assert from_target(str(tmp_path / "music"), {}).data["name"] == "audio"
    with pytest.raises(DeepenError, match=r"1 file not read \(first: rock/1.mp3: MP3 is not read, convert it to WAV\)"):
        Audio(str(tmp_path / "music")).read()


def test_every_file_ends_in_the_data_or_in_quarantine(tmp_path):
    place = folder(tmp_path / "sounds", 40)
    for name, data in (("cut", raw(1, 1, 16, bytes(800), size=1600)), ("none", raw(1, 1, 16, b"")), ("text", b"hello")):
        (place / "low" / f"{name}.wav").write_bytes(data)
    (place / "low" / "empty.wav").write_bytes(b"")
    (place / "low" / "x.flac").write_bytes(b"fLaC")
    (place / "low" / "notes.txt").write_text("x")
    items = Audio(str(place)).read()
    document = {"data": {"name": "audio", "path": str(place)}, "check": {"max_bad": 0.1}}
    from deepen.config import parse

    prepared = prepare(items, parse(document))
    assert {bad.id: bad.reason for bad in prepared.bad} == {
        "low/cut.wav": "truncated: 0.1 of 0.1 seconds are there",
        "low/none.wav": "no samples in it",
        "low/text.wav": "not a WAV file (text)",
        "low/empty.wav": "empty file",
        "low/x.flac": "FLAC is not read, convert it to WAV",
    }
    assert any("passed over 'low/notes.txt': not a sound's name" in note for note in prepared.notes)
    assert prepared.report()["items"] == 85
    assert sum(map(len, prepared.parts.values())) == 80
    assert prepared.signature.inputs["sound"].rate == 8000


def test_a_declared_split(tmp_path):
    for part in ("train", "test"):
        folder(tmp_path / "sounds" / part, 3)
    items = Audio(str(tmp_path / "sounds"), seconds=0.5).read()
    assert sorted(zip(items.split, items.target))[0] == ("test", "high")
    assert items.split.count("test") == 6
    assert items.encoders["sound"] == ("audio", {"rate": None, "seconds": 0.5, "pitches": 40})
    assert isinstance(from_target(str(tmp_path / "sounds"), {"seconds": "0.5"}), Config)
