"""BERT's encoder, and ALBERT's: one block applied again and again behind small embeddings; weights from a local folder.

    x = N(words + places + kind of sentence), for ALBERT then x W + b; `depth` blocks, their norms after

Paper    Devlin et al. 2019, arXiv:1810.04805; Lan et al. 2020, arXiv:1909.11942, section 3.1.
Letters  B items, L pieces, d width
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from deepen.data import hub
from deepen.errors import DeepenError
from deepen.nn.transformer import Block
from deepen.signature import Signature

GELU = {  # what a checkpoint calls it, and whether it is the exact form or that by tanh
    "gelu": "none", "gelu_python": "none", "gelu_new": "tanh", "gelu_fast": "tanh", "gelu_accurate": "tanh",
    "gelu_pytorch_tanh": "tanh",
}  # fmt: skip
FIRST_NAMES = {
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
}  # Google's checkpoints have them
LARGEST = 10_000_000  # of what a network has a number of
KINDS_OF_SENTENCE = 2


class Sizes(NamedTuple):
    """embedding: the width of the embeddings, which ALBERT makes smaller than the blocks' width; eps: of the norms."""

    pieces: int
    width: int
    depth: int
    heads: int
    inner: int
    longest: int
    embedding: int
    gelu: str = "none"
    eps: float = 1e-12


class Bert(nn.Module):
    """The encoder; `shared`: all blocks are one, `shift`: how far numbers of pieces are above the checkpoint's own."""

    def __init__(
        self, sizes: Sizes, dropout: float, attention_dropout: float, shared: bool = False, shift: int = 0
    ) -> None:
        super().__init__()
        self.depth, self.shift = sizes.depth, shift
        self.words = nn.Embedding(sizes.pieces, sizes.embedding, padding_idx=0)
        self.places = nn.Embedding(sizes.longest, sizes.embedding)
        self.kinds = nn.Embedding(KINDS_OF_SENTENCE, sizes.embedding)
        self.norm, self.dropout = nn.LayerNorm(sizes.embedding, sizes.eps), nn.Dropout(dropout)
        self.widen: nn.Module = nn.Linear(sizes.embedding, sizes.width) if shared else nn.Identity()
        self.blocks = nn.ModuleList(
            _block(sizes, dropout, attention_dropout) for _ in range(1 if shared else sizes.depth)
        )
        self.pool = nn.Linear(sizes.width, sizes.width)
        for layer in self.modules():
            if isinstance(layer, (nn.Linear, nn.Embedding)):
                nn.init.normal_(layer.weight, std=0.02)
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.words.weight[0] = 0

    def rows(self, tokens: Tensor) -> list[Tensor]:
        """Rows (B, L, d) that go into the blocks, and those after each."""
        there = tokens > 0
        x = (
            self.words((tokens - self.shift).clamp(min=0))
            + self.places.weight[: tokens.shape[1]]
            + self.kinds.weight[0]
        )
        found = [self.widen(self.dropout(self.norm(x)))]
        for i in range(self.depth):
            found.append(self.blocks[i % len(self.blocks)](found[-1], there))
        return found

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, L) to (B, d): tanh of a dense layer over the first row."""
        return torch.tanh(self.pool(self.rows(tokens)[-1][:, 0]))


class Reader(nn.Module):
    """The encoder, and a dense layer from what it gives to so many answers; `dropout` in front of that."""

    def __init__(self, net: Bert, dropout: float, answers: int) -> None:
        super().__init__()
        self.net, self.dropout = net, nn.Dropout(dropout)
        self.last = nn.Linear(net.pool.out_features, answers)
        nn.init.normal_(self.last.weight, std=0.02)

    def rows(self, tokens: Tensor) -> list[Tensor]:
        """Rows (B, L, d) that go into the blocks, and those after each."""
        return self.net.rows(tokens)

    def features(self, tokens: Tensor) -> Tensor:
        """To (B, d)."""
        return self.net(tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """To (B, K)."""
        return self.last(self.dropout(self.features(tokens)))


def _block(sizes: Sizes, dropout: float, attention_dropout: float) -> Block:
    """Norms after, nothing dropped between the dense layers."""
    block = Block(sizes.width, sizes.heads, sizes.inner, "gelu", dropout, "after", eps=sizes.eps)
    block.attention.dropout = attention_dropout
    block.dense[1], block.dense[2] = nn.GELU(sizes.gelu), nn.Identity()
    return block


def folder_of(checkpoint: str | None, download: bool, revision: str | None) -> str | None:
    """The folder that holds a checkpoint, where there is one."""
    wrote = "a folder in the Hugging Face layout"
    return None if checkpoint is None else hub.folder(checkpoint, download, revision, wrote)


def sizes_of(signature: Signature, checkpoint: str | None, kind: str, given: Sizes) -> Sizes:
    """The sizes a checkpoint of this kind says, where there is one. The text must be cut into its pieces."""
    (text,) = signature.inputs.values()
    if checkpoint is None:
        return given._replace(pieces=text.count, longest=text.longest)
    sizes = _said(f"{checkpoint}/config.json", checkpoint, kind, given)
    check_pieces(text, sizes.pieces, checkpoint)
    if text.longest > sizes.longest:
        raise DeepenError(
            "model.checkpoint", "data.longest", f"got {text.longest}", f"at most the checkpoint's {sizes.longest} places",
            f"data.longest={sizes.longest}",
        )  # fmt: skip
    return sizes


def _said(place: str, checkpoint: str, kind: str, given: Sizes) -> Sizes:
    """What config.json says. What is not said there is as the kind of network has it."""
    try:
        config = json.loads(Path(place).read_text(encoding="utf-8"))
        width, act = config["hidden_size"], config.get("hidden_act", "gelu")
        gelu = GELU.get(act) if "hidden_act" in config else given.gelu
        sizes = Sizes(
            config["vocab_size"], width, config["num_hidden_layers"], config["num_attention_heads"],
            config["intermediate_size"], config["max_position_embeddings"], config.get("embedding_size", width),
            gelu or "", float(config.get("layer_norm_eps", given.eps)),
        )  # fmt: skip
        found = config.get("model_type", kind)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        said = f"no {problem}" if isinstance(problem, KeyError) else f"{type(problem).__name__}: {problem}"
        raise DeepenError("model.checkpoint", place, said, "sizes of a network") from problem
    wrong = [f"a size of {size!r}" for size in sizes[:7] if type(size) is not int or not 0 < size < LARGEST]
    if not 0 < sizes.eps < 1:
        wrong.append(f"a layer_norm_eps of {sizes.eps:g}")
    if wrong:
        raise DeepenError(
            "model.checkpoint", place, wrong[0], "whole numbers above 0, and between 0 and 1 what is added to a variance",
            "the config.json that belongs to the weights",
        )  # fmt: skip
    if found != kind or gelu is None:  # it would be read, and its weights mean something else
        raise DeepenError(
            "model.checkpoint", place, f"a {found} with {act}", f"a {kind} with gelu", f"model=huggingface checkpoint={checkpoint}"
        )  # fmt: skip
    return sizes


def check_pieces(text: Any, pieces: int, checkpoint: str) -> None:
    """Texts must be cut into the pieces a checkpoint was trained with."""
    if text.shift is None:
        raise DeepenError(
            "model.checkpoint", "model.checkpoint", f"the checkpoint knows {pieces:,} pieces, the data is {text.describe()}",
            "texts cut into the checkpoint's own pieces", f"data.vocabulary={checkpoint}",
        )  # fmt: skip
    if text.count - text.shift > pieces:
        raise DeepenError(
            "model.checkpoint", "data.vocabulary", f"{text.count - text.shift:,} pieces",
            f"at most the {pieces:,} that the checkpoint in {checkpoint} knows", "vocabulary and weights of one folder",
        )  # fmt: skip


def shift_of(signature: Signature, checkpoint: str | None) -> int:
    """How far the text's numbers are above the checkpoint's own."""
    (text,) = signature.inputs.values()
    return 0 if checkpoint is None else text.shift


def load(net: Bert, checkpoint: str, names: dict[str, str]) -> None:
    """Weights from model.safetensors; `names`: beginning of our name to that of theirs. None may be missing or left over."""
    place = f"{checkpoint}/model.safetensors"
    try:
        theirs = {_renamed(name): weight for name, weight in load_file(place).items()}
    except (OSError, SafetensorError) as problem:
        raise DeepenError("model.checkpoint", place, str(problem).split("\n")[0], "weights") from problem
    first = "embeddings.word_embeddings.weight"
    prefix = next((name.removesuffix(first) for name in theirs if name.endswith(first)), "")
    state: dict[str, Any] = {}
    for name, own in net.state_dict().items():
        ours = max((start for start in names if name.startswith(start)), key=len)
        found = theirs.pop(prefix + names[ours] + name.removeprefix(ours), None)
        if found is None or found.shape != own.shape:
            there = "missing" if found is None else f"of shape {tuple(found.shape)}"
            raise DeepenError(
                "model.checkpoint", place, f"{names[ours]}{name.removeprefix(ours)} is {there}", f"{tuple(own.shape)}",
                "a checkpoint of the same kind of network",
            )  # fmt: skip
        state[name] = found
    left = sorted(name for name in theirs if name.startswith(f"{prefix}encoder."))
    if left:  # without it the others mean something else
        raise DeepenError(
            "model.checkpoint", place, f"{left[0]} has no place in this network", "the blocks that config.json says, and no more",
            f"model=huggingface checkpoint={checkpoint}",
        )  # fmt: skip
    net.load_state_dict(state)


def _renamed(name: str) -> str:
    start, dot, last = name.rpartition("LayerNorm.")
    return start + FIRST_NAMES.get(dot + last, dot + last)


EMBEDDINGS = {
    "words": "embeddings.word_embeddings",
    "places": "embeddings.position_embeddings",
    "kinds": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
}
