"""The closed loop around a real server under load: nobody notices a promotion; killed anywhere, the loop goes on."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen.errors import DeepenError
from deepen.preprocess.image import png
from deepen.sources.digits import Digits
from deepen.store.live import Live
from deepen.store.loop import Ledger
from deepen.store.run import Run
from tests.stages.test_loop import TERMS, WHOLE, asked, beat, trained

pytest.importorskip("httptools")
__all__ = ["trained"]  # a fixture

# the same server, but it looks at its directory more often
SERVER = """
import sys
from deepen.serving import background
background.FOLLOW = 0.05
from deepen.cli import main
sys.exit(main(["serve", sys.argv[1], "port=0", "sample=1", "pulse=0.2", "supervise=false"]))
"""
LIVELY = {**TERMS, "wait": 60, "every": 0.05}


class Service:
    """A server on a live directory, and a client that asks it for inverted digits without a pause."""

    def __init__(self, live: Path) -> None:
        words = [sys.executable, "-c", SERVER, str(live)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout
        line = next(line for line in self.process.stdout if line.startswith("ready"))
        self.address = line.split()[1]
        pictures = Digits().read().inputs["image"][700:1700]
        self.files = [png(255 - picture) for picture in pictures]
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self.ended = threading.Event()
        self.client = threading.Thread(target=self._ask)
        self.client.start()

    def _ask(self) -> None:
        for at in range(10**9):
            if self.ended.is_set():
                return
            request = urllib.request.Request(
                f"{self.address}/predict", self.files[at % len(self.files)], {"Content-Type": "image/png"}
            )
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    self.answered[response.read().decode().rsplit('"version":', 1)[1].strip(' "}')] += 1
            except (OSError, urllib.error.URLError) as problem:
                self.failed.append(str(problem))

    def stop(self) -> int:
        self.ended.set()
        self.client.join()
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def place(trained: Run, tmp_path: Path) -> Iterator[Path]:
    """photos/ and live/digits/, with one version."""
    shutil.copytree(trained.path.parents[1] / "photos", tmp_path / "photos")
    live = Live.create(tmp_path / "live" / "digits")
    live.route({live.add(trained.path / "exports" / "onnx", trained.id): 1.0})
    return tmp_path


def promoted_under_load(place: Path) -> None:
    live = place / "live" / "digits"
    service = Service(live)
    try:
        found = deepen.loop(str(live), str(place / "photos"), **LIVELY)
    finally:
        code = service.stop()
    assert found["state"] == "kept"
    assert service.failed == []
    assert set(service.answered) == {"1", "2"}
    assert service.answered["2"] >= TERMS["hold"]
    compared = next(line for line in found["steps"] if line["step"] == "compared")
    assert compared["items"] >= TERMS["compare"]
    assert compared["agreement"] < 0.9  # on what has drifted they ought to differ
    assert code == 0


@pytest.mark.slow
def test_no_request_fails_while_a_better_version_is_promoted(place):
    promoted_under_load(place)


@pytest.mark.slow
@pytest.mark.parametrize("time", range(20))
def test_not_once_in_twenty_times(place, time):
    promoted_under_load(place)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_instants_it_ends_as_if_never_killed(place, seed):
    """kill -9 after a random while, again and again; each life goes on where the last one ended."""
    draw = random.Random(seed)
    path = place / "live" / "digits"
    live = Live.open(path)
    asked(live)
    words = [f"{key}={value}" for key, value in {**TERMS, "wait": 60, "every": 0.05}.items()]
    kills = 0
    for life in range(60):
        child = subprocess.Popen(
            [sys.executable, "-m", "deepen", "loop", str(path), str(place / "photos"), *words],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        end = time.monotonic() + (draw.uniform(0.3, 1.5 + life / 2) if life < 12 else 60)
        while child.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
            if live.state().route.shadow or live.state().route.shares == {"2": 1.0}:
                beat(live, 5)
        if child.poll() is None:
            child.kill()
            kills += 1
        _, told = child.communicate()
        assert child.returncode in {0, -9}, told
        if [line["step"] for line in Ledger(path).lines()] == WHOLE:
            break
    assert kills >= 3
    assert len(list((path / "rounds" / "1").glob("[!.]*/run.json"))) == 1
    assert len(list((place / "photos" / "unlabelled").glob("*.png"))) == 120
    events = [event["what"] for event in live.events() if event["what"] in {"routed", "rolled back"}]
    assert events == ["routed"] * 4
    assert live.state().route.shares == {"2": 1.0}
    run = Run.open(Ledger(path).lines()[3]["run"])
    assert run.info["state"] == "finished"
    assert len(np.unique(run.read_json("split.json")["train"])) == len(run.read_json("split.json")["train"])
    with pytest.raises(DeepenError):
        Run.open(path / "rounds" / "2")


def guessed(paths: list[str]) -> list[str]:
    """A labeller that does not look."""
    return [str(random.Random(label).randrange(10)) for label in paths]


FAILING: tuple[dict[str, object], ...] = (
    {"labeller": f"{__name__}:guessed"},
    {"epochs": 1, "lr": 1e-9},  # nothing is learnt
    {"lr": 1e9},  # it diverges
    {"hidden": [1]},
)


@pytest.mark.slow
@pytest.mark.parametrize("time", range(20))
def test_where_training_again_fails_the_version_before_goes_on_answering(place, time):
    live = place / "live" / "digits"
    service = Service(live)
    try:
        with pytest.raises(DeepenError) as told:
            deepen.loop(str(live), str(place / "photos"), **{**LIVELY, **FAILING[time % len(FAILING)]})
        answered = sum(service.answered.values())
        while sum(service.answered.values()) < answered + 20:
            assert not service.failed
    finally:
        code = service.stop()
    print(FAILING[time % len(FAILING)], told.value)
    assert (service.failed, set(service.answered), code) == ([], {"1"}, 0)
    assert Live.open(live).state().route.shares == {"1": 1.0}
