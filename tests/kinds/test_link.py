"""Answers about links: figures against scikit-learn, what is decoded and read back."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from deepen.kinds.link import Link
from deepen.panels import Gallery

KIND = Link()
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(2, size=60)
OUTPUTS = {"probability": np.clip(0.3 * TRUTH + 0.7 * RNG.random(60).round(1), 0.01, 0.99).astype(np.float32)}  # ties


def test_figures_are_those_of_scikit_learn():
    found, p = KIND.metrics(TRUTH, OUTPUTS), OUTPUTS["probability"]
    assert found["auc"] == pytest.approx(roc_auc_score(TRUTH, p))
    assert found["average_precision"] == pytest.approx(average_precision_score(TRUTH, p))
    assert found["accuracy"] == ((p >= 0.5) == TRUTH).mean()
    assert found["log_loss"] == pytest.approx(log_loss(TRUTH, p), rel=1e-5)
    counts = np.stack([np.ones(60), np.arange(60) % 3])
    resampled, rows = KIND.resampled(TRUTH, OUTPUTS, counts), np.repeat(np.arange(60), np.arange(60) % 3)
    assert resampled["auc"][0] == pytest.approx(found["auc"])
    assert resampled["auc"][1] == pytest.approx(roc_auc_score(TRUTH[rows], p[rows]))


def test_answers_and_back():
    answers = KIND.decode({"probability": np.array([0.25, 0.5], np.float32)})
    assert answers == [{"linked": False, "probability": 0.25}, {"linked": True, "probability": 0.5}]
    assert KIND.outputs(answers)["probability"].tolist() == [0.25, 0.5]
    assert KIND.gap(*answers) == pytest.approx(0.25)
    a, b = {"probability": np.array([0.2, 0.6])}, {"probability": np.array([0.3, 0.4])}
    assert (KIND.agreement(a, b), KIND.difference(a, b)) == (0.5, pytest.approx(0.2))
    assert KIND.uncertainty({"probability": np.array([0.5, 1.0])}).tolist() == [1, 0]


def test_the_worst_told_pairs_are_shown_first():
    *_, gallery = KIND.panels(np.array([1, 0, 1]), {"probability": np.array([0.9, 0.8, 0.01])})
    assert isinstance(gallery, Gallery)
    assert gallery.rows == (2, 1, 0)
    assert gallery.captions[0] == ("linked", "probability 0.010")
    assert len(KIND.panels(np.ones(3, int), {"probability": np.array([0.9, 0.8, 0.01])})) == 3, "no curve of one side"
