"""What weights begin as: moments of what is drawn, fans, components of the data; what stays as the network has it."""

from __future__ import annotations

import pytest
import torch
from sklearn.decomposition import PCA
from tests.training.engines import engine, prepared_for
from torch import nn

from deepen import registry
from deepen.nn.initialise import fans, initialise
from deepen.training import plan


def begun(net: nn.Module, name: str, *inputs: torch.Tensor, **options: object) -> nn.Module:
    torch.manual_seed(0)
    spec = registry.check("initialisers", {"name": name, **options}, "x")
    initialise(net, registry.build("initialisers", spec), inputs)
    return net


@pytest.mark.parametrize(
    ("name", "options", "sd", "largest"),
    [
        ("zero", {}, 0.0, 0.0),
        ("constant", {"value": 0.3}, 0.0, 0.3),
        ("uniform", {"bound": 0.2}, 0.2 / 3**0.5, 0.2),
        ("normal", {}, 1.0, None),
        ("normal", {"sd": 0.3}, 0.3, None),
        ("truncated_normal", {"sd": 0.1}, 0.1, 0.2 / 0.8796),
        ("xavier", {}, (2 / 1000) ** 0.5, (6 / 1000) ** 0.5),
        ("xavier", {"spread": "normal", "gain": 5 / 3}, 5 / 3 * (2 / 1000) ** 0.5, None),
        ("he", {}, (2 / 600) ** 0.5, None),
        ("he", {"spread": "uniform"}, (2 / 600) ** 0.5, (6 / 600) ** 0.5),
        ("orthogonal", {"gain": 2}, 2 / 600**0.5, None),
        ("pca", {}, (2 / 600) ** 0.5, None),
    ],
)
def test_moments_of_240_000_draws(name, options, sd, largest):
    """600 inputs, 400 units."""
    layer = nn.Linear(600, 400)
    weight = begun(nn.Sequential(nn.Identity(), layer), name, torch.zeros(1, 600), **options)[1].weight.detach()
    if name != "pca":
        assert float(weight.mean()) == pytest.approx(0.3 if name == "constant" else 0, abs=0.01 * sd + 1e-7)
        assert float(weight.std()) == pytest.approx(sd, rel=0.01, abs=1e-7)
    if largest is not None:
        assert float(weight.abs().max()) == pytest.approx(largest, rel=0.01, abs=1e-9)
    assert not layer.bias.any()


def test_every_initialiser_is_measured():
    marks = test_moments_of_240_000_draws.pytestmark[0].args[1]
    assert {case[0] for case in marks} == set(registry.names("initialisers"))


def test_orthogonal_is():
    for shape in ((20, 50), (50, 20)):
        weight = begun(nn.Linear(*shape), "orthogonal", torch.zeros(1, shape[0]), gain=2.0).weight.detach()
        small = weight @ weight.T if shape[0] > shape[1] else weight.T @ weight
        torch.testing.assert_close(small, 4 * torch.eye(20), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (nn.Linear(7, 3), (7, 3)),
        (nn.Conv1d(4, 6, 5), (20, 30)),
        (nn.Conv2d(4, 6, 3), (36, 54)),
        (nn.Conv2d(4, 4, 3, groups=4), (9, 9)),
        (nn.ConvTranspose2d(4, 6, 3), (36, 54)),
    ],
)
def test_fans(layer, wanted):
    """What leads into a unit and out of one; of a transposed convolution the stored order is the other."""
    assert fans(layer) == wanted
    if not isinstance(layer, nn.ConvTranspose2d) and getattr(layer, "groups", 1) == 1:
        assert nn.init._calculate_fan_in_and_fan_out(layer.weight) == wanted


def test_he_keeps_the_variance_through_thirty_layers_and_xavier_does_not():
    found = {}
    for name in ("he", "xavier"):
        net = begun(nn.Sequential(*(m for _ in range(30) for m in (nn.Linear(512, 512), nn.ReLU()))), name)
        with torch.no_grad():
            found[name] = float(net(torch.randn(64, 512)).square().mean())
    assert 0.2 < found["he"] < 5
    assert found["xavier"] < 1e-6


def skewed(*shape: int) -> torch.Tensor:
    """Numbers whose neighbours are alike, not centred."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator).cumsum(-1) + 2


def test_pca_of_dense_layers_as_scikit_learn():
    items = skewed(300, 6)
    first, last = begun(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)), "pca", items)
    with torch.no_grad():
        out = first(items)
    torch.testing.assert_close(out.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.T @ out / 300, torch.eye(4), atol=1e-3, rtol=0)
    oracle = torch.from_numpy(PCA(4).fit(items).components_).float()
    directions = nn.functional.normalize(first.weight.detach())
    torch.testing.assert_close((directions * oracle).sum(1).abs(), torch.ones(4), atol=1e-4, rtol=0)
    assert (directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all()
    assert last.weight.any()


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_pca_of_kernels_is_that_of_patches(dimensions):
    of = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    layer, items = of(2, 3, 2), skewed(40, 2, *[5] * dimensions)
    begun(layer, "pca", items)
    with torch.no_grad():
        out = layer(items).movedim(1, -1).reshape(-1, 3)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(out.T @ out / len(out), torch.eye(3), atol=1e-2, rtol=0)


def test_more_units_than_directions_begin_as_he():
    items = skewed(200, 3)
    items = torch.cat([items, items[:, :1]], 1)  # the fourth says nothing new
    layer = begun(nn.Linear(4, 5), "pca", items)
    assert torch.isfinite(layer.weight).all()
    assert layer.bias[:3].all()
    assert not layer.bias[3:].any()
    assert layer.weight[3:].abs().max() < 4


def test_only_dense_and_convolution_layers_begin_anew():
    net = nn.Sequential(nn.Embedding(5, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    begun(net, "constant")
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"2.weight", "2.bias"}


def test_a_start_is_chosen_by_name_and_the_same_for_the_same_seed():
    weights = []
    for settings in (
        {"init": "orthogonal"},
        {"init": "orthogonal"},
        {"init": "orthogonal", "seed": 1},
        {"init": "pca"},
    ):
        trained = engine(**settings)
        weights.append(trained.method.model.body[0].weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    torch.testing.assert_close(weights[0].T @ weights[0], torch.eye(weights[0].shape[1]), atol=1e-5, rtol=1e-5)
    rows = trained.data.parts["train"]
    with torch.no_grad():
        out = trained.method.model.body[0](trained.method.model.flat(*trained.data.inputs(rows)))
    out = out[:, : weights[3].shape[1]]
    torch.testing.assert_close(out.var(0), torch.ones(out.shape[1]), atol=0.02, rtol=0)


@pytest.mark.parametrize("name", ["zero", "constant", "he"])
def test_a_start_that_cannot_learn_is_told(name):
    said = "\n".join(plan.sentences(*prepared_for(init=name)))
    assert (f"note     init {name}: all units of a layer begin alike" in said) == (name != "he")


def test_units_that_begin_alike_stay_alike():
    trained = engine(init="constant", epochs=2)
    trained.fit()
    weight = trained.method.model.body[0].weight
    torch.testing.assert_close(weight, weight[:1].expand_as(weight))
