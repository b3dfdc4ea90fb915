"""Annotations as the schema of everything a user can set, read as text so that nothing heavy is imported.

A constructor's `depth: Count = 18` says that YAML, command line and forms take a whole number of at least 1.
The names below are plain int and float to a type checker and carry the bound for `coerce`.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any, NamedTuple

from deepen.errors import DeepenError

Count = int  # a whole number, at least 1
Several = int  # a whole number, at least 2
Natural = int  # a whole number, at least 0
Positive = float  # a number above 0
NonNegative = float  # a number, at least 0
Share = float  # a number from 0 up to, not including, 1
Chance = float  # a number from 0 to 1
Activation = str  # what stands between layers, by name (nn/layers.py makes it)
Spec = dict  # {name: ..., parameters}: a technique of some family

BOUNDS = {
    "Count": (int, 1, None, "a whole number of at least 1"),
    "Several": (int, 2, None, "a whole number of at least 2"),
    "Natural": (int, 0, None, "a whole number of at least 0"),
    "Positive": (float, math.ulp(0.0), None, "a number above 0"),
    "NonNegative": (float, 0, None, "a number of at least 0"),
    "Share": (float, 0, 1, "a number from 0 up to 1 (1 excluded)"),
    "Chance": (float, 0, math.nextafter(1.0, 2.0), "a number from 0 to 1"),
    "int": (int, None, None, "a whole number"),
    "float": (float, None, None, "a number"),
}
CHOICES = {
    "Activation": (
        "relu", "leaky_relu", "relu6", "elu", "gelu", "silu", "hard_swish", "mish", "tanh", "sigmoid", "hard_sigmoid",
        "softmax",
    ),
}  # fmt: skip
OWN_FILE = re.compile(r"(.+\.py):([A-Za-z_]\w*)")  # a file of the user's own and a class in it
OWN_CLASS = re.compile(rf"{OWN_FILE.pattern}|[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # or one in a package: package.module:Class
LARGEST = 2**63 - 1  # what a tensor, a seed and a file can hold
REQUIRED = "<required>"
USUAL = {  # what settings mean where their technique says nothing else
    "activation": "between layers, by name, or the user's own by file.py:Class",
    "delimiter": "between the cells of a row; none: found by the first rows",
    "depth": "blocks",
    "drop": "columns that are left out",
    "dropout": "share of what goes from layer to layer that is left out, while training",
    "heads": "parts of the width that attend on their own",
    "hidden": "widths of the hidden layers",
    "inner": "width of a block's dense layers",
    "kernel": "places a side that a convolution sees",
    "kind": "of answer; none: by what the answers in the data are",
    "norm": "between the hidden layers",
    "path": "the file or folder",
    "pretrain_lr": "learning rate of the pretraining",
    "size": "pixels a side that pictures are brought to; none: by the training pictures",
    "types": "of columns, by name, in place of what is inferred",
    "width": "numbers in each row that the blocks work on",
}


class Field(NamedTuple):  # not a dataclass: that module alone would double the time `deepen --help` takes
    """One thing a user can set: name, annotation as text, default (REQUIRED where there is none), meaning."""

    name: str
    annotation: str
    default: Any = REQUIRED
    doc: str = ""


def coerce(value: Any, annotation: str, where: str) -> Any:
    """The value as the annotation wants it, or a DeepenError that says what is expected at `where`."""
    ok, result, expected = _match(value, ast.parse(annotation, mode="eval").body)
    if ok:
        return result
    raise DeepenError("config.type", where, f"got {shortened(value)}", f"expected {expected}")


def words(annotation: str) -> str:
    """What an annotation lets pass, for a person: "a number above 0 or null"."""
    return _match(object(), ast.parse(annotation, mode="eval").body)[2]


def shortened(value: Any) -> str:
    """A value as an error shows it."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number of more than 19 digits"  # Python refuses to write out thousands of them
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _match(value: Any, node: ast.expr) -> tuple[bool, Any, str]:
    """Whether a value fits a type, the value as that type, and the type in words."""
    if isinstance(node, ast.BinOp):  # A | B
        left, right = _match(value, node.left), _match(value, node.right)
        return next((m for m in (left, right) if m[0]), (False, value, f"{left[2]} or {right[2]}"))
    if isinstance(node, ast.Constant):
        if node.value is None:
            return value is None, None, "null"
        return _match(value, ast.parse(str(node.value), mode="eval").body)  # a quoted annotation
    if isinstance(node, ast.Subscript):
        return _match_generic(value, node)
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    if name in BOUNDS:
        return _match_number(value, name)
    if name in CHOICES:
        own = isinstance(value, str) and OWN_CLASS.fullmatch(value)
        return bool(own) or value in CHOICES[name], value, "one of " + ", ".join(CHOICES[name])
    if name == "bool":
        return isinstance(value, bool), value, "true or false"
    if name == "str":
        return isinstance(value, str), value, "text"
    if name == "Spec":
        value = {"name": value} if isinstance(value, str) else value
        return isinstance(value, dict) and isinstance(value.get("name"), str), value, "a name or {name: ..., ...}"
    if name in {"dict", "list"}:
        return type(value).__name__ == name, value, "a mapping" if name == "dict" else "a list"
    return True, value, name  # given at run time (a network, a signature): not the user's to set


def _match_generic(value: Any, node: ast.Subscript) -> tuple[bool, Any, str]:
    name = getattr(node.value, "id", "")
    if name == "Literal":
        choices = [
            ast.literal_eval(c) for c in (node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice])
        ]
        ok = any(type(value) is type(c) and value == c for c in choices)
        return ok, value, "one of " + ", ".join(str(c) for c in choices)
    if name == "dict":
        return isinstance(value, dict), value, "a mapping"
    if name in {"tuple", "list"}:
        inner = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
        items = list(value) if isinstance(value, (list, tuple)) else [value]  # `hidden=64` for `hidden=[64]`
        parts = [_match(item, inner) for item in items]
        expected = "a list of " + (_match(object(), inner)[2])
        return all(p[0] for p in parts), (tuple if name == "tuple" else list)(p[1] for p in parts), expected
    return True, value, name


def _match_number(value: Any, name: str) -> tuple[bool, Any, str]:
    kind, low, high, expected = BOUNDS[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False, value, expected
    if isinstance(value, int) and abs(value) > LARGEST:
        return False, value, f"{expected}, below 2^63"
    if not math.isfinite(value) or (kind is int and value != int(value)):
        return False, value, expected
    inside = (low is None or value >= low) and (high is None or value < high)
    return inside and abs(value) <= LARGEST, kind(value), expected
