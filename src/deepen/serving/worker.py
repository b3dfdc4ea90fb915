"""The process that answers, as the supervisor starts it: its setup comes on standard input, which stays open."""

from __future__ import annotations

import os
import signal
import sys

import msgspec

from deepen.errors import DeepenError
from deepen.serving.service import Setup, serve, tell


def main() -> int:
    """Serve; a mistake of the user is told to the supervisor."""
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as given:  # its end is watched later
        setup = msgspec.json.decode(given.readline(), type=Setup)
    os.set_blocking(setup.status, False)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # behind its terminal it may write all the same (stty tostop)
    try:
        serve(setup)
    except DeepenError as problem:
        tell(setup.status, {"error": problem.document(), "exit_code": problem.exit_code})
        return problem.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
