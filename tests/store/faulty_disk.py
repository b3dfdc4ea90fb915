"""Disks that crash and fail, under the store's system calls.

Recorder  after every call, all that could be left on the disk if the power went now
Failing   one call of many fails with an error number
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepen.store import system

CALLS = ("open_file", "write", "sync", "close", "cut", "rename", "unlink", "make_directory", "exchange", "remove_tree")
SECTOR = 512
Tree = dict[str, bytes | None]  # relative path -> content; None is a directory


class Patched:
    """The store's system calls go through `self.call` while it is entered."""

    def __enter__(self) -> Any:
        self.real = {name: getattr(system, name) for name in CALLS}
        for name in CALLS:
            setattr(system, name, lambda *args, _name=name: self.call(_name, *args))
        return self

    def __exit__(self, *_: object) -> None:
        for name, function in self.real.items():
            setattr(system, name, function)

    def call(self, name: str, *args: Any) -> Any:
        raise NotImplementedError


class Recorder(Patched):
    """Knows what is on the disk for sure: contents at their last sync, names at their directory's last sync."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.root, self.random, self.calls = root, random.Random(seed), 0
        self.number: dict[int, int] = {}  # inode -> a number that is not used again
        self.contents: dict[int, bytes] = {}  # now (of removed ones: as last seen)
        self.kept: dict[int, bytes] = {}  # at the last sync
        self.names: dict[int, dict[str, int]] = {}  # a directory's, now
        self.kept_names: dict[int, dict[str, int]] = {}
        self.states: list[tuple[int, str, Tree]] = []
        self.look()
        self.kept, self.kept_names = dict(self.contents), dict(self.names)

    def call(self, name: str, *args: Any) -> Any:
        result = self.real[name](*args)
        self.look()
        if name == "sync":
            known = self.number[os.fstat(args[0]).st_ino]
            if known in self.names:
                self.kept_names[known] = dict(self.names[known])
            else:
                self.kept[known] = self.contents[known]
        self.calls += 1
        for variant in ("kept", "data lost", "names lost", "all lost", "torn", "mixed"):
            self.states.append((self.calls, f"{variant} after {name}", self.left(variant)))
        return result

    def look(self) -> None:
        """Read the tree as it is now."""
        seen: dict[int, int] = {}
        self.names = {}
        self.top = self._enter(self.root, seen)
        self.number = seen  # a removed file's inode may be given to a new one

    def _enter(self, path: Path, seen: dict[int, int]) -> int:
        inode = os.stat(path).st_ino
        number = seen[inode] = self.number.get(inode) or 1 + max([*self.number.values(), *seen.values(), *self.contents, *self.kept_names, 0])  # fmt: skip
        if path.is_dir():
            self.names[number] = {p.name: self._enter(p, seen) for p in sorted(path.iterdir())}
        else:
            self.contents[number] = path.read_bytes()
        return number

    def left(self, variant: str) -> Tree:
        tree: Tree = {}
        self._fill(tree, "", self.top, variant)
        return tree

    def _fill(self, tree: Tree, at: str, number: int, variant: str) -> None:
        now, kept = self.names.get(number, {}), self.kept_names.get(number, {})
        names = kept if variant in {"names lost", "all lost"} else now
        if variant == "mixed":
            names = {}
            for name in {**kept, **now}:
                entry = self.random.choice([kept, now]).get(name)
                if entry is not None:
                    names[name] = entry
        for name, child in names.items():
            place = f"{at}{name}"
            if child in self.contents:
                tree[place] = self._content(child, variant)
            else:
                tree[place] = None
                self._fill(tree, f"{place}/", child, variant)

    def _content(self, number: int, variant: str) -> bytes:
        now, kept = self.contents[number], self.kept.get(number, b"")
        if variant in {"kept", "names lost"} or now == kept:
            return now
        if variant in {"data lost", "all lost"}:
            return kept
        if variant == "torn":
            shared = next((i for i, (a, b) in enumerate(zip(now, kept)) if a != b), min(len(now), len(kept)))
            end = shared + self.random.randrange(len(now) - shared + 1)
            return now[: end // SECTOR * SECTOR] if end // SECTOR * SECTOR >= shared else now[:shared]
        sectors = range(0, len(now), SECTOR)
        parts = [self.random.choice([now, kept])[i : i + SECTOR] for i in sectors]
        return b"".join(part.ljust(min(SECTOR, len(now) - i), b"\0") for i, part in zip(sectors, parts))


class Failing(Patched):
    """The `at`-th call fails with `number`, once; a failing write has written half."""

    def __init__(self, at: int, number: int) -> None:
        self.at, self.number, self.count, self.failed = at, number, 0, ""

    def call(self, name: str, *args: Any) -> Any:
        self.count += 1
        if self.count != self.at or name == "remove_tree":
            return self.real[name](*args)
        self.failed = name
        if name == "close":
            self.real[name](*args)
        if name == "write":
            self.real[name](args[0], args[1][: len(args[1]) // 2])
        raise OSError(self.number, os.strerror(self.number))


def write_tree(tree: Tree, place: Path) -> Path:
    place.mkdir()
    for name, content in sorted(tree.items()):
        if content is None:
            (place / name).mkdir()
        else:
            (place / name).write_bytes(content)
    return place


def leftovers(place: Path) -> Iterator[Path]:
    return (path for path in place.rglob("*") if path.name.endswith((".tmp", ".old")))
