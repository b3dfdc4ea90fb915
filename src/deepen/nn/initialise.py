"""What a network's weights begin as, by the name of an initialiser; without one every network has its own start."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.initialisers import Initialiser
from deepen.nn.layout import Transposed, turned
from deepen.nn.sparse import Sparse

Conv = nn.modules.conv._ConvNd
ITEMS = 512  # that a start from data looks at


@torch.no_grad()
def initialise(net: nn.Module, initialiser: Initialiser, inputs: tuple[Tensor, ...]) -> None:
    """Fill the dense and convolution layers; norms, embeddings and recurrent layers stay as they are.

    inputs  of some training items, from which the layer that sees them first may begin
    """
    units = turned(net)
    layers = [m for m in net.modules() if isinstance(m, (nn.Linear, Conv, Sparse))]
    for layer in layers:
        for part in units.get(id(layer.weight), lambda whole: [whole])(layer.weight):
            begun = part.contiguous()
            initialiser.fill(begun, *fans(layer))
            part.copy_(begun)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if type(initialiser).first is not Initialiser.first:
        seen: list[tuple[nn.Module, Tensor]] = []
        hooks = [m.register_forward_pre_hook(lambda m, given: seen.append((m, given[0]))) for m in layers]
        training = net.training
        net.eval()(*inputs)
        net.train(training)
        for hook in hooks:
            hook.remove()
        if seen and getattr(seen[0][0], "groups", 1) == 1 and not isinstance(seen[0][0], (Sparse, Transposed)):
            initialiser.first(*seen[0])


def fans(layer: nn.Module) -> tuple[int, int]:
    """How many weights lead into a unit and out of one."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    if isinstance(layer, Conv):
        window = weight[0, 0].numel()
        return layer.in_channels // layer.groups * window, layer.out_channels // layer.groups * window
    return weight.shape[1], weight.shape[0]
