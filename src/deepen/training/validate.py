"""Figures on a part of the data while training."""

from __future__ import annotations

import torch

from deepen.data.data import Data
from deepen.nn.packaged import Packaged
from deepen.tensors import Arrays

CHUNK = 512  # items in one forward pass


@torch.inference_mode()
def outputs_of(packaged: Packaged, data: Data, part: str) -> Arrays:
    """The answers' arrays for all rows of a part, in the order of data.parts[part]."""
    names = [t.name for t in data.signature.output_tensors]
    rows = data.parts[part]
    results = []
    for chunk in rows.split(CHUNK):
        result = packaged(*data.take(chunk))
        results.append(result if isinstance(result, tuple) else (result,))
    return {name: torch.cat([r[i] for r in results]).cpu().numpy() for i, name in enumerate(names)}


def metrics_of(packaged: Packaged, data: Data, part: str) -> dict[str, float]:
    """The kind's figures."""
    target = data.targets(data.parts[part]).cpu().numpy()
    return data.signature.answer.metrics(target, outputs_of(packaged, data, part))
