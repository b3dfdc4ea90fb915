"""Sounds step by step: no step depends on what stands beside an item in its batch, and a transcript is learnt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.errors import DeepenError
from deepen.kinds.transcript import Transcript
from deepen.models.listener import Listener
from deepen.nn.heads import head
from deepen.nn.inputs import network
from deepen.preprocess.audio import OUTSIDE, Audio
from deepen.signature import Signature

SIGNATURE = Signature({"sound": Audio(8000, 40, 6)}, {"text": Transcript(("a", "b"))})


def sounds(lengths: list[int], seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(len(lengths), max(lengths), 6, generator=draw)
    there = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.where(there[..., None], x, OUTSIDE)


@pytest.mark.parametrize("body", ["rnn", "tcn", "transformer"])
def test_each_step_is_what_it_is_alone(body):
    torch.manual_seed(0)
    spec = {"rnn": {"name": "rnn", "width": 4, "bidirectional": True}, "tcn": {"name": "tcn", "channels": [8]},
            "transformer": {"name": "transformer", "width": 8, "heads": 2, "depth": 1}}[body]  # fmt: skip
    net = network({"name": "listener", "channels": [8, 8], "body": spec}, SIGNATURE).eval()
    lengths = [9, 4, 1, 20]
    given = sounds(lengths)
    logits, there = net(given)
    assert there.sum(1).tolist() == [5, 2, 1, 10]
    for i, n in enumerate(lengths):
        alone, all_there = net(given[i : i + 1, :n])
        assert all_there.all()
        torch.testing.assert_close(logits[i, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-5)


def test_what_is_taken_off_a_sound_is_its_own():
    given = sounds([9, 4])
    louder = torch.where(given > OUTSIDE / 2, given + 3.0, given)
    tilted = torch.where(given > OUTSIDE / 2, given + torch.arange(6.0), given)
    for relative, same, other in (("loudness", louder, tilted), ("pitch", tilted, None), ("nothing", given, louder)):
        torch.manual_seed(0)
        spec = {"name": "listener", **Listener.tiny, "relative": relative}
        net = network(spec, SIGNATURE).eval()
        torch.testing.assert_close(net(same)[0], net(given)[0], rtol=1e-4, atol=1e-5)
        if other is not None:
            assert not torch.allclose(net(other)[0], net(given)[0], atol=1e-2)


def test_a_body_without_steps_is_refused():
    with pytest.raises(
        DeepenError, match=r"model\.body: cnn has no states on its way\. Expected a network for sequences"
    ):
        network({"name": "listener", "body": {"name": "cnn", "channels": [4]}}, SIGNATURE)
    with pytest.raises(DeepenError, match="an odd one"):
        Listener(SIGNATURE, kernel=4)


def test_what_is_said_is_learnt():
    """a: the first pitch is loud, b: the second; some of each one after another."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice(["a", "b"], draw.integers(1, 4))) for _ in range(24)]
    target = torch.from_numpy(SIGNATURE.answer.encode(texts))
    x = torch.full((24, 40, 6), OUTSIDE)
    for i, text in enumerate(texts):
        x[i, : 10 * len(text) + 4] = 0.1 * torch.randn(10 * len(text) + 4, 6)
        for k, c in enumerate(text):
            x[i, 10 * k + 3 : 10 * k + 9, "ab".index(c)] += 3.0
    net = network(
        {"name": "listener", "channels": [16], "body": {"name": "rnn", "width": 16}, "dropout": 0.0}, SIGNATURE
    )
    answer, optimizer = head(SIGNATURE.answer), torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        answer.loss(net(x), target).backward()
        optimizer.step()
    with torch.no_grad():
        frames = answer(net.eval()(x)).numpy()
    found = SIGNATURE.answer.metrics(target.numpy(), {"frames": frames})
    assert found["character_error"] < 0.05
