"""What a graph looks like, and how far two sets of graphs are apart. NumPy only.

    degrees     share of its nodes that have 0, 1, ... neighbours
    clustering  share of its nodes whose coefficient lies in each hundredth of 0 to 1; of a node of k neighbours with t
                links among them t / (k (k - 1) / 2), 0 for k < 2
    EMD         earth mover's distance of two histograms: sum of |difference of the cumulated shares| * width of a place
    k(x, y)     exp(-EMD^2 / (2 s^2))        s: 1 neighbour for degrees, 0.1 for clustering
    MMD^2       mean k(x, x') + mean k(y, y') - 2 mean k(x, y), over all pairs, a graph with itself too

Paper    You et al. 2018, "GraphRNN", arXiv:1802.08773, section 4.3; kernels and bandwidths of its authors' evaluator.
"""

from __future__ import annotations

import numpy as np

PLACES = 100  # of clustering coefficients
DEGREE, CLUSTERING = 1.0, 0.1  # bandwidths


def degrees(links: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Histograms (G, n) of graphs given by their links (G, n, n) and nodes (G, n)."""
    return _histogram(links.sum(2).astype(np.int64), there, links.shape[1])


def clustering(links: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Histograms (G, 100)."""
    count = links.sum(2)
    closed = np.einsum("gij,gjk,gik->gi", links, links, links, optimize=True)
    share = np.divide(closed, count * (count - 1), out=np.zeros_like(closed), where=count > 1)
    return _histogram(np.minimum((share * PLACES + 1e-9).astype(np.int64), PLACES - 1), there, PLACES)


def _histogram(values: np.ndarray, there: np.ndarray, size: int) -> np.ndarray:
    """Shares (G, size) of whole numbers (G, n) over the nodes that are there."""
    place = (np.arange(len(values))[:, None] * size + values)[there]
    return np.bincount(place, minlength=len(values) * size).reshape(-1, size) / there.sum(1, keepdims=True)


def alike(a: np.ndarray, b: np.ndarray, bandwidth: float, width: float = 1.0) -> np.ndarray:
    """The kernel of histograms (G, n) and (H, n), (G, H); `width` of a place."""
    distance = np.abs(a.cumsum(1)[:, None] - b.cumsum(1)).sum(2) * width
    return np.exp(-(distance**2) / (2 * bandwidth**2))


def near(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The kernel of rows (G, d) and (H, d) of numbers, (G, H): exp(-|a - b|^2 / (2 d))."""
    return np.exp(-((a[:, None] - b) ** 2).mean(2) / 2)


def mmd(own: np.ndarray, other: np.ndarray, across: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """MMD^2 (R,) of resamples (R, n) from kernels (n, n) within one set, the other, and across."""
    share = counts / counts.sum(1, keepdims=True)
    return np.einsum("ri,ij,rj->r", share, own + other - across - across.T, share, optimize=True)


def ordered(links: np.ndarray) -> np.ndarray:
    """The nodes of one graph (n, n) by the second eigenvector of its normalised Laplacian, largest component first.

    Neighbours so stand near each other, and parts that hardly touch one after the other.
    """
    part = components(links)
    size = np.bincount(part)
    value = np.zeros(len(links))
    for name in np.flatnonzero(size > 2):
        rows = np.flatnonzero(part == name)
        own = links[np.ix_(rows, rows)]
        root = 1 / np.sqrt(own.sum(1))
        _, vectors = np.linalg.eigh(np.eye(len(rows)) - root[:, None] * own * root)
        second = (vectors[:, 1] * root).round(6)
        value[rows] = second if (second**3).sum() >= 0 else -second
    return np.lexsort((value, part, -size[part]))


def laid_out(links: np.ndarray, steps: int = 60) -> np.ndarray:
    """Where the nodes of one graph (n, n) are drawn, (n, 2) from 0 to 1: linked ones pull, all push each other.

    Paper  Fruchterman and Reingold 1991, "Graph drawing by force-directed placement".
    """
    n = len(links)
    turn = 2 * np.pi * np.argsort(ordered(links)) / n
    place = np.stack([np.cos(turn), np.sin(turn)], 1)
    reach = 1.6 / np.sqrt(n)
    for heat in np.linspace(0.2, 0.01, steps):
        apart = place[:, None] - place
        length = np.sqrt((apart**2).sum(2)) + 1e-6
        force = (apart * (reach**2 / length**2 - links * length / reach)[..., None]).sum(1) - 0.3 * place
        size = np.sqrt((force**2).sum(1, keepdims=True)) + 1e-9
        place = place + force / size * np.minimum(size, heat)
    low = place.min(0)
    return np.full((n, 2), 0.5) if n == 1 else (place - low) / max(float((place.max(0) - low).max()), 1e-6)


def components(links: np.ndarray) -> np.ndarray:
    """The connected component of each node, from 0 on, (n,)."""
    part = np.arange(len(links))
    while True:
        least = np.where(links > 0, part, len(links)).min(1, initial=len(links))
        found = np.minimum(part, least)
        if (found == part).all():
            return np.unique(part, return_inverse=True)[1]
        part = found
