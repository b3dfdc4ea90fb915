"""Forecasts as changes from the newest value: what a series is worth drifts, how it moves stays.

    y = x_L + net(x - x_L)        x_L: the newest row of the window, y: of the columns that are forecast

Paper    Zeng et al. 2023, arXiv:2205.13504, section 4 (NLinear), here around any network.
Letters  B items, C columns seen, D forecast, L rows, h steps ahead
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.signature import Signature


class FromNewest(nn.Module):
    """A network that sees each window from its newest row: (B, C, L) to (B, D h)."""

    places: Tensor
    factor: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module, signature: Signature) -> None:
        super().__init__()
        (seen,), ahead = signature.inputs.values(), signature.answer
        places = [seen.columns.index(name) for name in ahead.columns]
        of = lambda values: torch.tensor([values[i] for i in places])
        mean, scale = torch.tensor(ahead.mean), torch.tensor(ahead.scale)
        self.net, self.horizon = net, ahead.horizon
        self.register_buffer("places", torch.tensor(places))
        self.register_buffer("factor", of(seen.scale) / scale)  # from the scale of what is seen to that of the answers
        self.register_buffer("shift", (of(seen.mean) - mean) / scale)

    def features(self, series: Tensor) -> Tensor:
        """To (B, d)."""
        return self.net.features(series - series[:, :, -1:])  # type: ignore[operator]

    def forward(self, series: Tensor) -> Tensor:
        newest = series[:, :, -1]
        level = newest.index_select(1, self.places) * self.factor + self.shift  # (B, D)
        return self.net(series - newest.unsqueeze(2)) + level.repeat_interleave(self.horizon, 1)
