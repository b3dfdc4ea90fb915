"""Fixed-size inputs of any kind as one vector per item."""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from deepen import registry
from deepen.errors import DeepenError
from deepen.nn.language import Ahead
from deepen.nn.series import FromNewest
from deepen.preprocess.optional import Optional
from deepen.schema import coerce
from deepen.signature import Signature

MOST_NAMED = 5  # networks that an error proposes
USUAL = {"classes", "labels", "number"}  # answers that any network can learn, also one made for others
VECTOR = "vector"  # (B, width): what most answers are made of
HAS = {"features": "a network", "maps": "a network with maps", "states": "a network for sequences"}


@runtime_checkable
class Measured(Protocol):
    """A network that looks at training items, labelled or not, once before it learns (borders of bins, say)."""

    def measure(self, *inputs: Tensor) -> None:
        """`inputs`: normalised, as the network gets them."""


@runtime_checkable
class Fitted(Protocol):
    """A network without a gradient, fitted to all training items in one go. Kept in its buffers; `fits = True`."""

    def fit(self, inputs: tuple[Tensor, ...], target: Tensor) -> None:
        """`inputs`: normalised, as the network gets them."""


@runtime_checkable
class Settling(Protocol):
    """A network with numbers that follow from all its weights, such as log Z: anew before it is judged or kept."""

    def settle(self) -> None:
        """Of the weights as they are now; the same each time."""


@runtime_checkable
class Mapped(Protocol):
    """A network that has maps of places on its way."""

    def maps(self, image: Tensor) -> list[Tensor]:
        """Each (B, C, ...), large to small."""


class Flat(nn.Module):
    """Pictures and arrays flattened, categories embedded, all concatenated to (B, width)."""

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict()
        self.width = 0
        for place, tensor in enumerate(signature.tensors):
            if not all(isinstance(size, int) for size in tensor.shape[1:]) or tensor.shape[0] != "batch":
                raise DeepenError(
                    "model.input",
                    f"input {tensor.name}",
                    "its size differs from item to item",
                    "a network for sequences or graphs",
                )
            if tensor.name.endswith("categories"):
                name = tensor.name.rpartition(".")[0]  # where there are several inputs, else there is no name
                row = signature.inputs[name or next(iter(signature.inputs))]
                counts = [len(known) + 2 for known in row.categories.values()]
                table = Categories(counts)
                self.embeddings[str(place)] = table
                self.width += table.width
            else:
                self.width += math.prod(int(size) for size in tensor.shape[1:])

    def forward(self, *inputs: Tensor) -> Tensor:
        parts = [
            self.embeddings[str(i)](x) if str(i) in self.embeddings else torch.flatten(x, 1)
            for i, x in enumerate(inputs)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class Categories(nn.Module):
    """Codes int64 (B, c) to (B, width): a table per column, its size the usual rule of thumb min(50, 1.6 n^0.56)."""

    def __init__(self, counts: list[int], most: int = 50) -> None:
        super().__init__()
        self.sizes = [min(most, round(1.6 * n**0.56)) for n in counts]
        self.tables = nn.ModuleList(nn.Embedding(n, size) for n, size in zip(counts, self.sizes))
        for table in self.tables:
            nn.init.normal_(table.weight, std=0.1)  # type: ignore[arg-type]
        self.width = sum(self.sizes)

    def forward(self, codes: Tensor) -> Tensor:
        return torch.cat([table(codes[:, j]) for j, table in enumerate(self.tables)], 1)


def network(spec: dict[str, Any], signature: Signature, answers: bool = True) -> Any:
    """The network a spec names, with fresh weights; inputs it is not made for are refused.

    A network says what it takes: `takes`, names of encoders, and `joins` where it puts several inputs side by side; and
    with `kinds` what answers it is for first. A user's own class may leave that out and judge for itself. What it `gives`
    (a vector, where it does not say; a list of forms, where it gives several) must be of the `form` that the kind of answer
    is made of; not so where `answers` is False, as its features alone are wanted.
    """
    model = registry.load("models", spec["name"])
    _match(signature, spec["name"], getattr(model, "takes", None), getattr(model, "joins", False))
    if answers:
        _answers(signature, spec["name"], _forms(getattr(model, "gives", VECTOR)))
    net = registry.build("models", spec, signature=signature)
    if not isinstance(net, nn.Module) or any(nn.parameter.is_lazy(p) for p in net.parameters()):
        raise DeepenError(
            "model.class", f"model {spec['name']}",
            "layers without a size" if isinstance(net, nn.Module) else f"a {type(net).__name__}",
            "a torch.nn.Module whose weights have their sizes", "the signature tells them: signature.tensors[0].shape",
        )  # fmt: skip
    kinds = signature.outputs.values()
    if any(getattr(kind, "relative", False) for kind in kinds):
        return FromNewest(net, signature)
    return Ahead(net) if any(getattr(kind, "each", False) for kind in kinds) else net


def backbone(spec: Any, signature: Signature, where: str, has: str = "features") -> Any:
    """The network a spec names as a part of another, without its last layer.

    where  the setting that names it
    has    what the outer network has of it: features (a vector), maps (of places), or states (of steps)
    """
    spec = registry.resolve("models", coerce(spec, "Spec", where), where)
    name = spec["name"]
    if lacks := _lacks(name, signature, has):
        known = [other for other in registry.names("models") if not _lacks(other, signature, has)]
        made = f"{HAS[has]} for {'; '.join(encoder.describe() for encoder in signature.inputs.values())}"
        raise DeepenError("model.part", where, f"{name} {lacks}", made, f"one of {', '.join(known)}")
    try:
        net = network(registry.check("models", spec, where, given=("signature",)), signature, answers=False)
    except DeepenError as problem:
        if problem.where != f"model {name}":
            raise
        way = problem.fix.replace("model=", f"{where}=")  # the inner one is what is wrong, and what can be changed
        raise DeepenError(problem.code, f"{where} {name}", problem.found, problem.expected, way) from problem
    net.last = nn.Identity()
    return net


def _lacks(name: str, signature: Signature, has: str) -> str:
    """Why a network cannot be a part that `has` what is wanted, if so."""
    model = registry.load("models", name)
    takes = getattr(model, "takes", None)
    if not _fits(signature, takes, getattr(model, "joins", False)):
        return f"takes {' or '.join(kind for kind in takes or () if kind != 'optional')}"
    if getattr(model, "kinds", ()):
        return "is made for answers of its own"
    if getattr(model, "fits", False):
        return "learns without a gradient, which a part cannot"
    return "" if callable(getattr(model, has, None)) else f"has no {has} on its way"


def _match(signature: Signature, name: str, takes: tuple[str, ...] | None, joins: bool = False) -> None:
    if _fits(signature, takes, joins):
        return
    kind = type(signature.answer).__module__.rsplit(".", 1)[1] if signature.outputs else ""
    made_for = {other: registry.constant("models", other, "kinds", ()) for other in registry.names("models")}
    special = kind not in USUAL and any(kind in kinds for kinds in made_for.values())
    others = [
        f"model={other}"
        for other, kinds in made_for.items()
        if (kind in kinds if special else not kinds)
        and not registry.constant("models", other, "fits", False)  # what learns without gradients is a thing apart
        and _fits(
            signature,
            registry.constant("models", other, "takes", ()),
            registry.constant("models", other, "joins", False),
        )
    ]
    raise DeepenError(
        "model.input",
        f"model {name}",
        "; ".join(encoder.describe() for encoder in signature.inputs.values()),
        f"one {' or '.join(name for name in takes or () if name != 'optional')} per item",
        " or ".join(others[:MOST_NAMED]) + (", ... (deepen list models)" if len(others) > MOST_NAMED else "")
        or "no network here gives such an answer to such items",
    )


def _fits(signature: Signature, takes: tuple[str, ...] | None, joins: bool) -> bool:
    """Whether inputs are what a network takes; what says nothing may take all."""
    inner = [encoder.inner if isinstance(encoder, Optional) else encoder for encoder in signature.inputs.values()]
    found = [type(encoder).__module__.rsplit(".", 1)[1] for encoder in inner]
    wanted = {*found, *(["optional"] if inner != [*signature.inputs.values()] else [])}
    return takes is None or (wanted <= {*takes} and (joins or len(found) == 1))


def _answers(signature: Signature, name: str, gives: tuple[str, ...]) -> None:
    """Refuse a network whose output is not what the answer is made of; features alone may come from any."""
    form = getattr(signature.answer, "form", VECTOR) if signature.outputs else gives[0]
    if form in gives:
        return
    others = [n for n in registry.names("models") if form in _forms(registry.constant("models", n, "gives", VECTOR))]
    raise DeepenError(
        "model.answer", f"model {name}", f"the answer is {signature.answer.describe()}",
        "a network made for such answers" if VECTOR in gives else "an answer it is made for",
        " or ".join(f"model={other}" for other in others[:MOST_NAMED]),
    )  # fmt: skip


def _forms(gives: str | tuple[str, ...]) -> tuple[str, ...]:
    return (gives,) if isinstance(gives, str) else gives


def picture_of(signature: Signature, model: str, least: int = 1) -> Any:
    """The encoder of the one picture a network for pictures takes, at least so many pixels a side."""
    _match(signature, model, ("image",))
    (image,) = signature.inputs.values()
    if min(image.height, image.width) < least:
        raise DeepenError(
            "model.size", f"model {model}", f"pictures of {image.width} x {image.height}", f"at least {least} x {least}",
            f"data.size={least}, or a network for small pictures: model=cnn, model=resnet20",
        )  # fmt: skip
    return image
