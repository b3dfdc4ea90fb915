"""Two towers: somebody's vector from what they had and what is known of them, a vector per thing, their product.

    u = D(mean of e_i over the latest events + K(known))        s_i = u . e'_i + b_i        D, K: two dense layers each

Paper    Covington et al. 2016, "Deep neural networks for YouTube recommendations", section 3; Yi et al. 2019.
Differs  all things compete in training, or some that are drawn (nn/drawn.py); the frequencies are a term of the score
         (nn/recommend.py), which is what somebody new is answered by.
Letters  B items, L events, N things, d width
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.drawn import Drawn
from deepen.nn.recommend import Known, Things
from deepen.nn.sequence import Mean
from deepen.schema import Count, Share
from deepen.signature import Signature


class TwoTower(nn.Module):
    """The mean of the latest events through dense layers; for histories, and rows about somebody beside them.

    width   of the vectors
    hidden  width of the hidden layer
    latest  events that are looked at
    drawn   things that compete in a step of training, drawn by frequency, for where all are too many; none: all
    """

    takes = ("history", "row")
    joins = True
    kinds = ("ranking",)
    tiny = {"width": 8}

    def __init__(
        self,
        signature: Signature,
        width: Count = 64,
        hidden: Count = 128,
        latest: Count = 50,
        drawn: Count | None = None,
        dropout: Share = 0.2,
    ) -> None:
        super().__init__()
        self.latest = latest
        self.things = Things(signature, width, drawn=drawn)
        self.had = nn.Embedding.from_pretrained(self.things.vectors.weight.detach().clone(), False, padding_idx=0)
        self.known = Known(signature, width)
        self.dense = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        for layer in (self.dense[1], self.dense[4]):  # so that somebody new begins at 0
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def features(self, events: Tensor, *columns: Tensor) -> Tensor:
        """To (B, d)."""
        some = events[:, : self.latest]
        mean = Mean()(F.embedding(some, self.things.rows(self.had.weight), 0), some > 0)
        return self.dense(mean + self.known(columns, mean))

    def forward(self, events: Tensor, *columns: Tensor) -> Tensor | Drawn:
        """To (B, N)."""
        return self.things(self.features(events, *columns), events)
