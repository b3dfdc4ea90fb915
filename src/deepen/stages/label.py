"""Label items on a page in the browser, or bring labels in and out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepen import registry
from deepen.console import digits, say
from deepen.data import labels
from deepen.errors import DeepenError, Invalid, counted
from deepen.labelling import exchange
from deepen.labelling.desk import Desk, checked_name
from deepen.queries import Pool
from deepen.schema import Count, Natural
from deepen.store.dataset import Dataset
from deepen.tensors import join

POOL = 5_000  # items a model is asked about before the page opens; what it learnt from counts as much
ASKED = 1_000  # of them are put in the query's order, the others follow at random
CHUNK = 64


def label(
    what: str,
    run: str | None = None,
    query: str | None = None,
    annotator: str = "",
    kind: Literal["classes", "labels", "number", "boxes"] | None = None,
    names: tuple[str, ...] = (),
    times: Count = 1,
    which: Literal["unlabelled", "all"] = "unlabelled",
    seed: Natural = 0,
    host: str = "127.0.0.1",
    port: int = 8010,
    export: str | None = None,
    out: str | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    """Ask for labels on a page in the browser; what is given is on the disk before the next item shows.

    what       a folder of pictures, a table with target=COLUMN, arrays, or a config
    run        a run or a bundle whose answers are filled in and whose doubts say what is asked first
    query      how items are chosen: uncertainty, entropy, margin, least_confidence, core_set, badge or random
    annotator  your name (default: the page asks)
    kind       of label, where the data does not say it: classes, labels, number or boxes
    names      the classes, where the data does not say them; the page can add more
    times      how many people are to label each item
    which      unlabelled, or all: also items that the source has a label for
    seed       of the random order
    host       any other address than this machine's own lets others label too
    port       0 takes a free one
    import     a file or folder of labels to take in: CSV, COCO, YOLO, Pascal VOC, Label Studio or JSON lines
    export     csv, coco, yolo, voc, label_studio or jsonl: the labels as training takes them
    out        the file or folder they are written to
    """
    source = overrides.pop("import", None)
    form = exchange.form_of(source, export)
    if form is not None and len(form.kinds) == 1:
        kind = kind or form.kinds[0]
    desk = _desk(what, kind, names, times, which, overrides)
    with desk.dataset:
        if source is not None:
            return exchange.take(desk, form, Path(source), annotator or "import")
        if export is not None:
            return exchange.give(desk, form, out)
        _arrange(desk, run, query, seed)
        return _serve(desk, what, annotator, host, port)


# ---------------------------------------------------------------- the data and what is asked first


def _desk(what: str, kind: str | None, names: Sequence[str], times: int, which: str, overrides: dict[str, Any]) -> Desk:
    """The data with its table of labels; all that may be asked about, in the order of the data."""
    from deepen import config as configs

    config = configs.from_target(what, overrides)
    place = labels.where(config)
    if place is None:
        raise DeepenError(
            "label.place", what, "data made up from a seed", "a folder or a file beside which labels can lie"
        )
    with labels.reading(place) as before:
        info = {} if before is None else before.info
        begun = before is not None and before.serial > 0
    if begun and kind not in {None, info["kind"]}:
        raise DeepenError("label.kind", what, f"kind {kind}", f"{info['kind']}, as the labels that were given before")
    kind = info["kind"] if begun else kind
    items = registry.build("sources", labels.as_declared(config.data, {"kind": kind} if kind else {})).read()
    for note in items.notes:
        say(f"note     {note}")
    kind = kind or items.kind
    marks = labels.marks(items)
    if not kind:
        said = "the data does not say what is to be labelled"
        raise DeepenError("label.kind", what, said, "the column, or the kind", "target=COLUMN, or kind=classes")
    own = labels.own(items) if items.kind == kind else [None] * len(items)
    kind_class = registry.load("kinds", kind)
    if not hasattr(kind_class, "widget"):
        said = f"answers of kind {kind}"
        raise DeepenError("label.kind", what, said, "an answer that a page can ask for", "one target: target=COLUMN")
    found = map(checked_name, [*names, *kind_class.names_in(own)])
    known = list(dict.fromkeys([*(info.get("names", []) if info.get("kind") == kind else []), *found]))
    kind_class.named(known)
    mark = labels.fingerprint(items, marks)
    dataset = Dataset.create(
        place, kind=kind, names=known, target=items.target_name, items=len(items), fingerprint=mark
    )
    rows = [row for row, value in enumerate(own) if which == "all" or value is None]
    return Desk(dataset, items, marks, kind_class, rows, times, title=Path(what).name)


def _arrange(desk: Desk, run: str | None, query: str | None, seed: int) -> None:
    """Put what is asked in a query's order, and let the model fill in its answers."""
    name = query or ("random" if run is None else "uncertainty")
    ask = registry.build("queries", registry.check("queries", {"name": name}, "query"))
    if ask.needs and run is None:
        raise DeepenError("label.query", "query", f"{name} without a model", "run=..., whose answers it looks at")
    rows = [desk.rows[item] for item in desk.order]
    rows = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    if run is not None:
        answers = _Answers(desk, run)
        desk.suggest = answers.suggest
        rows = answers.sorted(rows, ask, seed)
    desk.order = [desk.items.ids[row] for row in rows]


class _Answers:
    """What a model says of the items."""

    def __init__(self, desk: Desk, model: str) -> None:
        from deepen.stages.predict import load

        self.desk, self.predictor = desk, load(model)
        self.kind = self.predictor.signature.answer
        if not isinstance(self.kind, desk.kind_class):
            raise DeepenError("label.run", model, self.kind.describe(), f"answers of kind {desk.dataset.info['kind']}")
        desk.dataset.add_names(*self.kind.names)
        self.known: dict[int, Any] = {}

    def suggest(self, row: int) -> tuple[Any, float | None]:
        """A raw label for a row, and the probability of a class."""
        if row not in self.known:
            self.known[row] = self.predictor(self.desk.items.raw([row]))[0]
        answer = self.known[row]
        return self.kind.suggest(answer), answer.get("probability")

    def sorted(self, rows: list[int], ask: Any, seed: int) -> list[int]:
        """The rows, the query's choice among the first of them in front."""
        pool, outputs = self._outputs(rows[:POOL])
        if not pool:
            return rows
        p = outputs.get("probabilities")
        if "probabilities" in ask.needs and (p is None or np.abs(p.sum(1) - 1).max() > 1e-3):
            raise DeepenError(
                "label.query",
                "query",
                type(ask).__name__,
                "a model that tells one of several classes apart",
                "query=uncertainty",
            )
        raw = self.desk.items.raw
        features = labelled = None
        if "features" in ask.needs:
            features, labelled = self.predictor.features(raw(pool)), self.predictor.features(raw(self._labelled()))
        uncertainty = self.kind.uncertainty(outputs)
        order = ask.order(Pool(len(pool), p, features, labelled, uncertainty), min(ASKED, len(pool)), seed)
        chosen = [pool[i] for i in order]
        front = set(chosen)
        return [*chosen, *(row for row in rows if row not in front)]

    def _outputs(self, rows: list[int]) -> tuple[list[int], dict[str, np.ndarray]]:
        """The model's arrays for the rows that can be read, and those rows."""
        read: list[int] = []
        parts = []
        for start in range(0, len(rows), CHUNK):
            some = rows[start : start + CHUNK]
            while some:
                try:
                    arrays = self.predictor.run(self.predictor.encode(self.desk.items.raw(some)))
                except Invalid as problem:
                    some = [row for i, row in enumerate(some) if i != problem.row]
                    continue
                self.known.update(zip(some, self.predictor.decode(arrays)))
                read += some
                parts.append(arrays)
                break
        return read, join(self.kind.results, parts) if parts else {}

    def _labelled(self) -> list[int]:
        """Rows with a label, the source's own or one given here: at most POOL of them."""
        given, _ = labels.located(self.desk.items.ids, self.desk.marks, self.desk.dataset.now())
        own = [row for row, value in enumerate(labels.own(self.desk.items)) if value is not None]
        rows = sorted({*given, *own})
        return rows[:: max(1, -(-len(rows) // POOL))]


# ---------------------------------------------------------------- the page


def _serve(desk: Desk, what: str, annotator: str, host: str, port: int) -> dict[str, Any]:
    """Show the page until Ctrl-C or SIGTERM; then say what was labelled."""
    from deepen.web import labelling

    if not 0 <= port < 65536:
        raise DeepenError("label.port", "label port", str(port), "0 to 65535")
    app = labelling.App(desk, annotator, names=(host,))
    bound = labelling.listen(host, port)
    server = labelling.server(app, bound)
    progress = desk.progress(annotator)
    say(f"labels   {desk.dataset.path}")
    say(
        f"to do    {progress['total'] - progress['done']:,} of {progress['total']:,} items, {counted(len(desk.names), 'name')}"
    )
    shown = f"[{host}]" if ":" in host else host
    say(f"open     http://{shown}:{bound.getsockname()[1]}/#{app.token}   Ctrl-C ends it; every answer is kept at once")
    server.run()
    return _summary(desk, what)


def _summary(desk: Desk, what: str) -> dict[str, Any]:
    given = desk.dataset.now().labels()
    agreed = desk.agreement()
    say(f"given    labels of {len(given):,} items, by {len({a.annotator for acts in given.values() for a in acts})}")
    if agreed["alpha"] is not None:
        say(f"agreed   alpha {digits(agreed['alpha'])} on {agreed['items']:,} items with several labels")
    say(f"next     deepen train {what}")
    return {"dataset": str(desk.dataset.path), "labelled": len(given), "agreement": agreed}
