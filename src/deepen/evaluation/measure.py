"""Everything a report says of a run, measured once: figures, panels, slices, costs, as plain data."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from deepen import registry
from deepen.errors import DeepenError
from deepen.evaluation import costs, slices, verdict
from deepen.evaluation.intervals import Interval, intervals
from deepen.machine import in_chunks
from deepen.metrics import higher_is_better
from deepen.panels import Curves, Gallery, Line, Marked, Panel
from deepen.tensors import Arrays, join
from deepen.training.finished import config_of

FORMAT = 1
SAMPLE = 2000  # items of the parts that are only compared with
BATCH = 256
MADE = 600  # items that a network makes by itself, for the report


@dataclass
class Part:
    """Figures of one part of the split, over all of its items or an even choice of them."""

    items: int
    of: int
    metrics: dict[str, Interval]


@dataclass
class Measured:
    """What evaluate found. `rows`: the measured items of the part asked for, as rows of the data."""

    run: Any
    part: str
    kind: Any
    rows: np.ndarray
    parts: dict[str, Part]
    baseline: tuple[str, float] | None
    verdict: verdict.Verdict
    training: list[Panel]
    findings: list[dict[str, str]]
    panels: list[Panel]
    slices: slices.Compared
    check: dict[str, Any]
    notes: list[str]
    costs: dict[str, Any]

    @property
    def deciding(self) -> Interval:
        return self.parts[self.part].metrics[self.kind.metric]

    def document(self, ids: list[str], reads: int) -> dict[str, Any]:
        """The whole as JSON has it: no NaN, no infinity, no broken text."""
        panels = []
        for panel in (*self.training, *self.panels):
            plain = msgspec.to_builtins(panel)
            if isinstance(panel, (Gallery, Marked)):
                plain["items"] = [ids[int(self.rows[place])] for place in panel.rows]
            panels.append(plain)
        return clean(
            {
                "format": FORMAT,
                "run": self.run.id,
                "model": self.run.info.get("model"),
                "part": self.part,
                "items": self.parts[self.part].items,
                "metric": self.kind.metric,
                "metrics": self.parts[self.part].metrics,
                "parts": {name: vars(part) for name, part in self.parts.items()},
                "baseline": self.baseline and {"what": self.baseline[0], self.kind.metric: self.baseline[1]},
                "verdict": msgspec.to_builtins(self.verdict),
                "slices": msgspec.to_builtins(self.slices),
                "costs": self.costs,
                "check": self.check,
                "notes": self.notes,
                "findings": self.findings,
                "test_reads": reads,
                "panels": panels,
            }
        )


def measure(run: Any, predictor: Any, prepared: Any, part: str, history: list[dict[str, Any]]) -> Measured:
    """Measure one part in full, and what it is compared with. The test part is read only when it is asked for."""
    if not predictor.signature.outputs:
        raise DeepenError(
            "evaluate.answers",
            str(run.path),
            "this network gives features, no answers",
            "a run trained on labels",
            "",
        )
    kind, config = predictor.signature.answer, config_of(run)
    assert config.model
    fitted = getattr(registry.load("models", config.model["name"]), "fits", False)
    told = getattr(registry.load("methods", config.method["name"]), "told", "loss")
    compared = [name for name in prepared.parts if name != "test" or part == "test"]
    rows = {name: _rows(prepared.parts[name], whole=name == part) for name in compared}
    outputs = {name: answers_of(predictor, prepared, rows[name], name) for name in compared}
    target = {name: prepared.target[rows[name]] for name in compared}
    parts = {
        name: Part(len(rows[name]), len(prepared.parts[name]), intervals(kind, target[name], outputs[name]))
        for name in compared
    }
    train_target = prepared.target[prepared.parts["train"]]
    of_part = lambda name: kind.baseline(train_target, target[name]) if hasattr(kind, "baseline") else None
    baseline = of_part(part)
    return Measured(
        run=run,
        part=part,
        kind=kind,
        rows=rows[part],
        parts=parts,
        baseline=baseline,
        verdict=_verdict(kind, parts, part, of_part("train"), history, run.info.get("best_step", 0), fitted),
        training=training_curves(
            history, kind.metric, run.info.get("best_step", 0), getattr(kind, "offset", 0.0), told
        ),
        findings=run.read_json("diagnosis.json") if "diagnosis.json" in run.info.get("hashes", {}) else [],
        panels=[*_panels(kind, target[part], outputs[part]), *_made(kind, predictor, target[part])],
        slices=slices_of(kind, prepared, rows[part], target[part], outputs[part]),
        check=run.read_json("quarantine.json"),
        notes=list(prepared.notes),
        costs=costs.costs(run, predictor, prepared.items.raw(rows[part][: max(costs.BATCHES)])),
    )


def _rows(rows: np.ndarray, whole: bool) -> np.ndarray:
    if whole or len(rows) <= SAMPLE:
        return rows
    return np.sort(np.random.default_rng(SAMPLE).choice(rows, SAMPLE, replace=False))


def answers_of(predictor: Any, prepared: Any, rows: np.ndarray, part: str) -> Arrays:
    """Answers by the way of the service: from the raw item on."""
    raw = prepared.items.raw(rows)
    chunks = in_chunks(len(raw), BATCH, lambda start, stop: predictor.run(predictor.encode(raw[start:stop])))
    outputs = join(predictor.signature.answer.results, chunks)
    own = [outputs[t.name] for t in predictor.signature.answer.tensors]
    bad = {int(i) for array in own for i in np.argwhere(~np.isfinite(array))[:, 0]}
    if bad:
        raise DeepenError(
            "evaluate.notfinite",
            f"{part} part",
            f"the network answers {len(bad)} of {len(rows)} items with NaN or infinity (first: {prepared.items.ids[int(rows[min(bad)])]})",
            "finite answers",
            "train again with a lower lr or train.clip=1",
        )
    return outputs


def _panels(kind: Any, target: Any, outputs: Arrays) -> list[Panel]:
    return list(kind.panels(target, outputs)) if hasattr(kind, "panels") else []


def _made(kind: Any, predictor: Any, target: Any) -> list[Panel]:
    """What a network that knows how items lie makes by itself, beside held-out ones."""
    made = predictor.made(MADE) if hasattr(kind, "beside") else None
    if made is None:
        return []
    own = kind.own(made)
    whole = own[np.isfinite(own.reshape(len(own), -1)).all(1)]  # a flow run backwards may overflow
    return kind.beside(target, whole) if len(whole) else []


def slices_of(kind: Any, prepared: Any, rows: np.ndarray, target: np.ndarray, outputs: Arrays) -> slices.Compared:
    if not hasattr(kind, "per_item"):
        return slices.Compared()
    groups = [*kind.slices(target), *slices.groups_of(prepared, rows)]
    return slices.compare(kind.per_item(target, outputs), groups)


def _verdict(
    kind: Any,
    parts: dict[str, Part],
    part: str,
    baseline: tuple[str, float] | None,
    history: list[dict[str, Any]],
    best_step: int,
    fitted: bool,
) -> verdict.Verdict:
    higher = higher_is_better(kind.metric)
    figures = {name: found.metrics[kind.metric] for name, found in parts.items()}
    held = part if part != "train" else "val"
    found = verdict.judge(
        kind.metric, higher, figures["train"], figures[held], {"val": "validation"}.get(held, held),
        baseline[1] if baseline else None, history, best_step, getattr(kind, "open_ended", False), fitted,
    )  # fmt: skip
    if "test" in figures and (sentence := verdict.shift(kind.metric, higher, figures["val"], figures["test"])):
        found = verdict.Verdict(found.word, (*found.sentences, sentence))
    return found


def training_curves(
    history: list[dict[str, Any]], metric: str, best_step: int, offset: float = 0.0, told: str = "loss"
) -> list[Panel]:
    """Loss, figure and learning rate by epoch, the kept epoch marked.

    offset  what the losses of training lack to be those of validation
    told    what they are; another thing than a loss has an axis of its own
    """
    best = next((row["epoch"] for row in history if row["step"] == best_step), None)
    mark = (float(best), "kept") if best is not None else None
    losses = [key for key in (history[-1] if history else {}) if key.endswith("_loss") and not key.startswith("val_")]
    beside = ("val_log_loss", "val_loss")
    apart = told != "loss"
    wanted = (
        (told.capitalize(), told, tuple(losses) if apart else ()),
        ("Validation loss" if apart else "Loss", "loss", beside if apart else (*losses, *beside)),
        (f"Validation {metric}", metric, () if f"val_{metric}" in beside else (f"val_{metric}",)),
        ("Learning rate", "lr", ("lr",)),
    )
    panels: list[Panel] = []
    for title, y, keys in wanted:
        lines = [line for key in keys if (line := by_epoch(history, key, offset if key in losses else 0.0)).x]
        if lines:
            panels.append(Curves(title, "epoch", y, tuple(lines), mark=mark))
    return panels


def by_epoch(history: list[dict[str, Any]], key: str, offset: float = 0.0) -> Line:
    """A figure of the rows that have it."""
    rows = [row for row in history if isinstance(row.get(key), (int, float)) and math.isfinite(row[key])]
    return Line(key, tuple(float(row["epoch"]) for row in rows), tuple(float(row[key]) + offset for row in rows))


def clean(value: Any) -> Any:
    """A value as JSON has it: what is not finite is null, text is whole, NumPy's numbers are plain."""
    if isinstance(value, dict):
        return {clean(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    if isinstance(value, np.generic):
        return clean(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def to_json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
