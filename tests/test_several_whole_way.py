"""Several targets from a table to the service, and what they gain from each other."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen.errors import DeepenError
from deepen.serving.messages import Request
from tests.serving.fakes import of_bundle


def table(place: Path, n: int = 900, known: float = 0.08, seed: int = 0) -> Path:
    """Two answers from the same two hidden features of ten columns; the first is known of few items."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 10))
    hidden = np.tanh(x @ draw.normal(size=(10, 2)) / 2)
    scarce = 3 * hidden[:, 0] * hidden[:, 1] + hidden[:, 0]
    sort = np.where(hidden[:, 0] * hidden[:, 1] > 0, "same", "other")
    common = 2 * hidden[:, 0] * hidden[:, 1] - hidden[:, 1]
    there = draw.random(n) < known
    there[: n // 3] = True  # the held-out rows have it
    place.mkdir(parents=True, exist_ok=True)
    head = [*(f"x{i}" for i in range(10)), "scarce", "common", "sort"]
    lines = [",".join(head)]
    for i in range(n):
        cells = [*(f"{v:.4f}" for v in x[i]), f"{scarce[i]:.4f}" if there[i] else "", f"{common[i]:.4f}", sort[i]]
        lines.append(",".join(cells))
    (place / "test.csv").write_text("\n".join([lines[0], *lines[1 : 1 + n // 3]]) + "\n")
    (place / "train.csv").write_text("\n".join([lines[0], *lines[1 + n // 3 :]]) + "\n")
    return place


def trained(place: Path, target: str, seed: int = 0, **more: object) -> Path:
    drop = [name for name in ("scarce", "common", "sort") if name not in target]
    settings = {"epochs": 40, "lr": 3e-3, "threads": 1, "model": {"name": "mlp", "hidden": [64, 64]}, **more}
    run = deepen.train(
        str(place / "train.csv"), test=str(place / "test.csv"), target=target, drop=drop, output=str(place / "runs"),
        seed=seed, **settings,
    )  # fmt: skip
    return run.path


@pytest.mark.slow
def test_a_scarce_answer_gains_from_a_related_one(tmp_path):
    gains = []
    for seed in range(3):
        place = table(tmp_path / str(seed), seed=seed)
        alone = deepen.evaluate(str(trained(place, "scarce", seed, kind="number")))["metrics"]["r2"][0]
        joint = deepen.evaluate(str(trained(place, "[scarce, common]", seed)))["metrics"]["scarce.r2"][0]
        gains.append((alone, joint))
    assert np.mean([joint - alone for alone, joint in gains]) > 0.05, gains


@pytest.mark.slow
def test_the_same_answers_everywhere(tmp_path):
    place = table(tmp_path, 300, 0.5)
    run = trained(place, "[sort, scarce]", epochs=5)
    document = deepen.evaluate(str(run))
    assert document["metric"] == "score"
    assert {"sort.accuracy", "scarce.rmse"} <= document["metrics"].keys()
    page = (run / "evaluation" / "report.html").read_text()
    assert "sort: Confusion matrix" in page
    bundle = deepen.export(str(run))["bundle"]
    items = [{f"x{i}": float(i + k) for i in range(10)} for k in range(3)]
    here, there = deepen.load(str(run)), deepen.load(bundle)
    answers = here([here.parse(item) for item in items])
    assert answers[0]["sort"]["label"] in {"same", "other"}
    assert isinstance(answers[0]["scarce"]["value"], float)
    assert here.gap(answers, there(items)) < 1e-4
    core = of_bundle(Path(bundle))
    body = json.dumps({"items": items}).encode()
    response = asyncio.run(core.handle(Request("POST", "/predict", {"content-type": "application/json"}, body)))
    core.close()
    assert response.status == 200, response.document
    assert here.gap(answers, response.document["answers"]) < 1e-4
    assert len(deepen.predict(bundle, str(place / "test.csv"))) == 100
    with pytest.raises(DeepenError, match=r"answers of kind several\. Expected an answer that a page can ask for"):
        deepen.label(str(place / "train.csv"), target="[sort, scarce]")


def test_the_figures_stand_in_columns_however_long_their_names(tmp_path, capsys):
    run = trained(table(tmp_path, 90, 0.9), "[sort, common]", epochs=1)
    deepen.evaluate(str(run))
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("test "))
    shown = [line for line in lines[start + 1 :] if "." in line.split(" ")[0]]
    assert any(line.startswith("sort.balanced_accuracy ") for line in shown)
    assert len({len(line.partition("   (")[0].rstrip()) for line in shown}) == 1
    assert "common.bias</td>" in (run / "evaluation" / "report.html").read_text(), "neither way is better"
