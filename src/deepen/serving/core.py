"""What the service answers, apart from how bytes travel: a request in, a response out (`routes.py` lists the paths).

Every response carries `x-request-id`; every error is {"error": text, "code": name, "id": request id}. What went wrong
inside is told to the log only, under that id.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar

import msgspec

from deepen import __version__
from deepen.errors import DeepenError, Invalid
from deepen.machine import cores
from deepen.serving import bodies, messages, oip, oip_answers, oip_models, oip_tensors, page, prometheus, routes
from deepen.serving.access import authorise
from deepen.serving.application import Application, ReadBody
from deepen.serving.batcher import Full, Late, Result
from deepen.serving.messages import Request, Response, answer, control_refused
from deepen.serving.model import Model
from deepen.serving.observer import Observer, Seen
from deepen.serving.options import Options
from deepen.serving.readers import Readers
from deepen.serving.refusal import SHOWN, Refusal
from deepen.serving.routes import Route
from deepen.serving.shadow import SECONDS, Shadow
from deepen.serving.tally import OWN
from deepen.serving.version import Part, Version
from deepen.store.live import Live
from deepen.tensors import Arrays

MOST_REQUESTS = 1024  # accepted and not yet answered
PATIENT = 0.9  # share of the time the service gives; who is late within less had a client in haste
LIGHT_TENSORS = 64 << 10  # bytes of tensors that are read faster than handed to another thread
LIGHT_NUMBERS = 4 << 10  # the same of numbers in JSON
RAW_BODY = 1 << 20  # bytes of a body whose raw items may wait to be recorded
ANSWERING = {"predict", "infer"}  # handlers that ask a version


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a change of the route."""

    shares: dict[str, float]
    shadow: str = ""


class Core(Application):
    """Models in service; the first one answers where a request names none."""

    headers: ClassVar = {
        "content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff",
    }  # fmt: skip

    def __init__(self, models: Sequence[Model], options: Options) -> None:
        super().__init__()
        self.models = {model.name: model for model in models}
        self.default = models[0]
        self.options = options
        self.tokens = options.tokens()
        self.readers = Readers(cores(), options.queue)
        self.accepted = 0
        self.errors: Counter[str] = Counter()  # of requests that no model was found for
        self.started = time.time()
        self.shadow = Shadow()
        self.handlers = {route.handler: getattr(self, f"on_{route.handler}") for route in routes.ROUTES}
        self.observers = {m.name: Observer(m.home, options.sample) for m in models if isinstance(m.home, Live)}

    @property
    def ready(self) -> bool:
        return not self.leaving and all(model.ready for model in self.models.values() if model.loaded)

    def close(self) -> None:
        """Finish what was accepted."""
        self.leaving = True
        self.readers.close()
        for model in self.models.values():
            for version in model.versions.values():
                version.close(2.0)
        for observer in self.observers.values():
            observer.close()

    def model(self, name: str) -> Model:
        """The model of a name; of none, the default one."""
        if not name:
            return self.default
        if name not in self.models:
            known = ", ".join(self.models)
            raise Refusal(404, "request.model", f"no model {name[:SHOWN]!r} here ({known[:200]})")
        return self.models[name]

    async def handle(self, request: Request, body: ReadBody | None = None) -> Response:
        name = f"{random.getrandbits(64):016x}"
        counts = self.errors
        try:
            route, given = self._admit(request)
            counts = self.counts(given.get("model", "")) if route.handler in ANSWERING else counts
            if body is not None:
                request.body = await body()
            response = await self.handlers[route.handler](request, name, **given)
        except ConnectionError:
            raise
        except Exception as problem:
            refusal = messages.told(problem, name)
            if not getattr(problem, "counted", False):
                counts[refusal.code] += 1
            response = messages.refused(problem, refusal, name)
        response.headers["x-request-id"] = name
        return response

    def counts(self, model: str) -> Counter[str]:
        """Where errors of requests to a model are counted that no version took: an outage shows in its record."""
        found = self.models.get(model or self.default.name)
        return self.errors if found is None else found.errors

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
            authorise(request.headers, self.tokens[route.admin])
        return route, given

    # ---------------------------------------------------------------- answers

    async def answered(
        self, model: Model, version_name: str, work: Callable[[Version], Coroutine[Any, Any, Any]]
    ) -> Any:
        """What `work` makes of a version of the model; the version stays until then, and counts it."""
        if self.accepted >= MOST_REQUESTS:
            raise Full
        version = model.pick(version_name)
        self.accepted += 1
        version.active += 1
        start = time.monotonic()
        try:
            items, result = await work(version)
            version.tally.answered(items, time.monotonic() - start)
            return result
        except Exception as problem:
            seconds = time.monotonic() - start
            late = type(problem) is Late and seconds > PATIENT * self.options.timeout
            code = "model.late" if late else _code(problem)
            version.tally.refused(code, seconds)
            if code in OWN and not version_name:  # who names a version was not dealt one
                model.failed(version.name)
            problem.counted = True  # type: ignore[attr-defined]  # not again among those without a version
            raise
        finally:
            self.accepted -= 1
            version.release()

    async def on_predict(self, request: Request, name: str, model: str = "", version: str = "") -> Response:
        """Read and encode the items beside the loop and answer them in the model's thread, unless that costs more."""
        chosen = self.model(model)
        return await self.answered(chosen, version, lambda found: self._predict(chosen, found, request, name))

    async def _predict(self, model: Model, version: Version, request: Request, name: str) -> tuple[int, Response]:
        start = time.monotonic()
        deadline = start + self.time_for(request.headers)
        inline = version.turn is not None and bodies.light(version.predictor, request.headers, request.body)
        parts = await self.read(inline, deadline, _parts, version, request)
        results = await version.ask(parts, True, deadline, inline)
        answers = [found for result in results for found in result.answers]
        self._after(model, version, parts, results, time.monotonic() - start, name)
        if (shadow := model.beside(version)) is not None:
            again = lambda of: self.read(False, time.monotonic() + SECONDS, _parts, of, request)
            self.shadow.compare(shadow, version, answers, again)
        return len(answers), answer({"answers": answers, "run": version.run, "version": version.name})

    async def on_infer(self, request: Request, name: str, model: str = "", version: str = "") -> Response:
        chosen = self.model(model)
        return await self.answered(chosen, version, lambda found: self._infer(chosen, found, request, name))

    async def _infer(self, model: Model, version: Version, request: Request, name: str) -> tuple[int, Response]:
        deadline = time.monotonic() + self.time_for(request.headers)
        length = len(request.body)
        inline = length <= (LIGHT_TENSORS if oip.HEADER in request.headers else LIGHT_NUMBERS)
        inline = inline and "content-encoding" not in request.headers
        asked = await self.read(inline, deadline, _asked, version, request)
        outputs = await self.infer(model, version, asked, deadline, inline, name)
        data, headers = oip_answers.write(model.name, version.name, version.predictor.signature, asked, outputs)
        return asked.items, Response(200, data, headers)

    async def infer(
        self, model: Model, version: Version, asked: oip.Asked, deadline: float, inline: bool, name: str
    ) -> Arrays:
        """The graph's outputs for encoded items."""
        start = time.monotonic()
        if asked.timeout:
            deadline = min(deadline, start + asked.timeout)
        decoded = model.name in self.observers or model.shadow is not None
        parts = [Part(asked.arrays, asked.items)]
        try:
            results = await version.ask(parts, decoded, deadline, inline)
        except DeepenError as problem:
            if problem.code != "bundle.run":
                raise
            raise Refusal(400, "request.values", "the model does not take these values") from problem
        outputs = results[0].outputs
        if not results[0].finite:
            oip_tensors.finite(outputs)
        self._after(model, version, parts, results, time.monotonic() - start, name)
        if (shadow := model.beside(version)) is not None:
            if shadow.predictor.signature.tensors == version.predictor.signature.tensors:
                self.shadow.compare(shadow, version, results[0].answers, lambda of: _already(parts))
            else:
                shadow.tally.shadow["skipped"] += 1
        return outputs

    async def read(self, inline: bool, deadline: float, read: Callable[..., Any], *given: Any) -> Any:
        """Read a body here, or in another thread where that could take long: Full or Late as the queue of a model."""
        return read(*given) if inline else await self.readers.read(deadline, read, *given)

    def _after(
        self,
        model: Model,
        version: Version,
        parts: Sequence[Part],
        results: Sequence[Result],
        seconds: float,
        name: str,
    ) -> None:
        """Let the observer of a live model draw from what was answered."""
        observer = self.observers.get(model.name)
        if observer is None:
            return
        of, start = sum(part.items for part in parts), 0
        for part, result in zip(parts, results):
            if rows := observer.draw(part.items):
                observer.observe(Seen(version, part, rows, result.answers, seconds, name, time.time(), start, of))
            start += part.items

    def time_for(self, headers: dict[str, str]) -> float:
        """Seconds a request may take, as its header `timeout` says."""
        text = headers.get("timeout")
        if text is None:
            return self.options.timeout
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < 1e6:
            raise Refusal(400, "request.timeout", f"timeout {text[:20]!r}: expected seconds")
        return min(seconds, self.options.timeout)

    # ---------------------------------------------------------------- what there is

    async def on_live(self, request: Request, name: str) -> Response:
        return answer({"live": True})

    async def on_health(self, request: Request, name: str) -> Response:
        return answer({"ready": self.ready}, 200 if self.ready else 503)

    async def on_about(self, request: Request, name: str, model: str = "") -> Response:
        found = self.model(model)
        version = found.main()
        document = {
            "model": found.name,
            "version": version.name,
            "run": version.run,
            "shares": found.route.shares,
            "shadow": found.route.shadow,
            "versions": {v.name: v.run for v in found.versions.values()},
            "signature": version.predictor.signature.document(),
            "metrics": version.manifest.get("metrics"),
        }
        return answer(document if model else {**document, "models": list(self.models)})

    async def on_metrics(self, request: Request, name: str) -> Response:
        return Response(200, prometheus.text(self).encode(), {"content-type": prometheus.TYPE})

    async def on_openapi(self, request: Request, name: str) -> Response:
        return answer(page.document(self))

    async def on_docs(self, request: Request, name: str) -> Response:
        return Response(200, page.html(self).encode(), page.HEADERS)

    async def on_server_metadata(self, request: Request, name: str) -> Response:
        return answer(self.about())

    def about(self) -> dict[str, Any]:
        return {"name": "deepen", "version": __version__, "extensions": EXTENSIONS}

    async def on_metadata(self, request: Request, name: str, model: str, version: str = "") -> Response:
        return answer(self.metadata(model, version))

    def metadata(self, model: str, version: str) -> dict[str, Any]:
        found, one = self._one(model, version)
        return oip_models.metadata(found.name, list(found.versions), platform(one), one.predictor.signature)

    async def on_model_ready(self, request: Request, name: str, model: str, version: str = "") -> Response:
        ready = self.model_ready(model, version)
        return answer({"name": model, "ready": ready}, 200 if ready else 503)

    def model_ready(self, model: str, version: str) -> bool:
        found = self.model(model)
        if found.ready and version:
            found.pick(version)
        return found.ready and not self.leaving

    async def on_config(self, request: Request, name: str, model: str, version: str = "") -> Response:
        return answer(self.config(model, version))

    def config(self, model: str, version: str) -> dict[str, Any]:
        found, one = self._one(model, version)
        return oip_models.configuration(
            found.name, platform(one), one.predictor.signature, self.options.max_batch_size, self.options.max_wait
        )

    async def on_stats(self, request: Request, name: str, model: str = "", version: str = "") -> Response:
        return answer(self.stats(model, version))

    def stats(self, model: str, version: str) -> dict[str, Any]:
        models = [self.model(model)] if model else [m for m in self.models.values() if m.ready]
        named = [(m, m.pick(version)) for m in models] if version else [
            (m, v) for m in models for v in m.versions.values()
        ]  # fmt: skip
        return {"model_stats": [oip_models.statistics(m.name, v.name, v.tally) for m, v in named]}

    def _one(self, model: str, version: str) -> tuple[Model, Version]:
        found = self.model(model)
        return found, found.pick(version) if version else found.main()

    async def on_index(self, request: Request, name: str) -> Response:
        return answer(self.index())

    def index(self) -> list[dict[str, str]]:
        rows = []
        for model in self.models.values():
            state, reason = ("READY", "") if model.ready else ("UNAVAILABLE", model.broken or "unloaded")
            for version in [*model.versions] or [""]:
                rows.append({"name": model.name, "version": version, "state": state, "reason": reason[:200]})
        return rows

    # ---------------------------------------------------------------- changes

    async def on_load(self, request: Request, name: str, model: str) -> Response:
        await self.load(model)
        return answer({})

    async def load(self, model: str) -> None:
        await self._change(self.model(model).load())

    async def on_unload(self, request: Request, name: str, model: str) -> Response:
        await self.unload(model)
        return answer({})

    async def unload(self, model: str) -> None:
        await self.model(model).unload()

    async def on_reroute(self, request: Request, name: str, model: str) -> Response:
        found = self.model(model)
        try:
            change = msgspec.json.decode(request.body, type=Change)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise Refusal(400, "request.json", f'expected {{"shares": {{version: share}}}}: {problem}') from None
        return await self._move(found, lambda: found.home.route(change.shares, change.shadow, "over HTTP"))

    async def on_rollback(self, request: Request, name: str, model: str) -> Response:
        found = self.model(model)
        return await self._move(found, lambda: found.home.rollback("over HTTP"))

    async def _move(self, model: Model, change: Callable[[], Any]) -> Response:
        try:
            await asyncio.to_thread(change)
        except DeepenError as problem:
            raise control_refused(problem) from None
        await self._change(model.follow())
        return answer({"shares": model.route.shares, "shadow": model.route.shadow})

    async def _change(self, work: Coroutine[Any, Any, list[str]]) -> None:
        """Do what changes a model; where a version was refused, say so."""
        try:
            refused = await work
        except DeepenError as problem:
            raise control_refused(problem) from None
        if refused:
            raise Refusal(409, "model.refused", f"what served before goes on; {'; '.join(refused)}")


EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]


def platform(version: Version) -> str:
    return f"deepen_{version.manifest['runtime']}"


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


async def _already(parts: list[Part]) -> list[Part]:
    return parts


def _code(problem: Exception) -> str:
    """The code an error is counted under."""
    if isinstance(problem, (Refusal, DeepenError)):
        return problem.code
    if isinstance(problem, (Full, Late)):
        return "request.overload" if isinstance(problem, Full) else "request.deadline"
    return "internal"
