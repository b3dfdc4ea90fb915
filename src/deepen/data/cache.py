"""Encoded pictures, decoded once into memory-mapped files keyed by content. Torch-free.

They lie under $DEEPEN_CACHE, else $XDG_CACHE_HOME/deepen, else ~/.cache/deepen, and stay below $DEEPEN_CACHE_GB
(10 by default): the least recently used go first. Only what costs to decode is kept here.

An entry is written beside its place and renamed into it, so a killed process leaves no half entry and two processes
may write the same one. Its checksum is looked at on each use; an entry that is damaged is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deepen.data.items import Items
from deepen.errors import DeepenError
from deepen.store import durable
from deepen.tensors import Arrays

Encoded = tuple[Arrays, dict[int, str]]
Allocate = Callable[[str, tuple[int, ...], str], np.ndarray]  # name, shape, dtype

VERSION = 3  # of the entries and of what the encoders make of the same bytes
LEFT_OVER = 24 * 3600  # seconds after which the draft of a killed process is cleared away
BLOCK = 1 << 16  # bytes


def directory() -> Path:
    base = os.environ.get("DEEPEN_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepen"


def in_memory(name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Room for encoded items where nothing is cached."""
    return np.empty(shape, dtype)


def through(items: Items, feature: str, encoder: Any, make: Callable[[Allocate], Encoded]) -> Encoded:
    """What `make` gives, from the cache where it is there. Values that are in memory anyway are not cached.

    make  fills arrays that it gets from the function handed to it, and names the rows it could not encode
    """
    if not isinstance(items.inputs[feature], list):
        return make(in_memory)
    place = directory() / _key(items, encoder)
    budget = _budget()
    found = _open(place, encoder)
    if found is not None:
        return found
    try:
        with durable.publish(place) as draft:
            arrays, failures = make(_on_disk(draft, budget))
            _describe(draft, arrays, failures)
        _shrink(place, budget)
    except (DeepenError, OSError) as problem:  # a cache that cannot be written costs time, not the run
        items.notes.append(f"nothing is cached, so this takes as long next time: {problem} ($DEEPEN_CACHE says where)")
        return _open(place, encoder) or make(in_memory)
    return _open(place, encoder) or (arrays, failures)


def _key(items: Items, encoder: Any) -> str:
    key = hashlib.blake2b(f"{VERSION} {type(encoder).__name__} ".encode(), digest_size=16)
    key.update(msgspec.json.encode(encoder))
    for content in items.content():
        key.update(content.encode() or b"-")
    return key.hexdigest()


def _on_disk(draft: Path, budget: float) -> Allocate:
    """Room in files of the draft. It is reserved first: a full disk is an error here, not a crash while writing."""

    def allocate(name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        file = draft / f"{name}.npy"
        if np.prod(shape, dtype=float) * np.dtype(dtype).itemsize > budget:
            raise OSError("more than $DEEPEN_CACHE_GB lets it hold")
        array = np.lib.format.open_memmap(file, mode="w+", dtype=np.dtype(dtype), shape=shape)
        with open(file, "r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, os.fstat(handle.fileno()).st_size)
        return array

    return allocate


def _describe(draft: Path, arrays: Arrays, failures: dict[int, str]) -> None:
    for array in arrays.values():
        if isinstance(array, np.memmap):
            array.flush()
    document = {"failures": failures, "sums": {name: checksum(array) for name, array in arrays.items()}}
    text = json.dumps(document)
    (draft / "entry.json").write_text(f"{zlib.crc32(text.encode()):08x} {text}", encoding="utf-8")


def checksum(array: np.ndarray) -> int:
    """Of an array's bytes: sums of 64 KB blocks, and a CRC over them. As fast as memory can be read."""
    data = array.reshape(-1).view(np.uint8)
    whole = len(data) // BLOCK * BLOCK
    sums = np.add.reduce(data[:whole].view(np.uint64).reshape(-1, BLOCK // 8), axis=1)
    return zlib.crc32(data[whole:].tobytes(), zlib.crc32(sums.tobytes()))


def _open(place: Path, encoder: Any) -> Encoded | None:
    """A whole and undamaged entry, else nothing."""
    try:
        crc, _, text = (place / "entry.json").read_bytes().partition(b" ")
        if crc != f"{zlib.crc32(text):08x}".encode():
            return None
        document = json.loads(text)
        # copy on write: torch wants writable memory, the file stays as it is
        arrays = {t.name: np.load(place / f"{t.name}.npy", mmap_mode="c") for t in encoder.tensors}
        if any(checksum(array) != document["sums"][name] for name, array in arrays.items()):
            return None
        os.utime(place)
        return arrays, {int(row): str(reason) for row, reason in document["failures"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None


def _budget() -> float:
    """Bytes the cache may take."""
    text = os.environ.get("DEEPEN_CACHE_GB", "10")
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not found >= 0:
        raise DeepenError("cache.size", "$DEEPEN_CACHE_GB", f"got {text!r}", "a number of gigabytes")
    return found * 1e9


def _shrink(keep: Path, budget: float) -> None:
    """Clear away the least recently used entries above the budget, and what killed processes left."""
    entries = []
    for path in directory().iterdir():
        try:
            used = path.stat().st_mtime
            if path.name.startswith("."):
                if time.time() - used > LEFT_OVER:
                    shutil.rmtree(path, ignore_errors=True)
            elif path.is_dir():
                entries.append((path != keep, used, path, sum(f.stat().st_size for f in path.iterdir())))
        except OSError:
            continue  # another process clears it away
    total = sum(size for *_, size in entries)
    for other, _, path, size in sorted(entries, key=lambda e: e[1]):
        if total > budget and other:
            shutil.rmtree(path, ignore_errors=True)
            total -= size
