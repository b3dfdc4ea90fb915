"""Figures on a part of the data while training."""

from __future__ import annotations

import torch

from deepen.data.data import Data
from deepen.machine import in_chunks
from deepen.nn.packaged import Packaged
from deepen.program import STEPS, Program
from deepen.tensors import Arrays, join

CHUNK = 512  # items in one forward pass, as long as memory allows...
LARGEST = 1 << 24  # ... and their bytes at most


@torch.inference_mode()
def outputs_of(packaged: Packaged, data: Data, rows: torch.Tensor) -> Arrays:
    """What the kind measures for these rows, without what asks the network again and again: that waits for the end."""
    given = [t.name for t in data.signature.tensors]
    names = [t.name for t in data.signature.output_tensors]
    steps = (step for kind in data.signature.outputs.values() for step in kind.steps)
    program = Program([step for step in steps if not STEPS[step["do"]].again], {})

    def answers(start: int, stop: int) -> Arrays:
        taken = data.take(rows[start:stop])
        result = packaged(*taken)
        found = dict(zip(names, result if isinstance(result, tuple) else (result,)))
        if program.steps:
            found |= dict(zip(given, taken))
        return program.run({name: tensor.cpu().numpy() for name, tensor in found.items()})

    size = max(1, min(CHUNK, LARGEST // max(data.item_bytes, 1)))
    parts = in_chunks(len(rows), size, answers)
    return join([tensor for tensor in data.signature.answer.results if tensor.name in parts[0]], parts)


def metrics_of(packaged: Packaged, data: Data, part: str) -> dict[str, float]:
    """The kind's figures."""
    rows = data.parts[part]
    return data.signature.answer.metrics(data.truth[rows.numpy()], outputs_of(packaged, data, rows))
