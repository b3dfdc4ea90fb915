"""Encoded items as tensors where the network is: gathered by index, augmented, normalised, in one call per batch."""

from __future__ import annotations

import hashlib
from collections.abc import Set
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from deepen.data.augment import Augment, moved
from deepen.data.prepare import Prepared
from deepen.data.stored import Ragged, store
from deepen.data.weights import weights
from deepen.errors import DeepenError
from deepen.kinds.several import Several
from deepen.nn.normalise import Normalise
from deepen.tensors import pack


def seed_of(*numbers: int) -> int:
    """One seed from several numbers: (seed, epoch), (seed, step, turn)."""
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=7).digest(), "big")


def generator_of(*numbers: int) -> torch.Generator:
    """A CPU generator: what is drawn does not depend on the device."""
    return torch.Generator().manual_seed(seed_of(*numbers))


class Data:
    """The items a method trains on. Row numbers everywhere; `parts` and `unlabelled` say which rows."""

    def __init__(
        self,
        prepared: Prepared,
        normalise: Normalise,
        augment: Augment,
        device: str = "cpu",
        resample: float = 0.0,
        item_weights: str | dict[str, Any] | None = None,
        new_share: float = 0.0,
        known: Set[str] | None = None,
    ) -> None:
        self.signature = prepared.signature
        self.ids = prepared.items.ids
        self.columns = store(self.signature.tensors, prepared.columns, device)
        self.truth = prepared.target  # as the kind measures it
        self.target = self._target(prepared, device)  # as a network learns it
        votes = prepared.items.votes
        self.votes = None if votes is None else torch.from_numpy(votes).to(device)
        self.parts = {name: torch.from_numpy(np.asarray(rows)) for name, rows in prepared.parts.items()}
        self.unlabelled = torch.from_numpy(np.asarray(prepared.unlabelled))
        self.normalise = normalise.to(device)
        self.augment = augment
        self.device = device
        self._check_places()
        drawn = weights(prepared, resample, item_weights, new_share, known)
        self.weights = None if drawn is None else torch.from_numpy(drawn)
        self.item_bytes = sum(column.item_bytes for column in self.columns)

    def _target(self, prepared: Prepared, device: str) -> Tensor | Ragged:
        """One row per item, or items of unequal size: a kind that says what its `truth` is has those."""
        tensor = getattr(self.signature.answer, "truth", None) if self.signature.outputs else None
        if tensor is None:
            return torch.from_numpy(prepared.target).to(device)
        return Ragged(tensor, pack(tensor, self.signature.answer.learnt(prepared.target, prepared.columns)), device)

    def _check_places(self) -> None:
        """What lies somewhere in an item cannot be mixed with another's."""
        if isinstance(self.target, Ragged) and self.augment.mix is not None:
            name = type(self.augment.mix).__module__.rsplit(".", 1)[1]
            raise DeepenError(
                "augment.mix", "train.augment", f"{name} cannot mix {self.signature.answer.describe()}",
                "no mixing of items", "train.augment=[]",
            )  # fmt: skip

    def take(self, rows: Tensor) -> list[Tensor]:
        """Encoded items by row number, as stored."""
        rows = rows.to(self.device)
        return [column.take(rows) for column in self.columns]

    @property
    def ragged(self) -> bool:
        """Whether items differ in size, so that a part of a batch is no slice of its tensors."""
        return isinstance(self.target, Ragged) or any(column.lengths is not None for column in self.columns)

    @property
    def lengths(self) -> Tensor | None:
        """int64 (N,): how long the items are that a batch pads to its longest; None where nothing is padded."""
        padded = [c.lengths for c, t in zip(self.columns, self.signature.tensors) if t.join == "pad"]
        return torch.stack(padded).sum(0).cpu() if padded else None  # type: ignore[arg-type]

    @torch.no_grad()
    def inputs(
        self, rows: Tensor, draw: torch.Generator | None = None, part: slice | Tensor = slice(None)
    ) -> tuple[Tensor, ...]:
        """The network's inputs for `rows[part]`; with `draw` augmented, drawn for all `rows` so that parts agree."""
        taken = self.take(rows[part])
        if draw is None or not self.augment.steps:
            return self.normalise(*taken)
        drawn = self.augment.draw(len(rows), draw)
        inputs = self.normalise(*self.augment.stored(taken, drawn, part))
        return tuple(self.augment.scaled([*inputs], drawn, part))

    def shares(self, rows: Tensor) -> Tensor:
        """Targets that can be mixed: float32, classes as shares (B, K)."""
        if isinstance(self.signature.answer, Several):
            raise DeepenError(
                "augment.mix",
                "train.augment",
                "several answers about one item",
                "no mixing of items",
                "train.augment=[]",
            )
        target = self.taught(rows)
        one = not target.is_floating_point() and target.ndim == 1
        return (F.one_hot(target, self.signature.answer.width) if one else target).float()

    def taught(self, rows: Tensor, draw: torch.Generator | None = None, part: slice | Tensor = slice(None)) -> Tensor:
        """As `targets`; where people did not agree, shares of the classes, float32 (B, K)."""
        if self.votes is None:
            return self.targets(rows, draw, part)
        return self.votes.index_select(0, rows[part].to(self.device))

    @torch.no_grad()
    def targets(self, rows: Tensor, draw: torch.Generator | None = None, part: slice | Tensor = slice(None)) -> Tensor:
        """The targets of `rows[part]`; with `draw`, the same that `inputs` got, moved along with the pictures."""
        mine = rows[part].to(self.device)
        if not isinstance(self.target, Ragged):
            return self.target.index_select(0, mine)
        found = self.target.take(mine)
        if draw is None or not self.augment.steps:
            return found
        height, width = next(t.shape[1:3] for t in self.signature.tensors if len(t.shape) == 4)
        drawn = [{k: v[:, part] for k, v in values.items()} for values in self.augment.draw(len(rows), draw)]
        matrix = self.augment.affine(drawn, int(height), int(width))
        return found if matrix is None else moved(found, matrix.to(self.device))
