"""Figures on a part of the data while training."""

from __future__ import annotations

import torch

from deepen.data.data import Data
from deepen.machine import in_chunks
from deepen.nn.packaged import Packaged
from deepen.tensors import Arrays, join

CHUNK = 512  # items in one forward pass, as long as memory allows


@torch.inference_mode()
def outputs_of(packaged: Packaged, data: Data, part: str) -> Arrays:
    """The answers' arrays for all rows of a part, in the order of data.parts[part]."""
    names = [t.name for t in data.signature.output_tensors]
    rows = data.parts[part]

    def answers(start: int, stop: int) -> tuple[torch.Tensor, ...]:
        result = packaged(*data.take(rows[start:stop]))
        return result if isinstance(result, tuple) else (result,)

    results = in_chunks(len(rows), CHUNK, answers)
    return join(data.signature.output_tensors, [{n: x.cpu().numpy() for n, x in zip(names, r)} for r in results])


def metrics_of(packaged: Packaged, data: Data, part: str) -> dict[str, float]:
    """The kind's figures."""
    target = data.targets(data.parts[part]).cpu().numpy()
    return data.signature.answer.metrics(target, outputs_of(packaged, data, part))
