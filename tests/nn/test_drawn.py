"""A softmax against things that are drawn: its sum is that of all in the mean, and the gradient with it."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from deepen.nn.drawn import Drawn

N, B, D = 7, 4, 3


def given(drawn: torch.Tensor, q: torch.Tensor, out: torch.Tensor | None = None) -> tuple[Drawn, torch.Tensor]:
    torch.manual_seed(0)
    somebody, things, own = torch.randn(B, D), torch.randn(N, D).requires_grad_(), torch.randn(N)
    out = torch.zeros(B, 1, dtype=torch.bool) if out is None else out
    return Drawn(somebody, things, own, drawn, q.log(), out), torch.tensor([0, 3, 6, 6])


def test_with_many_draws_it_is_the_softmax_over_all():
    q = torch.tensor([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    drawn = torch.multinomial(q, 200_000, replacement=True, generator=torch.Generator().manual_seed(0))
    raw, target = given(drawn, q)
    whole = F.cross_entropy(raw.somebody @ raw.things.T + raw.own, target)
    found = raw.loss(target)
    torch.testing.assert_close(found, whole, rtol=5e-3, atol=0)
    (ours,), (theirs,) = (torch.autograd.grad(loss, raw.things) for loss in (found, whole))
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=5e-3)


def test_the_truth_is_no_rival_of_its_own_nor_is_what_was_had():
    q = torch.full((N,), 1 / N)
    raw, target = given(torch.tensor([0, 3, 6]), q)
    scores = raw.somebody @ raw.things.T + raw.own
    by_hand = torch.logsumexp(torch.stack([scores[0, 0], *(scores[0, [3, 6]] - torch.log(torch.tensor(3 / N)))]), 0)
    torch.testing.assert_close(raw.loss(target[:1].repeat(B)), _mean_first(raw, target, by_hand, scores))
    had = torch.zeros(B, 3, dtype=torch.bool)
    had[:, 1:] = True
    alone, target = given(torch.tensor([0, 3, 6]), q, had)
    assert float(alone.loss(torch.zeros(B, dtype=torch.int64)).detach()) == 0.0


def _mean_first(raw: Drawn, target: torch.Tensor, first: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of thing 0 for all, by hand; the first's sum is given."""
    sums = [
        first,
        *(torch.logsumexp(torch.stack([s[0], *(s[[3, 6]] - torch.log(torch.tensor(3 / N)))]), 0) for s in scores[1:]),
    ]
    return (torch.stack(sums) - scores[:, 0]).mean()
