"""Supervised learning: the losses against their formulas, label smoothing among them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepen.data.batch import Labeled
from deepen.kinds.classes import Classes
from deepen.kinds.labels import Labels
from deepen.kinds.number import Number
from deepen.methods.supervised import Supervised

RAW = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, -2.0]])


def loss(kind, raw, target, **options) -> torch.Tensor:
    """The method's loss where the network gives `raw`."""
    return Supervised(nn.Identity(), kind, **options).loss(Labeled((raw,), target), "model")


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_classes_are_smoothed_towards_all_classes_alike(smoothing):
    """The share `smoothing` of the truth is spread evenly over the K classes (Szegedy et al. 2016, section 7)."""
    target = torch.tensor([0, 2])
    truth = torch.full((2, 3), smoothing / 3)
    truth[torch.arange(2), target] += 1 - smoothing
    wanted = -(truth * RAW.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss(Classes(("a", "b", "c")), RAW, target, label_smoothing=smoothing), wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_labels_are_smoothed_towards_a_half(smoothing):
    target = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    truth = target * (1 - smoothing) + smoothing / 2
    p = RAW.sigmoid()
    wanted = -(truth * p.log() + (1 - truth) * (1 - p).log()).mean()
    torch.testing.assert_close(loss(Labels(("a", "b", "c")), RAW, target, label_smoothing=smoothing), wanted)


def test_numbers_are_compared_on_the_training_scale():
    target = torch.tensor([14.0, 6.0])
    wanted = ((RAW[:, 0] - torch.tensor([2.0, -2.0])) ** 2).mean()
    torch.testing.assert_close(loss(Number(mean=10.0, scale=2.0), RAW[:, :1], target), wanted)


class Assisted(nn.Module):
    """Two further classifiers on its way."""

    def answers(self, raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return raw, 2 * raw, -raw

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        return raw


@pytest.mark.parametrize("options", [{}, {"auxiliary": 0.1, "label_smoothing": 0.2}])
def test_further_classifiers_add_their_loss_at_a_weight(options):
    target, kind = torch.tensor([0, 2]), Classes(("a", "b", "c"))
    smoothing = {"label_smoothing": options.get("label_smoothing", 0.0)}
    first, second, third = (loss(kind, raw, target, **smoothing) for raw in (RAW, 2 * RAW, -RAW))
    found = Supervised(Assisted(), kind, **options).loss(Labeled((RAW,), target), "model")
    torch.testing.assert_close(found, first + options.get("auxiliary", 0.4) * (second + third))
