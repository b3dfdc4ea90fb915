"""The service over HTTP: a thin adapter around the core, a handler for each path (`routes.py` lists them).

Every response carries `x-request-id`; every error is {"error": text, "code": name, "id": request id}. What went wrong
inside is told to the log only, under that id.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import msgspec

from deepen.errors import Invalid
from deepen.serving import bodies, inventory, messages, oip, oip_answers, openapi, page, prometheus, routes
from deepen.serving.access import authorise
from deepen.serving.application import ReadBody
from deepen.serving.messages import Request, Response, answer
from deepen.serving.model import Model
from deepen.serving.refusal import SHOWN, Refusal
from deepen.serving.routes import Route
from deepen.serving.shadow import SECONDS
from deepen.serving.version import Part, Version

if TYPE_CHECKING:
    from deepen.serving.core import Core

LIGHT_TENSORS = 64 << 10  # bytes of tensors that are read faster than handed to another thread
LIGHT_NUMBERS = 4 << 10  # the same of numbers in JSON
RAW_BODY = 1 << 20  # bytes of a body whose raw items may wait to be recorded
ANSWERING = {"predict", "infer"}  # handlers that ask a version


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a change of the route."""

    shares: dict[str, float]
    shadow: str = ""


class Rest:
    """The handlers, each under the name that its routes have."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.handlers = {route.handler: getattr(self, f"on_{route.handler}") for route in routes.ROUTES}

    async def handle(self, request: Request, body: ReadBody | None = None) -> Response:
        """The answer to any request; `body` reads its body, where that is not here yet."""
        name = f"{random.getrandbits(64):016x}"
        counts = self.core.errors
        try:
            route, given = self._admit(request)
            counts = self.core.counts(given.get("model", "")) if route.handler in ANSWERING else counts
            if body is not None:
                request.body = await body()
            response: Response = await self.handlers[route.handler](request, name, **given)
        except ConnectionError:
            raise
        except Exception as problem:
            refusal = messages.told(problem, name)
            if not getattr(problem, "counted", False):
                counts[refusal.code] += 1
            response = messages.refused(problem, refusal, name)
            messages.forget(problem)
        response.headers["x-request-id"] = name
        return response

    def _admit(self, request: Request) -> tuple[Route, dict[str, str]]:
        """The route of a request that may be answered, and the names in its path. Looks at no body."""
        found = routes.find(request.path)
        if found is None:
            raise Refusal(404, "request.path", f"no {request.path[:SHOWN]!r} here: /docs has the paths")
        route, given = found
        if request.method not in route.methods:
            allowed = ", ".join(route.methods)
            text = f"{request.path[:SHOWN]} takes {allowed}"
            raise Refusal(405, "request.method", text, allow=allowed)
        if not route.open:
            authorise(request.headers, self.core.tokens[route.admin])
        return route, given

    # ---------------------------------------------------------------- answers

    async def on_predict(self, request: Request, name: str, model: str = "", version: str = "") -> Response:
        """Read and encode the items beside the loop and answer them in the model's thread, unless that costs more."""
        chosen = self.core.model(model)
        return await self.core.answered(chosen, version, lambda found: self._predict(chosen, found, request, name))

    async def _predict(self, model: Model, version: Version, request: Request, name: str) -> tuple[int, Response]:
        start = time.monotonic()
        deadline = start + self.time_for(request.headers)
        inline = version.turn is not None and bodies.light(version.predictor, request.headers, request.body)
        parts = await self.core.read(inline, deadline, _parts, version, request)
        results = await version.ask(parts, True, deadline, inline)
        answers = [found for result in results for found in result.answers]
        self.core.observe(model, version, parts, results, time.monotonic() - start, name)
        again = lambda of: self.core.read(False, time.monotonic() + SECONDS, _parts, of, request)
        self.core.compare(model, version, answers, again)
        return len(answers), answer({"answers": answers, "run": version.run, "version": version.name})

    async def on_infer(self, request: Request, name: str, model: str = "", version: str = "") -> Response:
        chosen = self.core.model(model)
        return await self.core.answered(chosen, version, lambda found: self._infer(chosen, found, request, name))

    async def _infer(self, model: Model, version: Version, request: Request, name: str) -> tuple[int, Response]:
        deadline = time.monotonic() + self.time_for(request.headers)
        length = len(request.body)
        inline = length <= (LIGHT_TENSORS if oip.HEADER in request.headers else LIGHT_NUMBERS)
        inline = inline and "content-encoding" not in request.headers
        asked = await self.core.read(inline, deadline, _asked, version, request)
        outputs = await self.core.infer(model, version, asked, deadline, inline, name)
        data, headers = oip_answers.write(model.name, version.name, version.predictor.signature, asked, outputs)
        return asked.items, Response(200, data, headers)

    def time_for(self, headers: dict[str, str]) -> float:
        """Seconds a request may take, as its header `timeout` says."""
        longest = self.core.options.timeout
        text = headers.get("timeout")
        if text is None:
            return longest
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < 1e6:
            raise Refusal(400, "request.timeout", f"timeout {text[:20]!r}: expected seconds")
        return min(seconds, longest)

    # ---------------------------------------------------------------- what there is

    async def on_live(self, request: Request, name: str) -> Response:
        return answer({"live": True})

    async def on_health(self, request: Request, name: str) -> Response:
        return answer({"ready": self.core.ready}, 200 if self.core.ready else 503)

    async def on_about(self, request: Request, name: str, model: str = "") -> Response:
        document = inventory.described(self.core, model)
        return answer(document if model else {**document, "models": list(self.core.models)})

    async def on_metrics(self, request: Request, name: str) -> Response:
        return Response(200, prometheus.text(self.core).encode(), {"content-type": prometheus.TYPE})

    async def on_openapi(self, request: Request, name: str) -> Response:
        return answer(openapi.document(self.core))

    async def on_docs(self, request: Request, name: str) -> Response:
        return Response(200, page.html(self.core).encode(), page.HEADERS)

    async def on_server_metadata(self, request: Request, name: str) -> Response:
        return answer(inventory.about())

    async def on_metadata(self, request: Request, name: str, model: str, version: str = "") -> Response:
        return answer(inventory.metadata(self.core, model, version))

    async def on_model_ready(self, request: Request, name: str, model: str, version: str = "") -> Response:
        ready = inventory.model_ready(self.core, model, version)
        return answer({"name": model, "ready": ready}, 200 if ready else 503)

    async def on_config(self, request: Request, name: str, model: str, version: str = "") -> Response:
        return answer(inventory.config(self.core, model, version))

    async def on_stats(self, request: Request, name: str, model: str = "", version: str = "") -> Response:
        return answer(inventory.stats(self.core, model, version))

    async def on_index(self, request: Request, name: str) -> Response:
        return answer(inventory.index(self.core))

    # ---------------------------------------------------------------- changes

    async def on_load(self, request: Request, name: str, model: str) -> Response:
        await self.core.load(model)
        return answer({})

    async def on_unload(self, request: Request, name: str, model: str) -> Response:
        await self.core.unload(model)
        return answer({})

    async def on_reroute(self, request: Request, name: str, model: str) -> Response:
        found = self.core.model(model)
        try:
            change = msgspec.json.decode(request.body, type=Change)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise Refusal(400, "request.json", f'expected {{"shares": {{version: share}}}}: {problem}') from None
        await self.core.move(found, lambda: found.home.route(change.shares, change.shadow, "over HTTP"))
        return answer({"shares": found.route.shares, "shadow": found.route.shadow})

    async def on_rollback(self, request: Request, name: str, model: str) -> Response:
        found = self.core.model(model)
        await self.core.move(found, lambda: found.home.rollback("over HTTP"))
        return answer({"shares": found.route.shares, "shadow": found.route.shadow})


def _parts(version: Version, request: Request) -> list[Part]:
    """The encoded items of a request, as many at a time as fit a batch."""
    items = bodies.read(version.predictor, request.headers, request.body)
    parts = []
    for start in range(0, len(items), version.largest):
        some = items[start : start + version.largest]
        try:
            raw = () if version.predictor.signature.whole or len(request.body) > RAW_BODY else some
            parts.append(Part(version.predictor.encode(some), len(some), raw))
        except Invalid as problem:
            raise problem.at(start + problem.row) from None
    return parts


def _asked(version: Version, request: Request) -> oip.Asked:
    """The tensors of a request."""
    body = bodies.inflate(request.headers.get("content-encoding", "identity").strip().lower(), request.body)
    return version.reader.read(request.headers, body)
