"""What a checkpoint's tokenizer does that is not known here is refused by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepen.content.pieces import WordPieces
from deepen.data.vocabulary import read
from deepen.errors import DeepenError

BYTES = {"type": "ByteLevel", "add_prefix_space": False}
PAIRS: dict[str, Any] = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
SCORES: dict[str, Any] = {"type": "Unigram", "vocab": [["?", 0.0], ["a", -1.0]], "unk_id": 0}
MARKED = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}


def document(model: dict[str, Any] = PAIRS, **parts: Any) -> dict[str, Any]:
    return {"model": model, "pre_tokenizer": BYTES if model["type"] == "BPE" else MARKED, **parts}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (document({**PAIRS, "type": "WordLevel"}), "a WordLevel vocabulary is not read here"),
        (document(pre_tokenizer={"type": "Split", "pattern": {}}), r"the pre-tokenizer Split \(known: ByteLevel\)"),
        (document(pre_tokenizer={**BYTES, "use_regex": False}), "the pre-tokenizer ByteLevel"),
        (
            document(pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Digits"}, BYTES]}),
            "Digits and ByteLevel",
        ),
        (document(pre_tokenizer=None), "the pre-tokenizer that is missing"),
        (document({**PAIRS, "end_of_word_suffix": "</w>"}), "a mark at the end of words"),
        (document({**PAIRS, "byte_fallback": True}), "bytes for what is unknown"),
        (document({**PAIRS, "ignore_merges": True}), "whole words first"),
        (document({**PAIRS, "fuse_unk": True, "unk_token": "a"}), "unknown pieces as one"),
        (document({**PAIRS, "dropout": 0.1}), "joins left out at random"),
        (document(normalizer={"type": "Nmt"}), "the normalizer Nmt"),
        (document(normalizer={"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""}), "the pattern 'a[+]'"),
        (document(post_processor={"type": "Other"}), "the post-processor Other"),
        (document(added_tokens=[{"content": "x", "id": 3, "single_word": True}]), "'x' found between words only"),
        (document(SCORES, pre_tokenizer={**MARKED, "replacement": "_"}), "the mark '_' of the pre-tokenizer Metaspace"),
        (document(SCORES, pre_tokenizer=BYTES), r"the pre-tokenizer ByteLevel \(known: Metaspace\)"),
    ],
)
def test_what_is_not_known_is_refused_with_the_way_out(given, said, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(given))
    with pytest.raises(DeepenError, match=said) as caught:
        read(str(tmp_path))
    assert caught.value.fix.startswith("another checkpoint")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (document({**PAIRS, "merges": ["a c"]}), "it joins 'a' and 'c', which it does not know"),
        (document({**PAIRS, "merges": ["a b c"]}), "it joins 'a b c', which are not two pieces"),
        (document({**SCORES, "unk_id": None}), "TypeError"),
        (document({**SCORES, "vocab": [["a", 0.0], ["a", -1.0]]}), "a piece that comes twice"),
        (document(added_tokens=[{"content": "x", "id": 10**9}]), "its numbers have gaps"),
        (document(added_tokens=[{"content": "x", "id": 20}]), "its numbers have gaps"),
        (document(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}), "cut off"),
        (document({**PAIRS, "vocab": {"a": 0, "b": 1, "ab": 1}}), "'b' and 'ab' have one number"),
        (document({**PAIRS, "vocab": {"a": 0, "b": 1, "ab": 2.5}}), "piece 'ab' has number 2.5"),
        (document({**PAIRS, "merges": []}), "nothing is joined, though there are pieces of several characters"),
        ({}, "'model' is missing"),
        ([], "tokenizer.json holds a list, not an object"),
    ],
)
def test_what_is_damaged_is_told(given, said, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(given))
    with pytest.raises(DeepenError, match=said):
        read(str(tmp_path))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"vocab.json": b'{"a": 0}'}, "no merges.txt"),
        ({"vocab.json": b'{"a": 0', "merges.txt": b""}, "vocab.json is not JSON"),
        ({"vocab.json": b'{"a": 0}', "merges.txt": b"\xe9 a"}, "merges.txt is not UTF-8 .byte 0."),
        ({"vocab.txt": b""}, "no .UNK."),
        ({"vocab.txt": b"[PAD]\n[UNK]\n"}, "no .CLS."),
        ({}, "no tokenizer.json"),
    ],
)
def test_files_that_are_damaged_are_named(files, said, tmp_path):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DeepenError, match=said):
        read(str(tmp_path))


def test_what_is_not_known_may_come_second_as_small_vocabularies_have_it(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    assert WordPieces(read(str(tmp_path))["words"]).numbers("a zebra") == [2, 4, 1, 3]


def test_a_sentencepiece_file_alone_is_told_with_the_way_to_write_it(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"")
    with pytest.raises(DeepenError, match=r"spiece.model alone.*save_pretrained\(FOLDER\)"):
        read(str(tmp_path))


def test_parts_that_add_nothing_are_no_hindrance(tmp_path):
    post = {"type": "Sequence", "processors": [{"type": "ByteLevel"}]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(document(post_processor=post, normalizer=None)))
    found = read(str(tmp_path))
    assert found["words"] == ("a", "b", "ab")
    assert found["rules"].merges == (("a", "b"),)
