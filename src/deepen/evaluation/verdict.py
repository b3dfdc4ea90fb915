"""What the figures of training, validation and test say together, in words. Torch-free."""

from __future__ import annotations

from typing import Any

import msgspec

from deepen.errors import counted
from deepen.evaluation.intervals import Interval
from deepen.panels import digits

WIDE = 0.2  # an interval of this width, as a share of what there is to gain, leaves much open
LEARNT = {  # what may help a network that learns step by step
    "overfit": "More or more varied data, augmentation, weight decay or a smaller network narrow it.",
    "underfit": "A larger network, longer training, another lr or more telling inputs come before more data.",
    "agree": "a larger network, longer training, more telling inputs or cleaner labels",
}
FITTED = {  # and one that is fitted to all items in one go: it knows neither epochs nor rates
    "overfit": "More data or a simpler model narrow it.",
    "underfit": "Other settings of the model, a network that learns step by step or more telling inputs come before more data.",
    "agree": "other settings of the model, a network that learns step by step, more telling inputs or cleaner labels",
}


class Verdict(msgspec.Struct, frozen=True):
    """`word` for programs, one of overfit, underfit, agree, unsure; sentences for a person."""

    word: str
    sentences: tuple[str, ...]


def judge(
    metric: str,
    higher: bool,
    train: Interval,
    held: Interval,
    part: str,
    baseline: float | None,
    history: list[dict[str, Any]],
    best_step: int,
    open_ended: bool = False,
    fitted: bool = False,
) -> Verdict:
    """Compare the figure that decides on training items with that on held-out ones.

    history     metrics.jsonl, a row per epoch
    baseline    the figure of an answer without a look at the item
    open_ended  nobody knows how good a figure can be
    fitted      the network has no gradient: it was fitted to all items in one go
    """
    ways = FITTED if fitted else LEARNT
    sign = 1 if higher else -1
    gap = sign * (train[0] - held[0])
    noise = (_spread(train) ** 2 + _spread(held) ** 2) ** 0.5
    room = _room(higher, held[0])
    clear = noise > 0 and gap > 2 * noise and gap > 0.1 * room
    learnt = _learnt(sign, train[0], baseline, open_ended)
    sentences: list[str] = []
    if clear:
        word = "overfit"
        sentences.append(
            f"Overfitting: on items it was trained on, {metric} is {digits(train[0])}; on unseen ones {digits(held[0])}. "
            f"The gap is larger than chance. {ways[word]}"
        )
    elif learnt is not None and learnt < 0.25:
        word = "underfit"
        sentences.append(
            f"Underfitting: even on the items it was trained on, {metric} is {digits(train[0])}, and {digits(baseline)} needs no look "
            f"at the item. {ways[word]}"
        )
    elif noise == 0 or held[2] - held[1] > WIDE * room:
        word = "unsure"
        sentences.append(f"No gap between training and {part} that could be told from chance: {part} has few items.")
    else:
        word = "agree"
        sentences.append(
            f"Training and {part} agree within chance: no sign of overfitting. What is left to gain lies in {ways[word]}, "
            "unless the inputs say no more."
        )
    return Verdict(word, (*sentences, *_course(history, best_step, metric)))


def shift(metric: str, higher: bool, val: Interval, test: Interval) -> str:
    """Whether validation and test tell different stories; empty where they do not."""
    gap = (1 if higher else -1) * (val[0] - test[0])
    noise = (_spread(val) ** 2 + _spread(test) ** 2) ** 0.5
    if not noise or abs(gap) <= 2 * noise:
        return ""
    if gap > 0:
        return (
            f"Validation ({metric} {digits(val[0])}) is better than test ({digits(test[0])}) by more than chance: "
            "choices were fitted to validation, or the test items differ from the others."
        )
    return f"Test ({metric} {digits(test[0])}) is better than validation ({digits(val[0])}) by more than chance: the parts differ."


def _course(history: list[dict[str, Any]], best_step: int, metric: str) -> list[str]:
    """What the training curve adds: stopped too early, or best long ago."""
    steps = [row["step"] for row in history]
    values = [row.get(f"val_{metric}") for row in history]
    if len(steps) < 4 or best_step not in steps or any(v is None for v in values):
        return []
    best = steps.index(best_step)
    if best == len(steps) - 1:
        return [
            f"Validation was best at the very last of {counted(len(steps), 'epoch')}: longer training may still help."
        ]
    if best < 0.5 * len(steps):
        return [
            f"Validation was best at epoch {best + 1} of {len(steps)} and did not improve after: fewer epochs would do."
        ]
    return []


def _spread(interval: Interval) -> float:
    """Standard deviation an interval of 95 % stands for; 0 where there is no interval."""
    width = interval[2] - interval[1]
    return width / 3.92 if width == width else 0.0  # NaN differs from itself


def _room(higher: bool, held: float) -> float:
    """What a perfect model would gain, or what this one has to lose: the measure of a gap that matters."""
    return max(1 - held, 0.05) if higher else abs(held)


def _learnt(sign: int, train: float, baseline: float | None, open_ended: bool) -> float | None:
    """Share of the way from the baseline to perfect that the training items show; 1 for any step on an open way."""
    if baseline is None or baseline != baseline:
        return None
    gone = sign * (train - baseline)
    if open_ended:
        return float(gone > 0)
    way = abs((1.0 if sign > 0 else 0.0) - baseline)
    return gone / way if way else None
