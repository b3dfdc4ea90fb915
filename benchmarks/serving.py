"""What the service costs over the bare model, and what other servers cost: encoded tensors over HTTP, one model process.

In every round, in turn and on the same machine: a loop over a bare ONNX Runtime session (batch 1, one thread: the
floor), `deepen serve` as it comes (supervisor, validation, metrics, deadlines on), and the servers that the Python of
$DEEPEN_SERVERS has: those take numbers in JSON only. The client is an event loop with ready-made bytes, in this process:
it shares the cores. On a machine that does other work rates mean little; CPU time of the server's processes per request
means more. Where the host of a virtual machine gave more than a fiftieth of its time to others, a turn is taken again.
"""

from __future__ import annotations

import asyncio
import statistics
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

from benchmarks.asking import SECONDS, SHAPES, call, load, named, numbers, pictures, request, tensors
from benchmarks.pairs import Row
from benchmarks.quiet import Quiet
from benchmarks.servers import Busy, Server, own, peers

TURNS = 3  # of each side of a comparison in a round of the large model
LARGE = 5  # rounds of it at the most: one takes a minute
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


def rate(step: Callable[[int], Any], seconds: float = SECONDS) -> tuple[float, float]:
    """Calls a second, and the CPU milliseconds of one."""
    count, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        step(count)
        count += 1
    return count / (time.perf_counter() - start), 1e3 * (time.process_time() - cpu) / count


def under(server: Server, bodies: list[bytes], clients: int, **more: Any) -> dict[str, Any]:
    """`load`, with the server's CPU milliseconds for one request."""
    before = server.cpu()
    found = uvloop.run(load(server.port, bodies, clients, **more))
    return {**found, "cpu": 1e3 * (server.cpu() - before) / found["count"]}


def called(server: Server, port: int, clients: int) -> dict[str, Any]:
    """`call`, with the server's CPU milliseconds for one."""
    before = server.cpu()
    found = asyncio.run(call(port, clients))
    return {**found, "cpu": 1e3 * (server.cpu() - before) / found["count"]}


def started(bundle: Path, body: bytes, *more: str) -> float:
    """Seconds from the start of a server of its own to its first answer."""
    server = own(bundle, *more)
    try:
        return server.first(body)
    finally:
        server.stop()


def small(bundle: Path, rounds: int, quiet: Quiet) -> tuple[Found, dict[str, str]]:
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
        speed, cpu = quiet(lambda: rate(lambda i: predictor.run(arrays[i % 32])))
        found["floor"].append(speed)
        found["floor cpu"].append(cpu)
        server = own(bundle, "grpc=0")
        try:
            calls = server.calls()
            asyncio.run(call(calls, 8, 0.3))
            got = quiet(lambda server=server, calls=calls: called(server, calls, 8))
            found["grpc cpu"].append(got["cpu"])
            found["grpc rate"].append(got["rate"])
        finally:
            server.stop()
        found["start"].append(quiet(lambda: started(bundle, bodies["binary"][0])))
        server = own(bundle)
        try:
            server.first(bodies["binary"][0])
            before, start = server.cpu(), time.perf_counter()
            found["idle memory"].append(server.memory())
            time.sleep(2 * SECONDS)
            found["idle cpu"].append(100 * (server.cpu() - before) / (time.perf_counter() - start))
            for form, some in bodies.items():
                under(server, some, 8, seconds=0.3)
                for clients in (1, 64):
                    got = quiet(lambda s=server, b=some, n=clients: under(s, b, n))
                    for key in ("rate", "p50", "p99", "cpu"):
                        found[f"{form} {clients} {key}"].append(got[key])
            found["memory"].append(server.memory())
        finally:
            server.stop()
        for name, begin in peers(bundle).items():
            some = bodies["json"] if name == "mlserver" else [named(p) for p in pictures()]  # none takes bytes
            try:
                _measure(found, name, begin(), some, quiet)
            except (TimeoutError, AssertionError, OSError) as problem:
                failed[name] = f"{type(problem).__name__}: {problem}"[:100]
    return found, failed


def _measure(found: Found, name: str, server: Server, bodies: list[bytes], quiet: Quiet) -> None:
    try:
        server.first(bodies[0])
        under(server, bodies, 8, seconds=0.3)
        got = quiet(lambda: under(server, bodies, 64))
        found[f"{name} rate"].append(got["rate"])
        found[f"{name} cpu"].append(got["cpu"])
        found[f"{name} memory"].append(server.memory())
    finally:
        server.stop()


def large(bundle: Path, rounds: int, quiet: Quiet) -> Found:
    """ResNet-18, 3 x 96 x 96: against the bare model in batches of 32 with one thread each, health beside it; then as it
    comes, with one core taken. What is compared takes short turns within the life of one server."""
    from deepen import bundle as bundles

    predictor = bundles.predictor(bundle, 1)
    batch = predictor.encode(pictures("resnet"))
    bodies = [tensors(picture) for picture in pictures("resnet")]
    health = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
    found: Found = defaultdict(list)
    for _ in range(rounds):
        for threads in (("threads=1",), ()):
            found["start"].append(quiet(lambda more=threads: started(bundle, bodies[0], *more)))
        server = own(bundle, "threads=1")
        try:
            server.first(bodies[0])
            floor, got = [], []
            for _ in range(TURNS):
                floor.append(quiet(lambda: 32 * rate(lambda i: predictor.run(batch), 2 * SECONDS)[0]))
                got.append(quiet(lambda s=server: under(s, bodies, 64, seconds=4 * SECONDS, beside=health)))
            found["rate"].append(_mean(got, "rate") / statistics.mean(floor))
            found["p99 over p50"].append(statistics.median(one["p99"] / one["p50"] for one in got))
            found["beside"].append(max(one["beside"] for one in got))
        finally:
            server.stop()
        server = own(bundle)  # as many threads as there are cores
        try:
            server.first(bodies[0])
            alone: list[dict[str, Any]] = []
            taken: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
            for _ in range(TURNS):
                alone.append(quiet(lambda s=server: under(s, bodies, 64, seconds=3 * SECONDS)))
                for apart, some in taken.items():
                    with Busy(apart):
                        some.append(quiet(lambda s=server: under(s, bodies, 64, seconds=3 * SECONDS)))
            found["alone"].append(_mean(alone, "rate"))
            for apart, some in taken.items():
                found["busy apart" if apart else "busy"].append(_mean(some, "rate") / found["alone"][-1])
        finally:
            server.stop()
    return found


def _mean(turns: list[dict[str, Any]], key: str) -> float:
    return statistics.mean(one[key] for one in turns)


def ratio(a: list[float], b: list[float]) -> list[float]:
    return [x / y for x, y in zip(a, b)]


def rows(rounds: int) -> list[Row]:
    """The claims, P1 to P6; P7 is a test (tests/serving/test_triton.py)."""
    quiet = Quiet()
    with tempfile.TemporaryDirectory() as folder:
        f, failed = small(make(Path(folder)), rounds, quiet)
        big = large(make(Path(folder), "resnet"), min(rounds, LARGE), quiet)
    for name, problem in failed.items():
        print(f"  {name} left out: {problem}")
    found = [
        at_least("P1 LeNet, bytes, 64 clients: rate over the bare model", ratio(f["binary 64 rate"], f["floor"]), 0.45, str(quiet)),
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
        at_least("P6 ResNet-18, one core taken by another process: rate over that without", big["busy"], 0.70, _shared(big)),
    ]  # fmt: skip
    return found


def at_least(claim: str, values: list[float], goal: float, note: str = "") -> Row:
    return Row(claim, values, "x", f">= {goal:g}x", lambda v: v >= goal, note)


def at_most(claim: str, values: list[float], goal: float, unit: str = "x", note: str = "") -> Row:
    return Row(claim, values, unit, f"<= {goal:g} {unit}".replace(" x", "x"), lambda v: v <= goal, note)


def _over(found: Found, form: str) -> str:
    times = statistics.median(ratio(found[f"{form} 64 cpu"], found["floor cpu"]))
    return f"{times:.1f} x the bare model's CPU; {statistics.median(found[f'{form} 64 rate']):.0f} a second"


def _shared(found: Found) -> str:
    alone, apart = statistics.median(found["alone"]), statistics.median(found["busy apart"])
    return f"{alone:.0f} a second without; {apart:.3f}x where it is of another session"


def _beyond(found: Found) -> list[float]:
    """Milliseconds of a single client's median over a run of the bare model."""
    return [1e3 * (p50 - 1 / speed) for p50, speed in zip(found["binary 1 p50"], found["floor"])]


if __name__ == "__main__":
    for row in rows(*map(int, sys.argv[1:] or ["5"])):
        print("  ".join(row.cells()))
