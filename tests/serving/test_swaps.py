"""Versions change under load over sockets: no request fails, and none is answered by two versions at once."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from deepen import bundle
from deepen.store.live import Live
from tests.serving.conformance.client import Target
from tests.serving.test_growth import settled
from tests.serving.test_http import PICTURES, Server
from tests.serving.test_models import BROKEN, changed

pytest.importorskip("grpc")
Answers = Generator[tuple[str, list[str]], None, None]  # the version that answered, and the labels of all pictures
SOON = "from deepen.serving import background; background.FOLLOW = 0.05"


def marked(source: Path, place: Path, number: int) -> Path:
    """A bundle whose class names tell which it is."""
    shutil.copytree(source, place)

    def named(name: str) -> str:
        return f"{number}-{name}"

    signature = json.loads((place / "signature.json").read_text())
    signature["outputs"][0]["classes"] = [*map(named, signature["outputs"][0]["classes"])]
    golden = json.loads((place / "golden.json").read_text())
    for one in golden["answers"]:
        one["label"] = named(one["label"])
        one["probabilities"] = {named(name): value for name, value in one["probabilities"].items()}
    for file, document in (("signature.json", signature), ("golden.json", golden)):
        (place / file).write_text(json.dumps(document))
    manifest = json.loads((place / "manifest.json").read_text())
    bundle.seal(place, **{k: v for k, v in manifest.items() if k not in {"format", "files"}})
    return place


class Load:
    """Four clients that never stop asking. `wrong`: what was not as it must be; `seen`: client -> mark -> answers."""

    def __init__(self, server: Server, source: Path) -> None:
        predictor = bundle.predictor(source, 1)
        self.right = [answer["label"] for answer in predictor(PICTURES)]
        self.arrays = predictor.encode(PICTURES)["image"]
        self.marks = {"1": "0"}  # version -> mark
        self.wrong: list[str] = []
        self.seconds: list[float] = []
        self.seen: list[Counter[str]] = [Counter() for _ in range(4)]
        self.ended = threading.Event()
        ways = (self.predicted(server), self.inferred(server), self.called(server), self.called(server))
        self.threads = [threading.Thread(target=self.ask, args=(at, way)) for at, way in enumerate(ways)]
        for thread in self.threads:
            thread.start()

    def ask(self, at: int, way: Answers) -> None:
        """Ask again and again, and look at what comes: the version, and the labels of all twelve pictures."""
        try:
            while not self.ended.is_set():
                start = time.monotonic()
                version, labels = next(way)
                self.seconds.append(time.monotonic() - start)
                marks = {label.split("-")[0] for label in labels}
                if marks != {self.marks[version]} or [label.split("-")[1] for label in labels] != self.right:
                    self.wrong.append(f"version {version}: {labels}")
                self.seen[at][self.marks[version]] += 1
        except Exception as problem:
            self.wrong.append(f"client {at}: {problem!r}")
        finally:
            way.close()

    def stop(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(30)

    def predicted(self, server: Server) -> Answers:
        body = json.dumps({"items": [base64.b64encode(one).decode() for one in PICTURES]})
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as link:
            while True:
                link.request("POST", "/predict", body, {"content-type": "application/json"})
                found = json.loads(link.getresponse().read())
                yield found["version"], [answer["label"] for answer in found["answers"]]

    def inferred(self, server: Server) -> Answers:
        one = {"name": "image", "shape": self.arrays.shape, "datatype": "UINT8", "data": self.arrays.ravel().tolist()}
        wanted = [{"name": "probabilities", "parameters": {"classification": 1}}]
        body = json.dumps({"inputs": [one], "outputs": wanted})
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as link:
            while True:
                link.request("POST", "/v2/models/digits/infer", body)
                found = json.loads(link.getresponse().read())
                yield found["model_version"], [text.split(":", 2)[2] for text in found["outputs"][0]["data"]]

    def called(self, server: Server) -> Answers:
        target = Target(server.address, server.grpc)
        request = target.message()
        request.inputs[0].shape[:] = self.arrays.shape
        request.raw_input_contents[0] = self.arrays.tobytes()
        request.outputs.add(name="probabilities").parameters["classification"].int64_param = 1
        with closing(target.link), target.channel:
            while True:
                found = target.rpc("ModelInfer", request)
                yield found.model_version, [text.split(":", 2)[2] for text in target.raw(found)["probabilities"].flat]


def until(true: Callable[[], object], load: Load) -> None:
    end = time.monotonic() + 30
    while not true():
        assert not load.wrong, load.wrong[:3]
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    "times", [pytest.param(50, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.proof)]
)
def test_versions_change_under_load_over_sockets(digits_bundle, tmp_path, times):
    live = Live.create(tmp_path / "live" / "digits")
    live.add(marked(digits_bundle, tmp_path / "0", 0))
    live.route({"1": 1})
    server = Server(live.path, "grpc=0", "sample=0", "threads=1", "max_batch_size=8", before=SOON)
    load = Load(server, digits_bundle)
    serving, broken = "1", 0
    try:
        until(lambda: all(sum(seen.values()) > 100 for seen in load.seen), load)
        before, steady = settled(server.process.pid), len(load.seconds)
        for number in range(1, times + 1):
            fit = number % 10 != 5
            place = marked(digits_bundle, tmp_path / str(number), number)
            if not fit:
                place, broken = changed(place, tmp_path / f"{number}b", BROKEN[broken % len(BROKEN)]), broken + 1
            version = str(max(map(int, live.state().versions)) + 1)
            load.marks[version] = str(number)  # before anybody can be answered by it
            assert live.add(place, str(number)) == version
            live.route({version: 1} if number % 2 else {version: 0.5, serving: 0.5})
            if fit:
                until(lambda mark=str(number): all(seen[mark] for seen in load.seen), load)
                serving = version
            else:
                until(lambda version=version: live.state().versions[version].refused, load)
                assert not any(seen[str(number)] for seen in load.seen)
            for used in tmp_path.glob(f"{number}*"):
                shutil.rmtree(used)
        after = settled(server.process.pid)
    finally:
        load.stop()
        code, _ = server.stop()
    first, rest = (1000 * np.percentile(part, 99) for part in (load.seconds[:steady], load.seconds[steady:]))
    print(f"{len(load.seconds)} answers, p99 {first:.1f} -> {rest:.1f} ms; {before} -> {after}; {broken} broken")
    assert (code, load.wrong, broken) == (0, [], times // 10)
    assert after.memory - before.memory <= 20 << 20
