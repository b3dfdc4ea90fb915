"""Prove a run or a bundle: hashes, golden answers, and that killed and resumed equals uninterrupted."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from deepen import bundle
from deepen.console import say
from deepen.errors import DeepenError, Refused
from deepen.store.run import Run

MOST_STEPS = 10_000


def verify(what: str, steps: int = 12) -> dict[str, Any]:
    """Check what can be checked without trust; a difference is exit code 3.

    what   a run or a bundle; of a run with folds each of them is checked
    steps  of a run: how many steps are trained twice, once through and once killed in the middle and resumed
    """
    if not 2 <= steps <= MOST_STEPS:
        raise DeepenError("verify.steps", "verify steps", f"got {steps}", f"2 to {MOST_STEPS}: it is killed half way")
    path = Path(what)
    if (path / "manifest.json").is_file():
        return _bundle(path)
    run = Run.open(what)
    if run.info["members"]:
        return _folds(run, steps)
    return _run(run, steps)


def _folds(run: Run, steps: int) -> dict[str, Any]:
    """Every fold of a cross-validation."""
    from deepen.evaluation import folds

    folds.whole(run)
    found = []
    for member in folds.members(run):
        say(f"fold     {member.path}")
        found.append(_run(member, steps))
    return {"run": str(run.path), "folds": found}


def _run(run: Run, steps: int) -> dict[str, Any]:
    """Weights and files as they were written, exports, and a slice of the training again."""
    from deepen.training.finished import MODEL, load_model

    load_model(run)
    say(f"files    {', '.join([MODEL, 'config.yaml', *run.check()])}: as training wrote them")
    bundles = [_bundle(place.parent) for place in sorted(run.path.glob("exports/*/manifest.json"))]
    same = _resumes(run, steps)
    return {"run": str(run.path), "weights": True, "bundles": bundles, "resume": same}


def _bundle(path: Path) -> dict[str, Any]:
    """Hashes, and the golden items answered again."""
    predictor = bundle.predictor(path)
    items, answers = bundle.golden(path, predictor.signature)
    worst = predictor.gap(predictor(items), answers)
    if worst > 1e-3:
        raise Refused(
            "verify.golden",
            str(path),
            f"golden answers differ by up to {worst:.3g}",
            "at most 0.001",
            "export it again",
        )
    say(f"bundle   {path}: hashes hold, {len(items)} golden answers given again (largest difference {worst:.1e})")
    return {"bundle": str(path), "golden": len(items), "difference": worst}


def _resumes(run: Run, steps: int) -> dict[str, Any]:
    """Train a slice once through, and once in a process that is killed half way and resumed; compare every weight."""
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        through, broken = Run.create(Path(scratch), ""), Run.create(Path(scratch), "")
        engine = _engine(run, through, steps)
        engine.fit()
        _kill(run, broken, steps)
        again = _engine(run, broken, steps)
        again.load()
        started = again.state.step
        again.fit()
        same_rows = through.rows() == broken.rows()
    whole, resumed = engine.packaged.state_dict(), again.packaged.state_dict()
    differ = [name for name, tensor in whole.items() if not torch.equal(tensor, resumed[name])]
    if differ or not same_rows:
        found = f"{len(differ)} of {len(whole)} tensors differ, first {differ[0]}" if differ else "other metrics"
        raise Refused(
            "verify.resume",
            str(run.path),
            f"after a kill at step {started} {found}",
            "bit-identical weights and metrics",
            "something in the model, the method or the data draws random numbers of its own or keeps state that is not in its buffers",
        )
    say(f"resume   {steps} steps through, and killed and resumed at step {started}: all weights bit-identical")
    return {"steps": steps, "killed_at": started, "identical": True}


def _kill(run: Run, into: Run, steps: int) -> None:
    """Train half of the slice in another process, which then kills itself."""
    code = "import sys; from deepen.stages.verify import until_killed; until_killed(*sys.argv[1:])"
    words = [str(run.path), str(into.path), str(steps), str(steps // 2)]
    child = subprocess.run(
        [sys.executable, "-c", code, *words], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if child.returncode != -signal.SIGKILL:
        last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Refused(
            "verify.child",
            str(run.path),
            f"the training in a process of its own ended with code {child.returncode}: {last}",
            "that it trains until it is killed",
        )


def _engine(run: Run, into: Run, steps: int, observer: Any = None) -> Any:
    """An engine for the first steps of a run's training, saving after each."""
    from deepen.training.assemble import build
    from deepen.training.finished import config_of, data_of
    from deepen.training.running import unchanged

    config, prepared = config_of(run), data_of(run)
    unchanged(run, prepared)
    train = dataclasses.replace(config.train, epochs=None, steps=steps, checkpoint_seconds=0.0)
    return build(dataclasses.replace(config, train=train), prepared, into, observer)


def until_killed(run: str, into: str, steps: str, at: str) -> None:
    """Train in this process until a step, then die without warning (SIGKILL)."""

    class Killer:
        def step(self, engine: Any) -> None:
            if engine.state.step > int(at):
                os.kill(os.getpid(), signal.SIGKILL)

        def epoch(self, engine: Any, row: dict[str, Any]) -> None:
            pass

    _engine(Run.open(run), Run.open(into), int(steps), Killer()).fit()
