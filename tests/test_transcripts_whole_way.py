"""What is said in a sound, from a table to the service."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen.content import sound
from deepen.serving.messages import Request
from tests.serving.fakes import of_bundle
from tests.test_sound import tone

PITCH = {"a": 300, "b": 800, "c": 1700}


def spoken(text: str, draw: np.random.Generator) -> bytes:
    """A tone for each character, each after a pause."""
    parts = []
    for c in text:
        parts += [
            np.zeros(draw.integers(400, 700)),
            tone(PITCH[c] * draw.uniform(0.95, 1.05), 8000, draw.uniform(0.06, 0.1)),
        ]
    wave = np.concatenate([*parts, np.zeros(400)])
    return sound.wav(wave + draw.normal(0, 1e-3, len(wave)), 8000)


def table(place: Path, n: int, seed: int = 0) -> Path:
    place.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    lines = ["clip,said"]
    for i in range(n):
        text = "".join(draw.choice(list(PITCH), draw.integers(1, 5)))
        (place / f"{i}.wav").write_bytes(spoken(text, draw))
        lines.append(f"{i}.wav,{text}")
    (place / "clips.csv").write_text("\n".join(lines) + "\n")
    return place / "clips.csv"


@pytest.mark.slow
def test_the_same_text_everywhere(tmp_path):
    model = {"name": "listener", "channels": [32], "body": {"name": "rnn", "width": 24, "bidirectional": True}}
    data = table(tmp_path / "data", 400)
    run = deepen.train(
        str(data), target="said", kind="transcript", beam=4, output=str(tmp_path / "runs"), model=model, epochs=15,
        lr=1e-2, threads=1,
    )  # fmt: skip
    assert "kind: transcript" in (run.path / "config.yaml").read_text()
    document = deepen.evaluate(str(run.path))
    assert document["metric"] == "character_error"
    assert document["metrics"]["character_error"][0] < 0.05
    bundle = deepen.export(str(run.path))["bundle"]
    assert '"do": "ctc"' in (Path(bundle) / "program.json").read_text()
    new = table(tmp_path / "new", 20, seed=1)
    truth = [line.split(",")[1] for line in new.read_text().split("\n")[1:-1]]
    files = [(new.parent / f"{i}.wav").read_bytes() for i in range(20)]
    here, there = deepen.load(str(run.path)), deepen.load(bundle)
    answers = here(files)
    assert np.mean([answer["text"] == text for answer, text in zip(answers, truth)]) >= 0.9
    assert there(files) == answers
    assert [there([file])[0] for file in files] == answers
    found = deepen.predict(bundle, str(new))
    assert [row["text"] for row in found] == [answer["text"] for answer in answers]
    core = of_bundle(Path(bundle))
    response = asyncio.run(core.handle(Request("POST", "/predict", {"content-type": "audio/wav"}, files[0])))
    assert response.document["answers"] == answers[:1]
    core.close()
    assert json.dumps(answers[0]) == json.dumps({"text": answers[0]["text"]})
