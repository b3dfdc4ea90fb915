"""Small engines to hurt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from deepen.config import from_target, write
from deepen.data.prepare import Prepared, prepare
from deepen.registry import build as construct
from deepen.store.run import Run
from deepen.training import plan
from deepen.training.assemble import build
from deepen.training.engine import Engine

NORMS = "tests.faults.networks:Dense"
SMALL: dict[str, Any] = {"model": "mlp", "hidden": [8], "threads": 1, "epochs": 4, "batch_size": 16, "data.items": 200}


def prepared_for(**settings: Any) -> tuple[Any, Prepared]:
    """A complete configuration on blobs, and its data."""
    merged = {**SMALL, **settings}
    if "steps" in settings:
        merged.pop("epochs")
    if merged["model"] != "mlp":
        merged.pop("hidden")
    config = from_target("blobs", {key: str(value) for key, value in merged.items()})
    prepared = prepare(construct("sources", config.data).read(), config)
    return plan.complete(config, prepared), prepared


def engine(run: Run | None = None, observer: Any = None, **settings: Any) -> Engine:
    config, prepared = prepared_for(**settings)
    return build(config, prepared, run, observer)


def new_run(place: Path, **settings: Any) -> Run:
    return Run.create(place, write(prepared_for(**settings)[0]))


Fault = Callable[[Engine, Any, Tensor], Tensor]


def hurt(engine: Engine, fault: Fault) -> None:
    """Every loss of the engine's method goes through `fault`."""
    real = engine.method.loss

    def loss(batch: Any, player: str) -> Tensor:
        return fault(engine, batch, real(batch, player))

    engine.method.loss = loss  # type: ignore[method-assign]


def gradient_lost(loss: Tensor) -> Tensor:
    """A finite loss whose gradient is NaN."""
    loss = loss.clone()
    loss.register_hook(lambda gradient: gradient * float("nan"))
    return loss
