"""Graph attention network, for nodes of one graph and for whole graphs.

    h = elu(norm(attention(dropout(h)))), the heads side by side, for each hidden layer
    nodes:  answer = the row of attention(dropout(h)), its heads' mean
    graphs: answer = linear(pool of dropout(h) over the graph's nodes)

Paper    Velickovic et al. 2018, "Graph attention networks", arXiv:1710.10903, section 3.3: 8 heads of 8, dropout 0.6.
Letters  N nodes, B items, d features, K answers
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from deepen.nn.graphs import GraphAttention, MessageNet, norm_of, of_graphs, width_of
from deepen.schema import Count, Share
from deepen.signature import Signature


class GAT(MessageNet):
    """Neighbours weighed by what they and the node itself look like; for graphs.

    hidden   features of each head, layer by layer
    heads    that look on their own, side by side
    last_heads  of the layer that answers, whose mean is taken
    dropout  of every layer's input, and of the attention
    pool     of the nodes of a whole graph
    """

    takes = ("graph", "nodes")
    tiny = {"hidden": [4], "heads": 2, "dropout": 0.2}

    def __init__(
        self,
        signature: Signature,
        hidden: tuple[Count, ...] = (8,),
        heads: Count = 8,
        last_heads: Count = 1,
        norm: Literal["none", "layer"] = "none",
        dropout: Share = 0.6,
        pool: Literal["mean", "sum", "max"] = "mean",
    ) -> None:
        width, body = width_of(signature), []
        for size in hidden:
            body.append(GraphAttention(width, size, heads, dropout))
            width = size * heads
        answers = signature.answer.width
        super().__init__(
            signature,
            body=[*body],
            norms=[norm_of(norm, size * heads) for size in hidden],
            last=nn.Linear(width, answers)
            if of_graphs(signature)
            else GraphAttention(width, answers, last_heads, dropout, mean=True),
            activate=nn.ELU(),
            dropout=dropout,
            pool=pool,
        )
