"""Good defaults from the data and the machine: whatever the user left out. Torch-free."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from deepen import registry
from deepen.config import Config, Train
from deepen.console import in_words
from deepen.data.prepare import Prepared
from deepen.errors import DeepenError, counted, listed, unknown
from deepen.preprocess.array import Array
from deepen.preprocess.audio import Audio
from deepen.preprocess.graph import Graph
from deepen.preprocess.history import History
from deepen.preprocess.image import Image
from deepen.preprocess.link import Link
from deepen.preprocess.nodes import Nodes
from deepen.preprocess.optional import Optional
from deepen.preprocess.pair import Pair
from deepen.preprocess.row import Row
from deepen.preprocess.series import Series
from deepen.preprocess.text import Text
from deepen.signature import Signature

UPDATES = 3000  # steps a small network is well trained in
READ = 600  # steps after which a network for texts, sounds or series goes on to learn its training items by heart
READ_TOGETHER = 16  # items of many pieces that are each foretold
TUNED = 5e-5  # learning rate for a checkpoint of texts (Devlin et al. 2019, A.3)
FEWEST, MOST = 5, 60  # epochs
PASSES = 200  # epochs, each of one step, over all items or a graph that all nodes share
MOST_COLUMNS = 20  # of a sort that are named
SMALLEST, SMALL = 12, 40  # pixels a side: below the first no convolutions, up to the second no photo


def complete(config: Config, prepared: Prepared) -> Config:
    """The configuration with nothing left open; training it again repeats the run."""
    signature, count = prepared.signature, len(prepared.parts["train"])
    own = getattr(signature.answer, "model", None) if signature.outputs else None  # some answers need one made for them
    network = _of_method(config, "network")
    model = config.model or ({"name": own or network} if own or network else default_model(signature))
    train = dataclasses.replace(config.train)
    if train.optimizer == Train().optimizer:
        train.optimizer = _of_method(config, "optimizer") or train.optimizer
    name = str(model["name"])
    if ":" not in name and registry.constant("models", name, "fits"):
        train.epochs, train.steps = None, 1  # fitted before it: the one step validates and keeps it
    if any(isinstance(encoder, (Link, Nodes)) for encoder in signature.inputs.values()):
        # one pass gives the answers of all nodes, however few a batch asks for
        train.batch_size = train.batch_size or count
        train.epochs = train.epochs if train.epochs or train.steps else PASSES
        train.lr = train.lr or 1e-2
    if _of_optimizer(train, "whole", False):
        if train.batch_size not in (None, count):
            raise DeepenError(
                "train.batch_size", "train.batch_size", f"{train.batch_size} of {counted(count, 'item')}",
                f"nothing: a step of {train.optimizer['name']} looks at all of them", "train.accumulate saves memory",
            )  # fmt: skip
        train.batch_size = count
        train.epochs = train.epochs if train.epochs or train.steps else PASSES
    foretold = any(getattr(kind, "each", False) for kind in signature.outputs.values())
    if foretold and isinstance(next(iter(signature.inputs.values())), Text):  # an item teaches at each of many places
        train.batch_size = train.batch_size or READ_TOGETHER
    if train.batch_size is None:
        train.batch_size = 256 if count >= 20_000 else 128 if count >= 5_000 else 32 if count >= 500 else 16
    if train.epochs is None and train.steps is None:
        per_epoch = -(-count // train.batch_size)
        soon = not foretold and any(isinstance(encoder, (Text, Audio, Series)) for encoder in signature.inputs.values())
        train.epochs = min(MOST, max(FEWEST, round((READ if soon else UPDATES) / per_epoch)))
    if train.lr is None:
        train.lr = _of_method(config, "rate") or _of_optimizer(train, "lr", 1e-3)
        if "checkpoint" in model and isinstance(next(iter(signature.inputs.values())), Text):
            train.lr = TUNED  # what a checkpoint knows is lost at a higher one
    if train.augment is None:
        # what is to come out is the item as it is
        train.augment = () if _of_method(config, "answers") else default_augment(signature)
    figure = f"val_{signature.answer.metric}" if signature.outputs else None
    if train.monitor not in (None, figure):
        _check_monitor(train.monitor, config, prepared)
    train.monitor = train.monitor or figure
    return dataclasses.replace(config, model=model, train=train)


def _of_optimizer(train: Train, attribute: str, default: Any) -> Any:
    """What the optimizer's file says of itself; the user's own says it in the configuration."""
    name = train.optimizer["name"]
    return default if ":" in name else registry.constant("optimizers", name, attribute, default)


def _of_method(config: Config, attribute: str) -> Any:
    """What the method's file says of itself; of the user's own nothing is known before it is built."""
    name = config.method["name"]
    return None if ":" in name else registry.constant("methods", name, attribute)


def _warnings(train: Train) -> list[str]:
    """What should be known of how the weights begin."""
    name = train.init["name"] if train.init else ":"
    warning = "" if ":" in name else registry.constant("initialisers", name, "warning", "")
    return [f"note     init {name}: {warning}"] if warning else []


def _columns(encoder: Any) -> str:
    """Which column of a table was taken for what."""
    if not isinstance(encoder, Row):
        return ""
    sorts = {"numbers": encoder.numbers, "dates": encoder.dates, "categories": encoder.categories}
    return "; ".join(f"{sort}: {listed([*names], MOST_COLUMNS)}" for sort, names in sorts.items() if names)


def _weighed(train: Train, signature: Signature) -> list[str]:
    """A column that says how often items are drawn is seldom meant to be learnt from."""
    name = train.item_weights
    also = any(isinstance(encoder, Row) and name in encoder.columns for encoder in signature.inputs.values())
    return [f"note     {name!r} is also an input of the network: data.drop={name} leaves it out"] if also else []


def _check_monitor(monitor: str, config: Config, prepared: Prepared) -> None:
    """Refuse a figure that no epoch will have, as far as that is known before: a method may bring its own."""
    signature, method = prepared.signature, config.method["name"]
    if ":" in method or registry.defines("methods", method, "metrics", "players"):
        return
    shapes = {t.name: t.shape[1:] for kind in signature.outputs.values() for t in kind.tensors}
    if not all(isinstance(size, int) for shape in shapes.values() for size in shape):
        return  # boxes: how many there are only a network says
    known = ["train_loss"]
    if shapes:
        target = prepared.target[prepared.parts["val"]]
        even = {name: np.full((len(target), *shape), 1 / signature.answer.width) for name, shape in shapes.items()}
        known += [f"val_{name}" for name in signature.answer.metrics(target, even)]
    if monitor not in known:
        raise unknown("train.monitor", "train.monitor", monitor, known, what="figure")


def default_model(signature: Signature) -> dict[str, object]:
    """By what goes in: a net for tables, a recurrent one for texts, one that listens for sounds, messages along edges for graphs, LeNet-5 or convolutions for pictures."""
    first, *more = signature.inputs.values()
    if isinstance(first, History):
        return {"name": "sequence_recommender"}
    if more or isinstance(first, Optional):
        return {"name": "multimodal"}
    if isinstance(first, Row) and not more:
        return {"name": "tab_mlp"}
    if isinstance(first, Nodes) and not more:
        return {"name": "gcn", "hidden": [64]}
    if isinstance(first, Graph) and not more:
        return {
            "name": "sage",
            "hidden": [64, 64, 64],
            "aggregate": "sum",
            "norm": "layer",
            "pool": "sum",
            "dropout": 0.2,
        }
    if isinstance(first, Audio) and not more:
        return {"name": "listener"}
    if isinstance(first, Pair) and not more:
        return {"name": "transformer"}
    if any(getattr(kind, "each", False) for kind in signature.outputs.values()):
        return {"name": "transformer", "depth": 4, "dropout": 0.0}
    if isinstance(first, Text) and not more:
        return {"name": "rnn", "cell": "gru", "bidirectional": True, "pool": "max", "width": 64, "dropout": 0.5}
    if isinstance(first, Series) and not more:
        return {"name": "mlp", "hidden": [128], "dropout": 0.1}
    if isinstance(first, Array) and len(first.shape) > 2 and not more:
        return {"name": "cnn"}
    if not isinstance(first, Image) or more or min(first.height, first.width) < SMALLEST:
        return {"name": "mlp"}
    if min(first.height, first.width) <= SMALL:
        return {"name": "lenet"} if first.channels == 1 else {"name": "cnn", "channels": [32, 64, 128]}
    return {
        "name": "cnn",
        "channels": [32, 64, 128, 256],
        "residual": True,
        "stride": 2,
        "pool": "none",
        "dropout": 0.2,
    }


def default_augment(signature: Signature) -> tuple[dict[str, object], ...]:
    """Photos are zoomed and mirrored. Small pictures are only moved a little: a mirrored digit is no digit."""
    first = next(iter(signature.inputs.values()))
    side = min(first.height, first.width) if isinstance(first, Image) else 0
    if side < SMALLEST:
        return ()
    return ({"name": "crop", "padding": side // 12},) if side <= SMALL else ({"name": "zoom"}, {"name": "flip"})


def sentences(config: Config, prepared: Prepared) -> list[str]:
    """The plan in words."""
    train, signature = config.train, prepared.signature
    parts = {name: len(rows) for name, rows in prepared.parts.items()}
    inputs = "; ".join(encoder.describe() for encoder in signature.inputs.values())
    model = config.model or {}
    length = counted(train.steps, "step") if train.steps else counted(train.epochs or 1, "epoch")
    augment = ", ".join(spec["name"] for spec in train.augment or ()) or "none"
    return [
        f"data     {inputs}",
        *(f"columns  {told}" for encoder in signature.inputs.values() if (told := _columns(encoder))),
        *(f"answer   {name}: {kind.describe()}" for name, kind in signature.outputs.items()),
        f"items    {parts['train']} to train, {parts['val']} to validate, {parts['test']} to test"
        + (f", {len(prepared.unlabelled)} without label" if len(prepared.unlabelled) else "")
        + (f", {len(prepared.bad)} in quarantine" if prepared.bad else ""),
        f"model    {in_words(model)}",
        f"train    {length} of batch {train.batch_size}, {train.optimizer['name']} lr {train.lr:g}, {train.schedule['name']}, augment: {augment}",
        *_warnings(train),
        *_weighed(train, signature),
    ]
