"""One process, or several under torchrun: each works on its share of every batch, gradients are summed.

A plain all-reduce of gradients in place of DistributedDataParallel: it serves any number of players, and losses that
are not one forward call. The first process writes, speaks and measures; what it finds the others are told.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from deepen.errors import DeepenError

PATIENCE = datetime.timedelta(days=1)  # the others wait while the first one prepares data; a dead one is seen at once


class Processes:
    """This process among all of them."""

    def __init__(self) -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.world > 1:
            import torch.distributed as dist

            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", self.rank)) % torch.cuda.device_count())
            if not dist.is_initialized():
                backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
                with self._linked():
                    dist.init_process_group(backend, timeout=PATIENCE)
            assert dist.get_world_size() == self.world

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    @contextlib.contextmanager
    def _linked(self) -> Iterator[None]:
        """Within it the others are needed: one that is gone is told as such."""
        try:
            yield
        except RuntimeError as problem:  # all errors of torch.distributed
            raise DeepenError(
                "train.processes",
                f"process {self.rank} of {self.world}",
                "another process of this training ended, or cannot be reached",
                "all of them to the end",
                "see what the other one said; what was saved goes on with deepen train --resume RUN",
            ) from problem

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one exchange per type."""
        if self.world == 1 or not tensors:
            return
        import torch.distributed as dist

        for dtype in dict.fromkeys(t.dtype for t in tensors):
            some = [t for t in tensors if t.dtype == dtype]
            flat = torch.cat([t.reshape(-1) for t in some])
            with self._linked():
                dist.all_reduce(flat)
            for tensor, part in zip(some, flat.split([t.numel() for t in some])):
                tensor.copy_(part.view_as(tensor))

    def sum_gradients(self, parameters: Sequence[Tensor], loss: Tensor) -> None:
        """Sum gradients and loss; a process that had nothing to do for a parameter counts as zero."""
        if self.world == 1:
            return
        there = torch.tensor([float(p.grad is not None) for p in parameters], device=loss.device)
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        self.sum([*(p.grad for p in parameters if p.grad is not None), loss, there])
        for p, count in zip(parameters, there.tolist()):
            if not count:  # nobody's: it stays out of the step
                p.grad = None

    def most(self, *numbers: float) -> list[float]:
        """The largest of each number over all processes: what one was asked to do, all do."""
        if self.world == 1:
            return list(numbers)
        import torch.distributed as dist

        found = torch.tensor(numbers, dtype=torch.float64)
        with self._linked():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return found.tolist()

    def share(self, document: Any) -> Any:
        """The first process's document, as JSON has it, for everyone."""
        if self.world == 1:
            return document
        data = torch.tensor(list(json.dumps(document).encode()), dtype=torch.uint8)
        size = torch.tensor(len(data))
        self.broadcast([size])
        data = data if self.first else torch.empty(int(size), dtype=torch.uint8)
        self.broadcast([data])
        return json.loads(bytes(data.tolist()))

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Everyone takes the first process's values."""
        if self.world > 1:
            import torch.distributed as dist

            for tensor in tensors:
                with self._linked():
                    dist.broadcast(tensor, 0)

    def close(self) -> None:
        """Leave together: whoever left first would take the meeting place with it."""
        if self.world > 1:
            import torch.distributed as dist

            with self._linked():
                dist.barrier()
            dist.destroy_process_group()
