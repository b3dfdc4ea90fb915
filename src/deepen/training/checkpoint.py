"""A checkpoint: every tensor of a training and its plain state in one safetensors file. No pickle."""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from deepen.errors import DeepenError, counted

FORMAT = 1


def pack(groups: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> bytes:
    """The bytes of a checkpoint."""
    flat = {
        f"{group}/{name}": t.detach().contiguous().cpu().clone()
        for group, ts in groups.items()
        for name, t in ts.items()
    }
    return save(flat, metadata={"deepen": json.dumps({"format": FORMAT, **state})})


def state_of(data: bytes, where: str) -> dict[str, Any]:
    """The plain state in a checkpoint's header."""
    try:
        length = int.from_bytes(data[:8], "little")
        state = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["deepen"])
    except (ValueError, KeyError, TypeError) as problem:
        raise DeepenError(
            "checkpoint.damaged", where, f"{type(problem).__name__}", "a checkpoint deepen wrote"
        ) from problem
    if state["format"] > FORMAT:
        raise DeepenError("checkpoint.newer", where, f"format {state['format']}", f"format {FORMAT}", "update deepen")
    return state


@torch.no_grad()
def unpack(data: bytes, groups: dict[str, dict[str, Tensor]], where: str) -> None:
    """Copy a checkpoint's tensors into the live ones; every name and shape must agree."""
    try:
        found = load(data)
    except SafetensorError as problem:
        raise DeepenError("checkpoint.damaged", where, str(problem), "a checkpoint deepen wrote") from problem
    wanted = {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}
    differ = [
        k
        for k in wanted.keys() | found.keys()
        if k not in wanted or k not in found or (wanted[k].shape, wanted[k].dtype) != (found[k].shape, found[k].dtype)
    ]
    if differ:
        name = sorted(differ)[0]
        shapes = [f"{tuple(t[name].shape)} {t[name].dtype}" if name in t else "absent" for t in (found, wanted)]
        raise DeepenError(
            "checkpoint.differs", where, f"{counted(len(differ), 'tensor')} not alike, first {name}: {shapes[0]} there, {shapes[1]} here",
            "the architecture it was saved with", "resume with the run's own config.yaml",
        )  # fmt: skip
    for name, tensor in wanted.items():
        tensor.copy_(found[name])
