"""The life of a model, from data to a service, in one readable script: run it with `make demo`.

The data are the 1,797 handwritten digits that come inside scikit-learn. Every step is also a verb of the command line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import deepen
from deepen.errors import Refused
from deepen.preprocess.image import png
from deepen.sources.digits import Digits


def title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def main() -> None:
    start = time.monotonic()
    place = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="deepen-demo-"))

    title("1 look at the data                    deepen train digits --dry-run")
    digits = Digits().read()
    pictures, truth = digits.inputs["image"], digits.target
    deepen.train("digits", dry_run=True)

    title("2 train                               deepen train digits epochs=12")
    run = deepen.train("digits", output=str(place), epochs=12)

    title(f"3 evaluate                            deepen evaluate {run.path}")
    deepen.evaluate(str(run.path))

    title(f"4 export through the gate             deepen export {run.path}")
    bundle = deepen.export(str(run.path))["bundle"]

    title("5 a broken export does not leave the house")
    refuse_broken(run)

    title(f"6 serve                               deepen serve {bundle}")
    server, address = start_server(bundle)
    try:
        rows = [int(name.split(":")[1]) for name in run.read_json("split.json")["test"][:6]]
        for row in rows:
            answer = ask(address, png(pictures[row]))
            verdict = "right" if answer["label"] == str(truth[row]) else "wrong"
            print(f"a picture of {truth[row]}: answered {answer['label']}, {answer['probability']:.0%} sure: {verdict}")
        try:
            ask(address, b"not a picture")
        except urllib.error.HTTPError as refusal:
            print(f"no picture at all: HTTP {refusal.code}, {json.load(refusal)['error']}")
    finally:
        title("7 stop cleanly")
        server.send_signal(signal.SIGTERM)
        print(f"the server left with exit code {server.wait(15)}")

    print(f"\nAll of it in {time.monotonic() - start:.0f} s. The run, its report and its bundle lie in {run.path}")


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


def start_server(bundle: str) -> tuple[subprocess.Popen[str], str]:
    """The server in a process of its own, as in real use; its address once it says it is ready."""
    command = [sys.executable, "-m", "deepen", "serve", bundle, "port=0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert server.stdout
    for line in server.stdout:
        print(line, end="")
        if line.startswith("ready"):
            return server, line.split()[1]
    raise SystemExit("the server did not start")


def ask(address: str, picture: bytes) -> dict:
    """One picture to the service, as any client would."""
    request = urllib.request.Request(f"{address}/predict", picture, {"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["answers"][0]


if __name__ == "__main__":
    main()
