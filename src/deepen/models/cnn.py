"""Plain convolutional network in 1, 2 or 3 dimensions.

    per stage   [conv - norm - act] x repeat (or as many residual blocks) - pool
    then        mean or maximum over all places (or all of them side by side) - dense layers - K

Signals (C, L), pictures (C, H, W) and clips (C, T, H, W) go through the same code; an array with one dimension less
has one channel. A sound is a picture of frames and pitches, filled up to the longest there is. Fewer than 100,000 weights (channels 32, 48, 64; repeat 2) reach 93 % on Fashion-MNIST.

Paper    LeCun et al. 1989, Neural Computation 1(4), 541-551.
Letters  B items, C channels, K classes, d features
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.errors import DeepenError
from deepen.nn.coding import check_stages
from deepen.nn.layers import CONVOLUTIONS, Bottleneck, Residual, SpatialDropout, norm, pooled, pooling
from deepen.nn.layers import activation as activation_of
from deepen.nn.layers import attention as attention_of
from deepen.nn.sequence import heard
from deepen.preprocess.array import Array
from deepen.preprocess.audio import Audio
from deepen.preprocess.image import Image
from deepen.schema import Activation, Count, Natural, Share
from deepen.signature import Signature


class CNN(nn.Module):
    """Convolutions stage by stage, pooled, then dense layers; for signals, pictures, sounds and clips.

    channels   of each stage
    repeat     convolutions (residual: blocks) in a stage
    padding    none: half the kernel, so that stride 1 keeps the size
    stride     of the first convolution of a stage
    norm       group, instance (each map by itself) and layer (all maps) look at one item alone, batch at many
    pool       after a stage, as long as the window fits; lp: the p-norm, with `power` for p
    power      p of that norm: 1 the sum, large: the maximum
    window     places a side that are pooled
    pool_stride  places from one window to the next; none: windows side by side
    residual   true: blocks of two convolutions with a way around; bottleneck: of three, a quarter of the channels inside
    attention  se: channels are weighed; cbam: channels, then places. At the end of a block, or of a stage of plain ones
    collect    how the last maps become features: average or max over places, flatten: all of them
    spatial_dropout  share of whole maps left out after each stage, while training
    dense      hidden layers after that
    dimensions that kernels have; none: 2 for pictures and sounds, for arrays all axes but the first
    """

    takes = ("image", "array", "audio")
    tiny = {"channels": [4, 8]}

    def __init__(
        self,
        signature: Signature,
        channels: tuple[Count, ...] = (32, 64, 128),
        repeat: Count = 1,
        kernel: Count = 3,
        stride: Count = 1,
        padding: Natural | None = None,
        pool: Literal["max", "average", "lp", "none"] = "max",
        window: Count = 2,
        pool_stride: Count | None = None,
        power: Count = 2,
        norm: Literal["batch", "group", "instance", "layer", "none"] = "batch",
        activation: Activation = "relu",
        residual: bool | Literal["bottleneck"] = False,
        attention: Literal["none", "se", "cbam"] = "none",
        dropout: Share = 0.0,
        spatial_dropout: Share = 0.0,
        dense: tuple[Count, ...] = (),
        collect: Literal["average", "max", "flatten"] = "average",
        dimensions: Literal[1, 2, 3] | None = None,
    ) -> None:
        super().__init__()
        inside, sizes = _shape(signature, dimensions)
        self.dimensions, self.collect = len(sizes), collect
        first = next(iter(signature.inputs.values()))
        self.longest = first.longest if isinstance(first, Audio) else None  # frames of a sound
        pad = _padding(kernel, padding, bool(residual))
        blocks = Bottleneck if residual == "bottleneck" else Residual
        check_stages(channels)
        _check_widening(channels, blocks.widening)
        pool_stride = pool_stride or window

        def block(inside: int, width: int, step: int) -> list[nn.Module]:
            if not residual:
                return _convolution(inside, width, kernel, step, pad, len(sizes), norm, activation)
            return [
                blocks(
                    inside, width // blocks.widening, step, kernel=kernel, dimensions=len(sizes), normalisation=norm,
                    activate=activation, attend=attention,
                )
            ]  # fmt: skip

        self.stages = nn.ModuleList()
        for width in channels:
            stage = nn.Sequential()
            for step in (stride, *[1] * (repeat - 1)):
                stage.extend(block(inside, width, step))
                sizes = [(size + 2 * pad - kernel) // step + 1 for size in sizes]
                inside = width
            _check_places(sizes, norm)
            if not residual:
                stage.extend(attention_of(attention, width, len(sizes)))
            if pool != "none" and min(sizes) >= window:
                stage.append(pooling(pool, len(sizes), window, pool_stride, power))
                sizes = [(size - window) // pool_stride + 1 for size in sizes]
            if spatial_dropout:
                stage.append(SpatialDropout(spatial_dropout))
            self.stages.append(stage)
        _check_left(sizes)
        width = inside * (math.prod(sizes) if collect == "flatten" else 1)
        self.dense = nn.Sequential(nn.Dropout(dropout))
        for size in dense:
            self.dense.extend([nn.Linear(width, size), activation_of(activation), nn.Dropout(dropout)])
            width = size
        self.last = nn.Linear(width, signature.answer.width)

    def maps(self, inputs: Tensor) -> list[Tensor]:
        """(B, C, ...), or (B, ...) with one channel, to the maps after each stage."""
        if self.longest is not None:
            inputs = F.pad(heard(inputs)[0], (0, 0, 0, self.longest))[:, : self.longest]
        x = inputs if inputs.dim() == self.dimensions + 2 else inputs.unsqueeze(1)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found

    def features(self, inputs: Tensor) -> Tensor:
        """To (B, d)."""
        last = self.maps(inputs)[-1]
        if self.collect == "flatten":
            return self.dense(torch.flatten(last, 1))
        return self.dense(pooled(last) if self.collect == "average" else last.flatten(2).amax(2))

    def forward(self, inputs: Tensor) -> Tensor:
        """To (B, K)."""
        return self.last(self.features(inputs))


def _padding(kernel: int, padding: int | None, residual: bool) -> int:
    """Padding on each side; a residual block adds its input to its output, so it must keep the size."""
    if residual and padding not in (None, kernel // 2):
        raise DeepenError("model.padding", "model.padding", f"got {padding}", "nothing: residual blocks keep sizes")
    if residual and kernel % 2 == 0:
        raise DeepenError("model.kernel", "model.kernel", f"got {kernel}", "an odd one: residual blocks keep sizes")
    return kernel // 2 if padding is None else padding


def _check_widening(channels: tuple[int, ...], widening: int) -> None:
    odd = [width for width in channels if width % widening]
    if odd:
        raise DeepenError(
            "model.channels", "model.channels", f"got {odd[0]}", f"multiples of {widening}: a bottleneck has a quarter inside"
        )  # fmt: skip


def _check_places(sizes: list[int], norm: str) -> None:
    if norm == "instance" and {*sizes} == {1}:  # a value less the mean of itself
        raise DeepenError(
            "model.norm", "model.norm", "instance, and a stage's maps have one place: all would be 0", "larger maps",
            "norm=layer or norm=group, or fewer channels: a stage for each",
        )  # fmt: skip


def _check_left(sizes: list[int]) -> None:
    if min(sizes) < 1:
        raise DeepenError(
            "model.size", "model cnn", "nothing is left of the input after the last stage",
            "larger items, or fewer stages, a smaller kernel or stride", "model.channels=[32, 64]",
        )  # fmt: skip


def _convolution(
    inside: int, outside: int, kernel: int, stride: int, padding: int, dimensions: int, norm_name: str, activate: str
) -> list[nn.Module]:
    """Convolution, norm, activation."""
    layer = CONVOLUTIONS[dimensions](inside, outside, kernel, stride, padding, bias=norm_name == "none")
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
    return [layer, norm(norm_name, outside, dimensions), activation_of(activate)]


def _shape(signature: Signature, dimensions: int | None) -> tuple[int, list[int]]:
    """Channels and sizes of the one input, as the network gets it."""
    inputs = list(signature.inputs.values())
    if len(inputs) == 1 and isinstance(inputs[0], Audio):
        if dimensions not in (None, 2):
            raise DeepenError("model.dimensions", "model.dimensions", f"got {dimensions}", "2: frames and pitches")
        return 1, [inputs[0].longest, inputs[0].pitches]
    if len(inputs) == 1 and isinstance(inputs[0], Image):
        if dimensions not in (None, 2):
            raise DeepenError("model.dimensions", "model.dimensions", f"got {dimensions}", "2: these are pictures")
        return inputs[0].channels, [inputs[0].height, inputs[0].width]
    shape = list(inputs[0].shape) if len(inputs) == 1 and isinstance(inputs[0], Array) else []
    wanted = dimensions or min(max(len(shape) - 1, 1), 3)
    if len(shape) - wanted not in (0, 1) or not shape:
        raise DeepenError(
            "model.input", "model cnn", "; ".join(encoder.describe() for encoder in inputs),
            f"pictures, or arrays with {wanted} dimensions and one more for channels", "model=mlp",
        )  # fmt: skip
    return (shape[0], shape[1:]) if len(shape) == wanted + 1 else (1, shape)
