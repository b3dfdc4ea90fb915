"""Labels that people gave through deepen, laid over those the source brings. Torch-free.

A label belongs to an item and its content. Where an item's content has changed, or its name has (a row that moved in
its table), the label goes to the one item that has the content now, or to none; what is left over is counted.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepen import registry
from deepen.config import Config, Labels
from deepen.data.items import Items, words
from deepen.errors import DeepenError, counted
from deepen.preprocess.row import text_or_none
from deepen.store.dataset import Act, Dataset, Standing, place, reading


def pin(config: Config) -> Config:
    """The configuration with the number of acts that count: training it again uses the same labels."""
    if config.labels.acts is not None:
        return config
    with reading(where(config)) as dataset:
        return dataclasses.replace(config, labels=Labels(0 if dataset is None else dataset.serial))


def where(config: Config) -> Path | None:
    """Where the additions to the configured data lie; None for data made up from a seed."""
    path = config.data.get("path")
    return place(path) if isinstance(path, str) else None


def read(config: Config) -> Items:
    """The items of the configured source, with the labels people gave."""
    with reading(where(config)) as dataset:
        if config.labels.acts == 0 or (dataset is None and config.labels.acts is None):
            return _items(config.data)
        standing = _standing(dataset, config)
        assert dataset is not None
        info = dataset.info
    if not standing.labels():
        return _items(config.data)
    items = _items(as_declared(config.data, info))
    return lay(items, marks(items), info, standing)


def _items(spec: dict[str, Any]) -> Items:
    """What a source reads; one of the user's own may be anything."""
    found = registry.build("sources", spec).read()
    if isinstance(found, Items):
        return found.whole() if ":" in spec["name"] else found
    raise DeepenError(
        "config.own",
        spec["name"],
        f"read() gives {type(found).__name__}",
        "deepen.data.items.Items",
        "return Items(ids, ...)",
    )


def as_declared(spec: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """A source's spec, with the declared kind of answer where the source takes one and is given none."""
    takes = ":" not in spec["name"] and any(f.name == "kind" for f in registry.fields("sources", spec["name"]))
    return {**spec, "kind": info["kind"]} if takes and spec.get("kind") is None and "kind" in info else spec


def _standing(dataset: Dataset | None, config: Config) -> Standing:
    have = 0 if dataset is None else dataset.serial
    if config.labels.acts is not None and have < config.labels.acts:
        raise DeepenError(
            "data.changed",
            str(where(config) or config.data["name"]),
            f"{have} acts of labelling",
            f"the {config.labels.acts} this configuration was made with",
            "put the file back, or set labels.acts=null to use what is there",
        )
    assert dataset is not None
    return dataset.now() if config.labels.acts is None else dataset.then(config.labels.acts)


def marks(items: Items) -> list[str]:
    """A hash of each item as it lies: of a row all its cells, whatever is learnt from them.

    To be asked of items fresh from their source, before `content` fills in its own hashes.
    """
    if items.hashes or not items.columns.columns:
        return items.content()
    table = np.ascontiguousarray(words(items.columns))
    return [hashlib.blake2b(row, digest_size=16).hexdigest() for row in table]


class Places:
    """Finds the row a label belongs to."""

    def __init__(self, ids: Sequence[str], contents: Sequence[str]) -> None:
        self.contents = contents
        self.by_name = {name: row for row, name in enumerate(ids)}
        self.by_content: dict[str, int | None] = {}
        for row, content in enumerate(contents):
            self.by_content[content] = None if content in self.by_content else row

    def row(self, item: str, content: str) -> int | None:
        row = self.by_name.get(item)
        return row if row is not None and self.contents[row] == content else self.by_content.get(content)


def located(ids: Sequence[str], contents: Sequence[str], standing: Standing) -> tuple[dict[int, list[Act]], int]:
    """The labels of each row, one per annotator, and how many belong to none."""
    places = Places(ids, contents)
    given: dict[int, list[Act]] = {}
    lost = 0
    for acts in standing.labels().values():
        for act in acts:
            row = places.row(act.item, act.content)
            if row is None:
                lost += 1
            else:
                given.setdefault(row, []).append(act)
    return given, lost


def own(items: Items) -> list[Any]:
    """The source's own raw labels, None where there is none."""
    return [None if text_or_none(value) is None else value for value in items.target]


def fingerprint(items: Items, contents: Sequence[str]) -> str:
    """One hash of all items, without their labels."""
    whole = hashlib.blake2b(digest_size=16)
    for name, content in zip(items.ids, contents):
        whole.update(f"{name}\0{content}\n".encode())
    return whole.hexdigest()


def lay(items: Items, contents: Sequence[str], info: dict[str, Any], standing: Standing) -> Items:
    """The items with each label in its place; several people's become one as the kind says."""
    kind = registry.load("kinds", info["kind"]).named(info.get("names", ()))
    given, lost = located(items.ids, contents, standing)
    same = items.kind == info["kind"]
    target = list(items.target) if same else [None] * len(items)
    replaced = sum(same and text_or_none(target[row]) is not None for row in given)
    split = 0
    for row, acts in given.items():
        values = [act.value for act in acts]
        target[row] = values[0] if len(values) == 1 else kind.consensus(values)
        split += target[row] is None
    note = f"{counted(len(given), 'item')} with labels given here, {replaced} of them in place of the source's own"
    note += f"; on {split} the annotators disagree: left without a label" if split else ""
    notes = [note]
    if lost:
        notes.append(f"{counted(lost, 'label')} given here of what has changed or gone: not used")
    if not same and any(text_or_none(value) is not None for value in items.target):
        notes.append(f"the source's own labels ({items.kind}) are not used: the labels given here are {info['kind']}")
    if items.votes is not None:
        notes.append("the source's votes are not used: labels were given here")
    return dataclasses.replace(items, target=target, kind=info["kind"], notes=[*items.notes, *notes], votes=None)
