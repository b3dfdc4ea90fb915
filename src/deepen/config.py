"""A run's configuration: plain dataclasses, strict YAML, overrides by path. Torch-free.

    data:   {name: images, path: photos, size: 64}
    split:  {val: 0.15, test: 0.15}
    model:  {name: resnet, depth: 18}
    method: {name: supervised}
    train:  {epochs: 20, lr: 3e-4}

What is left out is computed from the data and written into the run's own config.yaml, which is complete.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from deepen import registry
from deepen.errors import DeepenError, raise_all, unknown
from deepen.schema import OWN_FILE, REQUIRED, Count, Natural, NonNegative, Positive, Share, Spec, coerce, shortened

METHOD = {"name": "supervised"}  # where none is said
RUN_TIME = ("signature", "output", "model")  # constructor parameters that only a run can give


@dataclass
class Split:
    """How items are shared out where the data does not say it.

    val   share of the items that decides which weights are kept
    test  share that figures and the gate stand on
    how   stratified: every class in proportion; group: what is alike in `by` stays together; time: the newest are tested on
    by    the column of groups or times
    seed  of the draw
    """

    val: Share = 0.15
    test: Share = 0.15
    how: Literal["stratified", "random", "group", "time"] = "stratified"
    by: str | None = None
    seed: Natural = 0


@dataclass
class Check:
    """What the data check lets pass.

    max_bad  share of items that may be set aside before it stops
    leaks    whether copies between the parts and columns that give the answer away stop it
    """

    max_bad: Share = 0.05
    leaks: Literal["stop", "warn"] = "warn"


@dataclass
class Labels:
    """Which labels people gave through deepen are used.

    acts  the first so many of the data's table; 0 none, null all
    """

    acts: Natural | None = None


@dataclass
class Train:
    """How the engine trains. What is null is computed from the data and the machine.

    epochs              passes over the training items
    steps               steps in all, in place of epochs
    batch_size          items in a step, over all processes
    optimizer           how a step follows from gradients (deepen list optimizers)
    lr                  the highest learning rate
    find                batch_size, lr or both, found by trying before it begins
    max_memory          GiB a step may take: before it begins the batch is cut into as many parts as that needs (accumulate)
    weight_decay        what pulls weights to 0, by the optimizer's own way; biases and scales of norms are left alone
    l1                  the same as a number taken off every step, so that weights become exactly 0
    max_norm            the longest that all weights leading into a unit may be together
    schedule            how the learning rate goes (deepen list schedules)
    warmup              share of the steps in which the rate rises from 0
    augment             random changes of training items, one after the other (deepen list augmentations)
    resample            0: items are drawn alike; 1: classes are; between: in between
    clip                the longest a gradient may be
    accumulate          parts a batch is cut into to save memory
    precision           of the arithmetic; weights stay fp32
    average             of the weights over training, which is what is kept: ema or swa
    average_decay       how long an ema remembers
    monitor             the figure that decides which weights are kept
    patience            epochs without a better figure before it ends
    min_delta           what counts as better
    checkpoint_seconds  between two checkpoints
    recoveries          mends of a step that went wrong before it gives up
    init                what weights begin as (deepen list initialisers)
    weight_noise        deviation of noise on weights within a step, where 1 is that of the layer's weights
    recompute           blocks of the network are computed a second time on the way back: less memory, a third more time
    joint_norms         under torchrun batch norm looks at the items of all processes
    seed                of everything random: same seed, same run
    device              cpu, cuda, or what there is
    threads             of the CPU
    """

    epochs: Count | None = None
    steps: Count | None = None
    batch_size: Count | None = None
    optimizer: Spec = field(default_factory=lambda: {"name": "adamw"})
    lr: Positive | None = None
    find: tuple[Literal["batch_size", "lr"], ...] = ()
    max_memory: Positive | None = None
    weight_decay: NonNegative = 1e-2
    l1: NonNegative = 0.0
    max_norm: Positive | None = None
    schedule: Spec = field(default_factory=lambda: {"name": "cosine"})
    warmup: Share = 0.05
    augment: tuple[Spec, ...] | None = None
    resample: NonNegative = 0.0
    clip: Positive | None = None
    accumulate: Count = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    average: Literal["none", "ema", "swa"] = "none"
    average_decay: Share = 0.999
    monitor: str | None = None
    patience: Count | None = None
    min_delta: NonNegative = 0.0
    checkpoint_seconds: NonNegative = 30.0
    recoveries: Natural = 10
    init: Spec | None = None
    weight_noise: NonNegative = 0.0
    recompute: bool = False
    joint_norms: bool = True
    seed: Natural = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count | None = None


@dataclass
class Config:
    data: Spec
    model: Spec | None = None
    method: Spec = field(default_factory=lambda: dict(METHOD))
    split: Split = field(default_factory=Split)
    check: Check = field(default_factory=Check)
    train: Train = field(default_factory=Train)
    labels: Labels = field(default_factory=Labels)

    def document(self) -> dict[str, Any]:
        """Plain mappings and lists, ready for YAML and JSON."""
        return _plain(dataclasses.asdict(self))


PATHS = {"path", "test", "vocabulary", "folder", "users"}  # settings of data that are places on disk
FROM_DATA = ("num_classes", "classes", "in_channels", "input_size", "output_size")  # what other libraries ask for
SECTIONS = {"split": Split, "check": Check, "labels": Labels, "train": Train}
TECHNIQUES = {"data": "sources", "model": "models", "method": "methods"}
WITHIN = {
    "train.optimizer": "optimizers",
    "train.schedule": "schedules",
    "train.init": "initialisers",
}  # techniques within a section
EACH = {"train.augment": "augmentations"}  # lists of techniques
OF_METHOD = ("epochs", "steps", "batch_size", "optimizer", "lr", "augment", "monitor")  # of train: what suits it
OF_OPTIMIZER = (
    "momentum",
    "nesterov",
)  # configurations of old have them beside the optimizer, whether it takes them or not
ALIASES = {
    "learning_rate": "lr",
    "imgsz": "size",
    "image_size": "size",
    "scheduler": "schedule",
    "max_epochs": "epochs",
}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def parse(document: dict[str, Any], where: str = "config") -> Config:
    """A checked Config from plain mappings; every mistake in it is told at once."""
    errors: list[DeepenError] = []
    known = [f.name for f in dataclasses.fields(Config)]
    result: dict[str, Any] = {}
    for key, value in document.items():
        try:
            if key not in known:
                raise unknown("config.unknown", f"{where}: {key}", key, known)
            result[key] = _section(key, value, errors)
        except DeepenError as error:
            errors.append(error)
    if "method" not in document and "data" in result:
        result["method"] = {"name": method_of(result["data"])}
    if "data" not in document:
        errors.append(DeepenError("config.missing", f"{where}: data", "missing", "data: {name: images, path: ...}"))
    raise_all(errors)
    return Config(**result)


def method_of(data: Spec) -> str:
    """How what a source reads is learnt, where the user does not say it."""
    name = data["name"]
    return METHOD["name"] if ":" in name else registry.constant("sources", name, "method", METHOD["name"])


def _section(key: str, value: Any, errors: list[DeepenError]) -> Any:
    if key in TECHNIQUES:
        if value is None and key == "model":
            return None
        spec = coerce(value, "Spec", key)
        by_hand = next((name for name in FROM_DATA if key == "model" and name in spec), None)
        if by_hand:
            raise DeepenError(
                "config.unknown", f"model.{by_hand}", "set by hand", "nothing: it comes from the data", "leave it out"
            )
        return registry.check(TECHNIQUES[key], spec, key, given=RUN_TIME)
    value = {} if value is None else value  # `train:` with nothing below it
    if not isinstance(value, dict):
        raise DeepenError("config.type", key, f"got {shortened(value)}", "expected a mapping")
    fields = {f.name: f for f in dataclasses.fields(SECTIONS[key])}
    result = {}
    for name, item in (_moved(value) if key == "train" else value).items():
        try:
            name = name if name in fields else ALIASES.get(str(name), str(name))
            if name not in fields:
                raise unknown("config.unknown", f"{key}.{name}", name, [*fields, *ALIASES])
            result[name] = coerce(item, str(fields[name].type), f"{key}.{name}")
            result[name] = _checked(f"{key}.{name}", result[name])
        except DeepenError as error:
            errors.append(error)
    return SECTIONS[key](**result)


def _checked(path: str, value: Any) -> Any:
    """A setting within a section, if it names techniques as the registry wants them."""
    if value is not None and path in WITHIN:
        return registry.check(WITHIN[path], value, path, given=RUN_TIME)
    if value is not None and path in EACH:
        specs = enumerate(value)
        return tuple(registry.check(EACH[path], spec, f"{path}[{i}]", given=RUN_TIME) for i, spec in specs)
    return value


def _moved(train: dict[str, Any]) -> dict[str, Any]:
    """The section with what belongs to the optimizer in the optimizer."""
    beside = {name: train[name] for name in OF_OPTIMIZER if name in train}
    if not beside:
        return train
    spec = coerce(train.get("optimizer", Train().optimizer), "Spec", "train.optimizer")
    name = registry.resolve("optimizers", spec, "train.optimizer")["name"]
    known = [f.name for f in registry.fields("optimizers", name)] if registry.says_all("optimizers", name) else []
    own = {key: value for key, value in beside.items() if key in known}
    return {**{k: v for k, v in train.items() if k not in beside}, "optimizer": {**own, **spec}}


def place(key: str, document: dict[str, Any], value: Any = None) -> str:
    """The full path of a bare key: `lr` is train.lr, `target` is data.target, `depth` is model.depth.

    Where two sections know the key, the first whose type the value has: `test=0.2` is split.test, a file data.test.
    """
    if "." in key or key in TECHNIQUES or key in SECTIONS:
        return key
    key = ALIASES.get(key, key)
    known = {f"{section}.{f.name}": str(f.type) for section in SECTIONS for f in dataclasses.fields(SECTIONS[section])}
    within = {path: (document.get(path.split(".")[0]) or {}).get(path.split(".")[1]) for path in WITHIN}
    within |= {path: getattr(Train(), path.split(".")[1]) for path, spec in within.items() if not spec}
    for section, family in (TECHNIQUES | WITHIN).items():
        spec = within[section] if section in WITHIN else document.get(section) or _unsaid(section, document)
        if spec:
            name = registry.resolve(family, coerce(spec, "Spec", section), section)["name"]
            if registry.says_all(family, name):
                fields = [f for f in registry.fields(family, name) if f.name not in RUN_TIME]
                known |= {f"{section}.{f.name}": f.annotation for f in fields}
    order = ("train", "split", "check", *TECHNIQUES)
    paths = sorted(
        (p for p in known if p.rpartition(".")[2] == key),
        key=lambda p: (p.count("."), order.index(p.partition(".")[0])),
    )
    if not paths:
        names = [path.rpartition(".")[2] for path in known]
        raise unknown("config.unknown", key, key, [*names, *TECHNIQUES, *SECTIONS, *ALIASES])
    return next((path for path in paths if _fits(value, known[path])), paths[0])


def _unsaid(section: str, document: dict[str, Any]) -> Spec | None:
    """What is taken where a section is left out, as far as that is known without the data."""
    if section == "method":
        return METHOD
    name = registry.resolve("methods", coerce(document.get("method") or METHOD, "Spec", "method"), "method")["name"]
    found = None if section != "model" or ":" in name else registry.constant("methods", name, "network")
    return {"name": found} if found else None


def _fits(value: Any, annotation: str) -> bool:
    try:
        coerce(value, annotation, "")
    except DeepenError:
        return False
    return True


def override(document: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """The document with `path: value` pairs put in; text values are read as YAML, as the command line gives them."""
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    names = {*TECHNIQUES, *WITHIN, *(path.partition(".")[2] for path in WITHIN)}
    techniques_first = sorted(overrides, key=lambda key: key not in names)  # `model=cnn depth=3` in any order
    for key in techniques_first:
        value = overrides[key]
        value = read_value(value) if isinstance(value, str) else _plain(value)
        path = place(key, result, value).split(".")
        if len(path) == 1:
            result[path[0]] = value
            continue
        deep = len(path) == 3 and ".".join(path[:2]) in WITHIN
        if (len(path) > 2 and not deep) or (path[0] not in TECHNIQUES and path[0] not in SECTIONS):
            raise unknown("config.unknown", key, path[0], [*TECHNIQUES, *SECTIONS])
        section = _mapping(result.get(path[0]) or _unsaid(path[0], result))
        if deep:
            value = {**_mapping(section.get(path[1]) or getattr(Train(), path[1])), path[2]: value}
        section[path[1]] = value
        result[path[0]] = section
    return result


def _mapping(value: Any) -> dict[str, Any]:
    return {"name": value} if isinstance(value, str) else dict(value or {})


# ---------------------------------------------------------------- strict YAML

LARGEST_CONFIG = 1 << 20  # bytes
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SPECIAL = re.compile(r"([-+]?)\.(inf|nan)", re.IGNORECASE)  # as YAML writes what Python writes without the dot
_INT = re.compile(r"[-+]?\d+")


def _loader(numbered: bool = False) -> Any:
    """A YAML 1.2 core-schema loader: no duplicate keys, no tags, no dates, no octal; `1e-3` is a number, `no` is text."""
    import yaml

    class Strict(yaml.SafeLoader):
        yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # nothing inherited
        yaml_constructors: ClassVar[dict[Any, Any]] = {}

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=self.peek_event().start_mark)
            return super().compose_node(parent, index)

        def mapping(self, node: Any) -> dict[str, Any]:
            result: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, str) and not (numbered and isinstance(key, int)):
                    raise yaml.MarkedYAMLError(problem=f"key {key!r} is not text", problem_mark=key_node.start_mark)
                if key in result:
                    raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark)
                result[key] = self.construct_object(value_node, deep=True)
            return result

        def refuse(self, node: Any) -> Any:
            raise yaml.MarkedYAMLError(problem=f"tag {node.tag!r} is not allowed", problem_mark=node.start_mark)

    tag = "tag:yaml.org,2002:"
    Strict.add_implicit_resolver(f"{tag}null", re.compile(r"^(null|~|)$"), ["n", "~", ""])
    Strict.add_implicit_resolver(f"{tag}bool", re.compile(r"^(true|false)$"), list("tf"))
    Strict.add_implicit_resolver(f"{tag}int", re.compile(rf"^({_INT.pattern})$"), list("-+0123456789"))
    Strict.add_implicit_resolver(f"{tag}float", re.compile(rf"^({_FLOAT.pattern})$"), list("-+.0123456789"))
    Strict.add_constructor(f"{tag}null", lambda loader, node: None)
    Strict.add_constructor(f"{tag}bool", lambda loader, node: node.value == "true")
    Strict.add_constructor(f"{tag}int", lambda loader, node: int(node.value))
    Strict.add_constructor(f"{tag}float", lambda loader, node: float(_SPECIAL.sub(r"\1\2", node.value)))
    Strict.add_constructor(f"{tag}str", yaml.SafeLoader.construct_yaml_str)
    Strict.add_constructor(
        f"{tag}seq", lambda loader, node: [loader.construct_object(n, deep=True) for n in node.value]
    )
    Strict.add_constructor(f"{tag}map", lambda loader, node: loader.mapping(node))
    Strict.add_constructor(None, lambda loader, node: loader.refuse(node))
    return Strict


def read_yaml(text: str, where: str, numbered: bool = False) -> Any:
    """Plain values from strict YAML text; `numbered`: keys may be whole numbers, as other tools write lists."""
    import yaml

    try:
        return yaml.load(text, Loader=_loader(numbered))  # noqa: S506  (built above from SafeLoader, with less in it)
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        found = getattr(problem, "problem", None) or str(problem).partition("\n")[0]
        if isinstance(problem, RecursionError):
            found = "nested too deeply"
        elif "digits" in str(found):
            found = "a number with thousands of digits"
        raise DeepenError(
            "config.yaml", f"{where}{line}", str(found), "plain YAML without tags or aliases"
        ) from problem


def read_value(text: str) -> Any:
    """One value from the command line: `3e-4` a number, `[crop, flip]` a list, `cat` text."""
    if text.strip() in {"inf", "nan", "-inf"}:
        return float(text)
    if text[:1] in {"[", "{"} or _FLOAT.fullmatch(text) or text in {"true", "false", "null"}:
        return read_yaml(text, text)
    return text


def read_file(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds."""
    if not path.is_file():
        raise DeepenError("config.file", str(path), "not a file" if path.exists() else "no such file", "a YAML file")
    if path.stat().st_size > LARGEST_CONFIG:
        found = f"{path.stat().st_size:,} bytes"
        raise DeepenError("config.file", str(path), found, f"a configuration of at most {LARGEST_CONFIG:,} bytes")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise DeepenError("config.file", str(path), "not text", "YAML in UTF-8") from problem
    document = read_yaml(text, str(path))
    if not isinstance(document, dict):
        found = {type(None): "is empty", list: "holds a list", str: "holds only text"}.get(
            type(document), "holds one value"
        )
        raise DeepenError("config.file", str(path), found, "a mapping with data: at its top")
    return document


def write(config: Config) -> str:
    """The configuration as YAML text."""
    import yaml

    return yaml.safe_dump(config.document(), sort_keys=False, allow_unicode=True, default_flow_style=False)


TABLES = (
    *(f"{ending}{packed}" for ending in (".csv", ".tsv", ".jsonl", ".ndjson") for packed in ("", ".gz", ".xz")),
    ".parquet",
)
SOUNDS = (".wav", ".wave", ".flac", ".mp3", ".ogg", ".m4a")  # not all are read: the source tells what to do
TEXTS = (".txt", ".txt.gz", ".txt.xz")
LOOKED_AT = 1000  # files of a folder that say what it holds
BEGINNING = 1 << 16  # bytes of a file that say what it is


def from_target(target: str, overrides: dict[str, Any]) -> Config:
    """The configuration for what a user points at: a YAML file, a folder, a table, arrays, graphs, a source's name."""
    if not target.strip():
        raise DeepenError("config.target", "what to train on", "an empty name", "a folder, a table, a config")
    path = Path(target)
    lower = path.name.lower()
    if lower.endswith((".yaml", ".yml")):
        document = _own(read_file(path), path.parent)
    elif lower.endswith(TABLES):
        document = {"data": {"name": _sort_of_table(overrides), "path": target}}
    elif lower.endswith(TEXTS) or (path.is_dir() and _holds_a_text(path)):
        document = {"data": {"name": "text", "path": target}, "method": method_of({"name": "text"})}
    elif lower.endswith(".npz"):
        document = {"data": {"name": _sort_of_graphs(path, overrides) or "arrays", "path": target}}
    elif (path / "edges.csv").is_file():
        document = {"data": {"name": _sort_of_graphs(path, overrides), "path": target}}
    elif path.is_dir():
        document = {"data": {"name": _sort_of_files(path), "path": target}}
    elif target in registry.names("sources") and all(
        f.default is not REQUIRED for f in registry.fields("sources", target)
    ):
        document = {"data": {"name": target}}
    else:
        ready = [
            n
            for n in registry.names("sources")
            if all(f.default is not REQUIRED for f in registry.fields("sources", n))
        ]
        raise DeepenError(
            "config.target",
            target,
            "nothing there that can be trained on" if not path.exists() else "not a kind of file known here",
            "a folder of pictures, texts or sounds, a table (.csv, .tsv, .jsonl, .parquet), arrays (.npz), a text (.txt), a config (.yaml), "
            f"or one of {', '.join(ready)}",
            "check the path" if not path.exists() else "",
        )
    return parse(_absolute(_own(override(document, overrides), Path())), where=target)


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
    if (own["mixed"] - own["table"] - own["texts"]) & given.keys() or not _fits(given.get("kind"), kind):
        return "mixed"
    return "texts" if (own["texts"] - own["table"]) & given.keys() else "table"


def _holds_a_text(folder: Path) -> bool:
    """Whether a folder holds nothing but texts, not sorted into folders."""
    some = [path for path in itertools.islice(folder.iterdir(), LOOKED_AT) if not path.name.startswith(".")]
    return bool(some) and all(path.name.lower().endswith(TEXTS) for path in some)


def _sort_of_files(folder: Path) -> str:
    """The source for boxes, or for what most files in a folder's folders are."""
    if _holds_boxes(folder):
        return "boxes"
    inner = (name for place, _, names in os.walk(folder) if place != str(folder) for name in names)
    some = [name.lower() for name in itertools.islice(inner, LOOKED_AT)]
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
    return begins(folder / "data.yaml", rb"(?m)^names\s*:") or (
        (folder / "classes.txt").is_file() and any(p.is_dir() for p in folder.rglob("labels"))
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
