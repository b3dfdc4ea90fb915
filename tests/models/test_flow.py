"""A flow's density against the Jacobian, its way back, and a mixture of bells on two moons."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.kinds.density import Density
from deepen.models.flow import Flow
from deepen.nn.heads import head
from deepen.preprocess.array import Array
from deepen.signature import Signature


def flow(width: int = 5, **settings) -> Flow:
    """A flow whose couplings do something."""
    torch.manual_seed(0)
    kind = Density(shape=(width,), picture=False, mean=(0.0,) * width, scale=(1.0,) * width)
    net = Flow(Signature({"array": Array((width,))}, {"item": kind}), **{"hidden": (8,), "couplings": 4, **settings})
    for coupling in net.couplings:
        torch.nn.init.normal_(coupling.last.weight, std=0.5)
    return net.double()


def test_volume_is_the_jacobians():
    net, x = flow(), torch.randn(3, 5, dtype=torch.float64)
    z, volume = net.through(x)
    assert not torch.isclose(z, x).any(), "no place stays as it is"
    for row, found in zip(x, volume):
        jacobian = torch.autograd.functional.jacobian(lambda v: net.through(v[None])[0][0], row)
        torch.testing.assert_close(found, torch.linalg.slogdet(jacobian)[1])


def test_the_way_back_undoes_the_way_through():
    net, x = flow(), torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(net.back(net.through(x)[0]), x)
    kept = x[:, net.couplings[0].kept]
    raw = net.couplings[0].last(net.couplings[0].body(kept)).chunk(2, 1)[0]
    torch.testing.assert_close(net.couplings[0].change(kept)[0], 2 * (raw / 2).tanh())  # bounded, its slope at 0 is 1


def test_the_density_adds_up_to_one():
    net = flow(2, couplings=2)
    side = torch.linspace(-24, 24, 961, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    assert float((net.log_density(grid).exp().sum() * 0.05**2).detach()) == pytest.approx(1, abs=0.01)


def test_densities_are_of_the_item_in_its_own_unit():
    """p(x) dx is the same on both scales; the baseline is scikit-learn's one bell."""
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(0)
    x = (rng.normal(size=(200, 3)) * [1, 10, 0.1] + 5).astype(np.float32)
    kind = Density.of({"array": Array((3,))}, {"array": x}, np.arange(200))
    raw = torch.zeros(4)
    expected = torch.zeros(4) - float(np.log(x.std(0, dtype=np.float64)).sum())
    torch.testing.assert_close(head(kind)(raw), expected, atol=1e-4, rtol=0)
    bell = GaussianMixture(1, reg_covar=0).fit(x[:150])
    assert kind.baseline(x[:150], x[150:])[1] == pytest.approx(-bell.score(x[150:]), abs=1e-3)


def test_figures_and_answers():
    kind = Density(shape=(2,), picture=False, mean=(0.0,) * 2, scale=(1.0,) * 2)
    given = {"log_density": np.array([-1.0, -3.0], np.float32)}
    assert kind.metrics(np.zeros((2, 2)), given) == {"loss": 2.0}
    assert kind.resampled(np.zeros((2, 2)), given, np.array([[2.0, 0]]))["loss"].tolist() == [1.0]
    assert kind.outputs(kind.decode(given))["log_density"].tolist() == [-1.0, -3.0]
    assert kind.uncertainty(given).tolist() == [1.0, 3.0]
    assert kind.agreement(given, {"log_density": np.array([-1.0, -3.1])}) == 0.5


@pytest.mark.slow
def test_above_a_mixture_of_eight_bells_on_two_moons(tmp_path):
    """Held-out log density, against scikit-learn's mixture on the same items."""
    from sklearn.datasets import make_moons
    from sklearn.mixture import GaussianMixture

    import deepen

    x = make_moons(3000, noise=0.05, random_state=0)[0].astype(np.float32)
    np.savez(tmp_path / "moons.npz", x_train=x[:2000], x_val=x[2000:2500], x_test=x[2500:])
    run = deepen.train(
        str(tmp_path / "moons.npz"), output=str(tmp_path), method="max_likelihood", epochs=100, batch_size=100, lr=3e-3,
        threads=1,
    )  # fmt: skip
    document = deepen.evaluate(str(run.path))
    assert -document["metrics"]["loss"][0] > GaussianMixture(8, random_state=0).fit(x[:2000]).score(x[2500:])
    assert document["metrics"]["loss"][0] < document["baseline"]["loss"] - 1
    bundle = deepen.load(deepen.export(str(run.path))["bundle"])
    on, off = bundle([x[0].tolist(), [0.5, -2.0]])
    assert on["log_density"] > off["log_density"] + 3


def test_what_it_makes_has_its_density():
    """Whitened by the flow itself, made items are normal."""
    net = flow(3).float()
    with torch.no_grad():
        made = net.sample(4000)
        z = net.features(made)
    assert made.shape == (4000, 3)
    torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=0.08, rtol=0)
    torch.testing.assert_close(z.T.cov(), torch.eye(3), atol=0.1, rtol=0)
