"""Networks of transformers from a local folder: the features are that library's own, nothing is fetched."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepen import registry
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.models.huggingface import HuggingFace
from deepen.nn.heads import head
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged
from deepen.preprocess.image import Image
from deepen.preprocess.text import Text
from deepen.signature import Signature


def pictures(side: int, channels: int = 3) -> Signature:
    return Signature({"image": Image(side, side, channels)}, {"label": Classes(("a", "b", "c"))})


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


def resnet(transformers: Any, folder: Path) -> Any:
    torch.manual_seed(0)
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    net = transformers.ResNetForImageClassification(config).eval()
    net.save_pretrained(folder)
    return net


def vit(transformers: Any, folder: Path) -> Any:
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    net = transformers.ViTForImageClassification(config).eval()
    net.save_pretrained(folder)
    return net


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_maps_and_features_are_the_librarys(transformers, tmp_path, channels):
    other = resnet(transformers, tmp_path)
    net = HuggingFace(pictures(32, channels), str(tmp_path)).eval()
    image = torch.randn(2, channels, 32, 32)
    found = other.resnet(pixel_values=image.expand(-1, 3, -1, -1), output_hidden_states=True)
    torch.testing.assert_close(net.features(image), found.pooler_output.flatten(1))
    for mine, expected in zip(net.maps(image), found.hidden_states, strict=True):
        torch.testing.assert_close(mine, expected)
    assert net(image).shape == (2, 3)


@pytest.mark.slow
def test_a_norm_behind_the_mean_over_places_is_part_of_the_features(transformers, tmp_path):
    torch.manual_seed(0)
    config = transformers.ConvNextConfig(hidden_sizes=[4, 4, 4, 8], depths=[1, 1, 1, 1])
    other = transformers.ConvNextModel(config).eval()
    torch.nn.init.normal_(other.layernorm.weight)
    other.save_pretrained(tmp_path)
    net, image = HuggingFace(pictures(64), str(tmp_path)).eval(), torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(net.features(image), other(pixel_values=image).pooler_output)
    net.train()(image).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "collect", "more"),
    [("CLIPVision", "class", {}), ("SiglipVision", "class", {}), ("Beit", "average", {"use_mean_pooling": True})],
)
def test_a_norm_behind_a_row_is_part_of_the_features(transformers, tmp_path, name, collect, more):
    """Of CLIP's token in front, of BEiT's mean; SigLIP puts none in front and asks all patches."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = getattr(transformers, f"{name}Config")(**sizes, **more, image_size=32, patch_size=8)
    other = getattr(transformers, f"{name}Model")(config).eval()
    for norm in (m for m in other.modules() if isinstance(m, torch.nn.LayerNorm)):
        torch.nn.init.normal_(norm.weight)
    other.save_pretrained(tmp_path)
    net, image = HuggingFace(pictures(32), str(tmp_path), collect=collect).eval(), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(net.features(image), other(pixel_values=image).pooler_output)


@pytest.mark.slow
def test_of_a_network_for_pictures_and_texts_half_is_taken(transformers, tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.CLIPConfig(
        text_config={**sizes, "vocab_size": 20, "max_position_embeddings": 12, "eos_token_id": 3, "pad_token_id": 0},
        vision_config={**sizes, "image_size": 32, "patch_size": 8}, projection_dim=8,
    )  # fmt: skip
    bert(transformers, tmp_path)  # whose pieces the folder has
    other = transformers.CLIPModel(config).eval()
    other.save_pretrained(tmp_path)
    net, image = HuggingFace(pictures(32), str(tmp_path), collect="class").eval(), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(net.features(image), other.vision_model(pixel_values=image).pooler_output)
    net, tokens = HuggingFace(texts(tmp_path), str(tmp_path), collect="last").eval(), torch.tensor([[3, 5, 14, 4]])
    rows = other.text_model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
    torch.testing.assert_close(net.features(tokens), rows[:, -1])


@pytest.mark.slow
def test_a_network_that_answers_by_chance_is_refused(transformers, tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTMAEConfig(**sizes, image_size=32, patch_size=8)
    transformers.ViTMAEModel(config).save_pretrained(tmp_path)
    with pytest.raises(DeepenError, match="ViTMAEModel sees the same picture otherwise each time"):
        HuggingFace(pictures(32), str(tmp_path))


@pytest.mark.slow
def test_rows_of_patches_are_collected_as_asked(transformers, tmp_path):
    other = vit(transformers, tmp_path)
    image = torch.randn(2, 3, 32, 32)
    rows = other.vit(pixel_values=image).last_hidden_state
    for collect, expected in (("average", rows.mean(1)), ("class", rows[:, 0])):
        net = HuggingFace(pictures(32), str(tmp_path), collect=collect).eval()
        torch.testing.assert_close(net.features(image), expected)
        net.train()(image).sum().backward()
        assert all(p.grad is not None for p in net.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("make", [resnet, vit])
def test_it_is_exported_like_any_other(transformers, tmp_path, make):
    from deepen.formats.onnx import Onnx
    from deepen.runtimes.onnx import Onnx as Runtime

    make(transformers, tmp_path)
    signature = pictures(32)
    arrays = {"image": np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)}
    normalise = Normalise(signature)
    normalise.fit(signature, arrays, np.arange(3))
    model = Packaged(normalise, HuggingFace(signature, str(tmp_path)), head(signature.answer)).eval()
    Onnx().write(model, signature, arrays, tmp_path / "graph.onnx")
    (answer,) = Runtime(tmp_path / "graph.onnx").run(arrays).values()
    np.testing.assert_allclose(answer, model(torch.from_numpy(arrays["image"])).detach().numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_what_the_folder_lacks_is_told(transformers, tmp_path):
    from safetensors.torch import load_file, save_file

    vit(transformers, tmp_path)
    with pytest.raises(DeepenError, match=r"model huggingface: pictures of 30 x 30 with 3 channels. .*size=32"):
        HuggingFace(pictures(30), str(tmp_path))
    with pytest.raises(DeepenError, match=r"model.collect: last. Expected average or class"):
        HuggingFace(pictures(32), str(tmp_path), collect="last")
    with pytest.raises(DeepenError, match=r"pictures of 32 x 32 with 2 channels"):
        HuggingFace(pictures(32, 2), str(tmp_path))
    tensors = load_file(tmp_path / "model.safetensors")
    lost = {k: v for k, v in tensors.items() if "layer.1.attention" not in k}
    save_file(lost, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DeepenError, match=r"lacks 8 weights, .*layers.1.attention"):
        HuggingFace(pictures(32), str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "no_such_thing"}))
    with pytest.raises(DeepenError, match=r"no_such_thing.*Expected a network that transformers knows"):
        HuggingFace(pictures(32), str(tmp_path))
    transformers.BertModel(
        transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).save_pretrained(tmp_path)
    with pytest.raises(DeepenError, match=r"BertModel takes input_ids. Expected pictures"):
        HuggingFace(pictures(32), str(tmp_path))


WORDS = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh", "##a", "##b"]


def bert(transformers: Any, folder: Path, model: str = "Bert") -> Any:
    """A network that reads WordPieces, with its vocabulary."""
    torch.manual_seed(0)
    sizes = {"vocab_size": len(WORDS), "max_position_embeddings": 16}
    if model == "DistilBert":
        sizes |= {"dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    else:
        sizes |= {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        sizes |= {"embedding_size": 8} if model == "Electra" else {}
    net = getattr(transformers, f"{model}Model")(getattr(transformers, f"{model}Config")(**sizes)).eval()
    net.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return net


def texts(folder: Path, longest: int = 12) -> Signature:
    from deepen.data.vocabulary import read

    return Signature({"text": Text.fit([], **read(str(folder)), longest=longest)}, {"label": Classes(("a", "b", "c"))})


@pytest.mark.slow
@pytest.mark.parametrize("model", ["Bert", "DistilBert", "Electra"])
def test_texts_are_read_as_the_library_reads_them(transformers, tmp_path, model):
    other = bert(transformers, tmp_path, model)
    signature = texts(tmp_path)
    tokens = torch.from_numpy(signature.inputs["text"].encode(["a b c", "ab", "d zz e f g h"])["tokens"])
    assert tokens[1].tolist() == [3, 5, 14, 4, 0, 0, 0, 0]  # [CLS] a ##b [SEP]
    there = tokens > 0
    rows = other(input_ids=tokens, attention_mask=there.long()).last_hidden_state
    mean = (rows * there.unsqueeze(2)).sum(1) / there.sum(1, keepdim=True)
    for collect, expected in (("average", mean), ("class", rows[:, 0])):
        net = HuggingFace(signature, str(tmp_path), collect=collect).eval()
        torch.testing.assert_close(net.features(tokens), expected)
    alone = torch.cat([net(tokens[i : i + 1, : int(there[i].sum())]) for i in range(3)])
    torch.testing.assert_close(net(tokens), alone, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_network_for_texts_trains_and_is_exported_by_the_same_commands(transformers, tmp_path, capsys):
    import deepen

    (tmp_path / "net").mkdir()
    bert(transformers, tmp_path / "net")
    draw = np.random.default_rng(0)
    lines = []
    for i in range(240):
        words = draw.choice(list("cdefgh"), 6).tolist()
        words[int(draw.integers(6))] = "ab"[i % 2]
        lines.append(f"{'xy'[i % 2]},{' '.join(words)}")
    (tmp_path / "t.csv").write_text("label,text\n" + "\n".join(lines) + "\n")
    folder = str(tmp_path / "net")
    settings = {"target": "label", "text": "text", "vocabulary": folder, "longest": 12, "epochs": 12, "lr": 1e-2}
    model = {"name": "huggingface", "checkpoint": folder}
    run = deepen.train(str(tmp_path / "t.csv"), output=str(tmp_path / "runs"), model=model, threads=1, **settings)
    assert deepen.evaluate(str(run.path))["metrics"]["accuracy"][0] > 0.9
    bundle = deepen.export(str(run.path))["bundle"]
    here, there = deepen.load(str(run.path)), deepen.load(bundle)
    asked = ["c d a e", "b", "e f g h c d e f g h c d b"]
    assert here.gap(here(asked), there(asked)) < 1e-4


LINES = [
    f"the film {w} was {w}er than the {w}est book, wasn't it?" for w in ("low", "new", "wide", "d\u00e9j\u00e0 \u65e5")
]


def tokenized(transformers: Any, folder: Path, name: str) -> Any:
    """A network whose texts are cut by a tokenizer.json, with its vocabulary."""
    from tests.content.test_given import made

    torch.manual_seed(0)
    tokenizer = made(pytest.importorskip("tokenizers"), name, LINES)
    tokenizer.save(str(folder / "tokenizer.json"))
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    sizes |= {"vocab_size": tokenizer.get_vocab_size(), "pad_token_id": 1}
    if name == "gpt2":
        sizes = {"vocab_size": sizes["vocab_size"], "n_positions": 48, "n_embd": 8, "n_layer": 2, "n_head": 2}
        net = transformers.GPT2Model(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    elif name == "albert":
        sizes |= {"embedding_size": 4, "max_position_embeddings": 48, "pad_token_id": 0}
        net = transformers.AlbertModel(transformers.AlbertConfig(**sizes))
    else:
        net = transformers.RobertaModel(transformers.RobertaConfig(**sizes, max_position_embeddings=50))
    net.eval().save_pretrained(folder)
    return net, tokenizer


@pytest.mark.slow
@pytest.mark.parametrize("name", ["roberta", "xlm_roberta", "gpt2", "albert"])
def test_rows_of_each_text_are_the_librarys_from_raw_text_on(transformers, tmp_path, name):
    """Each text alone by the library, ours beside longer ones: pieces, what fills up and places are then the same."""
    other, tokenizer = tokenized(transformers, tmp_path, name)
    signature = texts(tmp_path, 48)
    asked = ["the low film", "wider\u00e9 \u65e5 <mask> was it", "x"]
    tokens = torch.from_numpy(signature.inputs["text"].encode(asked)["tokens"])
    rows = [other(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0] for text in asked]
    for collect, expected in (
        ("average", [r.mean(0) for r in rows]),
        ("last", [r[-1] for r in rows]),
        ("class", [r[0] for r in rows]),
    ):
        net = HuggingFace(signature, str(tmp_path), collect=collect).eval()
        torch.testing.assert_close(net.features(tokens), torch.stack(expected), rtol=1e-4, atol=1e-5)
    seen: list[Any] = []
    net.backbone.register_forward_pre_hook(lambda _, __, given: seen.append(given["input_ids"]), with_kwargs=True)
    net(tokens)
    ids = [tokenizer.encode(text).ids for text in asked]
    fills = [other.config.pad_token_id or 0] * max(map(len, ids))
    assert seen[0].tolist() == [(own + fills)[: len(fills)] for own in ids]
    with pytest.raises(DeepenError, match=r"got 49. Expected at most the checkpoint's 48 places"):
        HuggingFace(texts(tmp_path, 49), str(tmp_path))


@pytest.mark.slow
def test_our_own_albert_reads_the_same_unigrams(transformers, tmp_path):
    from deepen.nn.inputs import network

    other, tokenizer = tokenized(transformers, tmp_path, "albert")
    signature = texts(tmp_path, 48)
    asked = ["the low film", "wider\u00e9 was it"]
    tokens = torch.from_numpy(signature.inputs["text"].encode(asked)["tokens"])
    expected = [other(input_ids=torch.tensor([tokenizer.encode(text).ids])).pooler_output[0] for text in asked]
    net = network({"name": "albert", "checkpoint": str(tmp_path)}, signature).eval()
    torch.testing.assert_close(net.features(tokens), torch.stack(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["roberta", "gpt2", "albert"])
def test_checkpoints_with_a_tokenizer_train_and_are_exported(transformers, tmp_path, name):
    import deepen

    (tmp_path / "net").mkdir()
    tokenized(transformers, tmp_path / "net", name)
    folder, lines = (
        str(tmp_path / "net"),
        [f"{'xy'[i % 2]},the {('low', 'new')[i % 2]} film {i % 7}" for i in range(160)],
    )
    (tmp_path / "t.csv").write_text("label,text\n" + "\n".join(lines) + "\n")
    run = deepen.train(
        str(tmp_path / "t.csv"), target="label", text="text", vocabulary=folder, longest=24, epochs=2, threads=1,
        model={"name": "huggingface", "checkpoint": folder, "collect": "last"}, output=str(tmp_path / "runs"),
    )  # fmt: skip
    here, there = deepen.load(str(run.path)), deepen.load(deepen.export(str(run.path))["bundle"])
    asked = ["the low film", "<mask> \u65e5\u672c \U0001f600 e\u0301\t\0x", {"text": "new"}]
    assert here.gap(here(asked), there(asked)) < 1e-4


@pytest.mark.slow
def test_a_network_that_answers_texts_with_texts_is_refused(transformers, tmp_path):
    tokenized(transformers, tmp_path, "xlm_roberta")
    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    sizes |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "vocab_size": 2000}
    transformers.BartModel(transformers.BartConfig(**sizes)).save_pretrained(tmp_path)
    with pytest.raises(DeepenError, match=r"BartModel answers a text with a text. Expected a network that reads only"):
        HuggingFace(texts(tmp_path), str(tmp_path))


@pytest.mark.slow
def test_texts_that_are_not_the_networks_are_refused(transformers, tmp_path):
    bert(transformers, tmp_path)
    with pytest.raises(DeepenError, match=r"got 20. Expected at most the checkpoint's 16 places. data.longest=16"):
        HuggingFace(texts(tmp_path, 20), str(tmp_path))
    words = Signature({"text": Text(("a", "b"), 12)}, {"label": Classes(("a", "b"))})
    with pytest.raises(DeepenError, match=r"knows 15 pieces, the data is texts of up to 12 words.*data.vocabulary="):
        HuggingFace(words, str(tmp_path))
    (tmp_path / "picture").mkdir()
    vit(transformers, tmp_path / "picture")
    with pytest.raises(DeepenError, match=r"ViTModel takes pixel_values. Expected texts"):
        HuggingFace(texts(tmp_path), str(tmp_path / "picture"))


def test_only_folders_are_read_and_nothing_is_fetched(tmp_path):
    for place in ("microsoft/resnet-50", str(tmp_path)):
        with pytest.raises(DeepenError, match=r"no config.json in .*Nothing is fetched"):
            HuggingFace(pictures(32), place)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(DeepenError, match=r"no model.safetensors in"):
        HuggingFace(pictures(32), str(tmp_path))


def test_without_the_library_the_way_to_install_it_is_told(tmp_path, monkeypatch):
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DeepenError, match=r"transformers: not installed.*pip install 'deepen\[huggingface\]'"):
        registry.build("models", {"name": "huggingface", "checkpoint": str(tmp_path)}, signature=pictures(32))


@pytest.mark.slow
def test_a_library_that_fails_beside_it_is_named(transformers, tmp_path, monkeypatch):
    """As a torchvision built for another torch does; that library itself says only that something was not imported."""
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_text("{}")

    def fails(*given: Any, **options: Any) -> None:
        cause = RuntimeError("operator torchvision::nms does not exist")
        raise ModuleNotFoundError("Could not import module 'ResNetModel'") from cause

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", fails)
    with pytest.raises(
        DeepenError, match=r"import transformers: operator torchvision::nms .*pip uninstall torchvision"
    ):
        HuggingFace(pictures(32), str(tmp_path))
