"""A table whose columns hold different things: names of pictures and sounds, texts, vectors, numbers, categories.

Each column of files, texts or vectors (lists of as many numbers) is an input of its own; all others together are one more, the row. An empty cell is an
input that the item lacks.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepen import registry
from deepen.content.scripts import pieces
from deepen.data import folders, tables
from deepen.data.columns import TYPES, Column, Found, files_in, infer, options
from deepen.data.items import Bad, Items, words
from deepen.data.targets import answers_of, kind_of, silent
from deepen.errors import DeepenError, command, counted, unknown
from deepen.preprocess.row import Rows, shown
from deepen.schema import Count, Positive

ROW = "row"  # the input that all other columns make up
KINDS = ("classes", "number", "labels", "transcript")
OWN = ("image", "audio", "text", "array")  # types of columns that are inputs of their own: their encoders' names


class Mixed:
    """Column types are inferred and shown; `types` overrules them ({note: text, photo: image}), `drop` leaves columns out.

    target   the column to predict, or several
    test     a second file with the same columns, kept for the test
    kind     of answer; of several targets by name: {price: number}; transcript: what is said in a sound
    folder   where the files' names begin; none: where the table lies
    size     of pictures, pixels a side
    seconds  of sounds
    longest  words of a text
    beam     beginnings of a transcript that are followed; 1: the likeliest path alone
    """

    def __init__(
        self,
        path: str,
        target: tuple[str, ...] | None = None,
        test: str | None = None,
        kind: Literal["classes", "number", "labels", "transcript"] | dict[str, str] | None = None,
        types: dict[str, str] | None = None,
        drop: tuple[str, ...] = (),
        folder: str | None = None,
        size: Count | None = None,
        seconds: Positive | None = None,
        longest: Count = 256,
        beam: Count = 1,
        delimiter: str | None = None,
    ) -> None:
        self.path, self.target, self.test, self.kind = path, target, test, kind
        self.types, self.drop, self.delimiter = types or {}, drop, delimiter
        self.beam = beam
        self.folder = Path(folder) if folder else Path(path).parent
        self.options: dict[str, dict[str, Any]] = {
            "image": {"size": size},
            "audio": {"seconds": seconds},
            "text": {"longest": longest},
            "array": {},
        }

    def read(self) -> Items:
        whole, ids, split = tables.read_both(self.path, self.test, self.delimiter)
        table = dict(zip(whole.names, whole.columns))
        targets = self._targets([*whole.names, *whole.vectors])
        columns = {name: Column.of(name, cells) for name, cells in table.items() if name not in self.drop}
        answers = {name: columns.pop(name) for name in targets}
        kinds = {name: self._kind(answer) for name, answer in answers.items()}
        found = self._types(columns, whole.notes)
        given = {name: infer(answer, "number") for name, answer in answers.items() if kinds[name] == "number"}
        vectors = {name: values for name, values in whole.vectors.items() if name not in self.drop}
        found |= dict.fromkeys(vectors, Found("array"))
        whole.notes = [note for note in whole.notes if note not in map(tables.no_lists, vectors)]
        sound = self._sound_alone(found) if "transcript" in kinds.values() else None
        inputs, hashes, reasons = self._inputs(table, found, vectors, len(ids))
        for place, value in enumerate(inputs[sound] if sound else ()):
            reasons[place] = f"no {sound}" if value is None else reasons[place]
        for name, what in ({n: f for n, f in found.items() if f.kind not in OWN} | given).items():
            wanted = "a number" if what.kind == "number" else "a date"
            for row in np.flatnonzero(what.wrong):
                reasons[row] = reasons[row] or f"column {name!r} holds {shown(table[name][row])}, not {wanted}"
        good = np.flatnonzero([not reason for reason in reasons])
        values = _values(answers, kinds, given, whole.notes)
        for name in targets:
            whole.notes += silent(name, table[name])
        rest = [name for name, what in found.items() if what.kind not in OWN]
        encoders: dict[str, tuple[str, dict[str, Any]]] = {
            name: (
                what.kind,
                {**self.options[what.kind], **(_text(name, columns[name]) if what.kind == "text" else {})},
            )
            for name, what in found.items()
            if what.kind in OWN
        }
        if rest:
            encoders[ROW] = ("row", options({name: found[name] for name in rest}))
        return Items(
            ids=[ids[i] for i in good],
            inputs={
                name: values[good] if isinstance(values, Rows) else _take(values, good)
                for name, values in inputs.items()
            },
            encoders=encoders,
            target=[_one([each[i] for each in values], targets) for i in good],
            kind=kinds[targets[0]] if len(targets) == 1 else "several",
            options=self._for_kind(kinds, values, good),
            target_name=", ".join(targets),
            split=[split[i] for i in good] if split else None,
            columns=Rows({name: column[good] for name, column in table.items() if name not in targets}),
            hashes=[hashes[i] for i in good],
            bad=whole.bad + [Bad(name, reason) for name, reason in zip(ids, reasons) if reason],
            notes=whole.notes,
        )

    def _for_kind(self, kinds: dict[str, str], values: list[list[Any]], rows: np.ndarray) -> dict[str, Any]:
        """What the kind of answer needs to be fitted."""
        if len(kinds) > 1:
            return {"kinds": _to_fit(kinds, values, rows)}
        return {"beam": self.beam} if "transcript" in kinds.values() else {}

    # ---------------------------------------------------------------- columns

    def _targets(self, names: list[str]) -> tuple[str, ...]:
        if not self.target:
            raise DeepenError(
                "data.target",
                self.path,
                "which column to predict is not said",
                f"one of {', '.join(names[:30])}{', ...' if len(names) > 30 else ''}",
                command("train", self.path, f"target={names[-1]}"),
            )
        for field, given in (("target", self.target), ("drop", self.drop), ("types", self.types)):
            for column in given:
                if column not in names:
                    raise unknown("data.column", f"data.{field}", column, names, what="column")
        for column, wanted in self.types.items():
            if wanted not in {*TYPES, *OWN}:
                raise DeepenError(
                    "data.types", f"data.types.{column}", f"got {wanted!r}", f"one of {', '.join((*TYPES, *OWN))}"
                )
        for column in self.kind if isinstance(self.kind, dict) else ():
            if column not in self.target:
                raise unknown("data.kind", "data.kind", column, self.target, what="target")
        return tuple(dict.fromkeys(self.target))

    def _kind(self, answer: Column) -> str:
        if not answer.distinct:
            raise DeepenError(
                "data.target", f"{self.path}: column {answer.name!r}", "every row lacks it", "the answers to learn from"
            )
        said = self.kind.get(answer.name) if isinstance(self.kind, dict) else self.kind
        if said and said not in KINDS:
            raise DeepenError("data.kind", f"data.kind.{answer.name}", f"got {said!r}", f"one of {', '.join(KINDS)}")
        return said or kind_of(answer, self.path)

    def _sound_alone(self, found: dict[str, Found]) -> str:
        """The one column that a transcript is of."""
        sounds = [name for name, what in found.items() if what.kind == "audio"]
        others = [name for name in found if name not in sounds[:1]]
        if not sounds or others:
            raise DeepenError(
                "data.transcript", self.path, f"columns {', '.join(found)}", "one column of sounds to tell what is said",
                f"data.drop=[{', '.join(others)}]" if sounds else "",
            )  # fmt: skip
        return sounds[0]

    def _types(self, columns: dict[str, Column], notes: list[str]) -> dict[str, Found]:
        """What each column to learn from holds; what was left out is noted with the reason."""
        found = {}
        for name, column in columns.items():
            wanted = self.types.get(name)
            own = wanted if wanted in OWN else None if wanted else files_in(column)
            what = Found(own) if own else infer(column, wanted)
            if what.kind == "drop":
                notes += [f"column {name!r} left out: {what.reason}"] if what.reason else []
                continue
            found[name] = what
            notes += [f"column {name!r}: {note}" for note in what.notes]
        if not found:
            raise DeepenError(
                "data.columns", self.path, "no column to learn from is left", "at least one beside the target",
                "say what a column is: data.types={name: image} (or audio, text, number, category, date)",
            )  # fmt: skip
        if ROW in found and found[ROW].kind in OWN:
            raise DeepenError("data.columns", self.path, f"a column is called {ROW!r}", "another name for it")
        return found

    def _inputs(
        self, table: dict[str, np.ndarray], found: dict[str, Found], vectors: dict[str, Any], count: int
    ) -> tuple[dict[str, Any], list[str], list[str]]:
        """Raw values by input, a hash of each item's content, and why an item is set aside (or nothing)."""
        reasons = [""] * count
        content = [hashlib.blake2b(digest_size=16) for _ in range(count)]
        inputs: dict[str, Any] = {}
        for name, what in found.items():
            if what.kind not in OWN:
                continue
            column = Column.of(name, table[name]) if name in table else None
            texts = [column.texts[code] for code in column.codes.tolist()] if column else []
            if what.kind == "array":
                values, marks = vectors[name], [repr(value) for value in vectors[name]]
            elif what.kind == "text":
                values, marks = texts, [text or "" for text in texts]
            else:
                values = [None if text is None else str(self.folder / text) for text in texts]
                marks = _marks([value for value in values if value is not None], values)
                self._some_there(name, values, marks)
            for row, mark in enumerate(marks):
                if mark.startswith("!") and what.kind in {"image", "audio"}:
                    reasons[row] = reasons[row] or f"{name} {shown(texts[row])}: {mark[1:]}"
                content[row].update(mark.encode() + b"\0")
            inputs[name] = values
        rest = [name for name, what in found.items() if what.kind not in OWN]
        if rest:
            inputs[ROW] = Rows({n: found[n].values if found[n].kind == "number" else table[n] for n in rest})
            for row, cells in enumerate(np.ascontiguousarray(words(inputs[ROW]))):
                content[row].update(cells)
        return inputs, [mark.hexdigest() for mark in content], reasons

    def _some_there(self, name: str, files: list[str | None], marks: list[str]) -> None:
        """Names that begin elsewhere are told once, not as many bad items."""
        given = [file for file in files if file is not None]
        if given and all(mark[:1] in ("", "!") for mark in marks) and not any(map(os.path.lexists, given)):
            raise DeepenError(
                "data.files", f"{self.path}: column {name!r}",
                f"none of {counted(len(given), 'file')} is there, such as {given[0]}",
                f"names that begin in {self.folder}", "say where they begin: data.folder=FOLDER",
            )  # fmt: skip


def _text(name: str, column: Column) -> dict[str, Any]:
    """What the encoder of a column of texts is told of it."""
    return {"columns": (name,), "pieces": pieces(column.distinct)}


def _marks(files: list[str], values: list[str | None]) -> list[str]:
    """A hash of each file's content, "!" and a reason where there is none, nothing where there is no file."""
    known = dict(zip(files, folders.hashes([Path(file) for file in files])))
    return ["" if value is None else known[value] for value in values]


def _values(
    answers: dict[str, Column], kinds: dict[str, str], given: dict[str, Found], notes: list[str]
) -> list[list[Any]]:
    """Raw answers by target: numbers, classes, or texts."""
    result: list[list[Any]] = []
    for name, answer in answers.items():
        texts, more = answers_of(answer, kinds[name])
        result.append(given[name].values.tolist() if name in given else texts)
        notes += more
    return result


def _to_fit(kinds: dict[str, str], values: list[list[Any]], rows: np.ndarray) -> dict[str, Any]:
    """By target what fits itself to the training answers, or what is known of all of them."""
    result = {}
    for (name, kind), own in zip(kinds.items(), values):
        if kind not in {"classes", "labels", "number"}:
            raise DeepenError("data.kind", f"data.kind.{name}", f"got {kind!r}", "classes, labels or number")
        found = registry.load("kinds", kind)
        result[name] = found if found.fitted == "train" else found.fit([own[i] for i in rows], name)
    return result


def _one(values: list[Any], targets: tuple[str, ...]) -> Any:
    return values[0] if len(targets) == 1 else dict(zip(targets, values))


def _take(values: list[Any], rows: np.ndarray) -> list[Any]:
    return [values[i] for i in rows]
