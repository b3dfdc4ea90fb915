"""`deepen.train` from a file to a finished run."""

import os
import tempfile

import deepen
from benchmarks import work
from benchmarks.turns import peak, tell

with tempfile.TemporaryDirectory() as folder:
    augment = f"[{{name: crop, padding: {work.PADDING}}}, {{name: flip, p: {work.FLIP}}}]"
    deepen.train(
        os.environ["BENCHMARK_FILE"], output=folder, model="lenet", epochs=1, batch_size=128, optimizer="sgd",
        lr=work.LR, augment=augment, threads=1,
    )  # fmt: skip
tell(peak_mib=peak())
