"""What stands on either side of a code, and the scale on which items are told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.kinds.reconstruction import Reconstruction
from deepen.nn.coding import ConvolutionalBack, TiedBack, form_of
from deepen.nn.inputs import network
from deepen.nn.normalise import Normalise
from deepen.nn.untaught import Likeness
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.signature import Signature


@pytest.mark.parametrize("picture", [True, False])
def test_what_goes_in_comes_out_as_it_was(picture):
    """The last step undoes the first one, so that an item told perfectly is the item."""
    rng = np.random.default_rng(0)
    if picture:
        column = rng.integers(256, size=(50, 6, 5, 3), dtype=np.uint8)
        inputs = {"image": Image(6, 5, 3)}
    else:
        column = (rng.normal(size=(50, 4, 3)) * [1, 10, 100] + 7).astype(np.float32)
        column[..., 0] = 3.0  # a place that does not vary
        inputs = {"array": Array((4, 3))}
    name = next(iter(inputs))
    rows = np.arange(0, 50, 2)
    kind = Reconstruction.of(inputs, {name: column}, rows)
    signature = Signature(inputs, {"item": kind})
    normalise = Normalise(signature)
    normalise.fit(signature, {name: column}, rows)
    (scaled,) = normalise(torch.from_numpy(column[:9]))
    back = Likeness(kind)
    np.testing.assert_allclose(back(scaled).numpy(), column[:9], rtol=1e-4, atol=1e-3)
    planes = np.moveaxis(kind.scaled(column[:9]), -1, 1) if picture else kind.scaled(column[:9])
    np.testing.assert_allclose(scaled.numpy(), planes, atol=1e-4)
    np.testing.assert_allclose(back.scaled(torch.from_numpy(column[:9])).numpy(), planes, atol=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (9, 13), (1, 5)])
def test_pictures_of_any_size_come_back_in_theirs(size):
    back = ConvolutionalBack(5, (4, 6), (3, *size), "relu")
    assert back(torch.randn(2, 5)).shape == (2, 3, *size)


def test_tied_layers_are_the_same_weights():
    there = [nn.Linear(6, 4), nn.Linear(4, 2)]
    back = TiedBack(there, (2, 3), "tanh")
    code = torch.randn(5, 2)
    expected = torch.tanh(code @ there[1].weight + back.biases[0]) @ there[0].weight + back.biases[1]
    torch.testing.assert_close(back(code), expected.view(5, 2, 3))
    assert [tuple(p.shape) for p in back.parameters()] == [(4,), (6,)]
    there[0].weight.data.mul_(2)
    assert not torch.equal(back(code), expected.view(5, 2, 3))


def test_form_by_what_goes_in():
    assert form_of("auto", (1, 28, 28)) == "convolutional"
    assert form_of("auto", (1, 4, 28)) == form_of("auto", (784,)) == "dense"
    with pytest.raises(DeepenError, match="convolutional for items of shape"):
        form_of("convolutional", (784,))


@pytest.mark.parametrize("name", ["cnn", "dcgan", "sagan"])
def test_convolutions_without_a_stage_are_refused(name):
    signature = Signature({"image": Image(16, 16, 1)}, {"label": Classes(("a", "b"))})
    with pytest.raises(DeepenError, match=r"model.channels: \[\]. Expected the channels of at least one stage"):
        network({"name": name, "channels": ()}, signature)
