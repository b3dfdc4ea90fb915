"""The reference page is what the files say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from deepen import registry
from deepen.stages.list import SHOWN, row, settings

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_is_in_step_with_the_files():
    found = runpy.run_path(str(DOCS / "reference.py"))["page"]()
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == found, "make docs writes it anew"


def test_every_technique_stands_there_with_equation_and_settings():
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    for family in registry.FAMILIES:
        for name in registry.names(family):
            assert f"\n### {name}\n" in page
    assert "x' = s x + (1 - s) o" in page
    assert "| `degrees` | a number above 0 | `15.0` | the largest angle, either way |" in page
    assert "| `lr` | a number above 0 or null | `null` | the highest learning rate |" in page


def test_every_setting_says_what_it_means():
    """In its own file, or as it is meant everywhere; also where one line speaks of several, or is long-named."""
    for family in SHOWN:
        for name in registry.names(family):
            for setting, told in row(family, name)["parameters"].items():
                assert told.get("meaning"), f"{family} {name}: {setting}"
    for section, fields in settings().items():
        assert all(told.get("meaning") for told in fields.values()), section
    found = registry.meanings("What it is.\n\na, bc  meaning of both,\n       gone on with\nlonger_one that is long")
    both = "meaning of both, gone on with"
    assert found == {"a": both, "bc": both, "longer_one": "that is long"}


def test_every_technique_says_its_equation_or_its_paper():
    for family in [
        "models",
        "methods",
        "queries",
        "optimizers",
        "schedules",
        "initialisers",
        "augmentations",
        "monitors",
    ]:
        for name in registry.names(family):
            assert re.search(r"(?m)^(Papers?|Sources?) +\S|^ *\S[^\n]* = ", registry.header(family, name)), name
