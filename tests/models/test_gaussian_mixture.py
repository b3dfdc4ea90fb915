"""Gaussian mixture: EM and densities against scikit-learn and scipy, queries by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deepen.kinds.classes import Classes
from deepen.models.gaussian_mixture import GaussianMixture, _apart, log_normal
from deepen.preprocess.array import Array
from deepen.signature import Signature


def net(width: int = 2, classes: str = "ab", **options) -> GaussianMixture:
    torch.manual_seed(0)
    return GaussianMixture(Signature({"array": Array((width,))}, {"label": Classes(tuple(classes))}), **options)


def given(**buffers) -> GaussianMixture:
    """One class apart from a second without weight; two columns."""
    found = net(components=1)
    found.log_weight.copy_(torch.tensor([[0.0], [-torch.inf]]))
    for name, value in buffers.items():
        getattr(found, name)[0, 0] = torch.tensor(value)
    found.root.copy_(torch.linalg.inv(torch.linalg.cholesky(found.covariance)))
    return found


def bells(n: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    """Class 0: two tilted bells; class 1: one between them."""
    generator = torch.Generator().manual_seed(0)
    which = torch.randint(3, (n,), generator=generator)
    centre = torch.tensor([[-3.0, 0], [3, 1], [0, 0]])
    shape = torch.tensor([[[1.0, 0], [0.8, 0.4]], [[0.5, 0], [-0.3, 1]], [[0.7, 0], [0, 0.7]]])
    rows = centre[which] + torch.einsum("bde,be->bd", shape[which], torch.randn(n, 2, generator=generator))
    return rows, (which == 2).long()


def test_density_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    rows, _ = bells(20)
    covariance = torch.tensor([[2.0, 0.6], [0.6, 0.5]])
    root = torch.linalg.inv(torch.linalg.cholesky(covariance))
    found = log_normal(rows, torch.tensor([[1.0, -1]]), root[None])[:, 0]
    np.testing.assert_allclose(found, stats.multivariate_normal([1, -1], covariance).logpdf(rows), rtol=1e-5)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_em_ends_where_scikit_learns_does(covariance):
    mixture = pytest.importorskip("sklearn.mixture")
    rows, target = bells()
    ours = net(components=2, covariance=covariance, tolerance=1e-7, iterations=500)
    ours.fit((rows,), target)
    theirs = mixture.GaussianMixture(
        2, covariance_type={"full": "full", "diagonal": "diag"}[covariance], reg_covar=1e-3, tol=1e-7, max_iter=500,
        random_state=0,
    ).fit(rows[target == 0].double())  # fmt: skip
    order, other = ours.mean[0, :, 0].argsort(), theirs.means_[:, 0].argsort()
    np.testing.assert_allclose(ours.mean[0][order], theirs.means_[other], atol=1e-3)
    expected = theirs.covariances_[other]
    expected = expected if covariance == "full" else np.stack([np.diag(v) for v in expected])
    np.testing.assert_allclose(ours.covariance[0][order], expected, atol=1e-3)
    np.testing.assert_allclose(
        ours.log_weight[0][order].exp(), theirs.weights_[other] * (target == 0).float().mean().item(), atol=1e-4
    )
    whole = ours(rows)[:, 0] - math.log((target == 0).float().mean())
    np.testing.assert_allclose(whole, theirs.score_samples(rows.double()), atol=1e-2)


def test_one_bell_is_mean_and_covariance():
    rows, target = bells()
    found = net(components=1, floor=0.01)
    found.fit((rows,), target)
    own = rows[target == 1]
    torch.testing.assert_close(found.mean[1, 0], own.mean(0))
    torch.testing.assert_close(found.covariance[1, 0], torch.cov(own.T, correction=0) + 0.01 * torch.eye(2))


def test_classes_are_told_apart_by_bayes_rule():
    rows, target = bells()
    found = net(components=2)
    found.fit((rows,), target)
    assert (found(rows).argmax(1) == target).float().mean() > 0.93
    share = found(rows).softmax(1)[:, 1]
    joint = found.joint(rows).exp()
    torch.testing.assert_close(share, joint[:, 1].sum(1) / joint.sum((1, 2)))
    torch.testing.assert_close(found.features(rows).sum(1), torch.ones(600))


def test_conditional_by_hand():
    """Of a bell: mean m_1 + s_12 / s_22 (x_2 - m_2), variance s_11 - s_12^2 / s_22."""
    found = given(mean=[1.0, 2.0], covariance=[[4.0, 1.2], [1.2, 0.9]])
    weights, means, covariances = found.conditional([1], torch.tensor([[2.0], [5.0]]))
    torch.testing.assert_close(means[:, 0, 0], torch.tensor([1.0, 1 + 1.2 / 0.9 * 3]))
    torch.testing.assert_close(covariances[0, 0, 0], torch.tensor(4 - 1.2**2 / 0.9))
    assert weights[:, 0].tolist() == [1, 1]


def test_marginal_by_hand_and_as_the_joint_summed_over_the_other():
    found = given(mean=[1.0, 2.0], covariance=[[4.0, 1.2], [1.2, 0.9]])
    normal = lambda x: -0.5 * math.log(2 * math.pi * 4) - (x - 1) ** 2 / 8
    torch.testing.assert_close(found.marginal([0], torch.tensor([[0.5]])), torch.tensor([normal(0.5)]))
    rows, target = bells()
    found = net(components=2)
    found.fit((rows,), target)
    grid = torch.linspace(-12, 12, 4001)
    joint = found.log_density(torch.stack([torch.full_like(grid, 0.5), grid], 1)).exp()
    summed = torch.trapezoid(joint, grid)
    torch.testing.assert_close(found.marginal([0], torch.tensor([[0.5]])).exp(), summed[None], atol=1e-4, rtol=1e-3)
    weights, means, covariances = found.conditional([0], torch.tensor([[0.5]]))
    mean = torch.trapezoid(joint * grid, grid) / summed
    torch.testing.assert_close((weights[0] * means[0, :, 0]).sum(), mean, atol=1e-3, rtol=1e-3)
    square = torch.trapezoid(joint * grid**2, grid) / summed
    torch.testing.assert_close(
        (weights[0] * (covariances[:, 0, 0] + means[0, :, 0] ** 2)).sum(), square, atol=1e-3, rtol=1e-3
    )


def test_samples_have_the_mixtures_moments():
    rows, target = bells()
    found = net(components=2)
    found.fit((rows,), target)
    made, classes = found.drawn(20_000, torch.Generator().manual_seed(0))
    assert (classes == 1).float().mean().item() == pytest.approx((target == 1).float().mean().item(), abs=0.02)
    torch.testing.assert_close(made.mean(0), rows.mean(0), atol=0.08, rtol=0)
    torch.testing.assert_close(torch.cov(made.T), torch.cov(rows.T), atol=0.3, rtol=0)


def test_samples_are_tilted_as_their_bell():
    found = given(mean=[1.0, 2.0], covariance=[[4.0, 1.2], [1.2, 0.9]])
    made, _ = found.drawn(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.cov(made.T), found.covariance[0, 0], atol=0.1, rtol=0)


def test_equal_rows_and_fewer_rows_than_bells():
    found = net(components=3)
    found.fit((torch.tensor([[1.0, 2], [1, 2], [1, 2], [5, 5]]),), torch.tensor([0, 0, 0, 1]))
    assert torch.isfinite(found(torch.zeros(1, 2))).all()
    assert found(torch.tensor([[5.0, 5], [1, 2]])).argmax(1).tolist() == [1, 0]


def test_without_labels_it_is_one_class_and_its_scores_are_scikit_learns(tmp_path):
    """`score_samples` of one bell, in the items' own unit; the method follows from the network."""
    import deepen

    mixture = pytest.importorskip("sklearn.mixture")
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3)) * [1, 10, 0.1] + 5).astype(np.float32)
    lines = ["a,b,c", *(",".join(map(str, row)) for row in x.tolist())]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    settings = {"model": "gaussian_mixture", "components": 1, "floor": 1e-6, "threads": 1, "output": str(tmp_path)}
    run = deepen.train(str(tmp_path / "t.csv"), **settings)
    places = [int(name.rpartition(":")[2]) - 2 for name in run.read_json("split.json")["train"]]
    peer = mixture.GaussianMixture(1, reg_covar=0).fit(x[places])
    predictor = deepen.load(str(run.path))
    found = [answer["log_density"] for answer in predictor([dict(zip("abc", row)) for row in x[:20].tolist()])]
    np.testing.assert_allclose(found, peer.score_samples(x[:20]), atol=1e-3)
    made = predictor.made(4000)
    assert made.shape == (4000, 3)
    np.testing.assert_allclose(predictor.signature.answer.own(made).mean(0), x[places].mean(0), rtol=0.2)


def test_what_it_starts_from_lies_apart():
    """Of three heaps one row each, however small two of them are (Arthur and Vassilvitskii 2007)."""
    torch.manual_seed(0)
    heaps = torch.tensor([[0.0, 0.0]] * 20 + [[90.0, 0.0], [0.0, 100.0]], dtype=torch.float64)
    for _ in range(20):
        assert len({tuple(row.tolist()) for row in _apart(heaps, 3)}) == 3
    line = torch.tensor([[0.0], [1.0], [10.0]], dtype=torch.float64)
    both_near = sum(float(_apart(line, 2).sum()) == 1 for _ in range(400))
    assert both_near < 12, "by the squared distance: 1 in 135; by the distance 1 in 16"
