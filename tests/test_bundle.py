"""A bundle from somebody else: whatever is wrong in it is one DeepenError, and nothing outside it is read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepen import bundle, metrics
from deepen.errors import DeepenError
from deepen.predictor import Predictor

DOCUMENTS = ("manifest.json", "signature.json", "program.json", "golden.json")


@pytest.fixture
def place(digits_bundle, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(digits_bundle, tmp_path / "bundle"))


def opened(path: Path) -> Predictor:
    """A bundle taken into use as server and command line do it."""
    predictor = bundle.predictor(path, 1)
    bundle.prove(path, predictor)
    return predictor


def change(path: Path, name: str, edit) -> None:
    """Edit a document and hash it again, as a forger would."""
    document = json.loads((path / name).read_text())
    result = edit(document)
    (path / name).write_text(json.dumps(document if result is None else result))
    if name != "manifest.json":
        reseal(path)


def reseal(path: Path) -> None:
    about = json.loads((path / "manifest.json").read_text())
    bundle.seal(path, **{key: value for key, value in about.items() if key not in {"format", "files"}})


def refusal(path: Path) -> str:
    with pytest.raises(DeepenError) as caught:
        opened(path)
    assert caught.value.exit_code == 2
    return f"{caught.value.code} {caught.value}"


def test_a_whole_bundle_gives_its_golden_answers(place):
    assert bundle.prove(place, opened(place)) < 1e-5


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../graph.onnx", "x\0y", "n" * 5000, "", "."])
def test_a_name_in_the_manifest_is_never_followed(place, name, monkeypatch):
    change(place, "manifest.json", lambda m: m["files"].update({name: "0" * 64}))
    real, seen = open, []
    monkeypatch.setattr("builtins.open", lambda file, *a, **k: (seen.append(str(file)), real(file, *a, **k))[1])
    assert "bundle.damaged" in refusal(place)
    assert all(str(place) in name and ".." not in name for name in seen)


def test_links_and_special_files_are_refused(place, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("{}")
    graph = place / "graph.onnx"
    graph.rename(tmp_path / "graph.onnx")
    for make in (
        lambda: graph.symlink_to(tmp_path / "graph.onnx"),
        lambda: graph.hardlink_to(tmp_path / "graph.onnx"),
        lambda: os.mkfifo(graph),
    ):
        make()
        assert "a link, or not a plain file" in refusal(place)
        graph.unlink()
    shutil.copy(tmp_path / "graph.onnx", graph)
    (place / "folder").symlink_to(tmp_path)
    assert "a link, or not a plain file" in refusal(place)
    (place / "folder").unlink()
    opened(place)


@pytest.mark.parametrize("name", ["graph.onnx", "signature.json", "golden.json", "program.json"])
def test_a_missing_file(place, name):
    (place / name).unlink()
    assert f"'{name}' is missing" in refusal(place)
    reseal(place)
    assert name in refusal(place)


def test_an_extra_file_and_a_changed_one(place):
    (place / "extra.py").write_text("import os")
    assert "'extra.py' is not in the manifest" in refusal(place)
    (place / "extra.py").unlink()
    data = bytearray((place / "graph.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (place / "graph.onnx").write_bytes(data)
    assert "its content is not what the manifest says" in refusal(place)


def test_more_files_than_a_bundle_has(place, monkeypatch):
    monkeypatch.setattr(bundle, "MOST_FILES", 3)
    assert "more than 3 files" in refusal(place)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"", "bundle.damaged"),
        (b"\xff\xfe", "bundle.damaged"),
        (b"[" * 100_000, "bundle.damaged"),
        (b'{"a":' * 100_000, "bundle.damaged"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `format`"),
        (b'{"format": 99}', "bundle.newer"),
        (b'{"format": 1, "runtime": "onnx", "run": "x", "files": {"a": NaN}}', "bundle.damaged"),
        (b'{"format": 1, "runtime": "onnx", "run": "x", "files": ["a"]}', "Expected `object`"),
        (b'{"format": 1, "runtime": 7, "run": "x", "files": {}}', "Expected `str`"),
        (b'{"format": 1e999, "runtime": "onnx", "run": "x", "files": {}}', "bundle.damaged"),
    ],
)
def test_a_manifest_that_is_none(place, text, shown):
    (place / "manifest.json").write_bytes(text)
    assert shown in refusal(place)


@pytest.mark.parametrize("name", ["graph.onnx", "manifest.json"])
def test_a_file_that_may_not_be_read_is_told_by_its_name(place, monkeypatch, name):
    opens = io.open

    def denied(file, *args, **more):
        if os.fspath(file).endswith(name):
            raise PermissionError(13, "Permission denied", os.fspath(file))
        return opens(file, *args, **more)

    monkeypatch.setattr("io.open", denied)
    monkeypatch.setattr("builtins.open", denied)
    for ask in (bundle.manifest, *([bundle.run_of] if name == "manifest.json" else [])):
        with pytest.raises(DeepenError, match=f"{name}: Permission denied. Expected a file that may be read"):
            ask(place)


def test_a_document_too_large_to_be_read(place, monkeypatch):
    monkeypatch.setattr(bundle, "LARGEST_DOCUMENT", 100)
    assert "manifest.json" in refusal(place)


def _set(where, value):
    def edit(document):
        inner = document
        for key in where[:-1]:
            inner = inner[key]
        inner[where[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("name", "edit", "shown"),
    [
        ("signature.json", _set(["format"], 2), "format 2"),
        ("signature.json", _set(["inputs"], []), "no inputs or no outputs"),
        ("signature.json", _set(["outputs", 0, "kind"], "os"), "kind 'os'"),
        ("signature.json", _set(["outputs", 0, "kind"], "../store/run"), "kind '../store/run'"),
        ("signature.json", _set(["inputs", 0, "height"], 10**9), "has shape"),
        ("signature.json", _set(["inputs", 0, "height"], 0), "has shape"),
        ("signature.json", _set(["inputs", 0, "height"], "8"), "Expected `int`"),
        ("signature.json", _set(["inputs", 0, "height"], 9), "as signature.json says"),
        ("signature.json", _set(["inputs", 0, "resize"], "fill"), "Invalid enum value"),
        ("signature.json", _set(["outputs", 0, "classes"], ["a", "b"]), "as signature.json says"),
        ("program.json", lambda p: [{"do": "exec", "code": "import os"}], "step 'exec'"),
        ("program.json", lambda p: [{"do": ["run"]}], "step ['run']"),
        ("program.json", lambda p: [{"do": "run", "graph": "../x.onnx"}], "'../x.onnx' is not in the bundle"),
        ("program.json", lambda p: [{"do": "run", "graph": "graph.onnx", "more": 1}], "unknown field `more`"),
        ("program.json", lambda p: [], "'probabilities' is not known there"),
        (
            "program.json",
            lambda p: [*p, {"do": "mean", "of": ["nowhere"], "as": "probabilities"}],
            "array 'nowhere' is not known there",
        ),
        ("program.json", lambda p: [*p, {"do": "mean", "of": [], "as": "x"}], "mean needs arrays"),
        ("program.json", lambda p: [*p, {"do": "nms", "threshold": "x", "overlap": 1}], "Expected `float`"),
        ("program.json", lambda p: {"do": "run"}, "Expected `array`"),
        ("golden.json", _set(["answers"], []), "16 items and 0 answers"),
        ("golden.json", _set(["items", 0], "not base64!"), "base64"),
        ("golden.json", _set(["items", 0], "aGVsbG8="), "not a picture"),
        ("golden.json", _set(["answers", 0, "label"], "11"), "golden answers differ by up to inf"),
        ("golden.json", _set(["answers", 0, "probability"], 0.5), "golden answers differ by up to 0"),
        ("manifest.json", _set(["runtime"], "torch"), "runtime 'torch'"),
    ],
)
def test_a_forged_document(place, name, edit, shown):
    change(place, name, edit)
    assert shown in refusal(place)


def test_a_graph_that_is_none(place):
    (place / "graph.onnx").write_bytes(b"not a graph")
    reseal(place)
    assert "a graph ONNX Runtime loads" in refusal(place)


def test_a_graph_may_not_read_other_files(place, digits_bundle, tmp_path):
    onnx = pytest.importorskip("onnx")
    secret = tmp_path / "secret.bin"
    for location in ("../secret.bin", str(secret)):
        model = onnx.load(digits_bundle / "graph.onnx")
        weight = next(w for w in model.graph.initializer if w.name.endswith("last.bias"))
        secret.write_bytes(weight.raw_data)
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)
        (place / "graph.onnx").write_bytes(model.SerializeToString())
        reseal(place)
        assert "External data path" in refusal(place)


def test_answers_that_are_not_finite_are_never_golden():
    nan = float("nan")
    assert metrics.gap([0.1, nan], [0.1, 0.2]) == float("inf")
    assert metrics.gap([nan], [nan]) == float("inf")
    assert metrics.gap({"a": [1.0, "x"]}, {"a": [1.0005, "x"]}) == pytest.approx(0.0005 / 1.0005, rel=1e-2)
    assert metrics.gap({"a": 1}, {"b": 1}) == float("inf")


# ---------------------------------------------------------------- documents mutated at random

STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**20),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)


def spots(document, path=()):
    """Paths to every value of a JSON document."""
    yield path
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield from spots(value, (*path, key))


def mutate(document, data):
    """The document with one value replaced or taken away."""
    path = data.draw(st.sampled_from(list(spots(document))))
    value = data.draw(STRANGE)
    if not path:
        return value
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[path[-1]] = value
    else:
        del inner[path[-1]]
    return document


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(st.data())
def test_mutated_documents_never_show_a_traceback(digits_bundle, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copytree(digits_bundle, Path(folder) / "bundle"))
        change(path, data.draw(st.sampled_from(DOCUMENTS)), lambda document: mutate(document, data))
        with contextlib.suppress(DeepenError):
            opened(path)
