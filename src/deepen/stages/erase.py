"""Take sampled requests out of a live directory for good, by request or by age."""

from __future__ import annotations

import datetime
from typing import Any

from deepen.console import say
from deepen.errors import DeepenError, counted


def erase(live: str, request: tuple[str, ...] = (), before: str | None = None) -> dict[str, Any]:
    """Take samples out of a live directory, from the disk too. Items a loop has taken among the data stay: they are data.

    live     a directory that deepen serve works from
    request  ids of requests, as the client was told in x-request-id
    before   all that is older: a day or a time, 2026-11-20 or 2026-11-20T08:00 (this machine's time where no zone is said)
    """
    from deepen.store.live import Live, Sample

    wanted = {request} if isinstance(request, str) else {*request}
    if not wanted and before is None:
        raise DeepenError("erase.nothing", "erase", "neither request nor before", "what is to be erased", "request=ID")
    oldest = _time(before)
    place = Live.open(live)
    of: dict[str, int] = dict.fromkeys(wanted, 0)

    def asked(sample: Sample) -> bool:
        if sample.id in of:
            of[sample.id] += 1
        return sample.id in of or sample.time < oldest

    count = place.erase(asked)
    say(f"erased   {counted(count, 'sample')} in {place.path}")
    for name in (name for name, met in of.items() if not met):
        say(f"note     no sample of request {name}")
    return {"live": str(place.path), "erased": count}


def _time(text: str | None) -> float:
    """Unix seconds."""
    if text is None:
        return float("-inf")
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise DeepenError("erase.before", "erase before", repr(text), "a day or a time: 2026-11-20") from None
