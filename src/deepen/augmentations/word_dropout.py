"""Words of a text hidden.

each piece is taken for an unknown one with probability p

Paper    Bowman et al. 2016, arXiv:1511.06349, section 3.1; the idea of leaving words out: Iyyer et al. 2015.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn, keys, numbers
from deepen.content.pieces import FIRST
from deepen.schema import Share

MARKS = ("[CLS]", "[SEP]")


class WordDropout(Augmentation):
    """Hide words at random; marks such as [CLS] stay.

    p  share of the words
    """

    takes = ("text",)

    def __init__(self, signature: Any, p: Share = 0.1) -> None:
        self.p = p
        text = next(encoder for encoder in signature.inputs.values() if hasattr(encoder, "unknown"))
        self.unknown = text.unknown
        around = text.rules.before + text.rules.after if text.rules else ()  # as a checkpoint's tokenizer has them
        self.marks = [0, *around, *(i for i, word in enumerate(text.words, FIRST) if word in MARKS)]

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"key": keys(n, generator)}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        chosen = numbers(drawn["key"][0], items.shape[1]) < self.p
        return items.where(~chosen | torch.isin(items, items.new_tensor(self.marks)), self.unknown)
