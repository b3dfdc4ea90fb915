"""An answer that says no."""

from __future__ import annotations

SHOWN = 100  # characters of a client's own text in an error


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, error: str, **headers: str) -> None:
        super().__init__(error)
        self.status, self.code, self.error = status, code, error
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def leaving() -> Refusal:
    """What a client is told that should go elsewhere."""
    return Refusal(503, "service.leaving", "the service is being stopped")
