"""From what is heard in each frame to what was said: connectionist temporal classification, the decoding side. NumPy only.

    said(path) = path without repeats that follow each other, then without blanks       a-ab- says "aab" where - is blank
    P(text)    = sum over all paths that say it of prod_t p_t(path_t)

greedy  the likeliest path, and what it says
beam    the likeliest text, as far as the `width` likeliest beginnings at each frame lead to it

Papers   Graves et al. 2006, "Connectionist temporal classification"; beam: Hannun et al. 2014, arXiv:1408.2873, alg. 1,
         without a language model.
Letters  n items, T frames, K characters with the blank, which is number 0
"""

from __future__ import annotations

import numpy as np

BLANK = 0
OUTSIDE = -1e4  # logarithm in every place of a frame that only fills up
UNLIKELY = -12.0  # characters below this logarithm lead no beam on


def greedy(frames: np.ndarray) -> list[int]:
    """Numbers of the characters, of log probabilities (T, K)."""
    path = frames.argmax(1)
    kept = np.flatnonzero(np.diff(path, prepend=-1) != 0)
    return [int(c) for c in path[kept] if c != BLANK]


def beam(frames: np.ndarray, width: int) -> list[int]:
    """The same by a search over beginnings; each keeps the chance of paths that end in a blank and of those that do not."""
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}
    for frame in frames[frames[:, BLANK] > OUTSIDE / 2].astype(np.float64):
        some = [int(c) for c in np.flatnonzero(frame > UNLIKELY) if c != BLANK]
        found: dict[tuple[int, ...], tuple[float, float]] = {}
        for text, (ended, open_) in beams.items():
            both = np.logaddexp(ended, open_)
            last = text[-1] if text else BLANK
            _add(found, text, both + frame[BLANK], open_ + frame[last] if text else -np.inf)
            for c in some:  # after the same character only a blank makes a second one of it
                _add(found, (*text, c), -np.inf, (ended if c == last else both) + frame[c])
        best = sorted(found, key=lambda text: (-np.logaddexp(*found[text]), text))[:width]
        beams = {text: found[text] for text in best}
    return list(next(iter(beams)))


def _add(found: dict[tuple[int, ...], tuple[float, float]], text: tuple[int, ...], ended: float, open_: float) -> None:
    before = found.get(text, (-np.inf, -np.inf))
    found[text] = float(np.logaddexp(before[0], ended)), float(np.logaddexp(before[1], open_))


def written(frames: np.ndarray, width: int) -> np.ndarray:
    """int64 (n, longest) of log probabilities (n, T, K), -1 behind a text's end; a width of 1 is greedy."""
    texts = [greedy(own) if width == 1 else beam(own, width) for own in frames]
    result = np.full((len(texts), max(map(len, texts), default=0)), -1, np.int64)
    for i, text in enumerate(texts):
        result[i, : len(text)] = text
    return result


def edits(a: list[int] | str | list[str], b: list[int] | str | list[str]) -> int:
    """The fewest characters to put in, take out or replace that make b of a (Levenshtein 1966)."""
    row = np.arange(len(b) + 1)
    for i, one in enumerate(a, 1):
        change = row[:-1] + np.array([one != other for other in b], int) if len(b) else row[:0]
        best = np.minimum(np.concatenate([[i], change]), np.concatenate([[i], row[1:] + 1]))
        # what is put in may follow what was put in: the smallest of all before, plus the way from there
        row = np.minimum.accumulate(best - np.arange(len(b) + 1)) + np.arange(len(b) + 1)
    return int(row[-1])
