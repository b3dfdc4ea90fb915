"""Learning to foretell each piece of a text from those before it.

    loss = mean over a text's places of -log p(x_t | x_1 ... x_(t-1))        of an answer to a text: p(y_t | x, y_1 ... y_(t-1))

A network that looks ahead has nothing to foretell and seems to learn very well: it is tried on drawn pieces before it
learns, and refused.
Paper    Bengio et al. 2003, JMLR 3, eq. 1; at every place of a Transformer at once: Radford et al. 2018.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from deepen.data.batch import Labeled
from deepen.errors import DeepenError
from deepen.nn.heads import head
from deepen.nn.language import looks_ahead
from deepen.schema import Share
from deepen.training.method import Method


class NextToken(Method):
    """A network that goes on with a text, or answers one, learnt from texts.

    label_smoothing  share of the truth that is spread over all pieces
    """

    tiny: ClassVar[dict[str, Any]] = {}
    head: Any

    def __init__(self, model: nn.Module, output: Any, label_smoothing: Share = 0.0) -> None:
        super().__init__()
        if not getattr(output, "each", False):
            raise DeepenError(
                "method.answer", "method next_token", f"the answer is {output.describe()}",
                "a text that goes on", "deepen train book.txt",
            )  # fmt: skip
        if looks_ahead(model, output.width, sources=getattr(output, "sources", 0)):
            raise DeepenError(
                "method.causal", "method next_token", "the network looks at pieces that come later",
                "one that looks back only", "leave out model.causal, model.bidirectional",
            )  # fmt: skip
        self.model, self.head, self.smoothing = model, head(output), label_smoothing

    def loss(self, batch: Labeled, player: str) -> Tensor:
        return self.head.loss(self.model(*batch.inputs), batch.target, self.smoothing)
