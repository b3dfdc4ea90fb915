"""Tables about things as numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepen.data import about


def test_numbers_and_categories_by_hand():
    Path("t.csv").write_text(
        "item,size,colour,flag\na,1,red,0\nb,2,blue,1\nc,3,red,1\nd,x1,blue,0\nd,,green,\n".replace("x1", "6")
    )
    notes: list[str] = []
    keys, cells, types = about.columns("t.csv", "item", "item", "things", None, notes)
    assert keys == ["a", "b", "c", "d", "d"]
    assert types["size"] == "number"
    found = about.numbers(
        keys, {"size": cells["size"], "colour": cells["colour"]}, {"size": "number", "colour": "category"}
    )
    deviation = np.std([1, 2, 3, 6])
    np.testing.assert_allclose([found[k][0] for k in "abc"], (np.array([1, 2, 3]) - 3) / deviation, atol=1e-4)
    assert [found[k][1:] for k in "abcd"] == [(0.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)], "green comes once"
    assert found["d"][0] == 0, "the last row of a key holds"
