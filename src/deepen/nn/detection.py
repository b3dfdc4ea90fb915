"""What a detector's places learn: which of them answers for which thing, and the loss.

    q     = IoU of the place's box with the thing it answers for; 0 where it answers for none
    loss  = sum_k |q_k - p_k|^2 BCE(p_k, q_k)  +  2 (1 - GIoU) at places that answer;  summed over places
    GIoU  = IoU - (hull - union) / hull

    cost(thing, place) = |q - p|^2 BCE(p, q) - 3 log IoU + 10^(d - 3)         d: distance of the centres in strides
    Of each thing the k places of the least cost answer for it, k = sum of its 13 largest IoUs, at least 1; a place that
    is wanted twice goes to the thing where it costs less. Only places in the thing count, and those whose cell holds its middle.

Papers   SimOTA, k by the overlaps: Ge et al. 2021, arXiv:2107.08430; the cost: Lyu et al. 2022, arXiv:2212.07784, eq. 1-4;
         quality focal loss: Li et al. 2020, arXiv:2006.04388, eq. 2; GIoU: Rezatofighi et al. 2019, arXiv:1902.09630.
Differs  things count alike whatever picture they are in, by a constant in place of the batch's number of places that
         answer: the loss of a batch is the mean over its pictures, so that parts of it add up. Places in a crowd that
         answer for nothing learn nothing.
Letters  B pictures, M things (padded with class -1), A places, K classes
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MOST = 13  # places of a thing
USUAL = 10.0  # places that answer in a picture: the loss is of the size of a single place's
TINY = 1e-12  # area of what is no thing


def loss(raw: tuple[Tensor, Tensor, Tensor], truth: Tensor) -> Tensor:
    """The mean over pictures. raw: boxes (B, A, 4), logits (B, A, K), places (A, 4); truth (B, M, 6)."""
    boxes, logits, places = raw
    with torch.no_grad():
        thing, quality, known = assigned(boxes, logits, places, truth)
    answers = thing >= 0
    of = thing.clamp(min=0)[..., None]  # (B, A, 1)
    mine = truth.gather(1, of.expand(-1, -1, truth.shape[2])) if truth.shape[1] else truth.new_zeros(*of.shape[:2], 6)
    label = mine[..., 4].long().clamp(min=0)
    target = torch.zeros_like(logits).scatter(2, label[..., None], (quality * answers)[..., None])
    scored = (focal(logits, target).sum(2) * known).sum()
    placed = ((1 - giou(boxes, mine[..., :4])) * answers).sum()
    return (scored + 2 * placed) / (USUAL * len(boxes))


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """|q - p|^2 BCE(p, q), element by element."""
    far = (target - logits.sigmoid()).abs() ** 2
    return far * F.binary_cross_entropy_with_logits(logits, target, reduction="none")


@torch.no_grad()
def assigned(boxes: Tensor, logits: Tensor, places: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each place the thing it answers for or -1, its IoU with that, and whether it learns a score, each (B, A)."""
    counts = (truth[..., 4] >= 0) & (truth[..., 5] <= 0)  # (B, M)
    if not truth.shape[1]:
        none = torch.full(logits.shape[:2], -1, device=logits.device)
        return none, torch.zeros_like(boxes[..., 0]), torch.ones_like(none, dtype=torch.bool)
    overlap = iou(boxes[:, None], truth[:, :, None, :4])  # (B, M, A)
    inside, apart = _where(places, truth)
    of = truth[..., 4].long().clamp(min=0)[..., None].expand(-1, -1, logits.shape[1])
    own = logits.transpose(1, 2).gather(1, of)  # (B, M, A): the logit of the thing's class
    distance = torch.linalg.vector_norm(apart, dim=-1)
    cost = focal(own, overlap) - 3 * overlap.clamp(min=1e-7).log() + 10 ** (distance - 3)
    able = (inside | (apart.abs() <= 0.5).all(-1)) & counts[..., None]
    cost = cost.masked_fill(~able, torch.inf)
    most = min(MOST, cost.shape[2])
    k = (overlap * able).topk(most, 2).values.sum(2).int().clamp(min=1)  # (B, M)
    least, where = cost.topk(most, 2, largest=False)
    taken = (torch.arange(most, device=cost.device) < k[..., None]) & least.isfinite()
    wanted = torch.zeros_like(able).scatter(2, where, taken)
    price, thing = cost.masked_fill(~wanted, torch.inf).min(1)  # (B, A)
    thing = thing.masked_fill(~price.isfinite(), -1)
    quality = overlap.gather(1, thing.clamp(min=0)[:, None])[:, 0]
    crowded = (inside & (truth[..., 5] > 0)[..., None]).any(1)
    return thing, quality, ~crowded | (thing >= 0)


def _where(places: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Whether places lie in things (B, M, A), and how far from their middle in strides (B, M, A, 2)."""
    low, high = truth[..., None, :2], truth[..., None, 2:4]  # (B, M, 1, 2)
    centre, stride = places[:, :2], places[:, 2:]
    inside = ((centre > low) & (centre < high)).all(-1)
    return inside, (centre - (low + high) / 2) / stride


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Of boxes (..., 4) whose shapes go together."""
    return _iou(a, b)[0]


def giou(a: Tensor, b: Tensor) -> Tensor:
    """From -1, far apart, to 1, equal."""
    found, union = _iou(a, b)
    hull = _area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    return found - (hull - union) / hull.clamp(min=TINY)


def _iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and the area of either."""
    shared = _area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - shared
    return shared / union.clamp(min=TINY), union


def _area(low: Tensor, high: Tensor) -> Tensor:
    width, height = (high - low).clamp(min=0).unbind(-1)
    return width * height
