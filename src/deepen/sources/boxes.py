"""Pictures with boxes around things: a COCO file, YOLO's labels or Pascal VOC's XML files beside the pictures."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deepen import registry
from deepen.annotations import Known, Label, bad, finder, start_of
from deepen.config import begins
from deepen.data.folders import PICTURES, SPLITS, Folder, hashes
from deepen.data.items import Bad, Items
from deepen.errors import DeepenError, Invalid, counted, listed
from deepen.kinds.boxes import Boxes as Kind
from deepen.machine import cores
from deepen.preprocess import image
from deepen.schema import Count

WANTED = "boxes as COCO (*.json), YOLO (data.yaml, labels/*.txt) or Pascal VOC (*.xml) beside the pictures"
FORMS = ("coco", "yolo", "voc")
_PART = re.compile(r"(?:^|[_\W])(train(?:ing)?|valid(?:ation)?|val|test(?:ing)?)\d*(?:$|[_\W])", re.IGNORECASE)


class Boxes:
    """Pictures and the boxes in them, as COCO, YOLO or Pascal VOC have them.

    A picture that a file of labels knows, without any box, is one with nothing in it; one that none knows is without a
    label. A picture one of whose boxes is wrong is set aside with the reason.

    size    pixels of the frame's longer side
    """

    def __init__(self, path: str, size: Count | None = None) -> None:
        self.path, self.size = path, size

    def read(self) -> Items:
        root = Path(self.path)
        if not root.is_dir():
            found = "no such folder" if not root.exists() else "not a folder"
            raise DeepenError("data.path", self.path, found, "a folder of pictures with boxes")
        folder = Folder(root, PICTURES)
        folder.walk()
        pictures = _Pictures(folder)
        labels, part = _labels(root, pictures)
        if not labels and not pictures.bad:
            raise self._without(root, folder)
        pictures.check(labels)
        return self._items(pictures, labels, part)

    def _without(self, root: Path, folder: Folder) -> DeepenError:
        """What lies there though no boxes can be read, and what is lacking."""
        pictures = counted(len(folder.files), "picture")
        stems = {path.stem for path in folder.files}
        texts = [name for name in folder.passed if name.endswith(".txt") and Path(name).stem in stems]
        places = sorted({f"{file.parent.relative_to(root)}/" for file in folder.files if file.parent != root})
        if texts and not _files(root):
            return DeepenError(
                "data.boxes", self.path,
                f"{pictures} and {counted(len(texts), '.txt file')} of their names, but no names of classes",
                "classes.txt (a name a line) or data.yaml (names: [cat, dog]) in it, as YOLO has them",
            )  # fmt: skip
        return DeepenError(
            "data.boxes", self.path, f"{pictures}{f' in {listed(places, 4)}' if places else ''}, no boxes{folder.instead()}",
            WANTED,
            "where its folders are classes after all: data.name=images",
        )  # fmt: skip

    def _items(self, pictures: _Pictures, labels: dict[str, Label], part: dict[str, str]) -> Items:
        kept = [name for name in pictures.files if name not in pictures.bad]
        target = [labels[name].value if name in labels else None for name in kept]
        without, boxes = target.count(None), sum(len(value) for value in target if value is not None)
        notes = [f"{counted(boxes, 'box', 'boxes')} in {counted(len(kept) - without, 'picture')}"]
        if (empty := target.count([])) > 0:
            notes.append(f"{counted(empty, 'picture')} with nothing in it")
        if without:
            notes.append(f"{counted(without, 'picture')} that no file of labels knows: without a label")
        if pictures.cut:
            notes.append(f"{counted(pictures.cut, 'box', 'boxes')} up to a pixel beyond the edge: cut there")
        crowds = sum(bool(thing.get("crowd")) for value in target if value is not None for thing in value)
        if crowds:
            notes.append(f"{counted(crowds, 'crowd')}: neither learnt nor counted against an answer")
        split = [part.get(name) for name in kept]
        return Items(
            ids=kept,
            inputs={"image": [str(pictures.files[name]) for name in kept]},
            encoders={"image": ("image", {"size": self.size})},
            target=target,
            kind="boxes",
            target_name="boxes",
            split=split if "train" in split else None,
            hashes=[pictures.content[name] for name in kept],
            wanted=WANTED,
            bad=[*pictures.folder.bad, *(Bad(name, reason) for name, reason in pictures.bad.items())],
            notes=notes,
        )


class _Pictures:
    """The pictures below a folder, their sizes, and what is wrong with them or their labels."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.files = {folder.name(path): path for path in folder.files}
        self.content = dict(zip(self.files, hashes(folder.files)))
        self.bad = {name: content[1:] for name, content in self.content.items() if content.startswith("!")}
        self.cut = 0
        good = [name for name in self.files if name not in self.bad]
        with ThreadPoolExecutor(cores()) as pool:
            self.sizes = dict(zip(good, pool.map(lambda name: _size(self.files[name]), good)))
        self.bad |= {name: size for name, size in self.sizes.items() if isinstance(size, str)}

    def size(self, name: str) -> tuple[int, int]:
        if name in self.bad:
            raise bad(name, self.bad[name])
        return self.sizes[name]  # type: ignore[return-value]

    def wrong(self, name: str, problem: DeepenError) -> None:
        """Set a picture aside, or what belongs to none; the first reason stays."""
        place = problem.where.rpartition(": ")[2]
        known = place in name or place == problem.where or name in problem.found  # where it is wrong is said already
        self.bad.setdefault(self._below(name), problem.found if known else f"{place}: {problem.found}")

    def _below(self, name: str) -> str:
        """A place in a file of labels, told from the folder on."""
        return name.removeprefix(f"{self.folder.root}/")

    def check(self, labels: dict[str, Label]) -> None:
        """Every label as the kind keeps it; what lies up to a pixel beyond the edge is cut."""
        kind = Kind.named(Kind.names_in([label.value for label in labels.values()]))
        for name, label in list(labels.items()):
            try:
                value = [{**thing, "box": self._within(thing["box"], name)} for thing in label.value]
                labels[name] = label._replace(value=kind.label(value))
            except Invalid as problem:
                self.bad.setdefault(name, problem.reason)

    def _within(self, box: list[float], name: str) -> list[float]:
        width, height = self.size(name)
        near = [v if 0 <= v <= 1 else min(max(v, 0.0), 1.0) if -1 <= v * s <= s + 1 else v
                for v, s in zip(box, (width, height, width, height))]  # fmt: skip
        self.cut += near != box
        return near


def _size(path: Path) -> tuple[int, int] | str:
    """(width, height) of a picture, or why it cannot be told."""
    try:
        (height, width), _ = image.header(path)
    except Invalid as problem:
        return problem.reason
    return width, height


def _labels(root: Path, pictures: _Pictures) -> tuple[dict[str, Label], dict[str, str]]:
    """What all files of labels say, and the part of the split of each picture as far as names tell it."""
    names = list(pictures.files)
    known = Known("boxes", (), names, finder(names), pictures.size, pictures.wrong)
    labels: dict[str, Label] = {}
    part = {name: found for name in names if (found := _part("/".join(name.split("/")[:-1])))}
    for path, form in _files(root):
        for label in form.read(path, known):
            if label.item in labels:
                twice = bad(label.where, f"a label again, after {labels[label.item].where}")
                pictures.wrong(label.item, twice)
            labels[label.item] = label
            told = _part(path.stem) if path.is_file() else ""
            part.update({label.item: told} if told else {})
    for file in root.glob("ImageSets/Main/*.txt"):  # Pascal VOC's own lists
        if file.stem in SPLITS:
            stems = set(file.read_text(encoding="utf-8", errors="replace").split())
            part.update({name: SPLITS[file.stem] for name in names if Path(name).stem in stems})
    return labels, part


def _files(root: Path) -> list[tuple[Path, Any]]:
    """Files and folders of labels with their form: every COCO file, or else the folder as a whole."""
    coco, *others = (registry.load("annotations", name)() for name in FORMS)
    files = sorted(
        p for p in root.rglob("*.json") if not any(part.startswith(".") for part in p.relative_to(root).parts)
    )
    found = [(file, coco) for file in files if coco.recognises(file) or _cut_off(file)]
    return found or [(root, form) for form in others if form.recognises(root)][:1]


def _cut_off(file: Path) -> bool:
    """Whether a file begins as COCO and is no whole JSON: reading it says where it ends."""
    return begins(file, rb'"annotations"\s*:') and start_of(file) is None


def _part(name: str) -> str:
    """The part of a split in a name such as instances_val2017 or valid/images."""
    found = _PART.search(name)
    return SPLITS[found[1].lower()] if found else ""
