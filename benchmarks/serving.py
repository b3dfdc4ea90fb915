"""What the service costs over the bare model, and what other servers cost: encoded tensors over HTTP, one model process.

In every round, in turn and on the same machine: a loop over a bare ONNX Runtime session (batch 1, one thread: the
floor), `deepen serve` as it comes (supervisor, validation, metrics, deadlines on), and the servers that the Python of
$DEEPEN_SERVERS has: those take numbers in JSON only. The client is an event loop with ready-made bytes, in this process:
it shares the cores. On a machine that does other work rates mean little; CPU time of the server's processes per request
means more.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import uvloop

from benchmarks.pairs import PATH, Row

SECONDS = 2.0
TURNS = 3  # of each side of a comparison in a round of the large model
LARGE = 3  # rounds of it at the most: one takes a minute
SHAPES = {"lenet": (28, 28, 1), "resnet": (96, 96, 3)}
PEERS = ("mlserver", "litserve", "bentoml")
Found = dict[str, list[float]]


def make(place: Path, model: str = "lenet") -> Path:
    """A network with random weights as a bundle that has passed the gate."""
    import torch

    from deepen import gate, registry
    from deepen.formats.onnx import Onnx
    from deepen.kinds.classes import Classes
    from deepen.nn.heads import head
    from deepen.nn.normalise import Normalise
    from deepen.nn.packaged import Packaged, TorchRuntime
    from deepen.predictor import Predictor
    from deepen.preprocess.image import Image
    from deepen.program import Program
    from deepen.signature import Signature
    from deepen.stages.export import assemble
    from deepen.store import durable

    torch.manual_seed(0)
    signature = Signature({"image": Image(*SHAPES[model])}, {"digit": Classes(tuple("0123456789"))})
    net = registry.build("models", {"name": model}, signature=signature)
    packaged = Packaged(Normalise(signature), net, head(signature.answer)).eval()
    program = [{"do": "run", "graph": "graph.onnx"}]
    reference = Predictor(signature, Program(program, {"graph.onnx": TorchRuntime(packaged, signature)}))
    items = pictures(model)
    with durable.publish(place / model) as draft:
        Onnx().write(packaged, signature, reference.encode(items[:2]), draft / "graph.onnx")
        run = SimpleNamespace(id=model, info={})
        assemble(draft, "onnx", reference, program, items, np.zeros(len(items), int), gate.Tolerance(), run)
    return place / model


def pictures(model: str = "lenet") -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (32, *SHAPES[model]), np.uint8))


# ---------------------------------------------------------------- requests


def request(path: str, body: bytes, more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{more}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def tensors(array: np.ndarray) -> bytes:
    """The Open Inference Protocol in bytes, as tritonclient writes it."""
    raw = array.tobytes()
    one = {"name": "image", "shape": [1, *array.shape], "datatype": "UINT8"}
    document = {
        "inputs": [{**one, "parameters": {"binary_data_size": len(raw)}}],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(document, separators=(",", ":")).encode()
    return request("/v2/models/m/infer", head + raw, f"inference-header-content-length: {len(head)}\r\n")


def numbers(array: np.ndarray) -> bytes:
    """The same in JSON."""
    one = {"name": "image", "shape": [1, *array.shape], "datatype": "UINT8", "data": array.ravel().tolist()}
    return request("/v2/models/m/infer", json.dumps({"inputs": [one]}).encode(), "content-type: application/json\r\n")


def named(array: np.ndarray) -> bytes:
    """What LitServe and BentoML take."""
    return request(
        "/predict", json.dumps({"image": array.ravel().tolist()}).encode(), "content-type: application/json\r\n"
    )


# ---------------------------------------------------------------- servers


class Server:
    """A process tree that answers on a port."""

    def __init__(self, command: list[str], port: int = 0) -> None:
        self.start = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE if not port else subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True, env={**os.environ, "PYTHONPATH": PATH},
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
    """A process that takes a core for itself."""

    def __enter__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])

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


# ---------------------------------------------------------------- measuring


def rate(step: Callable[[int], Any], seconds: float = SECONDS) -> tuple[float, float]:
    """Calls a second, and the CPU milliseconds of one."""
    count, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        step(count)
        count += 1
    return count / (time.perf_counter() - start), 1e3 * (time.process_time() - cpu) / count


class Client(asyncio.Protocol):
    """Asks over one connection until the end, and notes the times. Every answer must be 200."""

    def __init__(self, bodies: list[bytes], at: int, end: float, pause: float = 0) -> None:
        self.bodies, self.at, self.end, self.pause = bodies, at, end, pause
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self.data, self.size = b"", 0
        self.start = time.perf_counter()
        self.transport.write(self.bodies[self.at % len(self.bodies)])
        self.at += 1

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.size and (head := self.data.find(b"\r\n\r\n")) > 0:
            if not self.data.startswith(b"HTTP/1.1 200"):
                self._finish(AssertionError(self.data[:300]))
                return
            self.size = head + 4 + int(self.data[:head].lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if self.size and len(self.data) >= self.size:
            now = time.perf_counter()
            self.times.append(now - self.start)
            if now >= self.end:
                self._finish()
            elif self.pause:
                asyncio.get_running_loop().call_later(self.pause, self._ask)
            else:
                self._ask()

    def connection_lost(self, problem: Exception | None) -> None:
        self._finish(problem or ConnectionResetError("the server closed"))

    def _finish(self, problem: Exception | None = None) -> None:
        if not self.done.done():
            self.done.set_exception(problem) if problem else self.done.set_result(None)
        self.transport.close()


async def load(
    port: int, bodies: list[bytes], clients: int, seconds: float = SECONDS, beside: bytes = b""
) -> dict[str, Any]:
    """Answers a second and their times over connections kept open; every answer must be 200.

    beside  a request that one more client sends again and again; its times apart
    """
    loop, start = asyncio.get_running_loop(), time.perf_counter()
    many = [Client(bodies, at, start + seconds) for at in range(clients)]
    other = [Client([beside], 0, start + seconds, 0.02)] if beside else []
    await asyncio.gather(*(loop.create_connection(lambda one=one: one, "127.0.0.1", port) for one in (*many, *other)))
    await asyncio.gather(*(one.done for one in (*many, *other)))
    times, others = (sorted(t for one in some for t in one.times) for some in (many, other))
    return {
        "rate": len(times) / (time.perf_counter() - start), "p50": statistics.median(times),
        "p99": times[int(0.99 * (len(times) - 1))], "count": len(times),
        "beside": others[int(0.99 * (len(others) - 1))] if others else 0.0,
    }  # fmt: skip


async def call(port: int, clients: int, seconds: float = SECONDS) -> dict[str, Any]:
    """Answers a second over gRPC, the request as tritonclient writes it; every answer must be one."""
    import grpc

    from deepen.serving import oip_pb2 as pb

    asked = []
    for picture in pictures():
        one = pb.ModelInferRequest(model_name="m", raw_input_contents=[picture.tobytes()])
        one.inputs.add(name="image", datatype="UINT8", shape=[1, *picture.shape])
        asked.append(one.SerializeToString())
    start, counts = time.perf_counter(), []

    async def client(at: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            while time.perf_counter() - start < seconds:
                assert await infer(asked[at % len(asked)])
                at += 1
                counts.append(at)

    await asyncio.gather(*(client(at) for at in range(clients)))
    return {"rate": len(counts) / (time.perf_counter() - start), "count": len(counts)}


def under(server: Server, bodies: list[bytes], clients: int, **more: Any) -> dict[str, Any]:
    """`load`, with the server's CPU milliseconds for one request."""
    before = server.cpu()
    found = uvloop.run(load(server.port, bodies, clients, **more))
    return {**found, "cpu": 1e3 * (server.cpu() - before) / found["count"]}


def small(bundle: Path, rounds: int) -> tuple[Found, dict[str, str]]:
    """LeNet: the floor, ours in bytes and JSON, the peers."""
    from deepen import bundle as bundles
    from deepen.preprocess.image import png

    predictor = bundles.predictor(bundle, 1)
    arrays = [predictor.encode([picture]) for picture in pictures()]
    bodies = {"binary": [tensors(p) for p in pictures()], "json": [numbers(p) for p in pictures()]}
    bodies["png"] = [request("/predict", png(p), "content-type: image/png\r\n") for p in pictures()]
    found: Found = defaultdict(list)
    failed: dict[str, str] = {}
    for _ in range(rounds):
        speed, cpu = rate(lambda i: predictor.run(arrays[i % 32]))
        found["floor"].append(speed)
        found["floor cpu"].append(cpu)
        server = own(bundle, "grpc=0")
        try:
            calls = server.calls()
            asyncio.run(call(calls, 8, 0.3))
            before = server.cpu()
            got = asyncio.run(call(calls, 8))
            found["grpc cpu"].append(1e3 * (server.cpu() - before) / got["count"])
            found["grpc rate"].append(got["rate"])
        finally:
            server.stop()
        server = own(bundle)
        try:
            found["start"].append(server.first(bodies["binary"][0]))
            before, start = server.cpu(), time.perf_counter()
            found["idle memory"].append(server.memory())
            time.sleep(SECONDS)
            found["idle cpu"].append(100 * (server.cpu() - before) / (time.perf_counter() - start))
            for form, some in bodies.items():
                under(server, some, 8, seconds=0.3)
                for clients in (1, 64):
                    got = under(server, some, clients)
                    for key in ("rate", "p50", "p99", "cpu"):
                        found[f"{form} {clients} {key}"].append(got[key])
            found["memory"].append(server.memory())
        finally:
            server.stop()
        for name, begin in peers(bundle).items():
            some = bodies["json"] if name == "mlserver" else [named(p) for p in pictures()]  # none takes bytes
            try:
                _measure(found, name, begin(), some)
            except (TimeoutError, AssertionError, OSError) as problem:
                failed[name] = f"{type(problem).__name__}: {problem}"[:100]
    return found, failed


def _measure(found: Found, name: str, server: Server, bodies: list[bytes]) -> None:
    try:
        server.first(bodies[0])
        under(server, bodies, 8, seconds=0.3)
        got = under(server, bodies, 64)
        found[f"{name} rate"].append(got["rate"])
        found[f"{name} cpu"].append(got["cpu"])
        found[f"{name} memory"].append(server.memory())
    finally:
        server.stop()


def large(bundle: Path, rounds: int) -> Found:
    """ResNet-18, 3 x 96 x 96: against the bare model in batches of 32 with one thread each, health beside it; then as it
    comes, with one core taken. What is compared takes short turns within the life of one server."""
    from deepen import bundle as bundles

    predictor = bundles.predictor(bundle, 1)
    batch = predictor.encode(pictures("resnet"))
    bodies = [tensors(picture) for picture in pictures("resnet")]
    health = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
    found: Found = defaultdict(list)
    for _ in range(rounds):
        server = own(bundle, "threads=1")
        try:
            found["start"].append(server.first(bodies[0]))
            floor, got = [], []
            for _ in range(TURNS):
                floor.append(32 * rate(lambda i: predictor.run(batch))[0])
                got.append(under(server, bodies, 64, seconds=2 * SECONDS, beside=health))
            found["rate"].append(_mean(got, "rate") / statistics.mean(floor))
            found["p99 over p50"].append(statistics.median(one["p99"] / one["p50"] for one in got))
            found["beside"].append(max(one["beside"] for one in got))
        finally:
            server.stop()
        server = own(bundle)  # as many threads as there are cores
        try:
            found["start"].append(server.first(bodies[0]))
            alone, busy = [], []
            for _ in range(TURNS):
                alone.append(under(server, bodies, 64, seconds=1.5 * SECONDS))
                with Busy():
                    busy.append(under(server, bodies, 64, seconds=1.5 * SECONDS))
            found["alone"].append(_mean(alone, "rate"))
            found["busy"].append(_mean(busy, "rate") / found["alone"][-1])
        finally:
            server.stop()
    return found


def _mean(turns: list[dict[str, Any]], key: str) -> float:
    return statistics.mean(one[key] for one in turns)


def ratio(a: list[float], b: list[float]) -> list[float]:
    return [x / y for x, y in zip(a, b)]


def rows(rounds: int) -> list[Row]:
    """The claims, P1 to P6; P7 is a test (tests/serving/test_triton.py)."""
    with tempfile.TemporaryDirectory() as folder:
        f, failed = small(make(Path(folder)), rounds)
        big = large(make(Path(folder), "resnet"), min(rounds, LARGE))
    for name, problem in failed.items():
        print(f"  {name} left out: {problem}")
    found = [
        at_least("P1 LeNet, bytes, 64 clients: rate over the bare model", ratio(f["binary 64 rate"], f["floor"]), 0.45),
        *(
            at_least(f"P1 rate over {name}", ratio(f["binary 64 rate"], f[f"{name} rate"]), goal)
            for name, goal in (("mlserver", 5), ("litserve", 10), ("bentoml", 10))
            if f[f"{name} rate"]
        ),
        *(
            at_least(f"P1 CPU of {name} over ours", ratio(f[f"{name} cpu"], f["binary 64 cpu"]), goal)
            for name, goal in (("mlserver", 5), ("litserve", 10), ("bentoml", 10))
            if f[f"{name} cpu"]
        ),
        at_least("P2 ResNet-18, 64 clients: rate over the bare model", big["rate"], 0.95, "batches of 32"),
        at_most("P2 p99 over p50", big["p99 over p50"], 1.5),
        at_most("P3 CPU a request, bytes, 64 clients", f["binary 64 cpu"], 0.20, "ms", _over(f, "binary")),
        at_most("P3 CPU a request, JSON, 64 clients", f["json 64 cpu"], 0.30, "ms", _over(f, "json")),
        at_most("P3 CPU a request, PNG, 64 clients", f["png 64 cpu"], 0.50, "ms", _over(f, "png")),
        at_most("P3 CPU a request, gRPC, 8 clients", f["grpc cpu"], 0.75, "ms", f"{statistics.median(f['grpc rate']):.0f} a second"),
        at_most("P4 one client: median over the bare model", _beyond(f), 0.35, "ms"),
        at_most("P5 LeNet: start to first answer", f["start"], 0.6, "s"),
        at_most("P5 ResNet-18: start to first answer", big["start"], 0.8, "s"),
        at_most("P5 memory at rest, all processes", f["idle memory"], 150, "MiB", "PSS"),
        at_most("P5 CPU at rest", f["idle cpu"], 0.5, "%"),
        at_most("P6 health beside 64 clients of ResNet-18, p99", [1e3 * v for v in big["beside"]], 20, "ms"),
        at_least("P6 ResNet-18, one core taken by another process: rate over that without", big["busy"], 0.70, f"{statistics.median(big['alone']):.0f} a second without"),
    ]  # fmt: skip
    return found


def at_least(claim: str, values: list[float], goal: float, note: str = "") -> Row:
    return Row(claim, values, "x", f">= {goal:g}x", lambda v: v >= goal, note)


def at_most(claim: str, values: list[float], goal: float, unit: str = "x", note: str = "") -> Row:
    return Row(claim, values, unit, f"<= {goal:g} {unit}".replace(" x", "x"), lambda v: v <= goal, note)


def _over(found: Found, form: str) -> str:
    times = statistics.median(ratio(found[f"{form} 64 cpu"], found["floor cpu"]))
    return f"{times:.1f} x the bare model's CPU; {statistics.median(found[f'{form} 64 rate']):.0f} a second"


def _beyond(found: Found) -> list[float]:
    """Milliseconds of a single client's median over a run of the bare model."""
    return [1e3 * (p50 - 1 / speed) for p50, speed in zip(found["binary 1 p50"], found["floor"])]


if __name__ == "__main__":
    for row in rows(*map(int, sys.argv[1:] or ["5"])):
        print("  ".join(row.cells()))
