"""Another library's network with our weights: layers are paired in the order they run, so no names are mapped."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LAYERS = (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.Linear, nn.LayerNorm)


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def in_order(net: nn.Module, run: Any) -> list[nn.Module]:
    """The layers with weights, in the order in which `run(net)` comes by."""
    found: list[nn.Module] = []
    layers = [layer for layer in net.modules() if isinstance(layer, LAYERS)]
    hooks = [layer.register_forward_hook(lambda layer, *_: found.append(layer)) for layer in layers]
    with torch.no_grad():
        run(net)
    for hook in hooks:
        hook.remove()
    assert len(found) == len(layers), "every layer runs once"
    return found


def tensors(layer: nn.Module) -> list[Tensor]:
    own = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}
    return [tensor.data for name, tensor in own.items() if name != "num_batches_tracked"]


def fill(layers: list[nn.Module], seed: int = 0) -> None:
    """Numbers that keep the size of what passes, the same on every machine; norms are not at their start."""
    draw = np.random.RandomState(seed)  # its stream is frozen
    for layer in layers:
        for tensor, name in zip(tensors(layer), ("weight", "bias", "mean", "variance")):
            if tensor.dim() > 1:
                values = draw.uniform(-1, 1, tensor.shape) * np.sqrt(6 / tensor[0].numel())
            elif name in {"weight", "variance"}:
                values = draw.uniform(0.6, 1.1, tensor.shape)
            else:
                values = draw.uniform(-0.2, 0.2, tensor.shape)
            tensor.copy_(torch.from_numpy(values.astype(np.float32)))


def transplant(ours: list[nn.Module], theirs: list[nn.Module]) -> None:
    """Our weights into their network; a dense layer may stand for a 1x1 convolution."""
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        pairs = list(zip(tensors(mine), tensors(other), strict=True))
        for source, target in pairs:
            target.copy_(source.reshape(target.shape))
        for attribute in ("eps", "stride", "groups"):
            assert getattr(mine, attribute, None) == getattr(other, attribute, None) or isinstance(mine, nn.Linear), (
                f"{attribute} of {mine} is not that of {other}"
            )


def answer_and_gradient(run: Any, image: Tensor) -> tuple[Tensor, Tensor]:
    """What a network says, and how every pixel moves a fixed mixture of it."""
    image = image.clone().requires_grad_()
    answer = run(image)
    mixture = torch.cos(torch.arange(answer.numel(), dtype=torch.float32)).reshape(answer.shape)
    (answer * mixture).sum().backward()
    return answer.detach(), image.grad


def assert_equal(mine: Tensor, other: Tensor, within: float = 1e-5) -> None:
    """To 1e-5 of the largest number."""
    mine, other = mine.detach(), other.detach()
    assert mine.shape == other.shape
    torch.testing.assert_close(mine, other, rtol=0, atol=within * float(other.abs().max()))
