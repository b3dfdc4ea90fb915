"""What a person may set about the service, checked once."""

from __future__ import annotations

import msgspec

from deepen.errors import DeepenError

LARGEST = 32  # items answered together, unless somebody says otherwise


class Options(msgspec.Struct, frozen=True):
    """What holds for every model of a service.

    token           what clients must send as `Authorization: Bearer ...`, if anything
    threads         cores for a model; by default one for a small model, else all. With several two batches are under way
    max_batch_size  items of several requests that are answered together, at the most
    max_wait        seconds a batch that is not full waits for more requests
    queue           items that may wait for a model, and bodies for a thread that reads them; more are answered with 429
    timeout         seconds a request may take that names no shorter time
    watch           seconds between two golden requests to every version in service; 0: never
    sample          the share of items recorded in a live directory
    pulse           seconds between two records of how the service does, in a live directory
    admin           what must be sent in place of the token by who changes what is served; without it the token does
    slower          times as slow as the version before it for one that shares the traffic to go; 0: never
    """

    token: str | None = None
    threads: int | None = None
    max_batch_size: int = LARGEST
    max_wait: float = 0.0
    queue: int = 2048
    timeout: float = 60.0
    watch: float = 10.0
    sample: float = 0.01
    pulse: float = 10.0
    admin: str | None = None
    slower: float = 3.0

    def tokens(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a request brings one of, if it must bring any: to ask, and to change what is served."""
        asks = () if self.token is None else (self.token, *([self.admin] if self.admin else []))
        return asks, asks if self.admin is None else (self.admin,)

    def check(self) -> Options:
        """These options, if they make sense."""
        for name, least, most in (
            ("threads", 1, 1024),
            ("max_batch_size", 1, 4096),
            ("max_wait", 0, 10),
            ("queue", 1, 1_000_000),
            ("timeout", 0.001, 3600),
            ("watch", 0, 86400),
            ("slower", 0, 1e6),
            ("sample", 0, 1),
            ("pulse", 0.01, 3600),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise DeepenError("serve.option", f"serve {name}", f"got {value:g}", f"from {least} to {most}")
        return self
