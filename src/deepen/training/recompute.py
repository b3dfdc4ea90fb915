"""Memory for time: within a block nothing is kept for the way back; it is computed a second time there.

Paper    Chen et al. 2016, arXiv:1604.06174, section 4.1.

A block is what stands in a network's row of blocks (a Sequential or a list) and is no single layer. Random draws are the
same the second time, and running statistics are moved only once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from deepen.errors import DeepenError

Norm = nn.modules.batchnorm._BatchNorm


def recompute(network: nn.Module) -> None:
    """Make a network compute its blocks twice. A hack: their `forward` is replaced on the instance."""
    found = blocks(network)
    if not found:
        raise DeepenError(
            "train.recompute", "train.recompute", f"{type(network).__name__.lower()} has no blocks", "a network of blocks",
            "leave it out; train.accumulate saves memory too",
        )  # fmt: skip
    for block in found:
        block.forward = functools.partial(_twice, block)


def blocks(network: nn.Module) -> list[nn.Module]:
    """The innermost parts of rows of blocks."""
    rows = [m for m in network.modules() if isinstance(m, (nn.Sequential, nn.ModuleList))]
    some = [block for row in rows for block in row if len([*block.parameters()]) and len([*block.children()])]
    return [block for block in some if not any(other in some for other in block.modules() if other is not block)]


def _twice(block: nn.Module, *inputs: Any, **named: Any) -> Any:
    plain = functools.partial(type(block).forward, block)
    if not (block.training and torch.is_grad_enabled()):
        return plain(*inputs, **named)
    again = lambda: (contextlib.nullcontext(), _still(block))
    return checkpoint(plain, *inputs, use_reentrant=False, context_fn=again, **named)


@contextlib.contextmanager
def _still(block: nn.Module) -> Iterator[None]:
    """Within it running statistics stay as they are."""
    norms = [m for m in block.modules() if isinstance(m, Norm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked.clone() for norm in norms if norm.num_batches_tracked is not None]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)  # type: ignore[union-attr]
