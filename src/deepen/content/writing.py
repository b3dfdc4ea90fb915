"""Texts written piece by piece by whoever says what may come next. NumPy only.

go_on   a text gone on with: the likeliest piece, or drawn from softmax(logs / temperature) by Gumbel's noise
answer  an answer from the mark to the mark, several followed side by side (beam search, Sutskever et al. 2014, 3.2)

What is drawn is a function of the seed and the place alone, and each text is written on its own, so that none depends
on what stands beside it in a batch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deepen.content.pieces import FIRST

NEVER = -1e30  # the logarithm of what cannot be, finite: differences of two such stay numbers
WIDE = 1e9  # a margin where there was no other choice


def go_on(
    look: Callable[[np.ndarray], np.ndarray],
    tokens: np.ndarray,
    logs: np.ndarray,
    length: int,
    longest: int,
    temperature: float,
    top: int | None,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """What is written on to texts (B, L), 0 fills up: pieces (B, length), and by how much the closest choice was made.

    look     texts of at most `longest` pieces to the logarithms (B, V) of what comes next
    logs     those behind the texts, where they are no longer than that
    """
    texts = [row[row > 0][-longest:] for row in tokens]
    if tokens.shape[1] > longest:
        logs = look(padded(texts))
    written = np.zeros((len(texts), length), np.int64)
    margin = np.full(len(texts), WIDE)
    draw = np.random.default_rng(seed)
    for place in range(length):
        noise = draw.gumbel(size=logs.shape[1] - FIRST) if temperature else None
        written[:, place], lead = choose(logs, noise, temperature, top)
        margin = np.minimum(margin, lead)
        texts = [np.append(text, piece)[-longest:] for text, piece in zip(texts, written[:, place])]
        if place + 1 < length:
            logs = look(padded(texts))
    return written, margin


def choose(
    logs: np.ndarray, noise: np.ndarray | None, temperature: float, top: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The next piece of each text (B,) and by how much it leads the second; 0 and 1 are no pieces."""
    scores = logs[:, FIRST:].astype(np.float64)
    if top is not None and top < scores.shape[1]:
        least = -np.partition(-scores, top - 1, axis=1)[:, top - 1 : top]
        scores = np.where(scores >= least, scores, NEVER)
    if noise is not None:
        scores = scores / temperature + noise
    best = scores.argmax(1)
    rows = np.arange(len(best))
    lead = scores[rows, best]
    scores[rows, best] = NEVER
    return best + FIRST, np.minimum(lead - scores.max(1, initial=NEVER), WIDE)


def padded(texts: list[np.ndarray]) -> np.ndarray:
    """int64 (B, L), 0 fills up."""
    result = np.zeros((len(texts), max(map(len, texts))), np.int64)
    for row, text in enumerate(texts):
        result[row, : len(text)] = text
    return result


def answer(
    look: Callable[[np.ndarray, np.ndarray], np.ndarray], source: np.ndarray, length: int, mark: int, beams: int
) -> tuple[np.ndarray, np.ndarray]:
    """Answers (B, length) to texts (B, S), 0 fills up, and by how much the closest choice was made.

    look  texts and what is written so far to the logarithms of what comes next
    """
    source = np.repeat(source, beams, 0)
    kept = Beams(len(source) // beams, beams, mark)
    for place in range(length + 1):
        logs = look(source, kept.written.reshape(len(source), -1)).astype(np.float64)
        logs[:, : FIRST if place < length else mark] = NEVER  # the last is the mark
        kept.grow(logs)
        if kept.ended.all():
            break
    return kept.best(length)


class Beams:
    """The likeliest beginnings of each answer: (B, k) of them, with the sum of their logarithms."""

    def __init__(self, items: int, beams: int, mark: int) -> None:
        self.mark = mark
        self.written = np.full((items, beams, 1), mark, np.int64)
        self.total = np.tile(np.r_[0.0, np.full(beams - 1, NEVER)], (items, 1))  # one each at first
        self.length = np.zeros((items, beams))  # pieces, the mark that ends them among them
        self.ended = np.zeros((items, beams), bool)
        self.margin = np.full(items, WIDE)

    def grow(self, logs: np.ndarray) -> None:
        """Go on by one piece; logs (B k, V) of what comes after each. What has ended stays as it is."""
        items, beams = self.total.shape
        logs[self.ended.ravel()] = NEVER
        logs[self.ended.ravel(), self.mark] = 0.0
        scores = (self.total[:, :, None] + logs.reshape(items, beams, -1)).reshape(items, -1)
        order = np.argsort(-scores, 1, kind="stable")[:, : beams + 1]
        best = np.take_along_axis(scores, order, 1)
        close = ~self.ended.all(1) & (best[:, beams] > NEVER / 2)
        self.margin[close] = np.minimum(self.margin, best[:, beams - 1] - best[:, beams])[close]
        came, piece = np.divmod(order[:, :beams], logs.shape[1])
        before = np.take_along_axis(self.ended, came, 1)
        self.total = best[:, :beams]
        self.length = np.take_along_axis(self.length, came, 1) + ~before
        self.written = np.concatenate([self.written[np.arange(items)[:, None], came], piece[:, :, None]], 2)
        self.ended = before | (piece == self.mark)

    def best(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Of each the one with the largest mean logarithm per piece, without its marks."""
        mean = np.where(self.total > NEVER / 2, self.total / np.maximum(self.length, 1), NEVER)
        if mean.shape[1] > 1:
            first, second = np.sort(mean, 1)[:, :-3:-1].T
            self.margin = np.minimum(self.margin, first - second)
        rows = self.written[np.arange(len(mean)), mean.argmax(1), 1 : length + 1]
        rows = np.where(rows == self.mark, 0, rows)
        return np.pad(rows, [(0, 0), (0, length - rows.shape[1])]), self.margin
