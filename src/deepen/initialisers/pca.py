"""The first layer begins as principal components of what it sees, the others as He's.

    w_k = v_k / sqrt(lambda_k),   b_k = -w_k m        unit k then has mean 0 and variance 1 over the training items

Paper    Kraehenbuehl et al. 2016, arXiv:1511.06856, its start from principal components.
Letters  m mean, v_k and lambda_k the k-th direction and variance of the items or, for kernels, of their patches
Differs  units beyond the number of directions that vary stay He's; signs: the largest number of a direction is positive.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.initialisers import Initialiser

PATCHES = 20_000
LEAST = 1e-5  # of the largest variance: what varies less is noise


class PCA(Initialiser):
    """The first layer sees the directions the training items vary most in."""

    def fill(self, weight: Tensor, inputs: int, outputs: int) -> None:
        nn.init.normal_(weight, 0.0, (2 / inputs) ** 0.5)

    def first(self, layer: nn.Module, seen: Tensor) -> None:
        weight: Tensor = layer.weight  # type: ignore[assignment]
        patches = patches_of(seen, weight)
        mean = patches.mean(0)
        variances, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        order = variances.argsort(descending=True)
        order = order[variances[order] > LEAST * variances.max()][: len(weight)]
        found = directions[:, order].T  # (k, d)
        found = found * found.gather(1, found.abs().argmax(1, keepdim=True)).sign()
        found = (found / variances[order, None].sqrt()).to(weight.dtype)
        weight[: len(found)] = found.view(-1, *weight.shape[1:])
        if isinstance(layer.bias, Tensor):
            layer.bias[: len(found)] = -found @ mean.to(weight.dtype)


def patches_of(seen: Tensor, weight: Tensor) -> Tensor:
    """float64 (n, d): what a unit looks at, everywhere in these items, evenly taken."""
    for axis, size in enumerate(weight.shape[2:], 2):
        seen = seen.unfold(axis, size, 1)  # (B, C, places ..., window ...)
    kernel = weight.dim() - 2
    if kernel:
        places = range(2, 2 + kernel)
        seen = seen.permute(0, *places, 1, *range(2 + kernel, 2 + 2 * kernel))
    flat = seen.reshape(-1, weight[0].numel())
    return flat[:: max(1, -(-len(flat) // PATCHES))].double()
