"""Files of labels that other tools write and read. One file each, torch-free; nothing is written here, only composed.

    kinds                the kinds of answer it can hold
    each                 whether it holds one label per annotator; else one per item, as training takes it
    recognises(path)     whether a file or folder looks like it
    read(path, known)    its labels, as raw as they stand there: whoever takes them in checks them
    write(labels, known) what to put where: relative name -> text; the one name "" means a single file

Boxes are shares of the picture here, pixels in most files. A share keeps PLACES decimals, and a pixel is written with
as few decimals as give back the same share: so both a file and a table of labels survive a round trip exactly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from deepen.errors import DeepenError
from deepen.kinds.boxes import PLACES

LARGEST = 512 << 20  # bytes of a file


class Label(NamedTuple):
    """`where` is its place in the file, for errors."""

    item: str
    value: Any
    annotator: str = ""
    where: str = ""


def refuse(_: str, error: DeepenError) -> None:
    """Where one wrong label spoils the whole file."""
    raise error


class Known(NamedTuple):
    """What is known of the data.

    kind    name of the file in kinds/
    names   the classes, in their order
    ids     the items
    find    the item a file means by a name; DeepenError where it is none or several
    size    (width, height) in pixels of an item's picture as it is shown, upright
    wrong   told of an item, or of a place in a file, what is wrong with its label, which is then left out; or raises it
    content what an item is where it can be shown as such: {"image": path}, {"audio": path}, {"text": the text}
    """

    kind: str
    names: Sequence[str]
    ids: Sequence[str]
    find: Callable[[str, str], str]
    size: Callable[[str], tuple[int, int]]
    wrong: Callable[[str, DeepenError], None] = refuse
    content: Callable[[str], dict[str, str]] = lambda _: {}


def finder(ids: Sequence[str]) -> Callable[[str, str], str]:
    """Finds the item behind a name in a file: the same id, else the one id that ends in it, else in its last part.

    Label Studio puts eight hexadecimal digits and a dash before the name of what was uploaded, and spells it with
    letters, digits, dashes, dots and _ for blanks; a file it did not copy it names after `?d=`.
    """
    exact = set(ids)
    by_end: dict[str, list[str]] = {}
    for item in ids:
        parts = item.split("/")
        for i in range(len(parts)):
            by_end.setdefault("/".join(parts[i:]), []).append(item)
        if (spelled := _spelled(parts[-1])) != parts[-1]:
            by_end.setdefault(spelled, []).append(item)

    def find(name: str, where: str) -> str:
        name = name.replace("\\", "/")
        if name in exact:
            return name
        if "?d=" in name:
            name = unquote(name.partition("?d=")[2])
        parts = [part for part in name.split("/") if part not in {"", "."}]
        ends = ["/".join(parts[i:]) for i in range(len(parts))]
        for end in [*ends, re.sub(r"^[0-9a-f]{8}-", "", parts[-1] if parts else "")]:
            found = by_end.get(end, [])
            if len(found) == 1:
                return found[0]
            if found:
                raise bad(where, f"{name!r} may be {found[0]!r} or {found[1]!r}", "a name of one item")
        raise bad(where, f"{name!r} is no item of this data", "the name of an item")

    return find


def _spelled(name: str) -> str:
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))


def bad(where: str, found: str, expected: str = "", fix: str = "") -> DeepenError:
    """The error for something in a file of labels."""
    return DeepenError("label.import", where, found, expected, fix)


def text_of(path: Path) -> str:
    """A file's text."""
    try:
        if path.stat().st_size > LARGEST:
            raise bad(str(path), f"{path.stat().st_size >> 20} MB", f"at most {LARGEST >> 20}")
        return path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise bad(str(path), problem.strerror or str(problem), "a readable file") from problem
    except UnicodeDecodeError as problem:
        raise bad(str(path), "not text", "UTF-8") from problem


def json_of(path: Path) -> Any:
    """A JSON file's content."""
    try:
        return json.loads(text_of(path))
    except (ValueError, RecursionError) as problem:
        raise bad(
            str(path), f"not JSON ({problem})" if isinstance(problem, ValueError) else "nested too deeply"
        ) from problem


def start_of(path: Path) -> Any:
    """A JSON file's content for a look at it; None where it is none."""
    try:
        return json_of(path)
    except DeepenError:
        return None


def share(pixels: float, size: int) -> float:
    return round(pixels / size, PLACES)


def pixels(length: float, same: Callable[[float], bool]) -> int | float:
    """A length with as few decimals as read back the same."""
    value = next((v for places in range(PLACES + 6) if same(v := round(length, places))), length)
    return int(value) if value == int(value) else value


def numbers(values: Any, count: int, where: str) -> list[float]:
    """So many finite numbers, also where they are written as text."""
    try:
        found = [float(value) for value in values if not isinstance(value, bool)]
    except (TypeError, ValueError, OverflowError):
        found = []
    if len(found) != count or not all(abs(value) < 1e12 for value in found):
        raise bad(where, f"got {str(values)[:80]}", f"{count} numbers")
    return found


def boxes_of(value: Any) -> Iterator[tuple[list[float], str]]:
    """Corners and class of each box of a label; what is a crowd cannot be told so."""
    for thing in value:
        if thing.get("crowd"):
            raise bad(thing["class"], "the box of a crowd", "a box for each thing", "export=coco or jsonl")
        yield thing["box"], thing["class"]
