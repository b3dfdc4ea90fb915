"""Compress: kept only where measured faster and about as right; what is kept is a bundle like any other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import deepen
from deepen import bundle
from deepen.cli import main
from deepen.errors import DeepenError, Refused
from deepen.evaluation import race as races
from deepen.evaluation.intervals import change, intervals
from deepen.evaluation.race import Race, race
from deepen.kinds.classes import Classes
from deepen.stages import compress as verb
from deepen.store.run import Run
from deepen.training import finished


@pytest.fixture
def run(digits_run, digits_bundle, tmp_path) -> Run:
    """A copy of the digits' run, its export in it."""
    place = tmp_path / "runs" / digits_run.path.name
    shutil.copytree(digits_run.path, place)
    return Run.open(place)


def fixed(monkeypatch, *ratios: tuple[float, float, float]) -> None:
    """Races that end as they are told to, batch by batch."""
    left = iter(ratios)
    taken = (1e-3, 1e-3, 2e-3)
    monkeypatch.setattr(races, "race", lambda first, second: Race(taken, taken, next(left), 20))


FASTER = (2.0, 1.9, 2.1)
EVEN = (1.0, 0.95, 1.05)
SLOWER = (0.8, 0.75, 0.85)
UNSURE = (1.2, 0.98, 1.4)


def test_a_faster_one_is_kept_and_serves(run, monkeypatch, capsys):
    fixed(monkeypatch, EVEN, FASTER)
    found = deepen.compress(str(run.path))
    place = Path(found["bundle"])
    assert place == run.path / "exports" / "int8"
    assert found["bytes"][1] < 0.5 * found["bytes"][0]
    assert found["agreement"] > 0.98
    predictor = bundle.predictor(place)
    bundle.prove(place, predictor)
    assert (place / "reference.json").read_bytes() == run.read("reference.json")
    document = json.loads((run.path / "evaluation" / "compress-int8.json").read_text())
    assert (document["kept"], document["metric"]) == (True, "accuracy")
    assert "2.00 times faster (1.90 to 2.10" in capsys.readouterr().out
    assert json.loads((place / "parity.json").read_text())["agreement"] > 0.97


def test_whole_numbers_are_what_runs(run, monkeypatch):
    """Weights lie as int8, one scale a channel, activations are unsigned; before and after the network all is float."""
    import onnx

    fixed(monkeypatch, FASTER, FASTER)
    graph = onnx.load(Path(deepen.compress(str(run.path))["bundle"]) / "graph.onnx").graph
    weights = {i.name: i for i in graph.initializer}
    known = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.input[:1]}
    whole = [weights[name] for name in known if name in weights and weights[name].data_type == onnx.TensorProto.INT8]
    assert len(whole) == 3  # the layers of the default network for small pictures
    scales = [
        node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in {w.name for w in whole}
    ]
    assert all(weights[node.input[1]].dims for node in scales)
    zeros = {node.input[2] for node in graph.node if node.op_type == "QuantizeLinear"}
    assert {weights[name].data_type for name in zeros} == {onnx.TensorProto.UINT8}
    (softmax,) = (node for node in graph.node if node.op_type == "Softmax")
    produced = {name: node.op_type for node in graph.node for name in node.output}
    assert "QuantizeLinear" not in {node.op_type for node in graph.node if softmax.output[0] in node.input}
    assert produced[softmax.input[0]] != "QuantizeLinear"
    casts = [node for node in graph.node if node.op_type == "Cast"]
    assert casts  # scaling of the raw bytes stays what it was


def test_ranges_are_of_training_items_drawn_at_random_and_figures_of_the_test(run, monkeypatch):
    """A folder's training items stand class by class: the first ones would be of one class. The gate asks the network."""
    fixed(monkeypatch, EVEN, FASTER)
    seen: list[np.ndarray] = []
    arrays = verb.Found._arrays
    monkeypatch.setattr(verb.Found, "_arrays", lambda self, rows: seen.append(rows) or arrays(self, rows))
    asked: list[Any] = []
    compare, trained = verb.gate.compare, finished.predictor_of(run)
    monkeypatch.setattr(finished, "predictor_of", lambda _: trained)
    monkeypatch.setattr(verb.gate, "compare", lambda *given: asked.append(given[0]) or compare(*given))
    deepen.compress(str(run.path))
    assert asked[-1] is trained
    ids, parts = finished.data_of(run).items.ids, run.read_json("split.json")
    drawn = np.concatenate(seen[: verb.CALIBRATION // verb.CHUNK])
    assert len({*drawn.tolist()}) == verb.CALIBRATION == 512
    assert {ids[row] for row in drawn} <= {*parts["train"]}
    assert (np.diff(drawn) < 0).sum() > 200, "in no order"
    rest = seen[verb.CALIBRATION // verb.CHUNK :]
    assert {ids[row] for row in np.concatenate(rest)} == {*parts["test"]}
    assert {*verb.BATCHES} <= {len(rows) for rows in rest}, "what is timed is as large as it says"


@pytest.mark.parametrize(("first", "second"), [(SLOWER, FASTER), (EVEN, EVEN), (SLOWER, SLOWER), (UNSURE, UNSURE)])
def test_one_that_is_not_faster_is_refused_with_exit_code_3(run, monkeypatch, capsys, first, second):
    fixed(monkeypatch, first, second)
    assert main(["compress", str(run.path)]) == 3
    assert "it is not faster enough" in capsys.readouterr().err
    assert not (run.path / "exports" / "int8").exists()
    assert (run.path / "exports" / "onnx" / "manifest.json").is_file()
    assert json.loads((run.path / "evaluation" / "compress-int8.json").read_text())["kept"] is False


def test_one_that_answers_differently_is_refused(run, monkeypatch):
    """Ranges measured on black pictures: nothing fits into them."""
    fixed(monkeypatch, FASTER, FASTER)
    monkeypatch.setattr(verb.Found, "_arrays", lambda self, rows: {"image": np.zeros((len(rows), 8, 8, 1), np.uint8)})
    with pytest.raises(Refused, match="answers agree"):
        deepen.compress(str(run.path))
    assert not (run.path / "exports" / "int8").exists()


def found_with(change: tuple[float, float, float], metric: str = "accuracy", before: float = 0.9) -> Any:
    race_ = Race((1, 1, 1), (1, 1, 1), FASTER, 20)
    measured = {
        "metric": metric,
        "change": change,
        "before": (before, 0, 1),
        "after": (before, 0, 1),
        "races": {1: race_},
    }
    return SimpleNamespace(measured=measured)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (found_with((-0.001, -0.004, 0.002)), True),
        (found_with((-0.001, -0.0048, 0.002)), True),  # the allowance is of the figure's own unit, not a share of 0.9
        (found_with((-0.001, -0.006, 0.004)), False),  # it may be worse than allowed
        (found_with((0.02, 0.01, 0.03)), True),
        (found_with((0.2, 0.1, 0.4), "rmse", 100.0), True),  # a share of the figure where that is above 1
        (found_with((0.2, 0.1, 0.6), "rmse", 100.0), False),
        (found_with((-0.001, float("nan"), float("nan"))), True),
        (found_with((-0.01, float("nan"), float("nan"))), False),
        (found_with((float("nan"), float("nan"), float("nan"))), False),
    ],
)
def test_the_pessimistic_end_of_the_change_decides(found, kept):
    if kept:
        verb.Found.check(found, 0.005, 1.05)
    else:
        with pytest.raises(Refused, match="may lose"):
            verb.Found.check(found, 0.005, 1.05)


def test_settings_reach_the_compressor_and_are_checked(run, monkeypatch):
    fixed(monkeypatch, FASTER, FASTER)
    found = deepen.compress(str(run.path), name="small", calibrate="percentile")
    assert found["compressor"] == {"name": "static_int8", "calibrate": "percentile"}
    assert Path(found["bundle"]).name == "small"
    for wrong in ({"calibrate": "x"}, {"bits": 4}, {"compressor": "static_int9"}, {"name": "onnx"}, {"name": "../x"}):
        with pytest.raises(DeepenError):
            deepen.compress(str(run.path), **wrong)


@pytest.mark.slow
def test_a_wide_network_is_really_faster(tmp_path):
    """Not against a clock: against the full graph in the same process, turn by turn."""
    run = deepen.train(
        "digits",
        output=str(tmp_path / "runs"),
        epochs=3,
        threads=1,
        **{"model": "mlp", "model.hidden": [1024, 1024, 1024]},
    )
    found = deepen.compress(str(run.path))
    assert found["races"]["32"]["ratio"][1] > 1.05
    assert found["agreement"] > 0.97


# ---------------------------------------------------------------- what is measured


def test_the_change_is_paired():
    """Two models that err on the same items: each figure is uncertain, their difference is not."""
    draw = np.random.default_rng(0)
    kind, target = Classes(("a", "b")), draw.integers(2, size=500)
    right = draw.random(500) < 0.8
    shown = np.where(right, target, 1 - target)
    before = {"probabilities": np.eye(2, dtype=np.float32)[shown]}
    after = {"probabilities": before["probabilities"].copy()}
    after["probabilities"][np.flatnonzero(right)[:5]] = after["probabilities"][np.flatnonzero(right)[:5], ::-1]
    moved, low, high = change(kind, target, before, after)
    assert moved == pytest.approx(-0.01)
    assert -0.022 < low < moved < high <= 0
    alone = intervals(kind, target, before)["accuracy"]
    assert high - low < 0.4 * (alone[2] - alone[1])
    assert change(kind, target, before, before) == (0, 0, 0)


def test_a_kind_without_resamples_has_no_interval():
    class Plain:
        metric = "found"

        def metrics(self, target, outputs):
            return {"found": 0.5}

    moved, low, high = change(Plain(), np.zeros(1), {}, {})
    assert moved == 0
    assert low != low
    assert high != high


def test_a_race_meets_both_with_the_same_noise(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(races.time, "perf_counter", lambda: clock[0])
    noise = np.random.default_rng(0)

    def takes(seconds: float):
        def call() -> None:
            clock[0] += seconds * noise.lognormal(0, 0.2)

        return call

    found = race(takes(3e-3), takes(2e-3), 300)
    assert found.rounds == 300
    assert found.ratio[1] < 1.5 < found.ratio[2]
    assert found.ratio[2] - found.ratio[1] < 0.15
    assert found.first[1] < found.first[0] < found.first[2]
    slow = race(takes(1.0), takes(1.0))
    assert slow.rounds == 20


@pytest.mark.parametrize(
    ("value", "low", "high", "line"),
    [
        (1.0, float("nan"), float("nan"), "accuracy 1 1 +0.0000 (9 items)"),
        (0.5, 0.4, 0.6, "accuracy 0.50 (0.40 to 0.60) 0.50 (0.40 to 0.60) +0.0000 (+0.4000 to +0.6000, 9 items)"),
    ],
)
def test_a_figure_without_an_interval_is_shown_without_one(value, low, high, line, capsys):
    found = found_with((0.0, low, high))
    found.measured |= {
        "items": 9,
        "bytes": (2, 1),
        "agreement": 1.0,
        "before": (value, low, high),
        "after": (value, low, high),
    }
    verb.Found.show(found)
    assert line in " ".join(capsys.readouterr().out.split())
