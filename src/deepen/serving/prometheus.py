"""The counts of the service in the text format of Prometheus, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deepen.serving.tally import Histogram, memory, open_files

if TYPE_CHECKING:
    from deepen.serving.core import Core

TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(core: Core) -> str:
    """All families, each with its help and type before its samples."""
    return "".join(f"{line}\n" for line in (*_models(core), *_process(core)))


def _models(core: Core) -> Iterator[str]:
    named = [(_labels(model=m.name, version=v.name), v) for m in core.models.values() for v in m.versions.values()]
    yield from _family("deepen_requests_total", "counter", "Requests answered well.")
    yield from (f"deepen_requests_total{{{label}}} {v.tally.latency.count}" for label, v in named)
    yield from _family("deepen_items_total", "counter", "Items answered.")
    yield from (f"deepen_items_total{{{label}}} {v.tally.items}" for label, v in named)
    yield from _family("deepen_errors_total", "counter", "Requests answered with an error, by its code.")
    for label, v in named:
        yield from (f"deepen_errors_total{{{label},{_labels(code=c)}}} {n}" for c, n in sorted(v.tally.errors.items()))
    for name, errors in (*((m.name, m.errors) for m in core.models.values()), ("", core.errors)):
        none = _labels(model=name, version="")
        yield from (f"deepen_errors_total{{{none},{_labels(code=c)}}} {n}" for c, n in sorted(errors.items()))
    yield from _family("deepen_request_seconds", "histogram", "From a request's whole body to its answer.")
    for label, v in named:
        yield from _histogram("deepen_request_seconds", label, v.tally.latency)
    yield from _family("deepen_batch_items", "histogram", "Items the model answered at a time.")
    for label, v in named:
        yield from _histogram("deepen_batch_items", label, v.tally.batches)
    for name, kind, help, value in (
        ("deepen_model_seconds_total", "counter", "Time in the model.", lambda v: v.tally.model),
        ("deepen_queue_seconds_total", "counter", "Time requests waited for the model, added up.", lambda v: v.tally.waited),
        ("deepen_queue_items", "gauge", "Items that wait for the model.", lambda v: v.batcher.waiting),
        ("deepen_active_requests", "gauge", "Requests being answered.", lambda v: v.active),
        ("deepen_shadow_gap", "gauge", "Largest difference of a shadow's numbers from the answers given.", lambda v: v.tally.gap),
    ):  # fmt: skip
        yield from _family(name, kind, help)
        yield from (f"{name}{{{label}}} {value(v):.9g}" for label, v in named)
    yield from _family(
        "deepen_shadow_items_total", "counter", "Items a version answered as a shadow, by what came of it."
    )
    for label, v in named:
        rows = sorted(v.tally.shadow.items())
        yield from (f"deepen_shadow_items_total{{{label},{_labels(result=c)}}} {n}" for c, n in rows)
    yield from _family("deepen_share", "gauge", "The share of requests a version gets.")
    for model in core.models.values():
        for version, share in model.route.shares.items():
            yield f"deepen_share{{{_labels(model=model.name, version=version)}}} {share:.9g}"
    yield from _family("deepen_ready", "gauge", "1 where a model answers its golden items rightly.")
    yield from (f"deepen_ready{{{_labels(model=m.name)}}} {int(m.ready)}" for m in core.models.values())
    yield from _family("deepen_samples_dropped_total", "counter", "Items drawn for the record but not written.")
    yield from (f"deepen_samples_dropped_total{{{_labels(model=n)}}} {o.dropped}" for n, o in core.observers.items())


def _process(core: Core) -> Iterator[str]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    for name, kind, help, value in (
        ("deepen_waiting_requests", "gauge", "Requests accepted and not yet answered.", core.accepted),
        ("process_cpu_seconds_total", "counter", "User and system CPU time.", used.ru_utime + used.ru_stime),
        ("process_resident_memory_bytes", "gauge", "Resident memory.", memory()),
        ("process_open_fds", "gauge", "Open file descriptors.", open_files()),
        ("process_start_time_seconds", "gauge", "Unix seconds of the start.", core.started),
        ("deepen_uptime_seconds", "gauge", "Seconds since the start.", time.monotonic() - core.begun),
    ):
        yield from _family(name, kind, help)
        yield f"{name} {value:.15g}"


def _family(name: str, kind: str, help: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"


def _histogram(name: str, label: str, found: Histogram) -> Iterator[str]:
    total = 0
    for bound, count in zip((*found.bounds, float("inf")), found.counts):
        total += count
        le = "+Inf" if bound == float("inf") else f"{bound:g}"
        yield f'{name}_bucket{{{label},le="{le}"}} {total}'
    yield f"{name}_sum{{{label}}} {found.sum:.9g}"
    yield f"{name}_count{{{label}}} {total}"


def _labels(**values: str) -> str:
    escaped = {k: v.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for k, v in values.items()}
    return ",".join(f'{key}="{value}"' for key, value in escaped.items())
