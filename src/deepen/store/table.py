"""The third durable primitive, for what many processes write: a table in SQLite.

Write-ahead log, every commit synced before it returns, one writer at a time (BEGIN IMMEDIATE). A crash at any instant
leaves each transaction whole or absent.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepen.errors import DeepenError
from deepen.store import durable

PATIENCE = 30  # seconds a writer waits for another
_FULL = {"SQLITE_FULL"}
_TAKEN = {"SQLITE_BUSY", "SQLITE_LOCKED"}
_BROKEN = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}


class Table:
    """One connection. `schema` is run on a new file; `version` is kept in the file and newer ones are refused.

    May be handed from thread to thread, but is used by one at a time.
    """

    def __init__(self, path: Path, schema: str, version: int = 1) -> None:
        self.path = path
        with self._told():
            self.connection = sqlite3.connect(path, PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            with self._told():
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = FULL")
            with self.writing():
                found = self.rows("PRAGMA user_version")[0][0]
                if found > version:
                    raise DeepenError(
                        "store.newer", str(path), f"format {found}", f"format {version} or older", "update deepen"
                    )
                if found == 0:
                    for statement in schema.split(";\n"):
                        self.connection.execute(statement)
                    self.connection.execute(f"PRAGMA user_version = {version}")
            if found == 0:
                durable.sync(path.parent)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: on a clean exit all of it is on the disk, else none of it happened."""
        with self._told():
            self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._told():
                self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a statement gives; inside `writing` it may change the table."""
        with self._told():
            return self.connection.execute(statement, values).fetchall()

    def close(self) -> None:
        self.connection.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as problem:
            name = getattr(problem, "sqlite_errorname", "")
            family = "_".join(name.split("_")[:2])
            if family in _FULL:
                found, fix = "no room on the disk", "free some space and do it again"
                raise DeepenError("store.full", str(self.path), found, "", fix) from problem
            if family in _TAKEN:
                found = f"another process has been writing for {PATIENCE} s"
                raise DeepenError("store.busy", str(self.path), found, "", "try again, or stop it") from problem
            if family in _BROKEN:
                raise DeepenError(
                    "store.damaged", str(self.path), str(problem), "a table deepen wrote", "restore the file"
                ) from problem
            if family in {"SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_PERM"}:
                raise DeepenError(
                    "store.write", str(self.path), str(problem), "a place that can be written"
                ) from problem
            raise
