"""One command per claim about speed and size; without a name all of them.

    python -m benchmarks --list
    python -m benchmarks training startup --pairs 9
    python -m benchmarks --write docs/performance.md
    python -m benchmarks conformance URL [GRPC]

A claim is a module here with `rows(pairs)`. Modules without are measured by a command of their own, named in the list.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import importlib
import os
import sys
import time
from pathlib import Path

from benchmarks.pairs import ROOT, Row, machine

HERE = Path(__file__).parent
TOOLS = {
    "__init__", "__main__", "asking", "conformance", "generated", "pairs", "quiet", "recommend", "servers", "spoken", "things",
    "turns", "work",
}  # fmt: skip
HEADS = ("claim", "median", "spread", "n", "goal", "reached", "note")


def claims() -> dict[str, str]:
    """Module and first line of what it says of itself."""
    files = sorted(file for file in HERE.glob("*.py") if file.stem not in TOOLS)
    return {f.stem: (ast.get_docstring(ast.parse(f.read_text())) or "").split("\n")[0] for f in files}


def main() -> int:
    """List, or measure."""
    if sys.argv[1:2] == ["conformance"]:
        return importlib.import_module("benchmarks.conformance").main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="claims to measure (default: all)")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    parser.add_argument("--pairs", type=int, default=5, help="how often each comparison is made anew (default 5)")
    parser.add_argument("--write", metavar="FILE", help="put the table into this Markdown file")
    options = parser.parse_args()
    known = claims()
    if options.list:
        print("\n".join(f"{name:<10} {text}" for name, text in known.items()))
        return 0
    names = options.names or list(known)
    strange = [name for name in names if name not in known]
    if strange:
        parser.error(f"unknown claim {strange[0]!r}; there are {', '.join(known)}")
    # as an installation has it: where Python is told to write no bytecode every start would compile the source anew
    compileall.compile_dir(ROOT / "src", quiet=2)
    lines = []
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        if not hasattr(module, "rows"):
            print(f"{name}: {known[name]}\n  has a command of its own: python -m benchmarks.{name}")
            continue
        start = machine()
        print(f"{name}: {known[name]}\n  {start}", flush=True)
        found = module.rows(options.pairs)
        for row in found:
            print("  " + "  ".join(row.cells()), flush=True)
        lines += section(name, known[name], found, start)
    if options.write:
        write(Path(options.write), lines)
    return 0


def section(name: str, text: str, found: list[Row], where: str) -> list[str]:
    """A claim's part of the page."""
    table = ["| " + " | ".join(row.cells()) + " |" for row in found]
    heads = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    stamp = f"{time.strftime('%Y-%m-%d %H:%M')} UTC, {where}, load {os.getloadavg()[0]:.1f} at the end."
    return [f"### {name}", "", text, "", *heads, *table, "", f"`python -m benchmarks {name}`, {stamp}", ""]


BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write(file: Path, lines: list[str]) -> None:
    """The measured sections between the marks of a page; what stands around them stays, claims not measured now too."""
    old = file.read_text(encoding="utf-8") if file.is_file() else "# Performance\n"
    old = old if BEGIN in old else f"{old}\n{BEGIN}\n{END}\n"
    head, rest = old.split(BEGIN)
    inside, tail = rest.split(END)
    kept = {part.split("\n")[0]: part for part in inside.split("### ")[1:]}
    kept |= {part.split("\n")[0]: part for part in "\n".join(lines).split("### ")[1:]}
    body = "".join(f"### {part.rstrip()}\n\n" for _, part in sorted(kept.items()))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{head}{BEGIN}\n\n{body}{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
