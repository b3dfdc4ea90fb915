"""The system calls that change what is on the disk, by name: a test can record or fail each of them."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

open_file, write, sync, close, cut, rename, unlink, make_directory = (
    os.open, os.write, os.fsync, os.close, os.ftruncate, os.rename, os.unlink, os.mkdir,
)  # fmt: skip

_HERE = -100  # AT_FDCWD: names are relative to the working directory
_EXCHANGE = 2  # RENAME_EXCHANGE


def exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step (Linux renameat2); False where the kernel or the file system cannot."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def remove_tree(path: Path) -> None:
    """Remove a directory with all in it, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)
