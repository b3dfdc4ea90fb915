"""Attention over what somebody had, in the order of time: the latest place says what comes next.

    x_k = e_{i_k} + p_k, k counted from the latest; blocks of causal attention
    u = W x + b at the latest place + K(known)        s_i = u . e_i + b_i        K: two dense layers

Paper    Kang and McAuley 2018, "Self-attentive sequential recommendation", arXiv:1808.09781, section III.
Differs  softmax over all things in place of one drawn against each (Klenitskiy and Vasilev 2023, arXiv:2309.07602);
         every event is an item of its own, so that batches are drawn evenly over time.
Letters  B items, L events, N things, d width
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.drawn import Drawn
from deepen.nn.recommend import Known, Things
from deepen.nn.transformer import Stack
from deepen.schema import Count, Share
from deepen.signature import Signature


class SequenceRecommender(nn.Module):
    """Causal attention over the latest events; for histories, and rows about somebody beside them.

    width   of the vectors
    latest  events that are looked at
    """

    aliases: dict[str, dict[str, int]] = {"sasrec": {}}
    takes = ("history", "row")
    joins = True
    kinds = ("ranking",)
    tiny = {"width": 8, "heads": 2, "depth": 1}

    def __init__(
        self,
        signature: Signature,
        width: Count = 64,
        depth: Count = 2,
        heads: Count = 2,
        latest: Count = 50,
        dropout: Share = 0.2,
    ) -> None:
        super().__init__()
        self.latest = latest
        self.things = Things(signature, width)
        self.known = Known(signature, width)
        self.places = nn.Parameter(torch.empty(latest, width).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.stack = Stack(width, heads, depth, 2 * width, dropout=dropout)
        self.last = nn.Linear(width, width)

    def features(self, events: Tensor, *columns: Tensor) -> Tensor:
        """To (B, d)."""
        some = events[:, : self.latest]
        rows = F.embedding(some, self.things.rows(self.things.vectors.weight), 0) + self.places[: some.shape[1]]
        in_time = self.stack(self.dropout(rows.flip(1)), some.flip(1) > 0, True)  # what fills up stands in front
        found = self.last(in_time[:, -1])
        found = torch.where(some[:, :1] > 0, found, torch.zeros_like(found))
        return found + self.known(columns, found)

    def forward(self, events: Tensor, *columns: Tensor) -> Tensor | Drawn:
        """To (B, N)."""
        return self.things(self.features(events, *columns), events)
