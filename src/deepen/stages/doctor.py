"""Tell whether this machine is ready: versions, cores, memory, what is missing and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from deepen.console import say, size
from deepen.errors import counted
from deepen.machine import cores, memory

CORE = ("torch", "numpy", "msgspec", "pyyaml", "safetensors", "pillow")
EXTRAS = {
    "onnx": ("export", "export to ONNX"),
    "onnxscript": ("export", "export to ONNX"),
    "onnxruntime": ("export", "run exported graphs"),
    "httptools": ("serve", "answer requests"),
    "uvloop": ("serve", "answer requests faster"),
    "grpcio": ("grpc", "answer requests over gRPC"),
    "protobuf": ("grpc", "answer requests over gRPC"),
    "pyarrow": ("tabular", "read Parquet files"),
    "transformers": ("huggingface", "use pretrained networks of that library"),
    "timm": ("timm", "use pretrained networks of that library"),
    "scikit-learn": ("demo", "have the digits of the demo"),
}


def doctor() -> dict[str, Any]:
    """Versions, cores, memory, and each optional library with what it gives and how to get it."""
    versions = {name: _version(name) for name in (*CORE, *EXTRAS)}
    problems = [f"{name} is missing: pip install {name}" for name in CORE if versions[name] is None]
    say(f"python       {platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in CORE:
        say(f"{name:<12} {versions[name] or 'MISSING'}")
    for name, (extra, gives) in EXTRAS.items():
        absent = f"not installed. It is needed to {gives}: pip install 'deepen[{extra}]'"
        say(f"{name:<12} {versions[name] or absent}")
    free = shutil.disk_usage(Path.cwd()).free
    say(
        f"machine      {cores()} cores for this process, {size(memory())} of memory free, {size(free)} of disk free here"
    )
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "ACTIVE":
        problems.append(
            "OMP_WAIT_POLICY=ACTIVE: waiting threads spin, which costs most of the speed on a shared machine"
        )
    if not os.access(Path.cwd(), os.W_OK):
        problems.append(f"{Path.cwd()} cannot be written: give --output elsewhere")
    for problem in problems:
        say(f"problem      {problem}")
    say("ready" if not problems else counted(len(problems), "problem"))
    return {"versions": versions, "cores": cores(), "memory": memory(), "disk": free, "problems": problems}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
