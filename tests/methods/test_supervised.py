"""Supervised learning: the losses against their formulas, label smoothing among them."""

from __future__ import annotations

import pytest
import torch
from tests.training.engines import engine
from torch import nn

from deepen.data.batch import Labeled
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.kinds.labels import Labels
from deepen.kinds.number import Number
from deepen.methods.supervised import Supervised
from deepen.nn.heads import head
from deepen.signature import Signature

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


# ---------------------------------------------------------------- focal, class-balanced, robust

ABC = Classes(("a", "b", "c"))


def test_focal_loss_counts_what_is_known_less():
    target, p = torch.tensor([0, 2]), RAW.softmax(1)
    chosen = p[torch.arange(2), target]
    torch.testing.assert_close(loss(ABC, RAW, target, focus=2.0), (-((1 - chosen) ** 2) * chosen.log()).mean())
    plain = torch.nn.functional.cross_entropy(RAW, target, label_smoothing=0.1)
    torch.testing.assert_close(loss(ABC, RAW, target, focus=1e-9, label_smoothing=0.1), plain)


def test_each_class_against_the_rest():
    """A sigmoid for each; the softmax of the logits is then each one's odds p / (1 - p) as a share of all odds."""
    target, p = torch.tensor([0, 2]), RAW.sigmoid()
    truth = torch.nn.functional.one_hot(target, 3)
    wanted = torch.nn.functional.binary_cross_entropy(p, truth.float(), reduction="sum") / 2
    torch.testing.assert_close(loss(ABC, RAW, target, one_vs_rest=True), wanted)
    right = torch.where(truth > 0, p, 1 - p)
    focused = (-((1 - right) ** 2) * right.log()).sum(1).mean()
    torch.testing.assert_close(loss(ABC, RAW, target, one_vs_rest=True, focus=2.0), focused)
    odds = p / (1 - p)
    torch.testing.assert_close(head(ABC)(RAW), odds / odds.sum(1, keepdim=True))


def test_focal_loss_of_labels():
    target, p = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]), RAW.sigmoid()
    right = torch.where(target > 0, p, 1 - p)
    wanted = (-((1 - right) ** 1.5) * right.log()).mean()
    torch.testing.assert_close(loss(Labels(("a", "b", "c")), RAW, target, focus=1.5), wanted)


@pytest.mark.parametrize("kind", [ABC, Labels(("a", "b", "c"))])
def test_what_is_known_pulls_less_too(kind):
    """The slope of the whole formula: what counts less follows the weights as well (Lin et al. 2017, appendix B)."""
    raw, several = RAW.clone().requires_grad_(), kind is not ABC
    p = raw.sigmoid() if several else raw.softmax(1)
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) if several else torch.tensor([0, 2])
    right = torch.where(target > 0, p, 1 - p) if several else p[torch.arange(2), target]
    wanted = (-((1 - right) ** 2) * right.log()).mean()
    found = loss(kind, raw, target, focus=2.0)
    torch.testing.assert_close(*(torch.autograd.grad(one, raw)[0] for one in (found, wanted)))


@pytest.mark.parametrize("kind", [ABC, Labels(("a", "b", "c"))])
def test_focal_loss_of_what_is_quite_sure_has_a_finite_slope(kind):
    raw = torch.tensor([[100.0, -100.0, -100.0]], requires_grad=True)
    target = torch.tensor([0]) if kind is ABC else torch.tensor([[1.0, 0.0, 0.0]])
    loss(kind, raw, target, focus=0.5).backward()
    assert torch.isfinite(raw.grad).all()


def test_targets_may_be_shares_of_classes():
    """As mixed items have them: the loss is the same mixture of losses, whatever else is chosen."""
    first, second, shares = torch.tensor([0, 2]), torch.tensor([1, 2]), torch.tensor([0.3, 0.8])
    one, other = (torch.nn.functional.one_hot(t, 3).float() for t in (first, second))
    mixed = other.lerp(one, shares[:, None])
    for options in ({}, {"label_smoothing": 0.1}, {"focus": 2.0, "label_smoothing": 0.1}):
        each = [
            s * loss(ABC, RAW[i : i + 1], first[i : i + 1], **options)
            + (1 - s) * loss(ABC, RAW[i : i + 1], second[i : i + 1], **options)
            for i, s in enumerate(shares)
        ]
        torch.testing.assert_close(loss(ABC, RAW, mixed, **options), sum(each) / 2)


@pytest.mark.parametrize(
    ("error", "formula"),
    [
        ("absolute", lambda d: d.abs()),
        ("huber", lambda d: torch.where(d.abs() <= 1, d**2 / 2, d.abs() - 0.5)),
        ("squared", lambda d: d**2),
    ],
)
def test_errors_of_numbers(error, formula):
    target = torch.tensor([10.2, 6.0])
    off = RAW[:, 0] - torch.tensor([0.1, -2.0])
    found = loss(Number(mean=10.0, scale=2.0), RAW[:, :1], target, error=error)
    torch.testing.assert_close(found, formula(off).mean())


def test_rare_classes_count_more():
    """Cui et al.: by the effective number of items, the mean weight of an item being 1; and parts make the batch."""
    trained = engine(balance=0.9)
    target = trained.data.targets(trained.data.parts["train"])
    counts = target.bincount().double()
    raw_weights = 0.1 / (1 - 0.9**counts)
    wanted = raw_weights * counts.sum() / (raw_weights * counts).sum()
    weights = trained.method.options["weights"]
    torch.testing.assert_close(weights, wanted.float())
    torch.testing.assert_close(weights[target].mean(), torch.tensor(1.0))
    raw, some = torch.randn(len(target), len(counts)), target
    head = trained.method.head
    each = weights[some] * torch.nn.functional.cross_entropy(raw, some, reduction="none")
    torch.testing.assert_close(head.loss(raw, some, weights=weights), each.mean())


def test_a_class_without_items_weighs_nothing():
    trained = engine(balance=0.9)
    kind = Classes(("a", "b", "c", "d", "e"))
    trained.data.signature = Signature(trained.data.signature.inputs, {"label": kind})
    method = Supervised(nn.Identity(), kind, balance=0.9)
    method.feed(trained.data, 16, 0)
    assert torch.isfinite(method.options["weights"]).all()
    assert method.options["weights"][-1] == 0


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        (Number(mean=0.0, scale=1.0), "focus", 2.0),
        (Number(mean=0.0, scale=1.0), "balance", 0.9),
        (Labels(("a", "b", "c")), "balance", 0.9),
        (ABC, "error", "huber"),
        (Number(mean=0.0, scale=1.0), "label_smoothing", 0.1),
    ],
)
def test_settings_an_answer_has_no_use_for_are_refused(kind, setting, value):
    with pytest.raises(DeepenError, match=f"method.{setting}: the answer is {type(kind).__name__.lower()}"):
        Supervised(nn.Identity(), kind, **{setting: value})


@pytest.mark.parametrize(("kind", "raw"), [(ABC, torch.zeros(2, 7)), (Number(mean=0.0, scale=1.0), torch.zeros(2, 3))])
def test_a_network_that_gives_too_many_numbers_is_refused(kind, raw):
    with pytest.raises(
        DeepenError, match=rf"answers of shape \(2, {raw.shape[1]}\) to 2 items. Expected \(2, {kind.width}\)"
    ):
        loss(kind, raw, torch.zeros(2, dtype=torch.long))
