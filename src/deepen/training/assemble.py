"""The parts of a training put together: data that is normalised and augmented, a network, a method, the engine."""

from __future__ import annotations

import os
from typing import Any

import torch

from deepen import registry
from deepen.console import announce
from deepen.data.augment import Augment
from deepen.data.data import Data, generator_of
from deepen.errors import DeepenError, counted
from deepen.machine import cores
from deepen.nn.initialise import ITEMS, initialise
from deepen.nn.inputs import Fitted, Measured, network
from deepen.nn.normalise import Normalise, sample
from deepen.store.run import Run
from deepen.training.engine import Engine
from deepen.training.finished import load_model

MOST_THREADS = 1024


def build(config: Any, prepared: Any, run: Run | None, observe: Any = None, parent: Run | None = None) -> Any:
    """The engine for a configuration and its data; the network begins with the weights of `parent`."""
    train, signature = config.train, prepared.signature
    device = ("cuda" if torch.cuda.is_available() else "cpu") if train.device == "auto" else train.device
    if device == "cuda" and not torch.cuda.is_available():
        raise DeepenError("train.device", "train.device", "cuda, but no GPU can be used here", "auto or cpu")
    if (train.threads or 0) > MOST_THREADS:
        raise DeepenError("train.threads", "train.threads", f"got {train.threads}", f"at most {MOST_THREADS}")
    torch.set_num_threads(train.threads or max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    normalise = Normalise(signature)
    normalise.fit(signature, prepared.columns, prepared.parts["train"], prepared.items.shared)
    augment = Augment(train.augment or (), signature)
    known = None if parent is None else _known(parent)
    data = Data(prepared, normalise, augment, device, train.resample, train.item_weights, train.new_share, known)
    torch.manual_seed(generator_of(train.seed, 0).initial_seed())
    net = network(config.model, signature)
    _begin(net, train, data, parent)
    output = signature.answer if signature.outputs else None
    method = registry.build("methods", config.method, model=net, output=output, signature=signature)
    return Engine(method, data, train, run, observe)


def _known(parent: Run) -> set[str]:
    """The labelled items that a run was trained, validated and tested on."""
    split = parent.read_json("split.json")
    return {item for part in ("train", "val", "test") for item in split[part]}


def _begin(net: Any, train: Any, data: Any, parent: Run | None) -> None:
    """What a network begins with: weights drawn by name, what it learns by looking, a parent's weights."""
    rows = data.parts["train"]
    if train.init is not None:
        seen = data.inputs(rows[:: max(1, len(rows) // ITEMS)])
        # what is drawn does not depend on the device
        initialise(net, registry.build("initialisers", train.init), tuple(x.cpu() for x in seen))
    if isinstance(net, Measured):
        net.measure(*data.inputs(sample(torch.cat([rows, data.unlabelled]))))
    if parent is not None:
        _adopt(parent, {"normalise": data.normalise, "net": net})
    if isinstance(net, Fitted):
        net.fit(data.inputs(rows), data.targets(rows))


def _adopt(parent: Run, modules: dict[str, Any]) -> None:
    """Begin with a run's weights, wherever name and shape agree; an embedding that grew begins with the rows it had.

    The normalisation is taken over too, and again on resuming: the weights mean something only behind it.
    """
    given, taken, total = load_model(parent).state_dict(), 0, 0
    for prefix, module in modules.items():
        own = module.state_dict()
        for name, table in module.named_modules():
            before = given.get(f"{prefix}.{name}.weight") if isinstance(table, torch.nn.Embedding) else None
            if before is not None and len(before) < len(table.weight) and before.shape[1] == table.weight.shape[1]:
                given[f"{prefix}.{name}.weight"] = torch.cat([before, table.weight.detach()[len(before) :]])
        fit = {n: t for n in own if (t := given.get(f"{prefix}.{n}")) is not None and t.shape == own[n].shape}
        module.load_state_dict(fit, strict=False)
        taken, total = taken + len(fit), total + len(own)
    announce(f"parent   {parent.path}: {taken} of {counted(total, 'tensor')} taken over")
