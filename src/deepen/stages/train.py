"""Train a network on a folder of pictures, texts or sounds, a table, arrays or what a config says."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from deepen.console import announce, duration, size
from deepen.errors import DeepenError, counted
from deepen.store.run import Run


def train(
    what: str | None = None,
    output: str = "runs",
    resume: str | None = None,
    parent: str | None = None,
    dry_run: bool = False,
    **overrides: Any,
) -> Run | dict[str, Any] | None:
    """Train a network and leave a run.

    what       a folder of pictures, texts or sounds, a table (.csv, .jsonl, .parquet), arrays (.npz), a config (.yaml), or a source's name;
               from Python graphs of torch_geometric too, which are written beside the runs
    output     where runs are made
    resume     a run that was stopped or killed: go on where it was, bit for bit
    parent     a run to begin from: its configuration, its weights where name and shape agree, its split for the items it
               knew; items labelled since are shared out by split.val and split.test
    dry_run    only show the plan, with an estimate of time and memory
    overrides  target=price, train.lr=1e-3, model=resnet depth=18, ... (deepen list models shows what there is)
    """
    if _follows(dry_run):
        return None
    if resume is not None:
        extra = what or next(iter(overrides), None if parent is None else "parent")
        if extra is not None:
            raise DeepenError(
                "train.resume", "train --resume", f"{extra!r} beside it",
                "nothing else: a run goes on as it was configured", "start a new run for other settings",
            )  # fmt: skip
        return _resume(Run.open(resume))
    if what is None and isinstance(overrides.get("data"), str) and os.path.exists(overrides["data"]):
        what = overrides.pop("data")
    if what is None:
        raise DeepenError(
            "cli.missing", "train", "nothing to train on",
            "a folder, a table, a config, or --resume RUN", "deepen train photos/",
        )  # fmt: skip
    from deepen.data import handed

    what = handed.path_of(what, output)
    before = None if parent is None else Run.open(parent).single()
    config = _configured(what, before, overrides)
    if config.split.folds is not None and config.split.turn is None:
        return _folds(config, before, output, dry_run)
    config, prepared = _planned(config, Path(output), before)
    if dry_run:
        return _estimate(config, prepared)
    about = {} if before is None else {"parent": before.id, "parent_path": str(before.path.absolute())}
    return _begun(config, prepared, Path(output), **about)


def _follows(dry_run: bool) -> bool:
    """Whether this was a process of several under torchrun that is not the first: its part is done then."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes < 2:
        return False
    if dry_run:
        raise DeepenError(
            "train.processes", "train --dry-run", f"{processes} processes", "one", "start it without torchrun"
        )
    from deepen.training import running
    from deepen.training.processes import Processes

    if Processes().first:
        return False
    running.follow()
    return True


def _configured(what: str, before: Run | None, overrides: dict[str, Any]) -> Any:
    """The configuration asked for, as far as it can be known before the data is read."""
    from deepen import config as configs
    from deepen.data import choose, hub, labels
    from deepen.training import earlier

    config = configs.from_target(what, overrides) if before is None else _as_before(before, what, overrides)
    if before is None and what.lower().endswith(configs.TABLES) and not {"data", "data.name"} & {*overrides}:
        config.data = choose.source(config.data)
        if config.method == configs.METHOD:
            config.method = {"name": configs.method_of(config.data)}
    return earlier.pin(labels.pin(hub.pinned(config)))


def _planned(config: Any, root: Path, before: Run | None = None) -> tuple[Any, Any]:
    """The complete configuration of a run under `root`, told, and its data."""
    from deepen.data import itself
    from deepen.training import plan

    prepared = _prepared(config, root, before)
    config = itself.alone(config, prepared.items)
    if config.train.find or config.train.max_memory:
        from deepen.training import find

        config = find.found(config, prepared)
    config = plan.complete(config, prepared)
    for line in [*plan.sentences(config, prepared), *(f"note     {note}" for note in prepared.notes)]:
        announce(line)
    return config, prepared


def _begun(config: Any, prepared: Any, place: Path, **about: Any) -> Run:
    """A new run, trained to its end."""
    from deepen import config as configs
    from deepen.training import running

    run = Run.create(place, configs.write(config), kind="train", config=config.document(), **about)
    with run.locked():
        running.keep_data(run, prepared)
        return running.fit(run, config, prepared)


def _folds(config: Any, before: Run | None, output: str, dry_run: bool) -> Run | dict[str, Any]:
    """Cross-validation: a run whose members are the runs of the folds."""
    from deepen import config as configs

    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    if before is not None or several:
        found = "several processes" if several else "a parent beside it"
        raise DeepenError(
            "train.folds", "split.folds", found, "one process and no parent", "one fold alone: split.turn=0"
        )
    ready = [_planned(_in_turn(config, 0), Path(output))]  # before there is a run: a mistake leaves none behind
    if dry_run:
        plan = _estimate(*ready[0])
        announce(f"folds    {config.split.folds}: about {duration(plan['seconds'] * config.split.folds)} in all")
        return {**plan, "folds": config.split.folds}
    places = [f"members/{turn}" for turn in range(config.split.folds)]
    run = Run.create(Path(output), configs.write(config), kind="folds", config=config.document(), members=places)
    return _each_turn(run, config, ready)


def _in_turn(config: Any, turn: int) -> Any:
    """The configuration of one fold."""
    from dataclasses import replace

    return replace(config, split=replace(config.split, turn=turn))


def _each_turn(run: Run, config: Any, ready: list[Any]) -> Run:
    """Train what is left of the folds, then measure all of them together.

    ready  configuration and data of the next one, where they are there already; taken out, to be held no longer than used
    """
    from deepen.stages.evaluate import evaluate

    with run.locked():
        run.info = Run.open(run.path).info
        if run.info["state"] == "finished" and run.info.get("metrics"):
            announce(f"{run.path} is finished already")
            return run
        run.update(state="training")
        announce(f"run      {run.path}")
        try:
            for turn in range(len(run.info["members"])):
                announce(f"fold     {turn}: {turn + 1} of {len(run.info['members'])}")
                _one_turn(run, config, turn, ready)
        except DeepenError as problem:
            run.update(state="stopped" if problem.code == "train.stopped" else "failed", problem=str(problem))
            raise
        run.update(state="finished", problem=None)
    document = evaluate(str(run.path))
    means = {f"test_{name}": values["mean"] for name, values in document["spread"].items()}
    run.update(metrics=means)
    return run


def _one_turn(run: Run, config: Any, turn: int, ready: list[Any]) -> None:
    """Train a fold, or what is left of it, on the data the first one had."""
    first, place = run.path / run.info["members"][0], run.path / run.info["members"][turn]
    if (place / "run.json").is_file():
        _resume(Run.open(place))
        return
    config, prepared = ready.pop() if ready else _planned(_in_turn(config, turn), place.parent)
    if turn:
        from deepen.training import running

        running.unchanged(Run.open(first), prepared)
    _begun(config, prepared, place.parent, member=place.name, id=f"{run.id}-{place.name}")


def _as_before(parent: Run, what: str, overrides: dict[str, Any]) -> Any:
    """The configuration of a run for the data at `what`, with the labels of today."""
    from deepen import config as configs
    from deepen.training.finished import config_of

    target = configs.from_target(what, {})
    document = config_of(parent).document()
    if what.lower().endswith((".yaml", ".yml")):
        document = target.document()
    elif _alike(target.data["name"], document["data"]["name"]):
        document["data"] = {**document["data"], **target.data, "name": document["data"]["name"]}
    else:
        raise DeepenError(
            "train.parent",
            what,
            f"data of {target.data['name']}",
            f"{document['data']['name']}, as run {parent.id} was trained on",
            "a config that says all",
        )
    before = document["method"]["name"]
    config = configs.parse(configs.override({**document, "labels": {}}, overrides), where=what)
    if config.method["name"] == before:
        return config
    # what was computed for another method is computed anew
    kept = {name: value for name, value in document["train"].items() if name not in configs.OF_METHOD}
    return configs.parse(configs.override({**document, "train": kept, "labels": {}}, overrides), where=what)


def _alike(one: str, other: str) -> bool:
    """Whether two sources read the same kind of file: a table may be one of texts, events, times, ..."""
    return one == other or {one, other} <= {"table", "texts", "mixed", "series", "pairs", "interactions"}


def _prepared(config: Any, root: Path, parent: Run | None) -> Any:
    """The data of a new run under `root`; of one with a parent in the parent's split."""
    from deepen.data import labels
    from deepen.data.prepare import continued, prepare
    from deepen.training import earlier
    from deepen.training.finished import signature_of

    items = labels.read(config)
    if parent is not None:
        return continued(items, signature_of(parent), parent.read_json("split.json"), config)
    like = config.split.like
    prepared = prepare(items, config, None if like is None else Run.open(like).read_json("split.json"))
    prepared.notes += earlier.moved(root, config, prepared)
    return prepared


def _resume(run: Run) -> Run:
    """Go on with a run that did not finish."""
    from deepen.training import running
    from deepen.training.finished import config_of, data_of, whole

    if run.info["members"]:
        return _each_turn(run, config_of(run), [])
    with run.locked():
        run.info = Run.open(run.path).info  # another process may have finished it meanwhile
        if run.info["state"] == "finished" and whole(run):
            announce(f"{run.path} is finished already")
            running.tell(None)
            return run
        config = config_of(run)
        if run.info["state"] == "new":  # stopped before training began: its configuration is complete
            prepared = _prepared(config, run.path.parent, running.parent_of(run))
            running.keep_data(run, prepared)
            return running.fit(run, config, prepared)
        prepared = data_of(run, config)
        running.unchanged(run, prepared)
        return running.fit(run, config, prepared, resume=True)


def _estimate(config: Any, prepared: Any) -> dict[str, Any]:
    """The plan, with time and memory from a few real steps that leave nothing behind."""
    import resource

    from deepen.nn.multiply_adds import multiply_adds
    from deepen.training.assemble import build

    engine = build(config, prepared, None)
    engine.method.train()
    times = []
    for _ in range(4):
        start = time.monotonic()
        engine._round()
        engine.state.step += 1
        times.append(time.monotonic() - start)
    seconds = min(times) * engine.total
    weights = sum(p.numel() for p in engine.method.parameters())
    adds = multiply_adds(engine.packaged.eval(), *engine.data.take(engine.data.parts["train"][:1]))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    announce(
        f"estimate about {duration(seconds)} for {counted(engine.total, 'step')}, {size(memory)} of memory, {weights:,} weights, {adds:,} multiply-adds for one item"
    )
    return {
        "config": config.document(),
        "steps": engine.total,
        "seconds": seconds,
        "memory": memory,
        "weights": weights,
        "multiply_adds": adds,
    }
