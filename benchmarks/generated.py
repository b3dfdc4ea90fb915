"""What generative networks are measured by. Made pictures: how near they are to true ones, as a classifier sees them that
deepen trains on the same training pictures. Densities: bounds on them.

distance   Frechet's, of made and held-out pictures, on the classifier's last hidden layer. It is a LeNet of our own, not
           Inception: no FID, and distances compare within one classifier alone
relative   the same as a share of the distance of pictures drawn from one normal distribution of all pixels
classes    that at least 2 % of the made pictures are taken for
gain       how many times as far off a training is that is a third as long
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

RECIPE = Path(__file__).parents[1] / "examples" / "recipes" / "fashion_lenet.yaml"
COUNT = 10_000  # pictures of each set
BATCH = 500


def pictures(run: Any) -> dict[str, float]:
    """What a run makes, and what it is held against."""
    known, true = _known(run)
    found = made(run)
    own, normal = known.distance(found), known.distance(drawn(true))
    return {
        "relative_frechet_error": own / normal,
        "classes": float(known.classes(found)),
        "distance": own,
        "normal_distance": normal,
        "true_distance": known.distance(true[:COUNT]),
    }


def improving(run: Any) -> dict[str, float]:
    """The same, and how many times as far off what a training makes that is a third as long."""
    import deepen
    from deepen.training.finished import config_of

    found = pictures(run)
    with tempfile.TemporaryDirectory() as scratch:
        epochs = max(1, (config_of(run).train.epochs or 0) // 3)
        early: Any = deepen.train(str(run.path / "config.yaml"), output=scratch, epochs=epochs)
        return {**found, "gain_after_third": _known(run)[0].distance(made(early)) / found["distance"]}


def _known(run: Any) -> tuple[Seen, np.ndarray]:
    """The held-out pictures of a run as its data's classifier sees them, and the training pictures."""
    from deepen.training.finished import config_of, data_of

    data = data_of(run)
    true, held = (data.target[data.parts[part]] for part in ("train", "test"))
    return Seen(classifier(config_of(run).data["path"]), held[:COUNT]), true


def bounds(run: Any) -> dict[str, float]:
    """Nats of a binarised picture: minus the ELBO on all test items, minus the log likelihood's bound on 1,000 of them.

    The second is over 5,000 draws of the code. Pictures are binarised anew, one Bernoulli draw a pixel.
    """
    import torch

    from deepen.training.finished import data_of, load_model

    packaged, data = load_model(run), data_of(run)
    torch.manual_seed(0)
    with torch.inference_mode():
        test = torch.from_numpy(data.columns["image"][data.parts["test"]])
        (items,) = packaged.normalise(test)
        tight = torch.cat([packaged.net.bound(item.unsqueeze(0), 5000) for item in items[:1000]])
        return {"elbo_loss": -float(packaged.net.bound(items, 1).mean()), "nll_loss": -float(tight.mean())}


@functools.cache
def classifier(path: str) -> Any:
    """A predictor of the classes, trained on the training part of a file."""
    import deepen
    from deepen.training.finished import predictor_of

    with tempfile.TemporaryDirectory() as scratch:
        settings: dict[str, Any] = {"data.path": path, "epochs": 4, "threads": 1, "seed": 0}
        run: Any = deepen.train(str(RECIPE), output=scratch, **settings)
        return predictor_of(run)


class Seen:
    """Pictures as a classifier sees them, beside held-out ones."""

    def __init__(self, judge: Any, held: np.ndarray) -> None:
        from deepen import metrics

        self.judge, self.metrics = judge, metrics
        self.held = self.moments(held)

    def moments(self, pictures: np.ndarray) -> Any:
        return self.metrics.moments(self.judge.features(list(pictures), BATCH).astype(np.float64))

    def distance(self, pictures: np.ndarray) -> float:
        return self.metrics.frechet(self.moments(pictures), self.held)

    def classes(self, pictures: np.ndarray) -> int:
        chances = np.concatenate([part["probabilities"] for part in self.judge.outputs(list(pictures), BATCH)])
        return self.metrics.classes_met(chances.argmax(1), chances.shape[1])


def made(run: Any) -> np.ndarray:
    """uint8 (COUNT, height, width, channels) of a run's generator, from the same draws every time."""
    from deepen.likeness import levels
    from deepen.training.finished import predictor_of

    predictor = predictor_of(run)
    draws = np.random.default_rng(1).standard_normal((COUNT, predictor.signature.answer.draws)).astype(np.float32)
    return levels(np.concatenate([part["made"] for part in predictor.outputs(list(draws), BATCH)]))


def drawn(pictures: np.ndarray) -> np.ndarray:
    """uint8 pictures from one normal distribution of all pixels of these, cut to levels."""
    from deepen.likeness import levels
    from deepen.metrics import moments

    mean, cov = moments(pictures.reshape(len(pictures), -1).astype(np.float64))
    values, vectors = np.linalg.eigh(cov)
    draws = np.random.default_rng(2).standard_normal((COUNT, len(values)))
    found = mean + (draws * np.sqrt(values.clip(0))) @ vectors.T
    return levels(found.reshape(COUNT, *pictures.shape[1:]))
