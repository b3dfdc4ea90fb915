"""A folder of pictures, one folder per class: photos/cat/1.jpg, or photos/train/cat/1.jpg beside photos/test/."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from deepen.data.items import Bad, Items
from deepen.errors import DeepenError
from deepen.machine import cores
from deepen.schema import Count

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm"}
OTHER = {".gif", ".tif", ".tiff", ".heic", ".svg", ".pdf", ".avif", ".jfif"}  # pictures, but not read here: quarantined
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
UNLABELLED = {"unlabeled", "unlabelled"}


class Images:
    """Class names are the folders' names; pictures under `unlabeled/` have none; hidden files are passed over."""

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
        inside = root.resolve()
        top = {p.name.lower() for p in root.iterdir() if p.is_dir()}
        by_split = bool(top & {n for n, part in SPLITS.items() if part == "train"}) and top <= {*SPLITS, *UNLABELLED}
        files, bad, notes = [], [], []
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(n for n in folders if not n.startswith("."))
            for name in sorted(names):
                path = Path(folder) / name
                ending = path.suffix.lower()
                if name.startswith(".") or ending not in ENDINGS | OTHER:
                    if not name.startswith("."):
                        notes.append(f"passed over {path.relative_to(root)}: not a picture's name")
                    continue
                if ending in OTHER:
                    bad.append(
                        Bad(str(path.relative_to(root)), f"{ending[1:].upper()} is not read, convert it to PNG or JPEG")
                    )
                elif not path.resolve().is_relative_to(inside):
                    bad.append(Bad(str(path.relative_to(root)), "a link that leaves the folder"))
                else:
                    files.append(path)
        if not files:
            found = (
                f"{len(bad)} files that are not read (first: {bad[0].id}: {bad[0].reason})" if bad else "no pictures"
            )
            raise DeepenError(
                "data.empty",
                self.path,
                found,
                "a folder per class with .jpg, .png or .webp in it",
                "photos/cat/1.jpg, photos/dog/2.jpg, ...",
            )
        with ThreadPoolExecutor(cores()) as pool:
            hashes = list(pool.map(_hash, files))
        return self._items(root, files, hashes, by_split, bad, notes)

    def _items(
        self, root: Path, files: list[Path], hashes: list[str], by_split: bool, bad: list[Bad], notes: list[str]
    ) -> Items:
        ids, paths, labels, split, kept = [], [], [], [], []
        for path, content in zip(files, hashes):
            name = path.relative_to(root)
            if content.startswith("!"):
                bad.append(Bad(str(name), content[1:]))
                continue
            parts = name.parts[:-1]
            part = None
            if by_split and parts and parts[0].lower() in SPLITS:
                part, parts = SPLITS[parts[0].lower()], parts[1:]
            if not parts:
                bad.append(Bad(str(name), "in no class folder"))
                continue
            ids.append(name.as_posix())
            paths.append(str(path))
            labels.append(None if parts[0].lower() in UNLABELLED else parts[0])
            split.append(part)
            kept.append(content)
        if len(notes) > 5:
            notes = [*notes[:5], f"... and {len(notes) - 5} more files that are no pictures"]
        return Items(
            ids=ids,
            inputs={"image": paths},
            encoders={"image": ("image", {"size": self.size, "resize": self.resize})},
            target=labels,
            kind="classes",
            split=split if by_split else None,
            hashes=kept,
            bad=bad,
            notes=notes,
        )


def _hash(path: Path) -> str:
    """A hash of the file's content; a reason after "!" where there is none."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        return f"!{problem.strerror or 'not readable'}"
    return hashlib.blake2b(data, digest_size=16).hexdigest() if data else "!empty file"
