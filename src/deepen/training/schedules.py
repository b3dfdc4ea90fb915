"""The factor on the learning rate at a step: warm-up, then the schedule. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from deepen.schedules import Schedule


def rate(schedule: Schedule, step: int, total: int, warmup: float, figures: Sequence[float] = ()) -> float:
    """Linear warm-up over a share of the steps to where the schedule begins, then the schedule."""
    warm = int(warmup * total)
    if step < warm:
        return (step + 1) / (warm + 1) * schedule(0.0, figures)
    return schedule((step - warm) / max(total - warm, 1), figures)
