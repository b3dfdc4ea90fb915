"""The life of a model, from data to a service and back, in one readable script: run it with `make demo`.

The data are the 1,797 handwritten digits that come inside scikit-learn: most of them as a folder of pictures to learn
from, the others as what clients ask later. Every step is also a verb of the command line.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import deepen
from deepen.errors import Refused
from deepen.preprocess.image import png
from deepen.sources.digits import Digits
from deepen.store.live import Live

KNOWN = 1200  # digits that are in the folder; the others are asked in service
DIGITS = Digits().read()
PICTURES, TRUTH = DIGITS.inputs["image"], [str(label) for label in DIGITS.target]


def title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def main() -> None:
    start = time.monotonic()
    place = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="deepen-demo-"))
    photos, live = place / "photos", place / "live" / "digits"
    write_folder(photos)

    title("1 look at the data                    deepen train photos --dry-run")
    deepen.train(str(photos), dry_run=True)

    title("2 train                               deepen train photos epochs=12")
    run = deepen.train(str(photos), output=str(place / "runs"), epochs=12)

    title(f"3 evaluate                            deepen evaluate {run.path}")
    deepen.evaluate(str(run.path))

    title(f"4 export through the gate             deepen export {run.path}")
    bundle = deepen.export(str(run.path))["bundle"]

    title("5 a broken export does not leave the house")
    refuse_broken(run)

    title(f"6 serve                               deepen serve {bundle} --live {live} sample=1 grpc=0 pulse=0.5")
    server, address, rpc = start_server(bundle, live)
    try:
        for picture, truth in list(zip(PICTURES, TRUTH))[KNOWN : KNOWN + 6]:
            answer = ask(address, png(picture))["answers"][0]
            verdict = "right" if answer["label"] == truth else "wrong"
            print(f"a picture of {truth}: answered {answer['label']}, {answer['probability']:.0%} sure: {verdict}")
        try:
            ask(address, b"not a picture")
        except urllib.error.HTTPError as refusal:
            print(f"no picture at all: HTTP {refusal.code}, {json.load(refusal)['error']}")
        labels = ask_grpc(rpc, live.name, PICTURES[KNOWN : KNOWN + 6])
        print(f"the six in one call over gRPC: {', '.join(labels)}")
        come_back(address, live, photos)
    finally:
        title("10 stop cleanly")
        server.send_signal(signal.SIGTERM)
        print(f"the server left with exit code {server.wait(15)}")

    print(f"\nAll of it in {time.monotonic() - start:.0f} s. Data, runs and the live directory lie in {place}")


def write_folder(photos: Path) -> None:
    """A folder per class with pictures in it, as most people have their data."""
    for number, (picture, truth) in enumerate(zip(PICTURES[:KNOWN], TRUTH)):
        (photos / truth).mkdir(parents=True, exist_ok=True)
        (photos / truth / f"{number}.png").write_bytes(png(picture))


def come_back(address: str, live: Path, photos: Path) -> None:
    """What clients ask changes; it is noticed, labelled, learnt, and the better version takes over under load."""
    title("7 someone turns the scanner's colours round: every picture comes in inverted")
    clients = Clients(address)
    try:
        while sum(1 for _ in Live.open(live).samples()) < 600:
            time.sleep(0.2)
        print(f"{clients.right:.0%} of the last answers were right, and nobody told")

        title(f"8 but it is noticed                   deepen monitor {live}")
        try:
            deepen.monitor(str(live))
        except Refused as alarm:
            print(f"exit code {alarm.exit_code}: {alarm}")

        title(f"9 close the loop                      deepen loop {live} photos labeller=module:function")
        deepen.loop(
            str(live), str(photos), ask=400, least=400, labeller=f"{__name__}:colleague", hold=200, every=0.1, epochs=30
        )
    finally:
        clients.stop()
    answered = ", ".join(f"{count} by version {version}" for version, count in sorted(clients.answered.items()))
    print(f"requests meanwhile: {answered}; failed: {clients.failed}; {clients.right:.0%} of the last were right")
    print("(some of these pictures were labelled; the honest figure is that of the new items above, held out)")


def colleague(paths: list[str]) -> list[str]:
    """Stands in for people on the page of `deepen label`: knows what each picture shows."""
    from PIL import Image

    shown = {(255 - picture).tobytes(): truth for picture, truth in zip(PICTURES, TRUTH)}
    shown |= {picture.tobytes(): truth for picture, truth in zip(PICTURES, TRUTH)}
    return [shown[Image.open(path).tobytes()] for path in paths]


class Clients:
    """Ask for inverted pictures, any of them, until stopped, and count what comes back."""

    def __init__(self, address: str) -> None:
        self.address, self.failed = address, 0
        self.answered: Counter[str] = Counter()  # by version
        self.lately: list[bool] = []  # whether each of the last answers was right
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._ask)
        self.thread.start()

    @property
    def right(self) -> float:
        return sum(self.lately[-300:]) / max(len(self.lately[-300:]), 1)

    def stop(self) -> None:
        self.ended.set()
        self.thread.join()

    def _ask(self) -> None:
        draw = random.Random(0)
        while not self.ended.wait(0.005):
            number = draw.randrange(KNOWN, len(PICTURES))  # in turn would be one writer after the other: a change
            try:
                reply = ask(self.address, png(255 - PICTURES[number]))
            except OSError:
                self.failed += 1
                continue
            self.answered[reply["version"]] += 1
            self.lately.append(reply["answers"][0]["label"] == TRUTH[number])


def refuse_broken(run: deepen.store.run.Run) -> None:
    """Export the same network with a wrong normalisation: the gate measures it and says no."""
    from deepen import gate
    from deepen.stages.export import hand_over
    from deepen.training.finished import data_of, load_model, predictor_of

    broken = load_model(run)
    broken.normalise.parts[0].mean += 40  # as if the pictures had been darker in training
    try:
        hand_over(run, broken, predictor_of(run), data_of(run), "onnx", "broken", gate.Tolerance())
    except Refused as refusal:
        print(f"refused (exit code {refusal.exit_code}): {refusal}")
    else:
        raise SystemExit("the gate let a broken export pass")


def start_server(bundle: str, live: Path) -> tuple[subprocess.Popen[str], str, str]:
    """The server in a process of its own, as in real use; its addresses for REST and gRPC once it says it is ready."""
    words = ["serve", bundle, f"live={live}", "port=0", "grpc=0", "sample=1", "pulse=0.5"]
    command = [sys.executable, "-m", "deepen", *words]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert server.stdout
    found: dict[str, str] = {}
    for line in server.stdout:
        print(line, end="")
        word, _, rest = line.partition(" ")
        found[word] = rest.strip()
        if "ready" in found and "grpc" in found:
            return server, found["ready"], found["grpc"]
    raise SystemExit("the server did not start")


def ask(address: str, picture: bytes) -> dict:
    """One picture to the service, as any client would; its answers and which version gave them."""
    request = urllib.request.Request(f"{address}/predict", picture, {"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def ask_grpc(address: str, model: str, pictures: np.ndarray) -> list[str]:
    """Pixels (B, H, W, C) as any client of the Open Inference Protocol sends them; what each shows."""
    import grpc

    from deepen.serving import oip_pb2 as pb

    def call(method: str, request: Any) -> Any:
        reply = getattr(pb, f"{method}Response").FromString
        return channel.unary_unary(f"/inference.GRPCInferenceService/{method}", type(request).SerializeToString, reply)(
            request, timeout=10
        )

    with grpc.insecure_channel(address.removeprefix("grpc://")) as channel:
        about = call("ModelMetadata", pb.ModelMetadataRequest(name=model))
        request = pb.ModelInferRequest(model_name=model, raw_input_contents=[pictures.tobytes()])
        request.inputs.add(name=about.inputs[0].name, datatype="UINT8", shape=pictures.shape)
        reply = call("ModelInfer", request)
    shares = np.frombuffer(reply.raw_output_contents[0], np.float32).reshape(len(pictures), -1)
    return [sorted(set(TRUTH))[best] for best in shares.argmax(1)]


if __name__ == "__main__":
    main()
