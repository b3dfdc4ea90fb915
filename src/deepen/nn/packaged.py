"""The trained thing: Packaged(normalise, net, head) takes encoded items and gives answers. This is what is exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.nn import layout
from deepen.signature import Signature
from deepen.tensors import Arrays


class Packaged(nn.Module):
    """Encoded items in, answer tensors out; no other step is needed and none can be forgotten."""

    def __init__(self, normalise: nn.Module, net: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.normalise, self.net, self.head = normalise, net, head

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.head(self.net(*self.normalise(*tensors)))


class TorchRuntime:
    """Runs a Packaged on arrays, as the runtimes/ do with an exported graph."""

    def __init__(self, packaged: Packaged, signature: Signature, device: str = "cpu") -> None:
        packaged.eval().to(device)
        layout.fast(packaged)
        self.packaged = packaged
        self.device = device
        self.inputs = [t.name for t in signature.tensors]
        self.outputs = [t.name for t in signature.output_tensors]

    @torch.inference_mode()
    def features(self, arrays: Arrays) -> np.ndarray | None:
        """The network's last hidden layer (B, d); None where it has no `features`."""
        look: Any = getattr(self.packaged.net, "features", None)
        if look is None:
            return None
        given = [torch.from_numpy(np.ascontiguousarray(arrays[name])).to(self.device) for name in self.inputs]
        return look(*self.packaged.normalise(*given)).flatten(1).cpu().numpy()

    @torch.inference_mode()
    def made(self, count: int) -> np.ndarray | None:
        """Items that the network makes from draws of its own (count, ...); None where it has no `sample`."""
        sample: Any = getattr(self.packaged.net, "sample", None)
        if sample is None:
            return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return sample(count).cpu().numpy()

    @torch.inference_mode()
    def run(self, arrays: Arrays) -> dict[str, Any]:
        given = [torch.from_numpy(np.ascontiguousarray(arrays[name])).to(self.device) for name in self.inputs]
        result = self.packaged(*given)
        result = result if isinstance(result, tuple) else (result,)
        return {name: value.cpu().numpy() for name, value in zip(self.outputs, result)}
