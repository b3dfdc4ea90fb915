"""ALBERT over a text: one block applied `depth` times behind small embeddings; from scratch or from a checkpoint folder.

    K numbers from tanh(W first row + b)

Paper    Lan et al. 2020, arXiv:1909.11942. Base with 30,000 pieces and 512 places: 11,683,584 weights before the last layer.
Differs  one text an item, so the kind of sentence is always the first.
Letters  B items, L pieces, d width, K classes
"""

from __future__ import annotations

from deepen.nn.bert import EMBEDDINGS, Bert, Reader, Sizes, folder_of, load, shift_of, sizes_of
from deepen.schema import Count, Share
from deepen.signature import Signature

BLOCK = {
    "attention.query": "attention.query", "attention.key": "attention.key", "attention.value": "attention.value",
    "attention.out": "attention.dense", "norm": "attention.LayerNorm", "dense.0": "ffn", "dense.3": "ffn_output",
    "dense_norm": "full_layer_layer_norm",
}  # fmt: skip


class ALBERT(Reader):
    """ALBERT. With a checkpoint its own sizes hold, and texts are cut by its vocabulary: data.vocabulary=FOLDER.

    checkpoint  a folder in the Hugging Face layout, which must stay where it is; with `download` a name on huggingface.co
    download    whether the network of that name may be fetched; what was fetched is kept and not asked for again
    revision    its commit; none: the newest, or the copy that is here; a run says which it was
    embedding   width of the embeddings
    """

    takes = ("text",)
    aliases = {
        "albert_base": {}, "albert_large": {"width": 1024, "depth": 24, "heads": 16, "inner": 4096},
        "albert_xlarge": {"width": 2048, "depth": 24, "heads": 16, "inner": 8192},
        "albert_xxlarge": {"width": 4096, "depth": 12, "heads": 64, "inner": 16384},
    }  # fmt: skip
    tiny = {"width": 8, "depth": 2, "heads": 2, "inner": 16, "embedding": 4}

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
        embedding: Count = 128,
        dropout: Share = 0.0,
    ) -> None:
        checkpoint = folder_of(checkpoint, download, revision)
        sizes = sizes_of(signature, checkpoint, "albert", Sizes(0, width, depth, heads, inner, 0, embedding, "tanh"))
        net = Bert(sizes, dropout, dropout, shared=True, shift=shift_of(signature, checkpoint))
        if checkpoint is not None:
            layer = "encoder.albert_layer_groups.0.albert_layers.0"
            names = {f"blocks.0.{ours}": f"{layer}.{theirs}" for ours, theirs in BLOCK.items()}
            load(
                net,
                checkpoint,
                {**EMBEDDINGS, **names, "widen": "encoder.embedding_hidden_mapping_in", "pool": "pooler"},
            )
        super().__init__(net, 0.1, signature.answer.width)
