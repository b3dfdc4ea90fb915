"""Sounds in the body of a request: as a file, among several files, in JSON; what is none says why."""

from __future__ import annotations

import base64
import json

from deepen.preprocess.audio import Audio
from tests.preprocess.test_audio import clip
from tests.serving.fakes import JSON, ask, service

SOUND = clip(0.1)


def test_sounds_in_every_form():
    core = service(Audio(8000, 20, 8))
    answer = ask(core, "/predict", SOUND, content_type="audio/wav").document["answers"]
    part = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + SOUND + b"\r\n"
    text = base64.b64encode(SOUND).decode()
    for body, kind, count in (
        (SOUND, "application/octet-stream", 1),
        (part + part + b"--B--\r\n", "multipart/form-data; boundary=B", 2),
        (json.dumps({"items": [text, {"b64": text}]}).encode(), JSON["content-type"], 2),
    ):
        response = ask(core, "/predict", body, content_type=kind)
        assert (response.status, response.document["answers"]) == (200, answer * count)
    refused = ask(core, "/predict", b"ID3" + bytes(50), content_type="audio/mpeg")
    assert refused.status == 422
    assert "not a WAV file (MP3)" in refused.document["error"]
    kinds = ask(core, "/openapi.json").document["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert {"audio/wav", "multipart/form-data"} <= kinds.keys()
    core.close()
