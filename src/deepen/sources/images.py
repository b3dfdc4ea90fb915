"""A folder of pictures, one folder per class: photos/cat/1.jpg, or photos/train/cat/1.jpg beside photos/test/."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from deepen.data.folder import ENDINGS as ENDINGS
from deepen.data.folder import SPLITS, Folder, hashes
from deepen.data.items import Bad, Items
from deepen.errors import DeepenError, counted
from deepen.preprocess.row import Rows
from deepen.schema import Count

UNLABELLED = {"unlabeled", "unlabelled"}
_SERIES = re.compile(r"(.*?)[\W_]*(?:frame|img|image)?[\W_]*\d+$", re.IGNORECASE)  # patient7_scan003 -> patient7_scan


class Images:
    """Class names are the folders' names; pictures under `unlabeled/` and in no folder have none; hidden files are passed over.

    A split can go by the columns `folder` (the innermost) and `series` (a file's name without the number at its end).
    """

    def __init__(self, path: str, size: Count | None = None, resize: Literal["crop", "stretch"] = "crop") -> None:
        self.path, self.size, self.resize = path, size, resize

    def read(self) -> Items:
        root = Path(self.path)
        if not root.is_dir():
            raise DeepenError(
                "data.path",
                self.path,
                "no such folder" if not root.exists() else "not a folder",
                "a folder of pictures",
            )
        found = Folder(root)
        found.walk()
        if not found.files:
            first = f" (first: {found.bad[0].id}: {found.bad[0].reason})" if found.bad else ""
            raise DeepenError(
                "data.empty",
                self.path,
                f"{counted(len(found.bad), 'file')} not read{first}" if found.bad else f"no pictures{found.instead()}",
                "a folder per class with .jpg, .png or .webp in it",
                "photos/cat/1.jpg, photos/dog/2.jpg, ...",
            )
        return self._items(root, found, hashes(found.files))

    def _items(self, root: Path, found: Folder, hashes: list[str]) -> Items:
        names = [path.relative_to(root) for path in found.files]
        top, by_split = _split_folders([name.parts for name in names], self.path)
        ids, paths, labels, split, kept = [], [], [], [], []
        beside: Counter[str] = Counter()
        loose = 0
        for path, name, content in zip(found.files, names, hashes):
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
            paths.append(str(path))
            labels.append(None if not parts or parts[0].lower() in UNLABELLED else parts[0])
            loose += not parts
            split.append(part)
            kept.append(content)
        notes = [
            f"folder {name!r} beside {', '.join(sorted(top))}: {counted(n, 'picture')} set aside"
            for name, n in beside.items()
        ]
        if loose:
            notes.append(f"{counted(loose, 'picture')} in no class folder: without a label")
        return Items(
            ids=ids,
            inputs={"image": paths},
            encoders={"image": ("image", {"size": self.size, "resize": self.resize})},
            target=labels,
            kind="classes",
            split=split if top else None,
            columns=_columns(ids),
            hashes=kept,
            wanted="a folder per class: photos/cat/1.jpg, photos/dog/2.jpg, ...",
            bad=found.bad,
            notes=notes + found.notes() + _empty_classes(root, top, labels),
        )


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
    """The part of the split a picture lies in, and the folders below."""
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


def _empty_classes(root: Path, top: set[str], labels: list[str | None]) -> list[str]:
    """Class folders without a single good picture."""
    known = set(labels)
    places = [root / name for name in sorted(top)] if top else [root]
    empty = {
        p.name
        for place in places
        for p in place.iterdir()
        if p.is_dir() and not p.is_symlink() and p.name[0] != "." and p.name != "__MACOSX"
        if p.name not in known and p.name.lower() not in UNLABELLED and p.name.isprintable()
    }
    return [f"folder {name!r} holds no good picture: no such class" for name in sorted(empty)]
