"""A bundle stands alone: graphs, signature, program, golden items with their answers, hashes of all. Torch-free.

manifest.json  signature.json  program.json  graph.onnx  golden.json  parity.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deepen import registry
from deepen.errors import DeepenError
from deepen.predictor import Predictor
from deepen.program import Program
from deepen.signature import Signature
from deepen.store import durable

FORMAT = 1


def seal(path: Path, **info: Any) -> None:
    """Write the manifest over everything that lies in a bundle being made."""
    files = {
        p.relative_to(path).as_posix(): durable.digest_file(p)
        for p in sorted(path.rglob("*"))
        if p.is_file() and p.name != "manifest.json"
    }
    document = {"format": FORMAT, **info, "files": files}
    (path / "manifest.json").write_text(json.dumps(document, indent=1) + "\n")


def manifest(path: Path) -> dict[str, Any]:
    """A bundle's manifest, after checking every file against it."""
    file = path / "manifest.json"
    if not file.is_file():
        raise DeepenError(
            "bundle.missing",
            str(path),
            "no bundle there" if not path.exists() else "not a bundle (no manifest.json)",
            "a directory that deepen export made",
            "runs/<id>/exports/onnx",
        )
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        files, version = document["files"], document["format"]
    except (ValueError, KeyError, TypeError) as problem:
        raise DeepenError(
            "bundle.damaged", str(file), f"{type(problem).__name__}: {problem}", "a manifest"
        ) from problem
    if version > FORMAT:
        raise DeepenError("bundle.newer", str(file), f"format {version}", f"format {FORMAT} or older", "update deepen")
    for name, wanted in files.items():
        place = path / name
        if not place.resolve().is_relative_to(path.resolve()) or place.is_symlink() or not place.is_file():
            raise DeepenError(
                "bundle.damaged",
                str(place),
                "missing, or outside the bundle",
                "a file of the bundle",
                "export it again",
            )
        if durable.digest_file(place) != wanted:
            raise DeepenError(
                "bundle.damaged",
                str(place),
                "its content is not what the manifest says",
                "the exported file",
                "export it again",
            )
    extra = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()} - {*files, "manifest.json"}
    if extra:
        raise DeepenError(
            "bundle.damaged",
            str(path),
            f"{sorted(extra)[0]} is not in the manifest",
            "only the bundle's own files",
            "remove it",
        )
    return document


def predictor(path: Path, threads: int | None = None) -> Predictor:
    """A bundle ready to answer."""
    document = manifest(path)
    signature = Signature.from_json((path / "signature.json").read_bytes(), str(path / "signature.json"))
    steps = json.loads((path / "program.json").read_text(encoding="utf-8"))
    if document["runtime"] not in registry.names("runtimes"):
        raise DeepenError(
            "bundle.runtime",
            str(path),
            f"runtime {document['runtime']!r}",
            f"one of {', '.join(registry.names('runtimes'))}",
            "update deepen",
        )
    runtime = registry.load("runtimes", document["runtime"])
    graphs = {step["graph"] for step in steps if step.get("do") == "run" and step.get("graph") in document["files"]}
    return Predictor(signature, Program(steps, {name: runtime(path / name, threads) for name in sorted(graphs)}))


def golden(path: Path, signature: Signature) -> tuple[list[Any], list[Any]]:
    """The stored raw items and the answers they must get."""
    document = json.loads((path / "golden.json").read_text(encoding="utf-8"))
    one = Predictor(signature, Program([], {}))
    return [one.parse(item) for item in document["items"]], document["answers"]
