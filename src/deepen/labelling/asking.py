"""Which items of live traffic people are asked about, by what name, and who is asked. Torch-free."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deepen import registry
from deepen.data.arrivals import Arrivals
from deepen.errors import DeepenError
from deepen.store.live import Live, Sample

POOL = 5_000  # newest samples that are looked at


def fresh(live: Live, arrivals: Arrivals, version: str, since: float, known: set[str]) -> tuple[dict[str, Sample], int]:
    """The newest samples of a version by the name their item gets, each item once; how many can have none."""
    found: dict[str, Sample] = {}
    bare = 0
    for sample in live.samples(since):
        if sample.version != version or sample.items != 1:
            continue
        if raw_of(sample, arrivals.encoder) is None:
            bare += 1
        elif (name := arrivals.name(mark_of(sample))) not in known:
            found.setdefault(name, sample)
    return dict(list(found.items())[-POOL:]), bare


def mark_of(sample: Sample) -> str:
    """A hash of a sampled item: it is there once, however often it was asked."""
    mark = hashlib.blake2b(digest_size=10)
    if sample.raw is not None:
        mark.update(json.dumps(sample.raw, sort_keys=True, ensure_ascii=False).encode())
    else:
        for name, packed in sample.inputs.items():
            mark.update(f"{name} {packed.dtype} {packed.shape}\n".encode() + packed.data)
    return mark.hexdigest()


def raw_of(sample: Sample, encoder: Any) -> Any:
    """The raw item of a sample; None where it cannot be known: it came encoded, or was too long to be kept."""
    kind = type(encoder).__module__.rpartition(".")[2]
    return encoder.restore(sample.arrays()) if registry.defines("preprocess", kind, "restore") else sample.raw


def choose(odd: np.ndarray, unsure: np.ndarray, count: int, shares: tuple[float, float], seed: int) -> dict[int, str]:
    """Row -> why it is asked about: the oddest, of the others the least sure, of the others any.

    odd     (n,) above 0 for what is likelier now than in training
    shares  of the count that are taken for being odd and unsure; what has no odd items is drawn at random
    """
    chosen: dict[int, str] = {}
    for why, score, share in (("drifted", odd, shares[0]), ("uncertain", unsure, shares[1])):
        order = [int(row) for row in np.argsort(-score, kind="stable") if score[row] > 0 and int(row) not in chosen]
        chosen.update(dict.fromkeys(order[: round(share * count)], why))
    rest = [row for row in np.random.default_rng(seed).permutation(len(odd)).tolist() if row not in chosen]
    return {**chosen, **dict.fromkeys(rest[: count - len(chosen)], "random")}


def labeller_of(name: str) -> Callable[[list[str]], Sequence[Any]]:
    """A function of the user's own, named on the command line."""
    import importlib

    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as problem:
        raise DeepenError("loop.labeller", name, str(problem), "module:function importable from here") from problem
    if not callable(found):
        raise DeepenError("loop.labeller", name, f"a {type(found).__name__}", "module:function importable from here")
    return found
