"""The configuration for what a user points at: a file or folder says by its contents which source reads it."""

from __future__ import annotations

import itertools
import os
import re
import zipfile
from pathlib import Path
from typing import Any

from deepen import registry
from deepen.config.document import fits, method_of, override, parse
from deepen.config.sections import Config
from deepen.config.strict_yaml import read_file, read_value
from deepen.errors import DeepenError, command, listed
from deepen.schema import OWN_FILE, REQUIRED

PATHS = {"path", "test", "vocabulary", "folder", "users", "items"}  # settings of data that are places on disk
TABLES = (
    *(f"{ending}{packed}" for ending in (".csv", ".tsv", ".jsonl", ".ndjson") for packed in ("", ".gz", ".xz")),
    ".parquet",
)
SOUNDS = (".wav", ".wave", ".flac", ".mp3", ".ogg", ".m4a")  # not all are read: the source tells what to do
TEXTS = (".txt", ".txt.gz", ".txt.xz")
PICKLES = (".pt", ".pth", ".pkl", ".pickle")
OF_BOXES = rb"(?m)^names\s*:"  # in YOLO's data.yaml
FEW = 20  # files of a sort that are opened
GRAPH = re.compile(rb'\s*\{[^\n]*?"nodes"\s*:\s*\[\s*\[')  # a line of a file of graphs
LOOKED_AT = 1000  # files of a folder that say what it holds
BEGINNING = 1 << 16  # bytes of a file that say what it is


def from_target(target: str, overrides: dict[str, Any]) -> Config:
    """The configuration for what a user points at: a YAML file, a folder, a table, arrays, graphs, a source's name."""
    if not target.strip():
        raise DeepenError("config.target", "what to train on", "an empty name", "a folder, a table, a config")
    path = Path(target)
    lower = path.name.lower()
    if lower.endswith((".yaml", ".yml")) and begins(path, OF_BOXES):
        if lower != "data.yaml":
            found, wanted = "where pictures and boxes lie, as YOLO has it", "the folder itself, with data.yaml in it"
            raise DeepenError("config.target", target, found, wanted, "deepen train FOLDER")
        return from_target(str(path.parent), overrides)
    if lower.endswith((".yaml", ".yml")):
        document = _own(read_file(path), path.parent)
    elif lower.endswith((".jsonl", ".ndjson")) and _lists_nodes(path):
        document = {"data": {"name": "graphs", "path": target}}
    elif lower.endswith(TABLES):
        document = {"data": {"name": _sort_of_table(overrides), "path": target}}
    elif lower.endswith(TEXTS) and {"target", "data.target"} & overrides.keys():
        raise DeepenError(
            "config.target", target, "a text, by its name, and a target", "a table, whose columns have names",
            f"if it is one, rename it: {path.name[: lower.rindex('.txt')]}.csv",
        )  # fmt: skip
    elif lower.endswith(TEXTS) or (path.is_dir() and _holds_a_text(path) and not _holds_boxes(path)):
        document = {"data": {"name": "text", "path": target}, "method": method_of({"name": "text"})}
    elif lower.endswith(PICKLES):
        raise pickled(target)
    elif lower.endswith(".npz"):
        document = {"data": {"name": _sort_of_graphs(path, overrides) or "arrays", "path": target}}
    elif (path / "edges.csv").is_file():
        document = {"data": {"name": _sort_of_graphs(path, overrides), "path": target}}
    elif path.is_dir():
        if processed := next(path.glob("processed/*.pt"), None):  # as torch_geometric lays out its data sets
            raise pickled(str(processed))
        if not any(names for _, _, names in os.walk(path)):
            raise DeepenError(
                "config.target", target, _nothing_in(path), "pictures, texts or sounds, a folder per class"
            )
        if tables := _only_tables(path):
            raise DeepenError(
                "config.target", target, f"a folder of tables: {listed(tables, 4)}", "one table",
                f"{command('train', str(path / tables[0]), 'target=COLUMN')}; a graph lies in nodes.csv and edges.csv",
            )  # fmt: skip
        document = {"data": {"name": _sort_of_files(path), "path": target}}
    elif OWN_FILE.fullmatch(target) or target in (ready := _ready()):
        document = {"data": {"name": target}}
    else:
        raise DeepenError(
            "config.target",
            target,
            "nothing there that can be trained on" if not path.exists() else "not a kind of file known here",
            "a folder of pictures, texts or sounds, a table (.csv, .tsv, .jsonl, .parquet), arrays (.npz), a text (.txt), a config (.yaml), "
            f"or one of {', '.join(ready)}",
            "check the path" if not path.exists() else "",
        )
    return parse(_absolute(_own(override(document, overrides), Path())), where=target)


def pickled(path: str) -> DeepenError:
    """The error for data in a form that is never opened."""
    return DeepenError(
        "data.pickle", path, "a pickle: opening it would run whatever code stands in it",
        "arrays, tables or text: .npz, .csv, .jsonl, or a folder",
        "from Python where it was made, graphs of torch_geometric: data = dataset[0], then deepen.train(data) or "
        "numpy.savez('graph.npz', x=data.x, edge_index=data.edge_index, y=data.y, train_idx=data.train_mask.nonzero()[:, 0])",
    )  # fmt: skip


def _ready() -> list[str]:
    """The sources that need nothing to be said."""
    sources = registry.names("sources")
    return [name for name in sources if all(f.default is not REQUIRED for f in registry.fields("sources", name))]


def _sort_of_graphs(path: Path, overrides: dict[str, Any]) -> str:
    """The source for an .npz or a folder that holds graphs: of one graph's links, if settings are meant for them.

    Empty for other arrays; a file that cannot be opened is left to the source to tell.
    """
    held = ["edge_index.npy"]
    if not path.is_dir():
        try:
            with zipfile.ZipFile(path) as archive:
                held = archive.namelist()
        except (OSError, zipfile.BadZipFile):
            return ""
    if "edge_index.npy" not in held:
        return ""
    own, others = ({f"data.{field.name}" for field in registry.fields("sources", name)} for name in ("links", "graphs"))
    given = {*overrides}
    named = "graph_autoencoder" in (overrides.get("model"), overrides.get("model.name"))
    meant = (named and not {"method", "kind", "data.kind"} & given) or (own - others) & given
    return "links" if meant and "node_offset.npy" not in held else "graphs"


def _lists_nodes(path: Path) -> bool:
    """Whether JSON lines are graphs; a file that cannot be opened is left to the source to tell."""
    try:
        with path.open("rb") as file:
            return bool(GRAPH.match(file.read(BEGINNING)))
    except OSError:
        return False


def _sort_of_table(overrides: dict[str, Any]) -> str:
    """The source that settings of a table are meant for: who had what, several targets, what only texts or series have."""
    given = {key.removeprefix("data."): value for key, value in overrides.items()}
    if {"user", "item"} & given.keys():
        return "interactions"
    sources = ("table", "mixed", "texts", "series", "pairs")
    own = {name: {field.name for field in registry.fields("sources", name)} for name in sources}
    if (own["series"] - own["table"] - own["mixed"] - own["texts"]) & given.keys():
        return "series"
    if (own["pairs"] - own["table"] - own["mixed"] - own["texts"]) & given.keys():
        return "pairs"
    target = given.get("target")
    if isinstance(read_value(target) if isinstance(target, str) else target, (list, tuple)):
        return "mixed"
    kind = next(field.annotation for field in registry.fields("sources", "table") if field.name == "kind")
    if (own["mixed"] - own["table"] - own["texts"]) & given.keys() or not fits(given.get("kind"), kind):
        return "mixed"
    return "texts" if (own["texts"] - own["table"]) & given.keys() else "table"


def _holds_a_text(folder: Path) -> bool:
    """Whether a folder holds texts for the most part, not sorted into folders."""
    some = [path for path in itertools.islice(folder.iterdir(), LOOKED_AT) if not path.name.startswith(".")]
    texts = sum(path.name.lower().endswith(TEXTS) for path in some)
    return texts > len(some) / 2 and not any(path.is_dir() for path in some)


def _nothing_in(folder: Path) -> str:
    """Why a folder holds no file."""
    if not os.access(folder, os.R_OK | os.X_OK):
        return "a folder that may not be read"
    links = sorted(path.name for path in folder.iterdir() if path.is_symlink())
    return f"links to folders, which are not followed ({listed(links, 3)})" if links else "an empty folder"


def _only_tables(folder: Path) -> list[str]:
    """The names in a folder where all are tables."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return names if all(name.lower().endswith(TABLES) for name in names) else []


def _sort_of_files(folder: Path) -> str:
    """The source for boxes, or for what most files in a folder's folders are; in the folder itself, where it has none."""
    if _holds_boxes(folder):
        return "boxes"
    inner = (name for place, _, names in os.walk(folder) if place != str(folder) for name in names)
    some = [name.lower() for name in itertools.islice(inner, LOOKED_AT)]
    some = some or [path.name.lower() for path in itertools.islice(folder.iterdir(), LOOKED_AT)]
    sorts = {"texts": (".txt",), "audio": SOUNDS}
    return next((s for s, ends in sorts.items() if sum(name.endswith(ends) for name in some) > len(some) / 2), "images")


def _own(value: Any, folder: Path) -> Any:
    """The document with every `file.py:Class` of the user's own as a whole path; it is named from `folder`."""
    if isinstance(value, dict):
        return {key: _own(inner, folder) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_own(inner, folder) for inner in value]
    own = OWN_FILE.fullmatch(value) if isinstance(value, str) else None
    return value if own is None else f"{os.path.abspath(folder / own[1])}:{own[2]}"


def _holds_boxes(folder: Path) -> bool:
    """Whether boxes around things in pictures lie there: a COCO file, YOLO's labels, Pascal VOC's XML files."""
    names = itertools.islice((Path(place, name) for place, _, names in os.walk(folder) for name in names), LOOKED_AT)
    for file in [*folder.glob("*.json"), *names]:
        ending = file.suffix.lower()
        if ending == ".xml" and begins(file, rb"<annotation\b"):
            return True
        if ending == ".json" and begins(file, rb'"(annotations|file_name)"\s*:'):
            return True
    return (
        begins(folder / "data.yaml", OF_BOXES)
        or ((folder / "classes.txt").is_file() and any(p.is_dir() for p in folder.rglob("labels")))
        or _laid_out_for_boxes(folder)
    )


def _laid_out_for_boxes(folder: Path) -> bool:
    """Whether folders are named, or files lie side by side, as only those of pictures with boxes do."""
    names = {path.name.lower() for path in (*folder.iterdir(), *folder.glob("*/*")) if path.is_dir()}
    coco = {"images", "annotations"} <= names or any(re.fullmatch(r"(train|val|test)20\d\d", name) for name in names)
    return coco or "jpegimages" in names or {"images", "labels"} <= names or _beside_pictures(folder)


def _beside_pictures(folder: Path) -> bool:
    """Whether YOLO's files of numbers lie beside the pictures they are named after, or in folders called labels."""
    return any(
        (file.parent.name == "labels" or any(file.with_suffix(ending).is_file() for ending in (".jpg", ".png")))
        and begins(file, rb"\A\d+( [\d.]+){4,}(\s|\Z)")
        for file in itertools.islice(folder.rglob("*.txt"), FEW)
    )


def begins(file: Path, pattern: bytes) -> bool:
    """Whether a pattern stands in the first part of a file."""
    try:
        with open(file, "rb") as opened:
            return re.search(pattern, opened.read(BEGINNING)) is not None
    except OSError:
        return False


def _absolute(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the data's paths made absolute, so that a run can be used from any directory."""
    data = document.get("data")
    if isinstance(data, dict):
        found = {k: os.path.abspath(v) for k, v in data.items() if k in PATHS and isinstance(v, str)}
        return {**document, "data": {**data, **found}}
    return document
