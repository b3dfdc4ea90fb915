"""What a service says there is: its models, their versions and state, as HTTP and gRPC both tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepen import __version__
from deepen.serving import oip_models
from deepen.serving.model import Model
from deepen.serving.version import Version

if TYPE_CHECKING:
    from deepen.serving.core import Core

EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]


def described(core: Core, model: str) -> dict[str, Any]:
    """A model: its versions, their shares, what the one that describes it takes and gives."""
    found = core.model(model)
    version = found.main()
    return {
        "model": found.name,
        "version": version.name,
        "run": version.run,
        "shares": found.route.shares,
        "shadow": found.route.shadow,
        "versions": {v.name: v.run for v in found.versions.values()},
        "signature": version.predictor.signature.document(),
        "metrics": version.manifest.get("metrics"),
    }


def about() -> dict[str, Any]:
    return {"name": "deepen", "version": __version__, "extensions": EXTENSIONS}


def metadata(core: Core, model: str, version: str) -> dict[str, Any]:
    found, one = _one(core, model, version)
    return oip_models.metadata(found.name, list(found.versions), platform(one), one.predictor.signature)


def model_ready(core: Core, model: str, version: str) -> bool:
    found = core.model(model)
    if found.ready and version:
        found.pick(version)
    return found.ready and not core.leaving


def config(core: Core, model: str, version: str) -> dict[str, Any]:
    found, one = _one(core, model, version)
    return oip_models.configuration(
        found.name, platform(one), one.predictor.signature, core.options.max_batch_size, core.options.max_wait
    )


def stats(core: Core, model: str, version: str) -> dict[str, Any]:
    models = [core.model(model)] if model else [m for m in core.models.values() if m.ready]
    named = [(m, m.pick(version)) for m in models] if version else [
        (m, v) for m in models for v in m.versions.values()
    ]  # fmt: skip
    return {"model_stats": [oip_models.statistics(m.name, v.name, v.tally) for m, v in named]}


def _one(core: Core, model: str, version: str) -> tuple[Model, Version]:
    found = core.model(model)
    return found, found.pick(version) if version else found.main()


def index(core: Core) -> list[dict[str, str]]:
    rows = []
    for model in core.models.values():
        state, reason = (
            ("READY", "") if model.ready else ("UNAVAILABLE", model.told(model.broken) if model.broken else "unloaded")
        )
        for version in [*model.versions] or [""]:
            rows.append({"name": model.name, "version": version, "state": state, "reason": reason[:200]})
    return rows


def platform(version: Version) -> str:
    return f"deepen_{version.manifest['runtime']}"
