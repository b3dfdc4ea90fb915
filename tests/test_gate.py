"""The gate is tested like a lock: with wrong keys, and with each of its pins taken out in turn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deepen import bundle, gate
from deepen.cli import main
from deepen.errors import Refused
from deepen.kinds.classes import Classes
from deepen.kinds.number import Number
from deepen.predictor import Predictor
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.preprocess.row import Row
from deepen.preprocess.text import Text
from deepen.program import Program
from deepen.signature import Signature

# ---------------------------------------------------------------- wrong graphs, as small functions in NumPy


class Graph:
    """A runtime that is a function from the only input to the only output."""

    def __init__(self, function, given="array", output="probabilities"):
        self.function, self.inputs, self.outputs = function, [given], [output]

    def run(self, arrays):
        return {self.outputs[0]: np.asarray(self.function(arrays[self.inputs[0]]), np.float32)}


def predictor(function, kind=None, encoder=None):
    kind, encoder = kind or Classes(("a", "b", "c")), encoder or Array((3,))
    graph = Graph(function, encoder.tensors[0].name, kind.tensors[0].name)
    return Predictor(Signature({"x": encoder}, {"y": kind}), Program([{"do": "run", "graph": "g"}], {"g": graph}))


def softmax(x, axis=1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


ITEMS = list(np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32) * 3)
TARGET = np.array([item.argmax() for item in ITEMS])


def judge(reference, candidate, target=TARGET, items=ITEMS, tolerance=None):
    parity = gate.compare(reference, candidate, items, target)
    gate.check(parity, tolerance or gate.Tolerance())
    return parity


def test_an_equal_graph_passes():
    parity = judge(predictor(softmax), predictor(lambda x: softmax(x) + 1e-6))
    assert parity.difference == pytest.approx(1e-6, rel=0.2)
    assert (parity.agreement, parity.reference, parity.candidate) == (1.0, 1.0, 1.0)


def only_if(rows, wrong):
    """Right, but for batches of these sizes."""
    return lambda x: wrong(softmax(x)) if rows(len(x)) else softmax(x)


def near_ties(turned):
    """Answers that hang on differences of 1e-5; `turned` swaps the first two numbers of items by their sum."""

    def run(x):
        x = x.copy()
        flip = turned & (np.modf(np.abs(x[:, 2]))[0] < 0.2)
        x[flip, :2] = x[flip, 1::-1]
        return softmax(1e-5 * x)

    return run


SPREAD = Number(0.0, 1e4)
NUMBERS = np.array([float(item[0]) for item in ITEMS], np.float32)
TIES = [np.array([i % 2, 1 - i % 2, 0.1 + i % 7 / 10], np.float32) for i in range(210)]

# check -> (reference, candidate, target, items): the wrong export that only this check sees
SEEN_ONLY_BY = {
    "check_signature": (predictor(softmax), predictor(softmax, Classes(("b", "c", "a"))), TARGET, ITEMS),
    "check_difference": (predictor(softmax), predictor(lambda x: softmax(3 * x)), TARGET, ITEMS),
    "check_agreement": (
        predictor(near_ties(np.False_)), predictor(near_ties(np.True_)),
        np.zeros(len(TIES), int), TIES,
    ),
    "check_edges": (
        predictor(lambda x: softmax(np.nan_to_num(x, nan=2.0))), predictor(lambda x: softmax(np.nan_to_num(x))),
        TARGET, ITEMS,
    ),
    "check_metric": (
        predictor(lambda x: x[:, :1], SPREAD), predictor(lambda x: x[:, :1] + 5, SPREAD), NUMBERS, ITEMS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN_ONLY_BY)
def test_each_check_is_needed(name, monkeypatch):
    reference, candidate, target, items = SEEN_ONLY_BY[name]
    with pytest.raises(Refused) as refusal:
        judge(reference, candidate, target, items)
    assert refusal.value.exit_code == 3
    monkeypatch.setattr(gate, name, lambda *_: None)
    judge(reference, candidate, target, items)  # without the check it passes


def answers(table):
    """A network that looks up each code's answer and takes the mean."""
    return lambda codes: softmax(np.eye(3)[np.array(table)[codes]].mean(1))


ROWS = Row(("n",), {}, {"town": ("oslo", "rome", "bern"), "day": ("mon",)}, ("n",))
SPOKEN = Text(("good", "bad", "dull", "unheard"))


@pytest.mark.parametrize(
    ("encoder", "tensor", "items", "right", "wrong"),
    [
        (ROWS, "categories", [{"n": 1.0, "town": "oslo", "day": "mon"}] * 9, [0, 1, 2, 0, 1], [0, 1, 2, 0, 0]),
        (ROWS, "categories", [{"n": 1.0, "town": "oslo", "day": "mon"}] * 9, [0, 1, 2, 0, 1], [1, 1, 2, 0, 1]),
        (SPOKEN, "tokens", ["good bad", "bad bad", "dull bad"], [0, 0, 1, 2, 0, 1], [0, 0, 1, 2, 0, 2]),
        (SPOKEN, "tokens", ["good bad", "bad bad", "dull bad"], [0, 0, 1, 2, 0, 1], [0, 1, 1, 2, 0, 1]),
    ],
)
def test_what_no_held_out_item_says_is_tried(encoder, tensor, items, right, wrong, monkeypatch):
    """The last and the unknown code of a table, truncated or shifted in the graph alone."""

    def made(table):
        graph = Graph(answers(table), tensor, "probabilities")
        signature = Signature({"x": encoder}, {"y": Classes(("a", "b", "c"))})
        return Predictor(signature, Program([{"do": "run", "graph": "g"}], {"g": graph}))

    target = np.zeros(len(items), int)
    assert judge(made(right), made(right), target, items).edges == 0
    with pytest.raises(Refused, match="outputs differ by up to .* on missing cells, rare categories"):
        judge(made(right), made(wrong), target, items)
    monkeypatch.setattr(gate, "edges", lambda *_: 0.0)
    judge(made(right), made(wrong), target, items)


def test_what_is_allowed_is_what_was_said():
    """Within a tenth of the border on either side."""
    given = lambda **more: gate.Parity(**{"items": 9, "batches": (1,), "difference": 0, "agreement": 1, "metric": "m",
                                          "reference": 0.5, "candidate": 0.5, **more})  # fmt: skip
    for near, far in (
        ({"difference": 0.0009}, {"difference": 0.0011}),
        ({"edges": 0.0009}, {"edges": 0.0011}),
        ({"agreement": 0.9991}, {"agreement": 0.9989}),
        ({"candidate": 0.5018}, {"candidate": 0.5022}),
        ({"candidate": 0.4982}, {"candidate": 0.4978}),
    ):
        gate.check(given(**near), gate.Tolerance())
        with pytest.raises(Refused):
            gate.check(given(**far), gate.Tolerance())
    for near, far in ((0.5018, 0.5022), (0.4982, 0.4978)):
        gate.check_record("m", 0.5, near, gate.Tolerance())
        with pytest.raises(Refused):
            gate.check_record("m", 0.5, far, gate.Tolerance())


def test_the_shape_check_is_needed(monkeypatch):
    short = predictor(lambda x: softmax(x)[: max(1, len(x) - 1)])
    with pytest.raises(Refused, match=r"shape \(5\d, 3\) in place of \(64, 3\) at batch size 7"):
        judge(predictor(softmax), short)
    monkeypatch.setattr(gate, "check_shape", lambda *_: None)
    with pytest.raises(ValueError, match="broadcast"):  # a crash, where a refusal is due
        judge(predictor(softmax), short)


@pytest.mark.parametrize(
    ("rows", "dropped"), [(lambda n: n == 1, 1), (lambda n: n % 2 and n > 1, 7), (lambda n: n > 32, 64)]
)
def test_each_batch_size_is_needed(rows, dropped, monkeypatch):
    wrong = predictor(only_if(rows, lambda p: np.full_like(p, 1 / 3)))
    items, target = ITEMS[:62], TARGET[:62]  # 62 leaves no batch of one item over
    with pytest.raises(Refused, match="outputs differ by up to 0"):
        judge(predictor(softmax), wrong, target, items)
    monkeypatch.setattr(gate, "BATCHES", tuple(b for b in gate.BATCHES if b != dropped))
    judge(predictor(softmax), wrong, target, items)


def test_statistics_of_the_batch_are_refused():
    """Batch norm left in training mode: every answer hangs on its neighbours."""
    mean, deviation = np.mean(ITEMS, 0), np.std(ITEMS, 0)
    trained = predictor(lambda x: softmax((x - mean) / deviation))
    wrong = predictor(lambda x: softmax((x - x.mean(0)) / (x.std(0) + 1e-5)))
    with pytest.raises(Refused, match="outputs differ by up to 0"):
        judge(trained, wrong)


def test_every_held_out_item_is_looked_at():
    odd = ITEMS[150]
    wrong = predictor(lambda x: np.where((x == odd).all(1, keepdims=True), 1 / 3, softmax(x)))
    with pytest.raises(Refused, match="outputs differ"):
        judge(predictor(softmax), wrong)


def test_the_finite_check_is_needed(monkeypatch):
    """The largest of 0 and no number is 0: a difference from NaN would be lost."""
    nan = lambda p: np.where((p.argmax(1) == 0)[:, None], np.nan, p)
    wrong = predictor(only_if(lambda n: n == 1, nan))
    with pytest.raises(Refused, match="not finite at batch size 1"):
        judge(predictor(softmax), wrong)
    monkeypatch.setattr(gate, "check_finite", lambda *_: None)
    judge(predictor(softmax), wrong)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_whatever_is_allowed(value):
    wrong = predictor(lambda x: np.where(x[:, :1] > 2, value, softmax(x)))
    with pytest.raises(Refused, match="'probabilities' is not finite at batch size 1"):
        judge(predictor(softmax), wrong, tolerance=gate.Tolerance(float("inf"), 0.0, float("inf")))


PICTURES = list(np.random.default_rng(1).integers(0, 256, (80, 6, 6, 3), np.uint8))


def seeing(change=lambda x: x):
    """A network of colour pictures behind a change of what it sees."""
    weights = np.random.default_rng(2).normal(size=(6 * 6 * 3, 3)) * np.linspace(0.5, 2, 108)[:, None] / 10
    return lambda x: softmax((change(x).reshape(len(x), -1) - 127) / 70 @ weights)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[..., ::-1],  # RGB as BGR
        lambda x: x.transpose(0, 3, 1, 2),  # NHWC as NCHW
        lambda x: x.transpose(0, 2, 1, 3),  # height as width
        lambda x: x[..., [1, 0, 2]],
        lambda x: x / 255.0,  # scaled twice
        lambda x: x + 2.0,  # another mean
        lambda x: (x.astype(float) - 127) * 1.02 + 127,  # another scale
        lambda x: x.mean(3, keepdims=True).repeat(3, 3),  # grey
    ],
    ids=["bgr", "nchw", "transposed", "channels", "255", "mean", "scale", "grey"],
)
def test_pictures_seen_differently_are_refused(change):
    encoder = Image(6, 6, 3)
    target = np.zeros(len(PICTURES), int)
    right, wrong = predictor(seeing(), encoder=encoder), predictor(seeing(change), encoder=encoder)
    judge(right, right, target, PICTURES)
    with pytest.raises(Refused, match=r"outputs differ by up to 0\.\d+. Expected at most 0.001"):
        judge(right, wrong, target, PICTURES)


@pytest.mark.parametrize(
    ("encoder", "text"),
    [
        (Image(6, 6, 3, "stretch"), r"signature.inputs\[0\].resize is 'stretch' in place of 'crop'"),
        (Image(6, 5, 3), r"signature.inputs\[0\].width is 5 in place of 6"),
        (Image(6, 6, 1), r"signature.inputs\[0\].channels is 1 in place of 3"),
    ],
)
def test_another_size_or_crop_in_the_signature_is_refused(encoder, text):
    right, wrong = predictor(seeing(), encoder=Image(6, 6, 3)), predictor(seeing(), encoder=encoder)
    with pytest.raises(Refused, match=text):
        judge(right, wrong, np.zeros(len(PICTURES), int), PICTURES)


# ---------------------------------------------------------------- wrong ONNX files, through the verb itself


def weight(model, ending):
    """A constant of the graph: by the end of its name, that of the normalisation by the step it is used in."""
    step = {"mean": "Sub", "scale": "Mul"}.get(ending)
    used = {name for node in model.graph.node if node.op_type == step for name in node.input}
    return next(w for w in model.graph.initializer if w.name in used or (not step and w.name.endswith(ending)))


def edited(ending, edit):
    """A change of one weight of the graph."""

    def change(model, signature):
        import onnx

        found = weight(model, ending)
        array = onnx.numpy_helper.to_array(found)
        found.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(edit(array.copy())), found.name))

    return change


def rolled(model, signature):
    for ending in ("last.weight", "last.bias"):
        edited(ending, lambda w: np.roll(w, 1, 0))(model, signature)


def renamed_classes(model, signature):
    classes = signature["outputs"][0]["classes"]
    signature["outputs"][0]["classes"] = classes[1:] + classes[:1]


def both(*changes):
    return lambda model, signature: [change(model, signature) for change in changes]


def without_softmax(model, signature):
    node = model.graph.node.pop()
    assert node.op_type == "Softmax"
    model.graph.node[-1].output[0] = node.output[0]


def nine_classes(model, signature):
    for ending in ("last.weight", "last.bias"):
        edited(ending, lambda w: w[:9])(model, signature)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 9


def batch_of_one(model, signature):
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def stretched(model, signature):
    signature["inputs"][0]["resize"] = "stretch"


def larger(model, signature):
    signature["inputs"][0]["height"] = 9


WRONG = {
    "another mean": (edited("mean", lambda m: m + 40), "outputs differ by up to", "normalise.parts.0 (Image)"),
    "another scale": (edited("scale", lambda s: s * 1.5), "outputs differ by up to", "normalise.parts.0 (Image)"),
    "other weights": (edited("body.3.weight", lambda w: w * 0.9), "outputs differ by up to", "net.body.3 (Linear)"),
    "not a number": (
        edited("body.0.bias", lambda w: w * np.nan),
        "'probabilities' is not finite at batch size 1",
        "net.body.0 (Linear)",
    ),
    "classes rolled in the last layer": (rolled, "outputs differ by up to", "net.last (Linear)"),
    "classes rolled in the signature": (renamed_classes, "outputs[0].classes[0] is '1' in place of '0'", "agree"),
    "classes rolled in both": (both(rolled, renamed_classes), "classes[0] is '1' in place of '0'", "net.last"),
    "no softmax": (without_softmax, "outputs differ by up to", "head (Classes) has no node in the graph"),
    "nine classes": (nine_classes, "is float32 ('s", "net.last (Linear)"),
    "a batch of one": (batch_of_one, "it does not run at batch size 7", "cannot be told"),
    "another crop": (stretched, "resize is 'stretch' in place of 'crop'", "agree"),
    "another size": (larger, "it cannot be loaded", "agree"),
}


@pytest.fixture
def forge(digits_bundle, monkeypatch):
    """Make export write a changed graph and signature."""
    onnx = pytest.importorskip("onnx")
    from deepen.formats.onnx import Onnx

    original = Signature.to_json

    def install(change):
        def write(self, packaged, signature, sample, path):
            model = onnx.load(digits_bundle / "graph.onnx")
            change(model, {"inputs": [{}], "outputs": [{"classes": ["", ""]}]})
            path.write_bytes(model.SerializeToString())

        def to_json(signature):
            document = json.loads(original(signature))
            change(onnx.load(digits_bundle / "graph.onnx"), document)
            return json.dumps(document)

        monkeypatch.setattr(Onnx, "write", write)
        monkeypatch.setattr(Signature, "to_json", to_json)

    return install


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_export_is_refused_and_leaves_nothing(name, forge, digits_run, digits_bundle, capsys):
    change, text, layer = WRONG[name]
    forge(change)
    before = contents(digits_run.path / "exports")
    for bundle_name in ("onnx", "fresh"):
        assert main(["export", str(digits_run.path), "name=" + bundle_name]) == 3
        shown = capsys.readouterr().err
        assert text in shown
        assert layer in shown
        assert "Traceback" not in shown
    assert contents(digits_run.path / "exports") == before
    assert sorted(p.name for p in (digits_run.path / "exports").iterdir()) == ["onnx"]


def test_a_right_graph_passes_by_the_same_way(forge, digits_run, tmp_path, monkeypatch):
    forge(lambda model, signature: None)
    monkeypatch.setattr("deepen.store.durable.publish", lambda place: _draft(tmp_path / "draft"))
    assert main(["export", str(digits_run.path), "name=again"]) == 0


def _draft(path):
    import contextlib

    path.mkdir()
    return contextlib.nullcontext(path)


def test_the_record_of_training_is_needed(forge, digits_run, tmp_path, monkeypatch):
    """Reference and export agree, but neither is what training measured."""
    from deepen.stages import export
    from deepen.training.finished import data_of, load_model, predictor_of

    forge(edited("mean", lambda m: m + 40))
    reference = predictor_of(digits_run)
    reference.program.runtimes["torch"].packaged.normalise.parts[0].mean += 40
    given = (digits_run, load_model(digits_run), reference, data_of(digits_run), "onnx", "other", gate.Tolerance())
    with pytest.raises(Refused, match=r"validation accuracy is 0\.\d+ here, training wrote down 0\.9"):
        export.hand_over(*given)
    monkeypatch.setattr("deepen.store.durable.publish", lambda place: _draft(tmp_path / "draft"))
    monkeypatch.setattr(gate, "check_record", lambda *_: None)
    export.hand_over(*given)


def test_the_golden_items_are_needed(forge, digits_run, tmp_path, monkeypatch, capsys):
    """Items that do not survive the way through JSON: only the sealed bundle's own golden items show it."""
    forge(lambda model, signature: None)
    dump = Image.dump
    monkeypatch.setattr(Image, "dump", lambda self, value: dump(self, np.ascontiguousarray(value[::-1])))
    assert main(["export", str(digits_run.path), "name=fresh"]) == 3
    assert "golden answers differ by up to" in capsys.readouterr().err
    monkeypatch.setattr("deepen.store.durable.publish", lambda place: _draft(tmp_path / "draft"))
    monkeypatch.setattr(bundle, "prove", lambda *_: 0.0)
    assert main(["export", str(digits_run.path), "name=fresh"]) == 0
