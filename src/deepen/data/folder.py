"""The pictures in a folder and below it: what is read, what is set aside, what is passed over. Torch-free."""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deepen.data.items import Bad
from deepen.machine import cores

ENDINGS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".ppm", ".pgm"}
OTHER = {".gif", ".tif", ".tiff", ".heic", ".heif", ".svg", ".pdf", ".avif", ".psd", ".raw", ".dng", ".jp2", ".jxl"}
LARGEST_FILE = 256 << 20  # bytes
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
TOGETHER = 64  # files hashed in one call of a thread
MOST_NOTES = 5


class Folder:
    """What lies below a folder: pictures, what is set aside, what is passed over."""

    def __init__(self, root: Path) -> None:
        self.root, self.inside = root, os.path.realpath(root)
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
        if ending not in ENDINGS | OTHER:
            self.passed.append(self.name(path))
        elif ending in OTHER:
            self.bad.append(Bad(self.name(path), f"{ending[1:].upper()} is not read, convert it to PNG or JPEG"))
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
        shown = [f"passed over {name!r}: not a picture's name" for name in self.passed[:MOST_NOTES]]
        more = len(self.passed) - len(shown)
        return shown + ([f"passed over {more} more files that are no pictures"] if more else [])

    def instead(self) -> str:
        return f" ({len(self.passed)} other files, first: {self.passed[0]})" if self.passed else ""

    def _unreadable(self, problem: OSError) -> None:
        self.bad.append(Bad(self.name(Path(problem.filename)), f"a folder that cannot be read ({problem.strerror})"))


def hashes(files: list[Path]) -> list[str]:
    """A hash of each file's content, on all cores; a reason after "!" where there is none."""
    with ThreadPoolExecutor(cores()) as pool:
        blocks = [files[start : start + TOGETHER] for start in range(0, len(files), TOGETHER)]
        return [content for block in pool.map(_hashes, blocks) for content in block]


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
