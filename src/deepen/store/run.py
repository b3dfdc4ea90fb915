"""A run: the directory a training leaves, and what every later verb takes.

run.json  config.yaml  signature.json  metrics.jsonl  model.safetensors  split.json  quarantine.json
reference.json: what drift in service is measured against
checkpoints/  evaluation/  exports/<name>/  incidents.jsonl  log.txt
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepen.errors import DeepenError, counted
from deepen.store import durable, system

FORMAT = 1


class Run:
    """A run on disk. `info` is run.json."""

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path, self.info = path, info

    @classmethod
    def create(cls, root: Path, text: str, member: str | None = None, **info: Any) -> Run:
        """A new run under `root`, empty but for `text` in config.yaml, with an id nobody else has; whole or not at all.

        member  its name within the run whose members lie in `root`
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        while True:
            name = member or f"{datetime.date.today():%Y%m%d}-{secrets.token_hex(2)}"
            record = {
                "format": FORMAT,
                "id": name,
                "state": "new",
                "parent": None,
                "members": [],
                **info,
                "created": now,
            }
            with (
                contextlib.suppress(*([] if member else [FileExistsError])),
                durable.publish(root / name, new=True) as draft,
            ):
                for folder in ("checkpoints", "evaluation", "exports"):
                    (draft / folder).mkdir()
                (draft / "config.yaml").write_text(text, encoding="utf-8")
                (draft / "run.json").write_bytes(_sealed(record))
                return cls(root / name, record)

    def withdraw(self) -> None:
        """Take a run back that nothing has come of."""
        system.remove_tree(self.path)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run at a path; the path may also name a run under runs/."""
        place = Path(path)
        if not (place / "run.json").is_file() and (Path("runs") / place / "run.json").is_file():
            place = Path("runs") / place
        file = place / "run.json"
        if not file.is_file():
            inside = sorted(str(p.parent) for p in place.glob("[!.]*/run.json"))
            known = inside or sorted(p.parent.name for p in Path("runs").glob("[!.]*/run.json"))
            hint = f"Runs here: {', '.join(known[-5:])}" if known else "train one: deepen train ..."
            found = "no run there" if not place.exists() else "not a run (no run.json)"
            raise DeepenError("run.missing", str(path), found, "a directory that deepen train made", hint)
        return cls(place, _unsealed(file))

    @property
    def id(self) -> str:
        return str(self.info["id"])

    def write(self, name: str, data: bytes | str) -> str:
        """A file of the run, whole or not at all; returns its SHA-256."""
        return durable.replace(self.path / name, data)

    def update(self, **info: Any) -> None:
        """Change run.json."""
        self.info.update(info)
        self.write("run.json", _sealed(self.info))

    def keep(self, files: dict[str, bytes | str], **info: Any) -> None:
        """Write files that stay as they are, and their hashes into run.json, beside `info`."""
        hashes = {name: self.write(name, data) for name, data in files.items()}
        self.update(hashes={**self.info.get("hashes", {}), **hashes}, **info)

    def read(self, name: str) -> bytes:
        """A file of the run; where it was written by `keep`, checked to be what was written."""
        path = self.path / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise DeepenError(
                "run.incomplete", str(path), "not there", "a run whose training began", self.hint()
            ) from None
        except OSError as problem:
            raise DeepenError(
                "run.damaged", str(path), problem.strerror or str(problem), "a readable file"
            ) from problem
        if durable.digest(data) != self.info.get("hashes", {}).get(name, durable.digest(data)):
            raise DeepenError("run.damaged", str(path), "its content is not what was written", "", "restore the file")
        return data

    def rows(self, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
        """The lines of a file; those of a finished run must all be there."""
        found, length = durable.lines(self.path / name)
        wanted = self.info.get("lengths", {}).get(name, length)
        if length < wanted:
            left = f"{length} bytes of whole lines" if length else "empty, or gone"
            raise DeepenError("run.damaged", str(self.path / name), left, f"{wanted} bytes", "restore the file")
        return found

    def check(self) -> list[str]:
        """Look whether every file that stays as it is still does; returns their names."""
        hashes, lengths = self.info.get("hashes", {}), self.info.get("lengths", {})
        for name in hashes:
            self.read(name)
        for name in lengths:
            self.rows(name)
        return [*hashes, *lengths]

    def read_json(self, name: str) -> Any:
        try:
            return json.loads(self.read(name))
        except ValueError as problem:
            raise DeepenError("run.damaged", str(self.path / name), str(problem), "JSON") from problem

    def single(self) -> Run:
        """This run, where it has a network of its own; one with folds is told to name one of them."""
        if self.info["members"]:
            folds = counted(len(self.info["members"]), "fold")
            raise DeepenError(
                "run.folds", str(self.path), f"a cross-validation of {folds}, each with a network of its own",
                "a run of one network", f"name one of its folds: {self.path / self.info['members'][0]}",
            )  # fmt: skip
        return self

    def hint(self) -> str:
        """What to do with a run that has no model."""
        if self.info["state"] == "finished":
            return ""
        return f"the run's state is {self.info['state']!r}: deepen train --resume {self.path}"

    def append(self, name: str, document: dict[str, Any]) -> int:
        return durable.append(self.path / name, document)

    def log(self, text: str) -> None:
        """A line with the time in log.txt. Not for anything that must be reproducible; a full disk does not stop it."""
        with contextlib.suppress(OSError), open(self.path / "log.txt", "a", encoding="utf-8") as file:
            file.write(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The only writer of this run; another process gets a clear error at once. The kernel frees a dead owner's lock."""
        try:
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as problem:
            raise durable.failure(self.path / ".lock", problem) from problem
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found = f"process {_owner(handle)} is working on it"
                raise DeepenError(
                    "run.locked", str(self.path), found, "one writer at a time", "wait for it, or stop it"
                ) from None
            with contextlib.suppress(OSError):  # a full disk: the lock holds without a name in it
                os.pwrite(handle, f"{os.getpid():<20}".encode(), 0)
            for folder in (self.path, self.path / "checkpoints", self.path / "exports"):
                durable.sweep(folder)
            yield
        finally:
            os.close(handle)

    # ---------------------------------------------------------------- checkpoints

    def save_checkpoint(self, step: int, data: bytes, best: bool = False, anchor: bool = False) -> str:
        """Keep a checkpoint whose name carries its own hash; the last two stay, the two best so far, the last anchor.

        What a checkpoint is stands in its name, so that it cannot be lost apart from it.
        """
        names = self.checkpoints()
        serial = int(names[-1].split("-")[0]) + 1 if names else 0
        name = f"{serial:06d}-step{step}-{'anchor-' if anchor else ''}{'best-' if best else ''}{durable.digest(data)[:16]}.safetensors"
        durable.replace(self.path / "checkpoints" / name, data)
        names.append(name)
        for old in {*names} - {*names[-2:], *_tagged("best", names)[-2:], *_tagged("anchor", names)[-1:]}:
            with contextlib.suppress(OSError):  # gone next time
                system.unlink(self.path / "checkpoints" / old)
        return name

    def checkpoints(self) -> list[str]:
        """Names of the checkpoints, oldest first."""
        return sorted(p.name for p in (self.path / "checkpoints").glob("[0-9]*-step*.safetensors"))

    def best_checkpoints(self) -> list[str]:
        """Names of those that were the best when they were saved, oldest first."""
        return _tagged("best", self.checkpoints())

    def anchors(self) -> list[str]:
        """Names of those a training may be rolled back to, oldest first."""
        return _tagged("anchor", self.checkpoints())

    def load_checkpoint(self, name: str) -> bytes | None:
        """The bytes of a checkpoint; None where they are not what was written. Such a file is set aside."""
        path = self.path / "checkpoints" / name
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        if durable.digest(data)[:16] == name.rsplit("-", 1)[1].split(".")[0]:
            return data
        with contextlib.suppress(OSError):
            system.rename(path, path.with_name(f"damaged-{name}"))
        return None

    def document(self) -> dict[str, Any]:
        return {"run": str(self.path), **self.info}

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def _tagged(tag: str, names: list[str]) -> list[str]:
    return [name for name in names if f"-{tag}-" in name]


def _owner(handle: int) -> str:
    """The process that holds a lock; waits a moment for one that has it but did not write its name yet."""
    name = ""
    for _ in range(20):
        name = os.pread(handle, 20, 0).decode(errors="replace").strip()
        if name.isdecimal() and Path("/proc", name).exists():
            break
        time.sleep(0.05)
    return name or "unknown"


def _sealed(info: dict[str, Any]) -> bytes:
    """run.json, its last member a checksum of the rest."""
    return (json.dumps({**info, "sum": _sum(info)}, indent=1, ensure_ascii=False) + "\n").encode()


def _sum(info: dict[str, Any]) -> str:
    return durable.digest(json.dumps(info, ensure_ascii=False).encode())[:16]


def _unsealed(file: Path) -> dict[str, Any]:
    """What a run.json says, checked."""
    try:
        info = json.loads(file.read_bytes())
        version, seal = int(info["format"]), info.pop("sum", None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as problem:
        raise DeepenError(
            "run.damaged", str(file), f"{type(problem).__name__}: {problem}", "a run's record", "restore the file"
        ) from problem
    if version > FORMAT:
        raise DeepenError("run.newer", str(file), f"format {version}", f"format {FORMAT} or older", "update deepen")
    if seal is not None and seal != _sum(info):
        raise DeepenError(
            "run.damaged", str(file), "its content is not what was written", "a run's record", "restore the file"
        )
    return info
