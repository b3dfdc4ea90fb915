"""What live items are like as a candidate takes over: what later change is measured against.

The candidate learnt from old items and new ones, half and half, while clients may ask for new ones alone: measured against its
training data they would be an alarm for ever, though it was made for them. So deepen monitor, and the next round, measure
from here on against the newest items that were asked, and against what the candidate itself says of them.

They are those that came while both were compared; where those are too few, all that the round could choose from. What it has
learnt from is among the latter: answers look a little surer there than they will be.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
import numpy as np

from deepen import bundle
from deepen.labelling.asking import raw_of
from deepen.looping.round import Round
from deepen.monitoring import drift
from deepen.store import durable

NEWEST, FEWEST = 1_000, 200  # sampled items: at most, and as many as a window of deepen monitor has
CHUNK = 64


def remembered(turn: Round) -> int:
    """Write it down beside the candidate's bundle; of how many items. Of too few nothing is written."""
    version = turn.done["beside"]["version"]
    for since in (turn.done["beside"]["time"], turn.done["chosen"]["since"]):
        newest = _asked(turn, since)
        if len(newest) >= FEWEST:
            break
    else:
        return 0
    predictor = bundle.predictor(turn.live.bundle(version), 1)
    (own,) = predictor.signature.inputs.values()
    raws = [own.parse(raw) for raw in newest]
    groups: list[list[dict[str, np.ndarray]]] = [[], []]
    for start in range(0, len(raws), CHUNK):
        arrays = predictor.encode(raws[start : start + CHUNK])
        groups[0].append(drift.input_columns(predictor.signature, arrays))
        groups[1].append(drift.answer_columns(predictor.signature, predictor.run(arrays)))
    inputs, answers = ({name: np.concatenate([part[name] for part in parts]) for name in parts[0]} for parts in groups)
    file = turn.live.reference(version)
    file.parent.mkdir(exist_ok=True)
    durable.replace(file, msgspec.json.format(msgspec.json.encode(drift.describe(inputs, answers)), indent=1))
    return len(raws)


def _asked(turn: Round, since: float) -> list[Any]:
    """The newest raw items that the version before was asked since a time, of those that were sampled."""
    version, encoder = turn.done["chosen"]["version"], turn.arrivals().encoder
    samples = (s for s in turn.live.samples(since) if s.version == version and s.items == 1)
    return list(deque((raw for s in samples if (raw := raw_of(s, encoder)) is not None), maxlen=NEWEST))
