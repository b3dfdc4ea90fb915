"""A candidate beside the version in service: both on the same held-out items, those known before and those labelled since."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepen.console import digits
from deepen.errors import DeepenError, counted
from deepen.monitors import sketches
from deepen.store.run import Run

SURE = 0.005  # how often, at the most, a version that is no better may seem so on what is new
SLOWER = 2.0  # times slower than the version in service: then it is not promoted


def judge(run: Run, parent: Path, before: Path, after: str) -> dict[str, Any]:
    """Both bundles on the test items of the new run: on those the parent was tested on, and on those labelled since.

    The new items were chosen for being odd or unsure, so what the figure moves by there is more than it will in service.
    """
    from deepen import bundle
    from deepen.evaluation.race import race
    from deepen.training.finished import data_of

    prepared = data_of(run)
    models = bundle.predictor(before, 1), bundle.predictor(Path(after), 1)
    kind = models[1].signature.answer
    if models[0].signature.document()["outputs"] != models[1].signature.document()["outputs"]:
        raise DeepenError(
            "loop.answers", str(run.path), f"answers are {kind.describe()}", models[0].signature.answer.describe(),
            "an answer that is new cannot be compared: deepen evaluate, deepen export, deepen serve --live by hand",
        )  # fmt: skip
    known = set(Run.open(parent).read_json("split.json")["test"])
    test: Any = prepared.parts["test"]
    old = np.array([prepared.items.ids[int(row)] in known for row in test], bool)
    found: dict[str, Any] = {"metric": kind.metric, "table": []}
    for name, rows in (("old", test[old]), ("new", test[~old])):
        found[name] = _pair(kind, models, prepared, rows, name == "new")
        found["table"].append(_told(name, kind.metric, found[name]))
    arrays = models[0].encode(prepared.items.raw(test[:1]))
    found["speed"] = race(lambda: models[0].run(arrays), lambda: models[1].run(arrays), 100).ratio
    return found


def _pair(kind: Any, models: Sequence[Any], prepared: Any, rows: Any, new: bool) -> dict[str, Any]:
    """The figure that decides of both on the same items, and its change with its interval; what answers were like.

    new  those on which the candidate has to be better: how likely chance alone would make it so
    """
    from deepen.evaluation.intervals import chance, change
    from deepen.gate import collect

    if not len(rows):
        return {"items": 0, "before": math.nan, "after": math.nan, "change": (math.nan,) * 3, "chance": math.nan}
    items, target = prepared.items.raw(rows), prepared.target[rows]
    first, second = (collect(model, items, 64) for model in models)
    before, after = (float(kind.metrics(target, outputs)[kind.metric]) for outputs in (first, second))
    seen = [kind.statistics(outputs) for outputs in (first, second)]
    answers = {column: sketches(values, seen[1][column]) for column, values in seen[0].items()}
    compared: dict[str, Any] = {"change": change(kind, target, first, second)}
    if new:
        compared["chance"] = chance(kind, target, first, second)
    return {"items": len(rows), "before": before, "after": after, **compared, "answers": answers}


def _told(name: str, metric: str, part: dict[str, Any]) -> str:
    moved, low, high = part["change"]
    return (
        f"  {name} items {metric:<10} {digits(part['before']):>8} -> {digits(part['after']):<8} "
        f"{moved:+.4f} ({low:+.4f} to {high:+.4f}, {counted(part['items'], 'item')})"
    )


def against(found: dict[str, Any], drop: float) -> str:
    """Why a candidate does not go beside the version in service; empty where nothing speaks against it.

    On the old items it must not be surely worse, nor lose more than `drop`; on the new ones it must be surely better.
    """
    from deepen.metrics import higher_is_better

    sign = 1 if higher_is_better(found["metric"]) else -1
    old, new = ([sign * value for value in found[part]["change"]] for part in ("old", "new"))
    told = {
        part: f"{found['metric']} {digits(found[part]['before'])} -> {digits(found[part]['after'])} "
        f"on {counted(found[part]['items'], part + ' test item')}"
        for part in ("old", "new")
    }
    if max(old[1:]) < 0 or old[0] < -drop * max(1.0, abs(found["old"]["before"])):
        return f"it is worse than the version in service: {told['old']}"
    likely = found["new"]["chance"]  # of a kind that cannot say, the change itself has to do
    if not (new[0] > 0 and found["new"]["items"] > 1) or likely > SURE:
        seems = "" if math.isnan(likely) else f", and one that is no better seems so in {likely:.1%} of cases"
        return f"it is not surely better on what is new: {told['new']}{seems}"
    if found["speed"][2] < 1 / SLOWER:
        return f"it is {1 / found['speed'][0]:.1f} times slower than the version in service"
    return ""
