"""Labels under kill -9: four annotators who send some answers twice and repeat what was not acknowledged.

Nothing that was acknowledged is lost, nothing is there twice, and what is there is what was sent.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from deepen.store.dataset import Dataset, place
from tests.desks import photos

TOKEN = "t" * 24


class Server:
    """The server, killed and started again until the end."""

    def __init__(self, folder: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        path = os.pathsep.join(map(os.path.abspath, [*sys.path, str(Path(__file__).parents[2])]))
        self.words = [sys.executable, "-m", "tests.faults.labelling", folder, str(self.port), TOKEN]
        self.environment = {**os.environ, "PYTHONPATH": path}
        self.kills, self.start = (
            0,
            lambda: subprocess.Popen(self.words, env=self.environment, stdout=subprocess.DEVNULL),
        )
        self.process = self.start()

    def kill(self, again: bool = True) -> None:
        self.process.kill()
        self.process.wait()
        self.kills += again
        if again:
            self.process = self.start()


class Annotator(threading.Thread):
    """Labels until it has given `count` answers; keeps what was acknowledged."""

    def __init__(self, name: str, port: int, count: int) -> None:
        super().__init__()
        self.name_, self.port, self.count = name, port, count
        self.random = random.Random(name)
        self.sent: dict[str, tuple[str, str]] = {}  # key -> item, value: of what was acknowledged
        self.again = 0
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            item = self.ask("/api/next", {})["item"]
            while len(self.sent) < self.count:
                key, value = f"{self.name_}-{self.random.getrandbits(64):x}", str(self.random.randrange(4))
                body = {"key": key, "item": item["item"], "value": value}
                if self.random.random() < 0.1:  # a double click
                    self.ask("/api/answer", body)
                found = self.ask("/api/answer", body)
                self.sent[key] = (item["id"], value)
                if self.random.random() < 0.05:  # a second look, answered anew
                    item = self.ask("/api/undo", {"key": f"u{key}"})["item"]
                    self.sent[f"u{key}"] = ("undo", "")
                else:
                    item = found["item"]
        except BaseException as problem:
            self.problem = problem

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Until there is an answer, with the same key."""
        end = time.monotonic() + 60
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
                data = json.dumps({"holder": self.name_, "annotator": self.name_, **body})
                connection.request("POST", path, data, headers)
                response = connection.getresponse()
                text = response.read()
                assert response.status == 200, text
                return json.loads(text)
            except (OSError, http.client.HTTPException):
                self.again += 1
                assert time.monotonic() < end, "the server does not come back"
                threading.Event().wait(0.005)
            finally:
                connection.close()


def torture(count: int, kills: int, seed: int) -> dict[str, int]:
    """`count` answers by four annotators while the server is killed `kills` times."""
    folder = photos(count // 4 + 40)
    server = Server(folder)
    annotators = [Annotator(name, server.port, count // 4) for name in ("ann", "bob", "eve", "joe")]
    rng, done = random.Random(seed), lambda: sum(len(a.sent) for a in annotators)
    try:
        for annotator in annotators:
            annotator.start()
        for number in range(kills):  # each at some instant after its share of the work was done
            while done() < (number + rng.random()) * count / (kills + 1) and any(a.is_alive() for a in annotators):
                threading.Event().wait(0.002)
            server.kill()
        for annotator in annotators:
            annotator.join()
            if annotator.problem:
                raise annotator.problem
    finally:
        server.kill(again=False)
    with Dataset(place(folder)) as dataset:
        acts = dataset.table.rows("SELECT key, item, action, value, annotator FROM acts")
        standing = dataset.now()
    keys = [act[0] for act in acts]
    assert len(keys) == len(set(keys)), "twice"
    written = {key: (item, json.loads(value)) for key, item, action, value, _ in acts if action == "label"}
    for annotator in annotators:
        for key, (item, value) in annotator.sent.items():
            assert key in written or key in keys, f"lost: {key}"
            assert item == "undo" or written[key] == (item, value), f"changed: {key}"
    assert len(keys) == sum(len(a.sent) for a in annotators), "more than was acknowledged"
    standing_by_hand = sum(action == "label" for _, _, action, _, _ in acts) - sum(
        action == "undo" for _, _, action, _, _ in acts
    )
    assert sum(act.action == "label" for act in standing.acts()) == standing_by_hand
    return {"acts": len(keys), "kills": server.kills, "repeated": sum(a.again for a in annotators)}


def test_labels_under_kills():
    told = torture(200, kills=2, seed=int(time.time()))
    assert told["repeated"] > 0, "no kill hit anybody"
    print(told)


@pytest.mark.slow
def test_five_thousand_labels_under_kills():
    told = torture(5_000, kills=40, seed=int(time.time()))
    assert told["kills"] == 40
    print(told)
