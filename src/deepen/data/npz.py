"""Files of arrays as NumPy writes them (.npz)."""

from __future__ import annotations

import contextlib
import lzma
import zipfile
import zlib
from collections.abc import Iterator

from deepen.errors import DeepenError

BROKEN = (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


@contextlib.contextmanager
def reading(path: str, code: str) -> Iterator[int]:
    """Gives the arrays' size unpacked in bytes; within it whatever a broken file makes of NumPy is one DeepenError."""
    try:
        with zipfile.ZipFile(path) as archive:  # NumPy takes what is no archive for a pickle
            size = sum(info.file_size for info in archive.infolist())
        yield size
    except BROKEN as problem:
        found = "arrays of Python objects" if "allow_pickle" in str(problem) else str(problem) or "not readable"
        raise DeepenError(code, path, found, "an .npz file of plain arrays") from problem
