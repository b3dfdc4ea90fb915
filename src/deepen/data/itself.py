"""Items that answer for themselves: what a method that learns without labels has its network answer. Torch-free.

A method names a kind (`answers`), and that kind says what goes in, what is to come out and how it is measured:

    of(inputs, columns, rows, **settings)   the kind fitted to the training rows of what was read; `settings`: what
                                            the method says of itself or is told, where the kind has a field for it
    column(inputs, columns)                 the truth, an item each
    reads, given(count)                     of a kind whose network is not given the items themselves: how they were
                                            read, and the encoder and values of what goes in in their place

A network names the method it learns by where there are no labels and none was said (`alone`), and its kind where it is
another than the method's (`alone_kind`).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from deepen import registry
from deepen.config import METHOD, Config
from deepen.preprocess.row import text_or_none
from deepen.signature import Signature

if TYPE_CHECKING:
    from deepen.data.items import Items
    from deepen.data.prepare import Prepared

NAME = "item"


def alone(config: Config, items: Items) -> Config:
    """The configuration with the method that its network learns by where no item has a label and none was asked for."""
    name = (config.model or {"name": ":"})["name"]
    own = None if ":" in name else registry.constant("models", name, "alone")
    if own is None or config.method != METHOD:
        return config
    bare = items.missing is not None or all(text_or_none(value) is None for value in items.target)
    return dataclasses.replace(config, method={"name": own}) if bare else config


def read_by(signature: Signature) -> Signature:
    """The signature that items are read by, from the one that the network answers by."""
    if not signature.outputs or not hasattr(signature.answer, "column"):
        return signature
    reads = getattr(signature.answer, "reads", None)
    inputs = signature.inputs if reads is None else {name: _encoder(given) for name, given in reads.items()}
    return Signature(inputs, {})


def answered(prepared: Prepared, known: Signature, config: Config) -> Prepared:
    """The items with what is asked of them; by the kind in `known`, or fitted here where it holds none."""
    inputs, passed, columns = prepared.signature.inputs, prepared.signature.passed, prepared.columns
    name = answers(config, inputs)
    if name is None or prepared.signature.outputs:
        return prepared
    kind = known.answer if known.outputs else _fitted(name, prepared, config)
    target = kind.column(inputs, columns)
    if not hasattr(kind, "reads"):
        return dataclasses.replace(prepared, signature=Signature(inputs, {NAME: kind}, passed), target=target)
    items = prepared.items
    encoder, draws = kind.given(len(items))
    name = encoder.tensors[0].name
    return dataclasses.replace(
        prepared,
        items=dataclasses.replace(items, inputs={name: draws}, encoders={}),
        signature=Signature({name: encoder}, {NAME: kind}),
        columns={name: draws},
        target=target,
    )


def kind_of(config: Config) -> Any:
    """The kind that a network says itself it answers by, where the labels do not say it."""
    model, method = (config.model or {"name": ":"})["name"], config.method["name"]
    if ":" in model or ":" in method or registry.constant("methods", method, "labelled", True):
        return None
    name = registry.constant("models", model, "alone_kind")
    return None if name is None else registry.load("kinds", name)


def answers(config: Config, inputs: dict[str, Any]) -> str | None:
    """The kind that a method's network answers by, where the labels do not say it."""
    name, own = config.method["name"], kind_of(config)
    if own is not None:
        return own.__module__.rsplit(".", 1)[1]
    found = None if ":" in name else registry.constant("methods", name, "answers")
    if not isinstance(found, dict):
        return found
    return found.get(_described(next(iter(inputs.values())))["kind"] if len(inputs) == 1 else "", found[""])


def _fitted(name: str, prepared: Prepared, config: Config) -> Any:
    """The kind, with those of the method's settings that are its own, and of a network's that is made for it."""
    kind = registry.load("kinds", name)
    inputs = prepared.signature.inputs
    method, fields = config.method["name"], kind.__struct_fields__
    said = {name: registry.constant("methods", method, name) for name in fields}
    known = {f.name: config.method.get(f.name, f.default) for f in registry.fields("methods", method)}
    model = config.model or {"name": getattr(kind, "model", ":")}
    if hasattr(kind, "model") and ":" not in model["name"]:
        known |= {f.name: model.get(f.name, f.default) for f in registry.fields("models", model["name"])}
    own = {name: value for name, value in (said | known).items() if name in fields and value is not None}
    if "reads" in fields:
        own["reads"] = {key: _described(encoder) for key, encoder in inputs.items()}
    return kind.of(inputs, prepared.columns, prepared.parts["train"], **own)


def _described(encoder: Any) -> dict[str, Any]:
    return {"kind": type(encoder).__module__.rsplit(".", 1)[1], **msgspec.to_builtins(encoder)}


def _encoder(given: dict[str, Any]) -> Any:
    values = {key: value for key, value in given.items() if key != "kind"}
    return msgspec.convert(values, registry.load("preprocess", given["kind"]))
