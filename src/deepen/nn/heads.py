"""The last step of every trained thing, by the kind of answer: loss on raw outputs, and raw outputs to answers."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@runtime_checkable
class Assisted(Protocol):
    """A network with further classifiers on its way that help it learn; its forward gives the answer alone."""

    def answers(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The answer, then those of the further classifiers, raw and of the same shape."""


class Classes(nn.Module):
    """Logits (B, K); cross-entropy -log p_y; answers are softmax probabilities."""

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def loss(self, raw: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(raw, target, label_smoothing=smoothing)

    def forward(self, raw: Tensor) -> Tensor:
        return raw.float().softmax(1)


class Labels(nn.Module):
    """Logits (B, K); the mean over labels of binary cross-entropy; answers are sigmoid probabilities."""

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def loss(self, raw: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        target = target.to(raw.dtype) * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(raw, target)

    def forward(self, raw: Tensor) -> Tensor:
        return raw.float().sigmoid()


class Number(nn.Module):
    """Scaled values (B, 1), or their scaled logarithms; mean squared error on that scale; answers in the target's unit."""

    mean: Tensor
    scale: Tensor

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.log = kind.log is not None
        mean, scale = kind.log or (kind.mean, kind.scale)
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("scale", torch.tensor(float(scale)))

    def loss(self, raw: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        target = target.log() if self.log else target
        return F.mse_loss(raw[:, 0], (target - self.mean) / self.scale)

    def forward(self, raw: Tensor) -> Tensor:
        if self.log:  # the exponential of a wild guess would be infinite
            return (raw.float().clamp(-10, 10) * self.scale + self.mean).exp()
        return raw.float() * self.scale + self.mean


class Boxes(nn.Module):
    """Raw (boxes (B, A, 4), logits (B, A, K)) of a detector; answers are corners as shares and sigmoid scores."""

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def forward(self, raw: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        boxes, logits = raw
        centre, size = boxes[..., :2].sigmoid(), boxes[..., 2:].sigmoid()
        return torch.cat([centre - size / 2, centre + size / 2], -1).clamp(0, 1), logits.float().sigmoid()


HEADS: dict[str, type[nn.Module]] = {"classes": Classes, "labels": Labels, "number": Number, "boxes": Boxes}


def head(kind: Any) -> nn.Module:
    """The head for a kind of answer."""
    return HEADS[type(kind).__module__.rsplit(".", 1)[1]](kind)
