"""What a user can mend is a DeepenError; everything else is a bug and shows its traceback.

An error says where, what was found, what is expected and the way out, in that order and in one line:

    model.widht: unknown name 'widht'. Did you mean 'width'? Known: depth, width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

LONGEST_NAME = 100  # characters of a name that are compared with others: the time grows with their square


class DeepenError(Exception):
    """A mistake the user can mend.

    code      stable name for programs, such as `config.unknown`
    where     field path, file and line, or request field
    found     what is there
    expected  what is allowed there
    fix       the way out
    """

    exit_code = 2

    def __init__(self, code: str, where: str, found: str, expected: str = "", fix: str = "") -> None:
        self.code, self.where, self.found, self.expected, self.fix = code, where, found, expected, fix
        wanted = expected
        if expected and not expected.startswith("Did you mean"):
            wanted = f"Expected {expected.removeprefix('expected ')}"
        if fix.partition(" ")[0].isalpha() and not fix.startswith(("deepen ", "pip ")):
            fix = fix[0].upper() + fix[1:]
        sentences = (
            part if part.endswith(("?", "...")) else part.rstrip(".") + "." for part in (found, wanted, fix) if part
        )
        super().__init__(f"{where}: " + " ".join(sentences))

    def document(self) -> dict[str, str]:
        """The error for `--json` and for an answer over the network."""
        return {"code": self.code, "where": self.where, "found": self.found, "expected": self.expected, "fix": self.fix}


class Refused(DeepenError):
    """A gate measured and said no: nothing was promoted. `measured`: the document that a yes would have given."""

    exit_code = 3

    def __init__(
        self, code: str, where: str, found: str, expected: str = "", fix: str = "",
        measured: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.measured = measured or {}
        super().__init__(code, where, found, expected, fix)


class Invalid(DeepenError):
    """One raw item that cannot be read; `row` is its place among the items given."""

    def __init__(self, reason: str, expected: str = "", row: int = 0) -> None:
        self.row, self.reason, self.wanted = row, reason, expected
        super().__init__("item.invalid", f"item {row}", reason, expected)

    def at(self, row: int) -> Invalid:
        return Invalid(self.reason, self.wanted, row)


class Errors(DeepenError):
    """Several mistakes found in one reading, told at once."""

    def __init__(self, errors: Sequence[DeepenError]) -> None:
        self.errors = list(errors)
        super().__init__(errors[0].code, errors[0].where, errors[0].found)
        self.args = ("\n".join(str(error) for error in errors),)

    def document(self) -> dict[str, str]:
        return {**self.errors[0].document(), "all": "\n".join(str(error) for error in self.errors)}


def raise_all(errors: Sequence[DeepenError]) -> None:
    """Raise what was collected: nothing, the one error, or all of them together."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Errors(errors)


def unknown(code: str, where: str, name: str, known: Iterable[str], what: str = "name") -> DeepenError:
    """The error for a name that is not in a list, with the nearest one that is."""
    known = sorted({*known})
    return DeepenError(
        code,
        where,
        f"unknown {what} {name!r}",
        nearest(name, known),
        f"Known: {', '.join(known)}" if known else "",
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """`Did you mean 'width'?`, of a name that is not in a list; nothing where none is like it."""
    import difflib

    near = difflib.get_close_matches(name[:LONGEST_NAME].lower(), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


def command(*words: str) -> str:
    """`deepen` and its words, as a shell takes them."""
    import shlex

    return shlex.join(["deepen", *words])


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 row`, `2 rows`, `1,000 rows`; a plural of its own is given: `2 copies`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """`a, b, c, ...`: the first names, each cut where it is long."""
    cut = (name if len(name) <= 60 else name[:57] + "..." for name in names[:most])
    return ", ".join(cut) + (", ..." if len(names) > most else "")


def typed(value: Any) -> str:
    """What a value is, as JSON calls it: "a number", "a text", "an object"."""
    names = {
        bool: str(value).lower(),
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "null" if value is None else type(value).__name__)


def missing_extra(module: str, extra: str, why: str) -> DeepenError:
    """The error for an optional library that is not installed."""
    return DeepenError(
        "install.extra", module, "not installed", f"it is needed {why}", f"pip install 'deepen[{extra}]'"
    )
