"""What an item looks like to the model: its last hidden layer, or the item itself where nobody can look inside."""

from __future__ import annotations

import numpy as np
import torch

import deepen
from deepen.training.finished import data_of, load_model


def test_of_a_run_they_are_the_last_hidden_layer(digits_run):
    predictor, data = deepen.load(str(digits_run.path)), data_of(digits_run)
    raw = data.items.raw(range(70))
    found = predictor.features(raw)
    packaged = load_model(digits_run)
    with torch.inference_mode():
        hidden = torch.from_numpy(found)
        last = [m for m in packaged.net.modules() if isinstance(m, torch.nn.Linear)][-1]
        answer = packaged.head(last(hidden)).numpy()
    assert found.shape[0] == 70
    np.testing.assert_allclose(answer, np.concatenate([a["probabilities"] for a in predictor.outputs(raw)]), atol=1e-5)


def test_of_a_bundle_they_are_the_encoded_items(digits_bundle):
    predictor = deepen.load(str(digits_bundle))
    raw = [np.full((8, 8, 1), i, np.uint8) for i in range(3)]
    assert predictor.features(raw).tolist() == [[float(i)] * 64 for i in range(3)]
    assert predictor.features([]).shape == (0, 0)
