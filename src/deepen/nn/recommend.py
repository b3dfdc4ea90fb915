"""What networks that propose things share: a vector per thing, what is known of somebody, and who wins.

    s_i = u . e_i + b_i        u: somebody's vector, e_i, b_i: of thing i; b starts at log((n_i + 1) / (n + N))

n_i is how often thing i came next in training: with u = 0, which is where somebody new begins, the order is that of
how frequent things are. What somebody has had is put below everything, unless it may come again.
Letters  B items, L events, N things, d width
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.kinds.ranking import Ranking
from deepen.nn.inputs import Flat
from deepen.preprocess.history import History
from deepen.preprocess.row import Row
from deepen.signature import Signature

BELOW = -1e4


class Things(nn.Module):
    """The vectors of all things, their frequencies, and how somebody's vector fits them."""

    def __init__(self, signature: Signature, width: int, deviation: float = 0.05) -> None:
        super().__init__()
        answer = signature.answer
        if not isinstance(answer, Ranking):
            raise DeepenError("model.input", "model", answer.describe(), "which of many things comes next")
        self.vectors = nn.Embedding(answer.width + 1, width, padding_idx=0)
        nn.init.normal_(self.vectors.weight[1:], std=deviation)
        counts = torch.tensor(answer.counts, dtype=torch.float32) + 1
        self.frequent = nn.Parameter((counts / counts.sum()).log())
        self.again = answer.again

    def forward(self, somebody: Tensor, events: Tensor) -> Tensor:
        """(B, d) and what was had (B, L) to scores (B, N)."""
        scores = somebody @ self.vectors.weight[1:].T + self.frequent
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
