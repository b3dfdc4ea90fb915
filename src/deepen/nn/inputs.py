"""Fixed-size inputs of any kind as one vector per item."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.signature import Signature


class Flat(nn.Module):
    """Pictures and arrays flattened, categories embedded, all concatenated to (B, width)."""

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict()
        self.width = 0
        for place, tensor in enumerate(signature.tensors):
            if not all(isinstance(size, int) for size in tensor.shape[1:]) or tensor.shape[0] != "batch":
                raise DeepenError(
                    "model.input",
                    f"input {tensor.name}",
                    "its size differs from item to item",
                    "a network for sequences or graphs",
                )
            if tensor.name.endswith("categories"):
                (row,) = signature.inputs.values()
                counts = [len(known) + 2 for known in row.categories.values()]
                self.embeddings[str(place)] = Categories(counts)
                self.width += self.embeddings[str(place)].width  # type: ignore[operator]
            else:
                self.width += math.prod(int(size) for size in tensor.shape[1:])

    def forward(self, *inputs: Tensor) -> Tensor:
        parts = [
            self.embeddings[str(i)](x) if str(i) in self.embeddings else torch.flatten(x, 1)
            for i, x in enumerate(inputs)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class Categories(nn.Module):
    """Codes int64 (B, c) to (B, width): a table per column, its size the usual rule of thumb min(50, 1.6 n^0.56)."""

    def __init__(self, counts: list[int], most: int = 50) -> None:
        super().__init__()
        self.sizes = [min(most, round(1.6 * n**0.56)) for n in counts]
        self.tables = nn.ModuleList(nn.Embedding(n, size) for n, size in zip(counts, self.sizes))
        for table in self.tables:
            nn.init.normal_(table.weight, std=0.1)  # type: ignore[arg-type]
        self.width = sum(self.sizes)

    def forward(self, codes: Tensor) -> Tensor:
        return torch.cat([table(codes[:, j]) for j, table in enumerate(self.tables)], 1)
