"""Transformer over the steps of a text, a series or a picture's rows: every step sees the others (causal: those before).

    x = steps W + positions, then `depth` blocks of attention and dense layers, then one vector of all rows, then K

Of a text and what is written to it, the text goes through blocks of its own first; those of what is written look at it.

Paper    Vaswani et al. 2017, arXiv:1706.03762; norm before: Xiong et al. 2020, arXiv:2002.04745.
Differs  dense layers start at a deviation of 0.02, those that end a block at 0.02 / sqrt(2 depth) (Radford et al. 2019).
Letters  B items, L steps, d width, K classes
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from deepen.nn.sequence import Steps, each, last
from deepen.nn.sequence import pool as pool_of
from deepen.nn.transformer import Learned, Sinusoids, Stack
from deepen.preprocess.pair import Pair
from deepen.schema import Activation, Count, Share
from deepen.signature import Signature


class Transformer(nn.Module):
    """Blocks of attention over the steps of an item.

    heads      parts of the width that attend on their own
    inner      width of the dense layers; none: four times the width
    norm       before attention and dense layers, or after them
    positions  waves, or a learnt row per place
    causal     a step sees only those before it; none: where the answer is what comes next
    pool       how rows become features: their mean, maximum, a learnt mean, or the last
    """

    takes = ("text", "pair", "audio", "image", "array", "series")
    tiny = {"width": 8, "heads": 2, "depth": 1}

    def __init__(
        self,
        signature: Signature,
        width: Count = 128,
        depth: Count = 2,
        heads: Count = 4,
        inner: Count | None = None,
        norm: Literal["before", "after"] = "before",
        activation: Activation = "gelu",
        positions: Literal["sinusoidal", "learned"] = "sinusoidal",
        causal: bool | None = None,
        pool: Literal["mean", "max", "attention", "last"] = "mean",
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        # waves are as large as 1: pieces must be heard beside them
        self.steps = Steps(signature, width, 1.0 if positions == "sinusoidal" else 0.02)
        same = self.steps.embedding is not None
        self.inside: nn.Module = nn.Identity() if same else nn.Linear(self.steps.width, width)
        self.positions: nn.Module = (
            Sinusoids(width) if positions == "sinusoidal" else Learned(self.steps.longest, width)
        )
        self.dropout = nn.Dropout(dropout)
        paired = isinstance(next(iter(signature.inputs.values())), Pair)
        self.source = Stack(width, heads, depth, inner, activation, dropout, norm) if paired else None
        self.stack = Stack(width, heads, depth, inner, activation, dropout, norm, cross=paired)
        self.each = each(signature)
        self.causal = self.each if causal is None else causal
        self.pool = pool_of(pool, width) if pool != "last" else None
        self.last = nn.Linear(width, signature.answer.width)

    def rows(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (B, L, d) that go into the blocks, and which steps are there (B, L)."""
        steps, there = self.steps(given)
        return self.dropout(self.positions(self.inside(steps))), there

    def states(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        """The last block's rows (B, L, d), and which steps are there (B, L); behind a text, of what is written to it."""
        rows, there = self.rows(given[-1])
        if self.source is None:
            return self.stack(rows, there, self.causal), there
        source, known = self.rows(given[0])
        return self.stack(rows, there, self.causal, self.source(source, known), known), there

    def features(self, *given: Tensor) -> Tensor:
        """To (B, d)."""
        states, there = self.states(*given)
        return last(states, there) if self.pool is None else self.pool(states, there)

    def forward(self, *given: Tensor) -> Tensor:
        """To (B, K); (B, L, K) where an answer is wanted at every step."""
        return self.last(self.states(*given)[0] if self.each else self.features(*given))
