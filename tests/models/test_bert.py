"""BERT and ALBERT against the transformers library: all hidden states, from checkpoint folders it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from deepen import registry
from deepen.content.given import Rules
from deepen.content.pieces import FIRST
from deepen.data.vocabulary import read
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.nn.inputs import network
from deepen.preprocess.text import Text
from deepen.signature import Signature

CLASSES = Classes(("a", "b", "c"))
NAMES = ("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "was", "good", "##ly", "bad", ",")
SIZES = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 24,
    "max_position_embeddings": 32,
}  # fmt: skip


def folder(place: Path, names: tuple[str, ...] = NAMES) -> Path:
    place.mkdir(exist_ok=True)
    (place / "vocab.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return place


def signature(place: Path, longest: int = 32) -> Signature:
    return Signature({"text": Text.fit([], **read(str(place)), longest=longest)}, {"label": CLASSES})


def theirs(name: str, **settings):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    if name == "bert":
        net = transformers.BertModel(transformers.BertConfig(**SIZES, **settings))
    else:
        net = transformers.AlbertModel(transformers.AlbertConfig(**SIZES, embedding_size=8, **settings))
    with torch.no_grad():
        for p in net.parameters():  # biases and norms must not stay at their start
            p.add_(torch.randn_like(p) * 0.5)
    return net.eval()


FORMS = {
    "usual": {},
    "exact": {"hidden_act": "gelu"},
    "by tanh, wide": {"hidden_act": "gelu_new", "layer_norm_eps": 0.1},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["bert", "albert"])
def test_every_hidden_state_and_gradient_is_that_of_transformers(name, form, tmp_path):
    other = theirs(name, **FORMS[form])
    other.save_pretrained(tmp_path)
    made = signature(folder(tmp_path))
    ours, other = network({"name": name, "checkpoint": str(tmp_path)}, made).eval().double(), other.double()
    there = torch.arange(9) < torch.tensor([4, 9, 2])[:, None]
    tokens = torch.randint(2, 12, (3, 9)) * there
    expected = other(tokens, attention_mask=there.long(), output_hidden_states=True)
    found = ours.rows(tokens)
    assert len(found) == len(expected.hidden_states) == 4
    for a, b in zip(found, expected.hidden_states):
        torch.testing.assert_close(a[there], b[there], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours.features(tokens), expected.pooler_output, rtol=1e-10, atol=1e-10)
    for answer in (ours.features(tokens), expected.pooler_output):
        answer.square().sum().backward()
    mine, wanted = ours.net.places.weight.grad, other.embeddings.position_embeddings.weight.grad
    torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-10 * float(wanted.abs().max()))


@pytest.mark.parametrize(
    ("spec", "pieces", "count"),
    [("bert_base", 30522, 109_482_240), ("bert_tiny", 30522, 4_385_920), ("albert_base", 30000, 11_683_584),
     ("albert_large", 30000, 17_683_968), ("albert_xlarge", 30000, 58_724_864), ("albert_xxlarge", 30000, 222_595_584)],
)  # fmt: skip
def test_sizes_are_the_papers(spec, pieces, count):
    text = Text(tuple(map(str, range(pieces - FIRST))), longest=512)
    made = Signature({"text": text}, {"label": CLASSES})
    with torch.device("meta"):
        net = network(registry.check("models", {"name": spec}, "model", given=("signature",)), made)
    assert sum(p.numel() for p in net.net.parameters()) == count


def test_pieces_of_another_tokenizer_count_from_the_checkpoints_own_numbers(tmp_path):
    """Unigrams, as ALBERT's: a text's numbers are above those of the checkpoint, as 0 fills up here."""
    other = theirs("albert").double()
    other.save_pretrained(tmp_path)
    rules = Rules(before=(2 + FIRST,), after=(3 + FIRST,), unknown=1 + FIRST, scores=(0.0,) * 40)
    text = Text(tuple(map(str, range(40))), longest=32, pieces="unigram", rules=rules)
    made = Signature({"text": text}, {"label": CLASSES})
    ours = network({"name": "albert", "checkpoint": str(tmp_path)}, made).eval().double()
    there, ids = torch.arange(9) < torch.tensor([4, 9, 2])[:, None], torch.randint(40, (3, 9))
    expected = other(ids, attention_mask=there.long()).pooler_output
    torch.testing.assert_close(ours.features((ids + FIRST) * there), expected, rtol=1e-10, atol=1e-10)


def test_weights_with_a_prefix_are_found(tmp_path):
    transformers = pytest.importorskip("transformers")
    other = transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES)).eval()
    other.save_pretrained(tmp_path)
    ours = network({"name": "bert", "checkpoint": str(tmp_path)}, signature(folder(tmp_path))).eval()
    tokens = torch.randint(2, 12, (3, 9))
    torch.testing.assert_close(ours.features(tokens), other.bert(tokens).pooler_output, rtol=1e-5, atol=1e-5)


def test_weights_of_norms_are_found_by_their_first_names_too(tmp_path):
    """As Google's own checkpoints call them."""
    from safetensors.torch import load_file, save_file

    theirs("bert").save_pretrained(folder(tmp_path))
    made, place = signature(tmp_path), tmp_path / "model.safetensors"
    before = network({"name": "bert", "checkpoint": str(tmp_path)}, made).net.state_dict()
    first = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    named = load_file(place)
    for new, old in first.items():
        named = {name.replace(new, old): weight for name, weight in named.items()}
    assert sum("gamma" in name for name in named) == 7
    save_file(named, place)
    for name, weight in network({"name": "bert", "checkpoint": str(tmp_path)}, made).net.state_dict().items():
        assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize(
    ("name", "settings", "lost"),
    [("albert", {"num_hidden_groups": 3}, "albert_layer_groups.1"), ("albert", {"inner_group_num": 2}, "albert_layers.1"),
     ("bert", {}, "encoder.layer.2")],
)  # fmt: skip
def test_weights_that_would_be_left_out_are_told(name, settings, lost, tmp_path):
    """ALBERTs of several blocks, and a config.json of fewer blocks than there are."""
    theirs(name, **settings).save_pretrained(folder(tmp_path))
    if name == "bert":
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    with pytest.raises(DeepenError, match=rf"{lost}.* has no place in this network"):
        network({"name": name, "checkpoint": str(tmp_path)}, signature(tmp_path))


@pytest.mark.parametrize("lower", [True, False])
def test_pieces_are_those_of_transformers(lower, tmp_path, real_data):
    transformers = pytest.importorskip("transformers")
    import gzip

    with gzip.open(real_data / "text" / "ag_news_test.csv.gz", "rt", encoding="utf-8") as file:
        texts = file.read().splitlines()[1:1500]
    texts += [
        "Ünïcode — ﬁne “quotes” 日本語のテキスト\t\x00 x\u200by \N{GRINNING FACE} e\u0301",
        "İstanbul ǅ ß",
        "a" * 150,
    ]
    from deepen.content.pieces import bert_words, without_accents

    counts: dict[str, int] = {}
    for text in texts:
        for word in bert_words(without_accents(text) if lower else text):
            counts[word] = counts.get(word, 0) + 1
            for cut in range(1, len(word)):
                counts[f"##{word[cut:][:3]}"] = counts.get(f"##{word[cut:][:3]}", 0) + 1
                counts[word[:cut][:4]] = counts.get(word[:cut][:4], 0) + 1
    common = sorted(counts, key=lambda w: (-counts[w], w))[:3000]
    names = (*NAMES[:5], *(name for name in common if name not in NAMES[:5]))
    place = folder(tmp_path, names)
    (place / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
    other = transformers.BertTokenizer(vocab=str(place / "vocab.txt"), do_lower_case=lower)
    ours = Text.fit([], **read(str(place)), longest=512)
    assert ours.lower is lower
    wrong = [
        text
        for text in texts
        if ours.encode([text])["tokens"][0].tolist() != other(text, truncation=True, max_length=512)["input_ids"]
    ]
    assert not wrong, wrong[:3]


def test_a_vocabulary_in_json(tmp_path):
    document = {
        "model": {"type": "WordPiece", "vocab": {name: i for i, name in enumerate(NAMES)}},
        "normalizer": {"lowercase": False},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    assert read(str(tmp_path)) == {"pieces": "wordpiece", "words": NAMES[2:], "lower": False}
    document["model"]["type"] = "WordLevel"
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(DeepenError, match="a WordLevel vocabulary"):
        read(str(tmp_path))


@pytest.mark.parametrize(
    ("names", "said"),
    [(("x", *NAMES[1:]), "comes first, not"), ((*NAMES[:3], *NAMES[4:]), r"no \[CLS\]"), (None, "no tokenizer.json")],
)
def test_no_vocabulary_is_told(names, said, tmp_path):
    if names is not None:
        folder(tmp_path, names)
    with pytest.raises(DeepenError, match=said):
        read(str(tmp_path))


def saved(place: Path, **sizes: object) -> str:
    from safetensors.torch import save_file

    (folder(place) / "config.json").write_text(json.dumps({**SIZES, **sizes}))
    save_file({"embeddings.word_embeddings.weight": torch.zeros(40, 16)}, place / "model.safetensors")
    return str(place)


def test_a_checkpoint_that_does_not_fit_is_told(tmp_path):
    place = saved(tmp_path)
    spec = {"name": "bert", "checkpoint": place}
    with pytest.raises(DeepenError, match="embeddings.position_embeddings.weight is missing"):
        network(spec, signature(tmp_path))
    with pytest.raises(DeepenError, match="at most the checkpoint's 32 places. data.longest=32"):
        network(spec, signature(tmp_path, longest=64))
    words = Signature({"text": Text(("a",))}, {"label": CLASSES})
    with pytest.raises(
        DeepenError, match=f"Expected texts cut into the checkpoint's own pieces. data.vocabulary={place}"
    ):
        network(spec, words)
    with pytest.raises(DeepenError, match="at most the 9 that the checkpoint in"):
        network({"name": "bert", "checkpoint": saved(tmp_path, vocab_size=9)}, signature(tmp_path))
    for wrong, said in (
        ({"hidden_size": -16}, "a size of -16. Expected whole numbers above 0"),
        ({"hidden_size": "16"}, "a size of '16'"),
        ({"num_attention_heads": 0}, "a size of 0"),
        ({"model_type": "roberta"}, "a roberta with gelu. Expected a bert with gelu. model=huggingface"),
        ({"hidden_act": "relu"}, "a bert with relu"),
        ({"hidden_act": "quick_gelu"}, "a bert with quick_gelu"),
        ({"hidden_act": None}, "a bert with None"),
        ({"layer_norm_eps": "x"}, "could not convert string to float"),
        ({"layer_norm_eps": -1}, "a layer_norm_eps of -1"),
    ):
        with pytest.raises(DeepenError, match=said):
            network({"name": "bert", "checkpoint": saved(tmp_path, **wrong)}, signature(tmp_path))
    with pytest.raises(DeepenError, match="no config.json"):
        network({"name": "albert", "checkpoint": str(tmp_path / "none")}, words)


def test_what_fills_up_changes_nothing():
    torch.manual_seed(0)
    made = Signature({"text": Text(tuple("abcdefgh"))}, {"label": CLASSES})
    net = network({"name": "bert", "width": 8, "depth": 2, "heads": 2, "inner": 16}, made).eval()
    given = torch.randint(1, 9, (3, 5))
    torch.testing.assert_close(net(torch.cat([given, torch.zeros(3, 4, dtype=torch.int64)], 1)), net(given))


def test_a_checkpoint_is_trained_further_and_loaded_again(tmp_path, monkeypatch):
    """Written here under the library's names, so that this holds without the library too."""
    from safetensors.torch import save_file

    import deepen
    from deepen.models.bert import BLOCK
    from deepen.nn.bert import EMBEDDINGS, Bert, Sizes

    torch.manual_seed(0)
    net = Bert(Sizes(40, 16, 3, 4, 24, 32, 16), 0.0, 0.0)
    state = net.state_dict()
    theirs = {f"bert.{EMBEDDINGS[k.partition('.')[0]]}.{k.partition('.')[2]}": v for k, v in state.items() if "." in k and k.partition(".")[0] in EMBEDDINGS}  # fmt: skip
    for i in range(3):
        for ours, other in BLOCK.items():
            for end in ("weight", "bias"):
                theirs[f"bert.encoder.layer.{i}.{other}.{end}"] = state[f"blocks.{i}.{ours}.{end}"]
    theirs |= {f"bert.pooler.dense.{end}": state[f"pool.{end}"] for end in ("weight", "bias")}
    place = folder(tmp_path / "checkpoint")
    (place / "config.json").write_text(json.dumps(SIZES))
    save_file(theirs, place / "model.safetensors")
    made = network({"name": "bert", "checkpoint": str(place)}, signature(place))
    for name, weight in made.net.state_dict().items():
        assert torch.equal(weight, state[name]), name

    monkeypatch.chdir(tmp_path)
    lines = [f"{'ab'[i % 2]},the film was {('good', 'bad')[i % 2]} {i % 9}" for i in range(80)]
    (tmp_path / "t.csv").write_text("label,text\n" + "\n".join(lines) + "\n")
    run = deepen.train(
        "t.csv", target="label", text="text", vocabulary="checkpoint", longest=32, epochs=1, threads=1,
        output=str(tmp_path / "runs"),
        model={"name": "bert", "checkpoint": str(place)},
    )  # fmt: skip
    monkeypatch.chdir("/")  # the vocabulary's place was kept whole
    assert deepen.load(str(run.path))(["the film was good"])[0]["label"] in "ab"
