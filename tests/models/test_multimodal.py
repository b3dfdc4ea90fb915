"""Several inputs: what is missing is learnt, what fills up reaches no answer, each fusion joins what one input lacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.models.multimodal import Multimodal
from deepen.nn.inputs import network
from deepen.nn.normalise import Normalise
from deepen.preprocess.array import Array
from deepen.preprocess.audio import Audio
from deepen.preprocess.image import Image
from deepen.preprocess.optional import Optional
from deepen.preprocess.row import Row, Rows
from deepen.preprocess.text import Text
from deepen.signature import Signature
from tests.preprocess.test_audio import clip

FUSIONS = ["concat", "cross", "attention"]
CLASSES = Classes(("a", "b"))
SIGNATURE = Signature(
    {
        "photo": Optional(Image(12, 12, 1)),
        "note": Optional(Text(("dull", "fine"))),
        "cry": Optional(Audio(8000, 20, 8)),
        "row": Row(("x",), {}, {"town": ("oslo",)}),
    },
    {"label": CLASSES},
)
NAMES = tuple(SIGNATURE.inputs)


def items(n: int = 6) -> list[dict]:
    draw = np.random.default_rng(0)
    return [
        {
            "photo": draw.integers(0, 256, (12, 12), dtype=np.uint8) if i % 3 else None,
            "note": ["fine", "dull dull fine", None][i % 3],
            "cry": clip(0.05 + 0.03 * i) if i % 2 else None,
            "row": {"x": float(i), "town": "oslo"},
        }
        for i in range(n)
    ]


def encoded(some: list[dict]) -> list[torch.Tensor]:
    """As the network gets it."""
    arrays = {}
    for name, encoder in SIGNATURE.inputs.items():
        values = [item[name] for item in some]
        found = encoder.encode(Rows.of(values, encoder.columns) if name == "row" else values)
        arrays |= {f"{name}.{key}": array for key, array in found.items()}
    return list(Normalise(SIGNATURE)(*(torch.from_numpy(arrays[t.name]) for t in SIGNATURE.tensors)))


def built(fusion: str) -> Multimodal:
    torch.manual_seed(0)
    return network({"name": "multimodal", **Multimodal.tiny, "fusion": fusion}, SIGNATURE)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_no_answer_depends_on_the_others_in_its_batch(fusion):
    net = built(fusion).eval()
    whole = net(*encoded(items()))
    alone = torch.cat([net(*encoded([item])) for item in items()])
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)
    assert len(torch.unique(whole[:, 0])) == 6


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_stands_in_is_learnt_and_blanks_do_not_matter(fusion):
    net = built(fusion).train()
    given = encoded(items())
    names = [t.name for t in SIGNATURE.tensors]
    assert names[:2] == ["photo.image", "photo.there"]
    net.eval()
    before = net(*given)
    changed = [x.clone() for x in given]
    there = given[1][:, 0] > 0
    changed[0][~there] = 7.0  # whatever lies where no picture is
    torch.testing.assert_close(net(*changed), before)
    with torch.no_grad():
        net.parts[0].stand_in += torch.linspace(-1, 1, 8)
    after = net(*given)
    assert not torch.isclose(after[~there], before[~there]).all(1).any(), "what stands in is what decides there"
    torch.testing.assert_close(after[there], before[there])
    net(*given).square().sum().backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None]
    assert all(part.stand_in.grad.abs().sum() > 0 for part in list(net.parts)[:3])


def test_inputs_are_left_out_at_random_only_while_training_and_only_what_may_be_missing():
    net = built("concat")
    net.dense[2].p = 0.0
    for part in net.parts:
        part.leave_out = 0.999
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    given = encoded(items())
    net.train()
    left = net.parts[1](tuple(given[2:4]))[0][:, 0]
    torch.testing.assert_close(left, net.parts[1].stand_in.expand_as(left))
    assert net.parts[3].stand_in is None
    net.eval()
    kept = net.parts[1](tuple(given[2:4]))[0][:, 0]
    assert not torch.isclose(kept, left).all(1)[[0, 1, 3, 4]].any()


def test_cross_looks_at_the_others_only():
    """With two inputs, what the first asks finds nothing of its own rows."""
    signature = Signature({"a": Array((3,)), "b": Array((3,))}, {"label": CLASSES})
    torch.manual_seed(0)
    net = network({"name": "multimodal", **Multimodal.tiny, "fusion": "cross", "heads": 2}, signature).eval()
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    parts = [part((x,)) for part, x in zip(net.parts, (a, b))]
    (va, vb) = (rows[:, 0] for rows, _ in parts)
    value = net.cross.out(net.cross.value(vb))  # one row to look at: attention is all on it
    joined = torch.cat([va + value, vb + net.cross.out(net.cross.value(va))], 1)
    torch.testing.assert_close(net.features(a, b), net.dense(joined))
    with pytest.raises(DeepenError, match="cross with one input"):
        network({"name": "multimodal", "fusion": "cross"}, Signature({"a": Array((3,))}, {"label": CLASSES}))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_label_that_needs_both_is_learnt_from_both(fusion):
    """Exclusive or of two numbers: chance from each alone."""
    signature = Signature({"a": Array((1,)), "b": Array((1,))}, {"label": CLASSES})
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 2, (64, 1), generator=draw).float() * 2 - 1 for _ in range(2))
    target = ((a > 0) != (b > 0))[:, 0].long()

    def right(given: tuple[torch.Tensor, torch.Tensor]) -> float:
        torch.manual_seed(1)
        net = network(
            {"name": "multimodal", "fusion": fusion, "width": 16, "hidden": [32], "dropout": 0.0, "heads": 2}, signature
        )
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(120):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(*given), target).backward()
            optimizer.step()
        return float((net.eval()(*given).argmax(1) == target).float().mean())

    assert right((a, b)) == 1.0
    assert right((a, torch.zeros_like(b))) < 0.75
