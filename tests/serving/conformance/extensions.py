"""Triton's other extensions, over HTTP: classes, configuration, statistics, the repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.serving.conformance.check import OK, REFUSED, Check
from tests.serving.conformance.client import Target
from tests.serving.conformance.rest import names


def classes(t: Target, count: int, items: int = 1, **more: Any) -> np.ndarray:
    """The classes of the first output, (items, count)."""
    wanted = [{**names(t)[0], "parameters": {"classification": count, **more}}]
    told = t.infer({"inputs": t.inputs(items), "outputs": wanted})
    assert told.json["outputs"][0]["datatype"] == "BYTES"
    return t.outputs(told)[names(t)[0]["name"]]


def numbers(t: Target) -> np.ndarray:
    return np.array(t.plain()["outputs"][0]["data"])


def value(text: str) -> float:
    return float(text.split(":")[0])


def place(text: str) -> int:
    return int(text.split(":")[1])


def counted(t: Target) -> int:
    (one,) = t.call(f"{t.model}/versions/{t.version}/stats").json["model_stats"]
    return int(one["inference_stats"]["success"]["count"])


def grows(t: Target) -> bool:
    before = counted(t)
    t.plain()
    return counted(t) > before


def checks() -> Iterator[Check]:
    rows: list[tuple[str, str, str, str, Callable[[Target], Any]]] = [
        ("classification", "classification: 1", "one text an item", "classification", lambda t: classes(t, 1).shape == (1, 1)),
        ("classification", "classification: 1", "the largest", "classification", lambda t: place(classes(t, 1)[0, 0]) == numbers(t).argmax()),
        ("classification", "classification: 2", "value:index, largest first", "classification", lambda t: value((c := classes(t, 2)[0])[0]) >= value(c[1])),
        ("classification", "classification: 2", "the values of those places", "classification", lambda t: all(
            abs(value(c) - numbers(t)[place(c)]) < 1e-5 for c in classes(t, 2)[0])),
        ("classification", "more than there are", "all of them", "classification", lambda t: sorted(
            map(place, classes(t, 10**6)[0])) == [*range(numbers(t).size)]),
        ("classification", "classification: 2, binary_data: true", "the same", "classification", lambda t: (
            classes(t, 2, binary_data=True) == classes(t, 2)).all()),
        ("classification", "classification: -1", REFUSED, "classification", lambda t: t.infer({"inputs": t.inputs(), "outputs": [
            {**names(t)[0], "parameters": {"classification": -1}}]}).refused),
        ("classification", "classification: a text", REFUSED, "classification", lambda t: t.infer({"inputs": t.inputs(), "outputs": [
            {**names(t)[0], "parameters": {"classification": "x"}}]}).refused),
        ("configuration", "GET .../config", "name: as asked", "model_configuration", lambda t: t.call(f"{t.model}/config").json["name"] == t.name),
        ("configuration", "GET .../config", "inputs and outputs by name", "model_configuration", lambda t: all(
            [o["name"] for o in t.call(f"{t.model}/config").json[side]] == [o["name"] for o in t.metadata[f"{side}s"]]
            for side in ("input", "output"))),
        ("configuration", "GET .../config", "data types TYPE_...", "model_configuration", lambda t: all(
            o["data_type"].startswith("TYPE_") for o in t.call(f"{t.model}/config").json["input"])),
        ("configuration", "GET .../versions/V/config", OK, "model_configuration", lambda t: t.call(f"{t.model}/versions/{t.version}/config").status == 200),
        ("configuration", "that of an unknown model", REFUSED, "model_configuration", lambda t: t.call("/v2/models/no-such/config").refused),
        ("statistics", "an inference", "one more success", "statistics", grows),
        ("statistics", "GET /v2/models/stats", "every model", "statistics", lambda t: t.name in [o["name"] for o in t.call("/v2/models/stats").json["model_stats"]]),
        ("statistics", "GET .../stats", "counts and nanoseconds", "statistics", lambda t: all(
            {"count", "ns"} <= {*one} for one in t.call(f"{t.model}/stats").json["model_stats"][0]["inference_stats"].values())),
        ("statistics", "that of an unknown model", REFUSED, "statistics", lambda t: t.call("/v2/models/no-such/stats").refused),
        ("repository", "POST /v2/repository/index", "the model, READY", "model_repository", lambda t: any(
            (o["name"], o["state"]) == (t.name, "READY") for o in t.call("/v2/repository/index", b"{}").json)),
        ("repository", "load of an unknown model", REFUSED, "model_repository", lambda t: t.call("/v2/repository/models/no-such/load", b"{}").refused),
    ]  # fmt: skip
    for way, sent, must, needs, holds in rows:
        yield Check(way, sent, must, f"{needs.replace('_', ' ').title()} Extension", holds, needs)
    yield Check("classification", "two items", "two rows", "Classification Extension",
                lambda t: classes(t, 1, 2).shape == (2, 1), "classification batches")  # fmt: skip
