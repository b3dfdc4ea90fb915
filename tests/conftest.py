"""Shared by all tests: one thread, an own cache, no network; the real data where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in its own directory, with its own cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets ($DEEPEN_DATA, else ../shared/data beside the checkout); skips where it is absent."""
    place = Path(os.environ.get("DEEPEN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not place.is_dir():
        pytest.skip("no real data here: set DEEPEN_DATA")
    return place


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory):
    """A small finished run on the digits, shared by tests that only read it."""
    import deepen

    return deepen.train("digits", output=str(tmp_path_factory.mktemp("runs")), epochs=4, threads=1)


@pytest.fixture(scope="session")
def digits_bundle(digits_run) -> Path:
    """Its bundle."""
    import deepen

    return Path(deepen.export(str(digits_run.path))["bundle"])
