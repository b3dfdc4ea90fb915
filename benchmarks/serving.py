"""What the service costs over the bare model: python -m benchmarks.serving [rounds]

One LeNet (28 x 28 grey, random weights), PNG bodies of about 900 bytes. In each round, in turn and on the same machine:
    floor    a loop over a bare ONNX Runtime session, batch 1, one thread, arrays at hand
    work     the same with what a request needs besides: the picture decoded, the answer written as JSON
    server   `deepen serve` in its own process: one client, then 64, by an asyncio client in this process
The client shares the cores with the server: what it takes (its own loop) is part of the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np

SECONDS = 2.0


def make(place: Path) -> Path:
    """A LeNet as a bundle that has passed the gate."""
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
    signature = Signature({"image": Image(28, 28, 1)}, {"digit": Classes(tuple("0123456789"))})
    net = registry.build("models", {"name": "lenet"}, signature=signature)
    packaged = Packaged(Normalise(signature), net, head(signature.answer)).eval()
    program = [{"do": "run", "graph": "graph.onnx"}]
    reference = Predictor(signature, Program(program, {"graph.onnx": TorchRuntime(packaged, signature)}))
    items = pictures()
    with durable.publish(place / "bundle") as draft:
        Onnx().write(packaged, signature, reference.encode(items[:2]), draft / "graph.onnx")
        run = SimpleNamespace(id="benchmark", info={})
        assemble(draft, "onnx", reference, program, items, np.zeros(len(items), int), gate.Tolerance(), run)
    return place / "bundle"


def pictures() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (32, 28, 28), np.uint8))


def rate(step, seconds: float = SECONDS) -> tuple[float, float]:
    """Calls a second, and the CPU seconds of one."""
    count, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        step(count)
        count += 1
    return count / (time.perf_counter() - start), (time.process_time() - cpu) / count


def used(process: subprocess.Popen) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(port: int, bodies: list[bytes], clients: int, seconds: float = SECONDS) -> tuple[float, float]:
    """Answers a second and their median time, over connections kept open; every answer must be 200."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client(at: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < end:
            writer.write(bodies[at % len(bodies)])
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            times.append(time.perf_counter() - start)
            at += 1
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(client(at) for at in range(clients)))
    return len(times) / (time.perf_counter() - start), statistics.median(times)


def main(rounds: int = 5) -> dict[str, list[float]]:
    from deepen import bundle as bundles
    from deepen.preprocess.image import png

    with tempfile.TemporaryDirectory() as folder:
        bundle = make(Path(folder))
        predictor = bundles.predictor(bundle, 1)
        files = [png(picture) for picture in pictures()]
        arrays = [predictor.encode([file]) for file in files]
        head = "POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ncontent-length: {}\r\n\r\n"
        bodies = [head.format(len(file)).encode() + file for file in files]
        server = subprocess.Popen(
            [sys.executable, "-m", "deepen", "serve", str(bundle), "port=0"],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        found: dict[str, list[float]] = defaultdict(list)
        try:
            port = next(
                int(line.split()[1].rsplit(":", 1)[1]) for line in server.stdout or () if line.startswith("ready")
            )
            asyncio.run(load(port, bodies, 8, 1.0))
            for _ in range(rounds):
                steps = {
                    "floor": lambda i: predictor.run(arrays[i % 32]),
                    "work": lambda i: json.dumps(predictor([files[i % 32]])),
                }
                for name, step in steps.items():
                    for key, value in zip((name, f"{name}_cpu"), rate(step)):
                        found[key].append(value)
                for clients, names in ((1, ("one", "p50")), (64, ("many", "p50_many"))):
                    before = used(server)
                    answers, median = asyncio.run(load(port, bodies, clients))
                    for key, value in zip(names, (answers, median)):
                        found[key].append(value)
                    found[f"{names[0]}_cpu"].append((used(server) - before) / (answers * SECONDS))
        finally:
            server.terminate()
            server.wait(20)
    report(found)
    return found


def report(found: dict[str, list[float]]) -> None:
    def spread(values: list[float], unit: str) -> str:
        return f"{statistics.median(values):8.3g} {unit:<12} [{min(values):.3g}, {max(values):.3g}]"

    bare = [1e3 / value for value in found["floor"]]
    over = [1e3 * p - b for p, b in zip(found["p50"], bare)]
    rows = {
        "bare model, batch 1": spread(found["floor"], "items/s"),
        "decode + model + JSON, no server": spread(found["work"], "items/s"),
        "server, 1 client": spread(found["one"], "items/s"),
        "  median time over the bare model": spread(over, "ms"),
        "server, 64 clients": spread(found["many"], "items/s"),
        "  median time": spread([1e3 * p for p in found["p50_many"]], "ms"),
        "  as a share of the bare model": spread([a / b for a, b in zip(found["many"], found["floor"])], ""),
        "  as a share of decode + model + JSON": spread([a / b for a, b in zip(found["many"], found["work"])], ""),
        "CPU of the bare model": spread([1e3 * value for value in found["floor_cpu"]], "ms/item"),
        "CPU of decode + model + JSON": spread([1e3 * value for value in found["work_cpu"]], "ms/item"),
        "CPU of the server, 1 client": spread([1e3 * value for value in found["one_cpu"]], "ms/item"),
        "CPU of the server, 64 clients": spread([1e3 * value for value in found["many_cpu"]], "ms/item"),
    }
    print(f"n = {len(bare)} rounds of {SECONDS:g} s, median [least, most], {len(os.sched_getaffinity(0))} cores")
    for name, row in rows.items():
        print(f"{name:<40} {row}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
