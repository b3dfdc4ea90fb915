"""Several inputs at once: a network for each, and one that joins what they find.

    v_i        W_i n_i(x_i), or s_i where x_i is missing        n_i: the network of input i, s_i: learnt
    concat     dense([v_1 ... v_M])
    cross      dense([v_1 + A(v_1, rows of the others) ... v_M + A(v_M, rows of the others)])        A: attention
    attention  dense(the mean of what stack(all rows) has in the places of v_1 ... v_M)

The rows of an input are v_i and, to cross and attention, what its network has before it makes one vector of it: the
steps of a text or a sound, the places of a picture; v_i is then their mean. What is missing has s_i alone.
Papers   cross: Lu et al. 2019, "ViLBERT", arXiv:1908.02265, section 3; attention: Kim et al. 2021, "ViLT", arXiv:2102.03334.
Differs  networks as they are by themselves below the fusion; one layer of cross attention.
Letters  B items, M inputs, d width, K answers
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.nn.attention import MultiHead
from deepen.nn.inputs import Mapped, Measured, backbone
from deepen.nn.layers import activation as activation_of
from deepen.nn.normalise import Normalise
from deepen.nn.sequence import Mean, Sequential
from deepen.nn.transformer import Stack
from deepen.preprocess.optional import Optional
from deepen.schema import Activation, Count, Share, Spec
from deepen.signature import Signature

OWN: dict[str, dict[str, Any]] = {  # by the encoder's name
    "image": {"name": "cnn"},
    "text": {"name": "rnn", "bidirectional": True, "pool": "max", "width": 64, "embedding": 64},
    "audio": {"name": "cnn"},
    "row": {"name": "tab_mlp", "hidden": [64]},
    "array": {"name": "mlp", "hidden": [64]},
}


class Multimodal(nn.Module):
    """A network per input, joined; for pictures, texts, sounds, tables and arrays side by side.

    image, text, audio, row, array  the network for inputs of that kind, by name; none: a small one
    fusion  concat: vectors side by side; cross: each looks at the others' rows; attention: all rows look at each other
    width   of each input's vector where they are joined
    depth   blocks of attention
    hidden  dense layers behind
    leave_out  share of the items in which an input that may be missing is left out while training
    """

    takes = ("image", "text", "audio", "row", "array", "optional")
    joins = True
    tiny: ClassVar[dict[str, Any]] = {
        "width": 8, "hidden": [8], "image": {"name": "cnn", "channels": [4]}, "text": {"name": "rnn", "width": 4, "embedding": 4},
        "audio": {"name": "rnn", "width": 4}, "row": {"name": "mlp", "hidden": [8]}, "array": {"name": "mlp", "hidden": [8]},
    }  # fmt: skip

    def __init__(
        self,
        signature: Signature,
        image: Spec | None = None,
        text: Spec | None = None,
        audio: Spec | None = None,
        row: Spec | None = None,
        array: Spec | None = None,
        fusion: Literal["concat", "cross", "attention"] = "concat",
        width: Count = 64,
        heads: Count = 4,
        depth: Count = 1,
        hidden: tuple[Count, ...] = (64,),
        activation: Activation = "relu",
        dropout: Share = 0.1,
        leave_out: Share = 0.1,
    ) -> None:
        super().__init__()
        if fusion == "cross" and len(signature.inputs) < 2:
            raise DeepenError(
                "model.fusion", "model.fusion", "cross with one input", "at least two", "model.fusion=concat"
            )
        given = {"image": image, "text": text, "audio": audio, "row": row, "array": array}
        self.parts = nn.ModuleList(
            Part(name, encoder, given, signature, width, fusion != "concat", leave_out)
            for name, encoder in signature.inputs.items()
        )
        self.counts = [len(encoder.tensors) for encoder in signature.inputs.values()]
        self.cross = MultiHead(width, heads) if fusion == "cross" else None
        self.stack = Stack(width, heads, depth, 2 * width, dropout=dropout) if fusion == "attention" else None
        inside = width if fusion == "attention" else width * len(self.parts)
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(inside, size), activation_of(activation), nn.Dropout(dropout)]
            inside = size
        self.dense = nn.Sequential(*layers)
        self.last = nn.Linear(inside, signature.answer.width)

    def measure(self, *inputs: Tensor) -> None:
        """Each network looks at its own input."""
        for part, own in zip(self.parts, self._shared_out(inputs)):
            part.measure(own)  # type: ignore[operator]

    def features(self, *inputs: Tensor) -> Tensor:
        """To (B, d)."""
        found = [part(own) for part, own in zip(self.parts, self._shared_out(inputs))]
        vectors = [rows[:, 0] for rows, _ in found]  # each (B, d)
        if self.cross is not None:
            vectors = [
                v + self._looked(v, [own for k, own in enumerate(found) if k != i]) for i, v in enumerate(vectors)
            ]
        if self.stack is None:
            return self.dense(torch.cat(vectors, 1))
        # the vectors first, so that their places are known
        rest = torch.cat([*([v[:, None] for v in vectors]), *(rows[:, 1:] for rows, _ in found)], 1)
        there = torch.cat([*(there[:, :1] for _, there in found), *(there[:, 1:] for _, there in found)], 1)
        return self.dense(self.stack(rest, there)[:, : len(vectors)].mean(1))

    def _looked(self, vector: Tensor, others: list[tuple[Tensor, Tensor]]) -> Tensor:
        """What a vector (B, d) finds among the others' rows."""
        source, there = (torch.cat([pair[k] for pair in others], 1) for k in range(2))
        assert self.cross is not None
        return self.cross(vector[:, None], source, there)[:, 0]

    def forward(self, *inputs: Tensor) -> Tensor:
        """To (B, K)."""
        return self.last(self.features(*inputs))

    def _shared_out(self, inputs: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
        """Each part's tensors."""
        ends = itertools.accumulate(self.counts)
        return [inputs[end - count : end] for count, end in zip(self.counts, ends)]


class Part(nn.Module):
    """One input: its network, brought to the common width, with what stands in for it where it is missing."""

    def __init__(
        self,
        name: str,
        encoder: Any,
        given: dict[str, Any],
        signature: Signature,
        width: int,
        fine: bool,
        leave_out: float,
    ) -> None:
        super().__init__()
        self.leave_out = leave_out
        inner = encoder.inner if isinstance(encoder, Optional) else encoder
        kind = type(inner).__module__.rpartition(".")[2]
        own = Signature({name: inner}, signature.outputs)
        self.net = backbone(given[kind] or OWN[kind], own, f"model.{kind}")
        self.fine = fine and isinstance(self.net, (Sequential, Mapped))
        self.bring = nn.Linear(self._tried(own), width)
        self.stand_in = nn.Parameter(torch.zeros(width)) if isinstance(encoder, Optional) else None

    def measure(self, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(self.net, Measured):
            self.net.measure(*(inputs if self.stand_in is None else inputs[:-1]))

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Rows (B, L, d), the vector of the whole input first, and which of them are there (B, L)."""
        found, there = self._rows(inputs if self.stand_in is None else inputs[:-1])
        rows = self.bring(found)
        if self.fine:
            rows = torch.cat([Mean()(rows, there)[:, None], rows], 1)
            there = torch.cat([torch.ones_like(there[:, :1]), there], 1)
        if self.stand_in is None:
            return rows, there
        known = inputs[-1] > 0  # (B, 1)
        if self.training:
            known = known & (torch.rand_like(inputs[-1]) >= self.leave_out)
        first = torch.where(known, rows[:, 0], self.stand_in.to(rows.dtype))
        return torch.cat([first[:, None], rows[:, 1:]], 1), torch.cat([there[:, :1], there[:, 1:] & known], 1)

    def _rows(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """What the network finds, (B, L, w), and which rows are there; without rows one for all."""
        if self.fine and isinstance(self.net, Sequential):
            return self.net.states(*inputs)
        if self.fine and isinstance(self.net, Mapped):
            found = self.net.maps(*inputs)[-1].flatten(2).transpose(1, 2)
        else:
            found = self.net.features(*inputs)[:, None]
        return found, torch.ones_like(found[:, :, 0], dtype=torch.bool)

    @torch.no_grad()
    def _tried(self, signature: Signature) -> int:
        """The width of the rows."""
        shapes = ([2 if isinstance(size, str) else size for size in t.shape] for t in signature.tensors)
        blank = [torch.zeros(s, dtype=getattr(torch, t.dtype)) for s, t in zip(shapes, signature.tensors)]
        self.net.eval()
        width = self._rows(Normalise(signature)(*blank))[0].shape[2]
        self.net.train()
        return width
