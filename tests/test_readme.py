"""What the README says has been run: every command in it is understood, and the two languages keep step."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from deepen import cli, registry
from deepen.schema import coerce

ROOT = Path(__file__).parents[1]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")}
COMMANDS = sorted(
    {line.split("#")[0].strip() for line in TEXTS["README.md"].splitlines() if line.startswith("deepen ")}
)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_understands_it(command):
    _, verb, *rest = shlex.split(command)  # as a shell has it
    arguments = cli.bind(verb, *cli.parse(rest))
    fields = {f.name: f for f in registry.fields("stages", verb)}
    for name, value in arguments.items():
        if name in fields:
            coerce(value, fields[name].annotation, name)


def test_every_verb_is_in_the_readme():
    assert {command.split()[1] for command in COMMANDS} >= set(registry.names("stages"))


def test_both_languages_show_the_same_commands():
    blocks = [re.findall(r"^(?:deepen|make|curl)[^#\n]*", text, re.M) for text in TEXTS.values()]
    assert [b.strip() for b in blocks[0]] == [b.strip() for b in blocks[1]]


def test_the_file_tree_is_the_real_one():
    named = set(re.findall(r"\b([a-z]+)/", TEXTS["README.md"].split("src/deepen/")[1].split("```")[0]))
    real = {p.name for p in (ROOT / "src" / "deepen").iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert named >= real
