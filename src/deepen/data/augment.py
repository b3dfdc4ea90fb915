"""What is changed in training items at random: the augmentations of a configuration, one after the other.

`draw` gives everything random for the whole global batch as tensors with a column per item; parts of a batch use theirs.
So micro-batches and processes change nothing. What only moves places is looked up once for neighbours: nothing is
blurred, or cut off, between a rotation and a change of size.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from deepen import pixels, registry
from deepen.augmentations import Augmentation, Drawn, Geometry, Mix, chain
from deepen.errors import DeepenError
from deepen.signature import Signature

SEEN = 0.3  # share of a thing that must be left in the frame: of less it is not said that it is there


class Augment:
    """Several changes one after the other, and what is then mixed with another item: `mix`, or None."""

    def __init__(self, specs: tuple[dict[str, Any], ...], signature: Signature) -> None:
        built = [_build(spec, f"train.augment[{i}]", signature) for i, spec in enumerate(specs)]
        mixes = [one for one in built if isinstance(one, Mix)]
        if len(mixes) > 1:
            raise DeepenError("augment.mix", "train.augment", "more than one way of mixing", "one of them")
        self.mix: Any = mixes[0] if mixes else None
        self.steps: list[Any] = [one for one in built if one is not self.mix]
        self.places = [_places(step, signature) for step in self.steps]
        padded = [t.join == "pad" and t.dtype == "float32" for t in signature.tensors]
        self.fills = [t.fill if some else None for t, some in zip(signature.tensors, padded)]  # what stays as it is

    def draw(self, n: int, generator: torch.Generator) -> list[Drawn]:
        return [step.draw(n, generator) for step in self.steps]

    def stored(self, tensors: list[Tensor], drawn: list[Drawn], part: slice | Tensor = slice(None)) -> list[Tensor]:
        """Encoded items, changed; `part`: which columns of what was drawn are theirs."""
        return self._all(tensors, drawn, part, scaled=False)

    def scaled(self, inputs: list[Tensor], drawn: list[Drawn], part: slice | Tensor = slice(None)) -> list[Tensor]:
        """The network's inputs, by what works on those."""
        return self._all(inputs, drawn, part, scaled=True)

    def _all(self, tensors: list[Tensor], drawn: list[Drawn], part: slice | Tensor, scaled: bool) -> list[Tensor]:
        result = [*tensors]
        for place, tensor in enumerate(tensors):
            chosen = [
                (step, {k: v[:, part].to(tensor.device) for k, v in values.items()})
                for step, places, values in zip(self.steps, self.places, drawn)
                if place in places and step.scaled == scaled
            ]
            for run in _runs(chosen):
                changed, fill = _apply(run, result[place]), self.fills[place]
                result[place] = changed if fill is None else torch.where(result[place] == fill, fill, changed)
        return result

    def affine(self, drawn: list[Drawn], height: int, width: int) -> Tensor | None:
        """float (B, 2, 3): from places in the changed pictures to those in the pictures; None: nothing moves."""
        return _chained([*zip(self.steps, drawn)], height, width)


def moved(things: Tensor, matrix: Tensor) -> Tensor:
    """Things (B, M, 4 and more) in changed pictures: x1, y1, x2, y2 as shares of the frame, class, ...

    matrix  as `affine` gives it: from places in the changed pictures to those in the pictures
    What is turned gets the box around its four corners. What is left of a thing in the frame is kept; where that is too
    little, its class and all else becomes -1, as of what fills up.
    """
    x1, y1, x2, y2 = (2 * things[..., :4] - 1).unbind(-1)
    corners = torch.stack([torch.stack([x, y], -1) for x in (x1, x2) for y in (y1, y2)], 2)  # (B, M, 4, 2)
    places = torch.linalg.solve(matrix[:, None, None, :, :2], (corners - matrix[:, None, None, :, 2])[..., None])
    places = (places[..., 0] + 1) / 2
    boxes = torch.cat([places.amin(2), places.amax(2)], -1)
    kept = boxes.clamp(0, 1)
    whole, left = ((b[..., 2:] - b[..., :2]).prod(-1, keepdim=True) for b in (boxes, kept))
    there = (things[..., 4:5] >= 0) & (left >= SEEN * whole) & (left > 0)
    return torch.where(there, torch.cat([kept, things[..., 4:]], -1), -torch.ones_like(things))


Steps = list[tuple[Any, Drawn]]


def _runs(steps: Steps) -> list[Steps]:
    """Neighbours that only move places together, unless whole pixels go to whole pixels: that is done as it stands."""
    runs: list[Steps] = []
    for moves, group in groupby(steps, lambda one: isinstance(one[0], Geometry)):
        some = [*group]
        together = moves and not all(step.whole for step, _ in some)
        runs += [some] if together else [[one] for one in some]
    return runs


def _apply(run: Steps, tensor: Tensor) -> Tensor:
    if len(run) == 1:
        step, drawn = run[0]
        return step.apply(tensor, drawn)
    matrix = _chained(run, *tensor.shape[1:3])
    assert matrix is not None
    return pixels.sampled(tensor, matrix)


def _chained(steps: Steps, height: int, width: int) -> Tensor | None:
    whole: Tensor | None = None
    for step, drawn in steps:
        matrix = step.affine(drawn, height, width)
        if matrix is not None:
            whole = matrix if whole is None else chain(whole, matrix)
    return whole


def _build(spec: dict[str, Any], where: str, signature: Signature) -> Any:
    """An augmentation, if it is made for what goes in."""
    spec = registry.check("augmentations", spec, where, given=("signature",))
    found = registry.load("augmentations", spec["name"])
    if not issubclass(found, (Augmentation, Mix)):
        raise DeepenError("augment.class", where, f"{spec['name']} is no augmentation", "a subclass of Augmentation")
    kinds = [_kind(encoder) for encoder in signature.inputs.values()]
    if issubclass(found, Mix):
        _check_mix(spec["name"], found, where, signature)
    elif not {*kinds} & {*found.takes}:
        _refuse(spec["name"], where, signature, f"an input it is for: {' or '.join(found.takes)}")
    elif found.colours and not any(getattr(encoder, "channels", 0) == 3 for encoder in signature.inputs.values()):
        _refuse(spec["name"], where, signature, "pictures in colour")
    return registry.build("augmentations", spec, signature=signature)


def _check_mix(name: str, mix: type[Mix], where: str, signature: Signature) -> None:
    """Items are mixed number by number, targets too: categories, words, boxes and items of unlike size are not."""
    fine = all(_kind(encoder) in mix.takes for encoder in signature.inputs.values())
    if not fine or any(t.join != "stack" or t.dtype not in {"uint8", "float32"} for t in signature.tensors):
        _refuse(name, where, signature, f"nothing but {' or '.join(mix.takes)}, all numbers of one size")


def _refuse(name: str, where: str, signature: Signature, wanted: str) -> None:
    given = "; ".join(encoder.describe() for encoder in signature.inputs.values())
    fitting = [
        other
        for other in registry.names("augmentations")
        if other != name
        and {*registry.constant("augmentations", other, "takes", ("image",))} & {*map(_kind, signature.inputs.values())}
    ]
    raise DeepenError(
        "augment.kind", where, f"{name} cannot change {given}", wanted,
        f"for these there is {', '.join(fitting)}" if fitting else "train.augment=[]",
    )  # fmt: skip


def _places(step: Any, signature: Signature) -> set[int]:
    """Which of the signature's tensors a step changes: of the inputs it takes, those of numbers, or of words."""
    owners = [encoder for encoder in signature.inputs.values() for _ in encoder.tensors]
    taken = set()
    for place, (owner, tensor) in enumerate(zip(owners, signature.tensors)):
        codes = tensor.dtype == "int64" and _kind(owner) != "text"
        fits = not step.colours or getattr(owner, "channels", 0) == 3
        beside = _kind(owner) == "image" and len(tensor.shape) != 4  # where a picture lies in its frame
        if _kind(owner) in step.takes and not codes and not beside and fits:
            taken.add(place)
    return taken


def _kind(encoder: Any) -> str:
    return type(encoder).__module__.rsplit(".", 1)[1]
