"""Three durable primitives; a crash at any instant leaves the old state or the new one.

    replace  a whole file: temporary file, fsync, rename, fsync of the directory
    append   one JSON line with its checksum, fsync; a torn tail is cut when it is read or continued
    publish  a whole directory, prepared beside its place, every file synced, put into it in one step

A writer holds a lock on its temporary file or directory, so what a dead writer left can be told from what a live one
is making. Every change of the disk goes through `system`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepen.errors import DeepenError
from deepen.store import system

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
LOCKED = {errno.EACCES, errno.EPERM, errno.EROFS}
TAKEN = {errno.EEXIST, errno.ENOTEMPTY}
TAIL = 4096  # bytes read first in search of a file's last line


def digest(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def failure(path: Path, problem: OSError) -> DeepenError:
    """A failure of the disk as an error that names its cause: no room, what stands in the way, a right that is lacking."""
    place = path.absolute()
    while not os.path.exists(place):
        place = place.parent
    free = f"({shutil.disk_usage(place).free:,} bytes free)"
    if problem.errno in FULL:
        return DeepenError(
            "store.full", str(path), f"no room on the disk {free}", "", "free some space and do it again"
        )
    found, fix = f"{problem.strerror or problem} {free}", ""
    if problem.errno == errno.EISDIR:
        found, fix = "it is a folder", "give the name of a file"
    elif not place.is_dir() and place != path.absolute():
        found, fix = f"{place} is a file", "move it away, or choose another place"
    elif problem.errno == errno.ENOENT and not path.parent.exists():
        found, fix = f"there is no folder {path.parent}", f"make it: mkdir -p {path.parent}"
    elif problem.errno in LOCKED:
        found = f"no right to write there ({problem.strerror})"
        fix = "choose another place, or make this one writable"
    return DeepenError("store.write", str(path), found, "a place that can be written", fix)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise failure(path, problem) from problem


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[system.write(handle, view) :]


def sync(path: Path) -> None:
    """A file's content, or a directory's names, to the disk."""
    handle = system.open_file(path, os.O_RDONLY)
    try:
        system.sync(handle)
    finally:
        system.close(handle)


# ---------------------------------------------------------------- whole files


def replace(path: Path, data: bytes | str) -> str:
    """Put `data` at `path` whole or not at all; returns its SHA-256."""
    data = data.encode() if isinstance(data, str) else data
    with _told(path):
        temporary, handle = _temporary(path)
        try:
            _write_all(handle, data)
            system.sync(handle)
            system.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                system.unlink(temporary)
            raise
        finally:
            system.close(handle)
        sync(path.parent)
    return digest(data)


def writable(path: Path) -> None:
    """Raise now what `replace` would: nobody should work for an hour towards a place that cannot be written."""
    with _told(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        temporary, handle = _temporary(path)
        system.unlink(temporary)
        system.close(handle)


def _temporary(path: Path) -> tuple[Path, int]:
    """A new file beside `path`, locked by this writer."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        handle = system.open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else it was swept before it could be locked
            return temporary, handle
        system.close(handle)


def sweep(directory: Path, pattern: str = ".*.tmp") -> None:
    """Remove temporary files and directories whose writers are dead."""
    for path in directory.glob(pattern):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    system.remove_tree(path)
                else:
                    system.unlink(path)
            finally:
                os.close(handle)


# ---------------------------------------------------------------- lines


def line(document: dict[str, Any]) -> bytes:
    """A JSON line whose last member, `sum`, is a checksum of what stands before it."""
    assert document, "an empty line says nothing"
    body = json.dumps(document, ensure_ascii=False, allow_nan=True)[:-1]
    return f'{body}, "sum": "{digest(body.encode())[:8]}"}}\n'.encode()


def _body(raw: bytes) -> bytes | None:
    """What a line says, without its checksum; None where it is not what was written."""
    body, _, tail = raw.rpartition(b', "sum": "')
    return body + b"}" if tail == f'{digest(body)[:8]}"}}\n'.encode() else None


def append(path: Path, document: dict[str, Any]) -> int:
    """Add one line; returns the file's length after it. A torn tail left by a crash is cut first."""
    data = line(document)
    with _told(path):
        handle = system.open_file(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            whole = size if _ends_whole(handle, size) else lines(path)[1]
            if whole != size:
                system.cut(handle, whole)
            os.lseek(handle, whole, os.SEEK_SET)
            try:
                _write_all(handle, data)
                system.sync(handle)
            except BaseException:
                with contextlib.suppress(OSError):
                    system.cut(handle, whole)
                raise
        finally:
            system.close(handle)
        if not whole:
            sync(path.parent)
    return whole + len(data)


def _ends_whole(handle: int, size: int) -> bool:
    """Whether the last line is whole; reads no more than that line."""
    length = TAIL
    while size:
        tail = os.pread(handle, length, max(size - length, 0))
        start = tail.rfind(b"\n", 0, -1) + 1
        if start or length >= size:
            return _body(tail[start:]) is not None
        length *= 4
    return True


def lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole lines of a file, without their checksums, and the length they take up.

    A last line that a crash tore is left out: it has no end, or holes where the disk had not caught up. Any other line
    that is not what was written is an error.
    """
    if not path.exists():
        return [], 0
    found: list[dict[str, Any]] = []
    length = 0
    raws = path.read_bytes().splitlines(keepends=True)
    for number, raw in enumerate(raws, 1):
        body = _body(raw)
        if body is None:
            ended = raw.endswith(b"\n") or _body(raw[:-1] + b"\n") is not None
            if number == len(raws) and (not ended or b"\0" in raw):
                break
            raise DeepenError("store.damaged", f"{path}:{number}", "the line is not what was written")
        found.append(json.loads(body))
        length += len(raw)
    return found, length


def cut(path: Path, length: int) -> None:
    """Shorten a file of lines to a length it had before; what stands before that must be whole."""
    with _told(path):
        if path.exists() and path.stat().st_size > length:
            handle = system.open_file(path, os.O_WRONLY)
            try:
                system.cut(handle, length)
                system.sync(handle)
            finally:
                system.close(handle)
    whole = lines(path)[1]
    if whole != length:
        raise DeepenError("store.damaged", str(path), f"{whole} bytes of whole lines", f"{length} bytes")


# ---------------------------------------------------------------- whole directories


@contextlib.contextmanager
def publish(place: Path, new: bool = False) -> Iterator[Path]:
    """A directory to fill; on a clean exit it takes `place` (what stood there goes), else nothing changes.

    new  `place` must be free: FileExistsError where it is not
    """
    with _told(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        draft, handle = _draft(place)
    try:
        try:
            yield draft
        except OSError as problem:
            if problem.errno not in FULL:
                raise
            raise failure(place, problem) from problem
        with _told(place):
            for path in sorted(draft.rglob("*")):
                sync(path)
            sync(draft)
            taken = _settle(draft, place, new)
            sync(place.parent)
        if taken:
            raise FileExistsError(place)
    finally:
        system.remove_tree(draft)  # the draft, or what it took the place of
        os.close(handle)
    sweep(place.parent, f".{place.name}.*.tmp")


def _draft(place: Path) -> tuple[Path, int]:
    """A new directory beside `place`, locked by this writer."""
    while True:
        draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
        system.make_directory(draft)
        with contextlib.suppress(FileNotFoundError):  # swept before it could be locked
            handle = os.open(draft, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if draft.is_dir():
                return draft, handle
            os.close(handle)


def _settle(draft: Path, place: Path, new: bool) -> bool:
    """Put a draft into its place in one step; the draft's name then holds what was there. True: the place is taken."""
    while True:
        try:
            system.rename(draft, place)  # goes where nothing, or an empty directory, stands
            return False
        except OSError as problem:
            if problem.errno not in TAKEN:
                raise
        if new:
            return True
        with contextlib.suppress(FileNotFoundError):  # removed by somebody since: the place is free now
            if not system.exchange(draft, place):
                _step_aside(draft, place)
            return False


def _step_aside(draft: Path, place: Path) -> None:
    """Where names cannot be swapped (not Linux, some network file systems): the place is empty for an instant."""
    old = draft.with_name(f"{draft.name}.old")
    system.rename(place, old)
    try:
        system.rename(draft, place)
    except BaseException:
        system.rename(old, place)
        raise
    system.rename(old, draft)
