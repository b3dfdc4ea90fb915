"""The arrows of the house: who may import whom, read from the imports themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import deepen

ROOT = Path(deepen.__file__).parent

# A part may import what stands before it in this list, and itself. Parts on one line do not know each other.
LEVELS = [
    {"errors"},
    {"schema"},
    {"tensors", "machine", "console", "content", "foreign"},
    {"store", "preprocess", "metrics", "panels"},
    {"likeness", "detection"},
    {"kinds", "registry", "queries", "monitors"},
    {"signature", "config"},
    {"program", "runtimes"},
    {"predictor"},
    {"bundle"},
    {"gate", "serving", "monitoring"},
    {"pixels"},
    {"augmentations"},
    {"data", "annotations"},  # the torch side of data needs nn
    {"optimizers", "schedules", "initialisers"},
    {"nn"},
    {"training", "sources", "models", "labelling"},
    {"methods", "evaluation", "formats", "compressors", "web"},
    {"looping"},
    {"stages"},
    {"cli", "__init__"},
    {"__main__"},
]
LEVEL = {part: i for i, parts in enumerate(LEVELS) for part in parts}
EXCEPTIONS = {
    ("data", "nn"),  # Data normalises its batches: nn.normalise
    ("registry", "deepen"),
}
TECHNIQUES = {
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
}
TORCH_FREE = {
    "errors",
    "foreign",
    "schema",
    "tensors",
    "machine",
    "console",
    "content",
    "store",
    "preprocess",
    "metrics",
    "panels",
    "likeness",
    "detection",
    "kinds",
    "registry",
    "queries",
    "monitors",
    "signature",
    "config",
    "program",
    "runtimes",
    "predictor",
    "bundle",
    "gate",
    "serving",
    "monitoring",
    "annotations",
    "sources",
    "labelling",
    "web",
    "compressors",
    "schedules",
    "cli",
}


def imports_of(file: Path, top_only: bool = False) -> set[str]:
    """Modules a file imports, as dotted names."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module == "deepen" else {node.module}
    return found


def part_of(file: Path) -> str:
    relative = file.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


FILES = sorted(ROOT.rglob("*.py"))


def test_arrows_point_down():
    wrong = []
    for file in FILES:
        part = part_of(file)
        for module in imports_of(file):
            if not module.startswith("deepen."):
                continue
            other = module.split(".")[1]
            if other == "__version__" or other == part or (part, other) in EXCEPTIONS:
                continue
            if LEVEL[other] >= LEVEL[part]:
                wrong.append(f"{file.relative_to(ROOT)} imports {module}")
    assert not wrong


def test_techniques_do_not_know_each_other():
    wrong = []
    for file in FILES:
        family = part_of(file)
        if family not in TECHNIQUES or file.stem == "__init__":
            continue
        own = f"deepen.{family}.{file.stem}"
        wrong += [f"{own} imports {m}" for m in imports_of(file) if m.startswith(f"deepen.{family}.") and m != own]
        wrong += [f"{own} imports {m}" for m in imports_of(file) if m.startswith("deepen.stages")]
    assert not wrong


def test_the_torch_free_side_never_imports_torch():
    wrong = [
        str(f.relative_to(ROOT))
        for f in FILES
        if part_of(f) in TORCH_FREE and any(m.split(".")[0] == "torch" for m in imports_of(f))
    ]
    assert not wrong


def test_no_pickle_eval_or_shell():
    forbidden = ("pickle", "marshal", "shelve", "joblib", "dill", "cloudpickle")
    for file in FILES:
        assert not {m.split(".")[0] for m in imports_of(file)} & set(forbidden), file
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile"}, file
            if isinstance(node, ast.keyword):
                assert node.arg != "shell", file
