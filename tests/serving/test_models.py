"""Versions in service: shares, swaps under load, refusals, shadows, the way back."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from deepen import bundle
from deepen.errors import DeepenError
from deepen.preprocess.image import png
from deepen.serving import core as cores
from deepen.serving import shadow as shadows
from deepen.serving.background import Beat, Follow
from deepen.serving.core import Core
from deepen.serving.home import Fixed
from deepen.serving.messages import Request
from deepen.serving.model import Model
from deepen.serving.observer import Seen
from deepen.serving.options import Options
from deepen.serving.service import homes
from deepen.serving.version import Part
from deepen.store.live import Live
from tests.serving.fakes import ask

onnx = pytest.importorskip("onnx")
PICTURES = [png(p) for p in np.random.default_rng(0).integers(0, 17, (12, 8, 8), np.uint8)]


def changed(source: Path, place: Path, how: str) -> Path:
    """A copy of a bundle that is not fit to serve."""
    shutil.copytree(source, place)
    manifest = json.loads((place / "manifest.json").read_bytes())
    info = {k: v for k, v in manifest.items() if k not in {"format", "files"}}
    bundle.seal(place, **{**info, "run": place.name})
    if how == "half copied":
        data = (place / "graph.onnx").read_bytes()
        (place / "graph.onnx").write_bytes(data[: len(data) // 2])
    elif how == "without a file":
        (place / "golden.json").unlink()
    elif how == "flipped bit":
        data = bytearray((place / "graph.onnx").read_bytes())
        data[len(data) // 2] ^= 1
        (place / "graph.onnx").write_bytes(data)
    elif how == "not a number":
        graph = onnx.load(place / "graph.onnx")
        weights = max(graph.graph.initializer, key=lambda t: len(t.raw_data))
        weights.raw_data = np.full(len(weights.raw_data) // 4, np.nan, np.float32).tobytes()
        onnx.save(graph, place / "graph.onnx")
        bundle.seal(place, **info)
    elif how == "another shape":
        text = (place / "signature.json").read_text().replace('"height": 8', '"height": 9')
        (place / "signature.json").write_text(text)
        bundle.seal(place, **info)
    elif how == "other answers":
        golden = json.loads((place / "golden.json").read_bytes())
        golden["answers"] = golden["answers"][1:] + golden["answers"][:1]
        (place / "golden.json").write_text(json.dumps(golden))
        bundle.seal(place, **info)
    return place


BROKEN = ["half copied", "without a file", "flipped bit", "not a number", "another shape", "other answers"]


@pytest.fixture
def live(tmp_path, digits_bundle) -> Live:
    """A live directory whose only version answers."""
    made = Live.create(tmp_path / "live" / "digits")
    made.add(digits_bundle, "first")
    made.route({"1": 1})
    return made


@pytest.fixture
def serve():
    made = []

    def make(*homes, **options) -> Core:
        chosen = Options(threads=1, watch=0, **options)
        models = [Model(home, chosen) for home in homes]
        for model in models:
            model.start()
        made.append(Core(models, chosen))
        return made[-1]

    yield make
    for core in made:
        core.close()


def post(at: int = 0, path: str = "/predict") -> Request:
    return Request("POST", path, {"content-type": "image/png"}, PICTURES[at % 12])


def versions(core: Core, count: int, path: str = "/predict") -> Counter:
    """Who answered so many requests."""

    async def some():
        return await asyncio.gather(*(core.handle(post(at, path)) for at in range(count)))

    responses = asyncio.run(some())
    assert {r.status for r in responses} == {200}
    return Counter(r.document["version"] for r in responses)


def test_several_models_and_versions_at_once(serve, digits_bundle):
    core = serve(Fixed("a", [digits_bundle, digits_bundle]), Fixed("b", [digits_bundle]))
    assert versions(core, 5) == {"1": 5}
    assert versions(core, 5, "/models/a/versions/2/predict") == {"2": 5}
    assert versions(core, 5, "/models/b/predict") == {"1": 5}
    assert ask(core, "/models/c/predict", b"x").status == 404
    assert ask(core, "/models/b/versions/2/predict", b"x").status == 404
    about = ask(core, "/").document
    assert (about["model"], about["models"], list(about["versions"])) == ("a", ["a", "b"], ["1", "2"])
    assert ask(core, "/models/b").document["shares"] == {"1": 1.0}
    rows = ask(core, "/v2/repository/index", b"{}").document
    assert [(r["name"], r["version"], r["state"]) for r in rows] == [
        ("a", "1", "READY"), ("a", "2", "READY"), ("b", "1", "READY"),
    ]  # fmt: skip


def test_places_become_models_in_their_order_and_no_two_have_one_name(live, tmp_path, digits_bundle):
    other = Live.create(tmp_path / "other" / "digits")
    plain, one, two = str(digits_bundle), str(live.path), str(other.path)
    assert [home.name for home in homes([plain, one, plain], "m")] == ["m", "digits"]
    (fixed,) = homes([plain, plain], "")
    assert list(fixed.state().versions) == ["1", "2"]
    for places, name in (([one, two], ""), ([one, plain], "digits"), ([plain, one], "digits")):
        with pytest.raises(DeepenError, match="digits: .* and .* have the same name"):
            homes(places, name)
    with pytest.raises(DeepenError, match="a/b: a slash"):
        homes([plain], "a/b")


def test_a_canary_gets_its_share(serve, digits_bundle):
    random.seed(0)
    core = serve(Fixed("m", [digits_bundle, digits_bundle]))
    response = ask(core, "/models/m/route", b'{"shares": {"1": 0.9, "2": 0.1}}')
    assert (response.status, response.document) == (200, {"shares": {"1": 0.9, "2": 0.1}, "shadow": ""})
    found = versions(core, 1000)
    assert 70 < found["2"] < 130
    assert ask(core, "/models/m/rollback", method="POST").document["shares"] == {"1": 1.0}
    assert versions(core, 50) == {"1": 50}
    refused = ask(core, "/models/m/rollback", method="POST")
    assert (refused.status, refused.document["code"]) == (409, "live.rollback")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{}", 400, "missing required field `shares`"),
        (b"[", 400, "expected"),
        (b'{"shares": {"1": 1}, "more": 1}', 400, "more"),
        (b'{"shares": {"1": "x"}}', 400, "Expected `float`"),
        (b'{"shares": {"9": 1}}', 409, "no version '9'"),
        (b'{"shares": {"1": -1}}', 409, "each above 0"),
        (b'{"shares": {"1": 1}, "shadow": "1"}', 409, "answers and is a shadow"),
    ],
)
def test_a_change_that_makes_no_sense_changes_nothing(serve, digits_bundle, body, status, text):
    core = serve(Fixed("m", [digits_bundle]))
    response = ask(core, "/models/m/route", body)
    assert response.status == status
    assert text in response.document["error"]
    assert versions(core, 3) == {"1": 3}


def test_changes_need_the_token(serve, digits_bundle):
    core = serve(Fixed("m", [digits_bundle]), token="secret")
    paths = ["/models/m/route", "/models/m/rollback", "/v2/repository/models/m/load", "/v2/repository/models/m/unload"]
    for path in paths:
        assert ask(core, path, b"{}").status == 401
        assert ask(core, path, b"{}", authorization="Bearer other").status == 401
    assert ask(core, paths[3], b"{}", authorization="Bearer secret").status == 200
    one = serve(Fixed("m", [digits_bundle]))
    for path in paths:
        assert ask(one, path, b"{}", host="evil.example").status == 403
        assert ask(one, path, b"{}", host="localhost:1", origin="http://evil.example").status == 403


def test_unloaded_and_loaded_again(serve, digits_bundle):
    core = serve(Fixed("m", [digits_bundle]), Fixed("n", [digits_bundle]))
    old = core.default.versions["1"]
    assert ask(core, "/v2/repository/models/m/unload", b"{}").status == 200
    assert ask(core, "/models/m/predict", PICTURES[0]).status == 404
    assert ask(core, "/v2/models/m/ready").status == 503
    assert ask(core, "/v2/health/ready").status == 200  # as it was asked for
    assert ask(core, "/docs").status == ask(core, "/metrics").status == ask(core, "/openapi.json").status == 200
    assert not old.batcher._open
    assert versions(core, 2, "/models/n/predict") == {"1": 2}
    assert ask(core, "/v2/repository/models/m/load", b"{}").status == 200
    assert versions(core, 2) == {"1": 2}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_version_never_answers(serve, live, tmp_path, how):
    core = serve(live)
    before = core.default.versions["1"]
    version = live.add(changed(live.bundle("1"), tmp_path / "next", how))
    live.route({version: 1})
    refused = asyncio.run(core.default.follow())
    assert len(refused) == 1
    assert version in refused[0]
    assert core.default.versions == {"1": before}
    assert versions(core, 3) == {"1": 3}
    state = live.state()
    assert state.versions[version].refused
    assert state.route.shares == {"1": 1}
    assert live.events()[-1]["what"] == "refused"


def test_a_first_version_that_is_not_fit_is_told_at_the_start(tmp_path, digits_bundle):
    bad = changed(digits_bundle, tmp_path / "bad", "flipped bit")
    with pytest.raises(DeepenError, match="not what the manifest says"):
        Model(Fixed("m", [bad]), Options()).start()
    model = Model(Fixed("m", [digits_bundle, bad]), Options(threads=1))
    model.start()
    assert list(model.versions) == ["1"]
    model.versions["1"].close()


def test_over_http_too_what_is_not_fit_is_refused(serve, tmp_path, digits_bundle, caplog):
    good = changed(digits_bundle, tmp_path / "good", "fit")
    core = serve(Fixed("m", [digits_bundle, good]))
    shutil.rmtree(good)
    changed(digits_bundle, good, "other answers")
    response = ask(core, "/v2/repository/models/m/load", b"{}")
    assert (response.status, response.document["code"]) == (409, "model.refused")
    assert "golden answers differ" in response.document["error"]
    assert versions(core, 2) == {"1": 2}
    again = ask(core, "/models/m/route", b'{"shares": {"2": 1}}')
    assert again.status == 409
    for told in (response, again):
        assert "model 'm': " in told.document["error"]
        assert str(tmp_path) not in told.document["error"]
    assert f"{good}: golden answers differ" in caplog.text


@pytest.mark.parametrize("how", ["flipped bit", "half copied"])
def test_a_load_that_fails_tells_model_and_reason_but_no_path_of_the_server(
    serve, tmp_path, digits_bundle, caplog, how
):
    place = changed(digits_bundle, tmp_path / "mine", "fit")
    core = serve(Fixed("m", [place]))
    shutil.rmtree(place)
    changed(digits_bundle, place, how)
    response = ask(core, "/v2/repository/models/m/load", b"{}")
    assert (response.status, response.document["code"]) == (409, "bundle.damaged")
    assert response.document["error"].startswith("model 'm': graph.onnx: its content is not what the manifest says")
    assert f"{place}/graph.onnx" in caplog.text
    core.default.broken = f"{place}: gone"
    assert ask(core, "/v2/repository/index", b"{}").document[0]["reason"] == "model 'm': gone"


def swap(core: Core, live: Live, tmp_path: Path, times: int) -> None:
    """New versions, every fifth of them broken, while four clients never stop asking."""
    draw = random.Random(0)
    ended = False
    answered: Counter = Counter()
    wrong = []
    right = [a["label"] for a in core.default.versions["1"].predictor(PICTURES)]

    async def client(at: int) -> None:
        while not ended:
            response = await core.handle(post(at))
            if response.status != 200 or response.document["answers"][0]["label"] != right[at % 12]:
                wrong.append(response.data)
                return
            answered[response.document["version"]] += 1
            at += 1
            await asyncio.sleep(0)

    async def changes() -> None:
        nonlocal ended
        follow = Follow(core.default, live)
        serving = "1"
        for number in range(times):
            how = draw.choice(BROKEN) if number % 5 == 4 else "fit"
            version = live.add(changed(live.bundle(serving), tmp_path / f"next{number}", how), f"run{number}")
            live.route({version: 1} if number % 2 else {version: 0.5, serving: 0.5})
            await follow.look()
            fit = how == "fit"
            assert (version in core.default.versions) is fit
            serving = version if fit else serving
        ended = True

    async def all_of_it() -> None:
        await asyncio.gather(changes(), *(client(at) for at in range(4)))

    asyncio.run(all_of_it())
    assert not wrong
    assert len(answered) >= times * 0.7
    assert all(version.active == 0 for version in core.default.versions.values())


def test_versions_change_under_load_and_nobody_notices(serve, live, tmp_path):
    swap(serve(live, sample=0), live, tmp_path, 5)


def test_an_old_version_drains_before_it_ends(serve, live, tmp_path):
    core = serve(live)
    old = core.default.versions["1"]
    live.route({live.add(changed(live.bundle("1"), tmp_path / "next", "fit")): 1})

    async def both() -> None:
        old.active += 1  # a request under way
        await core.default.follow()
        assert old.retired
        assert old.batcher._open
        arrays = old.predictor.encode([PICTURES[0]])
        (result,) = await old.ask([Part(arrays, 1)], True, time.monotonic() + 9, False)
        assert result.answers == old.predictor([PICTURES[0]])
        old.release()
        assert not old.batcher._open

    asyncio.run(both())


def test_a_shadow_is_compared_and_never_returned(serve, tmp_path, digits_bundle, monkeypatch):
    core = serve(Fixed("m", [digits_bundle, digits_bundle]))
    assert ask(core, "/models/m/route", b'{"shares": {"1": 1}, "shadow": "2"}').status == 200
    shadow = core.default.versions["2"]
    monkeypatch.setattr(shadows, "AGAIN", 1)
    decode = shadow.predictor.decode
    wrong = json.loads(json.dumps(shadow.predictor([PICTURES[0]])))[0]

    async def some(count: int) -> None:
        for at in range(count):
            response = await core.handle(post(at))
            assert response.document["version"] == "1"
            assert response.document["answers"][0] != wrong or at == 0
        while core.shadow.tasks:
            await asyncio.sleep(0)

    asyncio.run(some(6))
    assert shadow.tally.shadow == {"compared": 6}
    assert shadow.tally.own.total() == shadow.tally.others.total() == 6
    assert all(before == now for before, now in shadow.tally.moving.sketches().values())
    assert shadow.tally.gap < 1e-5
    assert shadow.active == core.default.versions["1"].active == 0
    monkeypatch.setattr(shadow.predictor, "decode", lambda known: [{**wrong, "label": "?"} for _ in decode(known)])
    asyncio.run(some(3))
    assert shadow.tally.shadow == {"compared": 9, "different": 3}
    monkeypatch.setattr(shadow.predictor, "decode", lambda known: 1 / 0)
    asyncio.run(some(2))
    assert shadow.tally.shadow == {"compared": 9, "different": 3, "failed": 2}
    monkeypatch.setattr(shadows, "MOST", 0)
    asyncio.run(some(1))
    assert shadow.tally.shadow["skipped"] == 1
    assert shadow.tally.items == 0


def test_samples_and_pulse_of_a_live_model(serve, live):
    core = serve(live, sample=1.0)
    beat = Beat(core, core.default, live)

    async def some() -> list[str]:
        found = [await core.handle(post(at)) for at in range(5)]
        found.append(await core.handle(Request("POST", "/predict", {}, b"junk")))
        await beat.look()
        return [r.headers["x-request-id"] for r in found[:5]]

    names = asyncio.run(some())
    core.observers["digits"].close()
    samples = list(live.samples())
    assert [s.id for s in samples] == names
    predictor = core.default.versions["1"].predictor
    for at, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.arrays()["image"], predictor.encode([PICTURES[at]])["image"])
        assert sample.answers[0]["label"] == predictor([PICTURES[at]])[0]["label"]
        p = predictor.run(sample.arrays())["probabilities"].astype(np.float64)
        assert sample.uncertainty == pytest.approx([-(p * np.log(p)).sum() / np.log(10)], abs=1e-6)
        assert (sample.version, sample.run, sample.share, sample.items) == ("1", sample.run, 1.0, 1)
        assert 0 < sample.latency < 5
    (pulse,) = live.pulse()
    assert (pulse.requests, pulse.items, pulse.errors, pulse.versions) == (6, 5, {"item.invalid": 1}, {"1": 5})
    assert set(pulse.latency) == {"p50", "p95", "p99"}
    assert pulse.memory > 1 << 20


def test_the_pulse_tells_of_a_shadow_and_of_versions_that_left(serve, live, digits_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(shadows, "AGAIN", 1)
    other = shutil.copytree(digits_bundle, tmp_path / "other")
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + "\n")
    live.route({"1": 1}, shadow=live.add(other))
    core = serve(live)
    beat = Beat(core, core.default, live)

    async def some(count: int) -> None:
        for at in range(count):
            await core.handle(post(at))
        await core.handle(Request("POST", "/predict", {}, b"junk"))
        while core.shadow.tasks:
            await asyncio.gather(*core.shadow.tasks)

    async def story() -> None:
        await some(5)
        await beat.look()
        await some(3)
        live.route({"2": 1})
        await core.default.follow()
        await some(2)
        await beat.look()

    asyncio.run(story())
    first, second = live.pulse()
    assert {k: v for k, v in first.shadow["2"].items() if k != "seconds"} == {"compared": 5}
    assert 0 < first.shadow["2"]["seconds"] < 10
    assert second.shadow["2"]["compared"] == 3
    for pulse, compared, items in ((first, 5, 5), (second, 3, 8)):
        beside = pulse.beside["2"]
        assert (sum(beside.own.values()), sum(beside.others.values()), beside.items) == (compared, compared, items)
        assert set(beside.answers) == {"class", "confidence"}
    assert second.versions == {"1": 3, "2": 2}
    assert (second.requests, second.items, second.errors) == (7, 5, {"item.invalid": 2})


def test_a_shadow_is_asked_the_share_that_the_route_says(serve, live, digits_bundle, tmp_path):
    other = shutil.copytree(digits_bundle, tmp_path / "other")
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + "\n")
    live.route({"1": 1}, shadow=live.add(other), asked=0.25)
    model = serve(live).default
    one, two = model.versions["1"], model.versions["2"]
    asked = [model.beside(one) for _ in range(2000)]
    assert 400 < asked.count(two) < 600
    assert set(asked) == {two, None}
    assert {model.beside(two) for _ in range(99)} == {None}
    live.refuse("2", "it may not")
    asyncio.run(model.follow())
    assert {model.beside(one) for _ in range(99)} == {None}


def test_samples_say_which_item_of_their_request_they_are(serve, live):
    core = serve(live, sample=1.0, max_batch_size=2)
    body = json.dumps({"items": [base64.b64encode(p).decode() for p in PICTURES[:5]]}).encode()
    assert ask(core, "/predict", body, content_type="application/json").status == 200
    core.observers["digits"].close()
    samples = list(live.samples())
    assert [(s.row, s.of) for s in samples] == [(row, 5) for row in range(5)]
    predictor = core.default.versions["1"].predictor
    for sample in samples:
        np.testing.assert_array_equal(sample.arrays()["image"], predictor.encode([PICTURES[sample.row]])["image"])
        assert sample.raw is None  # what is encoded is all there is to a picture


def test_what_no_version_answers_is_in_the_pulse_of_its_model(serve, live, monkeypatch):
    core = serve(live, sample=0)
    beat = Beat(core, core.default, live)

    async def story() -> None:
        core.default.broken = "golden answers differ"
        for at in range(3):
            assert (await core.handle(post(at))).status == 503
        core.default.broken = ""
        monkeypatch.setattr(cores, "MOST_REQUESTS", 0)
        assert (await core.handle(post())).status == 429
        assert (await core.handle(post(path="/models/other/predict"))).status == 404
        assert (await core.handle(Request("GET", "/models/digits/rollback", {}))).status == 405
        await beat.look()
        await beat.look()

    asyncio.run(story())
    first, second = live.pulse()
    assert first.errors == {"model.broken": 3, "request.overload": 1}
    assert (first.requests, first.items, second.requests, second.errors) == (4, 0, 0, {})
    assert core.errors == {"request.model": 1, "request.method": 1}
    text = ask(core, "/metrics").data.decode()
    assert 'deepen_errors_total{model="digits",version="",code="model.broken"} 3' in text
    assert 'deepen_errors_total{model="",version="",code="request.model"} 1' in text


def test_only_a_share_is_sampled_and_a_flood_is_dropped(serve, live, monkeypatch):
    random.seed(1)
    core = serve(live, sample=0.2)
    observer = core.observers["digits"]
    drawn = sum(len(observer.draw(10)) for _ in range(200))
    assert 330 < drawn < 470
    monkeypatch.setattr("deepen.serving.observer.MOST", 3)
    version = core.default.versions["1"]
    arrays = version.predictor.encode(PICTURES[:5])
    monkeypatch.setattr(observer, "_write", lambda: None)  # nothing is taken meanwhile
    for dropped in (0, 4):  # the first waits alone
        observer.observe(Seen(version, Part(arrays, 5), [0, 1, 2, 3], [{}] * 5, 0.1, "x", 0.0, 0, 5))
        assert observer.dropped == dropped


def test_what_changed_between_loading_and_the_first_look_is_followed(serve, live, tmp_path):
    core = serve(live)
    version = live.add(changed(live.bundle("1"), tmp_path / "next", "fit"), "next")
    live.route({version: 1})
    asyncio.run(Follow(core.default, live).look())
    assert list(core.default.versions) == [version]


def test_a_full_disk_stops_the_record_not_the_service(serve, live, monkeypatch, caplog):
    core = serve(live, sample=1.0)

    def full(samples):
        raise DeepenError("store.full", "x", "no room")

    monkeypatch.setattr(live, "keep", full)
    assert versions(core, 3) == {"1": 3}
    core.observers["digits"].close()
    assert core.observers["digits"].dropped == 3
    assert "samples are lost" in caplog.text
