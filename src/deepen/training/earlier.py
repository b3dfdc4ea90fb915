"""Runs on the same data before: whose split is kept to, and what it means where none is. Torch-free.

A split is drawn from the items there are, so a folder that grew is split anew. `split.like` and `parent` keep every item
in its part; where neither is said and items of an earlier test part are learnt from now, that is told.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from deepen.config import Config
from deepen.errors import counted
from deepen.store.run import Run

RECENT = 50  # runs that are looked at, the newest first


def pin(config: Config) -> Config:
    """The configuration with the run of `split.like` by its whole path."""
    like = config.split.like
    if like is None:
        return config
    return dataclasses.replace(
        config, split=dataclasses.replace(config.split, like=str(Run.open(like).single().path.absolute()))
    )


def moved(root: Path, config: Config, prepared: Any) -> list[str]:
    """What there is to say of a new run under `root` where one on the same data and rule of the split was tested on other items."""
    before = _before(root, config)
    if before is None:
        return []
    place = root / before["id"]
    try:
        tested = set(json.loads((place / "split.json").read_bytes())["test"])
    except (OSError, ValueError, KeyError):
        return []
    ids = prepared.items.ids
    learnt = sum(ids[int(row)] in tested for part in ("train", "val") for row in prepared.parts[part])
    if not learnt:
        return []
    return [
        f"the data has changed since {place}: {learnt} of its {counted(len(tested), 'test item')} are learnt from now, "
        f"so figures of the two cannot be compared; split.like={place} keeps every item in its part"
    ]


def _before(root: Path, config: Config) -> dict[str, Any] | None:
    """run.json of the newest finished run under `root`, of the same data and split."""
    same = _rule(config.document())
    files = sorted(root.glob("*/run.json"), key=_written, reverse=True)
    for file in files[:RECENT]:
        try:
            info = json.loads(file.read_bytes())
        except (OSError, ValueError):
            continue
        if info.get("state") == "finished" and _rule(info.get("config") or {}) == same:
            return info
    return None


def _rule(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Which data, and how it is shared out, whatever can be said of it today."""
    return [{k: v for k, v in (config.get(section) or {}).items() if v is not None} for section in ("data", "split")]


def _written(file: Path) -> float:
    return file.stat().st_mtime if file.exists() else 0.0
