"""The whole check: hardly ever an alarm where nothing changed, within three windows where something did; on real data too."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats

from deepen.errors import DeepenError
from deepen.kinds.boxes import Boxes
from deepen.kinds.classes import Classes
from deepen.kinds.labels import Labels
from deepen.kinds.number import Number
from deepen.monitoring import drift
from deepen.monitoring.drift import Drift, describe, holm
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.preprocess.row import Row, Rows
from deepen.preprocess.text import Text
from deepen.program import Program
from deepen.signature import Signature

Columns = dict[str, np.ndarray]


def rows(n: int, width: int, draw: np.random.Generator) -> Columns:
    """Columns as tables have them: normal, heaped, sometimes missing, categories with rare ones."""
    common = draw.normal(size=n)
    rare = 1 / np.arange(1, 13) ** 1.5
    made: list[Callable[[], np.ndarray]] = [
        lambda: 0.5 * common + draw.normal(size=n),
        lambda: np.where(draw.random(n) < 0.1, np.nan, np.round(3 * np.exp(draw.normal(size=n)))),
        lambda: np.array([f"c{i}" for i in range(12)])[draw.choice(12, n, p=rare / rare.sum())],
    ]
    return {f"x{i}": made[i % 3]() for i in range(width)}


def answers(n: int, draw: np.random.Generator) -> Columns:
    return {"class": np.array(["a", "b", "c"])[draw.choice(3, n, p=[0.6, 0.3, 0.1])], "confidence": draw.beta(5, 1, n)}


def window(n: int, width: int, draw: np.random.Generator) -> dict[str, Columns]:
    return {"inputs": rows(n, width, draw), "answers": answers(n, draw)}


def alarms(judge: Drift, windows: list[dict[str, Columns]]) -> list[bool]:
    """Whether each window in turn raised an alarm, with those before it."""
    return [any(j.alarm for j in judge.check(windows[: i + 1])) for i in range(len(windows))]


def quiet(count: int, n: int, width: int, references: int, seed: int) -> int:
    draw = np.random.default_rng(seed)
    found = 0
    for _ in range(references):
        judge = Drift(describe(rows(4000, width, draw), answers(2000, draw)))
        found += sum(alarms(judge, [window(n, width, draw) for _ in range(count // references)]))
    return found


def test_no_false_alarms():
    assert quiet(60, 100, 9, 3, seed=0) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("n", "width"), [(50, 1), (50, 30), (200, 9), (200, 100), (2000, 9)])
def test_a_thousand_windows_without_drift_give_at_most_one_alarm_in_a_hundred(n, width):
    """Ten references, so that one unlucky reference does not decide for all windows."""
    assert quiet(1000, n, width, 10, seed=n + width) <= 10


def test_holms_correction_by_hand():
    assert holm(np.array([0.01, 0.02, 0.03, 0.5])) == pytest.approx([0.04, 0.06, 0.06, 0.5])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1, 1])


def test_a_small_change_needs_the_last_three_windows_and_the_oldest_fades():
    draw = np.random.default_rng(1)
    judge = Drift(describe(rows(20_000, 9, draw), answers(5000, draw)))
    normal = [window(200, 9, draw) for _ in range(6)]
    moved = [window(200, 9, draw) for _ in range(3)]
    for w in moved:
        w["inputs"]["x0"] = w["inputs"]["x0"] + 0.3
    found = judge.check(normal[:3] + moved)
    first = next(j for j in found if j.alarm)
    assert (first.windows, first.finding.column, first.group) == (3, "x0", "inputs")
    assert first.finding.items == 600
    assert not any(j.alarm for j in judge.check(moved + normal[:3]))


def test_a_change_that_is_sure_but_tiny_is_no_alarm():
    draw = np.random.default_rng(0)
    before, now = draw.normal(size=200_000), draw.normal(0.06, 1, 100_000)
    judge = Drift(describe({"x": before}, {}))
    found = judge.check([{"inputs": {"x": now}, "answers": {}}])
    assert found[0].p < 1e-6
    assert not any(j.alarm for j in found)
    loose = Drift(describe({"x": before}, {}), settings={"ks": {"least": 0.001}})
    assert any(j.alarm for j in loose.check([{"inputs": {"x": now}, "answers": {}}]))


PLANTED: dict[str, Callable[[Columns, np.random.Generator], None]] = {}


def planted(change: Callable[[Columns, np.random.Generator], None]) -> Callable[[Columns, np.random.Generator], None]:
    PLANTED[change.__name__] = change
    return change


@planted
def half_a_deviation(c: Columns, draw: np.random.Generator) -> None:
    c["x0"] += 0.5 * np.std(c["x0"])


@planted
def twice_as_much_missing(c: Columns, draw: np.random.Generator) -> None:
    c["x1"][draw.random(len(c["x1"])) < 0.11] = np.nan


@planted
def a_new_category(c: Columns, draw: np.random.Generator) -> None:
    c["x2"] = np.where(draw.random(len(c["x2"])) < 0.1, "(new)", c["x2"])


@planted
def another_unit(c: Columns, draw: np.random.Generator) -> None:
    c["x3"] *= 1000


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found_within_three_windows(name):
    assert times_found(name, 5) >= 4


def times_found(name: str, times: int) -> int:
    found = 0
    for seed in range(times):
        draw = np.random.default_rng(seed)
        judge = Drift(describe(rows(4000, 9, draw), answers(2000, draw)))
        before, after = ([window(200, 9, draw) for _ in range(3)] for _ in range(2))
        for w in after:
            PLANTED[name](w["inputs"], draw)
        found += any(alarms(judge, before + after)[3:])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found_in_95_of_100(name):
    assert times_found(name, 100) >= 95


def test_answers_that_drift_are_found_too():
    draw = np.random.default_rng(0)
    judge = Drift(describe(rows(4000, 3, draw), answers(2000, draw)))
    now = window(300, 3, draw)
    now["answers"]["class"][:90] = "c"
    found = [j for j in judge.check([now]) if j.alarm]
    assert {j.group for j in found} == {"answers"}
    (one,) = (j.finding for j in found if j.monitor == "fisher")
    assert (one.column, one.says[:3]) == ("class", "c: ")


# ---------------------------------------------------------------- real data


def split_judged(columns: Columns, seed: int) -> tuple[Drift, np.ndarray]:
    """A judge by one half of the items, and the places of the other half."""
    order = np.random.default_rng(seed).permutation(len(next(iter(columns.values()))))
    half = len(order) // 2
    return Drift(describe({name: v[order[:half]] for name, v in columns.items()}, {})), order[half:]


def some(columns: Columns, places: np.ndarray, n: int, draw: np.random.Generator) -> dict[str, Columns]:
    """A window of n of the items at some places."""
    taken = draw.choice(places, n, replace=False)
    return {"inputs": {name: values[taken] for name, values in columns.items()}, "answers": {}}


def on_real(columns: Columns, changed: Columns, count: int, n: int, references: int) -> tuple[int, float]:
    """Alarms among `count` windows of unchanged items; the share of tries in which the change is found within three."""
    quietly, found, tries = 0, 0, 0
    for seed in range(references):
        judge, rest = split_judged(columns, seed)
        draw = np.random.default_rng(seed)
        windows = [some(columns, rest, n, draw) for _ in range(count // references)]
        quietly += sum(alarms(judge, windows))
        for _ in range(max(1, count // references // 20)):
            after = [some(changed, rest, n, draw) for _ in range(3)]
            found += any(alarms(judge, windows[:3] + after)[3:])
            tries += 1
    return quietly, found / tries


def adult(place: Path) -> Columns:
    table: list[dict[str, str]] = []
    for part in ("train", "test"):
        with gzip.open(place / "tabular" / f"adult_{part}.csv.gz", "rt", encoding="utf-8") as file:
            table += list(csv.DictReader(file))
    numbers = {"age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"}
    columns = {name: np.array([line[name] for line in table], object) for name in table[0] if name != "income"}
    encoder = Row.fit(Rows(columns), {name: "number" if name in numbers else "category" for name in columns})
    return encoder.statistics(encoder.encode(Rows(columns)))


def adult_older(columns: Columns) -> Columns:
    return {**columns, "age": columns["age"] + 0.5 * np.nanstd(columns["age"])}


def pictures(place: Path) -> np.ndarray:
    return np.load(place / "images" / "fashion_mnist.npz")["x_test"]


def look(x: np.ndarray) -> Columns:
    x = x.reshape(*x.shape[:3], -1)
    return Image(*x.shape[1:]).statistics({"image": x})


def blurred(x: np.ndarray) -> np.ndarray:
    """A box of 3 x 3."""
    wide = np.pad(x.reshape(*x.shape[:3]).astype(np.float32), ((0, 0), (1, 1), (1, 1)), "edge")
    parts = [wide[:, i : i + x.shape[1], j : j + x.shape[2]] for i in range(3) for j in range(3)]
    return (sum(parts) / 9).astype(np.uint8)


def test_real_rows(real_data):
    columns = adult(real_data)
    quietly, found = on_real(columns, adult_older(columns), 20, 200, 1)
    assert (quietly, found) == (0, 1.0)


def test_real_pictures(real_data):
    x = pictures(real_data)[:4000]
    quietly, found = on_real(look(x), look(blurred(x)), 20, 200, 1)
    assert quietly <= 1
    assert found == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 200, 1000])
def test_a_thousand_windows_of_real_rows(real_data, n):
    columns = adult(real_data)
    quietly, found = on_real(columns, adult_older(columns), 1000, n, 10)
    assert quietly <= 10
    assert found >= (0.95 if n >= 200 else 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 200, 1000])
def test_a_thousand_windows_of_real_pictures(real_data, n):
    x = pictures(real_data)
    quietly, found = on_real(look(x), look(blurred(x)), 1000, n, 10)
    assert quietly <= 10
    assert found >= 0.95


# ---------------------------------------------------------------- what is watched of each kind of data


def test_rows_are_watched_by_their_columns():
    table = Rows(
        {
            "age": np.array([30.0, np.nan, 50.0] * 20),
            "town": np.array(["Lyon", "Graz", None] * 20, object),
            "day": np.array(["2026-01-02", None, "2026-01-05"] * 20, object),
        }
    )
    encoder = Row.fit(table, {"age": "number", "town": "category", "day": "date"})
    got = encoder.statistics(encoder.encode([{"age": 41, "town": "Wien", "day": None}, {"town": "Graz", "age": ""}]))
    assert got["age"][0] == 41
    assert math.isnan(got["age"][1])
    assert got["town"].tolist() == ["(new)", "Graz"]
    assert got["day"].tolist() == ["(missing)", "(missing)"]
    assert encoder.statistics(encoder.encode(table[:1]))["day"].tolist() == ["(there)"]


def test_pictures_are_watched_by_what_an_eye_would_see():
    flat = np.full((1, 8, 8, 3), 51, np.uint8)
    lit = flat.copy()
    lit[:, :, :4, 0] = 255
    stripes = np.zeros((1, 8, 8, 3), np.uint8)
    stripes[:, ::2] = 255
    got = Image(8, 8, 3).statistics({"image": np.concatenate([flat, lit, stripes])})
    assert got["brightness"] == pytest.approx([0.2, 0.2 + 0.8 / 6, 0.5])
    assert got["contrast"][[0, 2]] == pytest.approx([0, 0.5], abs=1e-6)
    assert got["sharpness"][2] == pytest.approx(2)
    assert got["left"] == pytest.approx([0, 0.8 / 6, 0], abs=1e-6)
    assert got["red"] == pytest.approx([0, 0.4 - 0.8 / 6, 0], abs=1e-6)
    assert Image(8, 8, 3).statistics({"image": np.zeros((0, 8, 8, 3), np.uint8)}) == {}


def test_texts_are_watched_by_length_unknown_words_and_one_word_of_each():
    encoder = Text(("cat", "dog"), 5)
    got = encoder.statistics(encoder.encode(["cat dog cat", "bird", "cat bird"]))
    assert got["words"].tolist() == [3, 1, 2]
    assert got["unknown words"] == pytest.approx([0, 1, 0.5])
    assert got["a word"].tolist() == ["dog", "(unknown)", "(unknown)"]


def test_arrays_are_watched_value_by_value_while_they_are_few():
    got = Array((2, 2)).statistics({"array": np.array([[[1, 2], [3, np.nan]]], np.float32)})
    assert list(got) == ["0,0", "0,1", "1,0", "1,1"]
    assert got["1,0"] == [3]
    large = np.arange(300, dtype=np.float32).reshape(3, 100)
    large[0, 0] = np.nan
    large[2] = np.nan
    got = Array((100,)).statistics({"array": large})
    assert got["mean"][:2] == pytest.approx([50, 149.5])
    assert got["largest"][1] == 199
    assert got["share missing"] == pytest.approx([0.01, 0, 1])
    assert math.isnan(got["deviation"][2])


KINDS = [
    (Classes(("a", "b")), {"probabilities": np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)},
     {"class": ["b", "a"], "confidence": [0.75, 0.5]}),
    (Labels(("a", "b")), {"probabilities": np.array([[0.25, 0.75], [0.75, 0.5]], np.float32)},
     {"labels": [1, 2], "certainty": [0.5, 0], "label a": ["no", "yes"], "label b": ["yes", "yes"]}),
    (Number(), {"value": np.array([[3.0], [4.0]], np.float32)}, {"value": [3, 4]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "outputs", "expected"), KINDS, ids=lambda v: type(v).__name__)
def test_answers_are_watched_from_what_was_decoded(kind, outputs, expected):
    again = kind.outputs(kind.decode(outputs))
    for name, array in outputs.items():
        assert np.array_equal(again[name], array)
        assert again[name].dtype == array.dtype
    assert {name: values.tolist() for name, values in kind.statistics(again).items()} == expected
    assert all(len(array) == 0 for array in kind.outputs([]).values())


def test_boxes_are_watched_by_the_surest_one():
    kind = Boxes(("cat", "dog"))
    outputs = {
        "boxes": np.array([[[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 0.9]], [[0, 0, 1, 1]] * 2], np.float32),
        "scores": np.array([[[0.5, 0], [0, 0.875]], [[0, 0], [0, 0.2]]], np.float32),
        "placed": np.array([[1, 1, 40, 20]] * 2, np.float32),
    }
    whole = Program(kind.steps, {}).run(outputs)
    again = kind.outputs(kind.decode(whole))
    for found in (kind.statistics(whole), kind.statistics(again)):
        assert found["boxes"].tolist() == [2, 0]
        assert found["class"].tolist() == ["dog", "(none)"]
        assert found["confidence"][0] == 0.875
        assert found["area"][0] == pytest.approx(0.2)
        assert math.isnan(found["area"][1])
    truth = np.empty(2, object)
    truth[:] = [np.array([[0, 0, 0.5, 0.5, 0, 0]]), np.zeros((0, 6))]
    assert kind.metrics(truth, again) == kind.metrics(truth, whole)


def test_several_inputs_and_answers_keep_their_names():
    signature = Signature({"a": Array((1,)), "b": Array((1,))}, {"x": Number(), "y": Number()})
    arrays = {"a.array": np.array([[1.0]]), "b.array": np.array([[2.0]])}
    got = drift.input_columns(signature, arrays)
    assert {name: values.tolist() for name, values in got.items()} == {"a.0": [1], "b.0": [2]}
    outputs = {"x.value": np.array([[5.0]]), "y.value": np.array([[6.0]])}
    got = drift.answer_columns(signature, outputs)
    assert {name: values.tolist() for name, values in got.items()} == {"x.value": [5], "y.value": [6]}


def test_what_cannot_be_compared_is_not_watched():
    """Nodes of one graph: training knows its own alone. Their answers are watched all the same."""
    from deepen.preprocess.nodes import Nodes

    encoder = Nodes(("a", "b"), 1, 3)
    signature = Signature({"node": encoder}, {"class": Classes(("x", "y"))})
    inputs = drift.input_columns(signature, encoder.encode(["a", {"features": [1, 2, 3], "neighbours": ["b"]}]))
    assert inputs == {}
    draw = np.random.default_rng(0)
    judge = Drift(describe(inputs, answers(2000, draw)))
    now = {"inputs": {}, "answers": answers(200, draw)}
    assert not any(j.alarm for j in judge.check([now, now]))
    now["answers"]["class"][:] = "c"
    assert any(j.alarm for j in judge.check([now]))


# ---------------------------------------------------------------- the reference as a file


def test_a_reference_is_read_as_it_was_written_and_holds_no_item():
    draw = np.random.default_rng(0)
    columns = rows(4000, 30, draw)
    columns["secret"] = draw.normal(size=4000)
    reference = describe(columns, answers(2000, draw))
    data = msgspec.json.encode(reference)
    assert len(data) < 300_000
    assert drift.read(data, "x") == reference
    assert reference.items == {"inputs": 4000, "answers": 2000}
    assert not any(repr(value)[:10].encode() in data for value in columns["secret"].tolist())


@pytest.mark.parametrize("data", [b"", b"{}", b'{"format": 1}', b'{"format":2,"items":{},"inputs":{},"answers":{}}'])
def test_what_is_no_reference_is_told(data):
    with pytest.raises(DeepenError, match="reference"):
        drift.read(data, "reference.json")


def test_the_naive_way_would_raise_alarms_all_the_time():
    """Twenty columns, each tested at 5 %: what the correction is for."""
    draw = np.random.default_rng(0)
    before = draw.normal(size=(20, 2000))
    found = [
        any(stats.ks_2samp(b, draw.normal(size=200)).pvalue < 0.05 for b in before)
        for _ in range(10)
    ]  # fmt: skip
    assert sum(found) >= 4


def test_what_is_odd_is_what_is_likelier_now_and_only_where_something_changed():
    draw = np.random.default_rng(3)
    judge = Drift(describe({"a": draw.normal(size=4000), "b": draw.normal(size=4000)}, {}))
    same = {"a": draw.normal(size=300), "b": draw.normal(size=300)}
    assert not judge.odd(same).any()
    moved = {"a": np.r_[same["a"][:200], draw.normal(3, 0.3, 100)], "b": same["b"]}
    moved["a"][0] = np.nan
    odd = judge.odd(moved)
    assert odd[0] == 0.0  # missing
    assert np.median(odd[200:]) > 1 > 0 > np.median(odd[1:200])
    assert set(np.argsort(-odd)[:90]) <= set(np.flatnonzero(moved["a"] > 1.5))
