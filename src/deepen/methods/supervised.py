"""Learning from labelled items.

    loss = the answer kind's own: cross-entropy for classes, binary cross-entropy for labels, squared error for numbers
           + auxiliary * the same of each further classifier a network has on its way (Inception)

Paper    label smoothing: Szegedy et al. 2016, section 7; further classifiers: section 4.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from deepen.data.batch import Labeled
from deepen.nn.heads import Assisted, head
from deepen.schema import NonNegative, Share
from deepen.training.method import Method


class Supervised(Method):
    """One network, labelled batches, the loss of the answer's kind.

    auxiliary  weight of the loss of a network's further classifiers
    """

    tiny: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, model: nn.Module, output: Any, label_smoothing: Share = 0.0, auxiliary: NonNegative = 0.4
    ) -> None:
        super().__init__()
        self.model = model
        self.head = head(output)
        self.label_smoothing, self.auxiliary = label_smoothing, auxiliary

    def loss(self, batch: Labeled, player: str) -> Tensor:
        if not isinstance(self.model, Assisted):
            return self._of(self.model(*batch.inputs), batch)
        answer, *others = self.model.answers(*batch.inputs)
        return self._of(answer, batch) + self.auxiliary * sum(self._of(other, batch) for other in others)

    def _of(self, raw: Any, batch: Labeled) -> Tensor:
        return self.head.loss(raw, batch.target, self.label_smoothing)  # type: ignore[operator]
