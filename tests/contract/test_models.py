"""What every network promises, over all that stand in models/: a new file is tested without writing a test."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deepen import registry
from deepen.data.encoding import encode_each
from deepen.errors import DeepenError
from deepen.kinds.boxes import Boxes
from deepen.kinds.classes import Classes
from deepen.kinds.number import Number
from deepen.kinds.ranking import Ranking
from deepen.kinds.series import Series as Ahead
from deepen.kinds.text import Text as Answer
from deepen.kinds.tokens import Tokens
from deepen.nn.heads import Assisted, head
from deepen.nn.inputs import Fitted, Measured, network
from deepen.nn.language import looks_ahead
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged
from deepen.preprocess.array import Array
from deepen.preprocess.audio import OUTSIDE, Audio
from deepen.preprocess.graph import Graph
from deepen.preprocess.history import History
from deepen.preprocess.image import Image
from deepen.preprocess.nodes import Nodes
from deepen.preprocess.pair import Pair
from deepen.preprocess.row import Row
from deepen.preprocess.series import Series
from deepen.preprocess.text import Text
from deepen.schema import REQUIRED
from deepen.signature import Signature
from deepen.tensors import Arrays, join

MODELS = [  # those that can be built from nothing
    name
    for name in registry.names("models")
    if all(f.default is not REQUIRED for f in registry.fields("models", name) if f.name != "signature")
]
CLASSES = Classes(("a", "b", "c"))
SIGNATURES = {
    "grey": Signature({"image": Image(16, 16, 1)}, {"label": CLASSES}),
    "colour": Signature({"image": Image(16, 20, 3)}, {"label": CLASSES}),
    "row": Signature(
        {"row": Row(("x", "y"), {}, {"city": ("oslo", "rome"), "zip": ("1",)}, ("y",))}, {"label": CLASSES}
    ),
    "numbers": Signature({"row": Row(("x", "y", "z"))}, {"price": Number(3.0, 2.0)}),
    "amounts": Signature({"row": Row(("x", "y"))}, {"price": Number(90.0, 40.0, log=(4.0, 1.5))}),
    "categories": Signature({"row": Row((), {}, {"city": ("oslo", "rome")})}, {"label": CLASSES}),
    "signal": Signature({"array": Array((2, 24))}, {"label": CLASSES}),
    "series": Signature(
        {"series": Series(("a", "b"), 12, (0.0, 0.1), (1.0, 2.0))},
        {"ahead": Ahead(("b",), 3, 2, (0.0,), (1.0,), (1.0,))},
    ),
    "clip": Signature({"array": Array((1, 6, 8, 8))}, {"label": CLASSES}),
    "text": Signature({"text": Text(tuple("abcdefgh"))}, {"label": CLASSES}),
    "tokens": Signature(
        {"text": Text(tuple("abcdefgh"), 12, "character", newest=True)},
        {"next": Tokens(tuple("abcdefgh"), "character", 12)},
    ),
    "pair": Signature({"text": Pair(tuple("abcdefgh"), 12)}, {"answer": Answer(tuple("abcdefgh"), "word", 12)}),
    "sound": Signature({"sound": Audio(8000, 12, 8)}, {"label": CLASSES}),
    "history": Signature(
        {"events": History(tuple("abcdef"))}, {"item": Ranking(tuple("abcdef"), (3, 0, 1, 1, 1, 1), True)}
    ),
    "catalogue": Signature(
        {"events": History(tuple("abcdef"))},
        {"item": Ranking(tuple("abcdef"), (3, 2, 1, 1, 1, 1), True, tuple((i / 2, 1.0 - i) for i in range(6)))},
    ),
    "graphs": Signature({"graph": Graph(3, directed=False)}, {"label": CLASSES}),
    "things": Signature({"image": Image(32, 64, 3, "fit")}, {"things": Boxes(("cat", "dog"))}),
    "nodes": Signature({"node": Nodes(tuple(map(str, range(40))), 60, 5)}, {"label": CLASSES}),
}
SHARED = {
    "node": {
        "features": np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32),
        "edges": np.random.default_rng(0).integers(40, size=(2, 60)),
    }
}


def items_of(signature: Signature, n: int, seed: int = 0) -> list[Any]:
    """Made-up raw items of the kinds whose items have no fixed size; some without edges."""
    rng = np.random.default_rng(seed)
    if "node" in signature.inputs:
        new = {"features": rng.normal(size=5).tolist(), "neighbours": ["3", "7"]}
        return [str(i) if i % 3 else new for i in rng.permutation(40)[:n]] if n <= 40 else ["0"] * n
    sizes = rng.integers(1, 9, n)
    return [{"nodes": rng.normal(size=(k, 3)), "edges": rng.integers(k, size=(k - 1, 2))} for k in sizes]


def columns_of(signature: Signature, n: int) -> Any:
    """Made-up items as training has them."""
    if "node" in signature.inputs or "graph" in signature.inputs:
        return encode_each(next(iter(signature.inputs.values())), items_of(signature, n))[0]
    return arrays_of(signature, n)


def parts_of(signature: Signature, n: int, seed: int = 0) -> list[Arrays]:
    """The items of `arrays_of`, each alone."""
    if "node" in signature.inputs or "graph" in signature.inputs:
        return [next(iter(signature.inputs.values())).encode([item]) for item in items_of(signature, n, seed)]
    arrays = arrays_of(signature, n, seed)
    return [{name: array[i : i + 1] for name, array in arrays.items()} for i in range(n)]


TWO = Signature({"image": Image(16, 16, 1), "array": Array((5,))}, {"label": CLASSES})


def signature_of(model: str, kind: str) -> Signature:
    """The signature, its pictures enlarged where a network names a larger least side."""
    least, (name, encoder) = registry.constant("models", model, "least") or 1, *SIGNATURES[kind].inputs.items()
    if not isinstance(encoder, Image) or min(encoder.height, encoder.width) >= least:
        return SIGNATURES[kind]
    larger = Image(least, least + encoder.width - encoder.height, encoder.channels)
    return Signature({name: larger}, SIGNATURES[kind].outputs)


def answers_of(net: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """The raw answer, and those of classifiers that only help to learn."""
    return net.answers(*given) if isinstance(net, Assisted) else (net(*given),)


def arrays_of(signature: Signature, n: int, seed: int = 0) -> Arrays:
    """Made-up encoded items; numbers have holes, codes use every value."""
    if "node" in signature.inputs or "graph" in signature.inputs:
        return join(signature.tensors, parts_of(signature, n, seed))
    rng = np.random.default_rng(seed)
    found: Arrays = {}
    for tensor in signature.tensors:
        if tensor.name in {"tokens", "source", "so_far"}:
            (text,) = signature.inputs.values()
            there = np.arange(9) < rng.integers(1, 10, n)[:, None]
            found[tensor.name] = np.where(there, rng.integers(1, text.count, (n, 9)), 0)
            continue
        if tensor.name == "events":
            there = np.arange(9) < rng.integers(0, 10, n)[:, None]
            found[tensor.name] = np.where(there, rng.integers(1, 7, (n, 9)), 0)
            continue
        if tensor.name == "sound":
            there = np.arange(9) < rng.integers(1, 10, n)[:, None]
            values = rng.normal(-8, 3, (n, 9, tensor.shape[2])).astype(np.float32)
            found[tensor.name] = np.where(there[..., None], values, np.float32(OUTSIDE))
            continue
        shape = (n, *(int(size) for size in tensor.shape[1:]))
        if tensor.dtype == "uint8":
            found[tensor.name] = rng.integers(0, 256, shape, dtype=np.uint8)
        elif tensor.name == "categories":
            (row,) = signature.inputs.values()
            counts = [len(known) + 2 for known in row.categories.values()]
            found[tensor.name] = np.stack([np.arange(n) // (j + 1) % k for j, k in enumerate(counts)], 1)
        else:
            values = rng.normal(size=shape).astype(np.float32)
            found[tensor.name] = np.where(rng.random(shape) < 0.05, np.float32(np.nan), values)
    return found


def says(name: str, kind: str) -> bool:
    """Whether a network says, before it is built, that it takes these items and gives such answers."""
    signature, gives = SIGNATURES[kind], registry.constant("models", name, "gives", "vector")
    found = {type(encoder).__module__.rpartition(".")[2] for encoder in signature.inputs.values()}
    form = getattr(signature.answer, "form", "vector")
    return found <= {*registry.constant("models", name, "takes")} and form in (
        [gives] if isinstance(gives, str) else gives
    )


REFUSED = {  # once columns, or what is asked, are seen
    *product(["autoencoder", "dcgan", "flow", "vae"], ["row", "categories"]),
    *product(["bayes_net"], ["numbers", "amounts"]),
    *product(["gaussian_mixture", "sequence_recommender", "two_tower"], ["row", "categories", "numbers", "amounts"]),
    *product(["albert", "bert", "multimodal"], ["tokens"]),
}
TAKEN = [one for one in product(MODELS, SIGNATURES) if says(*one) and one not in REFUSED]


def built(name: str, signature: Signature, seed: int = 0) -> nn.Module:
    """The network at its smallest."""
    spec = {"name": name, **(registry.constant("models", name, "tiny") or {})}
    spec = registry.check("models", spec, "model", given=("signature",))
    torch.manual_seed(seed)
    net = network(spec, signature)
    answer = signature.answer
    if getattr(answer, "each", False):
        ahead = looks_ahead(net, answer.width, getattr(answer, "sources", 0))
        assert not ahead, "it sees what it is to foretell"
    return net


def packaged(name: str, signature: Signature, n: int = 64) -> Packaged:
    """The whole trained thing, its first step fitted."""
    normalise = Normalise(signature)
    given = arrays_of(signature, n)
    normalise.fit(signature, columns_of(signature, n), np.arange(n), SHARED)
    net = built(name, signature)
    if isinstance(net, Measured):
        net.measure(*normalise(*tensors_of(signature, given)))
    if isinstance(net, Fitted):
        net.fit(normalise(*tensors_of(signature, given)), target_of(signature, n))
    return Packaged(normalise, net, head(signature.answer))


def whole(found: Any) -> torch.Tensor:
    """All numbers of an answer, a row per item."""
    return torch.cat([part.flatten(1) for part in found], 1) if isinstance(found, tuple) else found


def tensors_of(signature: Signature, arrays: Arrays) -> list[torch.Tensor]:
    return [torch.from_numpy(arrays[t.name]) for t in signature.tensors]


def target_of(signature: Signature, n: int) -> torch.Tensor:
    if isinstance(signature.answer, Boxes):  # two things in each picture, or one
        things = torch.tensor([[[0.1, 0.1, 0.5, 0.6, 0, 0], [0.4, 0.5, 0.9, 0.8, 1, 0]]]).repeat(n, 1, 1)
        things[::2, 1] = -1
        return things
    if isinstance(signature.answer, Number):
        return torch.linspace(1, 8, n)
    if isinstance(signature.answer, Ahead):
        return torch.randn(n, 1, 5, generator=torch.Generator().manual_seed(0))
    return torch.arange(n) % signature.answer.width


@pytest.fixture(params=TAKEN, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, Signature]:
    model, kind = request.param
    return model, signature_of(model, kind)


@pytest.mark.parametrize("name", registry.names("models"))
def test_every_model_refuses_what_it_does_not_say_it_takes(name):
    """By `takes` alone, before it is built: a model that would flatten anything it is given does not get it."""
    said = registry.constant("models", name, "takes")
    assert said, f"{name} does not say what it takes"
    for signature in (*SIGNATURES.values(), TWO):
        encoders = [type(encoder).__module__.rpartition(".")[2] for encoder in signature.inputs.values()]
        joins = registry.constant("models", name, "joins", False)
        if not {*encoders} <= {*said} or (len(encoders) > 1 and not joins):
            with pytest.raises(DeepenError, match=f"model {name}: .*Expected one {said[0]}") as caught:
                network({"name": name}, signature)
            assert caught.value.code == "model.input"


def test_the_way_out_names_the_networks_that_take_it():
    with pytest.raises(
        DeepenError, match=r"model tab_mlp: pictures 16 x 16, grey\. .*model=cnn or .*deepen list models"
    ):
        network({"name": "tab_mlp"}, SIGNATURES["grey"])
    with pytest.raises(
        DeepenError,
        match=r"cnn: rows of .* Expected one image or array or audio per item\. .*model=deep_cross or .*model=mlp",
    ):
        network({"name": "cnn"}, SIGNATURES["row"])
    assert network({"name": "mlp"}, TWO).flat.width == 16 * 16 + 5


def test_every_model_takes_something():
    assert {name for name, _ in TAKEN} == {*MODELS}


@pytest.mark.parametrize(("name", "kind"), sorted(REFUSED))
def test_what_it_cannot_use_is_refused_when_it_is_seen(name, kind):
    with pytest.raises(DeepenError) as caught:
        built(name, SIGNATURES[kind])
    assert caught.value.code == ("model.each" if kind == "tokens" else "model.input")


def test_output_shape_gradients_and_finite_answers(case):
    name, signature = case
    model = packaged(name, signature).train()
    given = model.normalise(*tensors_of(signature, arrays_of(signature, 16)))
    answers = answers_of(model.net, given)
    if isinstance(signature.answer, Boxes):
        (boxes, logits, places) = answers[0]
        assert boxes.shape == (16, len(places), 4)
        assert logits.shape == (16, len(places), len(signature.answer.classes))
    else:
        each = (given[-1].shape[1],) if getattr(signature.answer, "each", False) else ()
        logits = [raw[0] if each else raw for raw in answers]
        assert all(raw.shape == (16, *each, signature.answer.width) for raw in logits)
    assert bool(registry.constant("models", name, "fits")) == isinstance(model.net, Fitted)
    assert bool(list(model.net.parameters())) != isinstance(model.net, Fitted)
    if not isinstance(model.net, Fitted):
        sum(model.head.loss(raw, target_of(signature, 16)) for raw in answers).backward()
    dead = [n for n, p in model.net.named_parameters() if p.grad is None]
    assert not dead, f"no gradient reaches {dead}"
    features = model.net.eval().features(*given)
    assert features.ndim == 2
    assert len(features) == 16
    assert torch.isfinite(whole(model.eval()(*tensors_of(signature, arrays_of(signature, 16))))).all()


def test_saved_and_loaded_answers_the_same(case):
    name, signature = case
    model = packaged(name, signature).eval()
    given = tensors_of(signature, arrays_of(signature, 5, seed=1))
    fresh = Packaged(Normalise(signature), built(name, signature, seed=9), head(signature.answer)).eval()
    assert not torch.equal(whole(fresh(*given)), whole(model(*given)))
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(whole(fresh(*given)), whole(model(*given)))


def test_evaluation_is_deterministic_and_item_by_item(case):
    """No answer depends on what else stands in the batch."""
    name, signature = case
    model = packaged(name, signature)
    model.train()(*tensors_of(signature, arrays_of(signature, 16)))  # running statistics leave their start
    model.eval()
    given = tensors_of(signature, arrays_of(signature, 6, seed=2))
    together = whole(model(*given))
    assert torch.equal(together, whole(model(*given)))
    alone = torch.cat([whole(model(*tensors_of(signature, part))) for part in parts_of(signature, 6, seed=2)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_extreme_and_missing_input_gives_finite_answers(case):
    name, signature = case
    model = packaged(name, signature).eval()
    for value in (np.nan, 3e38, -3e38):
        arrays = arrays_of(signature, 3)
        changed = {k: np.full_like(v, value) if v.dtype == np.float32 else np.zeros_like(v) for k, v in arrays.items()}
        assert torch.isfinite(whole(model(*tensors_of(signature, changed)))).all()


def test_learns_a_small_batch_by_heart(case):
    name, signature = case
    model = packaged(name, signature).train()
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    n = 8 if signature is not SIGNATURES["categories"] else 4
    given = model.normalise(*tensors_of(signature, arrays_of(signature, n, seed=3)))
    target = target_of(signature, n)
    if signature is SIGNATURES["categories"]:
        target = given[0][:, 0] % 3  # the code decides
    if isinstance(model.net, Fitted):
        model.net.fit(given, target)
        assert model.head.loss(model.net(*given), target) < 0.8 * np.log(signature.answer.width)
        return
    optimizer = torch.optim.Adam(model.net.parameters(), lr=1e-2)
    first = None
    share = 0.4 if isinstance(signature.answer, Boxes) else 0.1  # before anything is met, little is asked of a detector
    share = 0.3 if isinstance(signature.answer, Tokens) else share  # the first pieces say little of the next
    for _ in range(300):
        loss = model.head.loss(model.net(*given), target)
        now = float(loss.detach())
        first = first or now
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if now < share * first:
            return
    raise AssertionError(f"loss {first:.3f} fell only to {now:.3f}")


EXPORTED = {
    "grey", "row", "signal", "series", "amounts", "graphs", "nodes", "text", "tokens", "pair", "things", "sound", "history",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [one for one in TAKEN if one[1] in EXPORTED], ids="-".join)
def test_exported_graph_gives_the_same_answers_at_two_batch_sizes(name, kind, tmp_path):
    from deepen.formats.onnx import Onnx
    from deepen.runtimes.onnx import Onnx as Runtime

    signature = signature_of(name, kind)
    model = packaged(name, signature)
    model.train()(*tensors_of(signature, arrays_of(signature, 16)))
    model.eval()
    file = tmp_path / "graph.onnx"
    Onnx().write(model, signature, arrays_of(signature, 3), file)
    runtime = Runtime(file)
    for n in (1, 9):
        given = arrays_of(signature, n, seed=4)
        answer = whole(tuple(map(torch.from_numpy, runtime.run(given).values())))
        with torch.inference_mode():
            found = model(*tensors_of(signature, given))
        expected = whole(found if isinstance(found, tuple) else (found,))
        np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-5)


PARTS = {  # a network in a network: the outer one, the place, what the outer one looks at
    "detector.backbone": ({"width": 8, "depth": 1, "levels": 1}, Signature({"image": Image(32, 32, 3, "fit")}, {"things": Boxes(("cat",))})),
    "listener.body": ({"channels": [8]}, SIGNATURES["sound"]),
    **{f"multimodal.{kind}": ({"width": 8}, SIGNATURES[of]) for kind, of in
       {"image": "grey", "text": "text", "audio": "sound", "row": "row", "array": "signal"}.items()},
}  # fmt: skip
NEEDING = {*registry.names("models")} - {*MODELS}  # a folder with weights


@pytest.mark.parametrize("place", PARTS)
def test_any_network_in_another_is_built_or_refused_with_one_that_is(place):
    outer, _, setting = place.partition(".")
    own, signature = PARTS[place]
    built, refused = set(), {}
    for name in registry.names("models"):
        spec = {"name": name, **(registry.constant("models", name, "tiny") or {})}
        try:
            network({"name": outer, **own, setting: spec}, signature)
            built.add(name)
        except DeepenError as problem:
            refused[name] = str(problem)
    assert built
    for name in built:
        assert not registry.constant("models", name, "kinds")
        assert not registry.constant("models", name, "fits")
    small = {name for name, text in refused.items() if "Expected at least" in text}
    others = {name: text for name, text in refused.items() if name not in small}
    assert all(text.startswith(f"model.{setting}") for text in others.values()), others
    proposals = {text.partition("One of ")[2].rstrip(".") for text in others.values()} - {""}
    assert [{*names.split(", ")} - NEEDING for names in proposals] == [built | small]


def test_a_setting_of_a_network_in_another_is_checked():
    with pytest.raises(DeepenError, match=r"model\.image\.chanels: unknown name 'chanels'"):
        network({"name": "multimodal", "image": {"name": "cnn", "chanels": [4]}}, SIGNATURES["grey"])
    with pytest.raises(DeepenError, match=r"model\.image\.checkpoint: missing"):
        network({"name": "multimodal", "image": {"name": "timm"}}, SIGNATURES["grey"])
