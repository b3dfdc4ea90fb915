"""Keeps a worker answering: one that died, or gives no sign of life, is replaced; the socket stays, so nobody is refused.

gRPC listens on sockets of its own, which die with the worker: until the next one answers the supervisor listens in its
place, and hears nothing, so that who connects waits.

Imports nothing heavy: no runtime, no server. While no worker can be started, the supervisor itself answers 503.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from deepen.console import announce
from deepen.errors import DeepenError, Refused
from deepen.serving.signals import endings
from deepen.serving.silence import LOOK, Silence
from deepen.serving.sockets import hold, reopen

SILENT = (
    5.0  # seconds without a sign of life, though it had a core for one, after which a worker that answered is stuck
)
START = 120.0  # seconds to its first one
STOP = 12.0  # seconds to finish after SIGTERM
QUICK = 2  # workers that may die before they answer, one after the other, before there is a pause
LONGEST_PAUSE = 15.0
SORRY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 73\r\nretry-after: 5\r\n"
    b'connection: close\r\n\r\n{"error": "the service is being restarted", "code": "service.restarting"}'
)


class Supervisor:
    """Runs workers, one at a time, with a setup; `ready` is called when the first one answers."""

    def __init__(self, setup: dict[str, Any], sockets: list[socket.socket], ready: Callable[[], None]) -> None:
        self.setup, self.sockets, self.ready = setup, sockets, ready
        self.held: list[socket.socket] = []  # at the ports of `sockets[1:]` while no worker listens there
        self.asked = False  # to stop
        self.restarts = 0
        self.failed = 0  # workers in a row that died before they answered
        self.worker: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Until SIGTERM, SIGINT or SIGHUP. DeepenError where the first worker cannot start."""
        old = {number: signal.signal(number, self._stop) for number in endings()}
        wake, waker = os.pipe()  # a signal ends the wait in select
        os.set_blocking(waker, False)
        previous = signal.set_wakeup_fd(waker)
        try:
            self._run(wake)
        finally:
            self._release()
            signal.set_wakeup_fd(previous)
            for number, handler in old.items():
                signal.signal(number, handler)
            for handle in (wake, waker):
                os.close(handle)

    def _run(self, wake: int) -> None:
        while not self.asked:
            answered, problem = self._watch(wake)
            if self.asked:
                return
            if not answered and not self.restarts:
                raise problem or DeepenError("serve.worker", "serve", "the worker ended before it answered", "", "")
            self.restarts += 1
            reopen(self.sockets[0])  # a worker that somebody told to stop has shut it
            announce(f"restart  {self.restarts}: {problem or 'the worker died'}")
            if seconds := self.pause(answered):
                self._apologise(wake, seconds)

    def pause(self, answered: bool) -> float:
        """Seconds before the worker after one that died. Where that one answered the next most likely will, however
        often; only where several in a row never did is there a pause."""
        self.failed = 0 if answered else self.failed + 1
        return min(LONGEST_PAUSE, 2.0 ** (self.failed - QUICK)) if self.failed > QUICK else 0.0

    def _watch(self, wake: int) -> tuple[bool, DeepenError | None]:
        """Start a worker and wait until it ends; whether it ever answered, and the error it ended with."""
        told, status = os.pipe()
        try:
            self.worker = self._start(status)
        finally:
            os.close(status)
        answered, problem = False, None
        silence = Silence(self.worker.pid)
        try:
            for document in self._reports(told, wake):
                if document is None:
                    limit = SILENT if answered else START
                    if self.asked:
                        limit = STOP
                    if silence.beyond(limit) or (self.asked and time.monotonic() - silence.since > limit):
                        problem = DeepenError("serve.stuck", "the worker", f"no sign of life for {limit:g} s")
                        self.worker.kill()
                        break
                    continue
                if "error" in document:
                    kind = Refused if document["exit_code"] == Refused.exit_code else DeepenError
                    problem = kind(**document["error"])
                if "beat" in document:
                    if not self.asked:
                        silence.heard()
                    if not answered:
                        self._release()
                        if not self.restarts:
                            self.ready()
                    answered = True
        finally:
            self._hold()
            os.close(told)
            self._end()
        return answered, problem

    def _hold(self) -> None:
        """Let who asks for a port that is only reserved here wait."""
        if not self.asked and not self.held:
            self.held = [hold(one) for one in self.sockets[1:]]

    def _release(self) -> None:
        for one in self.held:
            one.close()
        self.held = []

    def _start(self, status: int) -> subprocess.Popen[bytes]:
        handles = [one.fileno() for one in self.sockets]
        worker = subprocess.Popen(
            [sys.executable, "-m", "deepen.serving.worker"], stdin=subprocess.PIPE, pass_fds=[*handles, status],
            process_group=0,  # Ctrl-C is for the supervisor, which passes it on
        )  # fmt: skip
        assert worker.stdin
        document = {**self.setup, "sockets": handles, "status": status, "restarts": self.restarts}
        with contextlib.suppress(BrokenPipeError):  # it died: told by its end
            worker.stdin.write(json.dumps(document).encode() + b"\n")
            worker.stdin.flush()
        return worker

    def _reports(self, told: int, wake: int) -> Iterator[dict[str, Any] | None]:
        """What a worker says, until it has ended; None now and again."""
        rest = b""
        while True:
            found, _, _ = select.select([told, wake], [], [], LOOK)
            if wake in found:
                self._pass_on(os.read(wake, 100))
            if told not in found:
                yield None
                continue
            data = os.read(told, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from (json.loads(line) for line in lines)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def _pass_on(self, numbers: bytes) -> None:
        """A second signal reaches the worker too, which then does not wait, unless it is a terminal that closes: that is
        told to a process more than once."""
        if self.asked and self.worker is not None:
            self.worker.send_signal(signal.SIGHUP if {*numbers} == {signal.SIGHUP} else signal.SIGTERM)

    def _end(self) -> None:
        """Wait for the worker; what does not end in time is killed."""
        assert self.worker
        assert self.worker.stdin
        self.worker.stdin.close()
        try:
            self.worker.wait(STOP)
        except subprocess.TimeoutExpired:
            self.worker.kill()
            self.worker.wait()

    def _apologise(self, wake: int, seconds: float) -> None:
        """Answer 503 for a while: the next worker would most likely die as the last did."""
        end = time.monotonic() + seconds
        self._release()  # refused: that says it the sooner
        bound = self.sockets[0]
        bound.setblocking(False)
        while not self.asked and (left := end - time.monotonic()) > 0:
            found, _, _ = select.select([bound.fileno(), wake], [], [], left)
            if bound.fileno() in found:
                with contextlib.suppress(OSError):
                    link, _ = bound.accept()
                    link.settimeout(0.2)
                    with link:
                        link.recv(65536)
                        link.sendall(SORRY)
        bound.setblocking(True)
        self._hold()
