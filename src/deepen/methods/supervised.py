"""Learning from labelled items.

    loss = the answer kind's own: cross-entropy for classes, binary cross-entropy for labels, squared error for numbers,
           or what is made of it by `focus`, `balance` and `error` (nn/heads.py has the formulas)
           + auxiliary * the same of each further classifier a network has on its way (Inception)

    w_k = (1 - b) / (1 - b^n_k), times a number that makes their mean over the items 1        n_k items of class k

With `hard_examples` items are drawn by what they cost: training/hard.py.

Papers   label smoothing: Szegedy et al. 2016, section 7; further classifiers: section 4.
         w: Cui et al. 2019, arXiv:1901.05555, eq. 12.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from deepen import registry
from deepen.data.batch import Labeled
from deepen.data.data import Data
from deepen.data.feeds import Feed, LabeledFeed
from deepen.errors import DeepenError, counted
from deepen.nn.drawn import Drawn
from deepen.nn.heads import Assisted, Itemwise, head
from deepen.nn.inputs import VECTOR
from deepen.schema import OWN_CLASS, NonNegative, Share, Spec
from deepen.training.hard import Hard
from deepen.training.method import Method


class Supervised(Method):
    """One network, labelled batches, the loss of the answer's kind.

    label_smoothing  share of the truth that is spread over all classes; for classes and labels
    label_noise      share of the labels that are drawn anew at random in each step
    auxiliary        weight of the loss of a network's further classifiers
    focus            focal loss: what is already known counts less; 2 is usual; for classes and labels
    balance          b: rare classes count more; 0: all items alike, near 1: all classes alike; for classes
    hard_examples    share of the draws that fall to items by how large their loss was in the passes before; 0: all alike
    one_vs_rest      each class against all the others by a sigmoid of its own; an answer is then its odds as a share of all
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
        one_vs_rest: bool = False,
        error: Literal["squared", "absolute", "huber"] = "squared",
        hard_examples: Share = 0.0,
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
        self.vector = getattr(output, "form", VECTOR) == VECTOR
        self.auxiliary, self.balance, self.hard_examples = auxiliary, balance, hard_examples
        self.hard: Hard | None = None  # known when the data is
        self._told: list[tuple[Tensor, Tensor]] = []  # rows and losses of this step
        if own is not None and not OWN_CLASS.fullmatch(own["name"]):
            raise DeepenError(
                "method.option", "method.own", f"got {own['name']!r}", "a loss of your own: file.py:Class or package.module:Class",
                "method.error, method.focus and method.one_vs_rest choose among those that are here",
            )  # fmt: skip
        self.own = None if own is None else registry.build("losses", own)
        self.options: dict[str, Any] = {}
        self._option("label_smoothing", "smoothing", label_smoothing, label_smoothing > 0)
        self._option("label_noise", "noise", label_noise, label_noise > 0)
        self._option("focus", "focus", focus, focus > 0)
        self._option("balance", "weights", None, balance > 0)  # known when the data is
        self._option("one_vs_rest", "rest", True, one_vs_rest)
        self._option("error", "error", error, error != "squared")
        if hard_examples and (self.own is not None or not isinstance(self.head, Itemwise)):
            what = "a loss of your own" if self.own is not None else f"the answer is {self._kind}"
            raise DeepenError(
                "method.option", "method.hard_examples", what, "a loss that is told item by item", "leave it out"
            )

    def _option(self, setting: str, name: str, value: Any, chosen: bool) -> None:
        """Pass a setting on to the head if the user chose it; refuse it where the answer has no use for it."""
        if not chosen:
            return
        if name not in self.head.options:
            raise DeepenError(
                "method.option", f"method.{setting}", f"the answer is {self._kind}", f"an answer that knows {setting}",
                "leave it out",
            )  # fmt: skip
        self.options[name] = value

    @property
    def _kind(self) -> str:
        return type(self.head).__name__.lower()

    def feed(self, data: Data, size: int, seed: int) -> Feed:
        if self.balance:
            target = data.targets(data.parts["train"])
            counts = target.bincount(minlength=data.signature.answer.width).double()
            weights = (1 - self.balance) / (1 - self.balance**counts)
            weights[counts == 0] = 0
            self.options["weights"] = (weights * counts.sum() / (weights * counts).sum()).float()
        if not self.hard_examples:
            return super().feed(data, size, seed)
        if data.augment.mix is not None:
            raise DeepenError(
                "method.option", "method.hard_examples", "train.augment mixes items", "items that cost what they cost",
                "leave one of them out",
            )  # fmt: skip
        even = torch.ones(len(data.ids), dtype=torch.float64)
        self.hard = Hard(even if data.weights is None else data.weights, self.hard_examples, data.device)
        return LabeledFeed(data, size, seed, weights=self.hard.weights)

    def before(self, player: str) -> None:
        self._told = []

    def after(self, player: str) -> None:
        for rows, losses in self._told:  # only of a step that was made
            assert self.hard is not None
            self.hard.see(rows.to(losses.device), losses)

    def after_epoch(self) -> None:
        if self.hard is not None:
            self.hard.after_epoch()

    def loss(self, batch: Labeled, player: str) -> Tensor:
        if not isinstance(self.model, Assisted):
            return self._first(self.model(*batch.inputs), batch)
        answer, *others = self.model.answers(*batch.inputs)
        return self._first(answer, batch) + self.auxiliary * sum(self._of(other, batch) for other in others)

    def _first(self, raw: Any, batch: Labeled) -> Tensor:
        """The loss of the network's answer; what its items cost is put down where that decides what is drawn."""
        if self.hard is None or not self.training:
            return self._of(raw, batch)
        self._check(raw, batch)
        losses = self.head.each(raw, batch.target, **self.options)
        assert batch.rows is not None
        self._told.append((batch.rows, losses.detach()))
        return losses.mean()

    def _of(self, raw: Any, batch: Labeled) -> Tensor:
        self._check(raw, batch)
        if self.own is not None:
            return self.own(raw, batch.target)
        return self.head.loss(raw, batch.target, **self.options)

    def _check(self, raw: Any, batch: Labeled) -> None:
        shape = tuple(raw.shape) if isinstance(raw, Tensor | Drawn) else None
        if shape[1:] != (self.width,) if shape is not None else self.vector:  # too many or too few may not show
            raise DeepenError(
                "model.answer", f"model {type(self.model).__name__}",
                f"answers of {f'type {type(raw).__name__}' if shape is None else f'shape {shape}'} to {counted(batch.items, 'item')}",
                f"({batch.items}, {self.width})",
                "signature.answer.width says how many numbers an answer has",
            )  # fmt: skip
