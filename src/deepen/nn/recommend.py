"""What networks that propose things share: a vector per thing, what is known of somebody, and who wins.

    s_i = u . e_i + b_i        u: somebody's vector, e_i, b_i: of thing i; b starts at log((n_i + 1) / (n + N))

n_i is how often thing i came next in training: with u = 0, which is where somebody new begins, the order is that of
how frequent things are. What somebody has had is put below everything, unless it may come again.

Where things are known by numbers f_i (a table of theirs), e_i = v_i + C f_i and b_i = a_i + c f_i - log N. Of a thing
that training never saw C f_i and c f_i are all there is: it is no rival in training, and v_i and a_i of others are left
out now and then, so that C and c learn to stand for them (Volkovs et al. 2017, "DropoutNet").
Letters  B items, L events, N things, d width
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.errors import DeepenError
from deepen.kinds.ranking import Ranking
from deepen.nn.drawn import BELOW, Drawn
from deepen.nn.inputs import Flat
from deepen.preprocess.history import History
from deepen.preprocess.row import Row
from deepen.signature import Signature

FORGOTTEN = 0.1  # share of things whose own vector is left out of a step


class Things(nn.Module):
    """The vectors of all things, their frequencies, and how somebody's vector fits them.

    drawn  things that the truth is held against in training, drawn by how frequent they are; none: all
    """

    about: Tensor
    met: Tensor
    chances: Tensor

    def __init__(self, signature: Signature, width: int, deviation: float = 0.05, drawn: int | None = None) -> None:
        super().__init__()
        answer = signature.answer
        if not isinstance(answer, Ranking):
            raise DeepenError("model.input", "model", answer.describe(), "which of many things comes next")
        self.vectors = nn.Embedding(answer.width + 1, width, padding_idx=0)
        nn.init.normal_(self.vectors.weight[1:], std=deviation)
        counts = torch.tensor(answer.counts, dtype=torch.float32)
        chances = (counts + 1) / (counts + 1).sum()
        self.frequent = nn.Parameter(chances.log())
        self.again, self.drawn = answer.again, drawn
        self.told: nn.Linear | None = None
        if answer.about:
            about = torch.tensor(answer.about, dtype=torch.float32)
            self.told, self.liked = (
                nn.Linear(about.shape[1], width, bias=False),
                nn.Linear(about.shape[1], 1, bias=False),
            )
            nn.init.normal_(self.told.weight, std=deviation)
            nn.init.zeros_(self.liked.weight)
            with torch.no_grad():
                self.frequent.add_(math.log(answer.width))
            self.register_buffer("about", F.pad(about, (0, 0, 1, 0)), persistent=False)
            self.register_buffer("met", F.pad((counts > 0).float(), (1, 0))[:, None], persistent=False)
            self.forget = nn.Dropout(FORGOTTEN)
            chances = chances * (counts > 0)
        self.register_buffer("chances", chances / chances.sum(), persistent=False)

    def rows(self, own: Tensor) -> Tensor:
        """Vectors (N + 1, d) of things of their own, and what is known of them."""
        return own if self.told is None else own * self._kept() + self.told(self.about)

    def _kept(self) -> Tensor:
        """(N + 1, 1): 0 for what training never saw, and for what is left out this time."""
        return self.met * (self.forget(torch.ones_like(self.met)) > 0)

    def _all(self) -> tuple[Tensor, Tensor]:
        """The vectors of all things (N, d), and their own scores (N,)."""
        if self.told is None:
            return self.vectors.weight[1:], self.frequent
        kept, about = self._kept()[1:], self.about[1:]
        own = self.frequent * kept[:, 0] + self.liked(about)[:, 0] - math.log(len(about))
        return self.vectors.weight[1:] * kept + self.told(about), own

    def forward(self, somebody: Tensor, events: Tensor) -> Tensor | Drawn:
        """(B, d) and what was had (B, L) to scores (B, N)."""
        rows, own = self._all()
        if self.training and self.drawn is not None:
            drawn = torch.multinomial(self.chances, self.drawn, replacement=True)
            out = torch.zeros(len(events), 1, dtype=torch.bool, device=events.device)
            if not self.again:
                out = (events[:, :, None] == drawn + 1).any(1)
            return Drawn(somebody, rows, own, drawn, self.chances.log(), out)
        scores = somebody @ rows.T + own
        if self.training and self.told is not None:
            scores = scores + BELOW * (1 - self.met[1:, 0])
        if self.again:
            return scores
        had = torch.zeros(scores.shape[0], scores.shape[1] + 1, device=scores.device, dtype=scores.dtype)
        return scores + had.scatter(1, events, BELOW)[:, 1:]


class Known(nn.Module):
    """What is known of somebody beside the events: the columns of a row as one vector (B, d), 0 without any."""

    def __init__(self, signature: Signature, width: int) -> None:
        super().__init__()
        rows = {name: e for name, e in signature.inputs.items() if isinstance(e, Row)}
        histories = [e for e in signature.inputs.values() if isinstance(e, History)]
        if len(histories) != 1 or len(rows) + 1 != len(signature.inputs):
            raise DeepenError(
                "model.input", "model", "; ".join(e.describe() for e in signature.inputs.values()),
                "one history, and at most rows beside it",
            )  # fmt: skip
        self.flat = Flat(Signature(rows, signature.outputs)) if rows else None
        self.dense = (
            nn.Sequential(nn.Linear(self.flat.width, width), nn.ReLU(), nn.Linear(width, width)) if self.flat else None
        )

    def forward(self, columns: tuple[Tensor, ...], like: Tensor) -> Tensor:
        return torch.zeros_like(like) if self.flat is None or self.dense is None else self.dense(self.flat(*columns))
