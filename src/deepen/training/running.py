"""A run trained to its end, once its data and plan stand: in one process or several, at once or resumed."""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from deepen import __version__, foreign
from deepen.config import Config
from deepen.console import announce, digits, duration, silence
from deepen.data.prepare import Prepared
from deepen.errors import DeepenError
from deepen.store import durable
from deepen.store.run import Run
from deepen.training import diagnosis, reference
from deepen.training.assemble import build
from deepen.training.engine import Engine
from deepen.training.finished import config_of, data_of, save_model
from deepen.training.processes import Processes
from deepen.training.progress import Show


def keep_data(run: Run, prepared: Prepared) -> None:
    """Write down what the run learns from: signature, split, what was set aside."""
    ids = prepared.items.ids
    parts = {
        name: [ids[int(i)] for i in rows]
        for name, rows in {**prepared.parts, "unlabelled": prepared.unlabelled}.items()
    }
    files: dict[str, bytes | str] = {
        "signature.json": prepared.signature.to_json(),
        "split.json": json.dumps(parts, ensure_ascii=False),
        "quarantine.json": json.dumps(prepared.report(), indent=1, ensure_ascii=False),
    }
    run.keep(files, state="training", fingerprint=prepared.items.fingerprint())


def unchanged(run: Run, prepared: Prepared) -> None:
    """A run goes on with the data it began with."""
    if prepared.items.fingerprint() != run.info["fingerprint"]:
        raise DeepenError(
            "train.resume",
            str(run.path),
            "the data has changed since it began",
            "the same items and labels",
            "put the data back, or start a new run",
        )


def parent_of(run: Run | None) -> Run | None:
    """The run whose weights a run begins from, if any."""
    place = None if run is None else run.info.get("parent_path")
    return None if place is None else Run.open(place)


def fit(run: Run, config: Config, prepared: Prepared, resume: bool = False) -> Run:
    """Train, or go on from the newest checkpoint, and leave the run finished."""
    tell({"run": str(run.path.absolute()), "resume": resume})
    progress = Show(run)
    engine = _engine(run, config, prepared, progress, resume)
    if resume and not engine.load():
        announce("no checkpoint was written yet: starting from the beginning")
    if resume:
        _check_threads(run, engine)
        announce(f"resuming at step {engine.state.step} of {engine.total}")
    run.update(state="training", machine=_machine(engine))
    announce(f"run      {run.path}")
    progress.begin(engine)
    try:
        with _kept(run, engine):
            engine.fit()
    finally:
        progress.line.clear()
    engine.processes.close()
    _finished(run, engine, prepared, time.monotonic() - progress.start)
    return run


def _engine(run: Run, config: Config, prepared: Prepared, progress: Show, resume: bool) -> Engine:
    """What trains a run. Where settings allow none, a new run is taken back: nothing was learnt in it."""
    try:
        with _kept(run):
            return build(config, prepared, run, progress, parent_of(run))
    except Exception as problem:
        told = foreign.fault(problem) or problem
        if not resume and isinstance(told, DeepenError) and told.code not in {"train.stopped", "train.processes"}:
            run.withdraw()
        raise


def _finished(run: Run, engine: Engine, prepared: Prepared, seconds: float) -> None:
    """Write down the network that was best, what its inputs and answers are like, and what the diagnosis finds."""
    save_model(run, engine.packaged)
    rows, length = durable.lines(run.path / "metrics.jsonl")
    kept = next(r for r in reversed(rows) if r["step"] == engine.state.best_step)
    shown = sorted((key for key in kept if key.startswith("val_")), key=lambda key: key != engine.monitor)
    metrics = {key: kept[key] for key in shown}  # first the one that decided
    findings = diagnosis.diagnose(engine, rows)
    run.keep(
        {
            reference.FILE: reference.measure(engine.packaged, prepared, engine.data.device),
            diagnosis.FILE: json.dumps([finding._asdict() for finding in findings], indent=1),
        },
        state="finished",
        step=engine.state.step,
        best_step=engine.state.best_step,
        metrics=metrics,
        lengths={"metrics.jsonl": length},
        problem=None,
    )
    best = f"step {engine.state.best_step}: {engine.monitor} {digits(kept[engine.monitor])}"
    announce(f"kept     {best}   ({duration(seconds)})")
    for finding in findings:
        announce(f"finding  {finding.name}: {finding.says} Try {finding.advice}")
    announce(f"next     deepen evaluate {run.path}")


@contextlib.contextmanager
def _kept(run: Run, engine: Engine | None = None) -> Iterator[None]:
    """What ends a training before its time is written into its run."""
    try:
        yield
    except Exception as problem:
        told = foreign.fault(problem) or problem
        stopped = isinstance(told, DeepenError) and told.code == "train.stopped"
        step = {} if engine is None else {"step": engine.state.step}
        run.update(state="stopped" if stopped else "failed", problem=str(told), **step)
        raise


def tell(document: Any) -> Any:
    """Under torchrun: what the first process has to say to the others, which wait for it."""
    return Processes().share(document)


def follow() -> None:
    """The part of every process but the first: the same steps on other items of each batch, in silence."""
    with silence():
        told = tell(None)
        if told is None:
            return
        run = Run.open(told["run"])
        config = config_of(run)
        engine = build(config, data_of(run, config), None, parent=parent_of(run))
        try:
            if told["resume"]:
                engine.load()
            engine.fit()
            engine.processes.close()
        except DeepenError as problem:
            if problem.code == "train.processes":
                raise
            raise SystemExit(problem.exit_code) from problem  # the first process meets it too, and says it


def _machine(engine: Engine) -> dict[str, Any]:
    return {
        "deepen": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "processes": engine.processes.world,
        "device": engine.data.device if engine.data.device == "cpu" else torch.cuda.get_device_name(),
    }


def _check_threads(run: Run, engine: Engine) -> None:
    """What changes sums in their last bits: the number of threads is restored, anything else is told."""
    before = run.info.get("machine", {})
    if before.get("threads") and before["threads"] != torch.get_num_threads():
        torch.set_num_threads(before["threads"])
    now = _machine(engine)
    for part in ("torch", "device", "processes"):
        if before and before.get(part) != now[part]:
            changed = f"{part} was {before.get(part)}, is {now[part]}"
            announce(f"note     {changed}: the run goes on, but not bit for bit as it would have")
