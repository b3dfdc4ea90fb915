"""Convolutions over a sound's frames, then a network for sequences: what is heard step by step, or all in all.

    x' = relu(norm(C x)) for each convolution, the first with a stride: fewer steps, each of more
    then states of the body, and an answer for each of them (a transcript), or for their mean

Paper    Amodei et al. 2015, "Deep Speech 2", arXiv:1512.02595, section 3: convolutions below recurrent layers, CTC.
Differs  one-dimensional convolutions, a norm over the channels of each step, any network for sequences as the body.
Letters  B items, L frames, T steps, C channels, d features, K answers
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.kinds.transcript import Transcript
from deepen.nn.inputs import backbone
from deepen.nn.sequence import Mean, heard
from deepen.preprocess.audio import OUTSIDE, Audio
from deepen.schema import Count, Share, Spec
from deepen.signature import Signature

BODY = {"name": "rnn", "cell": "gru", "width": 96, "layers": 2, "bidirectional": True}


class Listener(nn.Module):
    """For sounds: an answer for each step where it is a transcript, else one for all.

    channels  of each convolution
    kernel    frames that a convolution sees, an odd number
    stride    frames to a step
    relative  what is taken off a sound's frames: nothing, its mean loudness, or its mean at each pitch, which makes
              voices and microphones more alike, and steady tones vanish
    body      a network for sequences: rnn, tcn, transformer; none: two layers of GRU in both directions
    """

    takes = ("audio",)
    gives = ("vector", "steps")
    tiny: ClassVar[dict[str, Any]] = {"channels": [8], "body": {"name": "rnn", "width": 8}}

    def __init__(
        self,
        signature: Signature,
        channels: tuple[Count, ...] = (64, 64),
        kernel: Count = 5,
        stride: Count = 2,
        relative: Literal["nothing", "loudness", "pitch"] = "nothing",
        body: Spec | None = None,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        (encoder,) = signature.inputs.values()
        if kernel % 2 == 0:
            raise DeepenError("model.kernel", "model.kernel", f"got {kernel}", "an odd one: as much before as behind")
        self.convolutions, self.norms, self.strides = nn.ModuleList(), nn.ModuleList(), [stride, *[1] * len(channels)]
        inside = encoder.pitches
        for i, width in enumerate(channels):
            self.convolutions.append(nn.Conv1d(inside, width, kernel, self.strides[i], kernel // 2))
            self.norms.append(nn.LayerNorm(width))
            inside = width
        self.dropout = nn.Dropout(dropout)
        shorter = Audio(encoder.rate, -(-encoder.longest // stride), inside)
        heard_by = Signature({"sound": shorter}, signature.outputs)
        self.body = backbone(body or BODY, heard_by, "model.body", has="states")
        self.relative = relative
        self.each_step = isinstance(signature.answer, Transcript)
        with torch.no_grad():
            width = self.body.states(torch.zeros(1, 2, inside))[0].shape[2]
        self.last = nn.Linear(width, signature.answer.width)

    def states(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, d), and which steps are there (B, T)."""
        x, there = heard(given)
        if self.relative != "nothing":
            mean = Mean()(x, there)[:, None]
            x = x - (mean.mean(2, keepdim=True) if self.relative == "loudness" else mean)
        for convolution, norm, stride in zip(self.convolutions, self.norms, self.strides):
            # what lies behind a sound's end is 0 for each of them, as it is where a sound stands alone
            x = convolution(torch.where(there.unsqueeze(2), x, 0).transpose(1, 2)).transpose(1, 2)
            there = there[:, ::stride]
            x = self.dropout(norm(x).relu())
        return self.body.states(torch.where(there.unsqueeze(2), x, OUTSIDE))

    def features(self, given: Tensor) -> Tensor:
        """To (B, d)."""
        return Mean()(*self.states(given))

    def forward(self, given: Tensor) -> Any:
        """To (B, K); of a transcript to (B, T, K) and which steps are there (B, T)."""
        if not self.each_step:
            return self.last(self.features(given))
        states, there = self.states(given)
        return self.last(states), there
