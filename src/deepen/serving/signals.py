"""The signals that end a service: asked to stop, Ctrl-C, a terminal that closes. Imports nothing heavy."""

from __future__ import annotations

import signal


def endings() -> list[signal.Signals]:
    """Those to listen to. A closing terminal is no reason where this process was started to outlive it (nohup)."""
    stay = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if stay else [signal.SIGHUP])]
