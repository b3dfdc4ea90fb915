"""The training statistics that drift in service is measured against: reference.json of a run and of its bundles."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from deepen.data.prepare import Prepared
from deepen.machine import in_chunks
from deepen.monitoring import drift
from deepen.nn.packaged import Packaged
from deepen.panels import thin
from deepen.store.run import Run
from deepen.tensors import Arrays, gather
from deepen.training.finished import answering

FILE = "reference.json"
MOST = 20_000  # items looked at, evenly taken: a reference is no more exact from more of them
CHUNK = 256


def written(run: Run, network: Packaged, prepared: Prepared) -> bytes:
    """The run's own reference; of a run that has none, what training would have written."""
    return run.read(FILE) if FILE in run.info.get("hashes", {}) else measure(network, prepared)


def measure(network: Packaged, prepared: Prepared, device: str = "cpu") -> bytes:
    """The reference for a trained network: its inputs in training and validation, its answers in validation."""
    signature, parts = prepared.signature, prepared.parts
    predictor = answering(network, signature, device)
    seen = np.sort(np.concatenate([parts["train"], parts["val"]]))
    inputs = _columns(prepared, seen, lambda arrays: drift.input_columns(signature, arrays))
    answers = (
        _columns(prepared, parts["val"], lambda arrays: drift.answer_columns(signature, predictor.run(arrays)))
        if signature.outputs
        else {}
    )
    return msgspec.json.format(msgspec.json.encode(drift.describe(inputs, answers)), indent=1)


def _columns(
    prepared: Prepared, rows: np.ndarray, look: Callable[[Arrays], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What is watched of encoded items, some at a time."""
    rows = rows[thin(rows, MOST)]
    tensors, columns = prepared.signature.tensors, prepared.columns
    found = in_chunks(len(rows), CHUNK, lambda start, stop: look(gather(tensors, columns, rows[start:stop])))
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}
