"""One process, or several under torchrun: each works on its share of every batch, gradients are summed.

A plain all-reduce of gradients in place of DistributedDataParallel: it serves any number of players, and losses that
are not one forward call.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor


class Processes:
    """This process among all of them."""

    def __init__(self) -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.world > 1:
            import torch.distributed as dist

            if not dist.is_initialized():
                dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
            assert dist.get_world_size() == self.world

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one exchange per type."""
        if self.world == 1 or not tensors:
            return
        import torch.distributed as dist

        for dtype in {t.dtype for t in tensors}:
            some = [t for t in tensors if t.dtype == dtype]
            flat = torch.cat([t.reshape(-1) for t in some])
            dist.all_reduce(flat)
            for tensor, part in zip(some, flat.split([t.numel() for t in some])):
                tensor.copy_(part.view_as(tensor))

    def close(self) -> None:
        """Leave together: whoever left first would take the meeting place with it."""
        if self.world > 1:
            import torch.distributed as dist

            dist.barrier()
            dist.destroy_process_group()

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Everyone takes the first process's values."""
        if self.world > 1:
            import torch.distributed as dist

            for tensor in tensors:
                dist.broadcast(tensor, 0)
