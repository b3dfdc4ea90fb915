"""Registry = folder; the constructor is the schema."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from deepen import registry
from deepen.errors import DeepenError
from deepen.schema import REQUIRED, coerce

EVERYTHING = [(family, name) for family in registry.FAMILIES for name in registry.names(family)]


@pytest.mark.parametrize(("family", "name"), EVERYTHING)
def test_each_file_defines_what_it_is_named_after_and_says_what_it_is(family, name):
    assert registry.summary(family, name).endswith((".", ":"))
    assert registry.load(family, name).__module__ == f"deepen.{family}.{name}"


@pytest.mark.parametrize(("family", "name"), EVERYTHING)
def test_the_summary_read_from_the_text_is_the_docstrings_first_line(family, name):
    import ast

    tree = ast.parse((Path(registry.ROOT) / family / f"{name}.py").read_text(encoding="utf-8"))
    own = next(n for n in tree.body if getattr(n, "name", "").replace("_", "").lower() == name.replace("_", ""))
    text = ast.get_docstring(own) or ast.get_docstring(tree) or ""
    assert registry.summary(family, name) == text.strip().split("\n")[0]


@pytest.mark.parametrize(
    ("family", "name"),
    [
        (f, n)
        for f, n in EVERYTHING
        if f in {"models", "methods", "sources", "stages", "optimizers", "schedules", "initialisers", "augmentations"}
    ],
)
def test_the_schema_read_as_text_is_the_constructor(family, name):
    import inspect

    cls = registry.load(family, name)
    function = cls if inspect.isfunction(cls) else cls.__init__
    real = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.name != "self" and p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}
    ]
    if not inspect.isfunction(cls) and "__init__" not in vars(cls):
        real = []
    fields = registry.fields(family, name)
    assert [f.name for f in fields] == [p.name for p in real]
    for field, parameter in zip(fields, real):
        assert (field.default is REQUIRED) == (parameter.default is inspect.Parameter.empty)
        if field.default is not REQUIRED:
            assert field.default == parameter.default


def test_a_meaning_that_goes_on_in_further_lines_is_read_whole():
    stem = next(f for f in registry.fields("models", "resnet") if f.name == "stem")
    assert stem.doc.startswith("imagenet: 7x7 with stride 2 and max pooling; ")
    assert stem.doc.endswith(". The depths for small pictures always have the small one")


BUILT = ("models", "methods", "optimizers", "schedules", "initialisers", "augmentations")


@pytest.mark.parametrize("family", BUILT)
def test_aliases_are_complete_specs(family):
    known = ("signature", "model", "output")
    for name in registry.names(family):
        for alias, given in (registry.constant(family, name, "aliases") or {}).items():
            assert registry.check(family, {"name": alias}, family, given=known) == {"name": name, **given}


@pytest.mark.parametrize(
    ("family", "name", "spec"),
    [
        ("models", "LSTM", {"name": "rnn", "cell": "lstm"}),
        ("models", "gru", {"name": "rnn", "cell": "gru"}),
        ("models", "graphsage", {"name": "sage"}),
        ("models", "gmm", {"name": "gaussian_mixture"}),
        ("models", "vgae", {"name": "graph_autoencoder"}),
        ("models", "real-nvp", {"name": "flow"}),
        ("models", "sasrec", {"name": "sequence_recommender"}),
        ("optimizers", "nesterov", {"name": "sgd", "momentum": 0.9, "nesterov": True}),
        ("optimizers", "momentum", {"name": "sgd", "momentum": 0.9, "nesterov": False}),
        ("initialisers", "kaiming", {"name": "he"}),
        ("initialisers", "glorot", {"name": "xavier"}),
        ("augmentations", "horizontal_flip", {"name": "flip"}),
    ],
)
def test_names_of_the_field_are_known(family, name, spec):
    assert registry.resolve(family, {"name": name}, family) == spec


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(DeepenError, match="Did you mean 'lenet'"):
        registry.resolve("models", {"name": "lennet"}, "model")
    with pytest.raises(DeepenError, match="model.drpout: unknown name 'drpout'. Did you mean 'dropout'"):
        registry.check("models", {"name": "lenet", "drpout": 0.1}, "model", given=("signature",))


def test_a_users_own_class_is_built_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "class Net:\n    def __init__(self, signature, width=3):\n        self.width = width\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    spec = registry.check("models", {"name": "mine:Net", "width": 5}, "model", given=("signature",))
    assert registry.build("models", spec, signature=None, output="not wanted").width == 5
    with pytest.raises(DeepenError, match="mine:Gone: "):
        registry.load("models", "mine:Gone")


@pytest.mark.parametrize(
    ("value", "annotation", "result"),
    [
        (3, "Count", 3),
        (3.0, "Count", 3),
        (1e-3, "Positive", 1e-3),
        (2, "float", 2.0),
        ([1, 2], "tuple[Count, ...]", (1, 2)),
        (64, "tuple[Count, ...]", (64,)),
        ("max", "Literal['max', 'average']", "max"),
        (None, "str | None", None),
        ("cat", "Spec", {"name": "cat"}),
        (True, "bool", True),
    ],
)
def test_values_are_taken_as_the_annotation_says(value, annotation, result):
    taken = coerce(value, annotation, "x")
    assert taken == result
    assert type(taken) is type(result)


@pytest.mark.parametrize(
    ("value", "annotation", "text"),
    [
        (0, "Count", "got 0. Expected a whole number of at least 1"),
        (True, "Count", "got True"),
        ("32", "Count", "got '32'"),
        (2.5, "int", "got 2.5"),
        (float("nan"), "Positive", "got nan. Expected a number above 0"),
        (float("inf"), "float", "got inf"),
        (1, "Share", "got 1. Expected a number from 0 up to 1"),
        ("min", "Literal['max', 'average']", "got 'min'. Expected one of max, average"),
        ([1, "x"], "tuple[int, ...]", "Expected a list of a whole number"),
        (3, "str | None", "got 3. Expected text or null"),
        ("yes", "bool", "got 'yes'. Expected true or false"),
    ],
)
def test_and_refused_with_what_is_expected(value, annotation, text):
    with pytest.raises(DeepenError) as problem:
        coerce(value, annotation, "x")
    assert str(problem.value).startswith("x: ")
    assert text in str(problem.value)
