"""A series from a table to the service: the last rows get the same forecast from a run, a bundle and a request."""

from __future__ import annotations

import asyncio
import csv
import datetime
import io
import json
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen.serving.messages import Request
from tests.serving.fakes import of_bundle

pytestmark = pytest.mark.slow
START = datetime.datetime(2024, 1, 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two shops of unlike size with a week's rhythm."""
    place = tmp_path_factory.mktemp("series")
    draw = np.random.default_rng(0)
    rows = ["day,shop,sales,rain"]
    for shop, size in (("a", 60.0), ("b", 100.0)):
        for i in range(400):
            week = 1 + 0.5 * np.sin(2 * np.pi * i / 7) + 0.1 * draw.normal()
            rows.append(f"{START + datetime.timedelta(days=i):%Y-%m-%d},{shop},{size * week:.3f},{draw.random():.2f}")
    (place / "sales.csv").write_text("\n".join(rows) + "\n")
    model = {"name": "mlp", "hidden": []}
    settings = {
        "model": model,
        "target": "sales",
        "time": "day",
        "group": "shop",
        "horizon": 7,
        "columns": "[rain]",
        "lr": 1e-2,
    }
    return deepen.train(str(place / "sales.csv"), output=str(place / "runs"), threads=1, **settings)


@pytest.fixture(scope="module")
def bundle(run) -> str:
    return deepen.export(str(run.path))["bundle"]


def last(count: int = 40) -> list[dict]:
    """The newest rows of both shops."""
    days = [f"{START + datetime.timedelta(days=i):%Y-%m-%d}" for i in range(400 - count, 400)]
    rhythm = [1 + 0.5 * np.sin(2 * np.pi * i / 7) for i in range(400 - count, 400)]
    return [
        {"day": day, "shop": shop, "sales": round(size * r, 3), "rain": 0.5}
        for shop, size in (("a", 60.0), ("b", 100.0)) for day, r in zip(days, rhythm)
    ]  # fmt: skip


def written(rows: list[dict]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0])
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def test_it_learns_the_rhythm_and_is_measured(run):
    document = deepen.evaluate(str(run.path))
    assert document["metrics"]["skill"][0] > 0.1  # a season has its noise too: repeating it counts that twice
    assert document["baseline"]["what"] == "repeating the last 7 rows"
    page = (run.path / "evaluation" / "report.html").read_text()
    assert "A forecast of sales" in page
    assert "across a border" not in page
    assert document["check"]["outside"] == 2 * 2 * 6


def ask(bundle: str, kind: str, body: str) -> dict:
    core = of_bundle(Path(bundle))
    response = asyncio.run(core.handle(Request("POST", "/predict", {"content-type": kind}, body.encode())))
    core.close()
    return {"status": response.status, **response.document}


def test_the_same_forecast_everywhere(run, bundle, tmp_path, capsys):
    rows = last()
    shops = [[row for row in rows if row["shop"] == shop] for shop in "ab"]
    here, there = deepen.load(str(run.path)), deepen.load(bundle)
    answers = here([here.parse(some) for some in shops])
    assert here.gap(answers, there([there.parse(some) for some in shops])) < 1e-4
    sales = [np.array(answer["forecast"]["sales"]) for answer in answers]
    rhythm = 1 + 0.5 * np.sin(2 * np.pi * np.arange(400, 407) / 7)
    assert np.abs(sales[0] - 60 * rhythm).mean() < 6
    assert np.abs(sales[1] - 100 * rhythm).mean() < 10
    columns = {name: [row[name] for row in shops[0]] for name in ("sales", "rain")}
    for kind, body, wanted in (
        ("application/json", json.dumps({"items": shops}), answers),
        ("application/json", json.dumps({"item": columns}), answers[:1]),
        ("text/csv", written(rows), answers),
    ):
        assert here.gap(wanted, ask(bundle, kind, body)["answers"]) < 1e-4
    (tmp_path / "new.csv").write_text(written(rows))
    found = deepen.predict(bundle, "new.csv")
    assert [row.pop("id") for row in found] == ["a", "b"]
    assert here.gap(answers, found) < 1e-4


def test_too_few_rows_are_told_and_do_not_spoil_the_others(bundle, tmp_path, capsys):
    rows = last()
    (tmp_path / "new.csv").write_text(written([row for row in rows if row["shop"] == "a" or row["day"] > "2025-01-25"]))
    found = deepen.predict(bundle, "new.csv")
    assert "forecast" in found[0]
    assert found[1]["error"] == "9 rows"
    refused = ask(bundle, "application/json", json.dumps({"item": {"sales": [1, 2], "rain": [1, 2]}}))
    assert refused["status"] == 422
    assert "2 rows" in json.dumps(refused)
