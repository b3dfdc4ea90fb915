"""Export a trained network through the gate: it leaves only when it answers as the network itself does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from deepen import bundle, gate, registry
from deepen.console import digits, say, size
from deepen.errors import DeepenError, Refused, unknown
from deepen.evaluation.quality import between
from deepen.store import durable
from deepen.store.run import Run
from deepen.tensors import Arrays, sizes

GOLDEN = 16  # raw items kept in a bundle with their answers
MOST = 2000  # held-out items the gate looks at
NAME = re.compile(r"\w[\w.-]{0,63}", re.ASCII)


def export(
    run: str, format: str = "onnx", name: str | None = None, difference: float = 1e-3, agreement: float = 0.999
) -> dict[str, Any]:
    """Translate a run's network and compare it with the original on held-out raw items; refused is exit code 3.

    run         a run that finished training
    format      the graph's format (deepen list formats)
    name        the bundle's name under exports/ (default: the format)
    difference  the largest gap allowed between the outputs
    agreement   the smallest share of equal answers
    """
    if difference < 0 or not 0 <= agreement <= 1:
        raise DeepenError(
            "export.range",
            "export",
            f"difference {difference:g}, agreement {agreement:g}",
            "difference of at least 0, agreement from 0 to 1",
        )
    source = Run.open(run)
    name = format if name is None else name
    if not NAME.fullmatch(name):
        raise DeepenError(
            "export.name", "export name", f"got {name!r}", "letters, digits, dots, dashes and underscores", "name=small"
        )
    if format not in registry.names("formats"):
        raise unknown("formats.unknown", "export format", format, registry.names("formats"))
    from deepen.training.finished import load_model, predictor_of

    place, parity = hand_over(
        source,
        load_model(source),
        predictor_of(source),
        data(source),
        format,
        name,
        gate.Tolerance(difference, agreement),
    )
    total = sum(p.stat().st_size for p in place.rglob("*") if p.is_file())
    say(
        f"gate     {parity.items} held-out items at batch sizes {', '.join(map(str, parity.batches))}: largest difference {parity.difference:.1e}, {parity.agreement:.2%} agree, {parity.metric} {digits(parity.reference)} -> {digits(parity.candidate)}"
    )
    say(f"bundle   {place} ({size(total)})")
    say(f"next     deepen serve {place}")
    return {"bundle": str(place), "parity": parity.document()}


def data(run: Run) -> Any:
    """The run's data; that it is gone is told with the reason it is asked for."""
    from deepen.training.finished import data_of

    try:
        return data_of(run)
    except DeepenError as problem:
        fix = "the gate needs the run's held-out items: put the data back where it was"
        raise DeepenError(problem.code, problem.where, problem.found, problem.expected, fix) from problem


def hand_over(
    source: Run, network: Any, reference: Any, prepared: Any, format: str, name: str, tolerance: gate.Tolerance
) -> tuple[Path, gate.Parity]:
    """Write a network as a bundle of a run, and keep it if it answers the held-out items as `reference` does."""
    rows = held_out(prepared.parts["test"])
    items, target = prepared.items.raw(rows), prepared.target[rows]
    from deepen.training import reference as watched

    writer = registry.load("formats", format)()
    sample = traced(reference, items)
    place = source.path / "exports" / name
    with source.locked(), durable.publish(place) as draft:
        graph = draft / f"graph{writer.suffix}"
        writer.write(network, reference.signature, sample, graph)
        (draft / watched.FILE).write_bytes(watched.written(source, network, prepared))
        program = [{"do": "run", "graph": graph.name}, *steps_of(reference.signature)]
        record = recorded(source, reference, prepared)
        try:
            parity = assemble(draft, writer.runtime, reference, program, items, target, tolerance, source, record)
        except Refused as problem:
            own = getattr(reference.program.runtimes.get("torch"), "packaged", None)
            if own is None:
                raise
            layer = writer.first_difference(own, reference.encode(items[: gate.SOME]), graph)
            found = f"{problem.found.rstrip('.')}; {layer}"
            raise Refused(problem.code, problem.where, found, problem.expected, problem.fix) from problem
    return place, parity


def traced(reference: Any, items: list[Any]) -> Arrays:
    """Encoded items to trace a graph with: two, or as many more as it takes (a graph may have no edges) until no named
    size is 0 or 1, which a tracer would take for fixed."""
    some = items if len(items) > 1 else items * 2
    count = 2
    while True:
        arrays = reference.encode(some[:count])
        if count >= len(some) or min(sizes(reference.signature.tensors, arrays).values(), default=2) > 1:
            return arrays
        count *= 2


def steps_of(signature: Any) -> list[dict[str, Any]]:
    """What the answers' kinds add to the program, such as thinning out boxes."""
    return [step for kind in signature.outputs.values() for step in kind.steps]


def held_out(rows: np.ndarray) -> np.ndarray:
    """At most 2,000 test rows, evenly taken."""
    return rows[:: -(-len(rows) // MOST)]


def recorded(run: Run, reference: Any, prepared: Any) -> tuple[float, float] | None:
    """The validation figure that training wrote down, and the same figure over the raw items now."""
    kind = reference.signature.answer
    rows = prepared.parts["val"]
    written = (run.info.get("metrics") or {}).get(f"val_{kind.metric}")
    if written is None or len(rows) > MOST:
        return None
    now = kind.metrics(prepared.target[rows], gate.collect(reference, prepared.items.raw(rows), 64))[kind.metric]
    return written, now


def assemble(
    draft: Any,
    runtime: str,
    reference: Any,
    program: list[dict[str, Any]],
    items: list[Any],
    target: np.ndarray,
    tolerance: gate.Tolerance,
    run: Run,
    record: tuple[float, float] | None = None,
) -> gate.Parity:
    """Complete a bundle whose graphs are written, pass it through the gate and seal it."""
    golden = items[:GOLDEN]
    about = {"runtime": runtime, "run": run.id, "metrics": run.info.get("metrics"), "requires": {"runtime": runtime}}
    candidate = furnish(draft, reference.signature, program, golden, reference(golden), about)
    parity = gate.compare(reference, candidate, items, target, between)
    if record is not None:
        gate.check_record(parity.metric, *record, tolerance)
    gate.check(parity, tolerance)
    finish(draft, candidate, parity, about)
    return parity


def furnish(
    draft: Path,
    signature: Any,
    program: list[dict[str, Any]],
    golden: list[Any],
    answers: list[Any],
    about: dict[str, Any],
) -> Any:
    """Write what a bundle holds beside its graphs; returns its predictor, or Refused where it cannot be loaded."""
    dump = signature.dump
    (draft / "signature.json").write_text(signature.to_json())
    (draft / "program.json").write_text(json.dumps(program, indent=1))
    (draft / "golden.json").write_text(json.dumps({"items": [dump(item) for item in golden], "answers": answers}))
    bundle.seal(draft, **about)
    try:
        return bundle.predictor(draft)
    except DeepenError as problem:
        raise gate.refused(f"it cannot be loaded: {problem.found}", problem.expected) from problem


def finish(draft: Path, candidate: Any, parity: gate.Parity, about: dict[str, Any]) -> None:
    """Prove the golden items, write down what the gate measured, and seal."""
    try:
        bundle.prove(draft, candidate)  # the raw items survive the way through JSON, as a client's do
    except DeepenError as problem:
        raise gate.refused(problem.found, problem.expected) from problem
    (draft / "parity.json").write_text(json.dumps(parity.document(), indent=1))
    bundle.seal(draft, **about)
