"""Nodes of one big graph that all batches share: features and edges of the whole graph stand in the network's first step.

A raw item is a node the network was trained among, by its id, or a new one that joins it:

    {"node": "31336"}                                          (in Python the id alone: "31336")
    {"features": [0, 1, ...], "neighbours": ["31336", ...]}    null is a missing number

A new node hears its neighbours, and they do not hear it: no answer depends on what else is asked for.

node      int64 (B,)         row of the shared graph; -1: new, and the next two say what it is
features  float32 (B, d)     of a new node; of a known one zero, and not looked at
source    int64 (links,)     rows of the shared graph that ...
target    int64 (links,)     ... the items hear; a known one hears itself alone, so that there always are links
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from deepen.errors import Invalid, counted
from deepen.tensors import Arrays, Tensor

LARGEST = 3.4e38  # float32
SHAPE = '{"node": id}, or {"features": [...], "neighbours": [id, ...]} for a new node'


class Nodes(msgspec.Struct, frozen=True, dict=True):
    """The ids of the shared graph's nodes in order, how many edges join them, and how many numbers each carries."""

    ids: tuple[str, ...]
    edges: int
    width: int
    scale: Literal["columns", "rows"] = "columns"

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (
            Tensor("node", "int64", ("batch",)),
            Tensor("features", "float32", ("batch", self.width)),
            Tensor("source", "int64", ("links",), join="concat"),
            Tensor("target", "int64", ("links",), join="shift", of="batch"),
        )

    @functools.cached_property
    def rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    @classmethod
    def fit(cls, values: Sequence[Any], ids: Sequence[str], edges: int, width: int, scale: str, **_: Any) -> Nodes:
        """Nothing is learnt from the training nodes alone: the graph is there before any node has a label."""
        return cls(tuple(ids), edges, width, scale)  # type: ignore[arg-type]

    def encode(self, values: Sequence[Any]) -> Arrays:
        node = np.full(len(values), -1, np.int64)
        features = np.zeros((len(values), self.width), np.float32)
        heard: list[np.ndarray] = []
        for row, value in enumerate(values):
            try:
                if isinstance(value, Mapping):
                    features[row], links = self._new(value)
                else:
                    node[row] = self._known(value)
                    links = node[row : row + 1]
            except Invalid as problem:
                raise problem.at(row) from None
            heard.append(links)
        counts = [len(links) for links in heard]
        source = np.concatenate(heard) if heard else np.empty(0, np.int64)
        return {"node": node, "features": features, "source": source, "target": np.repeat(np.arange(len(node)), counts)}

    def _known(self, name: Any) -> int:
        row = self.rows.get(name) if isinstance(name, str) else None
        if row is None:
            raise Invalid(f"node {str(name)[:40]!r} is not in the graph", SHAPE)
        return row

    def _new(self, value: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """The features and the neighbours' rows of a new node."""
        try:
            features = np.asarray(value["features"], np.float64)
        except (ValueError, TypeError, KeyError, OverflowError):
            raise Invalid("features that are no numbers", counted(self.width, "number")) from None
        if features.shape != (self.width,):
            raise Invalid(f"features of shape {features.shape}", counted(self.width, "number"))
        if (np.abs(features) > LARGEST).any():
            raise Invalid("features that are not finite", "numbers of at most 3.4e38, null where one is missing")
        neighbours = value.get("neighbours", ())
        if not isinstance(neighbours, (list, tuple)):
            raise Invalid("neighbours that are no list", "a list of ids")
        return features.astype(np.float32), np.array(sorted({self._known(name) for name in neighbours}), np.int64)

    def parse(self, value: Any) -> Any:
        """What a client may send in JSON; an id may be a number."""
        if not isinstance(value, dict) or set(value) not in ({"node"}, {"features", "neighbours"}):
            raise Invalid("not a node", SHAPE)
        if "node" in value:
            name = _text(value["node"])
            self._known(name)
            return name
        features, neighbours = value["features"], value["neighbours"]
        if not isinstance(features, list) or not all(v is None or type(v) in {int, float} for v in features):
            raise Invalid("features that are no numbers", f"{counted(self.width, 'number')}, null where one is missing")
        if not isinstance(neighbours, list):
            raise Invalid("neighbours that are no list", "a list of ids")
        found = {"features": features, "neighbours": [_text(name) for name in neighbours]}
        self._new(found)
        return found

    def dump(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            return {"node": value}
        features = np.asarray(value["features"], np.float32)
        numbers = [None if np.isnan(v) else float(v) for v in features]
        return {"features": numbers, "neighbours": list(value.get("neighbours", ()))}

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """Nothing: training heard every known node, and no new one to measure later ones by. The answers are watched."""
        return {}

    def describe(self) -> str:
        return f"nodes of one graph: {counted(len(self.ids), 'node')} with {counted(self.width, 'number')} each, {counted(self.edges, 'edge')}"


def _text(name: Any) -> Any:
    return str(name) if type(name) is int else name
