"""What a model is, in the documents of the Open Inference Protocol and its extensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepen.serving.bodies import MOST_ITEMS
from deepen.serving.oip_tensors import TYPES, sizes_of
from deepen.serving.tally import Tally
from deepen.signature import Signature
from deepen.tensors import Tensor


def metadata(name: str, versions: Sequence[str], platform: str, signature: Signature) -> dict[str, Any]:
    """GET /v2/models/NAME."""

    def tensors(found: Sequence[Tensor]) -> list[dict[str, Any]]:
        return [{"name": t.name, "datatype": TYPES[t.dtype], "shape": list(sizes_of(t))} for t in found]

    return {
        "name": name,
        "versions": list(versions),
        "platform": platform,
        "inputs": tensors(signature.tensors),
        "outputs": tensors(signature.output_tensors),
    }


def configuration(name: str, platform: str, signature: Signature, largest: int, wait: float) -> dict[str, Any]:
    """GET /v2/models/NAME/config, in the form of Triton's. Where items are rows, the batch dimension is left out."""
    stacked = all(t.shape[:1] == ("batch",) for t in (*signature.tensors, *signature.output_tensors))

    def tensors(found: Sequence[Tensor]) -> list[dict[str, Any]]:
        return [
            {
                "name": t.name,
                "data_type": f"TYPE_{TYPES[t.dtype]}",
                "dims": list(sizes_of(t)[1 if stacked else 0 :]) or [1],
            }
            for t in found
        ]

    return {
        "name": name,
        "platform": platform,
        "max_batch_size": MOST_ITEMS if stacked else 0,
        "input": tensors(signature.tensors),
        "output": tensors(signature.output_tensors),
        "dynamic_batching": {"preferred_batch_size": [largest], "max_queue_delay_microseconds": round(wait * 1e6)},
    }


def statistics(name: str, version: str, tally: Tally) -> dict[str, Any]:
    """One entry of GET /v2/models/NAME/stats, in the form of Triton's; times in nanoseconds."""

    def span(count: int, seconds: float) -> dict[str, int]:
        return {"count": count, "ns": round(seconds * 1e9)}

    failed = sum(tally.errors.values())
    batches = tally.batches.count
    return {
        "name": name,
        "version": version,
        "last_inference": round(tally.last * 1e3),
        "inference_count": tally.items,
        "execution_count": batches,
        "inference_stats": {
            "success": span(tally.latency.count, tally.latency.sum),
            "fail": span(failed, tally.failed),
            "queue": span(tally.jobs, tally.waited),
            "compute_input": span(0, 0),
            "compute_infer": span(batches, tally.model),
            "compute_output": span(0, 0),
        },
        "batch_stats": [],
    }
