"""A bundle stands alone: graphs, signature, program, golden items with their answers, hashes of all. Torch-free.

manifest.json  signature.json  program.json  graph.onnx  golden.json  parity.json  reference.json

Nothing in a bundle is believed: names in its manifest are compared with what lies in the directory and never opened,
links are refused, every document is typed, and the golden items must get their stored answers (`prove`).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from deepen import registry
from deepen.errors import DeepenError, counted
from deepen.predictor import Predictor
from deepen.program import Program
from deepen.signature import Signature
from deepen.store import durable
from deepen.tensors import Tensor

FORMAT = 1
MOST_FILES = 1000
LARGEST_DOCUMENT = 256 << 20  # bytes of one JSON file: golden items may be pictures
LARGEST_ITEM = 1 << 28  # numbers in one encoded item
GOLDEN_GAP = 1e-3  # what another machine's rounding may change in a stored answer

T = TypeVar("T")


class Manifest(msgspec.Struct):
    """What is in a bundle: file name -> SHA-256."""

    format: int
    runtime: str
    run: str
    files: dict[str, str]
    metrics: dict[str, Any] | None = None
    requires: dict[str, str] = {}


class Golden(msgspec.Struct):
    """Raw items as `parse` takes them, and their answers."""

    items: list[Any]
    answers: list[Any]


def seal(path: Path, **info: Any) -> None:
    """Write the manifest over everything that lies in a bundle being made."""
    files = {name: durable.digest_file(path / name) for name in sorted(_files(path)) if name != "manifest.json"}
    document = {"format": FORMAT, **info, "files": files}
    (path / "manifest.json").write_text(json.dumps(document, indent=1) + "\n")


def manifest(path: Path) -> dict[str, Any]:
    """A bundle's manifest, after checking every file against it."""
    with _readable(path):
        return _checked(path)


def _checked(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    if not file.is_file():
        raise DeepenError(
            "bundle.missing",
            str(path),
            "no bundle there" if not path.exists() else "not a bundle (no manifest.json)",
            "a directory that deepen export made",
            "runs/<id>/exports/onnx",
        )
    found = set(_files(path)) - {"manifest.json"}
    version = _read(file, dict[str, Any]).get("format")
    if isinstance(version, int) and version > FORMAT:
        raise DeepenError("bundle.newer", str(file), f"format {version}", f"format {FORMAT} or older", "update deepen")
    document = _read(file, Manifest)
    if found != document.files.keys():
        name = min(found ^ document.files.keys())
        raise _damaged(path, f"{name[:200]!r} is {'not in the manifest' if name in found else 'missing'}")
    for name in sorted(found):
        if durable.digest_file(path / name) != document.files[name]:
            raise _damaged(path / name, "its content is not what the manifest says")
    return msgspec.to_builtins(document)


def run_of(path: Path) -> str:
    """The run a bundle says it is of, before anything of it is checked."""
    file = path / "manifest.json"
    with _readable(path):
        return _read(file, Manifest).run if file.is_file() else str(manifest(path)["run"])


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """A file that this user may not read, or a disk that fails, is a bundle that is not fit: nothing worse."""
    try:
        yield
    except OSError as problem:
        place = os.fsdecode(problem.filename or path)
        found = problem.strerror or str(problem)
        raise DeepenError(
            "bundle.unreadable", place, found, "a file that may be read", "ask its owner, or run as a user who may"
        ) from problem


def predictor(path: Path, threads: int | None = None, known: dict[str, Any] | None = None) -> Predictor:
    """A bundle ready to answer. `known`: its manifest, where all files were just checked against it."""
    document = manifest(path) if known is None else known
    for name in ("signature.json", "program.json", "golden.json"):
        if name not in document["files"]:
            raise _damaged(path, f"{name!r} is missing")
    _read(path / "signature.json", dict[str, Any])  # strict JSON of bounded depth
    signature = Signature.from_json((path / "signature.json").read_bytes(), str(path / "signature.json"))
    steps = _read(path / "program.json", list[dict[str, Any]])
    if document["runtime"] not in registry.names("runtimes"):
        raise DeepenError(
            "bundle.runtime",
            str(path),
            f"runtime {document['runtime']!r}",
            f"one of {', '.join(registry.names('runtimes'))}",
            "update deepen",
        )
    runtime = registry.load("runtimes", document["runtime"])
    wanted = {step["graph"] for step in steps if step.get("do") == "run" and isinstance(step.get("graph"), str)}
    graphs = {name: runtime(path / name, threads) for name in sorted(wanted & document["files"].keys())}
    program = Program(steps, graphs)
    _fit(path, signature, program)
    return Predictor(signature, program)


def golden(path: Path, signature: Signature) -> tuple[list[Any], list[Any]]:
    """The stored raw items and the answers they must get."""
    document = _read(path / "golden.json", Golden)
    if not document.items or len(document.items) != len(document.answers):
        raise _damaged(
            path / "golden.json",
            f"{counted(len(document.items), 'item')} and {counted(len(document.answers), 'answer')}",
        )
    one = Predictor(signature, Program([], {}))
    return [one.parse(item) for item in document.items], document.answers


def prove(path: Path, predictor: Predictor) -> float:
    """Ask for the golden items; returns the largest difference from their stored answers."""
    try:
        items, answers = golden(path, predictor.signature)
        found = predictor.gap(predictor(items), answers)
    except DeepenError:
        raise
    except Exception as problem:  # documents can contradict each other in more ways than can be listed
        raise _damaged(path, f"its golden items cannot be answered ({type(problem).__name__}: {problem})") from problem
    if not found <= GOLDEN_GAP:
        raise DeepenError(
            "bundle.golden",
            str(path),
            f"golden answers differ by up to {found:.3g}",
            f"at most {GOLDEN_GAP}",
            "export it again",
        )
    return found


def _files(path: Path) -> Iterator[str]:
    """The names of all files below a bundle; links and whatever else is no plain file are refused."""
    count = 0
    for folder, inner, names in os.walk(path):
        for name in [*inner, *names]:
            place = Path(folder, name)
            about = place.lstat()
            if stat.S_ISDIR(about.st_mode):
                continue
            if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
                raise _damaged(place, "a link, or not a plain file", "copy the bundle file by file")
            count += 1
            if count > MOST_FILES:
                raise _damaged(path, f"more than {MOST_FILES} files")
            yield place.relative_to(path).as_posix()


def _read(file: Path, type: type[T]) -> T:
    """A JSON document of a type: strict JSON, no NaN, bounded size and depth."""
    if file.stat().st_size > LARGEST_DOCUMENT:
        raise _damaged(file, f"{file.stat().st_size:,} bytes")
    try:
        return msgspec.json.decode(file.read_bytes(), type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise _damaged(file, str(problem)) from problem


def _fit(path: Path, signature: Signature, program: Program) -> None:
    """Signature, graphs and program must speak of the same tensors."""
    if not signature.inputs or not signature.outputs:
        raise _damaged(path / "signature.json", "no inputs or no outputs")
    for tensor in signature.tensors:
        fixed = [size for size in tensor.shape if isinstance(size, int)]
        if min(fixed, default=1) < 1 or math.prod(fixed) > LARGEST_ITEM:
            raise _damaged(path / "signature.json", f"input {tensor.name!r} has shape {tensor.shape}")
    results = [t.name for t in signature.answer.results] if len(signature.outputs) == 1 else []
    wanted = results or [t.name for t in signature.output_tensors]
    program.check({tensor.name for tensor in signature.tensors}, wanted)
    declared = {tensor.name: tensor for tensor in (*signature.tensors, *signature.output_tensors)}
    for name, runtime in program.runtimes.items():
        for tensor in runtime.tensors:
            if tensor.name in declared and not _alike(declared[tensor.name], tensor):
                right = declared[tensor.name]
                raise DeepenError(
                    "bundle.tensor",
                    str(path / name),
                    f"{tensor.name!r} is {tensor.dtype} {tensor.shape} in the graph",
                    f"{right.dtype} {right.shape}, as signature.json says",
                    "export it again",
                )


def _alike(a: Tensor, b: Tensor) -> bool:
    pairs = zip(a.shape, b.shape)
    same = all(x == y for x, y in pairs if isinstance(x, int) and isinstance(y, int))
    return a.dtype == b.dtype and len(a.shape) == len(b.shape) and same


def _damaged(place: Path, found: str, fix: str = "export it again") -> DeepenError:
    return DeepenError("bundle.damaged", str(place), found, "a bundle as deepen export made it", fix)
