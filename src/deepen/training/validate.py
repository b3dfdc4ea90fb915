"""Figures on a part of the data while training."""

from __future__ import annotations

import torch

from deepen.data.data import Data
from deepen.machine import in_chunks
from deepen.nn.packaged import Packaged
from deepen.tensors import Arrays

CHUNK = 512  # items in one forward pass, as long as memory allows


@torch.inference_mode()
def outputs_of(packaged: Packaged, data: Data, rows: torch.Tensor) -> Arrays:
    """The answers' arrays for these rows."""
    names = [t.name for t in data.signature.output_tensors]

    def answers(start: int, stop: int) -> tuple[torch.Tensor, ...]:
        result = packaged(*data.take(rows[start:stop]))
        return result if isinstance(result, tuple) else (result,)

    results = in_chunks(len(rows), CHUNK, answers)
    return {name: torch.cat([r[i] for r in results]).cpu().numpy() for i, name in enumerate(names)}


def metrics_of(packaged: Packaged, data: Data, part: str) -> dict[str, float]:
    """The kind's figures."""
    rows = data.parts[part]
    return data.signature.answer.metrics(data.targets(rows).cpu().numpy(), outputs_of(packaged, data, rows))
