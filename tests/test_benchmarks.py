"""The report of the benchmarks: what it says of a figure, and that measuring one claim again leaves the others."""

from __future__ import annotations

from pathlib import Path

import benchmarks.__main__ as page
from benchmarks.pairs import Row


def row(claim: str, values: list[float]) -> Row:
    return Row(claim, values, "x", ">= 2x", lambda v: v >= 2, "on a sunny day")


def test_a_row_says_median_spread_number_and_whether_the_goal_was_reached():
    assert row("faster", [3.0, 1.0, 2.5]).cells() == ["faster", "2.5x", "1 to 3", "3", ">= 2x", "yes", "on a sunny day"]
    assert row("faster", [1.0, 1.5, 2.5]).cells()[5] == "**no**"


def test_writing_one_claim_keeps_the_others_and_the_text_around():
    file = Path("performance.md")
    file.write_text("# Speed\n\nWords.\n", encoding="utf-8")
    for name, value in (("b", 2.0), ("a", 5.0), ("b", 3.0)):
        page.write(file, page.section(name, f"About {name}.", [row(name, [value])], "here"))
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# Speed\n\nWords.\n")
    assert [line for line in text.splitlines() if line.startswith("### ")] == ["### a", "### b"]
    assert "| a | 5x | 5 to 5 | 1 |" in text
    assert "| b | 3x |" in text
    assert "| b | 2x |" not in text
    before = text
    page.write(file, [])
    assert file.read_text(encoding="utf-8") == before


def test_every_claim_says_what_it_is():
    known = page.claims()
    assert {"training", "peers", "busy", "startup", "memory", "folder"} <= set(known)
    assert all(known.values())
