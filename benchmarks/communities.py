"""Small graphs of two communities, as GraphRNN's evaluation has them, with a colour for each community.

Two communities of 6 to 10 nodes, alike large; of the pairs within a community 0.8 are linked, and one pair across.
What no longer hangs together with the largest part is left out. Nodes of a community carry its colour, one of three.

Paper  You et al. 2018, arXiv:1802.08773, section 4.1 (community-small).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SIZES, EACH, WITHIN, COLOURS = range(6, 11), 20, 0.8, 3


def made(data: Path, place: Path, seed: int) -> dict[str, str]:
    """Writes 100 graphs."""
    place.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    lines = [json.dumps(_graph(size, rng)) for size in SIZES for _ in range(EACH)]
    (place / "communities.jsonl").write_text("\n".join(lines) + "\n")
    return {"data.path": str(place / "communities.jsonl")}


def _graph(size: int, rng: np.random.Generator) -> dict[str, Any]:
    from deepen.content.shapes import components

    side = np.arange(2 * size) // size
    links = np.triu((side[:, None] == side) & (rng.random((2 * size, 2 * size)) < WITHIN), 1)
    links[rng.integers(size), size + rng.integers(size)] = True
    links = links | links.T
    part = components(links)
    kept = np.flatnonzero(part == np.bincount(part).argmax())
    colour = rng.permutation(COLOURS)[side[kept]]
    edges = np.argwhere(np.triu(links[np.ix_(kept, kept)]))
    return {"nodes": np.eye(COLOURS, dtype=int)[colour].tolist(), "edges": edges.tolist()}
