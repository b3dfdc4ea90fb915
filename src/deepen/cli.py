"""The command line: verbs are the functions in stages/, their parameters are the options. Imports no torch.

deepen VERB [WHAT] [key=value ...] [--section.key value ...] [--json]
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from typing import Any

from deepen import __version__, foreign, registry
from deepen.errors import DeepenError, Refused, unknown
from deepen.schema import REQUIRED, coerce

VERB_ALIASES = {"val": "evaluate", "eval": "evaluate", "fit": "train"}
SHORT = {"-o": "output", "-c": "config", "-h": "help"}
USAGE = "deepen VERB [WHAT] [key=value ...] [--json]"


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 2 the user's input, 3 a gate refused, 1 a bug."""
    if argv is None:
        _in_utf8()
        argv = sys.argv[1:]
    as_json = "--json" in argv
    argv = [a for a in argv if a != "--json"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without some letters ends nothing
    try:
        result = _run(argv, as_json)
        if as_json and result is not None:
            _print_json(result)
        if sys.stdout:  # it may have been closed
            sys.stdout.flush()
    except DeepenError as error:
        return _failed(error, as_json)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `deepen list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as problem:
        fault = foreign.fault(problem) or _refused(problem)
        if fault is None:
            raise
        return _failed(fault, as_json)
    return 0


def _in_utf8() -> None:
    """Start anew in UTF-8 where Python reads names of files as ASCII: it could open none with other letters."""
    if codecs.lookup(sys.getfilesystemencoding()).name == "ascii" and "utf8" not in sys._xoptions:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})  # noqa: S606 - itself


def _refused(problem: Exception) -> DeepenError | None:
    """What this machine does not give, wherever that was met: a right, memory, room for what is written."""
    from deepen.console import size
    from deepen.machine import memory, out_of_memory

    if isinstance(problem, PermissionError) and problem.filename is not None:
        place, expected = os.fsdecode(problem.filename), "a file or folder that may be read"
        way = "ask its owner, or run as a user who may"
        return DeepenError("file.denied", place, str(problem.strerror), expected, way)
    if isinstance(problem, (RuntimeError, MemoryError)) and out_of_memory(problem):
        found = f"it does not suffice ({size(memory())} are free)"
        return DeepenError("memory", "memory", found, "what fits into it", "a smaller network, or train.batch_size")
    if isinstance(problem, OSError) and problem.errno == errno.ENOSPC and problem.filename is None:
        return DeepenError("output.full", "standard output", str(problem.strerror), "", "free some space")
    return None


def _failed(error: DeepenError, as_json: bool) -> int:
    print(f"error: {error}", file=sys.stderr)
    if as_json:
        measured = error.measured if isinstance(error, Refused) else {}
        _print_json({**measured, "error": error.document()})
    return error.exit_code


def _run(argv: list[str], as_json: bool) -> Any:
    if not argv or argv[0] in {"-h", "--help", "help"}:
        if len(argv) > 1:
            return _help_verb(_verb(argv[1]), as_json)
        return _help(as_json)
    if argv[0] in {"-V", "--version"}:
        print(__version__)
        return None
    verb = _verb(argv[0])
    positional, options = parse(argv[1:])
    if options.pop("help", None) is not None:
        return _help_verb(verb, as_json)
    arguments = bind(verb, positional, options)
    from deepen.console import document_only

    with document_only(as_json):
        return registry.load("stages", verb)(**arguments)


def _verb(name: str) -> str:
    name = VERB_ALIASES.get(name, name)
    if name not in registry.names("stages"):
        raise unknown("cli.verb", "deepen", name, registry.names("stages"), what="verb")
    return name


def parse(tokens: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Positional words and options; `key=value`, `--key value`, `--key=value` and bare `--flag` all count."""
    positional: list[str] = []
    options: dict[str, Any] = {}
    i = 0
    while i < len(tokens):
        token = tokens[i]
        i += 1
        key, equals, value = token.partition("=")
        if token.startswith("-") and len(token) > 1:
            if os.path.exists(token):
                raise DeepenError("cli.option", token, "a file of this name reads as an option", "", f"./{token}")
            key = SHORT.get(key) or key.removeprefix("--")
            if key.startswith("-"):
                raise unknown("cli.option", "deepen", key, SHORT, what="option")
            key = key.replace("-", "_")
            if not equals:
                follows = i < len(tokens) and not (tokens[i].startswith("--") or _is_pair(tokens[i]))
                value = tokens[i] if follows and key not in FLAGS else "true"
                i += follows and key not in FLAGS
        elif token.startswith("="):
            raise DeepenError("cli.option", token, "a value without a name", "key=value")
        elif not _is_pair(token):
            positional.append(token)
            continue
        if key in options:
            raise DeepenError("cli.twice", key, "given twice", "each setting once")
        options[key] = value
    return positional, options


FLAGS = {"dry_run", "help", "force", "watch"}


def _is_pair(token: str) -> bool:
    key, equals, _ = token.partition("=")
    return bool(equals) and key.replace(".", "").replace("_", "").isalnum() and not os.path.exists(token)


def bind(verb: str, positional: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """The verb's arguments: words fill its parameters in order, options by name, the rest are overrides."""
    fields = {f.name: f for f in registry.fields("stages", verb)}
    arguments: dict[str, Any] = {}
    if "config" in options and "config" not in fields:
        positional = [options.pop("config"), *positional]
    order = list(fields)
    for index, word in enumerate(positional):
        if index >= len(order) or order[index] == "output":  # a second data set is no place to write to
            raise DeepenError("cli.words", word, "one word too many", f"deepen {verb} {_shape(verb)}")
        if index + 1 < len(positional) and "tuple" in fields[order[index]].annotation:  # several things at once
            arguments[order[index]] = tuple(positional[index:])
            break
        arguments[order[index]] = word
    for key, text in options.items():
        if key in fields:
            arguments[key] = _value(text, fields[key].annotation, f"{verb} {key}")
        elif registry.takes_more("stages", verb):
            arguments[key] = text
        else:
            raise unknown("cli.option", f"deepen {verb}", key, fields, what="option")
    for name, field in fields.items():
        if field.default is REQUIRED and name not in arguments:
            raise DeepenError("cli.missing", f"deepen {verb}", f"{name} is missing", f"deepen {verb} {_shape(verb)}")
    return arguments


def _value(text: str, annotation: str, where: str) -> Any:
    if annotation.startswith("str") or (annotation.startswith("tuple[str") and text[:1] != "["):  # 4711 is a text too
        return coerce(text, annotation, where)
    from deepen.config import read_value

    return coerce(read_value(text), annotation, where)


def _shape(verb: str) -> str:
    words = []
    for field in registry.fields("stages", verb):
        if field.default is REQUIRED:
            words.append(field.name.upper())
        else:
            words.append(f"[{field.name}={'' if field.default is None else field.default}]")
    return " ".join(words) + (" [key=value ...]" if registry.takes_more("stages", verb) else "")


def _help(as_json: bool) -> Any:
    """The help a person reads; with --json everything there is as one document."""
    if as_json:
        from deepen.stages.list import SHOWN, row, settings

        rows = {family: [row(family, name) for name in registry.names(family)] for family in SHOWN}
        return {
            "version": __version__,
            "usage": USAGE,
            "verbs": rows.pop("stages"),
            "settings": settings(),
            "families": rows,
        }
    print("deepen: from raw data to a service that stays healthy\n")
    print(f"usage: {USAGE}\n")
    for verb in registry.names("stages"):
        print(f"  {verb:<10} {registry.summary('stages', verb)}")
    print("\ndeepen VERB --help shows a verb's options. `key=value`, `--key value` and `--section.key value` all work.")
    return None


def _help_verb(verb: str, as_json: bool) -> Any:
    usage = f"deepen {verb} {_shape(verb)}"
    if as_json:
        from deepen.stages.list import row, settings

        more = {"settings": settings()} if registry.takes_more("stages", verb) else {}
        return {"usage": usage, **row("stages", verb), **more}
    print(f"usage: {usage}\n")
    print(registry.documentation("stages", verb))
    return None


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value.document() if hasattr(value, "document") else value, ensure_ascii=False, allow_nan=False))


if __name__ == "__main__":
    raise SystemExit(main())
