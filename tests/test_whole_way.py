"""From a table of one's own to answers, through the command line alone."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from deepen.cli import main


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Prices of flats: a number, a category, a date, some of it missing."""
    path = tmp_path_factory.mktemp("data") / "flats.csv"
    draw = random.Random(0)
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["rooms", "town", "built", "price"])
        for _ in range(300):
            rooms, town, year = draw.randint(1, 6), draw.choice(["Lyon", "Graz", "Łódź"]), draw.randint(1950, 2020)
            price = 40 * rooms + {"Lyon": 100, "Graz": 60, "Łódź": 0}[town] + (year - 1950) + draw.gauss(0, 5)
            rows.writerow([rooms if draw.random() > 0.05 else "", town, f"{year}-06-15", f"{price:.2f}"])
    return path


def run(capsys, *arguments: str) -> dict:
    """The document a verb prints last with --json."""
    assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_table_becomes_answers(table, tmp_path, capsys):
    config = tmp_path / "flats.yaml"
    config.write_text(
        f"data: {{name: table, path: {table}, target: price}}\ntrain: {{epochs: 40, lr: 3e-3, threads: 1}}\n"
    )
    trained = run(capsys, "train", str(config), "train.lr=1e-2", "--batch-size", "16")
    place = Path(trained["run"])
    assert trained["state"] == "finished"
    assert "lr: 0.01" in (place / "config.yaml").read_text()
    assert trained["metrics"]["val_r2"] > 0.9

    measured = run(capsys, "evaluate", str(place))
    assert measured["metrics"]["r2"][0] > 0.9

    parity = run(capsys, "export", str(place))["parity"]
    assert parity["agreement"] == 1.0

    with open(table, newline="", encoding="utf-8") as file:
        flats = list(csv.DictReader(file))[:5]
    lines = tmp_path / "flats.jsonl"
    lines.write_text("\n".join(json.dumps({k: v for k, v in flat.items() if k != "price"}) for flat in flats))
    by_run = run(capsys, "predict", str(place), str(lines))
    by_bundle = run(capsys, "predict", str(place / "exports" / "onnx"), str(lines))
    assert [a["value"] for a in by_run] == pytest.approx([a["value"] for a in by_bundle], rel=1e-4)
    assert by_bundle[0]["value"] == pytest.approx(float(flats[0]["price"]), abs=60)

    proof = run(capsys, "verify", str(place))
    assert proof["resume"]["identical"]


def test_training_the_written_config_again_repeats_the_run(table, tmp_path, capsys):
    first = run(capsys, "train", str(table), "target=price", "epochs=3", "threads=1")
    again = run(capsys, "train", f"{first['run']}/config.yaml")
    assert first["model"] == again["model"]  # the hash of the weights
    assert (Path(first["run"]) / "metrics.jsonl").read_bytes() == (Path(again["run"]) / "metrics.jsonl").read_bytes()


def test_the_plan_costs_nothing(table, tmp_path, capsys):
    plan = run(capsys, "train", str(table), "target=price", "--dry-run")
    assert plan["config"]["train"]["epochs"]
    assert plan["seconds"] > 0
    assert plan["weights"] / 2 < plan["multiply_adds"] <= plan["weights"], "of one item"
    assert not (tmp_path / "runs").exists()


def test_damaged_weights_are_written_again_by_resuming(table, capsys):
    place = Path(run(capsys, "train", str(table), "target=price", "epochs=2", "threads=1")["run"])
    weights = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(weights[:1000])
    assert main(["evaluate", str(place)]) == 2
    assert "resume the run to write it again" in capsys.readouterr().err
    run(capsys, "train", "--resume", str(place))
    assert (place / "model.safetensors").read_bytes() == weights


def test_a_column_that_went_missing_is_named(table, tmp_path, capsys):
    own = tmp_path / "flats.csv"
    own.write_bytes(table.read_bytes())
    place = run(capsys, "train", str(own), "target=price", "epochs=1")["run"]
    own.write_text(
        "\n".join(",".join(line.split(",")[:1] + line.split(",")[2:]) for line in own.read_text().splitlines())
    )
    assert main(["evaluate", place]) == 2
    assert "column 'town': not in the table" in capsys.readouterr().err


def test_a_run_answers_from_anywhere(table, tmp_path, capsys, monkeypatch):
    """Paths in a run's configuration are absolute: it can be evaluated from another directory."""
    monkeypatch.chdir(table.parent)
    place = Path(run(capsys, "train", table.name, "target=price", "epochs=1", f"--output={tmp_path / 'runs'}")["run"])
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "evaluate", str(place))["items"] > 40
