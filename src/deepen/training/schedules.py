"""Learning rates as a closed form of the share of training done, p in [0, 1]. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Callable

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda p: 1.0,
    "linear": lambda p: 1 - p,
    "cosine": lambda p: (1 + math.cos(math.pi * p)) / 2,  # Loshchilov and Hutter 2017, eq. 5, one cycle
    "step": lambda p: 0.1 ** ((p >= 0.5) + (p >= 0.75)),  # He et al. 2016: a tenth at half and three quarters
    "exponential": lambda p: 0.01**p,
}


def rate(schedule: str, step: int, total: int, warmup: float) -> float:
    """The factor on the learning rate at a step: linear warm-up over a share of the steps, then the schedule."""
    warm = int(warmup * total)
    if step < warm:
        return (step + 1) / (warm + 1)
    return SCHEDULES[schedule]((step - warm) / max(total - warm, 1))
