"""The registry is the folders: one technique, one file, one name; the class carries the file's name.

    models/tab_mlp.py  holds  class TabMLP  and is  {name: tab_mlp}  in a config

What a technique takes is read from its constructor with `ast`, so listing and checking never import torch.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from typing import Any

from deepen import foreign
from deepen.errors import DeepenError, unknown
from deepen.schema import OWN_CLASS, OWN_FILE, REQUIRED, USUAL, Field, coerce

ROOT = os.path.dirname(__file__)
FAMILIES = (
    "stages",
    "sources",
    "models",
    "methods",
    "kinds",
    "preprocess",
    "formats",
    "runtimes",
    "queries",
    "annotations",
    "monitors",
    "compressors",
    "optimizers",
    "schedules",
    "initialisers",
    "augmentations",
)

# what a class of the user's own must have to be one of a family
OWN = {
    "sources": ("read", "read(self) that returns deepen.data.items.Items"),
    "methods": ("learns", "a subclass of deepen.training.method.Method"),
    "optimizers": ("wants", "a subclass of deepen.optimizers.Rule"),
    "schedules": ("__call__", "__call__(self, progress, figures) that returns a share of the rate"),
    "initialisers": ("first", "a subclass of deepen.initialisers.Initialiser"),
    "activations": ("forward", "a torch.nn.Module"),
    "losses": ("__call__", "__call__(self, raw, target) that returns the mean loss"),
}


def names(family: str) -> list[str]:
    """The techniques of a family, in alphabetical order."""
    files = os.listdir(f"{ROOT}/{family}")
    return sorted(file[:-3] for file in files if file.endswith(".py") and not file.startswith("_"))


@functools.cache
def _text(family: str, name: str) -> str:
    own = OWN_FILE.fullmatch(name)
    try:
        with open(own[1] if own else f"{ROOT}/{family}/{name}.py", encoding="utf-8") as file:
            return file.read()
    except OSError as problem:
        raise _not_loaded(family, name, problem.strerror or "not readable") from problem
    except UnicodeDecodeError as problem:
        raise _not_loaded(family, name, "not text in UTF-8") from problem


@functools.cache
def _tree(family: str, name: str) -> ast.Module:
    try:
        return ast.parse(_text(family, name))
    except (SyntaxError, ValueError) as problem:
        raise _not_loaded(family, name, f"line {getattr(problem, 'lineno', 1)}: {problem}") from problem


def _definition(family: str, name: str) -> ast.ClassDef | ast.FunctionDef:
    """The class (or, for a verb, the function) a file is named after."""
    own = OWN_FILE.fullmatch(name)
    wanted = (own[2] if own else name).replace("_", "").lower()
    for node in _tree(family, name).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name.replace("_", "").lower() == wanted:
            return node
    if own:
        raise _not_loaded(family, name, f"no class {own[2]} in it")
    raise AssertionError(f"{family}/{name}.py defines nothing named after the file")


def _not_loaded(family: str, name: str, found: str) -> DeepenError:
    return DeepenError(
        f"{family}.import", name, found, "file.py:Class beside the configuration, or package.module:Class", "mend it"
    )


def summary(family: str, name: str) -> str:
    """The first sentence of a technique's own docstring, or of its file's.

    Read from the text, as the formatter leaves it: `deepen --help` needs one of every verb, and parsing them all would
    be most of its time. A test holds this equal to what `ast` finds.
    """
    text = _text(family, name)
    for found in re.finditer(r"^(?:class|def) (\w+).*?:\n( *\S[^\n]*)", text, re.MULTILINE | re.DOTALL):
        if found[1].replace("_", "").lower() == name.replace("_", "").lower() and found[2].lstrip().startswith('"""'):
            return found[2].strip().strip('"').strip()
    return text.split('"""', 2)[1].strip().split("\n", 1)[0] if text.startswith('"""') else ""


def header(family: str, name: str) -> str:
    """The docstring of a technique's file: what it is, its equation, its paper."""
    return ast.get_docstring(_tree(family, name)) or ""


def documentation(family: str, name: str) -> str:
    """The whole docstring of a technique or verb."""
    return ast.get_docstring(_definition(family, name)) or ""


def fields(family: str, name: str) -> list[Field]:
    """What a user can set on a technique: its constructor's (or function's) parameters with literal defaults."""
    node = _definition(family, name)
    function: ast.FunctionDef | None
    if isinstance(node, ast.FunctionDef):
        function = node
    else:
        function = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        if function is None:
            return []
    arguments = [a for a in (*function.args.posonlyargs, *function.args.args) if a.arg != "self"]
    none = [REQUIRED] * (len(arguments) - len(function.args.defaults))
    defaults = [*none, *map(ast.literal_eval, function.args.defaults)]
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults):
        arguments.append(argument)
        defaults.append(REQUIRED if default is None else ast.literal_eval(default))
    told = meanings(ast.get_docstring(node) or "")
    return [
        Field(a.arg, ast.unparse(a.annotation) if a.annotation else "Any", d, told.get(a.arg) or USUAL.get(a.arg, ""))
        for a, d in zip(arguments, defaults)
    ]


def meanings(docstring: str) -> dict[str, str]:
    """What a docstring says of each parameter.

    Below its first paragraph stand lines `name  meaning` or `name, other  meaning of both`, gone on with indented.
    """
    found: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.partition("\n\n")[2].splitlines():
        if line.startswith(" ") and names:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            told = re.match(r"(\w+(?:, \w+)*) +(.*)", line)
            names = told[1].split(", ") if told else []
            found |= dict.fromkeys(names, told[2] if told else "")
    return found


def takes_more(family: str, name: str) -> bool:
    """Whether a verb passes further settings on (`**overrides`)."""
    node = _definition(family, name)
    return isinstance(node, ast.FunctionDef) and node.args.kwarg is not None


def constant(family: str, name: str, attribute: str, default: Any = None) -> Any:
    """A literal class attribute such as `aliases` or `tiny`, without importing the file."""
    for node in getattr(_definition(family, name), "body", ()):
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == attribute:
            return ast.literal_eval(node.value)
    return default


def defines(family: str, name: str, *members: str) -> bool:
    """Whether a technique's class has any of these methods or attributes of its own, without importing the file."""
    for node in getattr(_definition(family, name), "body", ()):
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", ())
        own = {getattr(node, "name", None), *(t.id for t in targets if isinstance(t, ast.Name))}
        if own & {*members}:
            return True
    return False


def resolve(family: str, spec: dict[str, Any], where: str) -> dict[str, Any]:
    """A spec with its canonical name: aliases (`resnet18`) spelled out, unknown names refused with the nearest."""
    name = spec["name"]
    if OWN_CLASS.fullmatch(name):
        return spec
    known = names(family)
    canonical = re.sub(r"[-\s]", "_", name).lower()
    if canonical in known:
        return {**spec, "name": canonical}
    short = {alias: (k, given) for k in known for alias, given in (constant(family, k, "aliases") or {}).items()}
    if canonical in short:
        target, given = short[canonical]
        return {**given, **spec, "name": target}
    raise unknown(f"{family}.unknown", where, name, [*known, *short])


def check(family: str, spec: dict[str, Any], where: str, given: tuple[str, ...] = ()) -> dict[str, Any]:
    """A spec with every parameter checked and typed against the constructor; `given` come at run time."""
    spec = resolve(family, spec, where)
    if not says_all(family, spec["name"]):
        return spec  # known when it is built
    known = {field.name: field for field in fields(family, spec["name"]) if field.name not in given}
    result = {"name": spec["name"]}
    for key, value in spec.items():
        if key == "name":
            continue
        if key not in known:
            raise unknown("config.unknown", f"{where}.{key}", key, known)
        result[key] = coerce(value, known[key].annotation, f"{where}.{key}")
    for key, field in known.items():
        if field.default is REQUIRED and key not in result:
            raise DeepenError(
                "config.missing", f"{where}.{key}", "missing", f"{spec['name']} needs it ({field.annotation})"
            )
    return result


def says_all(family: str, name: str) -> bool:
    """Whether all that a technique takes can be read: of the user's own, one in a file with a constructor open to no more."""
    if not OWN_FILE.fullmatch(name):
        return not OWN_CLASS.fullmatch(name)
    node = _definition(family, name)
    made = next((n for n in getattr(node, "body", ()) if getattr(n, "name", "") == "__init__"), None)
    if made is None or made.args.kwarg or made.args.vararg:
        return False
    defaults = [d for d in (*made.args.defaults, *made.args.kw_defaults) if d is not None]
    return all(isinstance(d, (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.UnaryOp)) for d in defaults)


def load(family: str, name: str) -> Any:
    """The class or function behind a name; this is where heavy imports happen."""
    if OWN_CLASS.fullmatch(name):
        module, _, attribute = name.rpartition(":")
        try:
            home = _of_file(family, name) if OWN_FILE.fullmatch(name) else importlib.import_module(module)
            foreign.note(home)
            found = getattr(home, attribute)
            if not isinstance(found, type):
                raise AttributeError(f"{attribute} is a {type(found).__name__}, not a class")
            return found
        except (ImportError, AttributeError) as problem:
            raise DeepenError(
                f"{family}.import", name, str(problem), "package.module:Class importable from here", "check PYTHONPATH"
            ) from problem
    if name not in names(family):
        raise unknown(f"{family}.unknown", family, name, names(family))
    return getattr(importlib.import_module(f"deepen.{family}.{name}"), _definition(family, name).name)


def _of_file(family: str, name: str) -> Any:
    """The user's own file as a module; imported once, whatever is named in it."""
    _definition(family, name)
    path = os.path.abspath(name.rpartition(":")[0])
    unique = f"deepen_own_{hashlib.sha256(path.encode()).hexdigest()[:16]}"
    if unique not in sys.modules:
        spec = importlib.util.spec_from_file_location(unique, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[unique] = module
        try:
            spec.loader.exec_module(module)
        except Exception as problem:
            del sys.modules[unique]
            raise _not_loaded(family, name, f"{type(problem).__name__}: {problem}") from problem
    return sys.modules[unique]


def build(family: str, spec: dict[str, Any], **given: Any) -> Any:
    """An instance of the technique a spec names; `given` fills the parameters known only at run time."""
    parameters = {key: value for key, value in spec.items() if key != "name"}
    cls = load(family, spec["name"])
    if not OWN_CLASS.fullmatch(spec["name"]):
        wanted = {field.name for field in fields(family, spec["name"])}
        given = {key: value for key, value in given.items() if key in wanted}
    else:
        import inspect

        taken = inspect.signature(cls).parameters
        more = any(p.kind is p.VAR_KEYWORD for p in taken.values())
        given = {key: value for key, value in given.items() if more or key in taken}
        try:
            inspect.signature(cls).bind(**parameters, **given)
        except TypeError as problem:
            raise DeepenError(
                "config.own", spec["name"], str(problem), f"{cls.__name__}{inspect.signature(cls)}"
            ) from problem
    made = cls(**parameters, **given)
    member, base = OWN.get(family, ("__class__", ""))
    if OWN_CLASS.fullmatch(spec["name"]) and not hasattr(made, member):
        raise DeepenError("config.own", spec["name"], f"it has no {member}", base)
    return made
