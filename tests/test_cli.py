"""The command line: fast, strict, and free of torch where it need not be there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from deepen import registry
from deepen.cli import bind, main, parse


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["list", "models"],
        ["train", "--help"],
        ["--version"],
        ["--help", "--json"],
        ["train", "--help", "--json"],
    ],
)
def test_imports_neither_torch_nor_numpy(arguments):
    code = f"import sys; from deepen.cli import main; main({arguments!r}); print([m for m in ('torch', 'numpy', 'yaml') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_list_json_has_names(capsys):
    assert main(["list", "models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == registry.names("models")
    assert all(row["meaning"] for row in rows)


def test_help_is_one_document_with_json(capsys):
    assert main(["--help", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [verb["name"] for verb in document["verbs"]] == registry.names("stages")
    assert {family: [row["name"] for row in rows] for family, rows in document["families"].items()} == {
        family: registry.names(family) for family in registry.FAMILIES if family != "stages"
    }
    assert document["settings"]["train"]["lr"] == {
        "type": "Positive | None",
        "expects": "a number above 0 or null",
        "default": None,
        "meaning": "the highest learning rate",
    }
    assert all(setting["meaning"] for fields in document["settings"].values() for setting in fields.values())
    cnn = next(row for row in document["families"]["models"] if row["name"] == "cnn")
    assert "signature" not in cnn["parameters"], "only a run can give it"
    assert cnn["parameters"]["padding"] == {
        "type": "Natural | None",
        "expects": "a whole number of at least 0 or null",
        "default": None,
        "meaning": "none: half the kernel, so that stride 1 keeps the size",
    }


@pytest.mark.parametrize("verb", registry.names("stages"))
def test_a_verbs_help_is_one_document_with_json(capsys, verb):
    assert main([verb, "--help", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert main(["help", verb, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert document["name"] == verb
    assert document["usage"].startswith(f"deepen {verb}")
    assert list(document["parameters"]) == [field.name for field in registry.fields("stages", verb)]
    for name, parameter in document["parameters"].items():
        assert parameter["meaning"], f"{name} of {verb} has no meaning in the docstring"
    assert ("settings" in document) == registry.takes_more("stages", verb)


def test_every_verb_is_a_function_with_help(capsys):
    import deepen

    for verb in registry.names("stages"):
        assert callable(getattr(deepen, verb))
        assert main([verb, "--help"]) == 0
        assert verb in capsys.readouterr().out


@pytest.mark.parametrize("name", ["--t.csv", "-t.csv", "--t"])
def test_a_file_whose_name_reads_as_an_option(name, tmp_path, capsys):
    (tmp_path / name).write_text("")
    assert main(["train", name, "target=y"]) == 2
    assert f"{name}: a file of this name reads as an option. ./{name}." in capsys.readouterr().err


def test_key_value_and_dashes_mean_the_same():
    assert parse(["photos", "train.lr=1", "a=b"]) == parse(["photos", "--train.lr", "1", "--a=b"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["trian", "x"], "Did you mean 'train'?"),
        (["train"], "train: nothing to train on"),
        (["train", "nowhere"], "nowhere: nothing there that can be trained on"),
        (["train", "digits", "learning_rat=1"], "Did you mean 'learning_rate'?"),
        (["train", "digits", "train.epochs=0"], "train.epochs: got 0. Expected a whole number of at least 1"),
        (["train", "digits", "lr=nan"], "train.lr: got nan. Expected a number above 0"),
        (["train", "digits", "lr=-1"], "train.lr: got -1. Expected a number above 0"),
        (["train", "digits", "batch_size=2.5"], "train.batch_size: got 2.5"),
        (["train", "digits", "model=lenett"], "unknown name 'lenett'. Did you mean 'lenet'?"),
        (["train", "digits", "model=lenet"], "pictures of 8 x 8. Expected at least 12 x 12"),
        (
            ["train", "digits", "model=tab_mlp"],
            "model tab_mlp: pictures 8 x 8, grey. Expected one row or array per item.",
        ),
        (
            ["train", "blobs", "monitor=accuracy", "--dry-run"],
            "unknown figure 'accuracy'. Did you mean 'val_accuracy'?",
        ),
        (["train", "blobs", "monitor=val_rmse"], "train.monitor: unknown figure 'val_rmse'."),
        (
            ["train", "blobs", "kind=number", "monitor=val_accuracy", "--dry-run"],
            "Known: train_loss, val_bias, val_mae",
        ),
        (["train", "digits", "lr=1", "lr=2"], "lr: given twice"),
        (
            ["train", "Sales.TXT", "target=a"],
            "and a target. Expected a table, whose columns have names. If it is one, rename it: Sales.csv",
        ),
        (["train", "digits", "train.lr.x=3"], "train.lr.x: nothing lies below train.lr."),
        (["evaluate", "nowhere"], "nowhere: no run there"),
        (["serve", "nowhere"], "nowhere: no run there"),
        (["list", "modles"], "Did you mean 'models'?"),
        (["export"], "deepen export: run is missing"),
        (["doctor", "x"], "x: one word too many"),
        (["train", "digits", "tests"], "tests: one word too many. Expected deepen train [what=] [output=runs]"),
        (["train", "digits", "threads=100000000"], "train.threads: got 100000000. Expected at most 1024"),
        (["train", "digits", "=1"], "=1: a value without a name. Expected key=value"),
        (["train", ""], "an empty name"),
        (["train", "digits", "lr=inf"], "train.lr: got inf"),
        (["export", "x", "agreement=2"], "agreement 2. Expected difference of at least 0, agreement from 0 to 1"),
        (["verify", "x", "steps=1000000000"], "verify steps: got 1000000000. Expected 2 to 10000"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, text, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert text in shown
    assert "Traceback" not in shown


def test_errors_as_json(capsys):
    assert main(["train", "nowhere", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "config.target"
    assert error["where"] == "nowhere"


def test_a_verb_of_several_things_takes_all_words():
    assert bind("serve", ["a", "b"], {"port": "0"}) == {"what": ("a", "b"), "port": 0}
    assert bind("serve", ["a"], {}) == {"what": "a"}
    assert bind("evaluate", ["a"], {}) == {"run": "a"}
    assert bind("predict", ["a", "1.jpg", "2.jpg"], {}) == {"model": "a", "what": ("1.jpg", "2.jpg")}


def test_a_folder_without_rights_is_told_wherever_it_is_met(monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "photos/cat")

    monkeypatch.setattr("deepen.config.target.os.walk", refuse)
    assert main(["train", "."]) == 2
    assert "photos/cat: Permission denied. Expected a file or folder that may be read." in capsys.readouterr().err


def test_names_have_all_letters_whatever_the_locale():
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "deepen", "list", "größe"]
    shown = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert shown.returncode == 2
    assert "unknown family 'größe'" in shown.stderr.decode()
