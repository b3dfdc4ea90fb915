"""Spelling before texts are cut: by hand, and against the tokenizers library over characters of all of Unicode."""

from __future__ import annotations

import base64
import sys
from collections import defaultdict

import pytest

from deepen.content.spelling import Table, clusters, speller


def table(found: dict[str, str]) -> bytes:
    """A double array for the replacements, each state where there is room first."""
    children: dict[bytes, set[int]] = defaultdict(set)
    values, texts = {}, b""
    for key, value in found.items():
        name = key.encode()
        values[name], texts = len(texts), texts + value.encode() + b"\0"
        for end in range(len(name)):
            children[name[:end]].add(name[end])
    units, used, todo = [0] * (1 << 16), {0}, [(b"", 0)]
    while todo:
        name, at = todo.pop()
        labels = [*children[name], *([0] if name in values else [])]
        offset = next(o for o in range(1, 1 << 15) if all((at ^ o ^ label) not in used for label in labels))
        units[at] |= offset << 10 | (1 << 8 if name in values else 0)
        for label in labels:
            place = at ^ offset ^ label
            used.add(place)
            units[place] = label if label else values[name] | 1 << 31
            if label:
                todo.append((name + bytes([label]), place))
    data = b"".join(unit.to_bytes(4, "little") for unit in units[: 1 << max(9, max(used).bit_length())])
    return len(data).to_bytes(4, "little") + data + texts


FOUND = {
    "\u2460": "1",
    "\r": " ",
    "\t": " ",
    "\u200b": "",
    "e\u0301": "\u00e9",
    "\ufb01": "fi",
    "a\u0300x": "never",
    "\u3000": " ",
}


def test_the_table_replaces_the_shortest_beginning_of_what_is_seen_as_one():
    spelled = Table(table(FOUND)).spelled
    assert spelled("\u2460\tx\u200by\ufb01") == "1 xyfi"
    assert spelled("e\u0301 e") == "\u00e9 e"
    assert spelled("\r\n\r") == "  "  # an end of line is one
    assert (
        spelled("\u2460\u0301z") == "1z"
    )  # 5 bytes: what follows the beginning is lost, as SentencePiece's users have it
    assert spelled("\u2460\u0301\u0301") == "1\u0301\u0301"  # 7 bytes: character by character
    assert spelled("a\u0300") == "a\u0300"
    assert spelled("\0\ud800") == "\0\ud800"


@pytest.mark.parametrize("data", [b"", b"\4\0\0\0", b"\5\0\0\0aaaaaaa", b"\xff\0\0\0aaaa"])
def test_a_damaged_table_is_told(data):
    with pytest.raises(ValueError, match="cut off"):
        Table(data)


def test_a_table_that_leads_nowhere_replaces_nothing():
    assert Table(b"\4\0\0\0" + b"\xff" * 4).spelled("abc") == "abc"


def test_what_is_seen_as_one():
    assert list(clusters("ae\u0301\r\n\u0e01\u0e33\u0600a \u0301\n\u0301")) == [
        "a", "e\u0301", "\r\n", "\u0e01\u0e33", "\u0600a", " \u0301", "\n", "\u0301"
    ]  # fmt: skip
    assert list(clusters("")) == []


@pytest.mark.parametrize(
    ("steps", "given", "wanted"),
    [
        ([("Lowercase",)], "ΑΣ İ", "ας i̇".replace("ς", "σ")),
        ([("NFKD",), ("StripAccents",)], "Éﬁ½", "Efi1\u20442"),
        ([("NFC",)], "e\u0301", "é"),
        ([("Strip", "", "yes")], "\x1c a\u3000 ", "\x1c a"),
        ([("Strip", "yes", "yes")], "\u2028 a ", "a"),
        ([("Strip", "yes", "")], " a ", "a "),
        ([("Replace", "``", '"')], "``a", '"a'),
        ([("Pattern", " {2,}", "\\")], "a   b", "a\\b"),
        ([("Pattern", r"\s{2,}|[\n\r\t]", " ")], "a\nb \u3000c\x1c\x1c", "a b c\x1c\x1c"),
        ([("Prepend", "_")], "a", "_a"),
        ([("Prepend", "_")], "", ""),
    ],
)
def test_steps_by_hand(steps, given, wanted):
    assert speller(steps)(given) == wanted


def test_an_unknown_step_is_told():
    with pytest.raises(ValueError, match="the normalizer Nmt"):
        speller([("Nmt",)])


@pytest.mark.slow
def test_every_character_behind_a_letter_is_spelled_as_by_the_library():
    normalizers = pytest.importorskip("tokenizers.normalizers")
    data = table({"a": "(", "e\u0301": "\u00e9", "\r": " "})
    other, ours = normalizers.Precompiled(data), speller([("Precompiled", base64.b64encode(data).decode())])
    import unicodedata

    assigned = (c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) not in {"Cs", "Cn"})
    wrong = [c for c in assigned if other.normalize_str(f"a{c}a") != ours(f"a{c}a")]
    assert not wrong, (len(wrong), [f"{ord(c):x}" for c in wrong[:20]])
