"""A network some of whose channels were taken out: what is left of each layer, and building it so again.

surgery.json maps a layer's name to the shapes of its parameters and buffers; replayed after the network is built as
configured, it gives a smaller network whose weights then load. Forward code needs no change as long as it reads sizes
from its tensors.
"""

from __future__ import annotations

from torch import nn

from deepen.errors import DeepenError

Surgery = dict[str, dict[str, list[int]]]

SIZES: dict[type[nn.Module], dict[str, tuple[str, int]]] = {
    nn.Linear: {"out_features": ("weight", 0), "in_features": ("weight", 1)},
    nn.modules.conv._ConvNd: {"out_channels": ("weight", 0)},
    nn.modules.batchnorm._BatchNorm: {"num_features": ("running_mean", 0)},
    nn.Embedding: {"num_embeddings": ("weight", 0), "embedding_dim": ("weight", 1)},
}


def describe(network: nn.Module) -> Surgery:
    """The shapes of every layer as they are now."""
    found: Surgery = {}
    for name, layer in network.named_modules():
        own = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}
        if own:
            found[name] = {key: list(tensor.shape) for key, tensor in own.items()}
    return found


def replay(network: nn.Module, surgery: Surgery) -> None:
    """Give each named layer the shapes it was left with; the values come afterwards, from the saved weights."""
    layers = dict(network.named_modules())
    for name, shapes in surgery.items():
        if name not in layers:
            raise DeepenError(
                "run.surgery",
                f"surgery.json: {name}",
                "the network has no such layer",
                "the architecture in config.yaml",
            )
        layer = layers[name]
        depthwise = getattr(layer, "groups", 1) > 1 and layer.groups == layer.in_channels
        for key, shape in shapes.items():
            tensor = getattr(layer, key)
            if list(tensor.shape) == shape:
                continue
            smaller = tensor.detach().new_empty(shape)
            setattr(layer, key, nn.Parameter(smaller) if isinstance(tensor, nn.Parameter) else smaller)
        _resize(layer, depthwise)


def _resize(layer: nn.Module, depthwise: bool) -> None:
    """The layer's own record of its sizes, from its tensors."""
    for cls, sizes in SIZES.items():
        if isinstance(layer, cls):
            for attribute, (key, axis) in sizes.items():
                tensor = getattr(layer, key)
                if tensor is not None:
                    setattr(layer, attribute, tensor.shape[axis])
    if isinstance(layer, nn.modules.conv._ConvNd):
        layer.groups = layer.out_channels if depthwise else layer.groups
        layer.in_channels = layer.weight.shape[1] * layer.groups
