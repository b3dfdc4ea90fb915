"""Learning from labelled items.

    loss = the answer kind's own: cross-entropy for classes, binary cross-entropy for labels, squared error for numbers

Paper    label smoothing: Szegedy et al. 2016, section 7.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from deepen.data.batch import Labeled
from deepen.nn.heads import head
from deepen.schema import Share
from deepen.training.method import Method


class Supervised(Method):
    """One network, labelled batches, the loss of the answer's kind."""

    tiny: ClassVar[dict[str, Any]] = {}

    def __init__(self, model: nn.Module, output: Any, label_smoothing: Share = 0.0) -> None:
        super().__init__()
        self.model = model
        self.head = head(output)
        self.label_smoothing = label_smoothing

    def loss(self, batch: Labeled, player: str) -> Tensor:
        return self.head.loss(self.model(*batch.inputs), batch.target, self.label_smoothing)  # type: ignore[operator]
