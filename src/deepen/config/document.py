"""From plain mappings and `key=value` to a checked configuration: which section and technique a key belongs to."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from deepen import registry
from deepen.config.sections import METHOD, Check, Config, Labels, Split, Train, plain
from deepen.config.strict_yaml import read_value
from deepen.errors import DeepenError, raise_all, unknown
from deepen.schema import Spec, coerce, shortened

RUN_TIME = ("signature", "output", "model")  # constructor parameters that only a run can give
FROM_DATA = ("num_classes", "classes", "in_channels", "input_size", "output_size")  # what other libraries ask for
SECTIONS = {"split": Split, "check": Check, "labels": Labels, "train": Train}
TECHNIQUES = {"data": "sources", "model": "models", "method": "methods"}
WITHIN = {"train.optimizer": "optimizers", "train.schedule": "schedules", "train.init": "initialisers"}  # a section
EACH = {"train.augment": "augmentations"}  # lists of techniques
OF_METHOD = ("epochs", "steps", "batch_size", "optimizer", "lr", "augment", "monitor")  # of train: what suits it
OF_OPTIMIZER = ("momentum", "nesterov")  # which configurations of old have beside it, whether it takes them or not
ALIASES = {
    "learning_rate": "lr", "imgsz": "size", "image_size": "size", "scheduler": "schedule", "max_epochs": "epochs",
}  # fmt: skip


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
                raise unknown(
                    "config.unknown",
                    f"{key}.{name}",
                    name,
                    [*fields, *(a for a, own in ALIASES.items() if own in fields)],
                )
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

    What no section knows is for the user's own class, if one is open to more. Where two sections know the key, the first
    whose type the value has: `test=0.2` is split.test, a file data.test.
    """
    if "." in key or key in TECHNIQUES or key in SECTIONS:
        return key
    key = ALIASES.get(key, key)
    known = {f"{section}.{f.name}": str(f.type) for section in SECTIONS for f in dataclasses.fields(SECTIONS[section])}
    within = {path: (document.get(path.split(".")[0]) or {}).get(path.split(".")[1]) for path in WITHIN}
    within |= {path: getattr(Train(), path.split(".")[1]) for path, spec in within.items() if not spec}
    open_to_more: list[str] = []  # to a class of the user's own whose settings are known only when it is built
    for section, family in (TECHNIQUES | WITHIN).items():
        spec = within[section] if section in WITHIN else document.get(section) or _unsaid(section, document)
        if spec:
            name = registry.resolve(family, coerce(spec, "Spec", section), section)["name"]
            if registry.says_all(family, name):
                fields = [f for f in registry.fields(family, name) if f.name not in RUN_TIME]
                known |= {f"{section}.{f.name}": f.annotation for f in fields}
            else:
                open_to_more.append(section)
    order = ("train", "split", "check", *TECHNIQUES)
    paths = sorted(
        (p for p in known if p.rpartition(".")[2] == key),
        key=lambda p: (p.count("."), order.index(p.partition(".")[0])),
    )
    if not paths:
        names = [path.rpartition(".")[2] for path in known]
        names += [*TECHNIQUES, *SECTIONS, *ALIASES]
        if len(open_to_more) == 1 and not difflib.get_close_matches(key, names, n=1, cutoff=0.8):
            return f"{open_to_more[0]}.{key}"
        raise unknown("config.unknown", key, key, [*names, *(f"{section}.{key}" for section in open_to_more)])
    return next((path for path in paths if fits(value, known[path])), paths[0])


def _unsaid(section: str, document: dict[str, Any]) -> Spec | None:
    """What is taken where a section is left out, as far as that is known without the data."""
    if section == "method":
        source = _mapping(document.get("data")).get("name")
        return {"name": method_of({"name": source})} if source in registry.names("sources") else METHOD
    name = registry.resolve("methods", coerce(document.get("method") or METHOD, "Spec", "method"), "method")["name"]
    found = None if section != "model" or ":" in name else registry.constant("methods", name, "network")
    return {"name": found} if found else None


def fits(value: Any, annotation: str) -> bool:
    try:
        coerce(value, annotation, "")
    except DeepenError:
        return False
    return True


def override(document: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """The document with `path: value` pairs put in; text values are read as YAML, as the command line gives them."""
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    names = {*TECHNIQUES, *WITHIN, *(path.partition(".")[2] for path in WITHIN)}
    techniques_first = sorted(
        overrides, key=lambda key: key not in {*names, "data.name"}
    )  # `model=cnn depth=3` in any order
    for key in techniques_first:
        value = overrides[key]
        value = read_value(value) if isinstance(value, str) else plain(value)
        path = place(key, result, value).split(".")
        if len(path) == 1:
            result[path[0]] = value
            continue
        deep = len(path) == 3 and ".".join(path[:2]) in WITHIN
        if path[0] not in TECHNIQUES and path[0] not in SECTIONS:
            raise unknown("config.unknown", key, path[0], [*TECHNIQUES, *SECTIONS])
        if len(path) > 2 and not deep:
            raise DeepenError(
                "config.unknown", key, f"nothing lies below {'.'.join(path[:2])}", "section.setting=value"
            )
        section = _mapping(result.get(path[0]) or _unsaid(path[0], result))
        if isinstance(overrides[key], str) and not isinstance(value, (str, list, dict)) and not deep:
            value = _meant(path, section, overrides[key], value)
        if deep:
            value = {**_mapping(section.get(path[1]) or getattr(Train(), path[1])), path[2]: value}
        section[path[1]] = value
        result[path[0]] = section
    return result


def _meant(path: list[str], section: dict[str, Any], raw: str, value: Any) -> Any:
    """The text itself, where a setting takes only text: a column may be called 2020."""
    family, name = TECHNIQUES.get(path[0]), str(section.get("name"))
    if family is None:
        known = {field.name: str(field.type) for field in dataclasses.fields(SECTIONS[path[0]])}
    else:
        known = {f.name: f.annotation for f in registry.fields(family, name)} if name in registry.names(family) else {}
    wanted = known.get(path[1], "")
    return raw if wanted and not fits(value, wanted) and fits(raw, wanted) else value


def _mapping(value: Any) -> dict[str, Any]:
    return {"name": value} if isinstance(value, str) else dict(value or {})
