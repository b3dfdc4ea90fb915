"""Texts: how well their pieces are foretold, and how much of one text another meets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from deepen.metrics.resampled import once, plain, ratio


def tokens(characters: np.ndarray, nats: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Figures of a language model. characters (n,), nats (n, L), right (n, L): 1, 0, or -1 where there is no piece."""
    return plain(tokens_resampled(characters, nats, right, once(nats)))


def tokens_resampled(
    characters: np.ndarray, nats: np.ndarray, right: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The figures of `tokens`, each (R,): over all pieces, whatever text they stand in."""
    cost = counts @ nats.astype(np.float64).sum(1)
    pieces, hits = counts @ (right >= 0).sum(1), counts @ (right == 1).sum(1)
    mean = ratio(cost, pieces, np.nan)
    return {
        "nats": mean,
        "perplexity": np.exp(mean),
        "bits_per_character": ratio(cost / np.log(2), counts @ characters, np.nan),
        "accuracy": ratio(hits, pieces, np.nan),
    }


def item_nats(nats: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Mean nats of each text's pieces, float64 (n,); 0 where there was nothing to foretell."""
    return nats.astype(np.float64).sum(1) / np.maximum((right >= 0).sum(1), 1)


def bleu_resampled(truth: Sequence[Sequence[str]], answers: Sequence[Sequence[str]], counts: np.ndarray) -> np.ndarray:
    """BLEU of words with one reference each (R,), 0 where no n-gram of some length is met."""
    found = np.array([_ngrams(t, a) for t, a in zip(truth, answers)]).reshape(-1, 10)
    met, given, length = (
        counts @ part for part in (found[:, :4], found[:, 4:8], found[:, 8:])
    )  # (R, 4), (R, 4), (R, 2)
    share = ratio(met, given)
    mean = np.log(np.where(share > 0, share, 1)).mean(1)
    short = np.minimum(0.0, 1 - ratio(length[:, 0], length[:, 1], np.inf))
    return np.where((share > 0).all(1), np.exp(mean + short), 0.0)


def _ngrams(truth: Sequence[str], answer: Sequence[str]) -> list[int]:
    """n-grams of 1 to 4 words that are met, those that are given, and words in the truth and in the answer."""
    met, given = [], []
    for n in range(1, 5):
        wanted, had = (Counter(tuple(t[i : i + n]) for i in range(len(t) - n + 1)) for t in (truth, answer))
        met.append((wanted & had).total())
        given.append(had.total())
    return [*met, *given, len(truth), len(answer)]
