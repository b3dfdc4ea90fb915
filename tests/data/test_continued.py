"""What a run's data is for one that begins from it."""

from __future__ import annotations

import numpy as np

from deepen.config import parse
from deepen.data.prepare import continued, prepare
from deepen.sources.series import Series
from deepen.sources.text import Text
from deepen.stages.train import _alike


def before(items, config):
    first = prepare(items, config)
    return first, {part: [items.ids[row] for row in rows] for part, rows in first.parts.items()}


def test_what_is_foretold_keeps_the_vocabulary_that_goes_in(tmp_path):
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text("the cat sat on a mat " * 40)
    new.write_text("whole words of quick foxes " * 40)
    config = parse({"data": {"name": "text", "path": str(old)}})
    first, split = before(Text(str(old), context=16).read(), config)
    again = continued(Text(str(new), context=16).read(), first.signature, split, config)
    assert again.signature.inputs["text"].words == again.signature.answer.words == first.signature.answer.words


def test_windows_across_a_border_stay_left_out(tmp_path):
    lines = [f"{t},{np.sin(t / 3):.3f}" for t in range(120)]
    (tmp_path / "s.csv").write_text("\n".join(["t,v", *lines]) + "\n")
    source = {"name": "series", "path": str(tmp_path / "s.csv"), "target": "v", "time": "t", "horizon": 4}
    config = parse({"data": source})
    items = lambda: Series(str(tmp_path / "s.csv"), target=("v",), time="t", horizon=4).read()
    first, split = before(items(), config)
    again = continued(items(), first.signature, split, config)
    assert {part: rows.tolist() for part, rows in again.parts.items()} == {
        part: rows.tolist() for part, rows in first.parts.items()
    }
    (tmp_path / "s.csv").write_text("\n".join(["t,v", *lines, *(f"{t},0.5" for t in range(120, 170))]) + "\n")
    more = continued(items(), first.signature, split, config)
    assert sum(map(len, more.parts.values())) > sum(map(len, first.parts.values()))


def test_a_table_goes_on_as_what_it_was_read_as():
    assert _alike("table", "series")
    assert _alike("table", "interactions")
    assert not _alike("table", "images")
