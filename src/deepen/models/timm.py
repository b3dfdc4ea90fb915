"""A network for pictures from the timm library, weights and all, from a folder on this machine.

    last layer (what the network gives before its own classifier)

The folder is what timm saves for its hub: config.json, which names the architecture, and model.safetensors. Pickled
weights are refused. The folder must stay where it is: a run keeps the weights, config.json says how the network is built.
With `download` a name on huggingface.co stands for the folder; it is fetched when a training begins, once (data/hub.py).
Source   Wightman 2019, doi:10.5281/zenodo.4414861, of that library; the networks' papers stand in its files.
Differs  pictures are normalised by the training data's own mean and deviation, not by the folder's pretrained_cfg; grey
         pictures are shown three times where the network takes three channels.
Letters  B items, C channels, K classes, d features
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from deepen.data import hub
from deepen.errors import DeepenError, missing_extra
from deepen.nn.inputs import picture_of
from deepen.signature import Signature

ELSEWHERE = ("pretrained", "checkpoint", "cache", "num_classes")  # options that name other weights, or the classifier


class Timm(nn.Module):
    """A pretrained network for pictures of the timm library, from a local folder.

    checkpoint  the folder, with config.json and model.safetensors; with `download` a name on huggingface.co
    download    whether the network of that name may be fetched; what was fetched is kept and not asked for again
    revision    its commit; none: the newest, or the copy that is here; a run says which it was
    """

    takes = ("image",)

    def __init__(
        self, signature: Signature, checkpoint: str, download: bool = False, revision: str | None = None
    ) -> None:
        super().__init__()
        image = picture_of(signature, "timm")
        checkpoint = hub.folder(checkpoint, download, revision, "a folder that timm's save_for_hf wrote")
        self.backbone, channels = _load(checkpoint)
        self.copies = 3 if (image.channels, channels) == (1, 3) else 1
        with torch.no_grad():
            width = self._tried(torch.zeros(1, image.channels, image.height, image.width)).shape[1]
        self.last = nn.Linear(width, signature.answer.width)

    def features(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, d)."""
        return self.backbone(image.expand(-1, self.copies, -1, -1) if self.copies > 1 else image)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, K)."""
        return self.last(self.features(image))

    def _tried(self, image: Tensor) -> Tensor:
        """The features of one picture, or what is wrong with its size or channels."""
        try:
            return self.eval().features(image)
        except (AssertionError, ValueError, RuntimeError) as problem:
            channels, height, width = image.shape[1:]
            raise DeepenError(
                "model.size", "model timm", f"pictures of {width} x {height} with {channels} channels",
                f"what the network takes: {(str(problem) or 'another size').splitlines()[0]}", "set data.size",
            ) from problem  # fmt: skip


def _load(checkpoint: str) -> tuple[Any, int]:
    """The network without its classifier, every weight from the folder, and its channels in."""
    config = _config(checkpoint)
    try:
        from timm import create_model, is_model
    except ImportError:
        raise missing_extra("timm", "timm", "for pretrained networks of that library") from None
    except RuntimeError as problem:  # torchvision, which timm imports, was built for another torch
        raise DeepenError(
            "model.timm", "import timm", str(problem).splitlines()[0], "a torchvision built for the torch installed"
        ) from problem
    name, options = config["architecture"], dict(config.get("model_args") or {})
    if not is_model(name):  # a place to fetch from would be taken as a name too
        raise DeepenError(
            "model.checkpoint", f"{checkpoint}/config.json", f"architecture {name!r}", "a network timm knows"
        )
    options = {key: value for key, value in options.items() if not key.startswith(ELSEWHERE)}
    place = f"{checkpoint}/model.safetensors"
    try:
        net = create_model(name, pretrained=False, num_classes=0, **options)
        weights = load_file(place)
    except (RuntimeError, TypeError, ValueError, OSError, SafetensorError) as problem:
        raise DeepenError(
            "model.checkpoint", checkpoint, str(problem).splitlines()[0], "a network that timm knows, and its weights"
        ) from problem
    _fill(net, weights, place)
    return net, int(options.get("in_chans", net.default_cfg.get("input_size", (3,))[0]))


def _config(checkpoint: str) -> dict[str, Any]:
    place = Path(checkpoint) / "config.json"
    try:
        config = json.loads(place.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise DeepenError("model.checkpoint", str(place), str(problem), "JSON") from problem
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise DeepenError(
            "model.checkpoint", str(place), "no architecture in it", "the name of a network of timm",
            "a folder of the transformers library is model.name=huggingface",
        )  # fmt: skip
    return config


def _fill(net: Any, weights: dict[str, Tensor], place: str) -> None:
    """Every weight from the file; what is left over may only be the classifier's."""
    given = net.default_cfg.get("classifier") or ()
    classifier = (given,) if isinstance(given, str) else tuple(given)
    own = net.state_dict()
    wrong = sorted(name for name, tensor in own.items() if name not in weights or weights[name].shape != tensor.shape)
    other = sorted(name for name in weights if name not in own and not name.startswith(classifier))
    if wrong or other:
        found = f"{wrong[0]} is missing or of another shape" if wrong else f"{other[0]} has no place"
        raise DeepenError("model.checkpoint", place, found, "the weights of the network in config.json")
    net.load_state_dict({name: weights[name] for name in own})
