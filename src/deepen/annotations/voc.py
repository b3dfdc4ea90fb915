"""Pascal VOC: a folder of XML files, one for each picture, boxes as xmin, ymin, xmax, ymax in pixels.

Differs  edges lie between pixels and begin at 0, as most tools have it now; the first VOC tools counted pixels from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from xml.parsers import expat
from xml.sax.saxutils import escape

from deepen.annotations import Known, Label, bad, boxes_of, numbers, pixels, share
from deepen.errors import DeepenError

SIDES = ("xmin", "ymin", "xmax", "ymax")
LARGEST = 64 << 20  # bytes of a picture's file
DEEPEST = 50  # elements inside each other


class Voc:
    """Pascal VOC: an XML file of boxes for each picture."""

    kinds: ClassVar[tuple[str, ...]] = ("boxes",)
    each: ClassVar[bool] = False

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and any(path.rglob("*.xml"))

    def read(self, path: Path, known: Known) -> list[Label]:
        found: dict[str, Label] = {}
        for file in sorted(path.rglob("*.xml")):
            try:
                label = _picture(file, known)
                if label.item in found:
                    raise bad(
                        str(file), f"{label.item} again, after {found[label.item].where}", "one file for each picture"
                    )
                found[label.item] = label
            except DeepenError as problem:
                known.wrong(_named(file, known), problem)
        return list(found.values())

    def write(self, labels: Sequence[Label], known: Known) -> dict[str, str]:
        files: dict[str, str] = {}
        for label in labels:
            name = str(PurePosixPath(label.item).with_suffix(".xml"))
            if name in files:
                raise bad(
                    label.item,
                    f"another item is {name} too",
                    "items that differ in more than their ending",
                    "export another form",
                )
            files[name] = _xml(label, *known.size(label.item))
        return files


def _xml(label: Label, width: int, height: int) -> str:
    lines = [
        "<annotation>",
        f" <filename>{escape(label.item)}</filename>",
        f" <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
    ]
    for box, name in boxes_of(label.value):
        sides = [
            pixels(v * size, lambda p, v=v, size=size: share(p, size) == v)  # type: ignore[misc]
            for v, size in zip(box, (width, height, width, height))
        ]
        edges = "".join(f"<{side}>{value}</{side}>" for side, value in zip(SIDES, sides))
        lines.append(f" <object><name>{escape(name)}</name><bndbox>{edges}</bndbox></object>")
    return "\n".join([*lines, "</annotation>", ""])


def _named(file: Path, known: Known) -> str:
    """The item a file of labels belongs to, for who is told that it is wrong; else the file."""
    try:
        return known.find(parse(file).text("filename") or file.stem, str(file))
    except DeepenError:
        return str(file)


def _picture(file: Path, known: Known) -> Label:
    root = parse(file)
    name = root.text("filename") or file.stem
    item = known.find(name, str(file))
    width, height = known.size(item)
    size = root.first("size")
    if size is not None:
        stated = tuple(int(v) for v in numbers([size.text("width"), size.text("height")], 2, f"{file}: size"))
        if stated not in {(width, height), (0, 0)}:
            raise bad(str(file), f"{stated[0]} x {stated[1]} pixels", f"{width} x {height}, as the picture has upright")
    things = []
    for i, thing in enumerate(root.all("object"), 1):
        where, edges = f"{file}: object {i}", thing.first("bndbox")
        if edges is None:
            raise bad(where, "no bndbox", "a box for each object")
        corners = numbers([edges.text(side) for side in SIDES], 4, where)
        box = [share(v, s) for v, s in zip(corners, (width, height, width, height))]
        things.append({"box": box, "class": thing.text("name")})
    return Label(item, things, "", str(file))


class Element:
    """An XML element: its name, its text and the elements in it."""

    def __init__(self, name: str) -> None:
        self.name, self.parts, self.inside = name, list[str](), list["Element"]()

    def all(self, name: str) -> list[Element]:
        return [element for element in self.inside if element.name == name]

    def first(self, name: str) -> Element | None:
        return next(iter(self.all(name)), None)

    def text(self, name: str) -> str:
        found = self.first(name)
        return "" if found is None else "".join(found.parts).strip()


def parse(file: Path) -> Element:
    """The root of an XML file. A document type is refused, and with it every entity it could declare."""
    parser = expat.ParserCreate()
    top = Element("")
    stack = [top]

    def begin(name: str, _: Any) -> None:
        if len(stack) > DEEPEST:
            raise bad(str(file), "nested too deeply", "a VOC file")
        element = Element(name)
        stack[-1].inside.append(element)
        stack.append(element)

    def more(text: str) -> None:
        stack[-1].parts.append(text)

    def refuse(*_: Any) -> None:
        raise bad(str(file), "a document type", "plain XML without a document type and entities")

    parser.StartElementHandler, parser.CharacterDataHandler = begin, more
    parser.EndElementHandler = lambda _: stack.pop()
    parser.StartDoctypeDeclHandler = refuse
    try:
        if file.stat().st_size > LARGEST:
            raise bad(str(file), f"{file.stat().st_size >> 20} MB", f"at most {LARGEST >> 20}")
        parser.Parse(file.read_bytes(), True)
    except (expat.ExpatError, LookupError, ValueError) as problem:  # an encoding nobody knows, or of several bytes
        raise bad(str(file), f"not XML ({problem})", "a VOC file") from problem
    except OSError as problem:
        raise bad(str(file), problem.strerror or str(problem), "a readable file") from problem
    return top.inside[0]
