"""Made-up things and answers: near each other, far off, of another class, twice, crowds, all sizes, empty pictures."""

from __future__ import annotations

import numpy as np

from deepen.detection.precision import Boxes

PICTURES, CLASSES = 30, 4


def boxes(seed: int, crowds: float = 0.15) -> tuple[Boxes, Boxes]:
    """Truth and answers over PICTURES pictures; the last class has no truth, picture 0 nothing at all."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for picture in range(1, PICTURES):
        for _ in range(rng.integers(0, 12)):
            x, y = rng.uniform(0, 500, 2)
            w, h = np.exp(rng.uniform(np.log(6), np.log(250), 2))
            label = int(rng.integers(CLASSES - 1))
            truth.append((x, y, x + w, y + h, label, picture, float(rng.random() < crowds)))
            for _ in range(rng.integers(0, 4)):
                moved = np.array([x, y, x + w, y + h]) + rng.normal(0, 0.12, 4) * [w, h, w, h]
                low, high = np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:])
                other = int(rng.integers(CLASSES)) if rng.random() < 0.2 else label
                found.append((*low, *high, other, picture, rng.random()))
        for _ in range(rng.integers(0, 6)):
            x, y, w, h = rng.uniform(1, 300, 4)
            found.append((x, y, x + w, y + h, int(rng.integers(CLASSES)), picture, rng.random() * 0.6))
    return _columns(truth), _columns(found)


def _columns(rows: list[tuple]) -> Boxes:
    table = np.round(np.array(rows), 6)  # as a file holds them
    return Boxes(table[:, :4], table[:, 4].astype(int), table[:, 5].astype(int), table[:, 6])
