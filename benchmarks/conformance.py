"""The Open Inference Protocol: a list of checks that any server can be asked, over HTTP, with bytes, over gRPC.

    python -m benchmarks conformance http://127.0.0.1:8000 [127.0.0.1:8001]

The address may end in /v2/models/NAME; else the first model of the repository is asked. Nothing is loaded or unloaded.
What the server does not offer (its extensions, gRPC, a model that takes several items) is not held against it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from tests.serving.conformance import CHECKS
from tests.serving.conformance.client import Target


def main(words: Sequence[str]) -> int:
    """Ask, and print a line for each check; 0 where none fails."""
    if not 1 <= len(words) <= 2:
        print((__doc__ or "").split("\n")[2].strip(), file=sys.stderr)
        return 2
    try:
        target = Target(*words)
    except (OSError, ValueError, LookupError) as problem:
        print(f"{words[0]}: no model of the Open Inference Protocol is found there: {problem!r}", file=sys.stderr)
        return 2
    counts: Counter[str] = Counter()
    for check in CHECKS:
        found = check.found(target)
        word = {"ok": "pass", "not offered": "----"}.get(found, "FAIL")
        counts[word] += 1
        print(f"{word}  {check.name}   [{check.where}]{'' if word == 'pass' else f'   {found}'}")
    print(f"{counts['pass']} pass, {counts['FAIL']} fail, {counts['----']} not offered")
    return 1 if counts["FAIL"] else 0
