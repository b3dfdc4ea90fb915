"""A network for pictures or texts from the transformers library, weights and all, from a folder on this machine.

    last layer (mean over places of the network's last maps, or over its rows of patches or pieces, or one of them)
    where a network has a norm behind the mean (ConvNeXt, BEiT) or behind the token it puts in front (CLIP), it is part of it

Of a network for pictures and texts (CLIP, SigLIP) it is the half that the items are for.
The folder is what transformers saves: config.json and model.safetensors. No code from the folder is run, pickled weights
are refused. The folder must stay where it is: a run keeps the weights, config.json says how the network is built.
With `download` a name on huggingface.co stands for the folder; it is fetched when a training begins, once (data/hub.py).
Texts are cut into the folder's own pieces (WordPieces, byte pairs, unigrams): data.vocabulary names the same folder.
Paper    Wolf et al. 2020, arXiv:1910.03771, of that library; the networks' own stand in its documentation.
Differs  pictures are normalised by the training data's own mean and deviation, not by the folder's
         preprocessor_config.json; grey pictures are shown three times where the network takes three channels.
Letters  B items, N patches, L pieces, C channels, K classes, d features
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deepen.data import hub
from deepen.errors import DeepenError, counted, missing_extra
from deepen.nn.bert import check_pieces
from deepen.nn.inputs import picture_of
from deepen.nn.sequence import Mean
from deepen.nn.sequence import last as last_of
from deepen.preprocess.text import Text
from deepen.signature import Signature

TOWERS = {"pixel_values": "vision_model", "input_ids": "text_model"}  # of a network for both, such as CLIP
MOST_SAID = 200  # characters of an error of that library


class HuggingFace(nn.Module):
    """A pretrained network for pictures or texts of the transformers library, from a local folder.

    checkpoint  the folder, with config.json and model.safetensors; with `download` a name on huggingface.co
    download    whether the network of that name may be fetched; what was fetched is kept and not asked for again
    revision    its commit; none: the newest, or the copy that is here; a run says which it was
    collect     average: the mean over places; class: the first of a row, where the network puts a token in front,
                or what the network itself makes of a row of patches;
                last: the last piece of a text, which alone has seen all of it where the network looks back only
    """

    takes = ("image", "text")

    def __init__(
        self,
        signature: Signature,
        checkpoint: str,
        download: bool = False,
        revision: str | None = None,
        collect: Literal["average", "class", "last"] = "average",
    ) -> None:
        super().__init__()
        checkpoint = hub.folder(checkpoint, download, revision, "a folder that transformers' save_pretrained wrote")
        (encoder,) = signature.inputs.values()
        self.mean = Mean()
        self.collect, self.reads = collect, isinstance(encoder, Text)
        self.backbone = _load(checkpoint, *(("input_ids", "texts") if self.reads else ("pixel_values", "pictures")))
        if self.reads:
            _check_text(encoder, self.backbone, checkpoint)
            self.shift, self.fills = encoder.shift, self.backbone.config.pad_token_id or 0
            self.last = nn.Linear(self.backbone.config.hidden_size, signature.answer.width)
            return
        if collect == "last":
            raise DeepenError("model.collect", "model.collect", "last", "average or class: pictures have no last piece")
        image = picture_of(signature, "huggingface")
        self.copies = 3 if (image.channels, getattr(self.backbone.config, "num_channels", 3)) == (1, 3) else 1
        with torch.no_grad():
            shape = (1, image.channels, image.height, image.width)
            width = self._tried(torch.linspace(-1, 1, math.prod(shape)).view(shape)).shape[1]
        self.last = nn.Linear(width, signature.answer.width)

    def maps(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) to what the network's stages or blocks give: maps (B, C, h, w) or rows (B, N, d)."""
        seen = image.expand(-1, self.copies, -1, -1) if self.copies > 1 else image
        return list(self.backbone(pixel_values=seen, output_hidden_states=True).hidden_states)

    def features(self, given: Tensor) -> Tensor:
        """(B, C, H, W), or pieces (B, L), to (B, d)."""
        return self._of_text(given) if self.reads else self._of_picture(given)

    def _of_text(self, tokens: Tensor) -> Tensor:
        there, ids = tokens > 0, tokens - self.shift
        ids = ids.masked_fill(~there | (ids < 0), self.fills)
        rows = self.backbone(input_ids=ids, attention_mask=there.long()).last_hidden_state  # (B, L, d)
        if self.collect == "average":
            return self.mean(rows, there)
        return rows[:, 0] if self.collect == "class" else last_of(rows, there)

    def _of_picture(self, image: Tensor) -> Tensor:
        seen = image.expand(-1, self.copies, -1, -1) if self.copies > 1 else image
        found = self.backbone(pixel_values=seen)
        last, own = found.last_hidden_state, getattr(found, "pooler_output", None)
        if last.dim() == 4:
            mean, norm = last.mean((2, 3)), getattr(self.backbone, "layernorm", None)
            return mean if norm is None else norm(mean)  # ConvNeXt's own stands behind the mean
        normed = getattr(getattr(self.backbone, "pooler", None), "layernorm", None)  # as BEiT's does
        if own is not None and (self.collect == "class" or normed is not None):
            return own
        return last[:, 0] if self.collect == "class" else last.mean(1)

    def forward(self, given: Tensor) -> Tensor:
        """(B, C, H, W), or pieces (B, L), to (B, K)."""
        return self.last(self.features(given))

    def _tried(self, image: Tensor) -> Tensor:
        """The features of one picture, or what is wrong with its size or channels, or with the network."""
        try:
            found, again = (self.eval().features(image) for _ in range(2))
        except (ValueError, RuntimeError) as problem:
            channels, height, width = image.shape[1:]
            raise DeepenError(
                "model.size", "model huggingface", f"pictures of {width} x {height} with {channels} channels",
                f"what the network takes: {str(problem).splitlines()[0]}",
                f"data.size={getattr(self.backbone.config, 'image_size', 224)}",
            ) from problem  # fmt: skip
        if not torch.equal(found, again):  # such as a masked autoencoder, which hides other patches each time
            raise DeepenError(
                "model.checkpoint", "model huggingface", f"{type(self.backbone).__name__} sees the same picture otherwise each time",
                "a network without chance in its answers", "its weights saved as a ViTModel, where that is what it is inside",
            )  # fmt: skip
        return found


def _check_text(text: Text, net: Any, checkpoint: str) -> None:
    """Pieces and places must be those the network was trained with."""
    check_pieces(text, net.config.vocab_size, checkpoint)
    first = getattr(getattr(net, "embeddings", None), "padding_idx", None)  # RoBERTa counts places from behind it
    places = getattr(net.config, "max_position_embeddings", 0) - (0 if first is None else first + 1)
    if text.longest > places > 0:
        raise DeepenError(
            "model.checkpoint", "data.longest", f"got {text.longest}", f"at most the checkpoint's {places} places",
            f"data.longest={places}",
        )  # fmt: skip


def _load(checkpoint: str, wanted: str, what: str) -> Any:
    """The network without its last layer, every weight from the folder."""
    try:
        import transformers
    except ImportError:
        raise missing_extra("transformers", "huggingface", "for pretrained networks of that library") from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        net, report = transformers.AutoModel.from_pretrained(
            checkpoint, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # fmt: skip
    except (
        ModuleNotFoundError
    ) as problem:  # it is there, but one that it imports fails, such as another torch's torchvision
        said = str(problem.__cause__ or problem).split("\n")[0][:MOST_SAID]
        raise DeepenError(
            "model.transformers", "import transformers", said, "libraries built for the torch installed",
            "where that names torchvision: pip uninstall torchvision, or the one built for that torch",
        ) from problem  # fmt: skip
    except Exception as problem:  # whatever a damaged file makes of that library's own code
        said = " ".join(str(problem).split())[:MOST_SAID] or type(problem).__name__
        raise DeepenError("model.checkpoint", checkpoint, said, "a network that transformers knows") from problem
    net = getattr(net, TOWERS[wanted], net)
    pooler = getattr(net, "pooler", None)
    learnt = [m for m in pooler.modules() if [*m.parameters(recurse=False)]] if pooler is not None else []
    if any(not isinstance(m, nn.LayerNorm) for m in learnt):
        net.pooler = None  # a layer for another task, which would learn nothing here
    lost = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if lost:
        raise DeepenError(
            "model.checkpoint", checkpoint, f"lacks {counted(len(lost), 'weight')}, {lost[0]} the first",
            "the weights of the network in config.json",
        )  # fmt: skip
    for name, theirs, own in sorted(report["mismatched_keys"]):
        raise DeepenError(
            "model.checkpoint", checkpoint, f"weight {name} of shape {tuple(theirs)}",
            f"{tuple(own)}, as config.json says", "the config.json that belongs to the weights",
        )  # fmt: skip
    if net.config.is_encoder_decoder:
        raise DeepenError(
            "model.checkpoint", checkpoint, f"{type(net).__name__} answers a text with a text",
            "a network that reads only, such as BERT, RoBERTa, ALBERT or GPT-2",
        )  # fmt: skip
    if net.main_input_name != wanted:
        raise DeepenError("model.checkpoint", checkpoint, f"{type(net).__name__} takes {net.main_input_name}", what)
    return net
