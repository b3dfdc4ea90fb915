"""Learning from labelled items.

    loss = the answer kind's own: cross-entropy for classes, binary cross-entropy for labels, squared error for numbers,
           or what is made of it by `focus`, `balance` and `error` (nn/heads.py has the formulas)
           + auxiliary * the same of each further classifier a network has on its way (Inception)

    w_k = (1 - b) / (1 - b^n_k), times a number that makes their mean over the items 1        n_k items of class k

Papers   label smoothing: Szegedy et al. 2016, section 7; further classifiers: section 4.
         w: Cui et al. 2019, arXiv:1901.05555, eq. 12.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from deepen import registry
from deepen.data.batch import Labeled
from deepen.data.data import Data
from deepen.data.feeds import Feed
from deepen.errors import DeepenError, counted
from deepen.nn.heads import Assisted, head
from deepen.schema import NonNegative, Share, Spec
from deepen.training.method import Method


class Supervised(Method):
    """One network, labelled batches, the loss of the answer's kind.

    label_smoothing  share of the truth that is spread over all classes; for classes and labels
    label_noise      share of the labels that are drawn anew at random in each step
    auxiliary        weight of the loss of a network's further classifiers
    focus            focal loss: what is already known counts less; 2 is usual; for classes and labels
    balance          b: rare classes count more; 0: all items alike, near 1: all classes alike; for classes
    error            of numbers: squared, absolute, or huber, which is squared only near the truth
    own              the user's own loss in place of all these, by file.py:Class: called with the network's raw answers and
                     the targets, it gives their mean
    """

    tiny: ClassVar[dict[str, Any]] = {}
    head: Any

    def __init__(
        self,
        model: nn.Module,
        output: Any,
        label_smoothing: Share = 0.0,
        label_noise: Share = 0.0,
        auxiliary: NonNegative = 0.4,
        focus: NonNegative = 0.0,
        balance: Share = 0.0,
        error: Literal["squared", "absolute", "huber"] = "squared",
        own: Spec | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.head = head(output)
        if getattr(self.head, "loss", None) is None:
            raise DeepenError(
                "method.answer", "method supervised", f"the answer is {output.describe()}",
                "an answer that labels teach", "method=elbo",
            )  # fmt: skip
        self.width = getattr(output, "width", None)
        self.auxiliary, self.balance = auxiliary, balance
        self.own = None if own is None else registry.build("losses", own)
        self.options: dict[str, Any] = {}
        self._option("label_smoothing", "smoothing", label_smoothing, label_smoothing > 0)
        self._option("label_noise", "noise", label_noise, label_noise > 0)
        self._option("focus", "focus", focus, focus > 0)
        self._option("balance", "weights", None, balance > 0)  # known when the data is
        self._option("error", "error", error, error != "squared")

    def _option(self, setting: str, name: str, value: Any, chosen: bool) -> None:
        """Pass a setting on to the head if the user chose it; refuse it where the answer has no use for it."""
        if not chosen:
            return
        if name not in self.head.options:
            kind = type(self.head).__name__.lower()
            raise DeepenError(
                "method.option", f"method.{setting}", f"the answer is {kind}", f"an answer that knows {setting}",
                "leave it out",
            )  # fmt: skip
        self.options[name] = value

    def feed(self, data: Data, size: int, seed: int) -> Feed:
        if self.balance:
            target = data.targets(data.parts["train"])
            counts = target.bincount(minlength=data.signature.answer.width).double()
            weights = (1 - self.balance) / (1 - self.balance**counts)
            weights[counts == 0] = 0
            self.options["weights"] = (weights * counts.sum() / (weights * counts).sum()).float()
        return super().feed(data, size, seed)

    def loss(self, batch: Labeled, player: str) -> Tensor:
        if not isinstance(self.model, Assisted):
            return self._of(self.model(*batch.inputs), batch)
        answer, *others = self.model.answers(*batch.inputs)
        return self._of(answer, batch) + self.auxiliary * sum(self._of(other, batch) for other in others)

    def _of(self, raw: Any, batch: Labeled) -> Tensor:
        if isinstance(raw, Tensor) and raw.shape[1:] != (self.width,):  # numbers too many or too few may not show
            raise DeepenError(
                "model.answer", f"model {type(self.model).__name__}",
                f"answers of shape {tuple(raw.shape)} to {counted(batch.items, 'item')}", f"({batch.items}, {self.width})",
                "signature.answer.width says how many numbers an answer has",
            )  # fmt: skip
        if self.own is not None:
            return self.own(raw, batch.target)
        return self.head.loss(raw, batch.target, **self.options)
