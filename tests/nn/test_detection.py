"""The detector's loss and assignment: by hand, and against slow loops over single places."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deepen.detection import precision
from deepen.nn import detection
from deepen.nn.pyramid import Branches, Pyramid, places

PLACES = torch.cat([places(8, 8), places(4, 4)])


def some(seed: int, pictures: int = 3, things: int = 4, classes: int = 3) -> tuple[torch.Tensor, ...]:
    """Boxes around the places, logits, things, the last of each picture a filler."""
    draw = torch.Generator().manual_seed(seed)
    half = torch.rand((pictures, len(PLACES), 4), generator=draw) * 0.3
    boxes = torch.cat([PLACES[:, :2] - half[..., :2], PLACES[:, :2] + half[..., 2:]], -1)
    logits = torch.randn((pictures, len(PLACES), classes), generator=draw)
    low = torch.rand((pictures, things, 2), generator=draw) * 0.6
    size = 0.08 + torch.rand((pictures, things, 2), generator=draw) * 0.3
    label = torch.randint(classes, (pictures, things, 1), generator=draw).float()
    truth = torch.cat([low, low + size, label, torch.zeros_like(label)], -1)
    truth[:, -1] = -1
    return boxes, logits, truth


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(precision.ious(a[None].double().numpy(), b[None].double().numpy())[0, 0])


def slowly(boxes, logits, truth) -> list[list[int]]:
    """The assignment, place by place and thing by thing."""
    result = []
    for box, logit, things in zip(boxes, logits, truth):
        cost: dict[tuple[int, int], float] = {}
        wanted: dict[int, list[int]] = {}
        for t, thing in enumerate(things):
            if thing[4] < 0 or thing[5] > 0:
                continue
            met = {}
            for p, (cx, cy, sx, sy) in enumerate(PLACES.tolist()):
                inside = thing[0] < cx < thing[2] and thing[1] < cy < thing[3]
                middle = ((thing[:2] + thing[2:4]) / 2).tolist()
                apart = (cx - middle[0]) / sx, (cy - middle[1]) / sy
                far = math.hypot(*apart)
                if not (inside or max(map(abs, apart)) <= 0.5):
                    continue
                q, p_ = overlap(box[p], thing[:4]), float(logit[p, int(thing[4])].sigmoid())
                cross = -q * math.log(p_) - (1 - q) * math.log(1 - p_)
                met[p] = q
                cost[t, p] = (q - p_) ** 2 * cross - 3 * math.log(max(q, 1e-7)) + 10 ** (far - 3)
            k = max(1, int(sum(sorted(met.values())[-13:])))
            for p in sorted(met, key=lambda p: cost[t, p])[:k]:
                wanted.setdefault(p, []).append(t)
        result.append([min(wanted.get(p, [-1]), key=lambda t: cost.get((t, p), 0)) for p in range(len(PLACES))])
    return result


@pytest.mark.parametrize("seed", range(4))
def test_which_place_answers_for_which_thing(seed):
    boxes, logits, truth = some(seed)
    thing, quality, known = detection.assigned(boxes, logits, PLACES, truth)
    assert thing.tolist() == slowly(boxes, logits, truth)
    assert known.all()
    assert {*thing.flatten().tolist()} == {-1, 0, 1, 2}  # the filler has no place
    b, a = np.argwhere(thing.numpy() >= 0)[0]
    assert float(quality[b, a]) == pytest.approx(overlap(boxes[b, a], truth[b, thing[b, a], :4]), abs=1e-5)


def test_the_number_of_places_follows_the_overlap():
    """A thing whose places all have its box exactly gets 13 of them; one that nobody meets gets one."""
    boxes, logits, truth = some(0, pictures=1, things=2)
    truth[0, 0] = torch.tensor([0.1, 0.1, 0.9, 0.9, 0, 0])
    exact = truth[0, 0, :4].expand_as(boxes)
    assert (detection.assigned(exact, logits, PLACES, truth)[0] == 0).sum() == 13
    tiny = torch.cat([PLACES[:, :2], PLACES[:, :2] + 1e-3], 1)[None]
    assert (detection.assigned(tiny, logits, PLACES, truth)[0] == 0).sum() == 1


def test_of_equal_places_those_near_the_middle_answer():
    _, logits, truth = some(0, pictures=1, things=2)
    truth[0, 0] = torch.tensor([0.02, 0.02, 0.98, 0.98, 0, 0])
    exact, same = truth[0, 0, :4].expand(1, len(PLACES), 4), torch.zeros_like(logits)
    thing, *_ = detection.assigned(exact, same, PLACES, truth)
    far = torch.linalg.vector_norm((PLACES[:, :2] - 0.5) / PLACES[:, 2:], dim=1)
    assert far[thing[0] == 0].max() <= far[thing[0] != 0].min() + 1e-5


def test_a_thing_between_the_places_still_has_one():
    boxes, logits, truth = some(0, pictures=1, things=2)
    truth[0, 0] = torch.tensor([0.001, 0.001, 0.01, 0.01, 1, 0])  # no place lies in it
    assert (detection.assigned(boxes, logits, PLACES, truth)[0] == 0).sum() == 1


def test_a_crowd_is_neither_learnt_nor_held_against_anybody():
    boxes, logits, truth = some(1, pictures=1, things=3)
    truth[0, 0] = torch.tensor([0.0, 0.0, 0.5, 1.0, 0, 1])
    thing, _, known = detection.assigned(boxes, logits, PLACES, truth)
    left = PLACES[:, 0] < 0.5
    assert not (thing == 0).any()
    assert torch.equal(known[0], ~left | (thing[0] >= 0))
    far = logits.clone()
    far[0, left & (thing[0] < 0)] += 3
    before, after = (detection.loss((boxes, given, PLACES), truth) for given in (logits, far))
    assert float(before) == pytest.approx(float(after), rel=1e-5)


def test_the_loss_by_hand():
    """One place, one thing, of which it covers a half: |1/2 - p|^2 BCE + 2 (1 - GIoU)."""
    boxes = torch.tensor([[[0.0, 0.0, 1.0, 0.5]]])
    truth = torch.tensor([[[0.0, 0.0, 1.0, 1.0, 1.0, 0.0]]])
    logits = torch.tensor([[[-1.0, 0.5]]])
    one = torch.tensor([[0.5, 0.5, 1.0, 1.0]])
    p, other = 1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(1.0))
    right = (0.5 - p) ** 2 * -(0.5 * math.log(p) + 0.5 * math.log(1 - p))
    wrong = other**2 * -math.log(1 - other)
    expected = (right + wrong + 2 * (1 - 0.5)) / detection.USUAL
    assert float(detection.loss((boxes, logits, one), truth)) == pytest.approx(expected, rel=1e-5)


def test_giou_by_hand():
    unit = torch.tensor([0.0, 0.0, 1.0, 1.0])
    apart = torch.tensor([2.0, 0.0, 3.0, 1.0])  # hull 3, union 2
    assert float(detection.giou(unit, apart)) == pytest.approx(-1 / 3)
    assert float(detection.giou(unit, unit)) == pytest.approx(1)
    assert float(detection.giou(unit, torch.tensor([0.5, 0.0, 1.5, 1.0]))) == pytest.approx(1 / 3)
    near = apart.clone().requires_grad_()
    (1 - detection.giou(unit, near)).backward()
    assert near.grad[0] > 0  # to come nearer is better, also while nothing overlaps


def test_the_loss_does_not_see_fillers_and_adds_up():
    boxes, logits, truth = some(2)
    whole = detection.loss((boxes, logits, PLACES), truth)
    longer = torch.cat([truth, torch.full((3, 5, 6), -1.0)], 1)
    torch.testing.assert_close(detection.loss((boxes, logits, PLACES), longer), whole)
    parts = [detection.loss((b[None], z[None], PLACES), t[None]) for b, z, t in zip(boxes, logits, truth)]
    torch.testing.assert_close(sum(parts) / 3, whole)
    empty = detection.loss((boxes, logits, PLACES), truth[:, :0])
    torch.testing.assert_close(empty, detection.loss((boxes, logits, PLACES), torch.full_like(truth, -1)))
    assert empty < whole


def test_places_lie_in_the_middle_of_their_cells():
    torch.testing.assert_close(places(1, 2), torch.tensor([[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]]))


def test_every_level_sees_what_the_coarser_ones_know():
    torch.manual_seed(0)
    net = Pyramid([4, 8], 6).eval()
    maps = [torch.randn(1, 4, 8, 8), torch.randn(1, 8, 4, 4)]
    before = net(maps)
    after = net([maps[0], maps[1] + 1])
    assert not torch.equal(before[0], after[0])
    after = net([maps[0] + 1, maps[1]])
    assert torch.equal(before[1], after[1])


def test_each_level_has_norms_of_its_own():
    torch.manual_seed(0)
    net = Branches(6, 1, 3, [places(8, 8), places(4, 4)]).eval()
    maps = [torch.randn(1, 6, 8, 8), torch.randn(1, 6, 4, 4)]
    before = net(maps)[1]
    torch.nn.init.constant_(net.classes.norms[1][0].bias, 5.0)
    changed = (net(maps)[1] != before).any(2)[0]
    assert not changed[:64].any()
    assert changed[64:].all()


def test_boxes_begin_around_their_places_and_nothing_is_sure():
    torch.manual_seed(0)
    grid = [places(8, 8), places(4, 4)]
    net = Branches(6, 1, 3, grid).eval()
    boxes, logits, where = net([torch.randn(2, 6, 8, 8), torch.randn(2, 6, 4, 4)])
    assert boxes.shape == (2, 80, 4)
    assert (boxes[..., :2] < where[:, :2]).all()
    assert (boxes[..., 2:] > where[:, :2]).all()
    torch.testing.assert_close(
        (boxes[..., 2:] - boxes[..., :2]) / where[:, 2:], torch.full((2, 80, 2), 2.0), atol=0.5, rtol=0
    )
    assert float(logits.detach().sigmoid().mean()) == pytest.approx(0.01, abs=3e-3)
