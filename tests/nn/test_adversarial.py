"""Spectral normalisation against torch's own, attention against a calculation place by place."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from deepen.kinds.sample import Sample
from deepen.models.dcgan import DCGAN, Looks
from deepen.models.sagan import SAGAN
from deepen.nn.adversarial import Levels, ResidualDown, SelfAttention, Spectral
from deepen.nn.heads import head
from deepen.preprocess.draw import Draw
from deepen.signature import Signature

PICTURES = Sample(shape=(8, 8, 3), picture=True, mean=(90.0, 80, 70), scale=(0.02, 0.01, 0.03), reads={}, draws=6)


@pytest.mark.parametrize("make", [lambda: nn.Linear(7, 5), lambda: nn.Conv2d(3, 6, 3, 2, 1)])
def test_weights_and_gradients_are_those_of_torchs_parametrisation(make):
    torch.manual_seed(0)
    own, layer = Spectral(make()), make()
    layer.load_state_dict(own.layer.state_dict())
    other = parametrizations.spectral_norm(layer)
    theirs = other.parametrizations.weight[0]
    theirs._u, theirs._v = own.u.clone(), own.v.clone()
    x = torch.randn(4, 7) if isinstance(own.layer, nn.Linear) else torch.randn(4, 3, 8, 8)
    for _ in range(3):
        one, two = own(x), other(x)
        torch.testing.assert_close(one, two)
        one.square().sum().backward()
        two.square().sum().backward()
        torch.testing.assert_close(own.layer.weight.grad, other.parametrizations.weight.original.grad)
    before = own.u.clone()
    own.eval()
    other.eval()
    torch.testing.assert_close(own(x), other(x))
    assert torch.equal(own.u, before), "answers do not move what is kept"


def test_the_largest_singular_value_becomes_one():
    torch.manual_seed(1)
    layer = Spectral(nn.Linear(40, 30))
    with torch.no_grad():
        for _ in range(30):
            used = layer.weight()
    assert torch.linalg.matrix_norm(used, 2) == pytest.approx(1, abs=0.01)


def test_attention_place_by_place():
    torch.manual_seed(0)
    block = SelfAttention(16).eval()
    block.gamma.data.fill_(0.7)
    x = torch.randn(2, 16, 3, 4)
    weight = {name: getattr(block, name).weight().flatten(1) for name in ("keys", "queries", "values", "out")}
    assert [tuple(w.shape) for w in weight.values()] == [(2, 16), (2, 16), (8, 16), (16, 8)]  # C / 8 and C / 2
    expected = x.clone()
    for item in range(2):
        places = x[item].flatten(1).T  # (12, 16)
        for j, place in enumerate(places):
            score = torch.stack([(weight["keys"] @ other) @ (weight["queries"] @ place) for other in places])
            heard = sum(share * (weight["values"] @ other) for share, other in zip(score.softmax(0), places))
            expected[item, :, j // 4, j % 4] += 0.7 * (weight["out"] @ heard)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("first", [True, False])
def test_the_critics_first_block_sees_the_picture_itself(first):
    """Further ones see what is left of their maps by ReLU."""
    torch.manual_seed(0)
    block, x = ResidualDown(3, 4, first).eval(), torch.randn(2, 3, 6, 6)
    h = block.second(block.first(x if first else x.relu()).relu())
    torch.testing.assert_close(block(x), F.avg_pool2d(h, 2) + block.around(F.avg_pool2d(x, 2)))


def test_attention_begins_as_nothing_and_its_gamma_learns():
    torch.manual_seed(0)
    signature = Signature({"draw": Draw(6)}, {"item": PICTURES})
    whole, plain = (SAGAN(signature, channels=(8, 16), attention=attention) for attention in (True, False))
    found = whole.state_dict()

    def without(side: str, at: int) -> dict:
        """The same layers where the block is left out: those behind it are one place earlier."""
        result = {}
        for key, value in found.items():
            head_, _, rest = key.partition(f"{side}.")
            number, _, name = rest.partition(".")
            if not head_ and rest and number.isdigit():
                place = int(number)
                if place != at:
                    result[f"{side}.{place - (place > at)}.{name}"] = value
        return result

    generator = without("generator", 3)
    critic = {**without("critic.body.stages", 1), **{k: v for k, v in found.items() if k.startswith("critic.last")}}
    plain.load_state_dict({**generator, **critic})
    draws = torch.randn(3, 6)
    with torch.no_grad():
        made = whole.eval().generator(draws)
        torch.testing.assert_close(made, plain.eval().generator(draws))
        torch.testing.assert_close(whole.critic(made), plain.critic(made))
    whole.train().critic(whole.generator(draws)).sum().backward()
    blocks = [m for m in whole.modules() if isinstance(m, SelfAttention)]
    assert len(blocks) == 2
    assert all(block.gamma.grad.abs() > 0 for block in blocks)


def test_every_weight_that_is_to_be_normalised_is():
    signature = Signature({"draw": Draw(6)}, {"item": PICTURES})
    layers = (nn.Linear, nn.Conv2d)
    for net in (SAGAN(signature, channels=(8, 16)), DCGAN(signature, channels=(8, 16), spectral=True).critic):
        held = {id(m.layer) for m in net.modules() if isinstance(m, Spectral)}
        assert {id(m) for m in net.modules() if isinstance(m, layers)} == held
    plain = DCGAN(signature, channels=(8, 16)).critic
    assert not [m for m in plain.modules() if isinstance(m, Spectral)]


def test_levels_reach_from_black_to_white():
    maps = torch.tensor([-50.0, 0, 50]).view(3, 1, 1, 1).expand(3, 3, 8, 8)
    found = head(PICTURES)(Levels(PICTURES)(maps))
    assert found.shape == (3, 8, 8, 3)
    for picture, level in zip(found, (0.0, 127.5, 255.0)):
        torch.testing.assert_close(picture, torch.full((8, 8, 3), level), atol=1e-3, rtol=0)


def test_what_critics_of_convolutions_are_made_of():
    """Radford et al. 2016, section 3: leaky by 0.2, no norm on what it sees first; none at all where weights are normalised."""
    made = {spectral: Looks((3, 16, 16), (4, 8), spectral) for spectral in (False, True)}
    names = {spectral: [type(layer).__name__ for layer in looks] for spectral, looks in made.items()}
    assert names[False] == ["Conv2d", "LeakyReLU", "Conv2d", "BatchNorm2d", "LeakyReLU", "Flatten"]
    assert names[True] == ["Spectral", "LeakyReLU", "Spectral", "LeakyReLU", "Flatten"]
    assert {m.negative_slope for looks in made.values() for m in looks if isinstance(m, nn.LeakyReLU)} == {0.2}
