"""Three durable primitives; a crash at any instant leaves the old state or the new one.

    replace  a whole file: temporary file, fsync, rename, fsync of the directory
    append   one JSON line with its checksum, fsync; a torn tail is cut when it is read or continued
    publish  a whole directory, prepared beside its place, every file synced, renamed into it

Every system call goes through the names below, so a test can fail or record each of them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepen.errors import DeepenError

_open, _write, _fsync, _rename = os.open, os.write, os.fsync, os.replace


def digest(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Failures of the disk as errors that name the path and the room left."""
    try:
        yield
    except OSError as problem:
        if problem.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            with contextlib.suppress(OSError):
                free = shutil.disk_usage(path.parent).free
                raise DeepenError(
                    "store.full",
                    str(path),
                    f"no room on the disk ({free:,} bytes free)",
                    "",
                    "free some space and resume",
                ) from problem
        raise DeepenError(
            "store.write", str(path), problem.strerror or str(problem), "a directory that can be written"
        ) from problem


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[_write(handle, view) :]


def _sync_directory(path: Path) -> None:
    handle = _open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, data: bytes | str) -> str:
    """Put `data` at `path` whole or not at all; returns its SHA-256."""
    data = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with _told(path):
        try:
            handle = _open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                _write_all(handle, data)
                _fsync(handle)
            finally:
                os.close(handle)
            _rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_directory(path.parent)
    return digest(data)


def line(document: dict[str, Any]) -> bytes:
    """A JSON line whose last member, `sum`, is a checksum of what stands before it."""
    body = json.dumps(document, ensure_ascii=False, allow_nan=True)[:-1]
    return f'{body}, "sum": "{digest(body.encode())[:8]}"}}\n'.encode()


def append(path: Path, document: dict[str, Any]) -> int:
    """Add one line; returns the file's length after it. A torn tail left by a crash is cut first."""
    whole = lines(path)[1] if path.exists() else 0
    with _told(path):
        handle = _open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            if os.fstat(handle).st_size != whole:
                os.ftruncate(handle, whole)
            os.lseek(handle, whole, os.SEEK_SET)
            data = line(document)
            try:
                _write_all(handle, data)
                _fsync(handle)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, whole)
                raise
        finally:
            os.close(handle)
        if not whole:
            _sync_directory(path.parent)
    return whole + len(data)


def lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole lines of a file, without their checksums, and the length they take up."""
    if not path.exists():
        return [], 0
    found, length = [], 0
    for raw in path.read_bytes().splitlines(keepends=True):
        body, _, tail = raw.rpartition(b', "sum": "')
        if tail != f'{digest(body)[:8]}"}}\n'.encode():
            break
        found.append(json.loads(body + b"}"))
        length += len(raw)
    return found, length


def cut(path: Path, length: int) -> None:
    """Shorten a file of lines to a length it had before."""
    with _told(path):
        if path.exists() and path.stat().st_size > length:
            handle = _open(path, os.O_WRONLY)
            try:
                os.ftruncate(handle, length)
                _fsync(handle)
            finally:
                os.close(handle)


@contextlib.contextmanager
def publish(place: Path) -> Iterator[Path]:
    """A directory to fill; on a clean exit it takes `place` (what stood there goes), else nothing changes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
    with _told(place):
        draft.mkdir()
    try:
        yield draft
        with _told(place):
            for path in sorted(draft.rglob("*")):
                handle = _open(path, os.O_RDONLY)
                try:
                    _fsync(handle)
                finally:
                    os.close(handle)
            _sync_directory(draft)
            old = place.with_name(f".{place.name}.{secrets.token_hex(4)}.old")
            if place.exists():
                _rename(place, old)
            _rename(draft, place)
            _sync_directory(place.parent)
            shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
