"""The user's own code: which modules hold it, and where in it something went wrong. Torch-free."""

from __future__ import annotations

import os
import re
import traceback
from types import CodeType, ModuleType
from typing import Any

from deepen.errors import DeepenError

MOST = 300  # characters of another library's message
_CALLED = re.compile(r"([\w.]+)\(\) (?:takes|missing|got)\b")  # how Python begins when a call and a signature differ
_modules: dict[str, ModuleType] = {}


def note(module: ModuleType) -> None:
    """From now on what is raised in this module is told as the user's own."""
    _modules[os.path.abspath(module.__file__ or module.__name__)] = module


def fault(problem: BaseException) -> DeepenError | None:
    """What went wrong in the user's own code, by file and line of it; None where none of it took part."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(problem.__traceback__)]
    own = [(code, line) for code, line in frames if os.path.abspath(code.co_filename) in _modules]
    called = _CALLED.match(str(problem)) if isinstance(problem, TypeError) else None
    meant = _defined(called[1]) if called and (not own or own[-1] != frames[-1]) else None
    if meant is None and not own:
        return None
    code, line = meant or own[-1]
    text = " ".join(str(problem).split())
    return DeepenError(
        "own.raised",
        f"{_shown(code.co_filename)}:{line}",
        f"{type(problem).__name__}: {text if len(text) <= MOST else text[:MOST] + '...'}",
        "",
        f"mend {code.co_qualname}",
    )


def _defined(name: str) -> tuple[CodeType, int] | None:
    """The code of a function of this qualified name and its line, if the user wrote one."""
    for module in _modules.values():
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        code = getattr(found, "__code__", None)
        if code is not None and os.path.abspath(code.co_filename) in _modules:
            return code, code.co_firstlineno
    return None


def _shown(file: str) -> str:
    """A file's name from here, where it lies below."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative
