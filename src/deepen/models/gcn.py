"""Graph convolutional network, for nodes of one graph and for whole graphs.

    h = dropout(relu(norm(convolution(h)))) for each hidden layer
    nodes:  answer = the row of convolution(h)         graphs:  answer = linear(pool of h over the graph's nodes)

Paper    Kipf and Welling 2017, "Semi-supervised classification with graph convolutional networks", arXiv:1609.02907.
Differs  weight decay, where it is asked for, is on all layers; the paper has it on the first.
Letters  N nodes, B items, d features, K answers
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import nn

from deepen.nn.graphs import GraphConvolution, MessageNet, norm_of, of_graphs, width_of
from deepen.schema import Count, Share
from deepen.signature import Signature


class GCN(MessageNet):
    """Neighbours averaged with weights that fall with their number of neighbours; for graphs.

    dropout  of the input and of each hidden layer
    pool     of the nodes of a whole graph
    """

    takes = ("graph", "nodes")
    tiny = {"hidden": [8], "dropout": 0.2}

    def __init__(
        self,
        signature: Signature,
        hidden: tuple[Count, ...] = (16,),
        norm: Literal["none", "layer"] = "none",
        dropout: Share = 0.5,
        pool: Literal["mean", "sum", "max"] = "mean",
    ) -> None:
        widths = [width_of(signature), *hidden]
        last = nn.Linear if of_graphs(signature) else GraphConvolution
        super().__init__(
            signature,
            body=[GraphConvolution(a, b) for a, b in pairwise(widths)],
            norms=[norm_of(norm, width) for width in hidden],
            last=last(widths[-1], signature.answer.width),
            activate=nn.ReLU(),
            dropout=dropout,
            pool=pool,
        )
