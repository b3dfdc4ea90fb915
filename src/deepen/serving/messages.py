"""A request in, a response out, apart from how bytes travel; and what becomes of whatever goes wrong."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import msgspec

from deepen.errors import Invalid
from deepen.serving.batcher import Full, Late
from deepen.serving.refusal import Refusal

MOST_TEXT = 500  # characters of an error: it may quote what the client sent

log = logging.getLogger("deepen.serving")


@dataclass(slots=True)
class Request:
    """Headers in lower case; the path without its query; the body once it is read."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(slots=True)
class Response:
    status: int
    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def document(self) -> Any:
        """The JSON, read again."""
        return json.loads(self.data)


def answer(document: Any, status: int = 200, **headers: str) -> Response:
    """A response in JSON; ValueError where a number in it is not finite: JSON has no name for it."""
    data = msgspec.json.encode(document)
    if b"null" in data:  # what is not finite is written so; which of both it is, the slower writer knows
        json.dumps(document, allow_nan=False)
    return Response(status, data, headers)


def told(problem: Exception, name: str) -> Refusal:
    """What the client of the request of this id is told; the log hears what went wrong inside."""
    if isinstance(problem, Refusal):
        return problem
    if isinstance(problem, Invalid):
        return Refusal(422, problem.code, str(problem))
    if isinstance(problem, Full):
        return Refusal(429, "request.overload", "too many requests are waiting", retry_after="1")
    if isinstance(problem, Late):
        return Refusal(504, "request.deadline", "the time this request had is over")
    if isinstance(problem, ValueError) and "Out of range float" in str(problem):
        log.error("request %s: the model's answer is not finite", name)
        return Refusal(500, "model.answer", "the model's answer to this item is not a finite number")
    log.error("request %s failed", name, exc_info=problem)
    return Refusal(500, "internal", "an error inside the server; its log has more under this id")


def forget(problem: BaseException | None) -> None:
    """Let go of where mistakes were made once they are told: those places know the body, and each other, and would keep all
    of it until garbage is next looked for, which is seldom."""
    while problem is not None and problem.__traceback__ is not None:
        problem.__traceback__ = None
        forget(problem.__cause__)
        problem = problem.__context__


def refused(problem: Exception, refusal: Refusal, name: str) -> Response:
    """The response to what went wrong."""
    document: dict[str, Any] = {"error": refusal.error[:MOST_TEXT], "code": refusal.code, "id": name}
    if isinstance(problem, Invalid):
        document["item"] = problem.row
    return answer(document, refusal.status, **refusal.headers)


def control_refused(code: str, error: str, problem: object) -> Refusal:
    """What a wrong change of the service is answered with; the log hears all of it."""
    log.warning("a change is refused: %s", problem)
    return Refusal(409, code, error)
