"""The cache of decoded pictures: keyed by content, whole or not there, bounded, never in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deepen.data import cache
from deepen.data.encoding import encode_all
from deepen.data.items import Items
from deepen.errors import DeepenError
from deepen.preprocess.image import Image
from tests import dirty

ENCODER = Image(16, 16, 3)


def folder(count: int = 12, bad: bool = True) -> Items:
    paths, hashes = [], []
    for i in range(count):
        path = Path(f"{i}.png").absolute()
        path.write_bytes(b"text" if bad and i == 5 else dirty.encoded(dirty.picture(i)))
        paths.append(str(path))
        hashes.append(f"{i:032x}")
    return Items([str(i) for i in range(count)], {"image": paths}, {}, [], "classes", hashes=hashes)


class Made:
    """Encodes, and counts how often it was asked to."""

    def __init__(self, items: Items) -> None:
        self.items, self.times = items, 0

    def __call__(self, place: cache.Allocate) -> cache.Encoded:
        self.times += 1
        return encode_all(ENCODER, self.items.inputs["image"], place)


def through(items: Items, make: Made) -> np.ndarray:
    arrays, failures = cache.through(items, "image", ENCODER, make)
    assert failures == {5: "not a picture (text)"}
    return np.asarray(arrays["image"])


def entries() -> list[Path]:
    return [p for p in cache.directory().iterdir() if not p.name.startswith(".")]


def test_the_second_time_it_is_read_not_made():
    items = folder()
    make = Made(items)
    direct = encode_all(ENCODER, items.inputs["image"])[0]["image"]
    first, second = through(items, make), through(items, make)
    np.testing.assert_array_equal(first, direct)
    np.testing.assert_array_equal(second, direct)
    assert make.times == 1


def test_writing_into_what_was_read_leaves_the_entry_as_it_was():
    items = folder()
    make = Made(items)
    before = through(items, make).copy()
    arrays, _ = cache.through(items, "image", ENCODER, make)
    arrays["image"][:] = 7
    np.testing.assert_array_equal(through(items, make), before)
    assert make.times == 1


def test_other_content_or_another_size_is_another_entry():
    items = folder()
    through(items, Made(items))
    items.hashes = [*items.hashes[:-1], "f" * 32]
    through(items, Made(items))
    other = Image(8, 8, 3)
    cache.through(items, "image", other, lambda place: encode_all(other, items.inputs["image"], place))
    assert len(entries()) == 3


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        lambda entry: _flip(entry / "image.npy", -1),
        lambda entry: _flip(entry / "image.npy", 300),
        lambda entry: _flip(entry / "image.npy", 20),
        lambda entry: _flip(entry / "entry.json", 30),
        lambda entry: (entry / "image.npy").write_bytes((entry / "image.npy").read_bytes()[:-100]),
        lambda entry: (entry / "image.npy").write_bytes(b""),
        lambda entry: (entry / "image.npy").unlink(),
        lambda entry: (entry / "entry.json").write_text("[]"),
        lambda entry: (entry / "entry.json").unlink(),
        lambda entry: (entry / "image.npy").write_bytes(
            (entry / "image.npy").read_bytes()[:128] + bytes(16 * 16 * 3 * 12)
        ),
    ],
)
def test_a_damaged_entry_is_made_again(harm):
    items = folder()
    make = Made(items)
    before = through(items, make).copy()
    (entry,) = entries()
    harm(entry)
    np.testing.assert_array_equal(through(items, make), before)
    assert make.times == 2
    through(items, make)
    assert make.times == 2  # it is whole again


def test_every_bit_of_a_large_entry_is_watched():
    array = np.random.default_rng(0).integers(0, 256, 300_001, dtype=np.uint8)
    whole = cache.checksum(array)
    for at in np.random.default_rng(1).integers(0, len(array), 300):
        array[at] ^= 1 << (at % 8)
        assert cache.checksum(array) != whole
        array[at] ^= 1 << (at % 8)
    swapped = np.concatenate([array[cache.BLOCK : 2 * cache.BLOCK], array[: cache.BLOCK], array[2 * cache.BLOCK :]])
    assert cache.checksum(swapped) != whole


def test_a_cache_that_cannot_be_written_costs_time_only(monkeypatch):
    Path("file").write_text("not a folder")
    monkeypatch.setenv("DEEPEN_CACHE", str(Path("file").absolute() / "below"))
    items = folder()
    make = Made(items)
    np.testing.assert_array_equal(through(items, make), through(items, make))
    assert "nothing is cached" in items.notes[0]
    assert "file is a file. Expected a place that can be written" in items.notes[0]


def test_a_full_disk_costs_time_only(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "posix_fallocate", full)
    items = folder()
    assert through(items, Made(items)).any()
    assert not [p for p in cache.directory().rglob("*") if p.suffix == ".npy"]


def test_it_stays_below_its_size_and_drops_the_oldest(monkeypatch):
    items = folder()
    size = 16 * 16 * 3 * 12 + 1000
    monkeypatch.setenv("DEEPEN_CACHE_GB", str(2.5 * size / 1e9))
    names = []
    for i in range(4):
        items.hashes = [f"{i:016x}{row:016x}" for row in range(12)]
        through(items, Made(items))
        (new,) = set(entries()) - set(names) - {None}
        os.utime(new, (i, i))
        names.append(new)
    assert not names[0].exists()
    assert names[3].exists()
    assert len(entries()) == 2


def test_an_entry_larger_than_the_cache_is_not_kept(monkeypatch):
    monkeypatch.setenv("DEEPEN_CACHE_GB", "0")
    items = folder()
    assert through(items, Made(items)).any()
    assert not cache.directory().exists() or not entries()


def test_a_size_that_is_no_number(monkeypatch):
    monkeypatch.setenv("DEEPEN_CACHE_GB", "ten")
    items = folder()
    with pytest.raises(DeepenError, match=r"\$DEEPEN_CACHE_GB: got 'ten'\. Expected a number of gigabytes"):
        cache.through(items, "image", ENCODER, Made(items))


def test_what_a_killed_process_left_is_cleared_away(monkeypatch):
    left = cache.directory() / ".abc.123.tmp"
    left.mkdir(parents=True)
    (left / "image.npy").write_bytes(b"x")
    os.utime(left, (1, 1))
    items = folder()
    through(items, Made(items))
    assert not left.exists()


WRITER = """
import os, sys
from deepen.data import cache
from deepen.data.encoding import encode_all
from deepen.preprocess.image import Image
from deepen.data.items import Items
paths = [f"{i}.png" for i in range(12)]
items = Items(paths, {"image": paths}, {}, [], "classes", hashes=[f"{i:032x}" for i in range(12)])
encoder = Image(16, 16, 3)
def make(place):
    found = encode_all(encoder, paths, place)
    print("made", flush=True)
    if sys.argv[1] == "wait": sys.stdin.readline()
    return found
arrays, _ = cache.through(items, "image", encoder, make)
print(int(arrays["image"].sum()), flush=True)
"""


def _writer(wait: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_two_processes_at_once_and_one_killed_in_the_middle():
    items = folder()
    total = int(encode_all(ENCODER, items.inputs["image"])[0]["image"].sum())
    both = [_writer("wait"), _writer("wait")]
    for process in both:
        assert process.stdout.readline() == "made\n"  # both hold a draft now
    killed = _writer("wait")
    assert killed.stdout.readline() == "made\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    for process in both:
        out, _ = process.communicate("\n", timeout=30)
        assert out == f"{total}\n"
    killed.stdin.close()
    killed.stdout.close()
    make = Made(items)
    assert int(through(items, make).sum()) == total
    assert make.times == 0
    assert len(entries()) == 1
    assert time.time() - entries()[0].stat().st_mtime < 3600
