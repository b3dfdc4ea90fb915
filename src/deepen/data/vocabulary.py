"""A vocabulary that comes with a checkpoint: WordPieces from vocab.txt or tokenizer.json. Torch-free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deepen.errors import DeepenError

FILLS = "[PAD]"
NEEDED = ("[UNK]", "[CLS]", "[SEP]")


def read(folder: str) -> dict[str, Any]:
    """Options for the text encoder's fit: `pieces`, `words` from number 2 on, and `lower`."""
    place = Path(folder)
    try:
        if (place / "vocab.txt").is_file():
            names = (place / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
            lower = _setting(place, "tokenizer_config.json").get("do_lower_case", True)
        else:
            names, lower = _from_json(_setting(place, "tokenizer.json"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise _wrong(folder, f"{type(problem).__name__}: {problem}") from problem
    absent = next((name for name in NEEDED if name not in names[2:]), None)
    if names[:1] != [FILLS] or absent:
        raise _wrong(folder, f"no {absent}" if absent else f"{names[0]!r} comes first, not {FILLS}")
    return {"pieces": "wordpiece", "words": tuple(names[2:]), "lower": bool(lower)}


def _from_json(document: dict[str, Any]) -> tuple[list[str], bool]:
    model = document["model"]
    if model["type"] != "WordPiece":
        raise ValueError(f"a {model['type']} vocabulary")
    names = sorted(model["vocab"], key=model["vocab"].get)
    if [model["vocab"][name] for name in names] != list(range(len(names))):
        raise ValueError("its numbers have gaps")
    return names, (document.get("normalizer") or {}).get("lowercase", True)


def _setting(place: Path, name: str) -> dict[str, Any]:
    file = place / name
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() or name == "tokenizer.json" else {}


def _wrong(folder: str, found: str) -> DeepenError:
    return DeepenError(
        "data.vocabulary", folder, found, "a folder with BERT's vocab.txt, or a tokenizer.json of WordPieces"
    )
