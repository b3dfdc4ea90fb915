"""Servers under measurement: ours as it comes, the peers' as their documentation starts them, and what they cost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from benchmarks.asking import load
from benchmarks.pairs import PATH

PEERS = ("mlserver", "litserve", "bentoml")


class Server:
    """A process tree that answers on a port."""

    def __init__(self, command: list[str], port: int = 0) -> None:
        self.start = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE if not port else subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
            process_group=0, env={**os.environ, "PYTHONPATH": PATH},
        )  # fmt: skip
        self.port = port or self._told()

    def _told(self) -> int:
        for line in self.process.stdout or ():
            if line.startswith("ready"):
                return int(line.split()[1].rsplit(":", 1)[1])
        raise SystemExit("the server did not start")

    def calls(self) -> int:
        """The port for gRPC, which is told behind the other."""
        return int(next(line for line in self.process.stdout or () if line.startswith("grpc")).rsplit(":", 1)[1])

    def first(self, body: bytes, longest: float = 60) -> float:
        """Seconds from its start to its first answer."""
        while time.perf_counter() - self.start < longest:
            try:
                uvloop.run(load(self.port, [body], 1, 0.0))
                return time.perf_counter() - self.start
            except (OSError, AssertionError):
                time.sleep(0.01)
        raise TimeoutError

    def tree(self) -> list[int]:
        """The ids of its processes."""
        found = [self.process.pid]
        for one in found:
            place = Path(f"/proc/{one}/task/{one}/children")
            found += map(int, place.read_text().split()) if place.exists() else []
        return found

    def cpu(self) -> float:
        """CPU seconds so far, of all processes that live."""
        total = 0
        for one in self.tree():
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """MiB of memory, shared pages by their share."""
        texts = [Path(f"/proc/{one}/smaps_rollup").read_text() for one in self.tree()]
        return sum(int(text.split("\nPss:")[1].split()[0]) for text in texts) / 1024

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(15)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        if self.process.stdout:
            self.process.stdout.close()


class Busy:
    """A process that wants a core for itself.

    apart  in a session of its own: where Linux shares cores among sessions (autogroup) it gets one whole, be there
           however many threads in the server's
    """

    def __init__(self, apart: bool = False) -> None:
        self.apart = apart

    def __enter__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=self.apart)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def own(bundle: Path, *more: str) -> Server:
    return Server([sys.executable, "-m", "deepen", "serve", str(bundle), "port=0", "name=m", *more])


def peers(bundle: Path) -> dict[str, Callable[[], Server]]:
    """How to start the servers that $DEEPEN_SERVERS has."""
    python = os.environ.get("DEEPEN_SERVERS")
    found: dict[str, Callable[[], Server]] = {}
    for name in PEERS if python else ():
        if subprocess.run([str(python), "-c", f"import {name}"], capture_output=True).returncode == 0:
            script = Path(__file__).parent / "contenders" / f"serve_{name}.py"
            graph = str(bundle / "graph.onnx")
            found[name] = lambda script=script, graph=graph: _peer(str(python), script, graph)
    return found


def _peer(python: str, script: Path, graph: str) -> Server:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return Server([python, str(script), graph, str(port)], port)
