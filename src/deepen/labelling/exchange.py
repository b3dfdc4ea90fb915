"""Labels in and out of a desk as files of other tools: all of a file is taken in, or nothing of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deepen import registry
from deepen.annotations import Known, Label, finder
from deepen.console import say
from deepen.data import labels
from deepen.errors import DeepenError, Invalid, raise_all
from deepen.labelling.desk import Desk, checked_name
from deepen.preprocess import image
from deepen.store import durable
from deepen.store.dataset import New, Standing

SHOWN = {"image", "audio", "text"}  # encoders of what a page of another tool can show by itself
MOST_ERRORS = 20  # told at once


def form_of(source: str | None, export: str | None) -> Any:
    """The format of what is taken in, by its looks, or the one asked for."""
    if source is None:
        return (
            None
            if export is None
            else registry.build("annotations", registry.check("annotations", {"name": export}, "export"))
        )
    path = Path(source)
    if not path.exists():
        raise DeepenError("label.import", source, "nothing there", "a file or a folder of labels")
    known = registry.names("annotations")
    for name in known:
        form = registry.load("annotations", name)()
        if form.recognises(path):
            return form
    raise DeepenError("label.import", source, "none of the forms known here", f"one of {', '.join(known)}")


def _known(desk: Desk) -> Known:
    row = {name: i for i, name in enumerate(desk.items.ids)}

    def size(item: str) -> tuple[int, int]:
        (height, width), _ = image.header(desk.items.raw([row[item]])[0])
        return width, height

    def content(item: str) -> dict[str, str]:
        found = zip(desk.items.encoders.values(), desk.items.inputs.values())
        return {name: raw[row[item]] for (name, _), raw in found if name in SHOWN and isinstance(raw[row[item]], str)}

    kind = desk.dataset.info["kind"]
    return Known(kind, desk.names, desk.items.ids, finder(desk.items.ids), size, content=content)


def take(desk: Desk, form: Any, path: Path, annotator: str) -> dict[str, Any]:
    """Take in a file's labels: all, or none where one of them is wrong."""
    known = _known(desk)
    if known.kind not in form.kinds:
        raise DeepenError("label.import", str(path), f"labels of kind {', '.join(form.kinds)}", f"kind {known.kind}")
    found = [label if label.annotator else label._replace(annotator=annotator) for label in form.read(path, known)]
    names = desk.names or [checked_name(name) for name in desk.kind_class.names_in([label.value for label in found])]
    kind, errors, acts = desk.kind_class.named(names), [], {}
    row = {name: i for i, name in enumerate(desk.items.ids)}
    standing = desk.dataset.now()
    serial = standing.serial
    for label in found:
        try:
            value = kind.label(label.value)
        except Invalid as problem:
            errors.append(DeepenError("label.import", label.where, problem.reason, problem.wanted))
            continue
        if (label.item, label.annotator) in acts:
            twice = f"{label.item} has a label by {label.annotator} already"
            errors.append(DeepenError("label.import", label.where, twice, "one for each item and annotator"))
        # the same file taken in by two at once is one act; taken in again later, on what stands by then, it is another
        key = durable.digest(json.dumps([str(path), serial, label.item, label.annotator, value]).encode())
        mark = desk.marks[row[label.item]]
        acts[label.item, label.annotator] = New(f"import-{key}", label.item, mark, label.annotator, value)
    raise_all(errors[:MOST_ERRORS])
    desk.dataset.add_names(*names)
    new = desk.dataset.write([act for act in acts.values() if not _stands(standing, act)])
    say(
        f"taken    {len(acts):,} labels from {path}"
        + (f", {len(acts) - new:,} of them were here" if new < len(acts) else "")
    )
    return {"dataset": str(desk.dataset.path), "taken": len(acts), "new": new}


def _stands(standing: Standing, act: New) -> bool:
    last = standing.last(act.item, act.content).get(act.annotator)
    return last is not None and (last.action, last.value) == (act.action, act.value)


def give(desk: Desk, form: Any, out: str | None) -> dict[str, Any]:
    """Write the labels given here, and the source's own where there is none."""
    known, name = _known(desk), type(form).__name__
    if out is None:
        raise DeepenError("label.export", "label --export", "not said where to", "--out FILE or FOLDER")
    if known.kind not in form.kinds:
        raise DeepenError(
            "label.export", "label --export", f"{name} holds {', '.join(form.kinds)}", f"kind {known.kind}"
        )
    given, _ = labels.located(desk.items.ids, desk.marks, desk.dataset.now())
    kind, ids, rows = desk.kind, desk.items.ids, []
    for row, own in enumerate(labels.own(desk.items)):
        acts = given.get(row, [])
        if form.each:
            rows += [Label(ids[row], act.value, act.annotator) for act in acts]
        elif (
            acts and (value := acts[0].value if len(acts) == 1 else kind.consensus([a.value for a in acts])) is not None
        ):
            rows.append(Label(ids[row], value))
        if not acts and own is not None and desk.items.kind == known.kind:
            rows.append(Label(ids[row], kind.label(own)))
    files = form.write(rows, known)
    place = Path(out)
    if set(files) == {""}:
        durable.replace(place, files[""])
    else:
        try:
            with durable.publish(place, new=True) as draft:
                for name, text in files.items():
                    (draft / name).parent.mkdir(parents=True, exist_ok=True)
                    (draft / name).write_text(text, encoding="utf-8")
        except FileExistsError:
            raise DeepenError("label.export", out, "there is something already", "a new folder") from None
    say(f"written  {len(rows):,} labels to {out}")
    return {"written": len(rows), "out": out}
