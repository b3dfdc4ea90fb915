"""GraphSAGE, for nodes of one graph and for whole graphs.

    h = dropout(relu(norm(W h_i + V aggregate of h_j over the neighbours j))) for each hidden layer
    nodes:  answer = the row of one more such layer         graphs:  answer = linear(pool of h over the graph's nodes)

Paper    Hamilton, Ying, Leskovec 2017, "Inductive representation learning on large graphs", arXiv:1706.02216.
Differs  all neighbours, no sample of them; a node's own state has a matrix of its own, as in the authors' code; no
         division by the length of h.
Letters  N nodes, B items, d features, K answers
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import nn

from deepen.nn.graphs import Aggregate, MessageNet, norm_of, of_graphs, width_of
from deepen.schema import Count, Share
from deepen.signature import Signature


class Sage(MessageNet):
    """A node's own state beside what its neighbours say together; for graphs.

    aggregate  mean, max or sum of the neighbours; the sum also counts them
    dropout    of the input and of each hidden layer
    pool       of the nodes of a whole graph
    """

    aliases: dict[str, dict[str, str]] = {"graphsage": {}}
    takes = ("graph", "nodes")
    tiny = {"hidden": [8], "dropout": 0.2}

    def __init__(
        self,
        signature: Signature,
        hidden: tuple[Count, ...] = (64,),
        aggregate: Literal["mean", "max", "sum"] = "mean",
        norm: Literal["none", "layer"] = "none",
        dropout: Share = 0.5,
        pool: Literal["mean", "sum", "max"] = "mean",
    ) -> None:
        widths = [width_of(signature), *hidden]
        answers = signature.answer.width
        super().__init__(
            signature,
            body=[Aggregate(a, b, aggregate) for a, b in pairwise(widths)],
            norms=[norm_of(norm, width) for width in hidden],
            last=nn.Linear(widths[-1], answers) if of_graphs(signature) else Aggregate(widths[-1], answers, aggregate),
            activate=nn.ReLU(),
            dropout=dropout,
            pool=pool,
        )
