"""Data and further figures for what training strategies are judged by: few labels, really noisy labels, zero weights."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

UNLABELLED, LABELLED = 20_000, 1_000
PICTURES, TESTED = 8_000, 5_000


def few_labels(data: Path, place: Path, seed: int) -> dict[str, str]:
    """20,000 training digits of MNIST, of which 1,000 have their label (others with each seed), and its test part."""
    with np.load(data / "images" / "mnist.npz") as found:
        chosen = np.random.default_rng(seed).permutation(len(found["x_train"]))[:UNLABELLED]
        labels = found["y_train"][chosen].astype("U2")
        labels[LABELLED:] = ""
        arrays = {"x_train": found["x_train"][chosen], "y_train": labels}
        arrays |= {"x_test": found["x_test"], "y_test": found["y_test"].astype("U2")}
    return _written(place, arrays)


def people(which: str) -> Any:
    """8,000 training pictures of CIFAR-10 (others with each seed) with labels of CIFAR-10N; 5,000 test pictures, true labels."""

    def made(data: Path, place: Path, seed: int) -> dict[str, str]:
        rng = np.random.default_rng(seed)
        with (
            np.load(data / "images" / "cifar10_jpeg.npz") as found,
            np.load(data / "images" / "human_labels.npz") as given,
        ):
            learn, test = rng.permutation(50_000)[:PICTURES], np.arange(TESTED)
            arrays = {
                "x_train": _decoded(found["jpeg_train"], found["off_train"], learn),
                "y_train": given[f"cifar10_train_{which}"][learn],
                "x_test": _decoded(found["jpeg_test"], found["off_test"], test),
                "y_test": found["y_test"][test],
            }
        return _written(place, arrays)

    return made


def _decoded(data: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """uint8 (n, 32, 32, 3)."""
    from PIL import Image

    files = (data[offsets[i] : offsets[i + 1]].tobytes() for i in rows)
    return np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])


def _written(place: Path, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    place.mkdir(parents=True)
    np.savez(place / "data.npz", **arrays)
    return {"data.path": str(place / "data.npz")}


def zeros(run: Any) -> dict[str, float]:
    """Which share of a network's weights (biases left out) is exactly 0."""
    from deepen.training.finished import load_model

    weights = [p for p in load_model(run).parameters() if p.ndim > 1]
    return {"zero weights": sum(int((p == 0).sum()) for p in weights) / sum(p.numel() for p in weights)}
