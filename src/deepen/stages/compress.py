"""Make a run's export smaller and faster, and keep that only when it is measured to be, and about as right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from deepen import gate, registry
from deepen.console import say, size
from deepen.errors import DeepenError
from deepen.evaluation.quality import between
from deepen.schema import NonNegative, Positive, Share
from deepen.store import durable
from deepen.store.run import Run
from deepen.tensors import gather

CALIBRATION = 512  # training items that ranges are measured on
CHUNK = 32
MEASURED = 10_000  # test items, at most
BATCHES = (1, 32)


def compress(
    run: str,
    compressor: str = "static_int8",
    name: str = "int8",
    drop: NonNegative = 0.005,
    agreement: Share = 0.97,
    speedup: Positive = 1.05,
    **settings: Any,
) -> dict[str, Any]:
    """Write a compressed export beside the full one and measure both; kept only when faster and about as right.

    run         a run that finished training; exports/onnx is made where it is not there
    compressor  what is done (deepen list compressors)
    name        the bundle's name under exports/
    drop        how much of the figure that decides may be lost, the pessimistic end of its interval counts
    agreement   the smallest share of equal answers
    speedup     how many times faster it must be at batch 1 or 32, the pessimistic end counts; at neither slower
    settings    parameters of the compressor: calibrate=percentile
    """
    from deepen.stages import export
    from deepen.training.finished import predictor_of

    if not export.NAME.fullmatch(name) or name == "onnx":
        raise DeepenError(
            "compress.name", "compress name", f"got {name!r}", "letters, digits, dashes, not onnx", "name=small"
        )
    given = registry.check("compressors", {"name": compressor, **_read(settings)}, "compress")
    source = Run.open(run)
    full = source.path / "exports" / "onnx"
    if not (full / "manifest.json").is_file():
        export.export(run)
    prepared, reference = export.data(source), predictor_of(source)
    found = Found(source, full, prepared, given)
    place = source.path / "exports" / name
    tolerance = gate.Tolerance(
        float("inf"), agreement, float("inf")
    )  # the change of the figure is judged with its interval
    kept = False
    try:
        with source.locked(), durable.publish(place) as draft:
            found.write(draft, reference)
            found.measure()
            found.show()
            gate.check(found.parity, tolerance)
            found.check(drop, speedup)
            export.finish(draft, found.candidate, found.parity, found.about)
        kept = True
    finally:
        if found.measured:
            source.write(f"evaluation/compress-{name}.json", json.dumps(found.document(kept), indent=1) + "\n")
    say(f"bundle   {place} ({size(_bytes(place))})")
    say(f"next     deepen serve {place}")
    return {"bundle": str(place), **found.document(True)}


def _read(settings: dict[str, Any]) -> dict[str, Any]:
    from deepen.config import read_value

    return {key: read_value(value) if isinstance(value, str) else value for key, value in settings.items()}


class Found:
    """The compressed graph and what was measured of it."""

    def __init__(self, run: Run, full: Path, prepared: Any, spec: dict[str, Any]) -> None:
        from deepen import bundle

        self.run, self.full, self.prepared, self.spec = run, full, prepared, spec
        self.before = bundle.predictor(full, 1)
        self.manifest = bundle.manifest(full)
        self.measured: dict[str, Any] = {}

    def write(self, draft: Path, reference: Any) -> None:
        """The compressed graph as a bundle; its golden answers are its own, `reference` answers for the gate."""
        from deepen import bundle
        from deepen.predictor import Predictor
        from deepen.program import Program
        from deepen.stages import export

        train = self.prepared.parts["train"]
        some = np.random.default_rng(0).permutation(train)[:CALIBRATION]
        batches = [self._arrays(some[i : i + CHUNK]) for i in range(0, len(some), CHUNK)]
        registry.build("compressors", self.spec).write(self.full / "graph.onnx", batches, draft / "graph.onnx")
        signature, rows = self.before.signature, export.held_out(self.prepared.parts["test"])
        items = self.prepared.items.raw(rows)
        program = json.loads((self.full / "program.json").read_bytes())
        runtime = registry.load("runtimes", self.manifest["runtime"])(draft / "graph.onnx", 1)
        golden = items[: export.GOLDEN]
        try:
            answers = Predictor(signature, Program(program, {"graph.onnx": runtime}))(golden)
        except DeepenError as problem:
            raise gate.refused(f"it does not run: {problem.found}") from problem
        self.about = {key: self.manifest[key] for key in ("runtime", "run", "metrics", "requires")}
        if (self.full / "reference.json").is_file():
            (draft / "reference.json").write_bytes((self.full / "reference.json").read_bytes())
        export.furnish(draft, signature, program, golden, answers, self.about)
        self.candidate = bundle.predictor(draft, 1)
        self.sizes = tuple((place / "graph.onnx").stat().st_size for place in (self.full, draft))
        self.parity = gate.compare(reference, self.candidate, items, self.prepared.target[rows], between)

    def measure(self) -> None:
        """The change of the figure on the test items, and both graphs in turn on one core."""
        from deepen.evaluation.intervals import change, intervals
        from deepen.evaluation.race import race

        kind = self.before.signature.answer
        rows = self.prepared.parts["test"]
        rows = rows[:: -(-len(rows) // MEASURED)]
        target = self.prepared.target[rows]
        outputs = [self._outputs(predictor, rows) for predictor in (self.before, self.candidate)]
        races = {}
        for batch in BATCHES:
            arrays = self._arrays(np.resize(rows, batch))
            races[batch] = race(lambda: self.before.run(arrays), lambda: self.candidate.run(arrays))  # noqa: B023
        self.measured = {
            "items": len(rows),
            "metric": kind.metric,
            "before": intervals(kind, target, outputs[0])[kind.metric],
            "after": intervals(kind, target, outputs[1])[kind.metric],
            "change": change(kind, target, outputs[0], outputs[1]),
            "agreement": kind.agreement(*outputs),
            "bytes": self.sizes,
            "races": races,
        }

    def _arrays(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return gather(self.before.signature.tensors, self.prepared.columns, rows)

    def _outputs(self, predictor: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        from deepen.tensors import join

        parts = [predictor.run(self._arrays(rows[i : i + 64])) for i in range(0, len(rows), 64)]
        return join(predictor.signature.answer.results, parts)

    def show(self) -> None:
        """Before and after as a table."""
        from deepen.evaluation.html import figure

        found = self.measured
        say(f"{'':<26} {'before':>24}   {'after':>24}   change")
        say(
            f"{'graph':<26} {size(found['bytes'][0]):>24}   {size(found['bytes'][1]):>24}   {found['bytes'][0] / found['bytes'][1]:.2f} times smaller"
        )
        for batch, raced in found["races"].items():
            ratio, low, high = raced.ratio
            say(
                f"{f'time of a batch of {batch}':<26} {_time(raced.first):>24}   {_time(raced.second):>24}   {ratio:.2f} times faster ({low:.2f} to {high:.2f}, {raced.rounds} rounds)"
            )
        before, after = (
            f"{value} ({between})" if between else value
            for value, between in (figure(*found[when]) for when in ("before", "after"))
        )
        moved, low, high = found["change"]
        within = f"{low:+.4f} to {high:+.4f}, " if low == low else ""  # NaN: the kind has no interval
        say(f"{found['metric']:<26} {before:>24}   {after:>24}   {moved:+.4f} ({within}{found['items']:,} items)")
        say(f"{'equal answers':<26} {'':>24}   {found['agreement']:>24.2%}")

    def check(self, drop: float, speedup: float) -> None:
        """Refuse what loses too much of the figure, or is not measurably faster."""
        from deepen.metrics import higher_is_better

        found = self.measured
        moved, low, high = found["change"]
        sign = 1 if higher_is_better(found["metric"]) else -1
        known = low == low  # NaN: the kind has no interval
        lost = -sign * ((low if sign > 0 else high) if known else moved)
        allowed = drop * max(1.0, abs(found["before"][0]))
        if not lost <= allowed:
            raise gate.refused(
                f"{found['metric']} may lose {lost:.4f} ({found['before'][0]:.4f} -> {found['after'][0]:.4f})",
                f"at most {allowed:g}", "the full export stays; more test items narrow the interval",
            )  # fmt: skip
        races = found["races"].values()
        if max(raced.ratio[1] for raced in races) < speedup or min(raced.ratio[2] for raced in races) < 1:
            told = ", ".join(f"{raced.ratio[0]:.2f} times at batch {batch}" for batch, raced in found["races"].items())
            raise gate.refused(
                f"it is not faster enough: {told}",
                f"surely {speedup:g} times at one of them, and slower at none",
                "the full export stays",
            )

    def document(self, kept: bool) -> dict[str, Any]:
        from deepen.evaluation.measure import clean

        races = {str(batch): raced.document() for batch, raced in self.measured["races"].items()}
        parity = self.parity.document()
        return clean({"compressor": self.spec, "kept": kept, **self.measured, "races": races, "parity": parity})


def _time(seconds: tuple[float, float, float]) -> str:
    """Median with the 5th and 95th percentile."""
    return f"{seconds[0] * 1e6:,.0f} us ({seconds[1] * 1e6:,.0f} to {seconds[2] * 1e6:,.0f})"


def _bytes(place: Path) -> int:
    return sum(p.stat().st_size for p in place.rglob("*") if p.is_file())
