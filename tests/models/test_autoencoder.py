"""Without hidden layers an autoencoder finds the principal components; with them it beats them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import deepen
from deepen.kinds.reconstruction import Reconstruction
from deepen.models.autoencoder import Autoencoder
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.signature import Signature
from deepen.sources.digits import Digits

CODE = 8


def told(**settings) -> tuple[Autoencoder, torch.Tensor]:
    """A network for the digits as arrays, and the digits with mean 0."""
    x = Digits().read().inputs["image"].reshape(-1, 64).astype(np.float32) / 255
    x = torch.from_numpy(x - x.mean(0))
    kind = Reconstruction(shape=(64,), picture=False, mean=(0.0,) * 64, scale=(1.0,) * 64)
    torch.manual_seed(0)
    return Autoencoder(Signature({"array": Array((64,))}, {"item": kind}), code=CODE, **settings), x


def lost_by_components(x: torch.Tensor, test: torch.Tensor, code: int) -> float:
    """What the best linear way loses."""
    _, _, axes = torch.linalg.svd(x.double(), full_matrices=False)
    kept = axes[:code].T @ axes[:code]
    return float((test.double() @ kept - test).square().mean())


@pytest.mark.parametrize("tied", [False, True])
def test_linear_is_as_good_as_the_principal_components(tied):
    net, x = told(hidden=(), tied=tied)
    best = lost_by_components(x, x, CODE)
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=150, history_size=20, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = 100 * (net.again(x) - x).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    found = float((net.again(x) - x).detach().square().mean())
    assert best <= found * 1.0001
    assert found <= 1.01 * best


def test_answers_are_again_code_and_loss():
    net, x = told(hidden=(16,))
    again, code, loss = net(x[:5])
    torch.testing.assert_close(again, net.again(x[:5]))
    torch.testing.assert_close(code, net.features(x[:5]))
    torch.testing.assert_close(loss, torch.stack([(a - b).square().mean() for a, b in zip(again, x)]))
    assert code.shape == (5, CODE)


def test_photos_go_through_convolutions():
    kind = Reconstruction(shape=(20, 30, 3), picture=True, mean=(1.0,) * 3, scale=(1.0,) * 3)
    net = Autoencoder(Signature({"image": Image(20, 30, 3)}, {"item": kind}), channels=(4, 8), code=5)
    again, code, _ = net(torch.randn(2, 3, 20, 30))
    assert again.shape == (2, 3, 20, 30)
    assert code.shape == (2, 5)


@pytest.mark.slow
def test_beats_the_components_on_mnist(real_data, tmp_path):
    """At the same size of the code, on the test pictures, in a budget of ten epochs."""
    run = deepen.train(
        str(real_data / "images" / "mnist.npz"), output=str(tmp_path), method="reconstruct", epochs=10, lr=2e-3, threads=1,
        **{"model.code": 32, "model.form": "dense", "model.hidden": [256, 128]},
    )  # fmt: skip
    found = deepen.evaluate(str(run.path))["metrics"]["r2"][0]
    with np.load(real_data / "images" / "mnist.npz") as file:
        train, test = (torch.from_numpy(file[f"x_{p}"].reshape(-1, 784) / 255.0).float() for p in ("train", "test"))
    mean = train.mean(0)
    grey = (test - train.mean()).square().mean()  # the scale of the figure: one mean for all places
    components = 1 - lost_by_components((train - mean)[::5], test - mean, 32) / float(grey)
    assert found > components, f"r2 {found:.4f} against {components:.4f}"
