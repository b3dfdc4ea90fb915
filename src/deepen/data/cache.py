"""Encoded pictures, decoded once into memory-mapped files keyed by content. Torch-free.

They lie under $DEEPEN_CACHE, else $XDG_CACHE_HOME/deepen, else ~/.cache/deepen, and stay below $DEEPEN_CACHE_GB
(10 by default): the least recently used go first. Only what costs to decode is kept here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
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


def directory() -> Path:
    base = os.environ.get("DEEPEN_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepen"


def through(items: Items, feature: str, encoder: Any, make: Callable[[], Encoded]) -> Encoded:
    """What `make` gives, from the cache where it is there. Values that are in memory anyway are not cached."""
    if not isinstance(items.inputs[feature], list):
        return make()
    key = hashlib.blake2b(digest_size=16)
    key.update(type(encoder).__name__.encode() + msgspec.json.encode(encoder))
    for content in items.content():
        key.update(content.encode() or b"-")
    place = directory() / key.hexdigest()
    if not (place / "failures.json").is_file():
        arrays, failures = make()
        try:
            with durable.publish(place) as draft:
                for name, array in arrays.items():
                    np.save(draft / f"{name}.npy", array)
                (draft / "failures.json").write_text(json.dumps(failures))
            _shrink(keep=place)
        except (DeepenError, OSError):
            return arrays, failures  # a cache that cannot be written costs time, not the run
    os.utime(place)
    # copy on write: torch wants writable memory, the file stays as it is
    arrays = {t.name: np.load(place / f"{t.name}.npy", mmap_mode="c") for t in encoder.tensors}
    failures = {int(row): reason for row, reason in json.loads((place / "failures.json").read_text()).items()}
    return arrays, failures


def _shrink(keep: Path) -> None:
    budget = float(os.environ.get("DEEPEN_CACHE_GB", "10")) * 1e9
    entries = sorted((p for p in directory().iterdir() if p.is_dir() and p != keep), key=lambda p: p.stat().st_mtime)
    sizes = {p: sum(f.stat().st_size for f in p.iterdir()) for p in [*entries, keep]}
    total = sum(sizes.values())
    for entry in entries:
        if total <= budget:
            return
        shutil.rmtree(entry, ignore_errors=True)
        total -= sizes[entry]
