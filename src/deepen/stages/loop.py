"""From live traffic back to labels, to a new run, to promotion: one round after the other, each step proven and written down.

What a round does stands in looping/. Whenever it is stopped, the same command goes on where it was (store/loop.py).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from deepen import registry
from deepen.errors import DeepenError, Refused
from deepen.labelling.asking import labeller_of
from deepen.looping.round import Round, Terms
from deepen.looping.steps import go
from deepen.schema import Chance, Count, NonNegative, Positive, Share
from deepen.store.live import Live
from deepen.store.loop import Ledger


def loop(
    live: str,
    dataset: str,
    ask: Count = 100,
    least: Count = 50,
    drifted: Share = 0.4,
    uncertain: Share = 0.3,
    labels: str | None = None,
    labeller: str | None = None,
    held: Share = 0.3,
    drop: NonNegative = 0.02,
    compare: Count = 200,
    agreement: Share = 0.0,
    hold: Count = 500,
    errors: Share = 0.05,
    slower: NonNegative = 3.0,
    moved: Chance = 0.3,
    wait: NonNegative = 600.0,
    every: Positive = 2.0,
    watch: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """One round from live traffic to a better version in service; exit code 3 where it is refused or rolled back.

    live       a directory that deepen serve works from, with samples (serve --sample)
    dataset    what the model in service was trained on: new pictures and texts are put into its folder unlabelled/, new rows
               beside a table
    ask        sampled items put there for labelling
    least      labels of them that are waited for
    drifted    share of them taken for being unlike the training data
    uncertain  share of them the model was least sure of; the rest is drawn at random
    labels     answers as a file that deepen label takes in; else people give them on its page
    labeller   module:function, called with the new files' paths, or with rows, that returns their labels
    held       share of the new labels kept for the test part (split.val of them go to validation)
    drop       how much of the figure that decides may be lost on the old test items
    compare    live items that the new version answers beside the one in service, before it is promoted
    agreement  the smallest share of them with equal answers (0: any; they ought to differ on what has drifted)
    hold       live items it answers after that, before the round is over; the version before answers 100 of them too, for comparison
    errors     share of errors of its own that is one too many, before and after promotion
    slower     times as slow as the version before (95th percentile, seconds an item) that is too slow, on live items that
               both are asked, before and after promotion (0: any)
    moved      how much further its answers may lie from those of the version before on live items than on held-out ones:
               largest difference of shares of what deepen monitor watches of answers (1: any)
    wait       seconds that labels or traffic are waited for before it stops and says so
    every      seconds between two looks
    watch      go on with the next round whenever the traffic has changed, until stopped
    overrides  of the configuration of the new run: train.epochs=5; new items are half of what it learns from in an epoch,
               however few they are (train.new_share)
    """
    if least > ask:
        raise DeepenError("loop.least", "loop", f"least {least} of {ask} asked", "at most as many as are asked")
    if drifted + uncertain > 1:
        raise DeepenError("loop.shares", "loop", f"drifted {drifted:g}, uncertain {uncertain:g}", "together at most 1")
    if labeller is not None:
        labeller_of(labeller)  # told now, not after hours of waiting
    shares = (drifted, uncertain)
    terms = Terms(
        ask, least, shares, labels, labeller, held, overrides, drop, compare, agreement, hold, errors, slower, moved, watch
    )  # fmt: skip
    place = Live.open(live)
    ledger = Ledger(place.path)
    with ledger.alone():
        while True:
            number, done = ledger.now()
            turn = Round(place, dataset, ledger, terms, partial(registry.load, "stages"), number, done)
            waiting = go(turn, math.inf if watch else wait, every)
            document = turn.document(waiting)
            if not watch:
                break
    if document["state"] in {"refused", "rolled back"}:
        raise Refused(
            f"loop.{document['state'].replace(' ', '')}",
            f"{live} round {number}",
            document["why"],
            "a version as good as the one in service, and better on what is new",
            f"the version before goes on answering; the candidate's run is in {ledger.place(number)}",
            document,
        )
    return document
