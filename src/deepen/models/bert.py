"""BERT over a text: from scratch, or from a checkpoint folder (config.json and model.safetensors).

    K numbers from tanh(W first row + b), the first piece being [CLS] where the vocabulary is the checkpoint's

Paper    Devlin et al. 2019, arXiv:1810.04805. Base with 30,522 pieces and 512 places: 109,482,240 weights before the last layer.
Differs  one text an item, so the kind of sentence is always the first.
Letters  B items, L pieces, d width, K classes
"""

from __future__ import annotations

from deepen.nn.bert import EMBEDDINGS, Bert, Reader, Sizes, folder_of, load, shift_of, sizes_of
from deepen.schema import Count, Share
from deepen.signature import Signature

BLOCK = {
    "attention.query": "attention.self.query", "attention.key": "attention.self.key",
    "attention.value": "attention.self.value", "attention.out": "attention.output.dense",
    "norm": "attention.output.LayerNorm", "dense.0": "intermediate.dense", "dense.3": "output.dense",
    "dense_norm": "output.LayerNorm",
}  # fmt: skip


class BERT(Reader):
    """BERT. With a checkpoint its own sizes hold, and texts are cut by its vocabulary: data.vocabulary=FOLDER.

    checkpoint  a folder in the Hugging Face layout, which must stay where it is; with `download` a name on huggingface.co
    download    whether the network of that name may be fetched; what was fetched is kept and not asked for again
    revision    its commit; none: the newest, or the copy that is here; a run says which it was
    """

    takes = ("text",)
    aliases = {
        "bert_base": {}, "bert_large": {"width": 1024, "depth": 24, "heads": 16, "inner": 4096},
        "bert_tiny": {"width": 128, "depth": 2, "heads": 2, "inner": 512},
    }  # fmt: skip
    tiny = {"width": 8, "depth": 2, "heads": 2, "inner": 16}

    def __init__(
        self,
        signature: Signature,
        checkpoint: str | None = None,
        download: bool = False,
        revision: str | None = None,
        width: Count = 768,
        depth: Count = 12,
        heads: Count = 12,
        inner: Count = 3072,
        dropout: Share = 0.1,
    ) -> None:
        checkpoint = folder_of(checkpoint, download, revision)
        sizes = sizes_of(signature, checkpoint, "bert", Sizes(0, width, depth, heads, inner, 0, width))
        net = Bert(sizes, dropout, dropout, shift=shift_of(signature, checkpoint))
        if checkpoint is not None:
            blocks = {
                f"blocks.{i}.{ours}": f"encoder.layer.{i}.{theirs}"
                for i in range(sizes.depth)
                for ours, theirs in BLOCK.items()
            }
            load(net, checkpoint, {**EMBEDDINGS, **blocks, "pool": "pooler.dense"})
        super().__init__(net, dropout, signature.answer.width)
