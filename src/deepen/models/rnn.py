"""Recurrent network: a text, a series or a picture's rows read step by step.

    rnn    h = tanh(W x + U h' + b)                                                    Elman 1990
    lstm   c = f c' + i tanh(..), h = o tanh(c); gates i, f, o sigmoid                 Hochreiter and Schmidhuber 1997
    gru    h = (1 - z) n + z h', n = tanh(W x + r (U h')); gates z, r sigmoid          Cho et al. 2014, arXiv:1406.1078

Of a text and what is written to it, the text goes through layers of its own first. Each state of what is written looks
at those of the text, by additive attention behind the recurrence: s = tanh(W [h; sum_i a_i t_i])
(Bahdanau et al. 2015, arXiv:1409.0473, A.1.2; its place: Luong et al. 2015, arXiv:1508.04025, section 3).

Two directions read an item from its ends and stand side by side. Items keep their own lengths without being packed:
what fills up comes after them, and the second direction reads each item turned round within its length. So training
runs torch's fused kernels on whole batches, and the exported graph takes any length.
Differs  recurrent weights start orthogonal (Saxe et al. 2014), an LSTM's forget gate open (Jozefowicz et al. 2015).
Letters  B items, L steps, h width of a direction, d features, K classes
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from deepen.nn.attention import Additive
from deepen.nn.sequence import Steps, backwards, each, last
from deepen.nn.sequence import pool as pool_of
from deepen.preprocess.pair import Pair
from deepen.schema import Count, Share
from deepen.signature import Signature

CELLS: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class RNN(nn.Module):
    """Elman, LSTM or GRU cells over the steps of an item.

    cell        rnn (Elman's), lstm or gru
    width       of a direction's state
    layers      of cells, each of which hears the one below
    bidirectional  also from the end to the beginning
    pool        how states become features: the last, their mean, maximum, or a learnt mean
    embedding   numbers per piece of a text
    dropout     on what goes into each layer and on the features
    """

    aliases = {"elman": {"cell": "rnn"}, "lstm": {"cell": "lstm"}, "gru": {"cell": "gru"}}
    takes = ("text", "pair", "audio", "image", "array", "series")
    tiny = {"width": 8, "embedding": 8}

    def __init__(
        self,
        signature: Signature,
        cell: Literal["rnn", "lstm", "gru"] = "gru",
        width: Count = 128,
        layers: Count = 1,
        bidirectional: bool = False,
        pool: Literal["last", "mean", "max", "attention"] = "last",
        embedding: Count = 128,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        self.steps = Steps(signature, embedding)
        self.dropout = nn.Dropout(dropout)
        paired = isinstance(next(iter(signature.inputs.values())), Pair)
        self.layers, inside = _layers(cell, self.steps.width, width, layers, bidirectional and not paired)
        self.source: nn.ModuleList | None = None
        if paired:
            self.source, outside = _layers(cell, self.steps.width, width, layers, bidirectional)
            self.look, self.joined = Additive(inside, outside, width), nn.Linear(inside + outside, inside)
        self.pool = pool_of(pool, inside) if pool != "last" else None
        self.each = each(signature)
        self.last = nn.Linear(inside, signature.answer.width)

    def states(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        """The last layer's states (B, L, d), and which steps are there (B, L); behind a text, of what is written to it."""
        states, there = self._through(self.layers, given[-1])
        if self.source is None:
            return states, there
        source, known = self._through(self.source, given[0])
        seen = self.look(states, source, source, known)
        return torch.tanh(self.joined(torch.cat([states, seen], 2))), there

    def _through(self, layers: nn.ModuleList, given: Tensor) -> tuple[Tensor, Tensor]:
        steps, there = self.steps(given)
        for layer in layers:
            steps = layer(self.dropout(steps), there)
        return steps, there

    def features(self, *given: Tensor) -> Tensor:
        """To (B, d)."""
        states, there = self.states(*given)
        if self.pool is not None:
            return self.dropout(self.pool(states, there))
        h = self.layers[-1].forwards.hidden_size  # type: ignore[union-attr]
        # the second direction ends at an item's first step
        return self.dropout(torch.cat([last(states[..., :h], there), states[:, 0, h:]], 1))

    def forward(self, *given: Tensor) -> Tensor:
        """To (B, K); (B, L, K) where an answer is wanted at every step."""
        return self.last(self.dropout(self.states(*given)[0]) if self.each else self.features(*given))


def _layers(cell: str, inside: int, width: int, count: int, bidirectional: bool) -> tuple[nn.ModuleList, int]:
    """Layers one after the other, and how wide what they give is."""
    layers = nn.ModuleList()
    for _ in range(count):
        layers.append(Layer(cell, inside, width, bidirectional))
        inside = width * (2 if bidirectional else 1)
    return layers, inside


class Layer(nn.Module):
    """One layer of one or two directions: (B, L, d) to (B, L, h) or (B, L, 2 h)."""

    def __init__(self, cell: str, inside: int, width: int, bidirectional: bool) -> None:
        super().__init__()
        self.forwards = _direction(cell, inside, width)
        self.backwards = _direction(cell, inside, width) if bidirectional else None
        self.width = width * (2 if bidirectional else 1)

    def forward(self, steps: Tensor, there: Tensor) -> Tensor:
        ahead = run(self.forwards, steps)
        if self.backwards is None:
            return ahead
        return torch.cat([ahead, backwards(run(self.backwards, backwards(steps, there)), there)], 2)


def _direction(cell: str, inside: int, width: int) -> nn.RNNBase:
    layer = CELLS[cell](inside, width, batch_first=True)  # type: ignore[call-arg, arg-type]
    given, back, *biases = layer.parameters()
    with torch.no_grad():
        for ours, theirs in zip(given.split(width), back.split(width)):  # one of each per gate
            nn.init.xavier_uniform_(ours)
            nn.init.orthogonal_(theirs)
        for bias in biases:
            bias.zero_()
        if cell == "lstm":
            biases[0][width : 2 * width] = 1
    return layer


def run(layer: nn.RNNBase, steps: Tensor) -> Tensor:
    """All states of one direction from a state of zero: (B, L, d) to (B, L, h)."""
    return written(layer, steps) if torch.onnx.is_in_onnx_export() else layer(steps)[0]


# ONNX's name of a layer, and its order of the gates among torch's
WRITTEN: dict[type[nn.Module], tuple[str, tuple[int, ...]]] = {
    nn.RNN: ("RNN", (0,)),
    nn.LSTM: ("LSTM", (0, 3, 1, 2)),
    nn.GRU: ("GRU", (1, 0, 2)),
}


def written(layer: nn.RNNBase, steps: Tensor) -> Tensor:
    """`run` as ONNX's own operator: torch's exporter unrolls an Elman layer, and ties an LSTM to the length it saw."""
    name, order = WRITTEN[type(layer)]

    def gates(of: Tensor) -> Tensor:
        parts = of.chunk(len(order))
        return torch.cat([parts[i] for i in order])

    given = steps.transpose(0, 1)  # (L, B, d)
    w, u, b, c = (gates(p) for p in layer.parameters())
    settings: dict[str, Any] = {"hidden_size": layer.hidden_size}
    if name == "GRU":
        settings["linear_before_reset"] = 1
    shape = (given.shape[0], 1, given.shape[1], layer.hidden_size)
    (states,) = torch.onnx.ops.symbolic_multi_out(
        name, [given, w[None], u[None], torch.cat([b, c])[None]], settings,
        dtypes=[given.dtype], shapes=[shape], version=14,
    )  # fmt: skip
    return states[:, 0].transpose(0, 1)
