"""Encoded items as tensors where the network is: gathered by index, augmented, normalised, in one call per batch."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from deepen.data.augment import Augment
from deepen.data.prepare import Prepared
from deepen.data.stored import store
from deepen.errors import DeepenError
from deepen.nn.normalise import Normalise


def seed_of(*numbers: int) -> int:
    """One seed from several numbers: (seed, epoch), (seed, step, turn)."""
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=7).digest(), "big")


def generator_of(*numbers: int) -> torch.Generator:
    """A CPU generator: what is drawn does not depend on the device."""
    return torch.Generator().manual_seed(seed_of(*numbers))


class Data:
    """The items a method trains on. Row numbers everywhere; `parts` and `unlabelled` say which rows."""

    def __init__(self, prepared: Prepared, normalise: Normalise, augment: Augment, device: str = "cpu") -> None:
        self.signature = prepared.signature
        self.ids = prepared.items.ids
        self.columns = store(self.signature.tensors, prepared.columns, device)
        self.target = torch.from_numpy(prepared.target).to(device)
        self.parts = {name: torch.from_numpy(np.asarray(rows)) for name, rows in prepared.parts.items()}
        self.unlabelled = torch.from_numpy(np.asarray(prepared.unlabelled))
        self.normalise = normalise.to(device)
        self.augment = augment
        self.device = device
        self.picture = self._picture()
        self.item_bytes = sum(column.item_bytes for column in self.columns)

    def _picture(self) -> int | None:
        """Which tensor holds the pictures that can be augmented."""
        at = [i for i, t in enumerate(self.signature.tensors) if t.dtype == "uint8" and len(t.shape) == 4]
        if self.augment.steps and not at:
            raise DeepenError(
                "augment.kind", "train.augment", "this data has no pictures", "no augmentation", "train.augment=[]"
            )
        return at[0] if at and self.augment.steps else None

    def take(self, rows: Tensor) -> list[Tensor]:
        """Encoded items by row number, as stored."""
        rows = rows.to(self.device)
        return [column.take(rows) for column in self.columns]

    @property
    def ragged(self) -> bool:
        """Whether items differ in size, so that a part of a batch is no slice of its tensors."""
        return any(column.lengths is not None for column in self.columns)

    @property
    def lengths(self) -> Tensor | None:
        """int64 (N,): how long the items are that a batch pads to its longest; None where nothing is padded."""
        padded = [c.lengths for c, t in zip(self.columns, self.signature.tensors) if t.join == "pad"]
        return torch.stack(padded).sum(0).cpu() if padded else None  # type: ignore[arg-type]

    @torch.no_grad()
    def inputs(
        self, rows: Tensor, draw: torch.Generator | None = None, part: slice = slice(None)
    ) -> tuple[Tensor, ...]:
        """The network's inputs for `rows[part]`; with `draw` augmented, drawn for all `rows` so that parts agree."""
        taken = self.take(rows[part])
        if draw is not None and self.picture is not None:
            drawn = self.augment.draw(len(rows), draw)
            taken[self.picture] = self.augment.apply(taken[self.picture], drawn, part)
        return self.normalise(*taken)

    def targets(self, rows: Tensor) -> Tensor:
        return self.target.index_select(0, rows.to(self.device))
