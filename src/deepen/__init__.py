"""deepen: applied deep learning from raw data to a service that stays healthy.

The verbs of the command line are the functions of this package: `deepen.train("photos/")`, `deepen.evaluate(run)`...
Each is imported when it is first used, so that `import deepen` costs next to nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

# Threads that wait for work must not spin: on a shared machine spinning costs most of the speed. libgomp reads this
# when torch loads it, hence here, before any import of torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# ONNX Runtime (from 1.29) tells its maker of every process as soon as it is imported, unless told not to before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    registry = importlib.import_module("deepen.registry")  # `from deepen import` would ask here again
    if name in registry.names("stages"):
        return registry.load("stages", name)
    if name == "load":  # a Predictor from a run or a bundle
        return importlib.import_module("deepen.stages.predict").load
    raise AttributeError(f"module 'deepen' has no attribute {name!r}")


def __dir__() -> list[str]:
    from deepen import registry

    return [*globals(), *registry.names("stages"), "load"]
