"""Sounds from a folder to the service: one item gets the same answer from a run, a bundle and a request."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

import deepen
from deepen.content import sound
from deepen.serving.messages import Request
from tests.serving.fakes import of_bundle
from tests.sources.test_audio import folder
from tests.test_sound import raw, tone

pytestmark = pytest.mark.slow

LOW, HIGH = (sound.wav(tone(f, 8000, s), 8000) for f, s in ((310, 0.11), (1520, 0.14)))
WIDE = sound.wav(tone(1500, 16000, 0.12), 16000)
ITEMS, EXPECTED = [LOW, HIGH, WIDE], ["low", "high", "high"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sounds")


@pytest.fixture(scope="module", params=["cnn", "rnn"])
def bundle(request, place) -> str:
    sounds = place / "data"
    if not sounds.is_dir():
        folder(sounds, 30)
    model = {"rnn": {"name": "rnn", "width": 8}, "cnn": {"name": "cnn", "channels": [8, 16]}}[request.param]
    run = deepen.train(str(sounds), output=str(place / "runs"), model=model, epochs=20, lr=1e-2, threads=1)
    return deepen.export(str(run.path))["bundle"]


def ask(bundle: str, headers: dict[str, str], body: bytes) -> tuple[int, dict]:
    core = of_bundle(Path(bundle))
    response = asyncio.run(core.handle(Request("POST", "/predict", headers, body)))
    core.close()
    return response.status, response.document


def test_the_same_answers_everywhere(bundle, tmp_path):
    run = Path(bundle).parents[1]
    here, there = deepen.load(str(run)), deepen.load(bundle)
    answers = here(ITEMS)
    assert [answer["label"] for answer in answers] == EXPECTED
    assert here.gap(answers, there(ITEMS)) < 1e-4
    assert here.gap(answers, [here([item])[0] for item in ITEMS]) < 1e-4, "no answer depends on the others in its batch"
    for kind in ("audio/wav", "audio/x-wav", "application/octet-stream"):
        status, document = ask(bundle, {"content-type": kind}, LOW)
        assert status == 200, document
        assert here.gap(answers[:1], document["answers"]) < 1e-4
    body = json.dumps({"items": [base64.b64encode(item).decode() for item in ITEMS]}).encode()
    assert here.gap(answers, ask(bundle, {"content-type": "application/json"}, body)[1]["answers"]) < 1e-4
    for i, item in enumerate(ITEMS):
        (tmp_path / f"{i}.wav").write_bytes(item)
    (tmp_path / "bad.wav").write_bytes(raw(1, 1, 16, bytes(8), size=80))
    found = deepen.predict(bundle, str(tmp_path))
    assert [row["id"] for row in found] == ["0.wav", "1.wav", "2.wav", "bad.wav"]
    assert here.gap(answers, [{k: v for k, v in row.items() if k != "id"} for row in found[:3]]) < 1e-4
    assert found[3]["error"] == "truncated: 0.0 of 0.0 seconds are there"


def test_what_is_no_sound_is_refused_with_the_reason(bundle):
    status, document = ask(bundle, {"content-type": "audio/mpeg"}, b"ID3" + bytes(99))
    assert status == 422
    assert "not a WAV file (MP3)" in document["error"]
    status, document = ask(bundle, {"content-type": "text/csv"}, b"a,b\n1,2\n")
    assert status == 422


def test_the_report_shows_sounds(bundle):
    run = Path(bundle).parents[1]
    document = deepen.evaluate(str(run))
    assert document["metrics"]["accuracy"][0] > 0.9
