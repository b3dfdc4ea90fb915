"""What goes into a model and what comes out: one document from data to monitor, so no stage asks the user twice.

Inputs are encoders (preprocess/): how a raw item becomes tensors. Outputs are kinds (kinds/): how tensors become an
answer. Both are fitted on the training rows and stored as plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import msgspec

from deepen import registry
from deepen.errors import DeepenError
from deepen.kinds.several import Several
from deepen.preprocess.optional import Optional
from deepen.tensors import Tensor

FORMAT = 1


class Signature:
    """Named encoders and named kinds, in the order the network takes and gives them. It does not change once it is made.

    passed  columns of the data trained on that nothing is read from: left out there, or the answer itself
    """

    def __init__(self, inputs: dict[str, Any], outputs: dict[str, Any], passed: Iterable[str] = ()) -> None:
        self.inputs, self.outputs, self.passed = inputs, outputs, frozenset(passed)

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """The network's inputs in order. Where several features bring tensors, each carries its feature's name."""
        if len(self.inputs) == 1:
            return next(iter(self.inputs.values())).tensors
        return tuple(
            msgspec.structs.replace(t, name=f"{name}.{t.name}") for name, f in self.inputs.items() for t in f.tensors
        )

    @cached_property
    def output_tensors(self) -> tuple[Tensor, ...]:
        if len(self.outputs) == 1:
            return next(iter(self.outputs.values())).tensors
        return tuple(
            msgspec.structs.replace(t, name=f"{name}.{t.name}") for name, k in self.outputs.items() for t in k.tensors
        )

    @property
    def answer(self) -> Any:
        """The kind of the first answer, the one that decides."""
        return next(iter(self.outputs.values()))

    @cached_property
    def whole(self) -> bool:
        """Whether encoded items say all that training could make of them; else the raw ones have to be kept too."""
        return all(registry.defines("preprocess", _kind(encoder), "restore") for encoder in self.inputs.values())

    def dump(self, item: Any) -> Any:
        """A raw item as JSON can carry it, and as the Predictor's `parse` takes it."""
        if len(self.inputs) == 1:
            return next(iter(self.inputs.values())).dump(item)
        return {name: encoder.dump(item[name]) for name, encoder in self.inputs.items()}

    def document(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "inputs": [_describe("preprocess", name, part) for name, part in self.inputs.items()],
            "outputs": [_describe("kinds", name, part) for name, part in self.outputs.items()],
            "tensors": msgspec.to_builtins(self.tensors),
            "passed": sorted(self.passed),
        }

    def to_json(self) -> str:
        return json.dumps(self.document(), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "signature.json") -> Signature:
        """The signature in a JSON text. Kinds are taken from this package by name, never from the file."""
        try:
            document = json.loads(text)
            if document["format"] != FORMAT:
                raise DeepenError(
                    "signature.format", where, f"format {document['format']}", f"format {FORMAT}", "update deepen"
                )
            inputs = {part["name"]: _restore("preprocess", part) for part in document["inputs"]}
            outputs = {part["name"]: _restore("kinds", part) for part in document["outputs"]}
            passed = msgspec.convert(document.get("passed", []), list[str])  # older ones do not say it
        except (ValueError, KeyError, TypeError, msgspec.ValidationError) as problem:
            raise DeepenError(
                "signature.damaged", where, f"{type(problem).__name__}: {problem}", "a signature"
            ) from problem
        return cls(inputs, outputs, passed)


def _describe(family: str, name: str, part: Any) -> dict[str, Any]:
    if isinstance(part, Optional):
        return {**_describe(family, name, part.inner), "optional": True}
    if isinstance(part, Several):
        return {"name": name, "kind": "several", "kinds": [_describe(family, n, k) for n, k in part.kinds.items()]}
    return {"name": name, "kind": _kind(part), **msgspec.to_builtins(part)}


def _kind(part: Any) -> str:
    return str(type(part).__module__.rsplit(".", 1)[1])


def _restore(family: str, part: dict[str, Any]) -> Any:
    if part["kind"] not in registry.names(family):
        raise DeepenError(
            "signature.kind",
            f"signature {part['name']}",
            f"kind {part['kind']!r}",
            f"one of {', '.join(registry.names(family))}",
        )
    if part["kind"] == "several":
        return Several({each["name"]: _restore(family, each) for each in part["kinds"]})
    values = {key: value for key, value in part.items() if key not in {"name", "kind", "optional"}}
    found = msgspec.convert(values, registry.load(family, part["kind"]))
    return Optional(found) if part.get("optional") else found
