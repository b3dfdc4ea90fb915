"""YOLO: a folder with classes.txt (or data.yaml) and labels/NAME.txt, a line `class cx cy w h` per box in shares.

labels/ mirrors the folders of the pictures. An empty file is a picture with nothing in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from deepen.annotations import Known, Label, bad, boxes_of, finder, numbers, text_of
from deepen.config import read_yaml
from deepen.errors import DeepenError, counted

MOST_DIGITS = 9  # of a class's number
OTHERS = {"classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt"}  # lists that lie beside the labels


class Yolo:
    """YOLO: classes.txt and a text file of boxes for each picture."""

    kinds: ClassVar[tuple[str, ...]] = ("boxes",)
    each: ClassVar[bool] = False

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and any((path / name).is_file() for name in ("classes.txt", "data.yaml"))

    def read(self, path: Path, known: Known) -> list[Label]:
        names = _names(path)
        items: dict[str, list[str]] = {}
        for item in known.ids:
            items.setdefault(str(PurePosixPath(item).with_suffix("")), []).append(item)
        find = finder(list(items))
        found: dict[str, Label] = {}
        for file in _files(path):
            item = str(file)
            try:
                item, *others = items[_picture(file, path, items, find)]
                if others or item in found:
                    reason = (
                        f"it may be of {item!r} or {others[0]!r}"
                        if others
                        else f"{item!r} again, after {found[item].where}"
                    )
                    raise bad(str(file), reason, "pictures that differ in more than their ending")
                found[item] = Label(item, _things(file, names), "", str(file))
            except DeepenError as problem:
                known.wrong(item, problem)
        return list(found.values())

    def write(self, labels: Sequence[Label], known: Known) -> dict[str, str]:
        code = {name: i for i, name in enumerate(known.names)}
        files = {"classes.txt": "".join(f"{name}\n" for name in known.names)}
        for label in labels:
            name = f"labels/{PurePosixPath(label.item).with_suffix('.txt')}"
            if name in files:
                raise bad(
                    label.item,
                    f"another item is {name} too",
                    "items that differ in more than their ending",
                    "export another form",
                )
            lines = [f"{code[of]} {' '.join(_number(v) for v in _centred(box))}\n" for box, of in boxes_of(label.value)]
            files[name] = "".join(lines)
        return files


def _files(path: Path) -> list[Path]:
    """Those in folders called labels; where there is none, those beside the pictures."""
    every = sorted(path.rglob("*.txt"))
    inner = [file for file in every if "labels" in file.relative_to(path).parts[:-1]]
    return inner or [file for file in every if file.name not in OTHERS and not file.name.lower().startswith("readme")]


def _picture(file: Path, path: Path, items: Container[str], find: Callable[[str, str], str]) -> str:
    """The picture a file belongs to, without its ending: labels/ stands for images/, or for nothing."""
    parts = file.relative_to(path).with_suffix("").parts
    there = "/".join("images" if part == "labels" else part for part in parts)
    short = "/".join(part for part in parts if part != "labels")
    if there in items or short in items:
        return there if there in items else short
    with contextlib.suppress(DeepenError):
        return find(there, str(file))
    return find(short, str(file))


def _names(path: Path) -> list[str]:
    if (path / "classes.txt").is_file():
        return [line.strip() for line in text_of(path / "classes.txt").splitlines() if line.strip()]
    found = read_yaml(text_of(path / "data.yaml"), str(path / "data.yaml"), numbered=True)
    names = found.get("names") if isinstance(found, dict) else None
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        names = [names[key] for key in sorted(names, key=int)]
    if isinstance(names, list):
        return [str(name) for name in names]
    raise bad(str(path / "data.yaml"), "no list of names", "names: [cat, dog]")


def _things(file: Path, names: list[str]) -> list[dict]:
    things = []
    for number, line in enumerate(text_of(file).splitlines(), 1):
        where, cells = f"{file}:{number}", line.split()
        if not cells:
            continue
        if len(cells) != 5:
            raise bad(where, counted(len(cells), "number"), "class, centre x, centre y, width, height")
        if not cells[0].isdecimal() or len(cells[0]) > MOST_DIGITS or int(cells[0]) >= len(names):
            raise bad(where, f"class {cells[0][:20]}", f"0 to {len(names) - 1}: {', '.join(names)}")
        cx, cy, w, h = numbers(cells[1:], 4, where)
        # a file of six decimals may lie beyond the edge by its own rounding
        box = [_edge(v) for v in (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)]
        things.append({"box": box, "class": names[int(cells[0])]})
    return things


def _edge(value: float) -> float:
    return 0.0 if -1e-6 <= value < 0 else 1.0 if 1 < value <= 1 + 1e-6 else value


def _centred(box: Sequence[float]) -> list[float]:
    x1, y1, x2, y2 = box
    return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]


def _number(value: float) -> str:
    return f"{value:.10f}".rstrip("0").rstrip(".") or "0"
