"""A run: the directory a training leaves, and what every later verb takes.

run.json  config.yaml  signature.json  metrics.jsonl  model.safetensors  split.json  quarantine.json
checkpoints/  evaluation/  exports/<name>/  incidents.jsonl  log.txt
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepen.errors import DeepenError
from deepen.store import durable

FORMAT = 1


class Run:
    """A run on disk. `info` is run.json."""

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path, self.info = path, info
        self._lock: int | None = None

    @classmethod
    def create(cls, root: Path, config: str, **info: Any) -> Run:
        """A new, empty run under `root` with an id nobody else has."""
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise DeepenError(
                "store.write",
                str(root),
                problem.strerror or str(problem),
                "a place for runs",
                "choose another with --output",
            ) from problem
        while True:
            name = f"{datetime.date.today():%Y%m%d}-{secrets.token_hex(2)}"
            try:
                (root / name).mkdir()
                break
            except FileExistsError:
                continue
            except OSError as problem:
                raise DeepenError(
                    "store.write",
                    str(root / name),
                    problem.strerror or str(problem),
                    "a place for runs",
                    "choose another with --output",
                ) from problem
        run = cls(root / name, {"format": FORMAT, "id": name, "state": "new", "parent": None, "members": [], **info})
        for folder in ("checkpoints", "evaluation", "exports"):
            (run.path / folder).mkdir()
        run.write("config.yaml", config)
        run.update(created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run at a path; the path may also name a run under runs/."""
        place = Path(path)
        if not (place / "run.json").is_file() and (Path("runs") / place / "run.json").is_file():
            place = Path("runs") / place
        file = place / "run.json"
        if not file.is_file():
            known = sorted(p.parent.name for p in Path("runs").glob("*/run.json")) if Path("runs").is_dir() else []
            hint = f"Runs here: {', '.join(known[-5:])}" if known else "train one: deepen train ..."
            raise DeepenError(
                "run.missing",
                str(path),
                "no run there" if not place.exists() else "not a run (no run.json)",
                "a directory that deepen train made",
                hint,
            )
        try:
            info = json.loads(file.read_text(encoding="utf-8"))
            version = info["format"]
        except (ValueError, KeyError, OSError) as problem:
            raise DeepenError(
                "run.damaged", str(file), f"{type(problem).__name__}: {problem}", "a run's record"
            ) from problem
        if version > FORMAT:
            raise DeepenError("run.newer", str(file), f"format {version}", f"format {FORMAT} or older", "update deepen")
        return cls(place, info)

    @property
    def id(self) -> str:
        return str(self.info["id"])

    def write(self, name: str, data: bytes | str) -> str:
        """A file of the run, whole or not at all; returns its SHA-256."""
        return durable.replace(self.path / name, data)

    def update(self, **info: Any) -> None:
        """Change run.json."""
        self.info.update(info)
        self.write("run.json", json.dumps(self.info, indent=1, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DeepenError(
                "run.incomplete", str(path), "not there", "a run whose training finished", self.hint()
            ) from None
        except ValueError as problem:
            raise DeepenError("run.damaged", str(path), str(problem), "JSON") from problem

    def hint(self) -> str:
        """What to do with a run that has no model."""
        if self.info["state"] == "finished":
            return ""
        return f"the run's state is {self.info['state']!r}: deepen train --resume {self.path}"

    def append(self, name: str, document: dict[str, Any]) -> int:
        return durable.append(self.path / name, document)

    def log(self, text: str) -> None:
        """A line with the time in log.txt. Not for anything that must be reproducible."""
        with open(self.path / "log.txt", "a", encoding="utf-8") as file:
            file.write(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The only writer of this run; another process gets a clear error at once. The kernel frees a dead owner's lock."""
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(handle, 100, 0).decode(errors="replace").strip()
                raise DeepenError(
                    "run.locked",
                    str(self.path),
                    f"process {owner} is working on it",
                    "one writer at a time",
                    "wait for it, or stop it",
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(handle)

    # ---------------------------------------------------------------- checkpoints

    def save_checkpoint(self, step: int, data: bytes, best: bool = False) -> str:
        """Keep a checkpoint whose name carries its own hash; the last two and the best stay."""
        serial = int(self.checkpoints()[-1].split("-")[0]) + 1 if self.checkpoints() else 0
        name = f"{serial:06d}-step{step}-{durable.digest(data)[:16]}.safetensors"
        durable.replace(self.path / "checkpoints" / name, data)
        if best:
            durable.replace(self.path / "checkpoints" / "best", name)
        keep = {*self.checkpoints()[-2:], self.best_checkpoint()}
        for old in self.checkpoints():
            if old not in keep:
                (self.path / "checkpoints" / old).unlink(missing_ok=True)
        return name

    def checkpoints(self) -> list[str]:
        """Names of the checkpoints, oldest first."""
        return sorted(p.name for p in (self.path / "checkpoints").glob("[0-9]*-step*.safetensors"))

    def best_checkpoint(self) -> str | None:
        file = self.path / "checkpoints" / "best"
        return file.read_text().strip() if file.exists() else None

    def load_checkpoint(self, name: str) -> bytes | None:
        """The bytes of a checkpoint, or None where they are not what was written."""
        try:
            data = (self.path / "checkpoints" / name).read_bytes()
        except OSError:
            return None
        return data if durable.digest(data)[:16] == name.rsplit("-", 1)[1].split(".")[0] else None

    def document(self) -> dict[str, Any]:
        return {"run": str(self.path), **self.info}

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"
