"""Multiply-adds of a network: what its convolutions, dense and recurrent layers and attention cost, as it runs.

    dense        rows * inside * outside            convolution  places * inside / groups * outside * kernel
    attention    h Q K (d + e)                      recurrent    steps * numbers in the matrices

Counted at torch's own kernels, so that no way of writing a layer is missed. Embeddings, norms, activations, pooling, and
what is gathered along the edges of a graph, are not counted. Places: those that come out; of a transposed convolution
those that go in.
Letters  h heads (and items), Q queries, K keys, d width of queries, e of values
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Count = Callable[[Any, Any], int]  # of a kernel's arguments and its result


def multiply_adds(net: nn.Module, *inputs: Tensor) -> int:
    """How many there are in one pass of these inputs. `net` is in evaluation mode, else the pass leaves its traces."""
    with torch.no_grad(), _Counting() as found:
        net(*inputs)
    return found.total


class _Counting(TorchDispatchMode):
    """Looks at every kernel within it."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """A hack: hiding from torch's compiler would load it, for more than a second; nothing is compiled within this."""
        return False

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = kernel(*args, **(kwargs or {}))
        name = kernel.overloadpacket.__name__
        count = _attention if name.startswith("_scaled_dot_product") else KERNELS.get(name)
        if count is not None:
            self.total += count(args, result)
        return result


def _product(first: int) -> Count:
    """Of matrices (..., n, k) and (..., k, m), or a vector (k,), which begin at an argument."""
    return lambda args, result: (
        math.prod(args[first].shape) * (args[first + 1].shape[-1] if args[first + 1].dim() > 1 else 1)
    )


def _convolution(args: Any, result: Any) -> int:
    given, weight, transposed = args[0], args[1], args[6]
    places = (given if transposed else result).shape
    return weight.numel() * places[0] * math.prod(places[2:])


def _attention(args: Any, result: Any) -> int:
    queries, keys, values = args[:3]
    return queries.shape[:-1].numel() * keys.shape[-2] * (queries.shape[-1] + values.shape[-1])


def _recurrent(weights: Callable[[Any], list[Tensor]]) -> Count:
    """Of steps (L, B, d), or (B, L, d): every matrix is used in every step."""
    return lambda args, result: math.prod(args[0].shape[:2]) * sum(w.numel() for w in weights(args) if w.dim() > 1)


KERNELS: dict[str, Count] = {
    "mm": _product(0), "bmm": _product(0), "mv": _product(0), "dot": _product(0), "addmm": _product(1),
    "baddbmm": _product(1), "addbmm": _product(1), "addmv": _product(1), "convolution": _convolution,
    "mkldnn_rnn_layer": _recurrent(lambda args: [*args[1:3]]), "_cudnn_rnn": _recurrent(lambda args: args[1]),
}  # fmt: skip
