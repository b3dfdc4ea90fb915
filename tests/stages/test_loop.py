"""The closed loop: drifted requests to labels, a new run, promotion, and every way it can end or be cut off."""

from __future__ import annotations

import importlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepen
from deepen import bundle
from deepen.cli import main
from deepen.errors import DeepenError, Refused
from deepen.preprocess.image import png
from deepen.serving.home import Home
from deepen.sources.digits import Digits
from deepen.store import durable
from deepen.store.live import Live, Pulse, Sample, pack
from deepen.store.loop import Ledger
from deepen.store.run import Run

stage = importlib.import_module("deepen.stages.loop")

SETTINGS: dict[str, Any] = {"threads": 1, "epochs": 8, "model": "mlp", "hidden": [64]}
TERMS: dict[str, Any] = {"ask": 120, "least": 100, "compare": 50, "hold": 50, "wait": 0, "labeller": f"{__name__}:truth", "epochs": 30}
ASKED: list[int] = []  # how many the labeller was asked


def truth(paths: list[str]) -> list[str]:
    """A labeller that knows every digit, upright or inverted, by its pixels."""
    from deepen.preprocess.image import Image

    ASKED.append(len(paths))
    digits = Digits().read()
    known = {}
    for picture, label in zip(digits.inputs["image"], digits.target):
        known[picture.tobytes()] = known[(255 - picture).tobytes()] = str(label)
    read = Image(8, 8, 1)
    return [known[read.one(path).tobytes()] for path in paths]


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Run:
    """A run on a folder of 700 digits, and its bundle."""
    place = tmp_path_factory.mktemp("loop")
    digits = Digits().read()
    for row in range(700):
        folder = place / "photos" / str(digits.target[row])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row}.png").write_bytes(png(digits.inputs["image"][row]))
    run = deepen.train(str(place / "photos"), output=str(place / "runs"), **SETTINGS)
    deepen.export(str(run.path))
    return run


@pytest.fixture
def dataset(trained, tmp_path) -> str:
    return str(shutil.copytree(trained.path.parents[1] / "photos", tmp_path / "photos"))


@pytest.fixture
def live(trained, tmp_path) -> Live:
    place = Live.create(tmp_path / "live" / "digits")
    place.route({place.add(trained.path / "exports" / "onnx", trained.id): 1.0})
    return place


def asked(live: Live, count: int = 300, inverted: float = 0.7, start: int = 700, version: str = "1") -> None:
    """Samples as the server writes them: so many unseen digits, a share of them inverted."""
    predictor = bundle.predictor(live.bundle(version), 1)
    pictures = Digits().read().inputs["image"][start : start + count]
    samples = []
    for i, picture in enumerate(pictures):
        picture = 255 - picture if i < inverted * count else picture
        arrays = predictor.encode([picture])
        unsure = float(predictor.signature.answer.uncertainty(predictor.run(arrays))[0])
        inputs = {name: pack(array) for name, array in arrays.items()}
        samples.append(
            Sample(time.time(), f"{start}-{i}", version, "run", inputs, predictor([picture]), [unsure], 0.002, 1.0)
        )
    live.keep(samples)


def beat(live: Live, items: int = 100, shadow: dict[str, float] | None = None, failed: int = 0) -> None:
    """A pulse of a stretch that is over: whoever answers answered; a shadow was compared."""
    route = live.state().route
    compared = {route.shadow: {"compared": items, "seconds": 0.1, **(shadow or {})}} if route.shadow else {}
    errors = {"internal": failed, "item.invalid": 3} if failed else {}
    versions = dict.fromkeys(route.shares, items)
    live.beat(Pulse(time.time(), 0.0, items + failed, items, errors, {}, versions, 0, 0.1, 1 << 20, compared))


def steps(live: Live, round: int = 1) -> list[str]:
    return [line["step"] for line in Ledger(live.path).lines() if line["round"] == round]


def finish(live: Live, dataset: str, **more: Any) -> dict[str, Any]:
    """Rounds of the verb, with traffic in between, until the round is over."""
    for _ in range(5):
        found = deepen.loop(str(live.path), dataset, **{**TERMS, **more})
        if found["state"] != "waiting":
            return found
        beat(live)
    raise AssertionError(found)


WHOLE = ["chosen", "queued", "labelled", "trained", "judged", "beside", "compared", "promoted", "kept"]


def test_from_drifted_requests_to_a_better_version_in_service(live, dataset, trained, capsys):
    asked(live)
    found = finish(live, dataset)
    assert found["state"] == "kept"
    assert steps(live) == WHOLE
    done = {line["step"]: line for line in found["steps"]}
    why = list(done["chosen"]["items"].values())
    assert (why.count("drifted"), why.count("uncertain"), why.count("random")) == (48, 36, 36)
    run = Run.open(done["trained"]["run"])
    assert run.info["parent"] == trained.id
    assert done["judged"]["new"]["before"] < 0.5 < 0.7 < done["judged"]["new"]["after"]
    assert live.state().route.shares == {"2": 1.0}
    assert live.state().route.shadow == ""
    predictor = bundle.predictor(live.bundle("2"), 1)
    digits = Digits().read()
    answers = predictor([255 - p for p in digits.inputs["image"][1200:1500]])
    right = np.mean([a["label"] == str(t) for a, t in zip(answers, digits.target[1200:1500])])
    assert right > 0.7
    told = capsys.readouterr().out
    for step in WHOLE:
        assert f"\n{step:<12} " in told
