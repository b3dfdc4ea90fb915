"""Pretrained networks of huggingface.co: fetched once where the configuration allows it, else never. Torch-free.

They lie under $DEEPEN_CHECKPOINTS, else $XDG_DATA_HOME/deepen/checkpoints, else ~/.local/share/deepen/checkpoints, a
folder for each commit. What was fetched is not asked for again: the run says the commit, and whatever is done with the
run reads the copy here. Only the files named below are taken: no pickle and no code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepen.config import Config
from deepen.console import say, size
from deepen.errors import DeepenError, counted, missing_extra
from deepen.store import durable

NEEDED = ("config.json", "model.safetensors")
FILES = {
    *NEEDED, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "preprocessor_config.json",
}  # fmt: skip
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")  # weights in other forms than safetensors
NAME = re.compile(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
COMMIT = re.compile(r"[0-9a-f]{40}")
SECONDS = 30  # that the first answer may take
SAID = 200  # characters of an error of that library


def directory() -> Path:
    """Where what was fetched lies."""
    own = os.environ.get("DEEPEN_CHECKPOINTS")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(own) if own else Path(base) / "deepen" / "checkpoints"


def folder(checkpoint: str, download: bool, revision: str | None, wrote: str) -> str:
    """The folder with a checkpoint's config.json and model.safetensors; nothing is fetched here.

    wrote  what else leaves such a folder, for the error
    """
    copy = None if Path(checkpoint).is_dir() or not download else _copy(checkpoint, revision)
    place = Path(checkpoint) if copy is None else copy
    absent = next((name for name in NEEDED if not (place / name).is_file()), None)
    if absent is None:
        return str(place)
    there, fix = str(place), "nothing is fetched: copy the folder here first"
    if not place.is_dir() and NAME.fullmatch(checkpoint):
        by_hand = f"hf download {checkpoint} --local-dir FOLDER, then model.checkpoint=FOLDER"
        fix = f"nothing is fetched without leave: model.download=true gives it; by hand: {by_hand}"
        if download:  # trained elsewhere, or taken away since
            there = f"{directory()}: no copy of {checkpoint} at {revision or 'any commit'}"
            own = "" if revision is None else f" --revision {revision}"
            fix = f"bring it: hf download {checkpoint}{own} --local-dir {_place(checkpoint, revision or 'COMMIT')}"
    raise DeepenError("model.checkpoint", "model.checkpoint", f"no {absent} in {there}", wrote, fix)


def pinned(config: Config) -> Config:
    """The configuration with the commit of every network that it allows to be fetched; what is not here is fetched.

    `data.vocabulary` that names such a network is that copy's own.
    """
    model, data = config.model, config.data
    for spec in _allowed(model):
        name, revision = _asked(spec)
        if Path(name).is_dir():
            continue
        copy = _copy(name, revision) or fetch(name, revision)
        model = _put(model, spec, {**spec, "revision": copy.name})
        if data.get("vocabulary") in (name, os.path.abspath(name)):
            data = {**data, "vocabulary": str(copy)}
    return dataclasses.replace(config, model=model, data=data)


def fetch(name: str, revision: str | None) -> Path:
    """The files of a network, whole or not at all, into a folder that bears its commit."""
    try:
        import huggingface_hub
    except ImportError:
        raise missing_extra("huggingface_hub", "huggingface", f"to fetch {name}") from None
    with _told(name, revision):
        about = huggingface_hub.HfApi().model_info(name, revision=revision, files_metadata=True, timeout=SECONDS)
    sizes = {file.rfilename: file.size for file in about.siblings or ()}
    _check(name, [*sizes])
    commit, wanted = str(about.sha), sorted(FILES & sizes.keys())
    if not COMMIT.fullmatch(commit):
        raise _wrong(name, f"its commit is {commit[:60]!r}", "another network")
    total = sum(sizes[file] or 0 for file in wanted)
    say(f"fetch    {name} at {commit[:12]}: {counted(len(wanted), 'file')}, {size(total)}, to {_place(name, commit)}")
    with durable.publish(_place(name, commit)) as draft:
        with _told(name, revision):
            huggingface_hub.snapshot_download(name, revision=commit, allow_patterns=wanted, local_dir=draft)
        shutil.rmtree(draft / ".cache", ignore_errors=True)  # what that library notes for itself
        found = {str(path.relative_to(draft)): path.stat().st_size for path in draft.rglob("*") if path.is_file()}
        if found != {file: found.get(file) if sizes[file] is None else sizes[file] for file in wanted}:
            raise _wrong(name, "what came is not what is there", "the same again: deepen train ...")
    return _place(name, commit)


def _allowed(part: Any) -> list[dict[str, Any]]:
    """Every network within a spec that may be fetched."""
    if not isinstance(part, dict):
        return [one for inner in part for one in _allowed(inner)] if isinstance(part, (list, tuple)) else []
    own = [part] if part.get("download") is True and "name" in part else []
    return own + [one for inner in part.values() for one in _allowed(inner)]


def _put(part: Any, old: dict[str, Any], new: dict[str, Any]) -> Any:
    """A spec with one within it in place of another."""
    if part == old:
        return new
    if isinstance(part, dict):
        return {key: _put(value, old, new) for key, value in part.items()}
    return [_put(value, old, new) for value in part] if isinstance(part, (list, tuple)) else part


def _asked(spec: dict[str, Any]) -> tuple[str, str | None]:
    name, revision = str(spec.get("checkpoint") or ""), spec.get("revision")
    if not name or (not NAME.fullmatch(name) and not Path(name).is_dir()):
        found = repr(name) if name else "no checkpoint to fetch"
        raise DeepenError(
            "model.checkpoint", "model.checkpoint", found, "the name of a network on huggingface.co, or a folder",
            "model.checkpoint=google/vit-base-patch16-224",
        )  # fmt: skip
    return name, revision


def _place(name: str, commit: str) -> Path:
    return directory() / name.replace("/", "--") / commit


def _copy(name: str, revision: str | None) -> Path | None:
    """What lies here of a network: a commit by its first characters; of several the one that came last."""
    if not NAME.fullmatch(name):
        return None
    found = [place for place in _place(name, "").glob("*") if COMMIT.fullmatch(place.name)]
    if revision is not None:
        found = [place for place in found if place.name.startswith(revision)]
    return max(found, key=lambda place: place.stat().st_mtime, default=None)


def _check(name: str, files: list[str]) -> None:
    """Refuse what has no weights that can be read without running code."""
    absent = next((file for file in NEEDED if file not in files), None)
    if absent is None:
        return
    found, fix = f"no {absent} among its {counted(len(files), 'file')}", "another network"
    pickled = [file for file in files if file.endswith(PICKLED)]
    if any(file.endswith(".index.json") and "safetensors" in file for file in files):
        found, fix = "its weights are in several files", "a smaller network of its kind"
    elif absent == NEEDED[1] and pickled:
        found = f"its weights are in {pickled[0]} alone"
        fix = "another network, or its weights written once where you trust them: transformers' save_pretrained"
    raise _wrong(name, found, fix)


def _wrong(name: str, found: str, fix: str) -> DeepenError:
    return DeepenError("model.fetch", f"huggingface.co/{name}", found, " and ".join(NEEDED), fix)


@contextlib.contextmanager
def _told(name: str, revision: str | None) -> Iterator[None]:
    """What goes wrong on the way as an error a user can mend."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as problem:
        fix = "ask for it on its page, then: hf auth login"
        raise DeepenError(
            "model.fetch", f"huggingface.co/{name}", "its owner gives it on request", "", fix
        ) from problem
    except errors.RepositoryNotFoundError as problem:
        fix = "check the name on huggingface.co; a private one wants: hf auth login"
        raise DeepenError("model.fetch", f"huggingface.co/{name}", "no such model", "", fix) from problem
    except errors.RevisionNotFoundError as problem:
        fix = "leave out model.revision for the newest"
        raise DeepenError("model.fetch", f"huggingface.co/{name}", f"no revision {revision}", "", fix) from problem
    except Exception as problem:
        if not isinstance(problem, (OSError, ValueError)) and not type(problem).__module__.startswith(OURS):
            raise
        if isinstance(problem, OSError) and problem.errno in durable.FULL:
            raise
        said = " ".join(str(problem).split())[:SAID] or type(problem).__name__
        fix = f"try again; or where there is a way to it: hf download {name} --local-dir FOLDER, then model.checkpoint=FOLDER"
        raise DeepenError("model.fetch", f"huggingface.co/{name}", f"not reached ({said})", "", fix) from problem


OURS = ("huggingface_hub", "httpx", "httpcore", "requests", "urllib3", "hf_xet")  # whose errors mean the network
