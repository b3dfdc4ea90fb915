"""Two towers: somebody's vector from what they had and what is known of them, a vector per thing, their product.

    u = D([mean of e_i over the latest events, known])        s_i = u . e'_i + b_i

Paper    Covington et al. 2016, "Deep neural networks for YouTube recommendations", section 3; Yi et al. 2019.
Differs  all things compete in training, so that nothing has to be corrected for how it was drawn; the frequencies are
         a term of the score (nn/recommend.py), which is what somebody new is answered by.
Letters  B items, L events, N things, d width
"""

from __future__ import annotations

from torch import Tensor, nn

from deepen.nn.recommend import Known, Things
from deepen.nn.sequence import Mean
from deepen.schema import Count, Share
from deepen.signature import Signature


class TwoTower(nn.Module):
    """The mean of the latest events through dense layers; for histories, and rows about somebody beside them.

    width   of the vectors
    latest  events that are looked at
    """

    takes = ("history", "row")
    joins = True
    tiny = {"width": 8}

    def __init__(
        self, signature: Signature, width: Count = 64, hidden: Count = 128, latest: Count = 50, dropout: Share = 0.2
    ) -> None:
        super().__init__()
        self.latest = latest
        self.things = Things(signature, width)
        self.had = nn.Embedding.from_pretrained(self.things.vectors.weight.detach().clone(), False, padding_idx=0)
        self.known = Known(signature, width)
        self.dense = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        nn.init.zeros_(self.dense[-1].bias)  # type: ignore[arg-type]

    def features(self, events: Tensor, *columns: Tensor) -> Tensor:
        """To (B, d)."""
        some = events[:, : self.latest]
        mean = Mean()(self.had(some), some > 0)
        return self.dense(mean + self.known(columns, mean))

    def forward(self, events: Tensor, *columns: Tensor) -> Tensor:
        """To (B, N)."""
        return self.things(self.features(events, *columns), events)
