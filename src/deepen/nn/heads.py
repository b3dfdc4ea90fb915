"""The last step of every trained thing, by the kind of answer: loss on raw outputs, and raw outputs to answers.

    focus    sum over k of -t_k (1 - p_k)^focus log p_k: what is known already counts less; 0 is cross-entropy
    weights  of the classes, w_k before each term above
    rest     one class against the rest: sum over k of -(t_k log s_k + (1 - t_k) log(1 - s_k)), s_k the sigmoid of k's logit
    noise    a share of the labels drawn anew from all classes alike, in each step others

Papers   focus: Lin et al. 2017, arXiv:1708.02002, eq. 4, without its alpha: that is what weights are for.
         noise: Xie et al. 2016, arXiv:1605.00055, eq. 2. Huber 1964: a parabola up to 1, on the scale of training, then straight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.content import ctc
from deepen.nn import detection, untaught
from deepen.nn.drawn import Drawn
from deepen.nn.sequence import last


@runtime_checkable
class Assisted(Protocol):
    """A network with further classifiers on its way that help it learn; its forward gives the answer alone."""

    def answers(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The answer, then those of the further classifiers, raw and of the same shape."""


@runtime_checkable
class Itemwise(Protocol):
    """A head that can tell the loss item by item."""

    def each(self, raw: Tensor, target: Tensor, **options: Any) -> Tensor:
        """(B,), whose mean is the loss."""


class Classes(nn.Module):
    """Logits (B, K); cross-entropy -log p_y; answers are softmax probabilities.

    Targets: (B,), or shares t (B, K): then -sum t log p, which is KL(t || p) and the entropy of t, that nothing changes.
    """

    options = ("smoothing", "focus", "weights", "rest", "noise")

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def loss(self, raw: Tensor, target: Tensor, smoothing: float = 0.0, **more: Any) -> Tensor:
        if not more:
            return F.cross_entropy(raw, target, label_smoothing=smoothing)
        # the mean over items, whatever their weights: parts of a batch then add up to the batch
        return self.each(raw, target, smoothing, **more).mean()

    def each(
        self, raw: Tensor, target: Tensor, smoothing: float = 0.0, focus: float = 0.0, weights: Tensor | None = None,
        rest: bool = False, noise: float = 0.0,
    ) -> Tensor:  # fmt: skip
        if noise:
            drawn = torch.randint(raw.shape[1], target.shape[:1], device=raw.device)
            drawn = F.one_hot(drawn, raw.shape[1]).to(target) if target.is_floating_point() else drawn
            target = _disturbed(target, drawn, noise)
        if not (focus or rest) and weights is None:
            return F.cross_entropy(raw, target, reduction="none", label_smoothing=smoothing)
        raw = raw.float()
        truth = target if target.is_floating_point() else F.one_hot(target, raw.shape[1])
        truth = truth * (1 - smoothing) + smoothing / raw.shape[1]
        logs = raw.log_softmax(1)
        each = _each_alone(raw, truth, focus) if rest else truth * logs * _unknown(logs) ** focus
        return -(each if weights is None else each * weights.to(each)).sum(1)

    def forward(self, raw: Tensor) -> Tensor:
        return raw.float().softmax(1)


class Labels(nn.Module):
    """Logits (B, K); the mean over labels of binary cross-entropy; answers are sigmoid probabilities."""

    options = ("smoothing", "focus", "noise")

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def loss(self, raw: Tensor, target: Tensor, **options: Any) -> Tensor:
        return self.each(raw, target, **options).mean()

    def each(
        self, raw: Tensor, target: Tensor, smoothing: float = 0.0, focus: float = 0.0, noise: float = 0.0
    ) -> Tensor:
        if noise:
            target = _disturbed(target, torch.randint_like(target, 2), noise)
        target = target.to(raw.dtype) * (1 - smoothing) + smoothing / 2
        if not focus:
            return F.binary_cross_entropy_with_logits(raw, target, reduction="none").mean(1)
        return -_each_alone(raw.float(), target, focus).mean(1)

    def forward(self, raw: Tensor) -> Tensor:
        return raw.float().sigmoid()


def _disturbed(target: Tensor, drawn: Tensor, share: float) -> Tensor:
    """Targets (B, ...) of which a share of the items gets what was drawn."""
    chosen = torch.rand(target.shape[:1], device=target.device) < share
    return torch.where(chosen.view(-1, *(1 for _ in target.shape[1:])), drawn, target)


def _each_alone(raw: Tensor, truth: Tensor, focus: float) -> Tensor:
    """(B, K): t log s + (1 - t) log(1 - s), what is known counting less by `focus`."""
    yes, no = F.logsigmoid(raw), F.logsigmoid(-raw)
    return truth * yes * _unknown(yes) ** focus + (1 - truth) * no * _unknown(no) ** focus


def _unknown(logs: Tensor) -> Tensor:
    """1 - p from log p, never quite 0: roots have no slope there."""
    return (-logs.expm1()).clamp(min=1e-6)


ERRORS: dict[str, Callable[..., Tensor]] = {
    "squared": F.mse_loss,
    "absolute": F.l1_loss,
    "huber": F.huber_loss,
}


class Number(nn.Module):
    """Scaled values (B, 1), or their scaled logarithms; mean squared error on that scale; answers in the target's unit."""

    options = ("error",)
    mean: Tensor
    scale: Tensor

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.log = kind.log is not None
        mean, scale = kind.log or (kind.mean, kind.scale)
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("scale", torch.tensor(float(scale)))

    def loss(self, raw: Tensor, target: Tensor, error: str = "squared") -> Tensor:
        return self.each(raw, target, error).mean()

    def each(self, raw: Tensor, target: Tensor, error: str = "squared") -> Tensor:
        target = target.log() if self.log else target
        return ERRORS[error](raw[:, 0], (target - self.mean) / self.scale, reduction="none")

    def forward(self, raw: Tensor) -> Tensor:
        if self.log:  # the exponential of a wild guess would be infinite
            return (raw.float().clamp(-10, 10) * self.scale + self.mean).exp()
        return raw.float() * self.scale + self.mean


class Boxes(nn.Module):
    """Raw (boxes (B, A, 4) as shares of the frame, logits (B, A, K), places (A, 4)) of a detector; loss: nn/detection.py.

    Answers are the boxes within the frame, and sigmoid scores. Targets: (B, M, 6).
    """

    options: tuple[str, ...] = ()

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def loss(self, raw: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        return detection.loss(raw, target)

    def forward(self, raw: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return raw[0].clamp(0, 1), raw[1].float().sigmoid()


class Transcript(nn.Module):
    """Logits (B, T, K) and which frames are there (B, T); -log of the chance of the text, per character (ctc.py).

    Answers are log probabilities, ctc.OUTSIDE where no frame is.
    """

    options: tuple[str, ...] = ()

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def loss(self, raw: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        logits, there = raw
        logs = logits.float().log_softmax(2).transpose(0, 1)  # (T, B, K)
        length = (target > 0).sum(1)
        # a text that its frames are too few for has no finite loss: it is passed over
        each = F.ctc_loss(logs, target, there.sum(1), length, ctc.BLANK, "none", zero_infinity=True)
        return (each / length.clamp(min=1)).mean()

    def forward(self, raw: tuple[Tensor, Tensor]) -> Tensor:
        logits, there = raw
        return torch.where(there.unsqueeze(2), logits.float().log_softmax(2), ctc.OUTSIDE)


class Ranking(nn.Module):
    """Scores (B, N) of all things; cross-entropy among them, or those drawn; answers are softmax probabilities."""

    options: tuple[str, ...] = ()

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def loss(self, raw: Tensor | Drawn, target: Tensor) -> Tensor:
        if isinstance(raw, Drawn):
            return raw.loss(target)
        return F.cross_entropy(raw.float(), target)  # no truth is spread to what cannot come

    def forward(self, raw: Tensor) -> Tensor:
        return raw.float().softmax(1)


class Several(nn.Module):
    """Each kind's raw numbers side by side (B, sum of widths). The loss is the sum of the kinds' own.

    An item without an answer of a kind adds nothing there: sum over the items that have it, over B. Nothing waits for the
    device: what is missing is a safe value whose loss is left out, not a row that is.
    """

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList(head(own) for own in kind.kinds.values())
        self.options = ("smoothing",) if any("smoothing" in part.options for part in self.parts) else ()  # type: ignore[operator]
        self.widths = [own.width for own in kind.kinds.values()]
        self.targets = [kind.place(name) for name in kind.kinds]

    def loss(self, raw: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        total = raw.new_zeros(())
        for part, own, (columns, shape, dtype) in zip(self.parts, raw.split(self.widths, 1), self.targets):
            wanted = target[:, columns].to(getattr(torch, dtype)).reshape(-1, *shape)
            first = wanted.reshape(len(target), -1)[:, 0]
            known = ~first.isnan() if first.is_floating_point() else first >= 0
            safe = torch.where(known.view(-1, *(1 for _ in shape)), wanted, 1)
            options = {"smoothing": smoothing} if "smoothing" in part.options else {}  # type: ignore[operator]
            each = part.each(own, safe, **options)  # type: ignore[operator]
            total = total + torch.where(known, each, 0.0).mean()
        return total

    def forward(self, raw: Tensor) -> tuple[Tensor, ...]:
        return tuple(part(own) for part, own in zip(self.parts, raw.split(self.widths, 1)))


class Series(nn.Module):
    """Scaled values (B, D h) ahead; the error's mean over what came, NaN left out; answers (B, D, h) in each column's unit."""

    options = ("error",)
    mean: Tensor
    scale: Tensor

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.columns, self.season = len(kind.columns), kind.season
        self.register_buffer("mean", torch.tensor(kind.mean).view(-1, 1))
        self.register_buffer("scale", torch.tensor(kind.scale).view(-1, 1))

    def loss(self, raw: Tensor, target: Tensor, error: str = "squared") -> Tensor:
        truth = (target[:, :, self.season :] - self.mean) / self.scale
        known = torch.isfinite(truth)
        # the mean over all places, known or not: parts of a batch then add up to the batch
        ahead = raw.float().unflatten(1, (self.columns, -1))
        return ERRORS[error](torch.where(known, ahead, 0.0), torch.where(known, truth, 0.0))

    def forward(self, raw: Tensor) -> Tensor:
        return raw.float().unflatten(1, (self.columns, -1)) * self.scale + self.mean


class Tokens(nn.Module):
    """Logits (B, L, V) beside the pieces (B, L); cross-entropy of each piece but the first, over items alike long or not.

    Answers are nats (B, L) and right (B, L) of the given pieces, -1 where there is none to foretell, and the logarithms
    of what comes next (B, V).
    """

    options = ("smoothing",)

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def loss(self, raw: tuple[Tensor, Tensor], target: Tensor, smoothing: float = 0.0) -> Tensor:
        logits, tokens = raw
        truth = tokens[:, 1:]
        there = truth > 0
        each = F.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), truth.flatten(), reduction="none", label_smoothing=smoothing
        ).view_as(truth)
        # the mean over items of their means: parts of a batch then add up to the batch
        return ((each * there).sum(1) / there.sum(1).clamp(min=1)).mean()

    def forward(self, raw: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        logits, tokens = raw[0].float(), raw[1]
        logs, truth = logits.log_softmax(2), tokens[:, 1:]
        there = truth > 0
        nats = torch.where(there, -logs[:, :-1].gather(2, truth.unsqueeze(2))[..., 0], 0.0)
        right = torch.where(there, (logits[:, :-1].argmax(2) == truth).long(), -1)
        return F.pad(nats, (1, 0)), F.pad(right, (1, 0), value=-1), last(logs, tokens > 0)


HEADS: dict[str, type[nn.Module]] = {
    "classes": Classes,
    "labels": Labels,
    "number": Number,
    "boxes": Boxes,
    "series": Series,
    "tokens": Tokens,
    "text": Tokens,
    "several": Several,
    "transcript": Transcript,
    "ranking": Ranking,
    "link": untaught.Link,
    "graphs": untaught.Graphs,
    "reconstruction": untaught.Reconstruction,
    "sample": untaught.Likeness,
    "density": untaught.Density,
    "columns": untaught.Columns,
}


def head(kind: Any) -> nn.Module:
    """The head for a kind of answer."""
    return HEADS[type(kind).__module__.rsplit(".", 1)[1]](kind)
