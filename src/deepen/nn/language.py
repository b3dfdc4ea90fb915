"""What a network foretells at each place of a text, beside what stands there.

    logits at place t are of the piece at t + 1, from the pieces up to t

Letters  B items, L pieces, V pieces in the vocabulary
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.content.pieces import FIRST
from deepen.errors import DeepenError


class Ahead(nn.Module):
    """Around a network that answers at every place: the pieces go on to the head, which knows them for the truth.

    Where there is a source, the pieces are those written to it.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def features(self, *given: Tensor) -> Tensor:
        """To (B, d)."""
        return self.net.features(*given)  # type: ignore[operator]

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L), behind a source (B, S) if there is one, to logits (B, L, V) and the pieces themselves."""
        return self.net(*given), given[-1]


@torch.no_grad()
def looks_ahead(net: nn.Module, pieces: int, sources: int = 0, length: int = 12) -> bool:
    """Whether what a network says at a place depends on pieces that stand after it; `sources`: texts it sees besides."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(FIRST, max(pieces, FIRST + 2), (4, length), generator=draw)
    training = net.training
    net.eval()
    device = next(net.parameters()).device
    beside = [tokens.flip(0).to(device)] * sources
    whole = net(*beside, tokens.to(device))[0]
    if whole.shape[:2] != tokens.shape:
        raise DeepenError(
            "model.each", "model", "it answers once for each text", "a network that answers at every place",
            "model=transformer, model=rnn or model=tcn",
        )  # fmt: skip
    found = False
    for at in (length // 2, length - 1):
        other = tokens.clone()
        other[:, at:] = FIRST + (other[:, at:] - FIRST + 1) % max(pieces - FIRST, 2)
        gap = (net(*beside, other.to(device))[0] - whole)[:, :at].abs().max()
        found |= not bool(gap <= 1e-4 * whole.abs().max().clamp(min=1e-3))
    net.train(training)
    return found
