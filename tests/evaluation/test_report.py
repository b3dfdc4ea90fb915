"""The page: whole, harmless whatever names it is given, readable numbers."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.config import Config
from deepen.evaluation import charts, draw, report, show
from deepen.evaluation.html import figure, seconds, short, text
from deepen.evaluation.measure import Measured, Part, clean, to_json, training_curves
from deepen.evaluation.slices import Compared, Slice
from deepen.evaluation.verdict import Verdict
from deepen.kinds.classes import Classes
from deepen.kinds.density import Density
from deepen.panels import Curves, Figure, Gallery, Histogram, Line, Matrix, Table, Whiskers, digits
from deepen.preprocess.image import Image
from deepen.preprocess.row import Row, Rows
from deepen.signature import Signature

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE",
    "]]></title></svg><script>alert(2)</script>",
    "\u202egnp.exe",
    "\ud800 lone",
    "\x00\x1b[31m",
    "x" * 5000,
    "&lt;b&gt;",
    "javascript:alert(1)",
]
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Collects tags and attributes and holds the nesting to be whole."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.open, self.words = [], [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def measured(names: list[str], n: int = 60, pictures: bool = True):
    """What `measure` would find, for class and file names of any content."""
    rng = np.random.default_rng(0)
    k = len(names)
    target = rng.integers(k, size=n)
    p = (rng.dirichlet(np.ones(k), n) * 0.7 + 0.3 * np.eye(k)[target]).astype(np.float32)
    kind = Classes(tuple(names))
    ids = [f"{names[1]}/{names[i % k]}/{i}" for i in range(n)]  # where the names are hostile, every id is
    if pictures:
        inputs, encoder = {"image": rng.integers(0, 255, (n, 6, 6, 1), dtype=np.uint8)}, Image(6, 6, 1)
    else:
        rows = Rows({name: np.array([names[i % k]] * n, object) for i, name in enumerate(names)})
        inputs, encoder = {"row": rows}, Row(categories=dict.fromkeys(names, ("a",)))
    items = SimpleNamespace(
        ids=ids, inputs=inputs, raw=lambda rows: [next(iter(inputs.values()))[int(r)] for r in rows]
    )
    prepared = SimpleNamespace(items=items, signature=Signature({"x": encoder}, {"label": kind}))
    figures = {
        name: (value, value - 0.05, value + 0.05) for name, value in kind.metrics(target, {"probabilities": p}).items()
    }
    figures["auc"] = (math.nan, math.nan, math.nan)
    history = [{"step": i, "epoch": float(i), "train_loss": 1 / i, "val_accuracy": 0.5, "lr": 1e-3} for i in (1, 2, 3)]
    found = Measured(
        run=SimpleNamespace(id=names[0], info={"created": "2026-11-20T20:00:00", "state": "finished", "model": "0"}),
        part="test",
        kind=kind,
        rows=np.arange(n),
        parts={name: Part(n, n, figures) for name in ("train", "val", "test")},
        baseline=kind.baseline(target, target),
        verdict=Verdict("agree", (f"All is well with {names[0]}.",)),
        training=training_curves(history, "accuracy", 2),
        findings=[{"name": "overfit", "says": names[0], "advice": names[-1]}],
        panels=kind.panels(target, {"probabilities": p}),
        slices=Compared("accuracy", 0.8, tuple(Slice(name, 20, 0.5, 0.3, 0.7, True) for name in names)),
        check={"items": n, "train": n, "val": 0, "test": 0, "unlabelled": 0, "bad": 1,
               "quarantine": [{"id": names[0], "reason": names[-1]}], "notes": list(names)},
        notes=[names[0]],
        costs={"parameters": 10, "multiply_adds": 1234567, "bytes": 2048, "machine": names[0],
               "seconds": {"1": {"median": 1e-3, "p95": 2e-3, "calls": 30}}},
    )  # fmt: skip
    return found, prepared


def page_of(names: list[str], **options) -> str:
    found, prepared = measured(names, **options)
    return report.page(found, prepared, Config({"name": "images", "path": names[0]}, {"name": "mlp"}), 1)


def check(page: str) -> Page:
    """Nothing that runs or loads, everything well formed."""
    page.encode()
    parsed = Page(page)
    assert not {"script", "iframe", "object", "embed", "base", "form", "foreignobject", "use", "a:href"} & set(
        parsed.tags
    )
    for name, value in parsed.attributes:
        assert not name.startswith("on"), name
        assert name != "style"
        if name in {"src", "href"}:
            assert value.startswith(("data:", "#")), value
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(picture)
    assert "url(" not in page
    assert "@import" not in page
    return parsed


@pytest.mark.parametrize("pictures", [True, False])
def test_hostile_names_stay_text(pictures):
    parsed = check(page_of(HOSTILE, pictures=pictures))
    assert "<script>alert(1)</script>" in " ".join(parsed.words)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=30), min_size=2, max_size=4, unique=True))
def test_any_names_stay_text(names):
    check(page_of(names, n=20))


def test_its_policy_allows_its_own_style_only():
    page = page_of(["a", "b"])
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    import base64
    import hashlib

    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy


@pytest.mark.parametrize("k", [2, 12, 30, 100])
def test_any_number_of_classes(k):
    page = page_of([f"class {i}" for i in range(k)], n=300)
    words = " ".join(check(page).words)
    assert not re.search(r"\b(nan|inf)\b", words, re.IGNORECASE)
    assert len(page) < 2_000_000


def test_every_picture_says_what_it_shows():
    page = page_of(["a", "b", "c"])
    for picture in re.findall(r'<svg class="(?:plot|broad|natural)".*?</svg>', page, re.DOTALL):
        tree = ElementTree.fromstring(picture)
        first, second = list(tree)[:2]
        assert first.tag.endswith("title")
        assert second.tag.endswith("desc")
        assert first.text
        assert second.text
    for image in re.findall(r"<img [^>]*>", page):
        assert ' alt="' in image


def test_what_it_says():
    page = " ".join(Page(page_of(["cat", "dog"])).words)
    for sentence in (
        "always answering",
        "All is well with cat.",
        "overfit",
        "has been read once",
        "chosen on",
        "Confusion matrix",
        "0 test, 1 in quarantine",
    ):
        assert sentence in page


@pytest.mark.parametrize(
    "panel",
    [
        Curves("c", "x", "y", ()),
        Curves("c", "x", "y", (Line("one", (1.0,), (5.0,)),), mark=(1.0, "here")),
        Curves("c", "x", "y", (Line("flat", (0.0, 1.0), (0.0, 0.0), points=True),), diagonal=True),
        Histogram("h", "x", (0.0, 1.0), (0,)),
        Matrix("m", ("a", "b"), ((0, 0), (0, 0))),
        Table("t", ("a",), ()),
        Whiskers("w", "x", ("a",), (Figure(None),)),
        Whiskers("w", "x", ("a",), (Figure(1.0),), mark=(1.0, "all")),
        Gallery("g", (), ()),
    ],
    ids=lambda p: type(p).__name__,
)
def test_empty_panels_are_drawn(panel):
    check(draw.panel(panel, lambda row: ""))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (3, 3, [3]),
        (0, 1e6, [0, 2e5, 4e5, 6e5, 8e5, 1e6]),
        (0.00001, 0.00004, [1e-5, 2e-5, 3e-5, 4e-5]),
    ],
)
def test_ticks_are_round(low, high, expected):
    found = charts.ticks(low, high)
    assert set(expected) <= set(found) or found == pytest.approx(expected)
    assert len(found) <= 8


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
@settings(max_examples=60, deadline=None)
def test_ticks_stay_inside(low, width):
    found = charts.ticks(low, low + width)
    assert len(found) <= 9
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in found if abs(low) < 1e6 * width)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.97412, "0.9741"), (1234567, "1,234,567"), (143210.7, "143,200"), (3.0, "3"), (None, "\u2013"), (math.inf, "\u2013"),
     (0.0, "0"), (1e-7, "1e-07"), (-2.5, "-2.500"), (0.0123456, "0.01235")],
)  # fmt: skip
def test_digits(value, expected):
    assert digits(value) == expected


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.9741, 0.9521, 0.9893), ("0.974", "0.952 to 0.989")),
        ((143210.0, 128000.0, 158000.0), ("143,000", "128,000 to 158,000")),
        ((0.5, 0.5, 0.5), ("0.5000", "")),
        ((math.nan, math.nan, math.nan), ("\u2013", "")),
        ((0.5, None, None), ("0.5000", "")),
    ],
)
def test_an_interval_sets_the_digits(interval, expected):
    assert figure(*interval) == expected


def test_texts():
    assert short("a" * 50, 11) == "aaaa\u2026aaaaaa"
    assert text("<\x00&\"'\ud800>") == "&lt;\ufffd&amp;&quot;&#x27;\ufffd&gt;"
    assert [seconds(s) for s in (2.0, 0.0123, 0.00034, 0.000012)] == ["2 s", "12 ms", "0.34 ms", "12 \u00b5s"]


def test_the_document_is_json_whatever_is_in_it():
    found, _ = measured(HOSTILE)
    document = found.document(list(HOSTILE) * 100, 1)
    assert "NaN" not in to_json(document)
    assert document["metrics"]["auc"] == [None, None, None]
    assert clean({"a": [np.float32("inf"), np.int64(3), "\ud800", math.nan]}) == {"a": [None, 3, "?", None]}


def test_the_curve_of_one_epoch_and_of_none():
    assert training_curves([], "accuracy", 0) == []
    row = {"step": 9, "epoch": 1.0, "train_loss": math.nan, "val_accuracy": 0.5, "lr": 1e-3}
    panels = training_curves([row], "accuracy", 9)
    assert [p.title for p in panels] == ["Validation accuracy", "Learning rate"]
    assert panels[0].mark == (1.0, "kept")


def test_losses_are_drawn_on_one_scale_and_once():
    row = {"step": 9, "epoch": 1.0, "train_loss": 5.0, "val_loss": 3.5, "lr": 1e-3}
    kind = Density(shape=(2,), picture=False, mean=(0.0, 0.0), scale=(2.0, 3.0))
    panels = training_curves([row], "loss", 9, kind.offset)
    assert [p.title for p in panels] == ["Loss", "Learning rate"]
    assert [line.y for line in panels[0].lines] == [(pytest.approx(5 - math.log(6)),), (3.5,)]
    assert panels[1].lines[0].y == (1e-3,)


def test_what_training_tells_in_another_unit_has_an_axis_of_its_own():
    row = {"step": 9, "epoch": 1.0, "train_loss": 5.0, "val_loss": 3.5, "lr": 1e-3}
    panels = training_curves([row], "loss", 9, told="error of telling items again")
    assert [(p.title, p.y, [line.name for line in p.lines]) for p in panels[:2]] == [
        ("Error of telling items again", "error of telling items again", ["train_loss"]),
        ("Validation loss", "loss", ["val_loss"]),
    ]


def test_the_numbers_of_an_item_are_cut_to_what_is_read():
    assert show._text([[-19.685344696044922, 3], 1e-9]) == '<div class="text">[[-19.69, 3], 1e-09]</div>'
