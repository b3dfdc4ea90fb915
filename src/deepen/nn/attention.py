"""Attention: each query takes a mean of values, weighed by how well it fits their keys.

    scaled dot-product  softmax(Q K' / sqrt(d)) V                          Vaswani et al. 2017, arXiv:1706.03762, eq. 1
    multi-head          the same in h parts of the width, then W_o         section 3.2.2
    additive            softmax(v' tanh(W q + U k)) V                      Bahdanau et al. 2015, arXiv:1409.0473, A.1.2

A mask is True where a query may look. Causal: query i of Q looks at the keys up to K - Q + i, so the last sees all.
A query that may look nowhere gets 0: so torch's kernels and the exported graph have it (a mean over nothing).
Letters  B items, h heads, Q queries, K keys, d width
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.errors import DeepenError


def past(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """bool (Q, K): what each query may see of itself and what came before."""
    return torch.arange(keys, device=device) <= torch.arange(queries, device=device)[:, None] + (keys - queries)


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """(..., Q, d), (..., K, d), (..., K, e) to (..., Q, e); mask bool, to be spread over (..., Q, K)."""
    if causal:
        seen = past(queries.shape[-2], keys.shape[-2], queries.device)
        mask = seen if mask is None else mask & seen
    return F.scaled_dot_product_attention(queries, keys, values, mask, dropout)


class MultiHead(nn.Module):
    """Dense layers to queries, keys and values, attention in `heads` parts of the width, and a dense layer."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, source: int | None = None) -> None:
        super().__init__()
        if width % heads:
            raise DeepenError(
                "model.heads", "model.heads", f"{heads} heads of a width of {width}", "a number that divides the width",
                f"model.heads={max(h for h in range(1, heads) if width % h == 0)}",
            )  # fmt: skip
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key, self.value = nn.Linear(source or width, width), nn.Linear(source or width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self, rows: Tensor, source: Tensor | None = None, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """rows (B, Q, d) look at source (B, K, s), none: at each other; mask (B, K) or (B, Q, K). To (B, Q, d)."""
        source = rows if source is None else source
        if mask is not None:
            mask = mask[:, None, None] if mask.dim() == 2 else mask[:, None]
        parts = (self.query(rows), self.key(source), self.value(source))
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)  # (B, h, ., d / h)
        mixed = attend(q, k, v, mask, causal, self.dropout if self.training else 0.0)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Additive(nn.Module):
    """Queries and keys of different widths, compared by a small network."""

    def __init__(self, queries: int, keys: int, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(queries, width), nn.Linear(keys, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, Q, q), (B, K, k), (B, K, e) to (B, Q, e); mask (B, K) or (B, Q, K)."""
        scores = self.score(torch.tanh(self.query(queries)[:, :, None] + self.key(keys)[:, None]))[..., 0]  # (B, Q, K)
        if mask is None:
            return scores.softmax(-1) @ values
        mask = mask[:, None] if mask.dim() == 2 else mask
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
        return weights.masked_fill(~mask, 0) @ values
