"""A vocabulary that comes with a checkpoint, and how its tokenizer cuts: tokenizer.json, or BERT's and GPT-2's own files.

What is not known here is refused by its name: a text cut otherwise than in the checkpoint's training would be misread.
Torch-free.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deepen.content.given import GIVEN, MARK, Added, Rules
from deepen.content.pieces import FIRST
from deepen.content.spelling import PATTERNS, Step, speller
from deepen.errors import DeepenError, typed

FILLS = "[PAD]"
NEEDED = ("[UNK]", "[CLS]", "[SEP]")
TAKEN = "BERT's vocab.txt, GPT-2's vocab.json and merges.txt, or a tokenizer.json of WordPieces, byte pairs or unigrams"
OTHERWISE = "another checkpoint, or leave out data.vocabulary: pieces are then learnt"
APART = ("<s>", "</s>", "<pad>", "<unk>", "<mask>", "<|endoftext|>")  # those of vocab.json that are no pieces of words
ASKED = {"dropout": "joins left out at random", "continuing_subword_prefix": "a mark within words",
         "end_of_word_suffix": "a mark at the end of words", "byte_fallback": "bytes for what is unknown",
         "fuse_unk": "unknown pieces as one", "ignore_merges": "whole words first"}  # fmt: skip


def read(folder: str) -> dict[str, Any]:
    """Options for the text encoder's fit: `pieces`, `words`, `lower` and, beside WordPieces, `rules`."""
    place = Path(folder)
    try:
        if (place / "vocab.txt").is_file():
            names = _text(place / "vocab.txt").rstrip("\n").split("\n")
            return _bert(folder, names, _setting(place, "tokenizer_config.json").get("do_lower_case", True))
        if (place / "vocab.json").is_file() and not (place / "tokenizer.json").is_file():
            return _gpt2(place)
        document = _setting(place, "tokenizer.json")
        if _kind(document["model"]) == "WordPiece":
            names = _in_order(document["model"]["vocab"])
            return _bert(folder, names, (document.get("normalizer") or {}).get("lowercase", True))
        return _of_json(document)
    except FileNotFoundError as problem:
        trained = next((name.name for name in place.glob("*.model")), "") if place.is_dir() else ""
        way = "write it once with transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        absent = f"no {Path(problem.filename).name}" if place.is_dir() else "no such folder"
        raise _wrong(folder, f"{trained} alone" if trained else absent, way if trained else "") from problem
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as problem:
        said = str(problem) if type(problem) is ValueError else f"{type(problem).__name__}: {problem}"
        said = f"{problem} is missing" if type(problem) is KeyError else said
        raise _wrong(folder, said, OTHERWISE if said.endswith("is not read here") else "") from problem


def _bert(folder: str, names: list[str], lower: Any) -> dict[str, Any]:
    known = names[2:] if "[UNK]" in names[2:] else [*names[2:], *names[1:2]]  # number 1 is what is not known
    absent = next((name for name in NEEDED if name not in known), None)
    if names[:1] != [FILLS] or absent:
        raise _wrong(folder, f"no {absent}" if absent else f"{names[0]!r} comes first, not {FILLS}", "")
    return {"pieces": "wordpiece", "words": tuple(names[2:]), "lower": bool(lower)}


def _gpt2(place: Path) -> dict[str, Any]:
    """vocab.json and merges.txt: RoBERTa's where <s> and </s> are known, else GPT-2's."""
    vocab = _setting(place, "vocab.json")
    lines = _text(place / "merges.txt").split("\n")
    front = _setting(place, "tokenizer_config.json").get("add_prefix_space", False)
    ends = "<s>" in vocab and "</s>" in vocab
    return _of_json({
        "model": {"type": "BPE", "vocab": vocab, "merges": [x for x in lines if x and not x.startswith("#version")]},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": front},
        "post_processor": {
            "type": "RobertaProcessing", "cls": ["<s>", vocab["<s>"]], "sep": ["</s>", vocab["</s>"]]
        } if ends else None,
        "added_tokens": [
            {"content": name, "id": vocab[name], "lstrip": name == "<mask>"} for name in APART if name in vocab
        ],
    })  # fmt: skip


def _of_json(document: dict[str, Any]) -> dict[str, Any]:
    """Byte pairs or unigrams, as tokenizer.json says."""
    model = document["model"]
    kind = {"BPE": "bytelevel", "Unigram": "unigram"}.get(_kind(model))
    if kind is None:
        raise _unknown(f"a {_kind(model)} vocabulary")
    for setting, words in ASKED.items():
        if model.get(setting) and not (setting == "fuse_unk" and model.get("unk_token") is None):
            raise _unknown(f"{words} ({setting})")
    numbers = {name: i for i, (name, _) in enumerate(model["vocab"])} if kind == "unigram" else dict(model["vocab"])
    odd = next((name for name, number in numbers.items() if type(number) is not int), None)
    if odd is not None:
        raise ValueError(f"piece {odd!r} has number {numbers[odd]!r}")
    if kind == "bytelevel" and not model["merges"] and max(map(len, numbers), default=0) > 1:
        raise ValueError("nothing is joined, though there are pieces of several characters")
    size, added = len(numbers), tuple(map(_added, document.get("added_tokens") or ()))
    spelling = tuple(_spelling(document.get("normalizer")))
    speller(spelling)  # a table that is damaged is told now
    rules: dict[str, Any] = {
        "added": added, "spelling": spelling, **_cut(kind, document.get("pre_tokenizer")),
        **_around(document.get("post_processor")),
    }  # fmt: skip
    if kind == "unigram":
        rules["scores"] = tuple(float(score) for _, score in model["vocab"])
        rules["unknown"] = int(model["unk_id"]) + FIRST
    else:
        rules["merges"] = tuple(_pair(one, numbers) for one in model["merges"])
        unknown = model.get("unk_token")
        rules["unknown"] = None if unknown is None else numbers[unknown] + FIRST
    if kind == "unigram" and len(rules["scores"]) != size:
        raise ValueError("a piece that comes twice")
    numbers |= {one.name: one.number - FIRST for one in added}
    if not 0 <= min(numbers.values()) <= max(numbers.values()) < 2 * len(numbers):
        raise ValueError("its numbers have gaps")
    names = [""] * (max(numbers.values()) + 1)
    for name, number in numbers.items():
        if names[number]:
            raise ValueError(f"{names[number]!r} and {name!r} have one number")
        names[number] = name
    made = Rules(**rules)
    GIVEN[kind](names, made)
    return {"pieces": kind, "words": tuple(names), "lower": False, "rules": made}


def _added(one: dict[str, Any]) -> Added:
    if one.get("single_word"):
        raise _unknown(f"{one['content']!r} found between words only (single_word)")
    return Added(
        one["content"], int(one["id"]) + FIRST, bool(one.get("lstrip")), bool(one.get("rstrip")), bool(one.get("normalized"))
    )  # fmt: skip


def _spelling(part: dict[str, Any] | None) -> list[Step]:
    match kind := _kind(part):
        case "":
            return []
        case "Sequence":
            return [step for each in _parts(part, "normalizers") for step in _spelling(each)]
        case "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "StripAccents":
            return [(kind,)]
        case "Strip":
            return [(kind, *("yes" if part[f"strip_{side}"] else "" for side in ("left", "right")))]  # type: ignore[index]
        case "Prepend":
            return [(kind, part["prepend"])]  # type: ignore[index]
        case "Precompiled":
            return [(kind, part["precompiled_charsmap"])] if part["precompiled_charsmap"] else []  # type: ignore[index]
        case "Replace":
            pattern, content = part["pattern"], part["content"]  # type: ignore[index]
            if "String" in pattern:
                return [(kind, pattern["String"], content)]
            if pattern["Regex"] in PATTERNS:
                return [("Pattern", pattern["Regex"], content)]
            raise _unknown(f"the pattern {pattern['Regex']!r} of the normalizer Replace")
    raise _unknown(f"the normalizer {kind}")


def _cut(kind: str, part: dict[str, Any] | None) -> dict[str, Any]:
    """What parts words: ByteLevel for byte pairs; Metaspace for unigrams, WhitespaceSplit before it or not."""
    parts = _parts(part, "pretokenizers") if _kind(part) == "Sequence" else [part] if part else []
    names = [_kind(one) for one in parts]
    if kind == "bytelevel" and names == ["ByteLevel"] and parts[0].get("use_regex", True):
        return {"blank": "always" if parts[0].get("add_prefix_space", True) else "never"}
    if kind == "unigram" and names in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
        found = parts[-1]
        if found.get("replacement", MARK) != MARK:
            raise _unknown(f"the mark {found['replacement']!r} of the pre-tokenizer Metaspace")
        blank = found.get("prepend_scheme") or ("always" if found.get("add_prefix_space", True) else "never")
        return {"blank": blank, "split": bool(found.get("split", True)), "apart": len(parts) == 2}
    wanted = "ByteLevel" if kind == "bytelevel" else "Metaspace"
    raise _unknown(f"the pre-tokenizer {' and '.join(names) or 'that is missing'} (known: {wanted})")


def _around(part: dict[str, Any] | None) -> dict[str, tuple[int, ...]]:
    """The pieces that stand before and behind every text."""
    match kind := _kind(part):
        case "" | "ByteLevel":
            return {}
        case "Sequence":
            found = [around for one in _parts(part, "processors") if (around := _around(one))]
            if len(found) > 1:
                raise _unknown("more than one post-processor that adds pieces")
            return found[0] if found else {}
        case "RobertaProcessing" | "BertProcessing":
            return {"before": (part["cls"][1] + FIRST,), "after": (part["sep"][1] + FIRST,)}  # type: ignore[index]
        case "TemplateProcessing":
            sides: dict[str, list[int]] = {"before": [], "after": []}
            side = "before"
            for one in part["single"]:  # type: ignore[index]
                if "Sequence" in one:
                    side = "after"
                else:
                    ids = part["special_tokens"][one["SpecialToken"]["id"]]["ids"]  # type: ignore[index]
                    sides[side] += [int(number) + FIRST for number in ids]
            return {name: tuple(numbers) for name, numbers in sides.items()}
    raise _unknown(f"the post-processor {kind}")


def _pair(one: Any, numbers: dict[str, int]) -> tuple[str, str]:
    parts = one.split(" ") if isinstance(one, str) else one
    if len(parts) != 2:
        raise ValueError(f"it joins {one!r}, which are not two pieces")
    left, right = parts
    if not {left, right, left + right} <= numbers.keys():
        raise ValueError(f"it joins {left!r} and {right!r}, which it does not know")
    return left, right


def _in_order(vocab: dict[str, int]) -> list[str]:
    names = sorted(vocab, key=lambda name: vocab[name])
    if [vocab[name] for name in names] != list(range(len(names))):
        raise ValueError("its numbers have gaps")
    return names


def _kind(part: dict[str, Any] | None) -> str:
    """The name of a part; of a model, in old files, by what it holds."""
    if not part:
        return ""
    return str(part["type"]) if "type" in part else "BPE" if "merges" in part else "WordPiece"


def _parts(part: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    return list((part or {})[name])


def _setting(place: Path, name: str) -> dict[str, Any]:
    file = place / name
    if not file.is_file() and name != "tokenizer.json":
        return {}
    try:
        found = json.loads(_text(file))
    except json.JSONDecodeError as problem:
        raise ValueError(f"{name} is not JSON ({problem})") from problem
    if not isinstance(found, dict):
        raise ValueError(f"{name} holds {typed(found)}, not an object")
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise ValueError(f"{file.name} is not UTF-8 (byte {problem.start})") from problem


def _unknown(what: str) -> ValueError:
    return ValueError(f"{what} is not read here")


def _wrong(folder: str, found: str, way: str) -> DeepenError:
    return DeepenError("data.vocabulary", folder, found, f"a folder with {TAKEN}", way)
