"""The factor on the learning rate at a step: warm-up, then the schedule. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepen.errors import DeepenError, typed
from deepen.schedules import Schedule


def rate(schedule: Schedule, step: int, total: int, warmup: float, figures: Sequence[float] = ()) -> float:
    """Linear warm-up over a share of the steps to where the schedule begins, then the schedule."""
    warm = int(warmup * total)
    warming = step < warm
    found: Any = schedule(0.0 if warming else (step - warm) / max(total - warm, 1), figures)
    if not isinstance(found, (int, float)):  # of the user's own
        name = type(schedule).__name__
        raise DeepenError(
            "schedule.share", f"schedule {name}", f"it gives {typed(found)}", "a share of the rate, a number"
        )
    return (step + 1) / (warm + 1) * found if warming else found
