"""Strict YAML: no tags, aliases or duplicate keys, `1e-3` is a number and `no` a text; and files of it. Torch-free."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from deepen.errors import DeepenError

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
            if not isinstance(node, yaml.MappingNode):
                return self.refuse(node)
            result: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, str) and not (numbered and isinstance(key, int)):
                    raise yaml.MarkedYAMLError(problem=f"key {key!r} is not text", problem_mark=key_node.start_mark)
                if key in result:
                    raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark)
                result[key] = self.construct_object(value_node, deep=True)
            return result

        def sequence(self, node: Any) -> list[Any]:
            if not isinstance(node, yaml.SequenceNode):
                return self.refuse(node)
            return [self.construct_object(inner, deep=True) for inner in node.value]

        def refuse(self, node: Any) -> Any:
            raise yaml.MarkedYAMLError(problem=f"tag {node.tag!r} is not allowed", problem_mark=node.start_mark)

    tag = "tag:yaml.org,2002:"
    Strict.add_implicit_resolver(f"{tag}null", re.compile(r"^(null|~|)$"), ["n", "~", ""])
    Strict.add_implicit_resolver(f"{tag}bool", re.compile(r"^(true|false)$"), list("tf"))
    Strict.add_implicit_resolver(f"{tag}int", re.compile(rf"^({_INT.pattern})$"), list("-+0123456789"))
    Strict.add_implicit_resolver(f"{tag}float", re.compile(rf"^({_FLOAT.pattern})$"), list("-+.0123456789"))
    Strict.add_constructor(f"{tag}null", lambda loader, node: None)
    Strict.add_constructor(f"{tag}bool", lambda loader, node: loader.construct_scalar(node) == "true")
    Strict.add_constructor(f"{tag}int", lambda loader, node: int(loader.construct_scalar(node)))
    Strict.add_constructor(
        f"{tag}float", lambda loader, node: float(_SPECIAL.sub(r"\1\2", loader.construct_scalar(node)))
    )
    Strict.add_constructor(f"{tag}str", yaml.SafeLoader.construct_yaml_str)
    Strict.add_constructor(f"{tag}seq", lambda loader, node: loader.sequence(node))
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
