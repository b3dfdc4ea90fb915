"""A long text, or several: a .txt file (.gz, .xz) or a folder of them, read on to foretell each piece from those before.

    item i    pieces i c ... i c + c: c of them to foretell, each from those before it in the item

Items follow each other without a gap and share the piece at their border, which one foretells and the next begins with.
They are split by place: the end of the text, which training never reads, is held out.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepen.data.items import Bad, Items
from deepen.data.split import PARTS
from deepen.errors import DeepenError, counted
from deepen.schema import Count, Natural, NonNegative

ENDINGS = (".txt", ".txt.gz", ".txt.xz")
CHARACTERS = {"character": 1, "bytepair": 4, "word": 6}  # that a piece stands for, about
MANY = 20  # items that a short text is better cut into
LARGEST = 1 << 30  # bytes of all texts together


class Text:
    """A text to go on with: a .txt file (.gz, .xz), or a folder of them.

    pieces       what a text is cut into
    context      pieces that are seen before one is foretold, at most
    most         pieces in the vocabulary
    at_least     times that a piece must occur in the training part to be in it
    lower        capital letters count as small ones
    write        pieces that an answer goes on with
    temperature  of what is drawn; 0: always the likeliest
    top          the likeliest pieces that are drawn from; none: all
    seed         of what is drawn: the same beginning goes on in the same way
    """

    method = "next_token"

    def __init__(
        self,
        path: str,
        pieces: Literal["word", "character", "bytepair"] = "character",
        context: Count = 128,
        most: Count = 5_000,
        at_least: Count = 1,
        lower: bool = False,
        write: Count = 100,
        temperature: NonNegative = 0.8,
        top: Count | None = None,
        seed: Natural = 0,
    ) -> None:
        self.path, self.pieces, self.context = path, pieces, context
        vocabulary = {"pieces": pieces, "most": most, "at_least": at_least, "lower": lower, "longest": context + 1}
        self.encoder: dict[str, Any] = {**vocabulary, "newest": True}
        self.kind = {**vocabulary, "write": write, "temperature": temperature, "top": top, "seed": seed}

    def read(self) -> Items:
        texts, ids, spans, bad = [], [], [], []
        before = 0
        files, notes = self._files()
        for file in files:
            whole, reason = _read(file)
            name = file.relative_to(self.path).as_posix() if file != Path(self.path) else file.name
            if reason:
                bad.append(Bad(name, reason))
            for start, stop in self._cuts(whole):
                if not whole[start:stop].strip():
                    bad.append(Bad(f"{name}:{start}", "only blanks"))
                    continue
                texts.append(whole[start:stop])
                ids.append(f"{name}:{start}")
                spans.append((before + start + 1, before + stop - 1))
            before += len(whole) + 1
        if not texts:
            raise DeepenError(
                "data.empty", self.path, bad[0].reason if bad else "no text", "a text in UTF-8, longer than the context"
            )
        if len(texts) < len(PARTS):
            length = spans[-1][1] + 1
            raise DeepenError(
                "data.text", self.path, f"{length:,} characters: {counted(len(texts), 'item')} of {self.context} pieces",
                "at least one to train, one to validate and one to test",
                f"a longer text, or data.context={max(1, length // MANY)}",
            )  # fmt: skip
        column = np.empty(len(texts), object)
        column[:] = texts
        return Items(
            ids=ids,
            inputs={"text": column},
            encoders={"text": ("text", self.encoder)},
            target=texts,
            kind="tokens",
            crossed=False,  # each fold would have pieces of its own
            options=self.kind,
            target_name="next",
            spans=np.array(spans, np.float64),
            bad=bad,
            notes=notes,
        )

    def _files(self) -> tuple[list[Path], list[str]]:
        place = Path(self.path)
        if not place.exists():
            raise DeepenError("data.path", self.path, "nothing there", "a .txt file, or a folder of them")
        every = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
        found = [p for p in every if p == place or p.name.lower().endswith(ENDINGS)]
        size = sum(file.stat().st_size for file in found)
        if size > LARGEST:
            raise DeepenError("data.text", self.path, f"{size >> 20} MB", f"at most {LARGEST >> 20}", "a part of it")
        others = [p.relative_to(place).as_posix() for p in every if p not in found and not p.name.startswith(".")]
        notes = [f"passed over {counted(len(others), 'file')}, first {others[0]}: no .txt"] if others else []
        return found, notes

    def _cuts(self, whole: str) -> list[tuple[int, int]]:
        """Where items begin and end. Single characters are cut to measure; other pieces behind a blank, about as long."""
        step, found, start = self.context * CHARACTERS[self.pieces], [], 0
        while start + 1 < len(whole):
            stop = min(start + step + 1, len(whole))
            if self.pieces != "character" and stop < len(whole):
                blank = max(whole.rfind(mark, start + step // 2, stop) for mark in " \n")
                stop = blank + 1 if blank > start else stop
            found.append((start, stop))
            start = stop - (1 if self.pieces == "character" else 0)
        return found


def _read(file: Path) -> tuple[str, str]:
    """A file's text, lines ending as on Unix, and why there is none."""
    text, reason = unpacked(file)
    text = text.replace("\r\n", "\n")
    if reason:
        return "", reason
    if "\0" in text:
        return "", f"NUL characters: not a text ({counted(text.count(chr(0)), 'time')})"
    return text, "" if len(text) > 1 else "no text"


def unpacked(file: Path) -> tuple[str, str]:
    """A file's text as it stands there (.gz and .xz unpacked), and why there is none."""
    lower = file.name.lower()
    opener: Any = gzip.open if lower.endswith(".gz") else lzma.open if lower.endswith(".xz") else open
    try:
        with opener(file, "rb") as stream:
            data = stream.read(LARGEST + 1)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        return "", f"not UTF-8 (byte {problem.start:,})"
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as problem:
        return "", getattr(problem, "strerror", None) or str(problem)
    return (text, "") if len(data) <= LARGEST else ("", f"more than {LARGEST >> 20} MB unpacked")
