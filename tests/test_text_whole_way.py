"""A text from its file to the service: the same beginning goes on in the same way from a run, a bundle and a request."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import deepen
from deepen.serving.messages import Request
from tests.serving.fakes import of_bundle

pytestmark = pytest.mark.slow
RHYME = "the cat sat on the mat, and the rat ran at the cat.\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("text")
    (place / "rhyme.txt").write_text(RHYME * 150)
    model = {"name": "transformer", "width": 32, "depth": 2, "heads": 2}
    settings = {"context": 24, "write": 30, "temperature": 0.3, "lr": 5e-3, "steps": 600}
    return deepen.train(str(place / "rhyme.txt"), output=str(place / "runs"), model=model, threads=1, **settings)


@pytest.fixture(scope="module")
def bundle(run) -> str:
    return deepen.export(str(run.path))["bundle"]


BEGINNINGS = ["the cat sat", "and the rat ", "t" * 60, "at the cat.\nthe c"]


def test_it_learns_by_heart_and_is_measured(run):
    document = deepen.evaluate(str(run.path))
    figures = {name: values[0] for name, values in document["metrics"].items()}
    assert figures["nats"] < 0.3
    assert figures["accuracy"] > 0.8
    assert figures["nats"] < document["baseline"]["nats"] / 4
    page = (run.path / "evaluation" / "report.html").read_text()
    assert "Nats by place" in page
    assert "Hardest to foretell" in page


def ask(bundle: str, body: dict) -> list[dict]:
    core = of_bundle(Path(bundle))
    request = Request("POST", "/predict", {"content-type": "application/json"}, json.dumps(body).encode())
    response = asyncio.run(core.handle(request))
    core.close()
    assert response.status == 200, response.document
    return response.document["answers"]


def test_the_same_text_everywhere(run, bundle, tmp_path, capsys):
    here, there = deepen.load(str(run.path)), deepen.load(bundle)
    answers = here(BEGINNINGS)
    assert answers[0]["text"].startswith(" on the mat, and the rat ran ")
    assert len(answers[0]["text"]) == 30
    assert here.gap(answers, [here([text])[0] for text in BEGINNINGS]) < 1e-4
    assert here.gap(answers, there(BEGINNINGS)) < 1e-4
    assert here.gap(answers, ask(bundle, {"items": BEGINNINGS})) < 1e-4
    (tmp_path / "a.txt").write_text(BEGINNINGS[0])
    (found,) = deepen.predict(bundle, "a.txt")
    assert found["text"] == answers[0]["text"]


def test_an_export_of_other_weights_is_refused(run, tmp_path, monkeypatch):
    from deepen.errors import Refused
    from deepen.formats.onnx import Onnx

    write = Onnx.write

    def changed(self, packaged, *more):
        packaged.net.net.last.bias.data[5] += 0.5
        write(self, packaged, *more)
        packaged.net.net.last.bias.data[5] -= 0.5

    monkeypatch.setattr(Onnx, "write", changed)
    with pytest.raises(Refused, match="outputs differ"):
        deepen.export(str(run.path), name="wrong")
