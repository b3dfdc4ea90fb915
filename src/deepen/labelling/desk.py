"""What annotators do, apart from how bytes travel: take an item, answer, skip, undo, add a class.

An item goes out under a handle, its row and the beginning of its content's hash; nothing a page sends is ever a path.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from deepen.data.items import Items
from deepen.errors import DeepenError, Invalid
from deepen.labelling import agreement
from deepen.labelling.progress import Progress
from deepen.preprocess import image
from deepen.preprocess.row import text_or_none
from deepen.store.dataset import Dataset, New
from deepen.store.queue import Queue

LONGEST_NAME = 100  # characters of a class or of an annotator
TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}  # what browsers show

Suggest = Callable[[int], Any]  # row -> (raw label, share of certainty or None), or None


class File(NamedTuple):
    type: str
    data: bytes


class Desk:
    """Labelling of one dataset.

    marks    the content of each item (data/labels.py)
    kind     of answer, before its names: the class of a file in kinds/
    rows     to ask about, the most wanted first
    times    how many people are to answer each
    suggest  what a model says of a row
    """

    def __init__(
        self,
        dataset: Dataset,
        items: Items,
        marks: Sequence[str],
        kind: Any,
        rows: Sequence[int],
        times: int = 1,
        suggest: Suggest | None = None,
        title: str = "",
    ) -> None:
        self.dataset, self.items, self.marks, self.kind_class = dataset, items, marks, kind
        self.rows = {items.ids[row]: row for row in rows}
        self.contents = {items.ids[row]: marks[row] for row in rows}
        self.times, self.suggest, self.title = times, suggest, title
        self.order = [items.ids[row] for row in rows]
        self._progress = Progress(self.contents, times, kind)

    @property
    def order(self) -> Sequence[str]:
        """The items to ask about, the most wanted first."""
        return self._queue.order

    @order.setter
    def order(self, items: Sequence[str]) -> None:
        self._queue = Queue(items, self.times, self.contents)

    @property
    def names(self) -> list[str]:
        return list(self.dataset.info.get("names", []))

    @property
    def kind(self) -> Any:
        return self.kind_class.named(self.names)

    # ---------------------------------------------------------------- what a page asks for

    def about(self) -> dict[str, Any]:
        """What the page needs before the first item."""
        return {
            "title": self.title,
            "target": self.items.target_name,
            "widget": self.kind_class.widget,
            "names": self.names,
            "times": self.times,
        }

    def next(self, holder: str, annotator: str, skipped: bool = False) -> dict[str, Any]:
        """The next item for an annotator's page, or none; and how far the work is."""
        self._named(annotator)
        found = self.dataset.reserve(self._queue, holder, annotator, skipped)
        item = None if found is None else self._item(self.rows[found])
        return {"item": item, **self._state(annotator)}

    def answer(self, key: str, holder: str, annotator: str, item: str, value: Any = None, skip: bool = False) -> dict:
        """Keep a label, or that it was skipped; it is on the disk when this returns."""
        self._named(annotator)
        row = self._row(item)
        label = None if skip else self.kind.label(value)
        self.dataset.write([self._act(key, row, annotator, label, "skip" if skip else "label")])
        return self.next(holder, annotator)

    def undo(self, key: str, holder: str, annotator: str) -> dict[str, Any]:
        """Take back the annotator's last act on what is asked here; its item is shown again with what stood there."""
        act = self.dataset.undo(key, annotator, self.contents)
        if act is None:
            return {**self.next(holder, annotator), "undone": None}
        self.dataset.hold(act.item, holder)
        item = {**self._item(self.rows[act.item]), "before": act.value}
        return {"item": item, **self._state(annotator), "undone": act.action}

    def beat(self, holder: str, item: str) -> dict[str, Any]:
        """A sign of life of a page that shows an item."""
        self.dataset.hold(self.items.ids[self._row(item)], holder)
        return {}

    def leave(self, holder: str) -> dict[str, Any]:
        """The page was closed: its item is free for others."""
        self.dataset.release(holder)
        return {}

    def add(self, name: str) -> dict[str, Any]:
        """One more class."""
        name = checked_name(name)
        self.kind_class.named([name])
        if self.kind_class.widget != "number":
            twin = next((n for n in self.names if n != name and n.lower() == name.lower()), None)
            if twin is not None:
                raise Invalid(f"class {name!r} beside {twin!r}", "names that differ in more than case")
            self.dataset.add_names(name)
        return {"names": self.names}

    def progress(self, annotator: str) -> dict[str, Any]:
        self._progress.see(self.dataset.now())
        return self._progress.of(annotator)

    def agreement(self) -> dict[str, Any]:
        """How far those who labelled the same items agree."""
        labels = [{act.annotator: act.value for act in acts} for acts in self.dataset.now().labels().values()]
        return agreement.summary(labels, self.kind.distance)

    def file(self, item: str) -> File:
        """An item's picture or sound as a browser can show it."""
        value = self.items.raw([self._row(item)])[0]
        if self._of("audio"):
            with open(value, "rb") as file:
                return File("audio/wav", file.read())
        value = value["image"] if isinstance(value, dict) else value
        if isinstance(value, np.ndarray):
            return File("image/png", image.png(value))
        picture = image.open_picture(value)
        if picture.format in TYPES:
            with open(value, "rb") as file:
                return File(TYPES[picture.format], file.read())
        buffer = io.BytesIO()
        image.flatten(picture, picture.size).save(buffer, "PNG")
        return File("image/png", buffer.getvalue())

    # ---------------------------------------------------------------- parts

    def _state(self, annotator: str) -> dict[str, Any]:
        """How far the work is, and how many classes there are by now: others add some too."""
        return {"progress": self.progress(annotator), "classes": len(self.names)}

    def _act(self, key: str, row: int, annotator: str, value: Any, action: str) -> New:
        return New(key, self.items.ids[row], self.marks[row], annotator, value, action)

    def _named(self, annotator: str) -> None:
        if not annotator.strip() or len(annotator) > LONGEST_NAME or not annotator.isprintable():
            raise Invalid(f"annotator {annotator[:LONGEST_NAME]!r}", "a name")

    def _row(self, handle: str) -> int:
        """The row behind a handle; an item that is another one now is not taken for it."""
        row, _, mark = handle.partition("-")
        number = int(row) if row.isascii() and row.isdigit() and len(row) < 10 else len(self.items)
        if number < len(self.items) and self.items.ids[number] in self.rows and self.marks[number][:16] == mark:
            return number
        raise DeepenError("label.item", "item", "it is not there any more", "an item of this data", "reload the page")

    def _item(self, row: int) -> dict[str, Any]:
        found = {"item": f"{row}-{self.marks[row][:16]}", "id": self.items.ids[row], **self._shown(row)}
        if self.suggest is not None:
            with contextlib.suppress(Invalid):
                value, share = self.suggest(row)
                found |= {"suggestion": self.kind.label(value), "share": share}
        return found

    def _shown(self, row: int) -> dict[str, Any]:
        """What there is to see of an item: a picture or a sound to be fetched, and cells."""
        encoders = {name: encoder for name, (encoder, _) in self.items.encoders.items()}
        cells = []
        for name, encoder in encoders.items():
            if encoder == "row":
                columns = self.items.columns.columns or self.items.inputs[name].columns
                cells += [[column, cell_text(values[row])] for column, values in columns.items()]
            elif encoder not in {"image", "audio"}:
                cells.append([name, cell_text(self.items.inputs[name][row])])
        return {"picture": self._of("image"), "sound": self._of("audio"), "cells": cells}

    def _of(self, encoder: str) -> bool:
        """Whether the items hold what an encoder of this name reads."""
        return encoder in {name for name, _ in self.items.encoders.values()}


def cell_text(value: Any) -> str:
    """A value for a person's eye."""
    if isinstance(value, np.ndarray):
        shown = ", ".join(f"{v:.4g}" for v in value.ravel()[:64].tolist())
        return shown + (f", ... ({value.size} values)" if value.size > 64 else "")
    return "" if value is None else str(value)


def checked_name(name: Any) -> str:
    """The name of a class; Invalid where it could be taken for something else."""
    if not isinstance(name, str) or not name.isprintable() or len(name) > LONGEST_NAME or text_or_none(name) is None:
        raise Invalid(f"name {str(name)[:LONGEST_NAME]!r}", f"a text of at most {LONGEST_NAME} characters")
    return name.strip()
