"""The table keeps whole transactions, whoever writes and however they end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from deepen.errors import DeepenError
from deepen.store import table as tables
from deepen.store.table import Table

SCHEMA = "CREATE TABLE things (name TEXT NOT NULL UNIQUE);\nCREATE INDEX names ON things (name)"
HERE = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


@pytest.fixture
def table(tmp_path):
    found = Table(tmp_path / "t.db", SCHEMA)
    yield found
    found.close()


def names(path: Path) -> list[str]:
    found = Table(path, SCHEMA)
    try:
        return [row[0] for row in found.rows("SELECT name FROM things ORDER BY name")]
    finally:
        found.close()


def test_what_it_promises_is_set(table):
    assert table.rows("PRAGMA journal_mode") == [("wal",)]
    assert table.rows("PRAGMA synchronous") == [(2,)]  # FULL


def test_a_transaction_is_whole_or_absent(table):
    with table.writing():
        table.rows("INSERT INTO things VALUES ('a')")
    with pytest.raises(RuntimeError), table.writing():
        table.rows("INSERT INTO things VALUES ('b')")
        raise RuntimeError
    assert names(table.path) == ["a"]


def test_one_writer_at_a_time(table, monkeypatch):
    monkeypatch.setattr(tables, "PATIENCE", 0.01)
    other = Table(table.path, SCHEMA)
    with table.writing():
        table.rows("INSERT INTO things VALUES ('a')")
        with (
            pytest.raises(DeepenError, match=r"t\.db: another process has been writing for 0\.01 s\."),
            other.writing(),
        ):
            raise AssertionError("two writers")
    other.close()


def test_a_broken_rule_of_the_table_is_a_bug_and_undoes_the_transaction(table):
    with pytest.raises(sqlite3.IntegrityError), table.writing():
        table.rows("INSERT INTO things VALUES ('a')")
        table.rows("INSERT INTO things VALUES ('a')")
    assert names(table.path) == []


def test_killed_in_the_middle_of_a_transaction(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from deepen.store.table import Table
table = Table(Path({str(tmp_path / "t.db")!r}), {SCHEMA!r})
with table.writing():
    table.rows("INSERT INTO things VALUES ('whole')")
with table.writing():
    table.rows("INSERT INTO things VALUES ('half')")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, env=HERE).returncode == -signal.SIGKILL
    assert names(tmp_path / "t.db") == ["whole"]


def test_many_open_a_new_one_at_the_same_time(tmp_path):
    """Each adds its own name; the file is made once."""
    code = f"""
import sys
from pathlib import Path
from deepen.store.table import Table
sys.stdin.read()
table = Table(Path({str(tmp_path / "t.db")!r}), {SCHEMA!r})
with table.writing():
    table.rows("INSERT INTO things VALUES (?)", sys.argv[1])
"""
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(i)], stdin=subprocess.PIPE, env=HERE) for i in range(6)
    ]
    for child in children:
        child.stdin.close()  # all begin now
    assert [child.wait() for child in children] == [0] * 6
    assert names(tmp_path / "t.db") == list("012345")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (
            lambda path: path.write_bytes(b"not a database at all" * 100),
            "Expected a table deepen wrote. Restore the file.",
        ),
        (lambda path: path.mkdir(), "Expected a place that can be written."),
    ],
)
def test_what_is_no_table_is_told(tmp_path, spoil, text):
    spoil(tmp_path / "t.db")
    with pytest.raises(DeepenError) as problem:
        Table(tmp_path / "t.db", SCHEMA)
    assert str(problem.value).startswith(f"{tmp_path / 't.db'}: ")
    assert str(problem.value).endswith(text)


def test_a_newer_format_is_refused(tmp_path):
    Table(tmp_path / "t.db", SCHEMA, version=2).close()
    with pytest.raises(DeepenError, match="format 2. Expected format 1 or older. Update deepen."):
        Table(tmp_path / "t.db", SCHEMA)


def test_a_full_disk_is_told(table):
    table.rows("PRAGMA max_page_count = 4")
    with pytest.raises(DeepenError, match="no room on the disk. Free some space"), table.writing():
        table.rows("INSERT INTO things VALUES (?)", os.urandom(60_000).hex())
    assert names(table.path) == []
