"""What the service does, however it is asked: answer, and change what answers. `rest.py` and `rpc.py` are the ways in."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar

from deepen.errors import DeepenError
from deepen.machine import cores
from deepen.serving import oip, oip_tensors
from deepen.serving.application import Application, ReadBody
from deepen.serving.batcher import Full, Late, Result
from deepen.serving.messages import Request, Response, control_refused
from deepen.serving.model import Model
from deepen.serving.observer import Observer, Seen
from deepen.serving.options import Options
from deepen.serving.readers import Readers
from deepen.serving.refusal import SHOWN, Refusal
from deepen.serving.rest import Rest
from deepen.serving.shadow import Parts, Shadow
from deepen.serving.tally import OWN
from deepen.serving.version import Part, Version
from deepen.store.live import Live
from deepen.tensors import Arrays

MOST_REQUESTS = 1024  # accepted and not yet answered
PATIENT = 0.9  # share of the time the service gives; who is late within less had a client in haste


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
        self.started, self.begun = time.time(), time.monotonic()  # a clock may be set back
        self.shadow = Shadow()
        self.rest = Rest(self)
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

    def counts(self, model: str) -> Counter[str]:
        """Where errors of requests to a model are counted that no version took: an outage shows in its record."""
        found = self.models.get(model or self.default.name)
        return self.errors if found is None else found.errors

    async def handle(self, request: Request, body: ReadBody | None = None) -> Response:
        return await self.rest.handle(request, body)

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

    async def read(self, inline: bool, deadline: float, read: Callable[..., Any], *given: Any) -> Any:
        """Read a body here, or in another thread where that could take long: Full or Late as the queue of a model."""
        return read(*given) if inline else await self.readers.read(deadline, read, *given)

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
        self.observe(model, version, parts, results, time.monotonic() - start, name)
        self.compare(model, version, results[0].answers, lambda of: _already(parts), encoded=True)
        return outputs

    def observe(
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

    def compare(
        self, model: Model, version: Version, answers: Sequence[Any], parts: Parts, encoded: bool = False
    ) -> None:
        """Let the shadow answer too, where that is for it. `encoded`: the parts are as this version takes them."""
        if (shadow := model.beside(version)) is None:
            return
        if encoded and shadow.predictor.signature.tensors != version.predictor.signature.tensors:
            shadow.tally.shadow["skipped"] += 1
        else:
            self.shadow.compare(shadow, version, answers, parts)

    # ---------------------------------------------------------------- changes

    async def load(self, model: str) -> None:
        await self._change(self.model(model), Model.load)

    async def unload(self, model: str) -> None:
        await self.model(model).unload()

    async def move(self, model: Model, change: Callable[[], Any]) -> None:
        """Change a model's route, and serve what it says."""
        try:
            await asyncio.to_thread(change)
        except DeepenError as problem:
            raise control_refused(problem.code, model.told(problem), problem) from None
        await self._change(model, Model.follow)

    async def _change(self, model: Model, work: Callable[[Model], Coroutine[Any, Any, list[str]]]) -> None:
        """Do what changes a model; where a version was refused, say so."""
        try:
            refused = await work(model)
        except DeepenError as problem:
            raise control_refused(problem.code, model.told(problem), problem) from None
        if refused:
            why = "; ".join(refused)
            raise control_refused("model.refused", f"what served before goes on; {model.told(why)}", why)


async def _already(parts: list[Part]) -> list[Part]:
    return parts


def _code(problem: Exception) -> str:
    """The code an error is counted under."""
    if isinstance(problem, (Refusal, DeepenError)):
        return problem.code
    if isinstance(problem, (Full, Late)):
        return "request.overload" if isinstance(problem, Full) else "request.deadline"
    return "internal"
