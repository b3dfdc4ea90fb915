"""Sampled items whose true answer people gave at a loop's queue, weighed so that all together say how right a model is in service.

    weight = size of its group / labelled items of its group / share of the requests that was sampled

A round chooses from a pool of samples: the oddest, the least sure, and of all others some at random. Each group is known in
full, or by a random part of it, so that weighed by the groups' sizes they say what the pool is like: without the random ones
nothing would be known of most of it, without weights the odd ones would count for too many.

Paper    Horvitz and Thompson 1952, Journal of the American Statistical Association 47, 663-685.
Differs  of a group that people have not yet labelled to the end those labelled stand for the others.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from deepen import registry
from deepen.data.arrivals import Arrivals
from deepen.data.labels import reading
from deepen.errors import DeepenError
from deepen.evaluation.quality import Known
from deepen.labelling.asking import mark_of
from deepen.monitoring.windows import Watched
from deepen.store.dataset import place
from deepen.store.live import Live, Sample
from deepen.store.loop import Ledger


def known(live: Live, version: str, watched: Watched) -> list[Known]:
    """Of a version, by all rounds that asked about its answers: no other version is judged by what it may have learnt."""
    found: list[Known] = []
    for line in Ledger(live.path).lines():
        if line["step"] == "chosen" and line["version"] == version and "pool" in line:
            found += _of_round(live, line, watched)
    return found


def _of_round(live: Live, line: dict[str, Any], watched: Watched) -> list[Known]:
    try:
        arrivals = Arrivals(line["data"], next(iter(watched.signature.inputs.values())))
    except DeepenError:  # the data lie elsewhere by now
        return []
    labels = _labels(line)
    matched: dict[str, Sample] = {}
    for sample in live.samples(line["since"]):
        if sample.version == line["version"] and sample.items == 1 and sample.time <= line["time"]:
            name = arrivals.name(mark_of(sample))
            if name in labels:
                matched.setdefault(name, sample)  # an item that was asked twice has one label
    sizes = Counter(line["items"].values())
    sizes["random"] = line["pool"] - sizes["drifted"] - sizes["uncertain"]
    given = Counter(line["items"][name] for name in matched)
    if any(size and not given[reason] for reason, size in sizes.items()):
        return []  # of a whole group nothing is known yet
    weight = {reason: size / given[reason] for reason, size in sizes.items() if size}
    return [
        Known((s.id, s.row), s.time, labels[name], s.answers[0], weight[line["items"][name]] / s.share)
        for name, s in matched.items()
    ]


def _labels(line: dict[str, Any]) -> dict[str, Any]:
    """Item -> its label, of those the round asked about; people who do not agree give none."""
    with reading(place(line["data"])) as dataset:
        if dataset is None:
            return {}
        kind = registry.load("kinds", dataset.info["kind"]).named(dataset.info.get("names", ()))
        given = dataset.now().labels()
    found = {}
    for name in line["items"].keys() & given.keys():
        values = [act.value for act in given[name]]
        label = values[0] if len(values) == 1 else kind.consensus(values)
        if label is not None:
            found[name] = label
    return found
