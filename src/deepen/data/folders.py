"""Files in one folder per class: photos/cat/1.jpg, or photos/train/cat/1.jpg beside photos/test/. Torch-free.

Class names are the folders' names; files under `unlabeled/` and in no folder have none; hidden files are passed over.
A split can go by the columns `folder` (the innermost) and `series` (a file's name without the number at its end).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepen.data.items import Bad, Items
from deepen.errors import DeepenError, command, counted
from deepen.machine import cores
from deepen.preprocess.row import Rows

LARGEST_FILE = 256 << 20  # bytes
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
UNLABELLED = {"unlabeled", "unlabelled"}
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
TOGETHER = 64  # files hashed in one call of a thread
MOST_NOTES = 5
_SERIES = re.compile(r"(.*?)[\W_]*(?:frame|img|image)?[\W_]*\d+$", re.IGNORECASE)  # patient7_scan003 -> patient7_scan


class Sort(NamedTuple):
    """A sort of files.

    noun     what one is called
    endings  of those that are read, in small letters
    begins   how the content of one begins; asked where a name has no ending
    other    of those that are of this sort and not read, with what to do instead
    wanted   what a folder of them looks like, and an example
    """

    noun: str
    endings: frozenset[str]
    begins: re.Pattern[bytes]
    other: frozenset[str]
    instead: str
    wanted: str
    example: str

    def takes(self, path: Path) -> bool:
        """Whether a file is one of them by its name, or by its content where that has no ending."""
        return path.suffix.lower() in self.endings or bool(not path.suffix and self.begins.match(_start(path)))


PICTURES = Sort(
    "picture",
    frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".ppm", ".pgm"}),
    re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|RIFF....WEBP", re.DOTALL),
    frozenset(
        {".gif", ".tif", ".tiff", ".heic", ".heif", ".svg", ".pdf", ".avif", ".psd", ".raw", ".dng", ".jp2", ".jxl"}
    ),
    "convert it to PNG or JPEG",
    "a folder per class with .jpg, .png or .webp in it",
    "photos/cat/1.jpg, photos/dog/2.jpg, ...",
)


def read(path: str, sort: Sort, feature: str, encoder: tuple[str, dict[str, Any]]) -> Items:
    """The files below a folder, each with the class its folder names; what cannot be read is set aside."""
    root = Path(path)
    if not root.is_dir():
        found = "no such folder" if not root.exists() else "not a folder"
        raise DeepenError("data.path", path, found, f"a folder of {sort.noun}s")
    folder = Folder(root, sort)
    folder.walk()
    if not folder.files:
        first = f" (first: {folder.bad[0].id}: {folder.bad[0].reason})" if folder.bad else ""
        raise DeepenError(
            "data.empty",
            path,
            f"{counted(len(folder.bad), 'file')} not read{first}"
            if folder.bad
            else f"no {sort.noun}s{folder.instead()}",
            sort.wanted,
            sort.example,
        )
    return _items(path, folder, hashes(folder.files), feature, encoder)


def hashes(files: list[Path]) -> list[str]:
    """A hash of each file's content; a reason after "!" where there is none."""
    with ThreadPoolExecutor(cores()) as pool:
        blocks = [files[start : start + TOGETHER] for start in range(0, len(files), TOGETHER)]
        return [content for block in pool.map(_hashes, blocks) for content in block]


def _items(path: str, found: Folder, contents: list[str], feature: str, encoder: tuple[str, dict[str, Any]]) -> Items:
    names = [file.relative_to(found.root) for file in found.files]
    top, by_split = _split_folders([name.parts for name in names], path)
    ids, paths, labels, split, kept = [], [], [], [], []
    beside: Counter[str] = Counter()
    loose = 0
    for file, name, content in zip(found.files, names, contents):
        part, parts = _place(name.parts[:-1], top)
        if parts and by_split and part is None and parts[0].lower() not in UNLABELLED:
            beside[parts[0]] += 1
            reason = f"its folder lies beside {'/ and '.join(sorted(top))}/"
        else:
            loose_here = by_split and part is None and not parts
            reason = content[1:] if content.startswith("!") else "in no class folder" if loose_here else ""
        if reason:
            found.bad.append(Bad(name.as_posix(), reason))
            continue
        ids.append(name.as_posix())
        paths.append(str(file))
        labels.append(None if not parts or parts[0].lower() in UNLABELLED else parts[0])
        loose += not parts
        split.append(part)
        kept.append(content)
    noun = found.sort.noun
    notes = [
        f"folder {name!r} beside {', '.join(sorted(top))}: {counted(n, noun)} set aside" for name, n in beside.items()
    ]
    if loose:
        notes.append(f"{counted(loose, noun)} in no class folder: without a label")
    return Items(
        ids=ids,
        inputs={feature: paths},
        encoders={feature: encoder},
        target=labels,
        kind="classes",
        split=split if top else None,
        columns=_columns(ids),
        hashes=kept,
        wanted=f"{found.sort.wanted.partition(' with ')[0]}: {found.sort.example}",
        bad=found.bad,
        notes=notes + found.notes() + _empty_classes(found.root, top, labels, noun),
    )


class Folder:
    """What lies below a folder: files of a sort, what is set aside, what is passed over."""

    def __init__(self, root: Path, sort: Sort) -> None:
        self.root, self.inside, self.sort = root, os.path.realpath(root), sort
        self.files: list[Path] = []
        self.bad: list[Bad] = []
        self.passed: list[str] = []

    def walk(self) -> None:
        for folder, folders, names in os.walk(self.root, onerror=self._unreadable):
            links = sorted(n for n in folders if not n.startswith(".") and os.path.islink(os.path.join(folder, n)))
            self.bad += [Bad(self.name(Path(folder) / n), "a link to a folder: not followed") for n in links]
            folders[:] = sorted(n for n in folders if not n.startswith(".") and n not in links and n != "__MACOSX")
            for name in sorted(names):
                if not name.startswith("."):
                    self.file(Path(folder) / name)

    def file(self, path: Path) -> None:
        ending = path.suffix.lower()
        if ending in self.sort.other:
            self.bad.append(Bad(self.name(path), f"{ending[1:].upper()} is not read, {self.sort.instead}"))
        elif not self.sort.takes(path):
            self.passed.append(self.name(path))
        elif reason := self.refused(path):
            self.bad.append(Bad(self.name(path), reason))
        else:
            self.files.append(path)

    def refused(self, path: Path) -> str:
        """Why a file is not opened, or nothing."""
        try:
            str(path).encode()
        except UnicodeEncodeError:
            return "its name is not UTF-8"
        try:
            if path.is_symlink():
                real = os.path.realpath(path, strict=True)
                if os.path.commonpath([real, self.inside]) != self.inside:
                    return "a link that leaves the folder"
            if not stat.S_ISREG(path.stat().st_mode):
                return "not a file but a pipe or device"
        except OSError as problem:
            return f"a link to nothing ({problem.strerror})" if path.is_symlink() else problem.strerror or "unreadable"
        return ""

    def name(self, path: Path) -> str:
        """The place below the folder, as text that can be shown and stored."""
        return os.fsencode(path.relative_to(self.root).as_posix()).decode("utf-8", "replace")

    def notes(self) -> list[str]:
        noun = self.sort.noun
        shown = [f"passed over {name!r}: not a {noun}'s name" for name in self.passed[:MOST_NOTES]]
        more = len(self.passed) - len(shown)
        if table := next((name for name in self.passed if name.lower().endswith(TABLES)), None):
            way = command("train", str(self.root / table), "target=COLUMN")
            shown.append(f"if the labels stand in {table!r}, which is passed over: {way}")
        return shown + ([f"passed over {more} more files that are no {noun}s"] if more else [])

    def instead(self) -> str:
        return f" ({len(self.passed)} other files, first: {self.passed[0]})" if self.passed else ""

    def _unreadable(self, problem: OSError) -> None:
        self.bad.append(Bad(self.name(Path(problem.filename)), f"a folder that cannot be read ({problem.strerror})"))


def _split_folders(places: list[tuple[str, ...]], path: str) -> tuple[set[str], bool]:
    """The top folders that are parts of a split (they hold class folders), and whether they are all there is."""
    deep = {parts[0] for parts in places if len(parts) > 2}
    top = {name for name in deep if name.lower() in SPLITS}
    others = {parts[0] for parts in places if len(parts) > 1} - top
    others = {name for name in others if name.lower() not in UNLABELLED}
    by_split = any(SPLITS[name.lower()] == "train" for name in top)
    if top and not by_split and not others:
        raise DeepenError(
            "data.split", path, f"only {', '.join(sorted(top))}", "a folder train/ beside it", "rename or add it"
        )
    return top, by_split


def _place(parts: tuple[str, ...], top: set[str]) -> tuple[str | None, tuple[str, ...]]:
    """The part of the split a file lies in, and the folders below."""
    if parts and parts[0] in top:
        return SPLITS[parts[0].lower()], parts[1:]
    return None, parts


def _columns(ids: list[str]) -> Rows:
    """What a split can go by."""
    folder, series = np.empty(len(ids), object), np.empty(len(ids), object)
    for i, name in enumerate(ids):
        above, _, file = name.rpartition("/")
        found = _SERIES.match(file.rpartition(".")[0])
        folder[i], series[i] = above, found[1] if found else file
    return Rows({"folder": folder, "series": series})


def _empty_classes(root: Path, top: set[str], labels: list[str | None], noun: str) -> list[str]:
    """Class folders without a single good file."""
    known = set(labels)
    places = [root / name for name in sorted(top)] if top else [root]
    empty = {
        p.name
        for place in places
        for p in place.iterdir()
        if p.is_dir() and not p.is_symlink() and p.name[0] != "." and p.name != "__MACOSX"
        if p.name not in known and p.name.lower() not in UNLABELLED and p.name.isprintable()
    }
    return [f"folder {name!r} holds no good {noun}: no such class" for name in sorted(empty)]


def _start(path: Path) -> bytes:
    """The first bytes of a file, none of what is no file."""
    try:
        with open(path if path.is_file() else os.devnull, "rb") as file:
            return file.read(16)
    except OSError:
        return b""


def _hashes(paths: list[Path]) -> list[str]:
    return [_hash(path) for path in paths]


def _hash(path: Path) -> str:
    """A hash of the file's content; a reason after "!" where there is none."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            return f"!{path.stat().st_size >> 20} MB, more than {LARGEST_FILE >> 20}"
        data = path.read_bytes()
    except OSError as problem:
        return f"!{problem.strerror or 'not readable'}"
    return hashlib.blake2b(data, digest_size=16).hexdigest() if data else "!empty file"
