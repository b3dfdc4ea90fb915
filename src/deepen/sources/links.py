"""The links of one big graph: which pairs of nodes belong together. Read as `graphs` reads one graph; no label is needed.

Items are pairs of nodes, links and as many pairs without one in validation and test, links alone in training: what
they are learnt against is drawn anew in each step. Links that are held out stand nowhere else: the shared edges, which
travel with the weights into the bundle, are those of training alone, both ways.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from deepen.data.graphs import Many, One, read, said, within
from deepen.data.items import Items
from deepen.errors import DeepenError, counted
from deepen.preprocess.graph import scale_of, tidy
from deepen.preprocess.row import Rows
from deepen.schema import Natural, Share

NAMES = 256  # numbers that stand for a node of which nothing is known


class Links:
    """Pairs of nodes of one graph, to tell which are linked: .npz, or a folder with nodes.csv and edges.csv.

    target  a column of nodes.csv that is no feature
    scale   columns: every number to mean 0 and deviation 1; rows: a node's numbers to shares of their sum (words,
            tags); left out: rows where they are never negative and most of them zero
    val     share of the links that validate
    held    share of the links that are for the test
    seed    of the draw of held-out links and of the pairs without one
    """

    method = "elbo"

    def __init__(
        self,
        path: str,
        target: str | None = None,
        scale: Literal["columns", "rows"] | None = None,
        val: Share = 0.05,
        held: Share = 0.1,
        seed: Natural = 0,
    ) -> None:
        self.path, self.target, self.scale, self.val, self.held, self.seed = path, target, scale, val, held, seed

    def read(self) -> Items:
        found = read(self.path, self.target, asks=False)
        if isinstance(found, Many):
            raise DeepenError(
                "data.graphs", self.path, f"{counted(len(found.graphs), 'graph')}", "one graph whose links are learnt",
                "data.name=graphs",
            )  # fmt: skip
        return self._pairs(found)

    def _pairs(self, found: One) -> Items:
        count = len(found.ids)
        given = within(found)
        notes = found.notes + said(given, count, True)
        both = tidy(given, count, False)
        links = both[:, both[0] < both[1]].T  # (L, 2)
        rng = np.random.default_rng([self.seed, 40])
        parts = self._shared_out(len(links), rng)
        held = np.isin(parts, ("val", "test"))
        others = unlinked(links, count, int(held.sum()), rng)
        shares = self._against(others, (parts[held] == "val").mean(), rng)
        if len(others) < held.sum():
            notes.append(f"only {counted(len(others), 'pair')} of nodes without a link: fewer than links held out")
        features = self._told_by(found, notes)
        known = links[parts == "train"]
        edges = tidy(known.T, count, False)
        if lonely := int((np.bincount(both[0], minlength=count) > 0).sum() - len(np.unique(edges))):
            notes.append(f"{counted(lonely, 'node')} with none but held-out links: only numbers tell of these")
        scale = self.scale or scale_of([features])
        options = {"ids": found.ids, "edges": edges.shape[1], "width": features.shape[1], "scale": scale}
        pairs = np.concatenate([links, others])
        names = [(found.ids[a], found.ids[b]) for a, b in pairs.tolist()]
        degree = np.bincount(edges[0], minlength=count)
        return Items(
            ids=[" -- ".join(name) for name in names],
            inputs={"link": names},
            encoders={"link": ("link", options)},
            target=[True] * len(links) + [False] * len(others),
            kind="link",
            target_name="linked",
            split=[*parts.tolist(), *shares.tolist()],
            columns=Rows({"fewest neighbours": degree[pairs].min(1).astype(np.float64)}),
            hashes=_hashes(features, edges, pairs),
            notes=notes,
            crossed=False,  # what a fold holds out would stand in the shared edges
            shared={"link": {"features": features, "edges": edges}},
        )

    def _shared_out(self, links: int, rng: np.random.Generator) -> np.ndarray:
        """The part of each link."""
        val, held = round(self.val * links), round(self.held * links)
        if not (val and held and links - val - held > 0):
            raise DeepenError(
                "data.links", self.path, f"{counted(links, 'link')}, of them {val} to validate and {held} to test",
                "at least one in every part", "data.val=0.1 data.held=0.2",
            )  # fmt: skip
        parts = np.full(links, "train", object)
        order = rng.permutation(links)
        parts[order[:val]], parts[order[val : val + held]] = "val", "test"
        return parts

    def _against(self, others: np.ndarray, val: float, rng: np.random.Generator) -> np.ndarray:
        """The part of each pair without a link: in proportion, and one in each at least."""
        if len(others) < 2:
            raise DeepenError(
                "data.links", self.path, f"{counted(len(others), 'pair')} of nodes without a link",
                "pairs with and without one, to tell apart",
            )  # fmt: skip
        first = min(max(round(val * len(others)), 1), len(others) - 1)
        return rng.permutation(np.where(np.arange(len(others)) < first, "val", "test").astype(object))

    def _told_by(self, found: One, notes: list[str]) -> np.ndarray:
        """What is known of each node, (N, d); where all are alike, numbers that stand for nothing but the node."""
        if missing := int(np.isnan(found.features).any(1).sum()):
            notes.append(f"{counted(missing, 'node')} without numbers: the mean of the others stands in")
        known = np.nan_to_num(found.features)
        if (known != known[0]).any():
            return found.features
        notes.append("no number tells nodes apart: each is given some of its own, and only its links tell of it")
        width = min(len(known), NAMES)
        return np.random.default_rng([self.seed, 41]).standard_normal((len(known), width)).astype(np.float32)


def unlinked(links: np.ndarray, nodes: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many different pairs (count, 2) without a link, drawn alike from all there are; all where they are fewer."""
    taken = links[:, 0] * nodes + links[:, 1]
    count = min(count, nodes * (nodes - 1) // 2 - len(taken))
    if nodes * nodes <= 4 * (len(taken) + 4 * count):  # a dense graph: go through all pairs
        every = np.stack(np.triu_indices(nodes, 1), 1)
        free = np.flatnonzero(~np.isin(every[:, 0] * nodes + every[:, 1], taken))
        return every[np.sort(rng.choice(free, count, replace=False))]
    found = np.empty(0, np.int64)
    while len(found) < count:
        pairs = np.sort(rng.integers(nodes, size=(2 * count + 16, 2)), 1)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        drawn = np.concatenate([found, pairs[:, 0] * nodes + pairs[:, 1]])
        drawn = drawn[~np.isin(drawn, taken)]
        found = drawn[np.sort(np.unique(drawn, return_index=True)[1])]  # in the order they were drawn
    found = np.sort(found[:count])
    return np.stack([found // nodes, found % nodes], 1)


def _hashes(features: np.ndarray, edges: np.ndarray, pairs: np.ndarray) -> list[str]:
    """A pair is another one where the graph is."""
    graph = hashlib.blake2b(np.ascontiguousarray(features).tobytes() + edges.tobytes(), digest_size=16).digest()
    return [hashlib.blake2b(graph + pair.tobytes(), digest_size=16).hexdigest() for pair in pairs]
