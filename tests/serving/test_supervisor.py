"""A service that is killed, frozen or orphaned: the socket stays, the next worker answers, nothing is left behind."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from deepen.serving.supervisor import Supervisor
from deepen.store.live import Live
from tests.serving.test_http import PICTURES, answer, post

pytest.importorskip("httptools")
grpc = pytest.importorskip("grpc")

HASTE = (
    "from deepen.serving import supervisor; supervisor.SILENT = {silent}; supervisor.STOP = {stop}; from deepen.cli import main; import sys;"
    "sys.exit(main({words}))"
)


class Service:
    """`deepen serve` under its supervisor."""

    def __init__(self, *words: str, silent: float = 30, stop: float = 12, wait: bool = True) -> None:
        code = HASTE.format(silent=silent, stop=stop, words=repr(["serve", *words, "port=0"]))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        if wait:
            self.port = int(self.until("ready").split()[1].rsplit(":", 1)[1])
            self.grpc = self.until("grpc").split()[1].removeprefix("grpc://") if "grpc=0" in words else ""

    def until(self, word: str) -> str:
        for line in iter(self.process.stdout.readline, ""):
            self.lines.append(line)
            if line.startswith(word):
                return line
        raise AssertionError((self.lines, self.process.stderr.read()))

    def worker(self) -> int:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert len(found) == 1
        return int(found[0])

    def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        with socket.create_connection(("127.0.0.1", self.port), 30) as link:
            link.sendall(request)
            return answer(link)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode


READY = b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n"


def loaded(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_a_closed_terminal_does_not_hurry_a_worker():
    passed = []
    one = Supervisor({}, [], lambda: None)
    one.worker = SimpleNamespace(send_signal=passed.append)
    one._pass_on(bytes([signal.SIGTERM]))
    assert not passed  # nobody asked to stop
    one.asked = True
    for numbers in ([signal.SIGHUP], [signal.SIGHUP] * 2, [signal.SIGINT], [signal.SIGHUP, signal.SIGTERM]):
        one._pass_on(bytes(numbers))
    assert passed == [signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGTERM]


@pytest.mark.parametrize(
    ("answered", "pauses"),
    [
        ([True] * 50, [0.0] * 50),  # killed each time it had begun to answer
        ([True, False, False, False, False, False, False, False], [0, 0, 0, 2, 4, 8, 15, 15]),
        ([False, False, True, False, False, False], [0, 0, 0, 0, 0, 2]),
    ],
)
def test_only_workers_that_never_answered_are_followed_by_a_pause(answered, pauses):
    one = Supervisor({}, [], lambda: None)
    assert [one.pause(each) for each in answered] == pauses


@pytest.mark.slow
def test_killed_ten_times_and_never_refused(digits_bundle):
    rounds(digits_bundle, 10)


def test_a_worker_that_is_killed_or_told_to_stop_is_replaced_and_no_connection_refused(digits_bundle):
    rounds(digits_bundle, 2)


def rounds(place: Path, times: int) -> None:
    one = Service(str(place), "grpc=0")
    for library in ("torch", "onnxruntime", "numpy", "uvloop"):
        assert library not in loaded(one.process.pid)
    assert "onnxruntime" in loaded(one.worker())
    ended = threading.Event()
    refused: list[OSError] = []

    def client() -> None:
        """Connects again and again: it may be cut off, but never refused."""
        while not ended.is_set():
            try:
                one.ask(READY)
            except ConnectionRefusedError as problem:
                refused.append(problem)
            except OSError:
                pass

    thread = threading.Thread(target=client)
    thread.start()
    try:
        for number in range(times):
            replaced(one, signal.SIGTERM if number % 2 else signal.SIGKILL)
    finally:
        ended.set()
        thread.join(30)
        code = one.stop()
    assert (refused, code) == ([], 0)


def replaced(one: Service, how: int) -> None:
    """End its worker: who calls while there is none waits for the next."""
    old = one.worker()
    os.kill(old, how)
    one.until("restart")
    with grpc.insecure_channel(one.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        assert live(b"", timeout=30) == b"\x08\x01"
    status, _, body = one.ask(post(PICTURES[0]))
    assert (status, len(json.loads(body)["answers"])) == (200, 1)
    assert one.worker() != old


def test_a_frozen_worker_is_replaced(digits_bundle):
    one = Service(str(digits_bundle), silent=2)
    old = one.worker()
    os.kill(old, signal.SIGSTOP)
    assert "no sign of life for 2 s" in one.until("restart")
    assert one.ask(READY)[0] == 200
    assert not Path(f"/proc/{old}").exists()
    assert one.stop() == 0


def test_a_worker_that_does_not_end_when_told_is_killed(digits_bundle):
    one = Service(str(digits_bundle), stop=0.5)
    worker = one.worker()
    assert os.getpgid(worker) != os.getpgid(one.process.pid)  # Ctrl-C reaches it through its supervisor alone
    os.kill(worker, signal.SIGSTOP)
    start = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - start < 10
    assert not Path(f"/proc/{worker}").exists()


def test_without_its_supervisor_a_worker_ends_and_frees_the_port(digits_bundle):
    one = Service(str(digits_bundle))
    worker_ended = os.pidfd_open(one.worker())
    one.process.kill()
    one.process.communicate(timeout=30)  # both hold the output: it ends with the last of them
    assert select.select([worker_ended], [], [], 30)[0]
    os.close(worker_ended)
    with socket.create_server(("127.0.0.1", one.port)):
        pass


def test_a_mistake_is_told_as_without_a_supervisor(digits_bundle, tmp_path):
    bad = shutil.copytree(digits_bundle, tmp_path / "bad")
    (bad / "graph.onnx").write_bytes(b"junk")
    one = Service(str(bad), wait=False)
    _, told = one.process.communicate(timeout=60)
    assert one.process.returncode == 2
    assert told.startswith(f"error: {bad / 'graph.onnx'}: its content is not what the manifest says.")
    assert "Traceback" not in told


@pytest.mark.slow
def test_where_no_worker_can_start_it_says_503(digits_bundle, tmp_path):
    place = shutil.copytree(digits_bundle, tmp_path / "b")
    one = Service(str(place))
    graph = (place / "graph.onnx").read_bytes()
    (place / "graph.onnx").write_bytes(b"junk")
    os.kill(one.worker(), signal.SIGKILL)
    for _ in range(3):
        one.until("restart")
    status, headers, body = one.ask(READY)
    assert (status, headers["connection"]) == (503, "close")
    assert json.loads(body)["code"] == "service.restarting"
    (place / "graph.onnx").write_bytes(graph)
    end = time.monotonic() + 60
    while time.monotonic() < end and one.ask(READY)[0] != 200:
        pass
    assert one.ask(READY)[0] == 200
    assert one.stop() == 0


def test_a_live_directory_outlives_the_service_and_another_joins_it(digits_bundle, tmp_path):
    place = tmp_path / "live" / "digits"
    one = Service(str(digits_bundle), f"live={place}", "sample=1")
    assert one.ask(post(PICTURES[0]))[0] == 200
    copy = shutil.copytree(digits_bundle, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_bytes())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "run": "next"}))
    again = subprocess.run(
        [sys.executable, "-m", "deepen", "serve", str(copy), f"live={place}", "share=0.25", "--json"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "a server that runs on it follows" in again.stderr
    assert json.loads(again.stdout) == {"live": str(place)}
    taken = subprocess.run(
        [sys.executable, "-m", "deepen", "serve", str(place)], capture_output=True, text=True, timeout=60
    )
    assert (taken.returncode, "another server serves from it" in taken.stderr) == (2, True)
    end, about = time.monotonic() + 60, {}
    while time.monotonic() < end and about.get("shares") != {"1": 0.75, "2": 0.25}:
        about = json.loads(one.ask(READY.replace(b"/health/ready", b"/models/digits"))[2])
    assert about["versions"]["2"] == "next"
    os.kill(one.worker(), signal.SIGKILL)
    one.until("restart")
    assert one.ask(READY)[0] == 200
    assert one.stop() == 0
    assert [e["times"] for e in Live.open(place).events() if e["what"] == "restarted"] == [1]
    assert [s.version for s in Live.open(place).samples()] == ["1"]
    assert Live.open(place).occupy() is not None
