"""Texts cut as a checkpoint's tokenizer says: by hand, and against the tokenizers library on real and drawn texts."""

from __future__ import annotations

import json
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepen.content.given import MARK, Added, ByteLevel, Finder, Rules, Unigram, joined, words
from deepen.content.pieces import ALPHABET, FIRST
from deepen.data.vocabulary import read
from deepen.preprocess.text import Text
from deepen.signature import Signature


def test_words_are_gpt2s():
    assert words().findall("I'll 'sup  a1\u00bd\u0661 x_y?!\n\n b\x1c\u3000") == [
        "I", "'ll", " '", "sup", " ", " a", "1\u00bd\u0661", " x", "_", "y", "?!", "\n\n", " b", "\x1c", "\u3000"
    ]  # fmt: skip
    assert words().findall("x\u00bdy\u2167") == ["x", "\u00bd", "y", "\u2167"]
    assert words().findall("e\u0301 \u4e00") == ["e", "\u0301", " \u4e00"]  # a mark is no letter, a Chinese one is


def test_the_earliest_neighbours_are_joined_first_from_the_left():
    rank = {("b", "c"): 0, ("a", "b"): 1, ("a", "a"): 2, ("aa", "a"): 3}
    assert joined(list("abc"), rank) == ["a", "bc"]
    assert joined(list("aaaaa"), rank) == ["aa", "aaa"]
    assert joined(list("ab"), rank) == ["ab"]
    assert joined(["x"], rank) == ["x"]
    assert joined([], rank) == []


def slowly(pieces: list[str], rank: dict[tuple[str, str], int]) -> list[str]:
    while found := [(rank[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in rank]:
        _, i = min(found)
        pieces = [*pieces[:i], pieces[i] + pieces[i + 1], *pieces[i + 2 :]]
    return pieces


def test_joining_is_that_of_looking_at_all_again():
    draw = np.random.default_rng(0)
    names = ["a", "b", "ab", "ba", "aa", "aab"]
    pairs = [pair for pair in product(names, names) if len("".join(pair)) < 6]
    for _ in range(200):
        rank = {pairs[i]: place for place, i in enumerate(draw.permutation(len(pairs))[:9])}
        given = draw.choice(["a", "b"], int(draw.integers(1, 16))).tolist()
        assert joined(given, rank) == slowly(given, rank), (given, rank)


def test_byte_pairs_by_hand():
    names = [*ALPHABET, "ab", "\u0120ab", "<s>", "</s>", "<mask>"]
    rules = Rules(
        before=(258 + FIRST,), after=(259 + FIRST,), merges=(("a", "b"), ("\u0120", "ab")),
        added=(Added("<s>", 258 + FIRST), Added("<mask>", 260 + FIRST, left=True)), blank="always",
    )  # fmt: skip
    cutter = ByteLevel(names, rules)
    named = [names[n - FIRST] for n in cutter.numbers("ab ab  <mask>\u00e9")]
    assert named == ["<s>", "\u0120ab", "\u0120ab", "<mask>", "\u0120", "\u00c3", "\u00a9", "</s>"]
    assert cutter.text(cutter.numbers("ab \u65e5 <s>x")) == " ab \u65e5  x"
    few = ByteLevel(["a", "b"], Rules())
    assert few.numbers("a?b") == [FIRST, FIRST + 1]  # what there is no piece for is left out
    assert ByteLevel(["a", "b"], Rules(unknown=FIRST + 1)).numbers("a??") == [FIRST, FIRST + 1, FIRST + 1]


def test_the_likeliest_pieces_by_hand():
    names = ["<unk>", MARK, "a", "b", "ab", f"{MARK}a", "bb"]
    scores = (0.0, -2.0, -1.0, -1.0, -2.5, -2.5, -1.9)
    cutter = Unigram(names, Rules(scores=scores, unknown=FIRST, blank="always"))
    assert [names[n - FIRST] for n in cutter.numbers("abb")] == [f"{MARK}a", "bb"]  # -4.4; _ a b b is -5
    assert [names[n - FIRST] for n in cutter.numbers("ab")] == [f"{MARK}a", "b"]  # -3.5; _ ab is -4.5
    assert [names[n - FIRST] for n in cutter.numbers("x\u65e5a y")] == [MARK, "<unk>", "a", MARK, "<unk>"]
    assert cutter.text(cutter.numbers("abb ab")) == "abb ab"
    far = Unigram(["?", "xa", "b", "ab"], Rules(scores=(0.0, -6.0, -6.0, -1.0), unknown=FIRST))
    assert far.numbers("xab") == [FIRST + 1, FIRST + 2]  # -12; ? and ab are -17


def test_the_likeliest_pieces_are_those_of_trying_all():
    draw = np.random.default_rng(0)
    names = ["?", "a", "b", "aa", "ab", "ba", "aba", "bb"]
    for _ in range(100):
        scores = [0.0, *draw.normal(-3, 1, len(names) - 1).tolist()]
        cutter = Unigram(names, Rules(scores=tuple(scores), unknown=FIRST))
        text = "".join(draw.choice(["a", "b"], int(draw.integers(1, 9))))
        cuts = (np.flatnonzero(np.array((*ends, 1))) + 1 for ends in product((0, 1), repeat=len(text) - 1))
        ways = ([text[i:j] for i, j in zip((0, *cut[:-1]), cut)] for cut in cuts)
        known = [way for way in ways if set(way) <= set(names)]
        found = [names[n - FIRST] for n in cutter.numbers(text)]
        score = dict(zip(names, scores))
        totals = [sum(map(score.__getitem__, way)) for way in [found, *known]]
        assert "".join(found) == text
        assert totals[0] == pytest.approx(max(totals))


def test_names_are_found_as_they_stand_the_longest_of_the_first():
    finder = Finder([Added("<a>", 2), Added("<a>b", 3), Added("<m>", 4, left=True, right=True)])
    assert list(finder.parts("<a> x<a>b \t<m>\u3000 y")) == [
        ("<a>", 2, True), (" x", None, False), ("<a>b", 3, False), ("<m>", 4, False), ("y", None, False)
    ]  # fmt: skip
    assert list(finder.parts("x")) == [("x", None, True)]
    assert list(Finder([]).parts("")) == []


def test_a_long_word_is_cut_soon():
    cutter = ByteLevel([*ALPHABET, "aa", "aaaa"], Rules(merges=(("a", "a"), ("aa", "aa"))))
    assert len(cutter.numbers("a" * 20_000)) == 5_000
    unigram = Unigram(["?", "a"], Rules(scores=(0.0, -1.0), unknown=FIRST))
    assert len(unigram.numbers("a" * 20_000)) == 20_000


def test_the_end_of_a_long_text_stays_and_the_signature_keeps_it():
    rules = Rules(before=(2,), after=(3, 3), scores=(0.0, 0.0, -1.0), unknown=2, added=(Added("</s>", 3),))
    text = Text(("<s>", "</s>", "a"), 5, "unigram", rules=rules)
    assert text.numbers("aaaaaa") == [2, 4, 4, 3, 3]
    assert text.shift == FIRST
    before = text.encode(["a a </s>"])["tokens"].tolist()
    back = next(iter(Signature.from_json(Signature({"text": text}, {}).to_json()).inputs.values()))
    assert back == text
    assert back.encode(["a a </s>"])["tokens"].tolist() == before


# ---------------------------------------------------------------- against the library

ODD = [
    "Ünïcode — ﬁne “quotes” 日本語のテキスト\t\x00 x\u200by \U0001f600 e\u0301", "İstanbul ǅ ß ΑΣ ΑΣΑ", "a" * 150, " leading",
    "trailing  ", "  two  spaces  ", "a\r\nb\r\n", "\U0001f469\u200d\U0001f680 \U0001f44d\U0001f3fd ok", "½ ① Ⅷ x² ١٢٣",
    "don't we'll I'M it's 'sup", "<s>hi</s> <mask> there  <mask>  x", "<unk> a <pad>b", "[CLS] x [MASK] [SEP]", "``quoted''",
    "\x85a\u2028b\x1cc\x1fd", "한국어 텍스트 가각", "नमस्ते दुनिया", "ไทยน้ำ", "\ufeffbom", "a\u0300\u0301b a\U0001f3fb ①\u0301 \u0600a",
    "_under_score__", "﷽", "x\xa0y\u3000z", "\u2581mark \u2581 a", "\n\n\n\n a",
]  # fmt: skip
RANGES = [(32, 127), (0, 0x300), (0x300, 0x370), (0x370, 0x800), (0x2000, 0x3100), (0x4E00, 0x4F00), (0xAC00, 0xAD00),
          (0xFE00, 0x10000), (0x1F300, 0x1F700), (0x20, 0x21), (0x200C, 0x200E)]  # fmt: skip


def drawn(count: int) -> list[str]:
    """Characters from here and there."""
    draw = np.random.default_rng(0)
    return [
        "".join(chr(int(draw.integers(*RANGES[i]))) for i in draw.integers(len(RANGES), size=int(draw.integers(1, 40))))
        for _ in range(count)
    ]


def made(tokenizers: Any, name: str, texts: list[str]) -> Any:
    """Tokenizers as those checkpoints have them, with a small vocabulary of these texts."""
    from tests.content.test_spelling import FOUND, table

    norm, pre, post = tokenizers.normalizers, tokenizers.pre_tokenizers, tokenizers.processors
    spoken = tokenizers.AddedToken
    if name in {"gpt2", "roberta"}:
        made = tokenizers.Tokenizer(tokenizers.models.BPE())
        made.pre_tokenizer = pre.ByteLevel(add_prefix_space=name == "roberta")
        special = ["<s>", "<pad>", "</s>", "<unk>"] if name == "roberta" else ["<|endoftext|>"]
        alphabet = pre.ByteLevel.alphabet()
        how = {"vocab_size": 1500, "special_tokens": special, "show_progress": False}
        made.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(initial_alphabet=alphabet, **how))
        if name == "roberta":
            made.add_special_tokens([spoken("<mask>", lstrip=True)])
            made.post_processor = post.RobertaProcessing(("</s>", 2), ("<s>", 0))
        return made
    made = tokenizers.Tokenizer(tokenizers.models.Unigram())
    made.pre_tokenizer = pre.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "[CLS]", "[SEP]"]
    made.train_from_iterator(
        texts, tokenizers.trainers.UnigramTrainer(vocab_size=1500, special_tokens=special, unk_token="<unk>")
    )
    charsmap, regex = norm.Precompiled(table(FOUND)), tokenizers.Regex
    if name == "albert":
        quotes = (norm.Replace("``", '"'), norm.Replace("''", '"'))
        made.normalizer = norm.Sequence([*quotes, norm.NFKD(), norm.StripAccents(), norm.Lowercase(), charsmap])
        made.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()])
        made.add_special_tokens([spoken("[MASK]", lstrip=True, normalized=False)])
        made.post_processor = post.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 4), ("[SEP]", 5)])
    elif name == "xlm_roberta":
        made.normalizer = norm.Sequence([charsmap, norm.Replace(regex(" {2,}"), " ")])
        made.pre_tokenizer = pre.Metaspace(prepend_scheme="first")
        made.add_special_tokens([spoken("<mask>", lstrip=True, rstrip=True)])
        made.post_processor = post.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    else:
        spaces = norm.Replace(regex(r"\s{2,}|[\n\r\t]"), " ")
        made.normalizer = norm.Sequence([spaces, norm.NFC(), norm.Strip(left=False, right=True)])
        made.pre_tokenizer = pre.Metaspace(prepend_scheme="never", split=False)
        made.add_tokens([spoken("e\u0301a", normalized=True)])
    return made


def differ(other: Any, folder: Path, texts: list[str]) -> list[Any]:
    """Texts that are cut otherwise by us."""
    other.save(str(folder / "tokenizer.json"))
    ours = Text.fit([], **read(str(folder)), longest=1 << 20)
    theirs = [found.ids for found in other.encode_batch(texts)]
    mine = [[n - FIRST for n in ours.numbers(text)] for text in texts]
    return [(text, a, b) for text, a, b in zip(texts, mine, theirs) if a != b and b]


KINDS = ("gpt2", "roberta", "albert", "xlm_roberta", "deberta")


@pytest.mark.parametrize("name", KINDS)
def test_pieces_are_those_of_the_library(name, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    learn = [
        *ODD,
        "the cat sat on the mat. it's 12 o'clock! " * 3,
        "low lower lowest new newer newest wide wider widest",
    ]
    assert not differ(made(tokenizers, name, learn), tmp_path, [*learn, *drawn(60)])[:3]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_real_texts_are_cut_as_by_the_library(name, tmp_path, real_data):
    tokenizers = pytest.importorskip("tokenizers")
    import gzip

    texts = []
    for file in ("ag_news_test.csv.gz", "sst_fine_test.csv.gz", "wikitext2_valid.txt.gz"):
        with gzip.open(real_data / "text" / file, "rt", encoding="utf-8") as lines:
            texts += lines.read().splitlines()[:1500]
    texts = [text for text in [*texts, *ODD, *drawn(1500)] if text.strip()]
    assert not differ(made(tokenizers, name, texts[:3000]), tmp_path, texts)[:3]


def test_vocab_and_merges_of_gpt2_and_roberta(tmp_path):
    names = [*ALPHABET, "ab"]
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n", encoding="utf-8")
    (tmp_path / "vocab.json").write_text(json.dumps({n: i for i, n in enumerate([*names, "<|endoftext|>"])}))
    found = Text.fit([], **read(str(tmp_path)))
    assert [found.words[n - FIRST] for n in found.numbers("ab<|endoftext|>")] == ["ab", "<|endoftext|>"]
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    (tmp_path / "vocab.json").write_text(json.dumps({n: i for i, n in enumerate([*special, *names, "<mask>"])}))
    found = Text.fit([], **read(str(tmp_path)))
    assert [found.words[n - FIRST] for n in found.numbers("ab  <mask>")] == ["<s>", "ab", "<mask>", "</s>"]
    assert found.numbers("a")[0] == FIRST
